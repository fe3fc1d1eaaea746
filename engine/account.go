package engine

import (
	"slices"

	"maitred/engine/enginepb"
)

// session is one refresh token family.
type session struct {
	family  string
	refresh Hash32
	seen    []Hash32 // used before, oldest first, at most MaxSeenTokens
	expires Instant
	opened  Instant
}

// ident is the state of an account that decisions and readers share. A copy of the struct is a snapshot: sessions is
// replaced, never changed in place.
type ident struct {
	id        AccountID
	info      *AccountInfo // nil before registration and after erasure
	erased    bool
	completed bool      // the erasure: no restaurant knows the guest any more
	sessions  []session // oldest first
	version   Version
	last      Instant

	factor    *SecondFactor // nil = none
	keys      []APIKey      // oldest first; replaced, never changed in place
	throttled Instant       // of the last LoginThrottled
}

func (s *ident) apply(e *Event) {
	assert(Instant(e.AtMs) >= s.last, "I6: time goes backwards")
	assert(len(e.Sealed) == 0, "I5: a sealed event is applied")
	s.version++
	s.last = Instant(e.AtMs)
	switch body := e.Body.(type) {
	case *enginepb.Event_AccountRegistered:
		assert(s.info == nil, "I5: an account is registered twice")
		assert(!s.erased || s.completed, "I5: an id is registered anew before its erasure is complete")
		s.info, s.erased, s.completed = accountFrom(body.AccountRegistered.Account), false, false
		assert(s.info.Version == 1 && s.info.ID == s.id, "I4: an account begins with version 1")
	case *enginepb.Event_AccountChanged:
		next := accountFrom(body.AccountChanged.Account)
		assert(s.info != nil && next.ID == s.id && next.Version == s.info.Version+1, "I4: versions of a profile are contiguous")
		s.info = next
	case *enginepb.Event_SessionOpened:
		p := body.SessionOpened
		assert(s.info != nil, "I5: a session of no account")
		s.openSession(session{family: p.Family, refresh: hash32(p.Refresh), expires: Instant(p.ExpiresMs), opened: s.last})
	case *enginepb.Event_SessionRotated:
		s.rotate(body.SessionRotated.Family, hash32(body.SessionRotated.Refresh))
	case *enginepb.Event_SessionRevoked:
		family := body.SessionRevoked.Family
		s.drop(func(x *session) bool { return family == "" || x.family == family })
	case *enginepb.Event_AccountErased:
		assert(s.info != nil, "I5: an unknown account is erased")
		s.info, s.erased, s.sessions = nil, true, nil
		s.factor, s.keys, s.throttled = nil, nil, 0
	case *enginepb.Event_AccountErasureCompleted:
		assert(s.erased && !s.completed, "I5: an erasure that is not under way is complete")
		s.completed = true
	default:
		assert(s.applySecurity(e), "I5: an event that an account does not know")
	}
}

// openSession makes room first: expired sessions go, then the oldest.
func (s *ident) openSession(n session) {
	s.drop(func(x *session) bool { return x.expires <= s.last || x.family == n.family })
	if over := len(s.sessions) + 1 - MaxSessions; over > 0 {
		s.sessions = s.sessions[over:]
	}
	s.sessions = append(slices.Clip(s.sessions), n)
	assert(len(s.sessions) <= MaxSessions, "I9: too many sessions")
}

func (s *ident) rotate(family string, refresh Hash32) {
	i := slices.IndexFunc(s.sessions, func(x session) bool { return x.family == family })
	assert(i >= 0, "I5: an unknown session is rotated")
	s.sessions = slices.Clone(s.sessions)
	x := &s.sessions[i]
	seen := append(slices.Clone(x.seen), x.refresh)
	x.seen, x.refresh = seen[max(0, len(seen)-MaxSeenTokens):], refresh
}

func (s *ident) drop(gone func(*session) bool) {
	var kept []session
	for i := range s.sessions {
		if !gone(&s.sessions[i]) {
			kept = append(kept, s.sessions[i])
		}
	}
	s.sessions = kept
}

// byToken finds the session whose present or earlier refresh token that is.
func (s *ident) byToken(h Hash32) (x *session, present bool) {
	for i := range s.sessions {
		if x := &s.sessions[i]; x.refresh == h {
			return x, true
		} else if slices.Contains(x.seen, h) {
			return x, false
		}
	}
	return nil, false
}

// account is the aggregate of one account.
type account struct {
	ident
	receipts receipts
}

func newAccount(id AccountID) *account {
	return &account{ident: ident{id: id}, receipts: receipts{max: MaxAccountReceipts}}
}

// Version implements Aggregate.
func (a *account) Version() Version { return a.version }

// NextDue implements Aggregate: an account has no timers, sessions expire by comparison.
func (a *account) NextDue() Instant { return 0 }

// Apply implements Aggregate.
func (a *account) Apply(e *Event) {
	a.apply(e)
	if e.GetAccountErased() != nil { // whoever registers under the id later must not be answered with them
		a.receipts = receipts{max: MaxAccountReceipts}
	}
	a.receipts.remember(e)
}

// View implements Aggregate.
func (a *account) View() View { return &AccountView{a.ident} }

// AccountView is the view of an account.
type AccountView struct{ ident }

// Version implements View.
func (v *AccountView) Version() Version { return v.version }

// Next implements View.
func (v *AccountView) Next(events []*Event) View {
	if len(events) == 0 {
		return v
	}
	next := &AccountView{v.ident}
	for _, e := range events {
		next.apply(e)
	}
	return next
}

// NextFacts implements View.
func (v *AccountView) NextFacts(facts []Fact) View {
	events := make([]*Event, len(facts))
	for i, f := range facts {
		events[i] = f.Event
	}
	return v.Next(events)
}

// Info is nil while the account does not exist or after it was erased. Its PasswordHash is the PHC string for login.
func (v *AccountView) Info() *AccountInfo { return v.info }

func hash32(b []byte) (h Hash32) {
	copy(h[:], b)
	return h
}

func accountFrom(p *enginepb.Account) *AccountInfo {
	assert(p != nil, "I5: an account without content")
	return &AccountInfo{Created: Instant(p.CreatedMs), Version: Version(p.Version), Profile: Profile{
		ID: AccountID(p.Id), Email: p.Email, FirstName: p.FirstName, LastName: p.LastName, Phone: p.Phone,
		Role: p.Role, PasswordHash: p.PasswordHash}}
}

func (a *AccountInfo) proto() *enginepb.Account {
	return &enginepb.Account{Id: string(a.ID), Email: a.Email, FirstName: a.FirstName, LastName: a.LastName, Phone: a.Phone,
		Role: a.Role, PasswordHash: a.PasswordHash, CreatedMs: int64(a.Created), Version: uint64(a.Version)}
}
