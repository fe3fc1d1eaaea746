package jetstream

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"maitred/persistence"
)

// smallDisk mounts a volume of size. Without root the test is skipped by name, and fails where CI=true promises root.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size)
	if errors.Is(err, unix.EPERM) {
		if os.Getenv("CI") == "true" {
			t.Fatalf("SKIPPED-NO-ROOT %s: CI must be able to mount", t.Name())
		}
		t.Skipf("SKIPPED-NO-ROOT %s: cannot mount a small volume", t.Name())
	}
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, 0)) })
	return dir
}

// F14: the volume is full, then it is not. Nothing acknowledged is lost, and nobody has to do anything.
func TestDiskFullThenFreed(t *testing.T) {
	dir := smallDisk(t, "6m")
	ballast := filepath.Join(dir, "ballast")
	require.NoError(t, os.WriteFile(ballast, make([]byte, 3<<20), 0o600))
	var logged bytes.Buffer
	o := testOptions(dir)
	o.Logger = slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelWarn}))
	e := openTest(t, o)
	j := e.Journal()

	var last persistence.Seq
	var err error
	acked := map[persistence.Seq]int{}
	for i := 0; err == nil && i < 200; i++ {
		var seq persistence.Seq
		if seq, err = j.Append(t.Context(), "j.w.n1", bytes.Repeat([]byte{byte(i)}, 100<<10), last); err == nil {
			last = seq
			acked[seq] = i
		}
	}
	require.ErrorIs(t, err, persistence.ErrUnknown, "no answer is not a refusal")
	require.NotEmpty(t, acked)
	t.Cleanup(func() { t.Log(logged.String()) })
	require.Eventually(t, func() bool { return e.Health().Restarts > 0 || !e.Health().Serving }, 10*time.Second, 20*time.Millisecond, "the write error was not seen")

	freed := time.Now()
	require.NoError(t, os.Remove(ballast))
	var seq persistence.Seq
	require.Eventually(t, func() bool {
		if seq, err = j.Append(t.Context(), "j.w.n1", []byte("after"), last); err == nil {
			return true
		}
		if e, lastErr := j.Last(t.Context(), "j.w.n1"); lastErr == nil && e.Seq > last {
			last = e.Seq // the unanswered one was stored after all
		}
		return false
	}, 30*time.Second, 50*time.Millisecond, "no append succeeds")
	t.Logf("appends work %s after the space was freed, %d restarts", time.Since(freed).Round(time.Millisecond), e.Health().Restarts)
	require.NotZero(t, e.Health().Restarts)
	require.NoFileExists(t, filepath.Join(dir, unsoundFile))

	for s, i := range acked {
		entry, err := j.Get(t.Context(), s)
		require.NoError(t, err)
		require.Equal(t, bytes.Repeat([]byte{byte(i)}, 100<<10), entry.Data, "acknowledged record %d", s)
	}
	require.NoError(t, j.Read(t.Context(), 1, seq, func(persistence.Entry) error { return nil }))
	require.NoError(t, e.Close())
	openTest(t, o)
}

// The limit of the stream answers with an honest refusal long before the volume is full, and Pressure tells before that.
func TestPressure(t *testing.T) {
	o := testOptions(t.TempDir())
	o.MaxBytes = 1 << 20
	e := openTest(t, o)
	j := e.Journal()
	require.Less(t, e.Pressure(), 0.01)
	var last persistence.Seq
	var err error
	seen := map[string]bool{}
	for err == nil {
		var seq persistence.Seq
		if seq, err = j.Append(t.Context(), "j.w.n1", make([]byte, 64<<10), last); err == nil {
			last = seq
			require.NoError(t, e.watch.look(t.Context()))
			p := e.Pressure()
			seen["alarm"] = seen["alarm"] || p >= AlarmAt && p < StopAt
			seen["stop"] = seen["stop"] || p >= StopAt
		}
	}
	require.ErrorIs(t, err, persistence.ErrFull)
	require.Equal(t, map[string]bool{"alarm": true, "stop": true}, seen)
	require.NoError(t, e.Close())

	small := o
	small.MaxBytes = 512 << 10
	_, err = Open(t.Context(), small)
	require.ErrorContains(t, err, "would be below that")

	o.MaxBytes = 2 << 20 // an operator gives it more
	e = openTest(t, o)
	_, err = e.Journal().Append(t.Context(), "j.w.n1", make([]byte, 64<<10), last)
	require.NoError(t, err)
	require.NoError(t, e.Close())

	o.MaxBytes = 0 // nobody says anything: it stays
	b, err := openTest(t, o).Journal().Bounds(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 2<<20, b.MaxBytes)
}

func TestVolumePressure(t *testing.T) {
	for _, c := range []struct {
		own    uint64
		usable int64
		want   float64
	}{{0, 1 << 30, 0}, {1 << 20, 0, 1}, {0, -5, 1}, {9, 1, 0.9}, {1, 1, 0.5}} {
		require.InDelta(t, c.want, volumePressure(c.own, c.usable), 1e-9, "%+v", c)
	}
}

// A server that says it is well and answers no append is restarted, behind the same Journal.
func TestSilentServerIsRestarted(t *testing.T) {
	o := testOptions(t.TempDir())
	o.Unsafe.NoWatchdog = true
	e := openTest(t, o)
	last, err := e.Journal().Append(t.Context(), "j.w.n1", []byte("before"), 0)
	require.NoError(t, err)
	for range silentAppends {
		require.Empty(t, e.watch.dead())
		e.watch.appended(errNoAck)
	}
	require.Empty(t, e.watch.dead(), "not for long enough")
	e.watch.silentSince.Store(time.Now().Add(-silentFor).UnixNano())
	reason := e.watch.dead()
	require.Contains(t, reason, "5 appends without an answer")
	e.watch.restart(t.Context(), reason)
	require.Empty(t, e.watch.dead())
	_, err = e.Journal().Append(t.Context(), "j.w.n1", []byte("after"), last)
	require.NoError(t, err)
	require.Equal(t, 1, e.Health().Restarts)

	e.watch.appended(errNoAck)
	e.watch.appended(nil)
	require.Zero(t, e.watch.silent.Load(), "an answer ends the silence")
}
