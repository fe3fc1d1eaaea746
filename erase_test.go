package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/edge"
	"maitred/engine"
	"maitred/persistence"
	"maitred/persistence/jetstream"
)

// Markers are strings that stand nowhere but in what the erased guest has said. Each has a letter of its own, so that a
// compressor cannot hide one behind another.
var erasedProfile = map[string]string{
	"email": "qzmailmarkerqz@example.org", "first_name": "Wxfirstmarkerwx", "last_name": "Vblastmarkervb", "phone": "+39 0671 828 1828",
}

var erasedReservation = map[string]string{
	"special": "kjrequestmarkerkj", "moved": "ygmovedmarkeryg", "reason": "bnreasonmarkerbn",
	"contact": "Hfcontactmarkerhf", "contact phone": "+39 0627 182 8459", "contact mail": "tdcontactmarkertd@example.org",
}

// logged is a log that may be read while it is written.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) bytes() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Clone(l.b.Bytes())
}

// erasure is a node with a guest who is to be erased.
type erasure struct {
	*site
	log        *logged
	data       string
	restaurant string
	token      string
	refresh    string
}

func beginErasure(t *testing.T, clear bool, grace time.Duration) *erasure {
	t.Helper()
	e := &erasure{log: &logged{}, data: t.TempDir()}
	e.open(t, clear, grace)
	e.restaurant = e.trattoria(0, 4)
	body := map[string]any{"password": "a long password"}
	for k, v := range erasedProfile {
		body[k] = v
	}
	e.register(body)
	return e
}

func (e *erasure) open(t *testing.T, clear bool, grace time.Duration) {
	t.Helper()
	n := newNode(nodeConfig(t, e.data))
	n.Config.TestClear, n.Config.TestPassivate = clear, true
	n.Config.TestGrace = grace
	n.Log = slog.New(slog.NewJSONHandler(e.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	require.NoError(t, n.Open(t.Context()))
	t.Cleanup(func() { require.NoError(t, n.Close()) })
	keys, err := edge.OpenKeys(e.data)
	require.NoError(t, err)
	a := newAPI(n.Addr(), 16)
	t.Cleanup(a.close)
	e.site = &site{Node: n, api: a, t: t, tokens: edge.NewTokens(keys)}
}

func (e *erasure) register(body map[string]any) {
	e.t.Helper()
	var s struct {
		AccessToken  string `json:"access_token"`
		RefreshToken string `json:"refresh_token"`
	}
	got, err := e.do(request{method: "POST", path: "/auth/register", body: body})
	requireStatus(e.t, 201, got, err)
	require.NoError(e.t, json.Unmarshal(got.body, &s))
	e.token, e.refresh = s.AccessToken, s.RefreshToken
}

// reservations makes three: one is cancelled, one is moved, one stays as it is.
func (e *erasure) reservations() (made []kept) {
	e.t.Helper()
	for i, slot := range []string{"19:00", "20:00", "21:00"} {
		var k kept
		got := create(e.t, e.api, e.token, "/reservations", "reservation-"+slot, map[string]any{
			"restaurant_id": e.restaurant, "date": day(3 + i), "time_slot": slot, "guests_count": 2,
			"special_requests": erasedReservation["special"], "contact": map[string]any{"name": erasedReservation["contact"],
				"phone": erasedReservation["contact phone"], "email": erasedReservation["contact mail"]}})
		require.NoError(e.t, json.Unmarshal(got.body, &k))
		made = append(made, k)
	}
	got, err := e.do(request{method: "POST", path: "/reservations/" + made[0].ID + "/cancel", token: e.token,
		body: map[string]any{"reason": erasedReservation["reason"]}})
	requireStatus(e.t, 200, got, err)
	got, err = e.do(request{method: "PATCH", path: "/reservations/" + made[1].ID, token: e.token, ifMatch: `"1"`,
		body: map[string]any{"special_requests": erasedReservation["moved"]}})
	requireStatus(e.t, 200, got, err)
	return made
}

// followed waits until the store shows what is durable.
func (e *erasure) followed() {
	e.t.Helper()
	last := uint64(e.house.Status().Last)
	require.Eventually(e.t, func() bool { return e.stored.Load() >= last }, 10*time.Second, 5*time.Millisecond)
}

// based waits until the account and the restaurant have a base of what they are now.
func (e *erasure) based() {
	e.t.Helper()
	claims := strings.Split(e.token, ".")[1]
	var token struct {
		Sub string `json:"sub"`
	}
	b, err := base64.RawURLEncoding.DecodeString(claims)
	require.NoError(e.t, err)
	require.NoError(e.t, json.Unmarshal(b, &token))
	for _, id := range []engine.AggregateID{engine.AggregateID(token.Sub), engine.AggregateID(e.restaurant)} {
		require.Eventually(e.t, func() bool {
			v, err := e.house.View(id, time.Now().Add(time.Second))
			b, missing := e.embedded.Bases().Get(e.t.Context(), id)
			return err == nil && missing == nil && b.Version == v.View.Version()
		}, 10*time.Second, 5*time.Millisecond, id)
	}
}

// found is what of the markers stands in clear in a file of the data directory or in the log: "file: marker".
func (e *erasure) found(markers ...map[string]string) (hits []string) {
	e.t.Helper()
	look := func(name string, b []byte) {
		for _, m := range markers {
			for what, marker := range m {
				if bytes.Contains(b, []byte(marker)) || bytes.Contains(bytes.ToLower(b), []byte(strings.ToLower(marker))) {
					hits = append(hits, name+": "+what)
				}
			}
		}
	}
	files := 0
	require.NoError(e.t, filepath.WalkDir(e.data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			return nil // a file that a running node has just removed
		}
		files++
		look(strings.TrimPrefix(path, e.data), b)
		return err
	}))
	require.Greater(e.t, files, 5, "journal, bases, store and keys")
	look("log", e.log.bytes())
	slices.Sort(hits)
	return hits
}

func (e *erasure) erase(password string) answer {
	e.t.Helper()
	got, err := e.do(request{method: "DELETE", path: "/me", token: e.token, body: map[string]any{"password": password}})
	require.NoError(e.t, err)
	return got
}

// awaitComplete waits until the account's erasure is complete and the store knows.
func (e *erasure) awaitComplete() {
	e.t.Helper()
	require.Eventually(e.t, func() bool {
		var n int
		ids, err := e.store.PendingErasures(e.t.Context(), 10)
		n = len(ids)
		return err == nil && n == 0
	}, 30*time.Second, 50*time.Millisecond)
	e.followed()
}

// TestErasedGuestStandsNowhere (H26): while the account lives, neither journal nor base nor log holds its data in clear; once the
// erasure is complete nothing in the data directory does, also while the node runs.
func TestErasedGuestStandsNowhere(t *testing.T) {
	noLeaks(t)
	previous := slog.Default()
	e := beginErasure(t, false, time.Second)
	slog.SetDefault(slog.New(slog.NewJSONHandler(e.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	t.Cleanup(func() { slog.SetDefault(previous) })
	made := e.reservations()
	e.followed()
	e.based()
	require.Empty(t, e.found(erasedProfile), "the profile stands nowhere in clear")
	for _, hit := range e.found(erasedReservation) {
		require.Regexp(t, `^/store\.db(-wal)?: (special|moved)$`, hit, "only the read model has the special requests, while the guest lives")
	}

	requireStatus(t, 403, e.erase("another password"), nil)
	former := e.token
	requireStatus(t, 204, e.erase("a long password"), nil)
	for path, body := range map[string]any{"/auth/login": map[string]any{"email": erasedProfile["email"], "password": "a long password"},
		"/auth/refresh": map[string]any{"refresh_token": e.refresh}} {
		got, err := e.do(request{method: "POST", path: path, body: body})
		requireStatus(t, 401, got, err)
	}
	got, err := e.do(request{method: "GET", path: "/me", token: former})
	requireStatus(t, 401, got, err)
	e.followed()
	anew := map[string]any{"email": erasedProfile["email"], "password": "another long one"}
	got, err = e.do(request{method: "POST", path: "/auth/register", body: anew})
	requireStatus(t, 409, got, err) // until the restaurants have forgotten
	e.awaitComplete()
	require.Empty(t, e.found(erasedProfile, erasedReservation), "the node runs")

	owner := e.site.token(1, engine.RoleOwner)
	for i, k := range made {
		var now struct {
			Status  string `json:"status"`
			Guest   string `json:"guest_id"`
			Version uint64 `json:"version"`
		}
		e.get(owner, "/reservations/"+k.ID, &now)
		require.Equal(t, "cancelled", now.Status, "reservation %d", i)
		require.Empty(t, now.Guest)
	}
	require.NoError(t, e.Close())
	require.Empty(t, e.found(erasedProfile, erasedReservation), "the node has stopped")

	e.open(t, false, 0)
	e.register(anew)
	e.requireMine(e.token)
	for _, k := range made {
		got, err := e.do(request{method: "GET", path: "/reservations/" + k.ID, token: e.token})
		requireStatus(t, 404, got, err)
	}
	again := create(t, e.api, e.token, "/reservations", "reservation-19:00", map[string]any{
		"restaurant_id": e.restaurant, "date": day(3), "time_slot": "19:00", "guests_count": 2,
		"special_requests": "none", "contact": map[string]any{}})
	require.False(t, again.replayed, "the former's key answers nobody")
}

// TestErasureGoesOnAfterARestart: the node stops right after the erasure. When it serves again the former's tokens are void, the
// restaurants forget, and nobody registers under the e-mail before the tokens have expired.
func TestErasureGoesOnAfterARestart(t *testing.T) {
	noLeaks(t)
	e := beginErasure(t, false, 0)
	made := e.reservations()
	requireStatus(t, 204, e.erase("a long password"), nil)
	require.NoError(t, e.Close())

	e.open(t, false, 0)
	got, err := e.do(request{method: "GET", path: "/reservations", token: e.token})
	requireStatus(t, 401, got, err) // the journal says it, the store need not have caught up
	e.followed()
	require.Eventually(t, func() bool {
		for _, k := range made {
			v, err := e.house.View(engine.AggregateID(e.restaurant), time.Now().Add(time.Second))
			if err != nil || v.View.(*engine.RestaurantView).Reservation(engine.ReservationID(k.ID)).Guest != "" {
				return false
			}
		}
		return true
	}, 20*time.Second, 20*time.Millisecond)
	got, err = e.do(request{method: "POST", path: "/auth/register", body: map[string]any{
		"email": erasedProfile["email"], "password": "another long one"}})
	requireStatus(t, 409, got, err)
	pending, err := e.store.PendingErasures(t.Context(), 10)
	require.NoError(t, err)
	require.Len(t, pending, 1)
}

// TestClearDataIsFound is the negative control: without the seal the same search finds what it looks for, in journal and bases.
func TestClearDataIsFound(t *testing.T) {
	noLeaks(t)
	e := beginErasure(t, true, 0)
	e.reservations()
	e.followed()
	e.based()
	hits := strings.Join(e.found(erasedProfile, erasedReservation), "\n")
	for what := range erasedProfile {
		require.Contains(t, hits, ": "+what)
	}
	for what := range erasedReservation {
		require.Contains(t, hits, ": "+what)
	}
	for _, where := range []string{"JOURNAL", "SNAP", "/store.db"} {
		require.Contains(t, hits, where)
	}
}

// TestToolsOnSealedData: with the key the store can be rebuilt, without it nothing is emptied; verify, inspect and copy need no
// key, and a copy opens with the keys that it was given.
func TestToolsOnSealedData(t *testing.T) {
	e := beginErasure(t, false, 0)
	made := e.reservations()
	e.followed()
	e.based()
	require.NoError(t, e.Close())
	was := dump(t, e.data)
	require.NoError(t, (&StoreRebuildCmd{Data: e.data}).Run())
	require.Equal(t, withoutEvents(was), withoutEvents(dump(t, e.data)))

	key, away := filepath.Join(e.data, sealFile), filepath.Join(t.TempDir(), "key")
	info, err := os.Stat(key)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o400), info.Mode().Perm())
	require.NoError(t, os.Rename(key, away))
	require.ErrorIs(t, (&StoreRebuildCmd{Data: e.data}).Run(), persistence.ErrSealed)
	require.Equal(t, withoutEvents(was), withoutEvents(dump(t, e.data)), "the store is as it was")
	require.NoError(t, (&JournalVerifyCmd{Data: e.data}).Run())
	var text bytes.Buffer
	journal, err := jetstream.OpenForRepair(t.Context(), repairOptions(e.data))
	require.NoError(t, err)
	require.NoError(t, jetstream.Print(t.Context(), journal, &text, 0, 0))
	require.NoError(t, journal.Close())
	require.Contains(t, text.String(), `email:"-"`)
	require.NotContains(t, text.String(), "sealed:")

	refused := newNode(nodeConfig(t, e.data))
	require.ErrorContains(t, refused.Open(t.Context()), "sealing_key_missing")
	require.NoFileExists(t, key, "no other key is made")
	require.NoError(t, os.WriteFile(key, make([]byte, persistence.SealKeyBytes), 0o400))
	require.ErrorContains(t, refused.Open(t.Context()), "sealing_key_missing")
	require.NoError(t, os.Chmod(key, 0o444))
	require.ErrorContains(t, refused.Open(t.Context()), "can be read by others")
	require.NoError(t, os.Remove(key))

	// The key is rotated: the old one opens, a new one is made and seals.
	require.NoError(t, os.Rename(away, key+".old1"))
	e.open(t, false, 0)
	e.requireGuest(made[2])
	require.NoError(t, e.Close())
	require.FileExists(t, key)

	to := filepath.Join(t.TempDir(), "copy")
	require.NoError(t, (&JournalCopyCmd{Data: e.data, To: to}).Run())
	keys, err := os.ReadFile(filepath.Join(e.data, "keys.json"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(to, "keys.json"), keys, 0o600))
	e.data = to
	e.open(t, false, 0)
	e.requireGuest(made[2])
}

// requireGuest reads what is sealed through the API.
func (e *erasure) requireGuest(k kept) {
	e.t.Helper()
	var me struct {
		Email string `json:"email"`
	}
	e.get(e.token, "/me", &me)
	require.Equal(e.t, erasedProfile["email"], me.Email)
	var now kept
	e.get(e.token, "/reservations/"+k.ID, &now)
	require.Equal(e.t, erasedReservation["special"], now.Requests)
}

func withoutEvents(dump string) string {
	var b strings.Builder
	for line := range strings.Lines(dump) {
		if !strings.HasPrefix(line, "event ") {
			b.WriteString(line)
		}
	}
	return b.String()
}
