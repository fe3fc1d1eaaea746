package edge

import (
	"crypto/sha256"
	"strconv"
	"time"

	"maitred/engine"
)

// login answers the same, after the same work, whether the account or the password is wrong.
func (s *Server) login(x *exchange) {
	var w loginRequest
	if t := decode(x.body(), &w); t != nil {
		x.trouble(t)
		return
	}
	email, ok := normalEmail(w.Email)
	if !ok || len(w.Password) > 4*maxPassword || len(w.Code) > maxCode {
		x.fail(kindUnauthorized)
		return
	}
	id := accountID(s.cfg.Keys.account, email)
	x.guarded(id, func() verdict { return x.judgeLogin(id, &w) })
}

// guarded lets judge look at a password or code of the account, and counts how that ended; or it answers that the caller
// has to wait.
func (x *exchange) guarded(id engine.AccountID, judge func() verdict) verdict {
	attempt, wait := x.s.throttle.begin(id, x.clientAddr().AsSlice(), x.now)
	if wait > 0 {
		x.throttled(wait)
		return unjudged
	}
	v := unjudged
	defer func() {
		if attempt.end(v, x.clock()) {
			x.s.noteThrottle(id, x.from())
		}
	}()
	v = judge()
	return v
}

// throttled answers with the wait, rounded up to seconds.
func (x *exchange) throttled(wait time.Duration) {
	k := kindThrottled
	k.retry = max(1, int((wait+time.Second-1)/time.Second))
	x.fail(k)
}

// noteThrottle puts the crossing of the bound into the account's history, if there is one. Nobody waits for it: who asks
// must not learn from the time of an answer whether the account exists.
func (s *Server) noteThrottle(id engine.AccountID, from string) {
	select {
	case s.notes <- struct{}{}:
	default:
		s.log.Warn("the audit of a throttled login is dropped")
		return
	}
	started := s.background.run(func() {
		defer func() { <-s.notes }()
		cmd := &engine.Command{Caller: engine.Caller{Role: engine.RoleSystem, From: from}, Body: &engine.NoteThrottle{}}
		if _, err := s.house.Do(engine.AggregateID(id), cmd, time.Now().Add(commandTimeout)); err != nil {
			s.log.Warn("the audit of a throttled login failed", "error", err)
		}
	})
	if !started { // the server closes
		<-s.notes
	}
}

// judgeLogin answers the login.
func (x *exchange) judgeLogin(id engine.AccountID, w *loginRequest) verdict {
	v, err := x.accountView(id)
	if err != nil {
		x.fault(err)
		return unjudged
	}
	info, phc := v.Info(), ""
	if info != nil {
		phc = info.PasswordHash
	}
	ok, err := x.s.passwords.matches(w.Password, phc)
	if err != nil {
		x.passwordFault(err)
		return unjudged
	}
	if !ok {
		x.fail(kindUnauthorized)
		return failed
	}
	x.now = x.clock() // hashing took its time
	session, token := x.session(id)
	session.Password = phc
	if f := v.SecondFactor(); f != nil && f.Active {
		if w.Code == "" {
			x.fail(kindSecondFactor)
			return unjudged
		}
		if !prove(f, w.Code, x.now, session) {
			x.fail(kindUnauthorized)
			return failed
		}
	}
	return x.openSession(v.Info(), session, token, w.Password)
}

// openSession begins a refresh family, durably, and answers with both tokens. A code that somebody else has used meanwhile
// is a failure.
func (x *exchange) openSession(info *engine.AccountInfo, session *engine.OpenSession, token, password string) verdict {
	out, err := x.s.house.Do(engine.AggregateID(info.ID), &engine.Command{
		Caller: engine.Caller{Account: info.ID, Role: info.Role, From: x.from()}, Body: session,
	}, x.deadline(commandTimeout))
	switch {
	case err != nil:
		x.fault(err)
		return unjudged
	case !done(out.Code):
		x.refuse(&out)
		if out.Code == engine.CodeUnauthorized {
			return failed
		}
		return unjudged
	}
	x.rehash(info, password)
	x.answerSession(200, &out, token)
	return passed
}

// rehash keeps the password at today's cost. The login does not depend on it: when the hashers are busy, the next one tries.
func (x *exchange) rehash(info *engine.AccountInfo, password string) {
	if !x.s.passwords.weak(info.PasswordHash) {
		return
	}
	phc, err := x.s.passwords.hash(password)
	if err == nil {
		_, err = x.s.house.Do(engine.AggregateID(info.ID), &engine.Command{
			Caller: engine.Caller{Account: info.ID, Role: info.Role, From: x.from()}, Body: &engine.RehashPassword{Old: info.PasswordHash, New: phc},
		}, x.deadline(commandTimeout))
	}
	if err != nil {
		x.s.log.Warn("a password keeps its old cost", "error", err)
	}
}

// session makes a refresh family and its first token.
func (x *exchange) session(id engine.AccountID) (open *engine.OpenSession, token string) {
	token, hash := x.s.refreshToken(id)
	return &engine.OpenSession{
		Family:  strconv.FormatUint(x.s.mint.uint64(), 36) + strconv.FormatUint(x.s.mint.uint64(), 36),
		Refresh: hash, Expires: engine.Instant(x.now.Add(sessionTTL).UnixMilli()),
	}, token
}

// prove lays the code into the session as proof: a time step, or the hash of a recovery code.
func prove(f *engine.SecondFactor, code string, now time.Time, session *engine.OpenSession) bool {
	if step, ok := totpStep(f.Secret, code, now); ok {
		session.Step = step // whether it is later than the last one is the account's decision
		return true
	}
	session.Recovery = sha256.Sum256([]byte(normalRecovery(code)))
	for _, left := range f.Recovery {
		if left == session.Recovery {
			return true
		}
	}
	return false
}

// confirmPassword answers everything but the caller's right password; the account then.
func (x *exchange) confirmPassword(password string) (v *engine.AccountView) {
	x.guarded(x.caller.account, func() verdict {
		view, err := x.accountView(x.caller.account)
		if err != nil {
			x.fault(err)
			return unjudged
		}
		if view.Info() == nil {
			x.fail(kindUnauthorized)
			return unjudged
		}
		ok, err := x.s.passwords.matches(password, view.Info().PasswordHash)
		switch {
		case err != nil:
			x.passwordFault(err)
			return unjudged
		case !ok:
			x.fail(kindForbidden)
			return failed
		}
		x.now, v = x.clock(), view
		return passed
	})
	return v
}
