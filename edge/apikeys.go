package edge

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"

	"maitred/engine"
)

// needPerson is needCaller with an access token: an API key may not manage the account that it belongs to.
const needPerson = needCaller | 1<<7

// An API key is mtk_<the account's part of its id>_<256 random bits>: opaque to its holder, and it routes itself.
const (
	keyMark    = "mtk_"
	keyAccount = len(keyMark) + usrLen - len("usr_")
	keyLen     = keyAccount + 1 + 43
)

// keyForAPIKeys stands where a token has its signing key. It is never dropped.
var keyForAPIKeys signingKey

// authenticate finds out who calls; a kind other than zero refuses.
func (x *exchange) authenticate(e *endpoint) kind {
	b := x.s.tokens.verify(x.head.authorization, x.now)
	if b == nil {
		var k kind
		if b, k = x.verifyAPIKey(); b == nil {
			return k
		}
	}
	x.caller = b
	if b.apiKey != "" && (e.needs&needPerson == needPerson || b.readOnly && e.method != "GET") {
		return kindForbidden
	}
	return kind{}
}

// verifyAPIKey asks the account whose key that would be. What it finds is remembered among the verified tokens.
func (x *exchange) verifyAPIKey() (*bearer, kind) {
	t, token := x.s.tokens, credential(x.head.authorization)
	if len(token) != keyLen || !bytes.HasPrefix(token, []byte(keyMark)) || token[keyAccount] != '_' {
		return nil, kindUnauthorized
	}
	id := "usr_" + string(token[len(keyMark):keyAccount])
	if !engine.IsAccountID(id) {
		return nil, kindUnauthorized
	}
	epoch := t.revocations.epoch.Load() // the account is read after that
	v, err := x.accountView(engine.AccountID(id))
	if err != nil {
		return nil, kindOfFault(err)
	}
	sum := sha256.Sum256(token)
	at := slices.IndexFunc(v.APIKeys(), func(k engine.APIKey) bool { return k.Hash == sum })
	if at < 0 || v.Info() == nil {
		return nil, kindUnauthorized
	}
	k := &v.APIKeys()[at]
	b := &bearer{
		token: string(token), account: v.Info().ID, role: v.Info().Role, issued: x.now, expires: x.now.Add(maxAPIKeyNote), key: &keyForAPIKeys,
		apiKey: k.ID, readOnly: k.ReadOnly, quota: k.Quota, limitKey: limitKeyOf(v.Info().ID),
	}
	_, b.hash = t.known(token, x.now)
	b.seen.Store(epoch)
	t.remember(b, place(b.hash), x.now)
	return b, kind{}
}

type apiKeyJSON struct {
	ID      string   `json:"id"`
	Name    string   `json:"name"`
	Key     string   `json:"key,omitempty"` // shown once
	Scopes  []string `json:"scopes"`
	Quota   int      `json:"quota_per_minute"`
	Created string   `json:"created_at"`
}

const (
	scopeRead  = "read"
	scopeWrite = "write"
)

func apiKeyOf(k *engine.APIKey) apiKeyJSON {
	created := appendMillis(nil, k.Created)
	j := apiKeyJSON{ID: k.ID, Name: k.Name, Scopes: []string{scopeRead, scopeWrite}, Quota: k.Quota, Created: string(created[1 : len(created)-1])}
	if k.ReadOnly {
		j.Scopes = j.Scopes[:1]
	}
	return j
}

// check makes a key of the request.
func (w *apiKeyRequest) check() (k engine.APIKey, t *trouble) {
	if strings.TrimSpace(w.Name) == "" {
		return k, wrong("name", "needed")
	}
	if t := checkText("name", w.Name, maxKeyName, false); t != nil {
		return k, t
	}
	k.Name, k.Quota = w.Name, defaultQuota
	if w.Quota != nil {
		if k.Quota = *w.Quota; k.Quota < 1 || k.Quota > engine.MaxQuota {
			return k, wrong("quota_per_minute", "1 to 60000")
		}
	}
	if w.Scopes == nil {
		return k, nil
	}
	for _, scope := range *w.Scopes {
		if scope != scopeRead && scope != scopeWrite {
			return k, wrong("scopes", "read, write")
		}
	}
	if !slices.Contains(*w.Scopes, scopeRead) {
		return k, wrong("scopes", "at least read")
	}
	k.ReadOnly = !slices.Contains(*w.Scopes, scopeWrite)
	return k, nil
}

// limitKeyOf is what the limiter counts by: the account. Else twenty keys were twenty quotas.
func limitKeyOf(a engine.AccountID) [16]byte {
	sum := sha256.Sum256([]byte(a))
	return [16]byte(sum[:16])
}

// postAPIKey makes a key. Only its hash is kept.
func (s *Server) postAPIKey(x *exchange) {
	var w apiKeyRequest
	t := decode(x.body(), &w)
	var k engine.APIKey
	if t == nil {
		k, t = w.check()
	}
	if t == nil && len(w.Password) > 4*maxPassword {
		t = wrong("password", "too long")
	}
	if t == nil && k.Quota > defaultQuota && x.caller.role != engine.RoleAdmin {
		t = wrong("quota_per_minute", "1 to 600; more is given by an admin")
	}
	if t != nil {
		x.trouble(t)
		return
	}
	var r [32]byte
	s.mint.read(r[:])
	text := keyMark + string(x.caller.account[len("usr_"):]) + "_" + base64.RawURLEncoding.EncodeToString(r[:])
	k.ID, k.Hash = engine.MakeAPIKeyID(s.mint.uint64()), sha256.Sum256([]byte(text))
	if x.confirmPassword(w.Password) == nil { // a key outlives the access token that it is made with
		return
	}
	out := x.do(engine.AggregateID(x.caller.account), &engine.Command{Caller: x.who(), Body: &engine.AddAPIKey{Key: k}})
	if out == nil {
		return
	}
	j := apiKeyOf(out.APIKey)
	j.Key = text
	x.send(201, j)
}

func (s *Server) getAPIKeys(x *exchange) {
	v, err := x.accountView(x.caller.account)
	if err != nil {
		x.fault(err)
		return
	}
	items := []apiKeyJSON{}
	for i := range v.APIKeys() {
		items = append(items, apiKeyOf(&v.APIKeys()[i]))
	}
	x.send(200, struct {
		Items []apiKeyJSON `json:"items"`
	}{items})
}

// deleteAPIKey revokes a key: this node refuses it from its answer on, others when they have folded so far.
func (s *Server) deleteAPIKey(x *exchange) {
	id := strings.Clone(x.param)
	out := x.do(engine.AggregateID(x.caller.account), &engine.Command{Caller: x.who(), Body: &engine.RevokeAPIKey{ID: id}})
	x.revoked(x.caller.account, id, out)
	if out != nil {
		x.empty()
	}
}
