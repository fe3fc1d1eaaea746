package engine_test

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/engine/enginetest"
)

var update = flag.Bool("update", false, "write the golden files anew; only new files may come, old journals are replayed for ever")

// goldenStream is a fixed history with every event of a restaurant.
func goldenStream() (events [][]byte, base []byte) {
	s := enginetest.NewStream(rand.New(rand.NewPCG(186, 0)), 3)
	a := engine.NewAggregate(engine.AggregateID(s.ID))
	for range 900 {
		now, cmd := s.Next()
		out, list := a.Decide(now, cmd)
		s.Saw(out)
		for _, e := range list {
			a.Apply(e)
			events = append(events, engine.AppendEvent(nil, e))
		}
	}
	return events, a.AppendBase(nil)
}

// goldens are the histories that older builds wrote, the newest last, with the kinds of event in each.
var goldens = []struct {
	name  string
	kinds int
}{{"restaurant-1", 8}, {"restaurant-2", 11}, {"restaurant-3", 16}}

// TestGolden replays what older builds wrote: the events give the base, byte for byte, and each is encoded as it was (I12).
func TestGolden(t *testing.T) {
	dir := filepath.Join("testdata", "golden")
	newest := filepath.Join(dir, goldens[len(goldens)-1].name)
	if _, err := os.Stat(newest + ".events"); *update && os.IsNotExist(err) { // what was written once is never written anew
		events, base := goldenStream()
		var b strings.Builder
		for _, e := range events {
			fmt.Fprintf(&b, "%x\n", e)
		}
		require.NoError(t, os.WriteFile(newest+".events", []byte(b.String()), 0o644))
		require.NoError(t, os.WriteFile(newest+".base", fmt.Appendf(nil, "%x\n", base), 0o644))
	}
	for _, g := range goldens {
		t.Run(g.name, func(t *testing.T) { replayGolden(t, filepath.Join(dir, g.name), g.kinds) })
	}
}

func replayGolden(t *testing.T, file string, want int) {
	text, err := os.ReadFile(file + ".events")
	require.NoError(t, err)
	var a engine.Aggregate
	kinds := map[string]bool{}
	for _, line := range strings.Fields(string(text)) {
		raw := unhex(t, line)
		e, err := engine.DecodeEvent(raw)
		require.NoError(t, err)
		require.Equal(t, raw, engine.AppendEvent(nil, e), "the encoding is canonical")
		kinds[fmt.Sprintf("%T", e.Body)] = true
		if a == nil {
			a = engine.NewAggregate(engine.AggregateID(e.GetRestaurantCreated().Restaurant.Id))
		}
		a.Apply(e)
	}
	require.Len(t, kinds, want, "every event of a restaurant is there: %v", kinds)
	text, err = os.ReadFile(file + ".base")
	require.NoError(t, err)
	require.Equal(t, strings.TrimSpace(string(text)), fmt.Sprintf("%x", a.AppendBase(nil)))
	require.NoError(t, engine.CheckInvariants(a))
}

func unhex(t *testing.T, s string) []byte {
	var b []byte
	_, err := fmt.Sscanf(s, "%x", &b)
	require.NoError(t, err)
	return b
}

// TestCodeNumbers: numbers and names are stored and shown; neither changes.
func TestCodeNumbers(t *testing.T) {
	names := strings.Fields(`ok created idempotency_key_reused not_found forbidden unauthorized exists stale invalid_transition invalid
		closed too_late too_early not_on_grid party_too_large slot_unavailable in_use limit_reached paused pacing_limit`)
	require.Len(t, names, engine.CodeCount)
	for n, name := range names {
		require.Equal(t, name, engine.Code(n).String())
	}
	for s := engine.Status(1); s < 10; s++ {
		back, ok := engine.ParseStatus(engine.StatusName(s))
		require.True(t, ok)
		require.Equal(t, s, back)
	}
	for a := engine.ActionCancel; a <= engine.ActionRelease; a++ {
		back, ok := engine.ParseAction(engine.ActionName(a))
		require.True(t, ok)
		require.Equal(t, a, back)
	}
}

func TestIDs(t *testing.T) {
	require.EqualValues(t, "rst_fzzzzzzzzzzzz", engine.MakeRestaurantID(1<<64-1))
	require.EqualValues(t, "usr_7zzzzzzzzzzzzzzzzzzzzzzzzz", engine.MakeAccountID([16]byte(bytes.Repeat([]byte{255}, 16))))
	r := engine.MakeRestaurantID(12345)
	for _, id := range []string{
		string(engine.MakeTableID(r, 7)), string(engine.MakeReservationID(r, 1<<63)), string(r),
		string(engine.MakeReviewID(r, 9)),
	} {
		got, ok := engine.RestaurantOf(id)
		require.True(t, ok, id)
		require.Equal(t, r, got)
		for _, bad := range []string{id + "0", id[:len(id)-1], "x" + id[1:], id[:len(id)-1] + "u", strings.ToUpper(id), id[:4] + "z" + id[5:]} {
			_, ok := engine.RestaurantOf(bad)
			require.False(t, ok, bad)
		}
	}
	require.True(t, engine.IsAccountID(string(engine.MakeAccountID([16]byte{1}))))
	require.False(t, engine.IsAccountID("usr_8zzzzzzzzzzzzzzzzzzzzzzzzz"))
}

func FuzzDecodeEvent(f *testing.F) {
	events, _ := goldenStream()
	for _, e := range events[:20] {
		f.Add(e)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		kept := bytes.Clone(b)
		e, err := engine.DecodeEvent(b)
		if err != nil {
			require.ErrorIs(t, err, engine.ErrEvent)
			return
		}
		once := engine.AppendEvent(nil, e)
		for i := range b {
			b[i] ^= 0xff // no reference to the input is kept
		}
		require.Equal(t, once, engine.AppendEvent(nil, e))
		again, err := engine.DecodeEvent(once)
		require.NoError(t, err, "%x", kept)
		require.Equal(t, once, engine.AppendEvent(nil, again))
	})
}

func FuzzOpenBase(f *testing.F) {
	_, base := goldenStream()
	s := enginetest.NewStream(rand.New(rand.NewPCG(186, 0)), 3)
	f.Add(base)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := engine.OpenBase(engine.AggregateID(s.ID), b)
		if err != nil {
			require.ErrorIs(t, err, engine.ErrBase)
			return
		}
		again, err := engine.OpenBase(engine.AggregateID(s.ID), a.AppendBase(nil))
		require.NoError(t, err)
		require.Equal(t, a.Digest(), again.Digest(), "I12")
	})
}

// FuzzCommands lets the fuzzer choose what a stream draws.
func FuzzCommands(f *testing.F) {
	f.Add([]byte("the quick brown fox jumps over the lazy dog, twice a day and thrice on Sundays"))
	f.Fuzz(func(t *testing.T, draws []byte) {
		src := &bytesSource{draws: draws}
		s := enginetest.NewStream(src, 1)
		a := engine.NewAggregate(engine.AggregateID(s.ID))
		dumb := &enginetest.Book{ID: s.ID}
		for n := 0; len(src.draws) > 0 && n < 60; n++ {
			now, cmd := s.Next()
			want := dumb.Do(now, cmd)
			got, events := a.Decide(now, cmd)
			require.Equal(t, want, got)
			s.Saw(got)
			for _, e := range events {
				a.Apply(e)
			}
		}
		require.NoError(t, engine.CheckInvariants(a))
	})
}

type bytesSource struct{ draws []byte }

func (b *bytesSource) IntN(n int) int {
	v := 0
	for range 2 {
		if len(b.draws) > 0 {
			v, b.draws = v<<8|int(b.draws[0]), b.draws[1:]
		}
	}
	return v % n
}
