package edge

import (
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
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

// bearer is what a verified token says. Immutable but for seen.
type bearer struct {
	token   string // the whole token: a hit is a match of all its bytes
	hash    uint64
	account engine.AccountID
	role    engine.Role
	version engine.Version // of the account when its session was opened or renewed; 0 = not told
	family  string         // of that session; empty = not told
	issued  time.Time      // to the millisecond
	expires time.Time
	seen    atomic.Uint64 // the revocations with which it was last compared
	key     *signingKey   // that verified it: when the key is dropped, so is the token

	// Of an API key only.
	apiKey   string   // its id; empty for an access token
	readOnly bool     // GET only
	quota    int      // requests a minute; 0 = the default
	limitKey [16]byte // what the rate limiter counts by: a hash of the account
}

type claims struct {
	jwt.RegisteredClaims
	Role   string `json:"role"`
	Issued int64  `json:"iat_ms"` // Unix milliseconds: a revocation separates tokens of one second

	// What a revocation goes by: versions of an account have one order on all nodes, times have not.
	Version uint64 `json:"acv,omitempty"` // of the account when the session was opened or renewed
	Family  string `json:"sid,omitempty"` // of that session
}

// Tokens issues and verifies access tokens. Verified ones are remembered, whole, until they expire: at most tokenSlots.
type Tokens struct {
	keys  *Keys
	seed  maphash.Seed
	slots []atomic.Pointer[bearer]

	revocations *Revocations
}

// NewTokens makes an issuer and verifier with keys, and revocations of its own.
func NewTokens(keys *Keys) *Tokens { return newTokens(keys, NewRevocations()) }

func newTokens(keys *Keys, revocations *Revocations) *Tokens {
	return &Tokens{keys: keys, seed: maphash.MakeSeed(), slots: make([]atomic.Pointer[bearer], tokenSlots), revocations: revocations}
}

// Issue signs an access token that lives ten minutes from now and belongs to no session.
func (t *Tokens) Issue(account engine.AccountID, role engine.Role, now time.Time) (string, error) {
	return t.IssueFor(account, role, now, tokenTTL)
}

// issue signs an access token of a session that was opened or renewed at a version of its account.
func (t *Tokens) issue(account engine.AccountID, role engine.Role, family string, v engine.Version, now time.Time) (string, error) {
	return t.sign(claims{Role: roleNames[role], Version: uint64(v), Family: family}, account, now, tokenTTL)
}

// IssueFor signs an access token that lives ttl from now: for load generators and tests, which outlast tokenTTL. A revocation
// is surely remembered only as long as an ordinary token lives.
func (t *Tokens) IssueFor(account engine.AccountID, role engine.Role, now time.Time, ttl time.Duration) (string, error) {
	return t.sign(claims{Role: roleNames[role]}, account, now, ttl)
}

func (t *Tokens) sign(c claims, account engine.AccountID, now time.Time, ttl time.Duration) (string, error) {
	c.Issued, c.RegisteredClaims = now.UnixMilli(), jwt.RegisteredClaims{
		Issuer: issuer, Audience: jwt.ClaimStrings{audience}, Subject: string(account),
		IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(ttl)),
	}
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, c)
	key := t.keys.ring.Load().current
	token.Header["typ"], token.Header["kid"] = tokenType, key.kid
	signed, err := token.SignedString(key.private)
	if err != nil {
		return "", fmt.Errorf("edge: sign an access token: %w", err)
	}
	return signed, nil
}

var bearerPrefix = []byte("Bearer ")

// credential is what stands after "Bearer " in an Authorization line; nil when that is not one.
func credential(authorization []byte) []byte {
	if len(authorization) <= len(bearerPrefix) || len(authorization) > maxToken {
		return nil
	}
	if !bytes.EqualFold(authorization[:len(bearerPrefix)], bearerPrefix) {
		return nil
	}
	return authorization[len(bearerPrefix):]
}

// verify reads an Authorization line; nil when it does not carry a token that is valid at now.
func (t *Tokens) verify(authorization []byte, now time.Time) *bearer {
	token := credential(authorization)
	if token == nil {
		return nil
	}
	b, hash := t.known(token, now)
	if b != nil {
		return b
	}
	b, err := t.parse(string(token), now)
	if err != nil {
		return nil
	}
	b.hash = hash
	return t.admit(b, place(hash), now)
}

// place is where the set of a token begins.
func place(hash uint64) uint64 { return hash & (tokenSlots - 1) &^ (tokenWays - 1) }

// known finds a remembered token or API key; nil when it is not here, expired, revoked, or its signing key was dropped.
func (t *Tokens) known(token []byte, now time.Time) (*bearer, uint64) {
	hash := maphash.Bytes(t.seed, token)
	base := place(hash)
	for way := range uint64(tokenWays) {
		b := t.slots[base+way].Load()
		if b != nil && b.hash == hash && b.token == string(token) {
			if !now.Before(b.expires) || b.key.dropped.Load() || t.revocations.void(b) {
				return nil, hash
			}
			return b, hash
		}
	}
	return nil, hash
}

// admit remembers a token that was just verified; nil when it was revoked meanwhile.
func (t *Tokens) admit(b *bearer, base uint64, now time.Time) *bearer {
	if t.revocations.void(b) {
		return nil
	}
	t.remember(b, base, now)
	return b
}

// remember takes a free or expired place of the set, else one that the hash picks.
func (t *Tokens) remember(b *bearer, base uint64, now time.Time) {
	at := base + b.hash>>62
	for way := range uint64(tokenWays) {
		if old := t.slots[base+way].Load(); old == nil || !now.Before(old.expires) || old.key.dropped.Load() {
			at = base + way
			break
		}
	}
	t.slots[at].Store(b)
}

func (t *Tokens) parse(token string, now time.Time) (*bearer, error) {
	var c claims
	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}), jwt.WithIssuer(issuer), jwt.WithAudience(audience),
		jwt.WithExpirationRequired(), jwt.WithStrictDecoding(), jwt.WithTimeFunc(func() time.Time { return now }),
	)
	var key *signingKey
	choose := func(token *jwt.Token) (_ any, err error) {
		if key, err = t.key(token, now); err != nil {
			return nil, err
		}
		return key.public, nil
	}
	if _, err := parser.ParseWithClaims(token, &c, choose); err != nil {
		return nil, err
	}
	if c.IssuedAt != nil && c.IssuedAt.After(now.Add(clockSlack)) {
		return nil, errors.New("edge: issued in the future")
	}
	role, ok := roleOf(c.Role)
	if !ok || !engine.IsAccountID(c.Subject) {
		return nil, errors.New("edge: unknown role or subject")
	}
	return &bearer{
		token: token, account: engine.AccountID(c.Subject), role: role, version: engine.Version(c.Version), family: c.Family,
		issued: time.UnixMilli(c.Issued), expires: c.ExpiresAt.Time, key: key,
	}, nil
}

// key checks the header before the signature and takes the key from the ring. jku, x5u and jwk are never looked at.
func (t *Tokens) key(token *jwt.Token, now time.Time) (*signingKey, error) {
	typ, _ := token.Header["typ"].(string)
	kid, _ := token.Header["kid"].(string)
	_, critical := token.Header["crit"]
	key := t.keys.ring.Load().find(kid, now)
	if typ != tokenType || critical || key == nil {
		return nil, errors.New("edge: not a token of ours")
	}
	return key, nil
}
