package edge

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"

	"github.com/go-json-experiment/json"

	"maitred/engine"
)

type userJSON struct {
	ID        string `json:"id"`
	Email     string `json:"email"`
	FirstName string `json:"first_name"`
	LastName  string `json:"last_name"`
	Phone     string `json:"phone"`
	Role      string `json:"role"`
	Created   string `json:"created_at"`
	Version   uint64 `json:"version"`
}

type sessionJSON struct {
	User         *userJSON `json:"user,omitempty"`
	AccessToken  string    `json:"access_token"`
	TokenType    string    `json:"token_type"`
	ExpiresIn    int       `json:"expires_in"` // seconds
	RefreshToken string    `json:"refresh_token"`
}

func userOf(a *engine.AccountInfo) *userJSON {
	created := appendMillis(nil, a.Created)
	return &userJSON{
		ID: string(a.ID), Email: a.Email, FirstName: a.FirstName, LastName: a.LastName, Phone: a.Phone,
		Role: roleNames[a.Role], Created: string(created[1 : len(created)-1]), Version: uint64(a.Version),
	}
}

// send answers with a struct: for routes that are not hot.
func (x *exchange) send(status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		x.fault(err)
		return
	}
	x.replyShared(status, b)
}

// A refresh token is <account id>.<256 random bits>: opaque to its holder, and it routes itself. The account keeps its SHA-256.
func (s *Server) refreshToken(account engine.AccountID) (string, engine.Hash32) {
	var r [32]byte
	s.mint.read(r[:])
	token := string(account) + "." + base64.RawURLEncoding.EncodeToString(r[:])
	return token, sha256.Sum256([]byte(token))
}

func accountOfRefresh(token string) (engine.AccountID, bool) {
	if len(token) > maxRefreshToken || len(token) <= usrLen || token[usrLen] != '.' || !engine.IsAccountID(token[:usrLen]) {
		return "", false
	}
	return engine.AccountID(token[:usrLen]), true
}

func (s *Server) register(x *exchange) {
	var w registerRequest
	if t := decode(x.body(), &w); t != nil {
		x.trouble(t)
		return
	}
	email, role, t := checkRegister(&w)
	if t != nil {
		x.trouble(t)
		return
	}
	phc, err := s.passwords.hash(w.Password)
	if err != nil {
		x.passwordFault(err)
		return
	}
	id := accountID(s.cfg.Keys.account, email)
	profile := engine.Profile{
		ID: id, Email: email, FirstName: w.FirstName, LastName: w.LastName, Phone: w.Phone, Role: role, PasswordHash: phc,
	}
	x.now = x.clock() // hashing took its time
	session, token := x.session(id)
	out := x.do(engine.AggregateID(id), &engine.Command{
		Caller: engine.Caller{Account: id, Role: role, From: x.from()}, Body: &engine.Register{Profile: profile, Session: session},
	})
	if out == nil {
		return
	}
	x.answerSession(201, out, token)
}

func checkRegister(w *registerRequest) (string, engine.Role, *trouble) {
	email, ok := normalEmail(w.Email)
	if !ok {
		return "", 0, wrong("email", "not an e-mail address")
	}
	if t := checkPassword(w.Password); t != nil {
		return "", 0, t
	}
	role, ok := roleOf(w.Role)
	if w.Role == "" {
		role, ok = engine.RoleCustomer, true
	}
	if !ok || (role != engine.RoleCustomer && role != engine.RoleOwner) {
		return "", 0, wrong("role", "customer or owner")
	}
	for _, f := range [...]struct {
		name, value string
		most        int
	}{{"first_name", w.FirstName, maxName}, {"last_name", w.LastName, maxName}, {"phone", w.Phone, maxPhone}} {
		if t := checkText(f.name, f.value, f.most, false); t != nil {
			return "", 0, t
		}
	}
	return email, role, nil
}

// account is the durable picture of an account; nil when there is none.
func (x *exchange) account(id engine.AccountID) (*engine.AccountInfo, error) {
	v, err := x.accountView(id)
	if err != nil {
		return nil, err
	}
	return v.Info(), nil
}

// accountView is everything of an account that is durable; its Info is nil when there is none.
func (x *exchange) accountView(id engine.AccountID) (*engine.AccountView, error) {
	v, err := x.s.house.View(engine.AggregateID(id), x.deadline(viewTimeout))
	if err != nil {
		return nil, err
	}
	a, ok := v.View.(*engine.AccountView)
	if !ok {
		return &engine.AccountView{}, nil
	}
	return a, nil
}

func (x *exchange) passwordFault(err error) {
	if errors.Is(err, errPasswordsBusy) {
		x.fail(kindTooMany)
		return
	}
	x.fault(err)
}

// answerSession answers with both tokens of the session that out has opened or renewed.
func (x *exchange) answerSession(status int, out *engine.Outcome, refresh string) {
	info := out.Account
	access, err := x.s.tokens.issue(info.ID, info.Role, out.Family, out.Version, x.now)
	if err != nil {
		x.fault(err)
		return
	}
	x.send(status, sessionJSON{
		User: userOf(info), AccessToken: access, TokenType: "Bearer", ExpiresIn: int(tokenTTL.Seconds()), RefreshToken: refresh,
	})
}

// refresh exchanges a refresh token; one that was used before ends its family.
func (s *Server) refresh(x *exchange) {
	var w refreshRequest
	if t := decode(x.body(), &w); t != nil {
		x.trouble(t)
		return
	}
	id, ok := accountOfRefresh(w.RefreshToken)
	if !ok {
		x.fail(kindUnauthorized)
		return
	}
	info, err := x.account(id)
	if err != nil {
		x.fault(err)
		return
	}
	if info == nil {
		x.fail(kindUnauthorized)
		return
	}
	token, hash := s.refreshToken(id)
	out := x.do(engine.AggregateID(id), &engine.Command{
		Caller: engine.Caller{Account: id, Role: info.Role, From: x.from()},
		Body:   &engine.RotateSession{Old: sha256.Sum256([]byte(w.RefreshToken)), New: hash},
	})
	if out != nil {
		x.answerSession(200, out, token)
	}
}

// logout ends the family of a refresh token, and its access tokens. One that is not valid any more has nothing to end: 204 as well (RFC 7009).
func (s *Server) logout(x *exchange) {
	var w refreshRequest
	if t := decode(x.body(), &w); t != nil {
		x.trouble(t)
		return
	}
	id, ok := accountOfRefresh(w.RefreshToken)
	if !ok {
		x.fail(kindUnauthorized)
		return
	}
	out, err := s.house.Do(engine.AggregateID(id), &engine.Command{
		Caller: engine.Caller{Account: id, Role: engine.RoleCustomer, From: x.from()},
		Body:   &engine.RevokeSession{Refresh: sha256.Sum256([]byte(w.RefreshToken))},
	}, x.deadline(commandTimeout))
	switch {
	case err != nil:
		x.fault(err)
	case done(out.Code), out.Code == engine.CodeUnauthorized, out.Code == engine.CodeNotFound:
		x.revoked(id, out.Family, &out)
		x.empty()
	default:
		x.refuse(&out)
	}
}

// revokeAll ends every family of the caller, and the access tokens issued until now.
func (s *Server) revokeAll(x *exchange) {
	if x.endSessions() {
		x.empty()
	}
}

func (x *exchange) endSessions() bool {
	id := x.caller.account
	out := x.do(engine.AggregateID(id), &engine.Command{Caller: x.who(), Body: &engine.RevokeSession{All: true}})
	x.revoked(id, "", out)
	return out != nil
}

// revoked voids at this node what a command has revoked, before it is answered: whoever was answered may ask here next. The other nodes
// see it in the journal. out is nil when the command was refused, or may be done.
func (x *exchange) revoked(id engine.AccountID, part string, out *engine.Outcome) {
	r := x.s.tokens.revocations
	switch {
	case out == nil && !x.mayBeDone(), out != nil && !done(out.Code):
	case out == nil || out.Version == 0:
		r.suspect(mark{id, part}, x.clock())
	default:
		r.add(mark{id, part}, out.Version, x.clock())
	}
}

// mayBeDone says whether the command that was answered last may be done although its outcome is not known.
func (x *exchange) mayBeDone() bool { return x.ctx.Response.StatusCode() == kindUnknownOutcome.status }

// me is the caller's account; else it has answered.
func (x *exchange) me() *engine.AccountInfo {
	info, err := x.account(x.caller.account)
	switch {
	case err != nil:
		x.fault(err)
	case info == nil:
		x.fail(kindUnauthorized)
	}
	return info
}

func (s *Server) getMe(x *exchange) {
	if info := x.me(); info != nil {
		x.etag(info.Version)
		x.send(200, userOf(info))
	}
}

func (s *Server) patchMe(x *exchange) {
	var w profileRequest
	if t := decode(x.body(), &w); t != nil {
		x.trouble(t)
		return
	}
	match, t := x.ifMatch(true)
	if t == nil {
		t = checkProfile(&w)
	}
	if t != nil {
		x.trouble(t)
		return
	}
	change := engine.ProfileChange{FirstName: w.FirstName, LastName: w.LastName, Phone: w.Phone}
	if w.Password != nil && !x.newPassword(&w, &change) {
		return
	}
	out := x.do(engine.AggregateID(x.caller.account), &engine.Command{
		Caller: x.who(), IfMatch: match, Body: &engine.ChangeProfile{Change: change},
	})
	if w.Password != nil { // it has ended the sessions
		x.revoked(x.caller.account, "", out)
	}
	if out == nil {
		return
	}
	info := out.Account
	if info == nil {
		if info = x.me(); info == nil {
			return
		}
	}
	x.etag(info.Version)
	x.send(200, userOf(info))
}

func checkProfile(w *profileRequest) *trouble {
	for _, f := range [...]struct {
		name  string
		value *string
		most  int
	}{{"first_name", w.FirstName, maxName}, {"last_name", w.LastName, maxName}, {"phone", w.Phone, maxPhone}} {
		if t := checkText(f.name, text(f.value), f.most, false); t != nil {
			return t
		}
	}
	if w.Password == nil {
		return nil
	}
	if w.CurrentPassword == nil {
		return wrong("current_password", "needed with password")
	}
	return checkPassword(*w.Password)
}

// newPassword checks the current password and hashes the next one; false when it has answered.
func (x *exchange) newPassword(w *profileRequest, change *engine.ProfileChange) bool {
	if x.confirmPassword(*w.CurrentPassword) == nil {
		return false
	}
	phc, err := x.s.passwords.hash(*w.Password)
	if err != nil {
		x.passwordFault(err)
		return false
	}
	change.PasswordHash = &phc
	x.now = x.clock()
	return true
}
