package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// damage is one way to spoil a stopped data directory.
type damage struct {
	name   string
	spoil  func(t *testing.T, data string)
	repair bool // it must serve; else it must refuse
	whole  bool // nothing is lost: the journal has it
}

var damages = []damage{
	{"bit flipped in the middle of a block", flipBit, false, false},
	{"tail cut below the high-water mark", cutTail, false, false},
	{"block missing", removeBlock, false, false},
	{"journal missing beside store and bases", removeJournal, false, false},
	{"all of the embedded server's files missing", removeServer, false, false},
	{"bit flipped in the bases", flipBase, true, true},
	{"block of the bases missing", removeBases, true, true},
	{"bases missing", removeBucket, true, true},
	{"garbage appended", appendGarbage, true, true},
	{"a torn record at the end", appendTorn, true, true},
}

// TestFaultDamage spoils copies of one data directory. Either nothing is lost and it is served, or it is refused with a sentence,
// `journal verify` names what is missing, and `journal salvage` brings back the rest. It is never served with a hole.
func TestFaultDamage(t *testing.T) {
	seed := seedOf(t)
	l := newLedger(t)
	s, c := house(t, l, seed, "--test-passivate")                                           // so that there is a base of every restaurant
	for _, phase := range []time.Duration{700 * time.Millisecond, 700 * time.Millisecond} { // two lives: two claims
		ctx, cancel := context.WithTimeout(context.Background(), phase)
		c.run(ctx, s.addr)
		cancel()
		s.stop()
		s.start()
	}
	c.settleAll(t, s)
	s.stop()
	all := &tally{}
	for _, d := range damages {
		t.Run(d.name, func(t *testing.T) { spoilAndOpen(t, s, c, d) })
		all.faults++
	}
	all.print(t, l, "")
}

// settleAll leaves nothing unknown.
func (c *patrons) settleAll(t *testing.T, s *server) {
	t.Helper()
	y := &tally{}
	c.settle(s.addr, y)
	require.Zero(t, y.lost+y.doubled+y.wrong, "%v", y.details)
}

func spoilAndOpen(t *testing.T, whole *server, c *patrons, d damage) {
	data := filepath.Join(t.TempDir(), "data")
	copyTree(t, whole.data, data)
	d.spoil(t, data)
	s := newServer(t, data)
	s.launch()
	require.Eventually(t, func() bool { return s.ready() || s.gone() || s.quarantined() }, readyWithin, pollEvery, "neither served nor refused: %s", s.said.tail())
	y := &tally{}
	if s.ready() {
		c.compare(s.addr, y, 0, 1)
		require.Zero(t, y.lost+y.doubled+y.wrong, "served with a hole, and silent about it: %v", y.details)
		require.True(t, d.whole, "served, although there is something missing that nobody asked for: %s", s.said.tail())
		return
	}
	require.False(t, d.repair, "refused, although nothing is lost: %s", s.said.tail())
	require.Regexp(t, refusal, s.said.tail(), "refused without saying why")
	t.Logf("refused: %s", lastLine(s.said.String()))
	s.kill()
	bringBack(t, s, c, d.whole)
}

// quarantined tells whether the server runs and says of itself that it does not serve because of its journal.
func (s *server) quarantined() bool {
	a := newAPI(s.addr, 1)
	defer a.close()
	got, err := a.do(request{method: "GET", path: "/readyz", within: time.Second})
	return err == nil && got.status == 503 && regexp.MustCompile(`journal_regressed|quarantin`).Match(got.body)
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}

var lostID = regexp.MustCompile(`(?:rsv|rst)_[0-9a-z]+`)

// bringBack salvages what is left, and compares: a reservation is there as acknowledged, or it or its restaurant was named.
// When the damage was to the bases alone, all of them are there: the journal has every event.
func bringBack(t *testing.T, s *server, c *patrons, whole bool) {
	t.Helper()
	verified, err := s.run("journal", "verify", "--data", s.data)
	require.Error(t, err, "verify finds nothing wrong: %s", verified)
	said, err := s.run("journal", "salvage", "--data", s.data)
	require.Error(t, err, "salvage without --accept-loss did something: %s", said)
	said, err = s.run("journal", "salvage", "--data", s.data, "--accept-loss")
	if err != nil && strings.Contains(said, "name one") { // nothing is left to tell it from
		said, err = s.run("journal", "salvage", "--data", s.data, "--accept-loss", "--node", "n1")
	}
	require.NoError(t, err, "salvage: %s", said)
	rebuilt, err := s.run("store", "rebuild", "--replace", "--data", s.data)
	require.NoError(t, err, "store rebuild: %s", rebuilt)
	named := map[string]bool{}
	for _, id := range lostID.FindAllString(verified+said, -1) {
		named[id] = true
	}
	s.start()
	missing := c.missing(t, s)
	var unnamed []string
	for id, restaurant := range missing {
		if !named[id] && !named[restaurant] {
			unnamed = append(unnamed, id)
		}
	}
	sort.Strings(unnamed)
	t.Logf("missing after salvage: %d, named: %d, not named: %d", len(missing), len(named), len(unnamed))
	require.Empty(t, unnamed, "lost without having been named")
	require.False(t, whole && len(missing) > 0, "lost, although the journal had it")
	s.stop()
}

// missing is every acknowledged reservation that is gone or went back, with its restaurant.
func (c *patrons) missing(t *testing.T, s *server) map[string]string {
	t.Helper()
	a := newAPI(s.addr, 4)
	defer a.close()
	gone := map[string]string{}
	for id, b := range c.l.sample(0, 1) {
		got, err := c.read(a, b)
		require.NoError(t, err)
		var now kept
		if got.status != 200 || json.Unmarshal(got.body, &now) != nil || now.Version < b.last.Version {
			gone[id] = b.last.Restaurant
		}
	}
	return gone
}

// lastBlock is the newest block file of the journal.
func lastBlock(t *testing.T, data string) string {
	t.Helper()
	blocks, err := filepath.Glob(filepath.Join(journalDir(data), "*.blk"))
	require.NoError(t, err)
	require.NotEmpty(t, blocks)
	sort.Slice(blocks, func(i, j int) bool {
		return len(blocks[i]) < len(blocks[j]) || len(blocks[i]) == len(blocks[j]) && blocks[i] < blocks[j]
	})
	return blocks[len(blocks)-1]
}

func rewriteLast(t *testing.T, data string, change func(b []byte) []byte) {
	t.Helper()
	path := lastBlock(t, data)
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Greater(t, len(b), 64<<10, "the journal is too small to be spoiled")
	require.NoError(t, os.WriteFile(path, change(b), 0o600))
}

func flipBit(t *testing.T, data string) {
	rewriteLast(t, data, func(b []byte) []byte { b[len(b)/2] ^= 0x10; return b })
}

func cutTail(t *testing.T, data string) {
	rewriteLast(t, data, func(b []byte) []byte { return b[:len(b)/2] })
}

func appendGarbage(t *testing.T, data string) {
	rewriteLast(t, data, func(b []byte) []byte { return append(b, strings.Repeat("garbage!", 64)...) })
}

// appendTorn appends the first half of a record, as a write leaves it that was not finished.
func appendTorn(t *testing.T, data string) {
	rewriteLast(t, data, func(b []byte) []byte { return append(b, b[:100]...) })
}

func removeBlock(t *testing.T, data string) {
	require.NoError(t, os.Remove(lastBlock(t, data)))
}

func removeJournal(t *testing.T, data string) {
	require.NoError(t, os.RemoveAll(filepath.Dir(journalDir(data))))
}

// The journal still has every event: what the bases lost is not lost.

func baseDir(data string) string {
	return strings.Replace(journalDir(data), "JOURNAL", "KV_SNAP", 1)
}

func flipBase(t *testing.T, data string) {
	blocks, err := filepath.Glob(filepath.Join(baseDir(data), "*.blk"))
	require.NoError(t, err)
	require.NotEmpty(t, blocks)
	for _, path := range blocks {
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		if len(b) > 0 {
			b[len(b)/2] ^= 0x10
			require.NoError(t, os.WriteFile(path, b, 0o600))
		}
	}
}

func removeBases(t *testing.T, data string) {
	blocks, err := filepath.Glob(filepath.Join(baseDir(data), "*.blk"))
	require.NoError(t, err)
	require.NotEmpty(t, blocks)
	for _, path := range blocks {
		require.NoError(t, os.Remove(path))
	}
}

func removeBucket(t *testing.T, data string) {
	require.NoError(t, os.RemoveAll(filepath.Dir(baseDir(data))))
}

func removeServer(t *testing.T, data string) {
	require.NoError(t, os.RemoveAll(filepath.Join(data, "jetstream")))
}

// TestFaultTwoProcesses starts a second process on a directory in use. It must end at once with a sentence, and the first must
// not notice.
func TestFaultTwoProcesses(t *testing.T) {
	seed, y, l := seedOf(t), &tally{}, newLedger(t)
	s, c := house(t, l, seed)
	stop := under(s, c)
	served(t, s, c, readyWithin)
	for range times(t, 3, "MAITRED_SECONDS", 10) {
		second := newServer(t, s.data)
		begun := time.Now()
		second.launch()
		code := second.waitExit(5 * time.Second)
		require.NotZero(t, code, "the second process says that all is well")
		require.Regexp(t, `in use|held by`, second.said.String(), "no sentence after %v", time.Since(begun))
		require.NotContains(t, second.said.String(), "panic", "a sentence, not a stack")
		y.faults++
		served(t, s, c, 5*time.Second)
	}
	stop()
	n := l.count()
	require.Zero(t, n[unknown]+n[notDone], "the first process noticed")
	aftermath(t, s, c, y)
	y.print(t, l, "")
}
