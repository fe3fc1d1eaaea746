package engine

import (
	"fmt"
	"slices"
	"strings"

	"maitred/engine/enginepb"
)

// Decide implements Aggregate.
func (a *account) Decide(now Instant, cmd *Command) (Outcome, []*Event) {
	d := accountDecision{account: a, now: max(now, a.last), cmd: cmd}
	if hasReceipt(cmd) {
		if rec := a.receipts.find(cmd.Key); rec != nil {
			if rec.payload != cmd.Payload {
				return refuse(CodeKeyReused), nil
			}
			return Outcome{Code: rec.code, Replayed: true, Account: a.info, Family: rec.subject, Version: a.replayed(rec.subject)}, nil
		}
	}
	out := d.decide()
	assert(!out.Code.Refused() || len(d.events) == 0 || out.Code == CodeUnauthorized, "I10: a refusal makes no event")
	assert(len(d.events) <= MaxEvents, "I9: too many events")
	if !out.Code.Refused() {
		out.Version = d.version + Version(len(d.events))
	}
	return out, d.events
}

// replayed is the version of a replayed answer about a family: nothing can have revoked one that is still there, and whatever has
// revoked another one came after the first version. 0 = the answer is about none.
func (a *account) replayed(family string) Version {
	switch {
	case family == "":
		return 0
	case slices.ContainsFunc(a.sessions, func(x session) bool { return x.family == family }):
		return a.version
	}
	return 1
}

type accountDecision struct {
	*account
	now    Instant
	cmd    *Command
	events []*Event
}

func (d *accountDecision) decide() Outcome {
	switch body := d.cmd.Body.(type) {
	case *Register:
		return d.register(body)
	case *ChangeProfile:
		return d.changeProfile(body)
	case *OpenSession:
		return d.open(body)
	case *RotateSession:
		return d.exchange(body)
	case *RevokeSession:
		return d.revoke(body)
	case *BeginSecondFactor:
		return d.beginFactor(body)
	case *ConfirmSecondFactor:
		return d.confirmFactor(body)
	case *RemoveSecondFactor:
		return d.removeFactor()
	case *AddAPIKey:
		return d.addAPIKey(body)
	case *RevokeAPIKey:
		return d.revokeAPIKey(body)
	case *RehashPassword:
		return d.rehash(body)
	case *NoteThrottle:
		return d.noteThrottle()
	case *EraseAccount:
		return d.erase()
	case *CompleteErasure:
		return d.completeErasure()
	}
	panic("engine: a command that an account does not know")
}

func (d *accountDecision) emit(body enginepb.EventBody) {
	d.events = append(d.events, &Event{AtMs: int64(d.now), ByAccount: string(d.cmd.Caller.Account), ByRole: d.cmd.Caller.Role,
		From: d.cmd.Caller.from(), Body: body})
}

// done is the answer after events; family is what a replay names.
func (d *accountDecision) done(code Code, info *AccountInfo, family string) Outcome {
	attach(d.cmd, d.events, family, code)
	return Outcome{Code: code, Account: info, Family: family}
}

func (d *accountDecision) trusted() bool {
	return d.cmd.Caller.Role == RoleAdmin || d.cmd.Caller.Role == RoleSystem
}

// self reports whether the caller is the account or above it.
func (d *accountDecision) self() bool { return d.trusted() || d.cmd.Caller.Account == d.id }

func (d *accountDecision) register(c *Register) Outcome {
	role := c.Profile.Role
	switch {
	case d.info != nil || d.erased && !d.completed:
		return refuse(CodeExists)
	case role != RoleCustomer && role != RoleOwner && !d.trusted():
		return refuse(CodeForbidden)
	case d.cmd.IfMatch != 0:
		return refuse(CodeStale)
	}
	info := &AccountInfo{Profile: c.Profile, Created: d.now, Version: 1}
	if field := info.nonsense(); field != "" {
		return invalid(field)
	}
	if info.ID != d.id {
		return invalid("id")
	}
	if c.Session == nil {
		d.emit(&enginepb.Event_AccountRegistered{AccountRegistered: &enginepb.AccountRegistered{Account: info.proto()}})
		return d.done(CodeCreated, info, "")
	}
	if field := c.Session.nonsense(d.now); field != "" {
		return invalid(field)
	}
	d.emit(&enginepb.Event_AccountRegistered{AccountRegistered: &enginepb.AccountRegistered{Account: info.proto()}})
	d.begin(c.Session)
	return d.done(CodeCreated, info, c.Session.Family)
}

// nonsense names the first member that cannot be.
func (p *Profile) nonsense() string {
	switch {
	case !text(p.Email, MaxEmail) || strings.Count(p.Email, "@") != 1 || p.Email[0] == '@' || p.Email[len(p.Email)-1] == '@':
		return "email"
	case !text(p.FirstName, MaxName):
		return "first_name"
	case !text(p.LastName, MaxName):
		return "last_name"
	case !text(p.Phone, MaxPhone):
		return "phone"
	case !text(p.PasswordHash, MaxPasswordHash) || p.PasswordHash == "":
		return "password"
	case p.Role == RoleNone:
		return "role"
	}
	return ""
}

func (d *accountDecision) changeProfile(c *ChangeProfile) Outcome {
	switch {
	case d.info == nil || !d.self():
		return refuse(CodeNotFound)
	case d.cmd.IfMatch != 0 && d.cmd.IfMatch != d.info.Version:
		return Outcome{Code: CodeStale, Account: d.info}
	}
	info := *d.info
	info.Version++
	set(&info.FirstName, c.Change.FirstName)
	set(&info.LastName, c.Change.LastName)
	set(&info.Phone, c.Change.Phone)
	set(&info.PasswordHash, c.Change.PasswordHash)
	if field := info.nonsense(); field != "" {
		return invalid(field)
	}
	d.emit(&enginepb.Event_AccountChanged{AccountChanged: &enginepb.AccountChanged{Account: info.proto()}})
	if c.Change.PasswordHash != nil { // also without sessions: access tokens may live
		d.end("", "password changed")
	}
	return d.done(CodeOK, &info, "")
}

func (d *accountDecision) open(c *OpenSession) Outcome {
	if d.info == nil {
		return refuse(CodeNotFound)
	}
	if field := c.nonsense(d.now); field != "" {
		return invalid(field)
	}
	if c.Password != "" && c.Password != d.info.PasswordHash {
		return refuse(CodeUnauthorized) // changed while the edge compared
	}
	if !d.proveFactor(c) {
		return refuse(CodeUnauthorized)
	}
	d.begin(c)
	return d.done(CodeCreated, d.info, c.Family)
}

func (d *accountDecision) begin(c *OpenSession) {
	d.emit(&enginepb.Event_SessionOpened{SessionOpened: &enginepb.SessionOpened{
		Family: c.Family, Refresh: c.Refresh[:], ExpiresMs: int64(c.Expires)}})
}

// nonsense names the first member that cannot be.
func (c *OpenSession) nonsense(now Instant) string {
	switch {
	case c.Family == "" || !text(c.Family, MaxFamily):
		return "family"
	case c.Refresh == (Hash32{}):
		return "refresh"
	case c.Expires <= now:
		return "expires"
	}
	return ""
}

// exchange refuses a token that was exchanged before and ends its family: one of the two who show it has stolen it.
func (d *accountDecision) exchange(c *RotateSession) Outcome {
	s, present := d.byToken(c.Old)
	switch {
	case d.info == nil || s == nil || s.expires <= d.now:
		return refuse(CodeUnauthorized)
	case !present:
		d.end(s.family, "refresh token used twice")
		return refuse(CodeUnauthorized)
	case c.New == (Hash32{}) || c.New == c.Old:
		return invalid("refresh")
	}
	d.emit(&enginepb.Event_SessionRotated{SessionRotated: &enginepb.SessionRotated{Family: s.family, Refresh: c.New[:]}})
	return d.done(CodeOK, d.info, s.family)
}

func (d *accountDecision) end(family, reason string) {
	d.emit(&enginepb.Event_SessionRevoked{SessionRevoked: &enginepb.SessionRevoked{Family: family, Reason: reason}})
}

func (d *accountDecision) revoke(c *RevokeSession) Outcome {
	s, present := d.byToken(c.Refresh)
	holder := present && s.expires > d.now
	switch {
	case d.info == nil || !holder && !(c.All && d.self()):
		return refuse(CodeUnauthorized)
	case c.All:
		d.end("", "all")
		return d.done(CodeOK, d.info, "")
	}
	family := s.family
	d.end(family, "logout")
	return d.done(CodeOK, d.info, family)
}

// AppendBase implements Aggregate.
func (a *account) AppendBase(dst []byte) []byte {
	base := a.base()
	base.Receipts = a.receipts.proto()
	return appendMessage(dst, base)
}

// base is everything but the receipts.
func (s *ident) base() *enginepb.AccountBase {
	base := &enginepb.AccountBase{LastMs: int64(s.last), Version: uint64(s.version), Erased: s.erased, ErasureCompleted: s.completed,
		SecondFactor: s.factor.proto(), ThrottledMs: int64(s.throttled)}
	for i := range s.keys {
		base.ApiKeys = append(base.ApiKeys, s.keys[i].proto())
	}
	if s.info != nil {
		base.Account = s.info.proto()
	}
	for i := range s.sessions {
		x := &s.sessions[i]
		var seen []byte
		for _, h := range x.seen {
			seen = append(seen, h[:]...)
		}
		base.Sessions = append(base.Sessions, &enginepb.Session{Family: x.family, Refresh: x.refresh[:], Previous: seen,
			ExpiresMs: int64(x.expires), OpenedMs: int64(x.opened)})
	}
	return base
}

// Digest implements Aggregate.
func (a *account) Digest() uint64 { return digest(a.AppendBase(nil)) }

func openAccount(id AccountID, b []byte) (*account, error) {
	base := new(enginepb.AccountBase)
	if err := base.UnmarshalVT(b); err != nil {
		return nil, fmt.Errorf("%w of %s: %w", ErrBase, id, err)
	}
	a := newAccount(id)
	a.load(base)
	assert(len(base.Receipts) <= MaxAccountReceipts, "I9: a base has too many receipts")
	a.receipts.load(base.Receipts)
	return a, nil
}

// load is what base has written.
func (s *ident) load(base *enginepb.AccountBase) {
	s.version, s.last, s.erased = Version(base.Version), Instant(base.LastMs), base.Erased
	s.completed = base.ErasureCompleted
	assert(base.Account != nil || s.version == 0 || s.erased, "I5: a base without its account")
	if base.Account != nil {
		s.info = accountFrom(base.Account)
		assert(s.info.ID == s.id && s.info.Version >= 1, "I5: the base belongs to another account")
	}
	assert(len(base.Sessions) <= MaxSessions, "I9: a base has too many sessions")
	for _, p := range base.Sessions {
		assert(len(p.Refresh) == len(Hash32{}) && len(p.Previous)%len(Hash32{}) == 0, "I5: a broken hash")
		x := session{family: p.Family, refresh: hash32(p.Refresh), expires: Instant(p.ExpiresMs), opened: Instant(p.OpenedMs)}
		for seen := p.Previous; len(seen) > 0; seen = seen[32:] {
			x.seen = append(x.seen, hash32(seen[:32]))
		}
		assert(len(x.seen) <= MaxSeenTokens, "I9: too many hashes")
		s.sessions = append(s.sessions, x)
	}
	s.factor, s.throttled = factorFrom(base.SecondFactor), Instant(base.ThrottledMs)
	for _, p := range base.ApiKeys {
		s.addKey(keyFrom(p))
	}
	assert(s.factor == nil || s.info != nil, "I5: a second factor of no account")
}
