package engine

import (
	"slices"

	"maitred/engine/enginepb"
)

// SecondFactor is the time-based one-time password of an account (RFC 6238). Immutable. The edge computes and compares
// codes; the account keeps what must be durable: the secret, and what is used up.
type SecondFactor struct {
	Secret   string   // SecretBytes bytes
	Active   bool     // false: begun, not confirmed; a login does not ask for it yet
	LastStep int64    // the newest accepted time step: none up to it is accepted again
	Recovery []Hash32 // SHA-256 of the recovery codes that are left
}

// Commands about an account's second factor and password.
type (
	// BeginSecondFactor keeps a secret that is to be confirmed; it replaces one that never was.
	BeginSecondFactor struct{ Secret string }
	// ConfirmSecondFactor makes the factor active. Secret is the one whose code the edge has verified, Step its time step.
	ConfirmSecondFactor struct {
		Secret   string
		Step     int64
		Recovery []Hash32
	}
	// RemoveSecondFactor takes the factor away, begun or active.
	RemoveSecondFactor struct{}
	// RehashPassword replaces the hash of a password by one of the same password at a higher cost. It ends no session and
	// makes no new version of the profile; CodeStale when the password is not Old any more.
	RehashPassword struct{ Old, New string }
	// NoteThrottle records, as the system, that failed logins crossed the bound; at most once in ThrottleWindowMs.
	NoteThrottle struct{}
)

func (*BeginSecondFactor) isBody()   {}
func (*ConfirmSecondFactor) isBody() {}
func (*RemoveSecondFactor) isBody()  {}
func (*RehashPassword) isBody()      {}
func (*NoteThrottle) isBody()        {}

// SecondFactor is nil when the account has none.
func (v *AccountView) SecondFactor() *SecondFactor { return v.factor }

// applySecurity folds what is about second factors, API keys and passwords; false when e is another event.
func (s *ident) applySecurity(e *Event) bool {
	switch body := e.Body.(type) {
	case *enginepb.Event_SecondFactorChanged:
		assert(s.info != nil, "I5: a second factor of no account")
		s.factor = factorFrom(body.SecondFactorChanged.Factor)
	case *enginepb.Event_SecondFactorUsed:
		s.useFactor(body.SecondFactorUsed)
	case *enginepb.Event_ApiKeyAdded:
		s.addKey(keyFrom(body.ApiKeyAdded.Key))
	case *enginepb.Event_ApiKeyRevoked:
		s.dropKey(body.ApiKeyRevoked.Id)
	case *enginepb.Event_PasswordRehashed:
		assert(s.info != nil, "I5: a password of no account")
		next := *s.info
		next.PasswordHash = body.PasswordRehashed.PasswordHash
		s.info = &next
	case *enginepb.Event_LoginThrottled:
		s.throttled = s.last
	default:
		return false
	}
	return true
}

func (s *ident) useFactor(p *enginepb.SecondFactorUsed) {
	assert(s.factor != nil && s.factor.Active, "I5: a second factor that is none is used")
	next := *s.factor
	if len(p.Recovery) == 0 {
		assert(p.Step > next.LastStep, "I8: a time step is used twice")
		next.LastStep = p.Step
	} else {
		i := slices.Index(next.Recovery, hash32(p.Recovery))
		assert(i >= 0, "I8: a recovery code is used twice")
		next.Recovery = slices.Delete(slices.Clone(next.Recovery), i, i+1)
	}
	s.factor = &next
}

func factorFrom(p *enginepb.SecondFactor) *SecondFactor {
	if p == nil {
		return nil
	}
	f := &SecondFactor{Secret: string(p.Secret), Active: p.Active, LastStep: p.LastStep}
	assert(f.Secret != "" && len(p.Recovery)%32 == 0 && len(p.Recovery)/32 <= MaxRecoveryCodes, "I9: an impossible second factor")
	for left := p.Recovery; len(left) > 0; left = left[32:] {
		f.Recovery = append(f.Recovery, hash32(left[:32]))
	}
	return f
}

func (f *SecondFactor) proto() *enginepb.SecondFactor {
	if f == nil {
		return nil
	}
	p := &enginepb.SecondFactor{Secret: []byte(f.Secret), Active: f.Active, LastStep: f.LastStep}
	for _, h := range f.Recovery {
		p.Recovery = append(p.Recovery, h[:]...)
	}
	return p
}

// mine refuses who is not the account; CodeOK otherwise.
func (d *accountDecision) mine() Code {
	if d.info == nil || !d.self() {
		return CodeNotFound
	}
	return CodeOK
}

func (d *accountDecision) changeFactor(next *SecondFactor) Outcome {
	d.emit(&enginepb.Event_SecondFactorChanged{SecondFactorChanged: &enginepb.SecondFactorChanged{Factor: next.proto()}})
	return d.done(CodeOK, d.info, "")
}

func (d *accountDecision) beginFactor(c *BeginSecondFactor) Outcome {
	switch {
	case d.mine() != CodeOK:
		return refuse(CodeNotFound)
	case d.factor != nil && d.factor.Active:
		return refuse(CodeExists)
	case len(c.Secret) != SecretBytes:
		return invalid("secret")
	}
	return d.changeFactor(&SecondFactor{Secret: c.Secret})
}

func (d *accountDecision) confirmFactor(c *ConfirmSecondFactor) Outcome {
	switch {
	case d.mine() != CodeOK || d.factor == nil:
		return refuse(CodeNotFound)
	case d.factor.Active:
		return refuse(CodeExists)
	case d.factor.Secret != c.Secret: // begun anew meanwhile
		return refuse(CodeStale)
	case c.Step <= 0:
		return invalid("code")
	case len(c.Recovery) > MaxRecoveryCodes || slices.Contains(c.Recovery, Hash32{}):
		return invalid("recovery_codes")
	}
	return d.changeFactor(&SecondFactor{Secret: c.Secret, Active: true, LastStep: c.Step, Recovery: c.Recovery})
}

func (d *accountDecision) removeFactor() Outcome {
	if d.mine() != CodeOK || d.factor == nil {
		return refuse(CodeNotFound)
	}
	return d.changeFactor(nil)
}

// proveFactor records the use of the second factor that came with a login; false when it is missing or used up.
func (d *accountDecision) proveFactor(c *OpenSession) bool {
	f := d.factor
	if f == nil || !f.Active {
		return true
	}
	used := &enginepb.SecondFactorUsed{Step: c.Step}
	switch {
	case c.Recovery != (Hash32{}):
		if !slices.Contains(f.Recovery, c.Recovery) {
			return false
		}
		used = &enginepb.SecondFactorUsed{Recovery: c.Recovery[:]}
	case c.Step <= f.LastStep:
		return false
	}
	d.emit(&enginepb.Event_SecondFactorUsed{SecondFactorUsed: used})
	return true
}

func (d *accountDecision) rehash(c *RehashPassword) Outcome {
	switch {
	case d.mine() != CodeOK:
		return refuse(CodeNotFound)
	case d.info.PasswordHash != c.Old:
		return refuse(CodeStale)
	case !text(c.New, MaxPasswordHash) || c.New == "":
		return invalid("password")
	}
	d.emit(&enginepb.Event_PasswordRehashed{PasswordRehashed: &enginepb.PasswordRehashed{PasswordHash: c.New}})
	return d.done(CodeOK, d.info, "")
}

func (d *accountDecision) noteThrottle() Outcome {
	switch {
	case d.info == nil:
		return refuse(CodeNotFound)
	case d.cmd.Caller.Role != RoleSystem:
		return refuse(CodeForbidden)
	case d.throttled != 0 && d.now < d.throttled+ThrottleWindowMs:
		return Outcome{Code: CodeOK, Account: d.info}
	}
	d.emit(&enginepb.Event_LoginThrottled{LoginThrottled: &enginepb.LoginThrottled{}})
	return d.done(CodeOK, d.info, "")
}
