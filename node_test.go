package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"maitred/edge"
	"maitred/engine"
	"maitred/persistence"
	"maitred/persistence/jetstream"
	"maitred/persistence/sqlite"
)

// Nodes as main makes them, on the real journal and store, in the test's process. MAITRED_TEST_PASSIVATE passivates every actor
// after every command here too.

// site is a node that serves, and a client.
type site struct {
	*Node
	*api
	t      *testing.T
	tokens *edge.Tokens
}

func nodeConfig(t *testing.T, data string, args ...string) Config {
	t.Helper()
	var c ServeCmd
	parser, err := kong.New(&c)
	require.NoError(t, err)
	_, err = parser.Parse(append([]string{"--data", data, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--rate-limit", "0", "--max-conns-per-ip", "0", "--journal-bytes", fmt.Sprint(256 << 20)}, args...))
	require.NoError(t, err)
	require.NoError(t, c.Validate())
	c.TestAnyFS, c.TestPassivate = true, os.Getenv("MAITRED_TEST_PASSIVATE") != ""
	return c.Config
}

func newNode(c Config) *Node { return &Node{Config: c, Log: slog.New(slog.DiscardHandler)} }

func openSite(t *testing.T, data string, change ...func(*Config)) *site {
	t.Helper()
	n := newNode(nodeConfig(t, data))
	for _, c := range change {
		c(&n.Config)
	}
	require.NoError(t, n.Open(t.Context()))
	t.Cleanup(func() { require.NoError(t, n.Close()) })
	keys, err := edge.OpenKeys(data)
	require.NoError(t, err)
	a := newAPI(n.Addr(), 1000)
	t.Cleanup(a.close)
	return &site{Node: n, api: a, t: t, tokens: edge.NewTokens(keys)}
}

func (s *site) token(account byte, role engine.Role) string {
	s.t.Helper()
	token, err := s.tokens.IssueFor(engine.MakeAccountID([16]byte{account}), role, time.Now(), time.Hour)
	require.NoError(s.t, err)
	return token
}

// trattoria makes a restaurant with tables for four.
func (s *site) trattoria(i, tables int) string {
	s.t.Helper()
	owner := s.token(1, engine.RoleOwner)
	id := makeRestaurant(s.t, s.api, owner, i)
	for n := range tables {
		create(s.t, s.api, owner, "/restaurants/"+id+"/tables", fmt.Sprintf("table-%d-%d", i, n),
			map[string]any{"table_number": fmt.Sprint(n + 1), "capacity": 4, "min_capacity": 1})
	}
	return id
}

func (s *site) reserve(token, restaurant, key, slot string) (answer, kept) {
	got, err := s.do(request{method: "POST", path: "/reservations", token: token, key: key, body: map[string]any{
		"restaurant_id": restaurant, "date": day(3), "time_slot": slot, "guests_count": 2,
	}})
	var k kept
	if err == nil && got.status == 201 {
		err = json.Unmarshal(got.body, &k)
	}
	if err != nil {
		s.t.Errorf("reserve %s: %v", key, err) // not the end of the test: other goroutines call this too
	}
	return got, k
}

func (s *site) get(token, path string, into any) {
	s.t.Helper()
	got, err := s.do(request{method: "GET", path: path, token: token})
	requireStatus(s.t, 200, got, err)
	require.NoError(s.t, json.Unmarshal(got.body, into))
}

// noLeaks fails the test when a goroutine outlives what the test opened. Call it first.
func noLeaks(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		goleak.VerifyNone(t, before,
			goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),     // its clock, one a process
			goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*TCPDialer).tcpAddrsClean"), // of the test's client, one a process
			// These see the end of their server or client when they next wake, after at most 10 s.
			goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
			goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*HostClient).connsCleaner"),
		)
	})
}

func TestNodeBooksAndRestarts(t *testing.T) {
	noLeaks(t)
	data := t.TempDir()
	s := openSite(t, data)
	guest := s.token(2, engine.RoleCustomer)
	restaurant := s.trattoria(0, 2)
	got, first := s.reserve(guest, restaurant, "first", "20:00")
	require.Equal(t, 201, got.status, "%s", got.body)
	for range 2 {
		require.NoError(t, s.Close(), "idempotent")
	}

	s = openSite(t, data)
	var again kept
	s.get(guest, "/reservations/"+first.ID, &again)
	require.Equal(t, first, again)
	got, again = s.reserve(guest, restaurant, "first", "20:00")
	require.Equal(t, 201, got.status, "%s", got.body)
	require.True(t, got.replayed)
	require.Equal(t, first, again)
	got, second := s.reserve(guest, restaurant, "second", "20:00")
	require.Equal(t, 201, got.status, "%s", got.body)
	require.NotEqual(t, first.Table, second.Table)
	got, _ = s.reserve(guest, restaurant, "third", "20:00")
	require.Equal(t, 409, got.status, "the tables that were taken before the restart are taken: %s", got.body)
	s.requireMine(guest, first, second)
}

// requireMine waits until the store, which follows, shows exactly these.
func (s *site) requireMine(token string, want ...kept) {
	s.t.Helper()
	require.EventuallyWithT(s.t, func(c *assert.CollectT) {
		var page struct {
			Items []kept `json:"items"`
		}
		s.get(token, "/reservations", &page)
		assert.ElementsMatch(c, want, page.Items)
	}, 10*time.Second, 20*time.Millisecond)
}

func TestNodeThatCannotOpenLeavesNothingBehind(t *testing.T) {
	noLeaks(t)
	require.NoError(t, newNode(Config{}).Close(), "before Open")
	data, other := t.TempDir(), t.TempDir()
	s := openSite(t, data)
	second := newNode(nodeConfig(t, data))
	require.ErrorIs(t, second.Open(t.Context()), jetstream.ErrLocked, "one directory serves one node")
	require.NoError(t, second.Close())

	taken := nodeConfig(t, other)
	taken.Listen = s.Addr()
	require.ErrorContains(t, newNode(taken).Open(t.Context()), "listen")
	openSite(t, other) // the lock was given back

	file := t.TempDir() + "/file"
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	require.ErrorContains(t, newNode(nodeConfig(t, file)).Open(t.Context()), "data directory")
	restaurant := s.trattoria(0, 1) // the first was not disturbed
	got, _ := s.reserve(s.token(2, engine.RoleCustomer), restaurant, "k", "20:00")
	require.Equal(t, 201, got.status, "%s", got.body)
}

func TestTwoNodesInOneProcess(t *testing.T) {
	noLeaks(t)
	a, b := openSite(t, t.TempDir()), openSite(t, t.TempDir())
	restaurant := a.trattoria(0, 1)
	token := a.token(2, engine.RoleCustomer)
	got, _ := a.reserve(token, restaurant, "k", "20:00")
	require.Equal(t, 201, got.status, "%s", got.body)
	got, err := b.do(request{method: "GET", path: "/restaurants/" + restaurant})
	requireStatus(t, 404, got, err)
	got, _ = b.reserve(token, restaurant, "k", "20:00")
	require.Equal(t, 401, got.status, "another node's token: %s", got.body)
	require.NoError(t, a.Close())
	other := b.trattoria(1, 1)
	got, _ = b.reserve(b.token(2, engine.RoleCustomer), other, "k", "20:00")
	require.Equal(t, 201, got.status, "%s", got.body)
}

// 1,000 clients for a few tables, three times: exactly that many are told 201, each of them is in the journal once, and the
// journal stored all of them before the first refusal was told.
func TestThousandClientsForFewTables(t *testing.T) {
	noLeaks(t)
	const tables = 7
	s := openSite(t, t.TempDir())
	restaurant := s.trattoria(0, tables)
	tokens := make([]string, 200)
	for i := range tokens {
		tokens[i] = s.token(byte(i+2), engine.RoleCustomer)
	}
	before := 0
	for _, slot := range []string{"12:00", "16:00", "20:00"} {
		winners, firstRefusal := s.rush(tokens, restaurant, slot, 1000)
		require.Len(t, winners, tables)
		created := s.created()
		require.Len(t, created, before+tables, "somebody was not told")
		before = len(created)
		for id := range winners {
			record, err := s.embedded.Journal().Get(t.Context(), created[id])
			require.NoError(t, err)
			require.True(t, record.Time.Before(firstRefusal), "a refusal came before the reservation that it rests on")
		}
	}
}

// rush sends n clients for one start time at once. It returns who won and when the first refusal came.
func (s *site) rush(tokens []string, restaurant, slot string, n int) (winners map[string]bool, firstRefusal time.Time) {
	var mu sync.Mutex
	winners, firstRefusal = map[string]bool{}, time.Now().Add(time.Hour)
	refused := 0
	each(200, n, func(i int) {
		got, k := s.reserve(tokens[i%len(tokens)], restaurant, fmt.Sprint("client-", slot, i), slot)
		told := time.Now()
		mu.Lock()
		defer mu.Unlock()
		switch {
		case got.status == 201:
			winners[k.ID] = true
		case got.status == 409 && bytes.Contains(got.body, []byte(`"slot_unavailable"`)):
			refused++
			if told.Before(firstRefusal) {
				firstRefusal = told
			}
		default:
			s.t.Errorf("client %d: %d %s", i, got.status, got.body)
		}
	})
	require.Equal(s.t, n, len(winners)+refused)
	return winners, firstRefusal
}

// created reads from the journal where each reservation was made.
func (s *site) created() map[string]persistence.Seq {
	s.t.Helper()
	journal := s.embedded.Journal()
	bounds, err := journal.Bounds(s.t.Context())
	require.NoError(s.t, err)
	made := map[string]persistence.Seq{}
	err = persistence.ReadCommitted(s.t.Context(), journal, bounds.First, bounds.Last, func(seq persistence.Seq, events []persistence.Committed) error {
		for _, e := range events {
			if c := e.Event.GetReservationCreated(); c != nil {
				require.Zero(s.t, made[c.Reservation.Id], "made twice")
				made[c.Reservation.Id] = seq
			}
		}
		return nil
	})
	require.NoError(s.t, err)
	return made
}

// The store that followed a node equals the one that is made anew from bases and journal.
func TestStoreRebuiltEqualsTheOneThatFollowed(t *testing.T) {
	noLeaks(t)
	data := t.TempDir()
	s := openSite(t, data, func(c *Config) { c.TestPassivate = true }) // for the bases
	guest := s.token(2, engine.RoleCustomer)
	var mine []kept
	for i := range 3 {
		restaurant := s.trattoria(i, 2)
		for _, slot := range []string{"12:00", "20:00"} {
			got, k := s.reserve(guest, restaurant, fmt.Sprint(i, slot), slot)
			require.Equal(t, 201, got.status, "%s", got.body)
			mine = append(mine, k)
		}
	}
	got, err := s.do(request{method: "POST", path: "/reservations/" + mine[0].ID + "/cancel", token: guest})
	requireStatus(t, 200, got, err)
	require.NoError(t, json.Unmarshal(got.body, &mine[0]))
	require.Eventually(t, func() bool {
		at, err := s.store.Cursor(t.Context())
		bounds, boundsErr := s.embedded.Journal().Bounds(t.Context())
		return err == nil && boundsErr == nil && at.Seq == bounds.Last
	}, 10*time.Second, time.Millisecond)
	s.requireMine(guest, mine...)
	require.NoError(t, s.Close())

	followed := dump(t, data)
	require.Greater(t, strings.Count(followed, "\n"), 20)
	require.NoError(t, (&StoreRebuildCmd{Data: data}).Run())
	require.Equal(t, followed, dump(t, data))
}

// dump is everything in the embedded store but the cursor, which passes over heartbeats.
func dump(t *testing.T, data string) string {
	t.Helper()
	store, err := sqlite.Open(t.Context(), storePath(data))
	require.NoError(t, err)
	defer store.Close()
	return dumpOf(t, store)
}

func dumpOf(t *testing.T, store persistence.Dumper) string {
	t.Helper()
	var b, rows strings.Builder
	require.NoError(t, persistence.Dump(t.Context(), store, &b))
	for line := range strings.Lines(b.String()) {
		if !strings.HasPrefix(line, "cursor ") {
			rows.WriteString(line)
		}
	}
	return rows.String()
}

// The number of partitions is the journal's for good: a start that wants another one says so.
func TestPartitionsAreTheJournals(t *testing.T) {
	data := t.TempDir()
	s := newServer(t, data, "--partitions", "64")
	s.start()
	s.stop()
	other := newServer(t, data, "--partitions", "128")
	other.launch()
	require.Eventually(t, other.gone, readyWithin, pollEvery)
	require.Contains(t, other.said.String(), "this journal was made with 64")
	newServer(t, data).start()
}
