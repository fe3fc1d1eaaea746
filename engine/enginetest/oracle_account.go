package enginetest

import (
	"slices"
	"strings"

	"maitred/engine"
)

// Account is the oracle of one account: what was used is kept in plain lists for ever, so that "once" is looked up.
type Account struct {
	ID      engine.AccountID
	Info    *engine.AccountInfo
	Version engine.Version
	Last    engine.Instant

	sessions []family
	factor   *factor
	keys     []engine.APIKey
	marked   engine.Instant
	receipts []receipt
}

type family struct {
	name    string
	tokens  []engine.Hash32 // the last one is good
	expires engine.Instant
}

type factor struct {
	secret   string
	active   bool
	steps    []int64 // used
	recovery []engine.Hash32
	spent    []engine.Hash32
}

// Do answers cmd and, when it is accepted, does it.
func (a *Account) Do(now engine.Instant, cmd *engine.Command) engine.Outcome {
	now = max(now, a.Last)
	if cmd.Key != (engine.Hash{}) {
		for _, r := range a.receipts {
			switch {
			case r.key != cmd.Key:
			case r.payload != cmd.Payload:
				return engine.Outcome{Code: engine.CodeKeyReused}
			default:
				return engine.Outcome{Code: r.code, Replayed: true, Account: a.Info, Family: r.subject, Version: a.replayed(r.subject)}
			}
		}
	}
	before := a.Version
	out := a.act(now, cmd)
	if a.Version > before {
		a.Last = now
		if cmd.Key != (engine.Hash{}) && out.Code <= engine.CodeCreated {
			a.receipts = append(a.receipts, receipt{cmd.Key, cmd.Payload, out.Family, out.Code})
			a.receipts = a.receipts[max(0, len(a.receipts)-engine.MaxAccountReceipts):]
		}
	}
	if !out.Code.Refused() {
		out.Version = a.Version
	}
	return out
}

// replayed is the present version while the family lives; of one that ended, any before its end.
func (a *Account) replayed(name string) engine.Version {
	if name == "" {
		return 0
	}
	for _, f := range a.sessions {
		if f.name == name {
			return a.Version
		}
	}
	return 1
}

func (a *Account) act(now engine.Instant, cmd *engine.Command) engine.Outcome {
	code := func(c engine.Code) engine.Outcome { return engine.Outcome{Code: c} }
	if body, ok := cmd.Body.(*engine.Register); ok {
		return a.register(now, cmd, body)
	}
	system := cmd.Caller.Role == engine.RoleSystem || cmd.Caller.Role == engine.RoleAdmin
	self := system || cmd.Caller.Account == a.ID
	switch body := cmd.Body.(type) {
	case *engine.OpenSession:
		return a.open(now, body)
	case *engine.RotateSession:
		return a.rotate(now, body)
	case *engine.RevokeSession:
		return a.revoke(now, body, self)
	}
	if a.Info == nil {
		return code(engine.CodeNotFound)
	}
	if _, mark := cmd.Body.(*engine.NoteThrottle); mark {
		if cmd.Caller.Role != engine.RoleSystem {
			return code(engine.CodeForbidden)
		}
		if a.marked == 0 || now-a.marked >= 15*60_000 {
			a.marked = now
			a.Version++
		}
		return engine.Outcome{Code: engine.CodeOK, Account: a.Info}
	}
	if !self {
		return code(engine.CodeNotFound)
	}
	return a.manage(now, cmd)
}

// manage is what the account itself may do.
func (a *Account) manage(now engine.Instant, cmd *engine.Command) engine.Outcome {
	refusal := engine.CodeOK
	var made *engine.APIKey
	switch body := cmd.Body.(type) {
	case *engine.ChangeProfile:
		return a.change(cmd, body)
	case *engine.BeginSecondFactor:
		if a.factor != nil && a.factor.active {
			refusal = engine.CodeExists
		} else {
			a.factor = &factor{secret: body.Secret}
		}
	case *engine.ConfirmSecondFactor:
		switch {
		case a.factor == nil:
			refusal = engine.CodeNotFound
		case a.factor.active:
			refusal = engine.CodeExists
		case a.factor.secret != body.Secret:
			refusal = engine.CodeStale
		default:
			a.factor = &factor{secret: body.Secret, active: true, steps: []int64{body.Step}, recovery: body.Recovery}
		}
	case *engine.RemoveSecondFactor:
		if a.factor == nil {
			refusal = engine.CodeNotFound
		}
		a.factor = nil
	case *engine.AddAPIKey:
		k := body.Key
		k.Created = now
		switch {
		case a.key(k.ID) >= 0:
			refusal = engine.CodeExists
		case len(a.keys) == engine.MaxAPIKeys:
			return engine.Outcome{Code: engine.CodeLimit, Field: "api_keys"}
		default:
			a.keys, made = append(a.keys, k), &k
		}
	case *engine.RevokeAPIKey:
		if i := a.key(body.ID); i < 0 {
			refusal = engine.CodeNotFound
		} else {
			a.keys = slices.Delete(a.keys, i, i+1)
		}
	case *engine.RehashPassword:
		if a.Info.PasswordHash != body.Old {
			refusal = engine.CodeStale
			break
		}
		old := a.Info
		next := *old
		next.PasswordHash = body.New
		a.Info = &next
		a.Version++
		return engine.Outcome{Code: engine.CodeOK, Account: old}
	}
	if refusal != engine.CodeOK {
		return engine.Outcome{Code: refusal}
	}
	a.Version++
	out := engine.Outcome{Code: engine.CodeOK, Account: a.Info, APIKey: made}
	if made != nil {
		out.Code = engine.CodeCreated
	}
	return out
}

func (a *Account) key(id string) int {
	return slices.IndexFunc(a.keys, func(k engine.APIKey) bool { return k.ID == id })
}

func (a *Account) register(now engine.Instant, cmd *engine.Command, c *engine.Register) engine.Outcome {
	switch {
	case a.Info != nil:
		return engine.Outcome{Code: engine.CodeExists}
	case cmd.IfMatch != 0:
		return engine.Outcome{Code: engine.CodeStale}
	case strings.Count(c.Profile.Email, "@") != 1:
		return engine.Outcome{Code: engine.CodeInvalid, Field: "email"}
	}
	a.Info = &engine.AccountInfo{Profile: c.Profile, Created: now, Version: 1}
	a.Version++
	return engine.Outcome{Code: engine.CodeCreated, Account: a.Info}
}

func (a *Account) change(cmd *engine.Command, c *engine.ChangeProfile) engine.Outcome {
	if cmd.IfMatch != 0 && cmd.IfMatch != a.Info.Version {
		return engine.Outcome{Code: engine.CodeStale, Account: a.Info}
	}
	next := *a.Info
	next.Version++
	next.FirstName = *c.Change.FirstName
	a.Version++
	if c.Change.PasswordHash != nil {
		next.PasswordHash = *c.Change.PasswordHash
		a.sessions = nil
		a.Version++
	}
	a.Info = &next
	return engine.Outcome{Code: engine.CodeOK, Account: a.Info}
}

func (a *Account) open(now engine.Instant, c *engine.OpenSession) engine.Outcome {
	switch {
	case a.Info == nil:
		return engine.Outcome{Code: engine.CodeNotFound}
	case c.Expires <= now:
		return engine.Outcome{Code: engine.CodeInvalid, Field: "expires"}
	case !a.prove(c):
		return engine.Outcome{Code: engine.CodeUnauthorized}
	}
	a.sessions = slices.DeleteFunc(a.sessions, func(f family) bool { return f.expires <= now || f.name == c.Family })
	a.sessions = append(a.sessions, family{c.Family, []engine.Hash32{c.Refresh}, c.Expires})
	a.sessions = a.sessions[max(0, len(a.sessions)-engine.MaxSessions):]
	a.Version++
	return engine.Outcome{Code: engine.CodeCreated, Account: a.Info, Family: c.Family}
}

func (a *Account) prove(c *engine.OpenSession) bool {
	f := a.factor
	if f == nil || !f.active {
		return true
	}
	if c.Recovery != (engine.Hash32{}) {
		if !slices.Contains(f.recovery, c.Recovery) || slices.Contains(f.spent, c.Recovery) {
			return false
		}
		f.spent = append(f.spent, c.Recovery)
	} else {
		if c.Step <= slices.Max(f.steps) {
			return false
		}
		f.steps = append(f.steps, c.Step)
	}
	a.Version++
	return true
}

// find is the session that ever had the token, and whether it is the good one now. The engine forgets all but the last
// used ones.
func (a *Account) find(token engine.Hash32) (i int, good bool) {
	for i, f := range a.sessions {
		known := f.tokens[max(0, len(f.tokens)-1-engine.MaxSeenTokens):]
		if slices.Contains(known, token) {
			return i, known[len(known)-1] == token
		}
	}
	return -1, false
}

func (a *Account) rotate(now engine.Instant, c *engine.RotateSession) engine.Outcome {
	i, good := a.find(c.Old)
	if a.Info == nil || i < 0 || a.sessions[i].expires <= now {
		return engine.Outcome{Code: engine.CodeUnauthorized}
	}
	f := &a.sessions[i]
	a.Version++
	if !good {
		a.sessions = slices.Delete(a.sessions, i, i+1)
		return engine.Outcome{Code: engine.CodeUnauthorized}
	}
	f.tokens = append(f.tokens, c.New)
	return engine.Outcome{Code: engine.CodeOK, Account: a.Info, Family: f.name}
}

func (a *Account) revoke(now engine.Instant, c *engine.RevokeSession, self bool) engine.Outcome {
	i, good := a.find(c.Refresh)
	holder := good && a.sessions[i].expires > now
	if a.Info == nil || !holder && !(c.All && self) {
		return engine.Outcome{Code: engine.CodeUnauthorized}
	}
	a.Version++
	if c.All {
		a.sessions = nil
		return engine.Outcome{Code: engine.CodeOK, Account: a.Info}
	}
	name := a.sessions[i].name
	a.sessions = slices.Delete(a.sessions, i, i+1)
	return engine.Outcome{Code: engine.CodeOK, Account: a.Info, Family: name}
}
