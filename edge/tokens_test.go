package edge

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"hash/maphash"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"maitred/engine"
)

var (
	testNow = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	guestID = engine.MakeAccountID([16]byte{1})
)

func testTokens(t testing.TB) *Tokens {
	t.Helper()
	keys, err := OpenKeys(t.TempDir())
	require.NoError(t, err)
	return NewTokens(keys)
}

func bearerLine(token string) []byte { return []byte("Bearer " + token) }

func TestKeysAreMadeOnceAndReadAgain(t *testing.T) {
	dir := t.TempDir()
	first, err := OpenKeys(dir)
	require.NoError(t, err)
	path := filepath.Join(dir, KeysFile)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	second, err := OpenKeys(dir)
	require.NoError(t, err)
	require.Equal(t, first.List(), second.List())
	require.Equal(t, first.account, second.account)
	require.Equal(t, first.cursor, second.cursor)

	token, err := NewTokens(first).Issue(guestID, engine.RoleOwner, testNow)
	require.NoError(t, err)
	require.NotNil(t, NewTokens(second).verify(bearerLine(token), testNow), "tokens outlive a restart")

	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, 1, "no temporary file stays")

	require.NoError(t, os.Chmod(path, 0o644))
	_, err = OpenKeys(dir)
	require.ErrorContains(t, err, "chmod 600")
	require.NoError(t, os.Chmod(path, 0o600))
	require.NoError(t, os.WriteFile(path, []byte(`{"signing_seed":"AAAA"`), 0o600))
	_, err = OpenKeys(dir)
	require.Error(t, err)
	require.NotContains(t, err.Error(), "AAAA")
}

func TestTokenLivesUntilItExpires(t *testing.T) {
	tokens := testTokens(t)
	token, err := tokens.Issue(guestID, engine.RoleCustomer, testNow)
	require.NoError(t, err)
	for range 2 { // the second time from the cache
		b := tokens.verify(bearerLine(token), testNow)
		require.NotNil(t, b)
		require.Equal(t, guestID, b.account)
		require.Equal(t, engine.RoleCustomer, b.role)
	}
	require.NotNil(t, tokens.verify(bearerLine(token), testNow.Add(tokenTTL-time.Second)))
	require.Nil(t, tokens.verify(bearerLine(token), testNow.Add(tokenTTL)), "from the cache")
	require.Nil(t, NewTokens(tokens.keys).verify(bearerLine(token), testNow.Add(tokenTTL)), "not from the cache")
}

// A hit is a match of all bytes: no change of a remembered token is let through.
func TestTokenCacheComparesTheWholeToken(t *testing.T) {
	tokens := testTokens(t)
	token, err := tokens.Issue(guestID, engine.RoleCustomer, testNow)
	require.NoError(t, err)
	require.NotNil(t, tokens.verify(bearerLine(token), testNow))
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, token[len(token)-1])
	require.Nil(t, tokens.verify(bearerLine(token[:len(token)-1]+alphabet[last+1:last+2]), testNow), "the unused bits of the last character")
	for i := range len(token) {
		changed := []byte(token)
		changed[i] ^= 1
		require.Nil(t, tokens.verify(bearerLine(string(changed)), testNow), "byte %d", i)
	}
	forged := []byte(token)
	forged[len(forged)/2] ^= 1
	hash := maphash.Bytes(tokens.seed, forged)
	for i := range tokens.slots { // as if an adversary had found a collision
		tokens.slots[i].Store(&bearer{token: token, hash: hash, account: guestID, expires: testNow.Add(time.Minute), key: tokens.keys.ring.Load().current})
	}
	require.Nil(t, tokens.verify(bearerLine(string(forged)), testNow), "equal hashes are not equal tokens")
	require.Nil(t, tokens.verify([]byte("bearer  "+token), testNow))
	require.NotNil(t, tokens.verify([]byte("bearer "+token), testNow), "the scheme is not case-sensitive")
}

func TestTokenCacheIsBounded(t *testing.T) {
	tokens := testTokens(t)
	for i := range 300 {
		token, err := tokens.Issue(engine.MakeAccountID([16]byte{byte(i), byte(i >> 8)}), engine.RoleCustomer, testNow)
		require.NoError(t, err)
		require.NotNil(t, tokens.verify(bearerLine(token), testNow))
		require.NotNil(t, tokens.verify(bearerLine(token), testNow))
	}
	require.Len(t, tokens.slots, tokenSlots)
}

func TestRevocationVoidsOlderTokensOnly(t *testing.T) {
	tokens := testTokens(t)
	old, err := tokens.Issue(guestID, engine.RoleCustomer, testNow)
	require.NoError(t, err)
	require.NotNil(t, tokens.verify(bearerLine(old), testNow))
	tokens.revoke(guestID, testNow.Add(time.Millisecond))
	require.Nil(t, tokens.verify(bearerLine(old), testNow))
	next, err := tokens.Issue(guestID, engine.RoleCustomer, testNow.Add(2*time.Millisecond))
	require.NoError(t, err)
	require.NotNil(t, tokens.verify(bearerLine(next), testNow.Add(2*time.Millisecond)), "the same second, after the revocation")
}

// S1–S4: what is not exactly a token of ours.
func TestForgedTokens(t *testing.T) {
	tokens := testTokens(t)
	_, stranger, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	good := func() claims {
		return claims{Role: "owner", Issued: testNow.UnixMilli(), RegisteredClaims: jwt.RegisteredClaims{
			Issuer: issuer, Audience: jwt.ClaimStrings{audience}, Subject: string(guestID),
			IssuedAt: jwt.NewNumericDate(testNow), ExpiresAt: jwt.NewNumericDate(testNow.Add(time.Minute)),
		}}
	}
	sign := func(m jwt.SigningMethod, key any, change func(*jwt.Token, *claims)) string {
		c := good()
		token := jwt.NewWithClaims(m, &c)
		token.Header["typ"], token.Header["kid"] = tokenType, tokens.keys.ring.Load().current.kid
		change(token, &c)
		s, err := token.SignedString(key)
		require.NoError(t, err)
		return s
	}
	ours := func(change func(*jwt.Token, *claims)) string {
		return sign(jwt.SigningMethodEdDSA, tokens.keys.ring.Load().current.private, change)
	}
	same := func(*jwt.Token, *claims) {}
	require.NotNil(t, tokens.verify(bearerLine(ours(same)), testNow), "the control")

	forged := map[string]string{
		"none":               sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, same),
		"HS256, public key":  sign(jwt.SigningMethodHS256, []byte(tokens.keys.ring.Load().current.public), same),
		"stranger's key":     sign(jwt.SigningMethodEdDSA, stranger, same),
		"expired":            ours(func(_ *jwt.Token, c *claims) { c.ExpiresAt = jwt.NewNumericDate(testNow.Add(-time.Second)) }),
		"no exp":             ours(func(_ *jwt.Token, c *claims) { c.ExpiresAt = nil }),
		"nbf in the future":  ours(func(_ *jwt.Token, c *claims) { c.NotBefore = jwt.NewNumericDate(testNow.Add(time.Minute)) }),
		"iat in the future":  ours(func(_ *jwt.Token, c *claims) { c.IssuedAt = jwt.NewNumericDate(testNow.Add(time.Minute)) }),
		"iss":                ours(func(_ *jwt.Token, c *claims) { c.Issuer = "elsewhere" }),
		"aud":                ours(func(_ *jwt.Token, c *claims) { c.Audience = jwt.ClaimStrings{"elsewhere"} }),
		"no aud":             ours(func(_ *jwt.Token, c *claims) { c.Audience = nil }),
		"typ JWT":            ours(func(t *jwt.Token, _ *claims) { t.Header["typ"] = "JWT" }),
		"unknown kid":        ours(func(t *jwt.Token, _ *claims) { t.Header["kid"] = "other" }),
		"no kid":             ours(func(t *jwt.Token, _ *claims) { delete(t.Header, "kid") }),
		"unknown kid + jku":  ours(func(t *jwt.Token, _ *claims) { t.Header["kid"], t.Header["jku"] = "x", "http://127.0.0.1:1/" }),
		"crit":               ours(func(t *jwt.Token, _ *claims) { t.Header["crit"] = []string{"b64"} }),
		"role that is none":  ours(func(_ *jwt.Token, c *claims) { c.Role = "system" }),
		"subject not ours":   ours(func(_ *jwt.Token, c *claims) { c.Subject = "admin" }),
		"10,000 dots":        strings.Repeat(".", 3000),
		"garbage":            "garbage",
		"two parts":          base64.RawURLEncoding.EncodeToString([]byte("{}")) + ".e30",
		"longer than 4 KiB":  ours(func(t *jwt.Token, _ *claims) { t.Header["pad"] = strings.Repeat("x", 5000) }),
		"empty":              "",
		"trailing signature": ours(same) + "A",
	}
	for name, token := range forged {
		for range 2 {
			require.Nil(t, tokens.verify(bearerLine(token), testNow), name)
		}
	}
	require.Nil(t, tokens.verify([]byte("Basic "+ours(same)), testNow))
	require.Nil(t, tokens.verify(nil, testNow))
}

func TestTokenCacheHitAllocatesNothing(t *testing.T) {
	tokens := testTokens(t)
	token, err := tokens.Issue(guestID, engine.RoleCustomer, testNow)
	require.NoError(t, err)
	line := bearerLine(token)
	require.NotNil(t, tokens.verify(line, testNow))
	require.Zero(t, testing.AllocsPerRun(100, func() { tokens.verify(line, testNow) }))
}

func BenchmarkTokenCacheHit(b *testing.B) {
	tokens := testTokens(b)
	lines := make([][]byte, 1000)
	for i := range lines {
		token, err := tokens.Issue(engine.MakeAccountID([16]byte{byte(i), byte(i >> 8)}), engine.RoleCustomer, testNow)
		if err != nil {
			b.Fatal(err)
		}
		lines[i] = bearerLine(token)
		tokens.verify(lines[i], testNow)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if tokens.verify(lines[i%len(lines)], testNow) == nil {
			b.Fatal("lost", fmt.Sprint(i))
		}
		i++
	}
}
