package enginetest

import "maitred/engine"

// AccountStream makes random commands to one account: few names and tokens, so that they meet again.
type AccountStream struct {
	src    Source
	ID     engine.AccountID
	Now    engine.Instant
	last   engine.Hash32 // newest refresh token
	tokens uint32
	sent   []*engine.Command
	ids    byte
}

// NewAccountStream begins a stream.
func NewAccountStream(src Source) *AccountStream {
	return &AccountStream{src: src, ID: account(1, 9), Now: 1_000_000}
}

// Next is the next command and its time.
func (s *AccountStream) Next() (engine.Instant, *engine.Command) {
	s.Now += engine.Instant(s.src.IntN(120_000)) - 1_000 // the clock may be set back
	if len(s.sent) > 0 && s.src.IntN(15) == 0 {
		c := *s.sent[s.src.IntN(len(s.sent))]
		if s.src.IntN(4) == 0 {
			c.Payload[0]++
		}
		return s.Now, &c
	}
	c := &engine.Command{Caller: s.caller(), Body: s.body()}
	if s.src.IntN(3) == 0 {
		s.ids++
		c.Key, c.Payload = engine.Hash{s.ids, 1}, engine.Hash{s.ids, 2}
		s.sent = append(s.sent, c)
		s.sent = s.sent[max(0, len(s.sent)-8):] // well within the ring of receipts
		if s.ids == 255 {
			s.ids = 0
		}
	}
	if s.src.IntN(6) == 0 {
		c.IfMatch = engine.Version(s.src.IntN(6))
	}
	return s.Now, c
}

func (s *AccountStream) caller() engine.Caller {
	switch s.src.IntN(12) {
	case 0:
		return engine.Caller{Account: account(1, 7), Role: engine.RoleOwner, From: "10.0.0.1"}
	case 1, 2:
		return engine.Caller{Role: engine.RoleSystem}
	}
	return engine.Caller{Account: s.ID, Role: engine.RoleCustomer, From: "2001:db8::1"}
}

// token is a new refresh token.
func (s *AccountStream) token() engine.Hash32 {
	s.tokens++
	return engine.Hash32{1, byte(s.tokens), byte(s.tokens >> 8), byte(s.tokens >> 16)}
}

// shown is a token that somebody shows: mostly the newest, else any.
func (s *AccountStream) shown() engine.Hash32 {
	if s.src.IntN(3) > 0 {
		return s.last
	}
	n := uint32(s.src.IntN(int(s.tokens) + 1))
	return engine.Hash32{1, byte(n), byte(n >> 8), byte(n >> 16)}
}

func (s *AccountStream) recovery() engine.Hash32 { return engine.Hash32{2, byte(s.src.IntN(12))} }

func (s *AccountStream) secret() string {
	return []string{"aaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbb"}[s.src.IntN(2)]
}

func (s *AccountStream) keyID() string { return engine.MakeAPIKeyID(uint64(s.src.IntN(40))) }

func (s *AccountStream) phc() string { return []string{"phc1", "phc2"}[s.src.IntN(2)] }

// step is near the time step of now.
func (s *AccountStream) step() int64 { return int64(s.Now)/30_000 + int64(s.src.IntN(4)) - 1 }

func (s *AccountStream) body() engine.Body {
	switch n := s.src.IntN(100); {
	case n < 6:
		email := "ada@example.org"
		if n == 0 {
			email = "ada"
		}
		return &engine.Register{Profile: engine.Profile{ID: s.ID, Email: email, Role: engine.RoleCustomer, PasswordHash: s.phc()}}
	case n < 10:
		c := &engine.ChangeProfile{Change: engine.ProfileChange{FirstName: new(s.phc())}}
		if n == 6 {
			c.Change.PasswordHash = new(s.phc())
		}
		return c
	case n < 45:
		s.last = s.token()
		c := &engine.OpenSession{Family: string('a' + rune(s.src.IntN(26))), Refresh: s.last, Expires: s.Now + 200_000 + engine.Instant(s.src.IntN(2_000_000))}
		switch s.src.IntN(3) {
		case 0:
			c.Step = s.step()
		case 1:
			c.Recovery = s.recovery()
		}
		return c
	case n < 62:
		c := &engine.RotateSession{Old: s.shown(), New: s.token()}
		s.last = c.New
		return c
	case n < 66:
		return &engine.RevokeSession{Refresh: s.shown(), All: s.src.IntN(4) == 0}
	case n < 70:
		return &engine.BeginSecondFactor{Secret: s.secret()}
	case n < 76:
		c := &engine.ConfirmSecondFactor{Secret: s.secret(), Step: s.step()}
		for i := range s.src.IntN(engine.MaxRecoveryCodes + 1) {
			c.Recovery = append(c.Recovery, engine.Hash32{2, byte(i + 1)})
		}
		return c
	case n < 77:
		return &engine.RemoveSecondFactor{}
	case n < 89:
		return &engine.AddAPIKey{Key: engine.APIKey{ID: s.keyID(), Name: "till", Hash: s.token(), Quota: s.src.IntN(3), ReadOnly: s.src.IntN(2) == 0}}
	case n < 92:
		return &engine.RevokeAPIKey{ID: s.keyID()}
	case n < 96:
		return &engine.RehashPassword{Old: s.phc(), New: s.phc()}
	}
	return &engine.NoteThrottle{}
}
