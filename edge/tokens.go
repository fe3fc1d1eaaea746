package edge

import (
	"bytes"
	"crypto/ed25519"
	"crypto/subtle"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"maitred/engine"
)

const (
	issuer    = "maitred"
	audience  = "maitred/v1"
	tokenType = "at+jwt" // RFC 9068
)

var roleNames = map[engine.Role]string{
	engine.RoleCustomer: "customer", engine.RoleOwner: "owner", engine.RoleAdmin: "admin",
}

func roleOf(name string) (engine.Role, bool) {
	for r, n := range roleNames {
		if n == name {
			return r, true
		}
	}
	return 0, false
}

// bearer is what a verified token says. Immutable.
type bearer struct {
	token   string // the whole token: a hit is a match of all its bytes
	hash    uint64
	account engine.AccountID
	role    engine.Role
	issued  time.Time // to the millisecond
	expires time.Time

	quota    int      // requests a minute of a machine key; 0 = the limit of its address holds
	limitKey [16]byte // what they are charged to
}

type claims struct {
	jwt.RegisteredClaims
	Role   string `json:"role"`
	Issued int64  `json:"iat_ms"` // Unix milliseconds: a revocation separates tokens of one second
}

// Tokens issues and verifies access tokens. Verified ones are remembered, whole, until they expire: at most tokenSlots.
type Tokens struct {
	keys   *Keys
	seed   maphash.Seed
	slots  []atomic.Pointer[bearer]
	public ed25519.PublicKey

	mu      sync.RWMutex
	revoked map[engine.AccountID]time.Time // tokens issued up to then are void; kept for tokenTTL
}

// NewTokens makes an issuer and verifier with keys.
func NewTokens(keys *Keys) *Tokens {
	return &Tokens{
		keys: keys, seed: maphash.MakeSeed(), slots: make([]atomic.Pointer[bearer], tokenSlots),
		public: keys.private.Public().(ed25519.PublicKey), revoked: map[engine.AccountID]time.Time{},
	}
}

// Issue signs an access token that lives ten minutes from now.
func (t *Tokens) Issue(account engine.AccountID, role engine.Role, now time.Time) (string, error) {
	return t.IssueFor(account, role, now, tokenTTL)
}

// IssueFor signs an access token that lives ttl from now: for load generators and tests, which outlast tokenTTL. A revocation
// is surely remembered only as long as an ordinary token lives.
func (t *Tokens) IssueFor(account engine.AccountID, role engine.Role, now time.Time, ttl time.Duration) (string, error) {
	c := claims{Role: roleNames[role], Issued: now.UnixMilli(), RegisteredClaims: jwt.RegisteredClaims{
		Issuer: issuer, Audience: jwt.ClaimStrings{audience}, Subject: string(account),
		IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(ttl)),
	}}
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, c)
	token.Header["typ"], token.Header["kid"] = tokenType, t.keys.kid
	signed, err := token.SignedString(t.keys.private)
	if err != nil {
		return "", fmt.Errorf("edge: sign an access token: %w", err)
	}
	return signed, nil
}

var bearerPrefix = []byte("Bearer ")

// verify reads an Authorization line; nil when it does not carry a token that is valid at now.
func (t *Tokens) verify(authorization []byte, now time.Time) *bearer {
	if len(authorization) <= len(bearerPrefix) || len(authorization) > maxToken {
		return nil
	}
	if !bytes.EqualFold(authorization[:len(bearerPrefix)], bearerPrefix) {
		return nil
	}
	token := authorization[len(bearerPrefix):]
	hash := maphash.Bytes(t.seed, token)
	base := hash & (tokenSlots - 1) &^ (tokenWays - 1)
	for way := range uint64(tokenWays) {
		b := t.slots[base+way].Load()
		if b != nil && b.hash == hash && b.token == string(token) {
			if !now.Before(b.expires) {
				return nil
			}
			return b
		}
	}
	b, err := t.parse(string(token), now)
	if err != nil {
		return nil
	}
	b.hash = hash
	return t.admit(b, base, now)
}

// admit remembers a token that was just verified; nil when it was revoked meanwhile.
func (t *Tokens) admit(b *bearer, base uint64, now time.Time) *bearer {
	at := t.remember(b, base, now)
	if t.isRevoked(b) { // again: a revocation may have swept the slots just before
		at.CompareAndSwap(b, nil)
		return nil
	}
	return b
}

// remember takes a free or expired place of the set, else one that the hash picks.
func (t *Tokens) remember(b *bearer, base uint64, now time.Time) *atomic.Pointer[bearer] {
	at := base + b.hash>>62
	for way := range uint64(tokenWays) {
		if old := t.slots[base+way].Load(); old == nil || !now.Before(old.expires) {
			at = base + way
			break
		}
	}
	t.slots[at].Store(b)
	return &t.slots[at]
}

func (t *Tokens) parse(token string, now time.Time) (*bearer, error) {
	var c claims
	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}), jwt.WithIssuer(issuer), jwt.WithAudience(audience),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithTimeFunc(func() time.Time { return now }),
	)
	if _, err := parser.ParseWithClaims(token, &c, t.key); err != nil {
		return nil, err
	}
	role, ok := roleOf(c.Role)
	if !ok || !engine.IsAccountID(c.Subject) {
		return nil, errors.New("edge: unknown role or subject")
	}
	b := &bearer{
		token: token, account: engine.AccountID(c.Subject), role: role,
		issued: time.UnixMilli(c.Issued), expires: c.ExpiresAt.Time,
	}
	if t.isRevoked(b) {
		return nil, errors.New("edge: revoked")
	}
	return b, nil
}

// key checks the header before the signature. jku, x5u and jwk are never looked at.
func (t *Tokens) key(token *jwt.Token) (any, error) {
	typ, _ := token.Header["typ"].(string)
	kid, _ := token.Header["kid"].(string)
	_, critical := token.Header["crit"]
	if typ != tokenType || critical || subtle.ConstantTimeCompare([]byte(kid), []byte(t.keys.kid)) != 1 {
		return nil, errors.New("edge: not a token of ours")
	}
	return t.public, nil
}

// revoke voids the account's tokens issued up to at.
func (t *Tokens) revoke(account engine.AccountID, at time.Time) {
	t.mu.Lock()
	if len(t.revoked) >= maxRevocations {
		for a, when := range t.revoked {
			if at.Sub(when) > tokenTTL {
				delete(t.revoked, a)
			}
		}
	}
	if len(t.revoked) < maxRevocations {
		t.revoked[account] = at
	}
	t.mu.Unlock()
	for i := range t.slots {
		if b := t.slots[i].Load(); b != nil && b.account == account {
			t.slots[i].CompareAndSwap(b, nil)
		}
	}
}

func (t *Tokens) isRevoked(b *bearer) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	at, ok := t.revoked[b.account]
	return ok && !b.issued.After(at)
}
