package jetstream

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"maitred/persistence"
)

// fill appends n records to the slot of n1 in an own life of the server, and returns after the high-water mark was written.
func fill(t *testing.T, o Options, n int) {
	t.Helper()
	e, err := Open(t.Context(), o)
	require.NoError(t, err)
	defer func() { require.NoError(t, e.Close()) }()
	b, err := e.Journal().Bounds(t.Context())
	require.NoError(t, err)
	for last := b.Last; n > 0; n-- {
		last, err = e.Journal().Append(t.Context(), persistence.SlotSubject("n1"), fmt.Appendf(nil, "record after %d %0200d", last, n), last)
		require.NoError(t, err)
	}
}

func onlyBlock(t *testing.T, dir string) string {
	t.Helper()
	blocks, err := blockFiles(filepath.Join(streamDir(dir, journalStream), "msgs"))
	require.NoError(t, err)
	require.Len(t, blocks, 1)
	return blocks[0]
}

func edit(t *testing.T, path string, change func([]byte) []byte) {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, change(data), 0o600))
}

// F15: what happens to the files while nobody looks is never served in silence.
func TestDamagedBlocks(t *testing.T) {
	const records = 55
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, block string)
		says   map[string]string // nil: nothing is lost
	}{
		{"garbage appended", func(t *testing.T, b string) {
			edit(t, b, func(d []byte) []byte { return append(d, "\x07garbage\x00\x01\x02 at the end"...) })
		}, nil},
		{"tail cut", func(t *testing.T, b string) { edit(t, b, func(d []byte) []byte { return d[:len(d)-100] }) },
			map[string]string{"clean": "record 55 is not readable", "killed": "at least records 55 to 55 are missing"}},
		{"half cut", func(t *testing.T, b string) { edit(t, b, func(d []byte) []byte { return d[:len(d)/2] }) },
			map[string]string{"clean": "record 55 is not readable", "killed": "at least records 28 to 55 are missing"}},
		{"one bit in the middle", func(t *testing.T, b string) {
			edit(t, b, func(d []byte) []byte { d[len(d)/2] ^= 1; return d })
		}, map[string]string{"clean": "record 28 is missing", "killed": "at least records 28 to 55 are missing"}},
		{"block removed", func(t *testing.T, b string) { require.NoError(t, os.Remove(b)) },
			map[string]string{"clean": "records 1 to 55 are missing and were not purged", "killed": "at least records 1 to 55 are missing"}},
	} {
		for _, stop := range []string{"clean", "killed"} {
			t.Run(c.name+"/"+stop, func(t *testing.T) {
				o := testOptions(t.TempDir())
				fill(t, o, records)
				block := onlyBlock(t, o.Dir)
				if stop == "killed" { // without its index the server reads the blocks
					require.NoError(t, os.Remove(filepath.Join(filepath.Dir(block), "index.db")))
				}
				c.damage(t, block)
				err := openAndRead(t, o, records)
				if c.says == nil {
					require.NoError(t, err)
					return
				}
				require.ErrorContains(t, err, c.says[stop])
			})
		}
	}
}

// A journal whose first block is gone is whole in itself. Only what was told before each purge shows that records are missing.
func TestFirstBlockRemoved(t *testing.T) {
	o := testOptions(t.TempDir())
	e, err := Open(t.Context(), o)
	require.NoError(t, err)
	var last persistence.Seq
	for range 20 {
		last, err = e.Journal().Append(t.Context(), "j.w.n1", make([]byte, 500<<10), last)
		require.NoError(t, err)
	}
	require.NoError(t, e.Journal().Purge(t.Context(), 3))
	require.NoError(t, e.Close())
	require.NoError(t, openAndRead(t, o, 20), "a purge is no loss")

	msgs := filepath.Join(streamDir(o.Dir, journalStream), "msgs")
	blocks, err := blockFiles(msgs)
	require.NoError(t, err)
	require.Len(t, blocks, 2)
	require.NoError(t, os.Remove(blocks[0]))
	require.NoError(t, os.Remove(filepath.Join(msgs, "index.db")))
	_, err = Open(t.Context(), o)
	require.ErrorContains(t, err, "records 3 to ")
	require.ErrorContains(t, err, "were not purged")
}

// Records are never deleted singly, so a count that is not last − first + 1 is a loss.
func TestMiddleBlockRemoved(t *testing.T) {
	o := testOptions(t.TempDir())
	e, err := Open(t.Context(), o)
	require.NoError(t, err)
	var last persistence.Seq
	for range 36 {
		last, err = e.Journal().Append(t.Context(), "j.w.n1", make([]byte, 500<<10), last)
		require.NoError(t, err)
	}
	require.NoError(t, e.Close())
	msgs := filepath.Join(streamDir(o.Dir, journalStream), "msgs")
	blocks, err := blockFiles(msgs)
	require.NoError(t, err)
	require.Len(t, blocks, 3)
	require.NoError(t, os.Remove(blocks[1]))
	require.NoError(t, os.Remove(filepath.Join(msgs, "index.db")))
	_, err = Open(t.Context(), o)
	require.ErrorContains(t, err, "of 36 records are left")
	r := verify(t, o, nil)
	require.NotEmpty(t, r.Findings)
	require.Contains(t, fmt.Sprint(r.Findings), "are missing or unreadable")
}

// openAndRead is what every start does: open, then read everything.
func openAndRead(t *testing.T, o Options, records persistence.Seq) error {
	t.Helper()
	e, err := Open(t.Context(), o)
	if err != nil {
		require.ErrorContains(t, err, "journal_regressed")
		return err
	}
	defer e.Close()
	b, err := e.Journal().Bounds(t.Context())
	require.NoError(t, err)
	require.Equal(t, records, b.Last)
	return e.Journal().Read(t.Context(), b.First, b.Last, func(e persistence.Entry) error { return nil })
}

// A journal whose last record is another one than was acknowledged is refused although it is long enough.
func TestAnotherRecordAtTheHighWaterMark(t *testing.T) {
	o := testOptions(t.TempDir())
	fill(t, o, 5)
	mark, err := ReadHighWater(o.Dir)
	require.NoError(t, err)
	require.EqualValues(t, 5, mark.Seq)
	mark.Hash = "00" + mark.Hash[2:]
	data, err := json.Marshal(mark)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(o.Dir, hwmFile), data, 0o600))
	_, err = Open(t.Context(), o)
	var regressed *RegressedError
	require.ErrorAs(t, err, &regressed)
	require.ErrorContains(t, err, "record 5 is another one")
}

func TestEmptyJournalBesideBases(t *testing.T) {
	o := testOptions(t.TempDir())
	e, err := Open(t.Context(), o)
	require.NoError(t, err)
	_, err = e.Bases().Put(t.Context(), persistence.Base{BaseHeader: persistence.BaseHeader{ID: "rst_0000000000001", Version: 3}, State: []byte("x")})
	require.NoError(t, err)
	require.NoError(t, e.Close())
	_, err = Open(t.Context(), o)
	require.ErrorContains(t, err, "empty beside 1 bases")
}

func TestBaseBeyondTheJournal(t *testing.T) {
	o := testOptions(t.TempDir())
	e, err := Open(t.Context(), o)
	require.NoError(t, err)
	_, err = e.Bases().Put(t.Context(), persistence.Base{BaseHeader: persistence.BaseHeader{ID: "rst_0000000000001", Version: 3, Position: 9}, State: []byte("x")})
	require.NoError(t, err)
	require.NoError(t, e.Close())
	_, err = Open(t.Context(), o)
	var regressed *RegressedError
	require.ErrorAs(t, err, &regressed)
	require.ErrorContains(t, err, "empty beside 1 bases")
}

func TestTwoOpensOfOneDirectory(t *testing.T) {
	o := testOptions(t.TempDir())
	e := openTest(t, o)
	_, err := Open(t.Context(), o)
	require.ErrorIs(t, err, ErrLocked)
	require.ErrorContains(t, err, fmt.Sprintf("%s is held by process %d", o.Dir, os.Getpid()))
	_, err = e.Journal().Append(t.Context(), "j.w.n1", []byte("x"), 0) // the first did not notice
	require.NoError(t, err)
}

const holdDirEnv = "JETSTREAM_TEST_HOLD_DIR"

// H6: a second process exits at once with a sentence; after kill -9 of the first nothing has to be cleaned up.
func TestTwoProcessesOnOneDirectory(t *testing.T) {
	o := testOptions(t.TempDir())
	cmd := exec.Command(os.Args[0], "-test.run", "^TestHoldDirectory$", "-test.v")
	cmd.Env = append(os.Environ(), holdDirEnv+"="+o.Dir)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	defer in.Close()
	require.NoError(t, cmd.Start())
	scanner := bufio.NewScanner(out)
	for held := false; !held; held = scanner.Text() == "held" {
		require.True(t, scanner.Scan(), "the other process ended early")
	}
	_, err = Open(t.Context(), o)
	require.ErrorIs(t, err, ErrLocked)
	require.ErrorContains(t, err, fmt.Sprint(cmd.Process.Pid))
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	b, err := openTest(t, o).Journal().Bounds(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, b.Last)
}

// TestHoldDirectory is the other process of TestTwoProcessesOnOneDirectory. It ends with its standard input.
func TestHoldDirectory(t *testing.T) {
	dir := os.Getenv(holdDirEnv)
	if dir == "" {
		t.Skip("runs as the child of another test")
	}
	e := openTest(t, testOptions(dir))
	_, err := e.Journal().Append(t.Context(), "j.w.n1", []byte("x"), 0)
	require.NoError(t, err)
	fmt.Println("\nheld")
	_, _ = bufio.NewReader(os.Stdin).ReadByte()
}

// Negative control: a server that acknowledges before it fsyncs is not served from.
func TestLazySyncIsRefused(t *testing.T) {
	o := testOptions(t.TempDir())
	o.Unsafe.LazySync = true
	_, err := Open(t.Context(), o)
	require.ErrorContains(t, err, "sync is not always")
}

func TestTmpfsIsRefused(t *testing.T) {
	dir, err := os.MkdirTemp("/dev/shm", "journal")
	if err != nil {
		t.Skip("no tmpfs at /dev/shm:", err)
	}
	defer os.RemoveAll(dir)
	o := testOptions(dir)
	o.Unsafe.AnyFS = false
	_, err = Open(t.Context(), o)
	require.ErrorContains(t, err, "lies on tmpfs")
}

// Each setting that would lose a reservation is named by the assertion.
func TestStreamSettingsAreAsserted(t *testing.T) {
	o := testOptions(t.TempDir())
	e := openTest(t, o)
	js := e.now.Load().js
	for name, spoil := range map[string]func(*jetstream.StreamConfig){
		"discard":              func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld },
		"max_msgs_per_subject": func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 100 },
		"max_age":              func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour },
		"max_msg_size":         func(c *jetstream.StreamConfig) { c.MaxMsgSize = 1 << 20 },
		"no_ack":               func(c *jetstream.StreamConfig) { c.NoAck = true },
	} {
		cfg := e.now.Load().journal.CachedInfo().Config
		spoil(&cfg)
		_, err := js.UpdateStream(t.Context(), cfg)
		require.NoError(t, err, name)
		_, err = openStream(t.Context(), js, journalConfig(e.opts), false, true)
		require.ErrorContains(t, err, name)
		_, err = js.UpdateStream(t.Context(), e.now.Load().journal.CachedInfo().Config)
		require.NoError(t, err)
	}
	_, err := openStream(t.Context(), js, journalConfig(e.opts), false, true)
	require.NoError(t, err)
}

// A journal of before direct gets gets them when it is opened; bases must never have them.
func TestDirectGetsAreOfTheJournalOnly(t *testing.T) {
	o := testOptions(t.TempDir())
	e := openTest(t, o)
	js := e.now.Load().js
	cfg := e.now.Load().journal.CachedInfo().Config
	cfg.AllowDirect = false
	_, err := js.UpdateStream(t.Context(), cfg)
	require.NoError(t, err)
	s, err := openStream(t.Context(), js, journalConfig(e.opts), false, true)
	require.NoError(t, err)
	require.True(t, s.CachedInfo().Config.AllowDirect)

	cfg = e.now.Load().bases.CachedInfo().Config
	cfg.AllowDirect = true
	_, err = js.UpdateStream(t.Context(), cfg)
	require.NoError(t, err)
	_, err = openStream(t.Context(), js, baseConfig(e.opts), false, true)
	require.ErrorContains(t, err, "allow_direct is true, must be false")
}

// H8: after a write error the last blocks get new pages, and the marker goes.
func TestLastBlocksAreRewrittenAfterAWriteError(t *testing.T) {
	o := testOptions(t.TempDir())
	fill(t, o, 10)
	block := onlyBlock(t, o.Dir)
	before, err := os.Stat(block)
	require.NoError(t, err)
	require.NoError(t, hardenTail(o.Dir))
	same, err := os.Stat(block)
	require.NoError(t, err)
	require.True(t, os.SameFile(before, same), "rewritten although nothing was wrong")

	require.NoError(t, markUnsound(o.Dir))
	require.NoError(t, hardenTail(o.Dir))
	after, err := os.Stat(block)
	require.NoError(t, err)
	require.False(t, os.SameFile(before, after), "still the old file")
	require.NoFileExists(t, filepath.Join(o.Dir, unsoundFile))
	fill(t, o, 1)
}

func TestNothingIsSentWithoutSpace(t *testing.T) {
	o := testOptions(t.TempDir())
	o.MinFree = 1 << 60
	_, err := openTest(t, o).Journal().Append(t.Context(), "j.w.n1", []byte("x"), 0)
	require.ErrorIs(t, err, persistence.ErrFull)
}

func TestClosed(t *testing.T) {
	e := openTest(t, testOptions(t.TempDir()))
	require.NoError(t, e.Close())
	require.NoError(t, e.Close())
	_, err := e.Journal().Append(t.Context(), "j.w.n1", []byte("x"), 0)
	require.ErrorIs(t, err, persistence.ErrClosed)
}

// The error of a ctx that is over comes as unknown: the record may be stored.
func TestAppendHonoursItsContext(t *testing.T) {
	e := openTest(t, testOptions(t.TempDir()))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := e.Journal().Append(ctx, "j.w.n1", []byte("x"), 0)
	require.ErrorIs(t, err, persistence.ErrUnknown)
	require.True(t, errors.Is(err, context.Canceled))
}
