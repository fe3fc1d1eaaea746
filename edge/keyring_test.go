package edge

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"maitred/engine"
)

func states(k *Keys) (out []string) {
	for _, i := range k.List() {
		out = append(out, i.State)
	}
	return out
}

// A rotation moves each key by one place; tokens of the one that signed until now live on.
func TestRotation(t *testing.T) {
	dir := t.TempDir()
	keys, err := OpenKeys(dir)
	require.NoError(t, err)
	tokens, now := NewTokens(keys), time.Now()
	first := keys.List()
	require.Equal(t, []string{keyCurrent, keyNext}, states(keys))
	old, err := tokens.Issue(guestID, engine.RoleOwner, now)
	require.NoError(t, err)
	remembered := tokens.verify(bearerLine(old), now)
	require.NotNil(t, remembered)

	rotated, err := RotateKeys(dir, false, now)
	require.NoError(t, err)
	require.Equal(t, first, keys.List(), "until the file is read again")
	require.NoError(t, keys.reload(now))
	require.Equal(t, []string{keyCurrent, keyNext, keyPrevious}, states(keys))
	require.Equal(t, rotated.List(), keys.List())
	require.Equal(t, first[1].ID, keys.List()[0].ID, "the next key signs")
	require.Equal(t, first[0].ID, keys.List()[2].ID)
	require.Same(t, remembered, tokens.verify(bearerLine(old), now), "a rotation verifies nothing anew")
	require.NotNil(t, NewTokens(rotated).verify(bearerLine(old), now))
	fresh, err := tokens.Issue(guestID, engine.RoleOwner, now)
	require.NoError(t, err)
	parsed, _, err := jwt.NewParser().ParseUnverified(fresh, jwt.MapClaims{})
	require.NoError(t, err)
	require.Equal(t, first[1].ID, parsed.Header["kid"])
	require.NotNil(t, tokens.verify(bearerLine(fresh), now))

	long, err := NewTokens(keys).IssueFor(guestID, engine.RoleOwner, now, 3*retiredKeyTTL)
	require.NoError(t, err)
	_, err = RotateKeys(dir, false, now)
	require.NoError(t, err)
	require.NoError(t, keys.reload(now))
	require.NotNil(t, tokens.verify(bearerLine(long), now))
	require.False(t, keys.ring.Load().ended(now))
	later := now.Add(retiredKeyTTL + time.Second)
	require.True(t, keys.ring.Load().ended(later))
	require.Nil(t, NewTokens(keys).verify(bearerLine(long), later), "its key is retired for good")
	require.NoError(t, keys.reload(later))
	require.Nil(t, tokens.verify(bearerLine(long), later), "from the cache neither")
	require.Equal(t, []string{keyCurrent, keyNext}, states(keys))
}

// A key that is dropped takes what it verified with it, at once.
// An operator rotates as root; the server that is somebody else must still be able to read the file.
func TestKeysStayTheServers(t *testing.T) {
	dir, owner := t.TempDir(), os.Geteuid()
	if owner == 0 {
		owner = 65534
	}
	ownerOf := func() int {
		info, err := os.Stat(filepath.Join(dir, KeysFile))
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode())
		return int(info.Sys().(*syscall.Stat_t).Uid)
	}
	require.NoError(t, os.Chown(dir, owner, -1))
	_, err := OpenKeys(dir)
	require.NoError(t, err)
	require.Equal(t, owner, ownerOf(), "the folder's")
	_, err = RotateKeys(dir, false, time.Now())
	require.NoError(t, err)
	require.Equal(t, owner, ownerOf(), "the file's")
}

func TestCompromisedKeysVoidTokens(t *testing.T) {
	dir := t.TempDir()
	keys, err := OpenKeys(dir)
	require.NoError(t, err)
	tokens, now := NewTokens(keys), time.Now()
	token, err := tokens.Issue(guestID, engine.RoleOwner, now)
	require.NoError(t, err)
	verified := tokens.verify(bearerLine(token), now)
	require.NotNil(t, verified)
	_, err = RotateKeys(dir, false, now)
	require.NoError(t, err)
	require.NoError(t, keys.reload(now))
	require.NotNil(t, tokens.verify(bearerLine(token), now))
	before := keys.List()
	_, err = RotateKeys(dir, true, now)
	require.NoError(t, err)
	require.NoError(t, keys.reload(now))
	require.Nil(t, tokens.verify(bearerLine(token), now))
	tokens.admit(verified, place(verified.hash), now) // the end of a verify that began before
	require.Nil(t, tokens.verify(bearerLine(token), now))
	for _, k := range keys.List() {
		require.NotEqual(t, before[0].ID, k.ID)
		require.NotEqual(t, before[1].ID, k.ID, "the next key was as known as the present one")
	}
	require.Equal(t, accountID(keys.account, "a@b.it"), accountID(mustRead(t, dir).account, "a@b.it"), "accounts are found as before")
}

func mustRead(t *testing.T, dir string) *Keys {
	t.Helper()
	keys, err := ReadKeys(dir)
	require.NoError(t, err)
	return keys
}

func TestRetiredKeysAreBounded(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	_, err := OpenKeys(dir)
	require.NoError(t, err)
	for range maxRetiredKeys {
		_, err := RotateKeys(dir, false, now)
		require.NoError(t, err)
	}
	_, err = RotateKeys(dir, false, now)
	require.ErrorContains(t, err, "rotate again after")
	_, err = RotateKeys(dir, false, now.Add(retiredKeyTTL))
	require.NoError(t, err)
	require.Len(t, mustRead(t, dir).List(), 3)
}

// The file of a build that knew one key.
func TestOldKeysFile(t *testing.T) {
	dir, now := t.TempDir(), time.Now() // OpenKeys looks at the clock itself
	seed := base64.StdEncoding.EncodeToString(make([]byte, 32))
	old := `{"signing_seed":"` + seed + `","secret":"` + seed + `"}`
	require.NoError(t, os.WriteFile(filepath.Join(dir, KeysFile), []byte(old), 0o600))
	keys, err := OpenKeys(dir)
	require.NoError(t, err)
	require.Equal(t, []string{keyCurrent}, states(keys))
	token, err := NewTokens(keys).Issue(guestID, engine.RoleOwner, now)
	require.NoError(t, err)
	rotated, err := RotateKeys(dir, false, now)
	require.NoError(t, err)
	require.Equal(t, keys.List()[0].ID, rotated.List()[2].ID)
	require.NotNil(t, NewTokens(rotated).verify(bearerLine(token), now))
}

// A file that is broken, or gone, leaves the ring as it is.
func TestReloadOfABrokenFile(t *testing.T) {
	dir := t.TempDir()
	keys, err := OpenKeys(dir)
	require.NoError(t, err)
	before := keys.List()
	path := filepath.Join(dir, KeysFile)
	for _, spoil := range []func() error{
		func() error { return os.WriteFile(path, []byte(`{"signing_seed":"AAAA","secret":"AAAA"}`), 0o600) },
		func() error { return os.WriteFile(path, []byte(`{`), 0o600) },
		func() error { return os.Remove(path) },
	} {
		require.NoError(t, spoil())
		require.Error(t, keys.reload(time.Now()))
		require.Equal(t, before, keys.List())
	}
}

// The running server looks at the file by itself, and shows what verifies.
func TestTheServerFollowsTheFileOfKeys(t *testing.T) {
	dir := t.TempDir()
	keys, err := OpenKeys(dir)
	require.NoError(t, err)
	s := listen(t, &script{}, func(c *Config) { c.Keys, c.KeysEvery = keys, 2*time.Millisecond })
	published := func() (ids []string) {
		a := s.ask("GET", "/.well-known/jwks.json", "", "")
		require.Equal(t, 200, a.StatusCode)
		require.Equal(t, "public, max-age=300", a.Header.Get("Cache-Control"))
		for _, item := range a.doc["keys"].([]any) {
			k := item.(map[string]any)
			require.Equal(t, []any{"OKP", "Ed25519", "sig", "EdDSA"}, []any{k["kty"], k["crv"], k["use"], k["alg"]})
			require.NotContains(t, k, "d")
			x, err := base64.RawURLEncoding.DecodeString(k["x"].(string))
			require.NoError(t, err)
			require.Equal(t, []byte(keys.ring.Load().find(k["kid"].(string), time.Time{}).public), x)
			ids = append(ids, k["kid"].(string))
		}
		return ids
	}
	before := published()
	require.Len(t, before, 2)
	_, err = RotateKeys(dir, false, time.Now())
	require.NoError(t, err)
	require.Eventually(t, func() bool { return len(keys.List()) == 3 }, 5*time.Second, time.Millisecond)
	require.Contains(t, published(), before[0])
	_, err = RotateKeys(dir, true, time.Now())
	require.NoError(t, err)
	require.NoError(t, s.ReloadKeys())
	require.NotContains(t, published(), before[0])
	require.NotContains(t, s.log.String(), "seed")
}
