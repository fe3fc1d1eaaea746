package jetstream

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/engine/enginepb"
	"maitred/persistence"
)

// book writes a journal with decodable events of three restaurants, a frame for each event, and a base of the first one.
func book(t *testing.T, o Options, events int) {
	t.Helper()
	e, err := Open(t.Context(), o)
	require.NoError(t, err)
	defer func() { require.NoError(t, e.Close()) }()
	w := &rewriter{put: e.Journal().Append, name: "jrn-test", node: "n1", parts: 8}
	require.NoError(t, w.begin(t.Context()))
	for i := range events {
		id, v := restaurant(i%3), engine.Version(i/3+1)
		require.NoError(t, w.add(t.Context(), id, v, event(i)))
		require.NoError(t, w.flush(t.Context()))
		if i == 3*4 { // version 5 of restaurant 0
			_, err := e.Bases().Put(t.Context(), persistence.Base{BaseHeader: persistence.BaseHeader{ID: id, Version: v, Position: w.last}, State: []byte("state")})
			require.NoError(t, err)
		}
	}
}

func restaurant(i int) engine.AggregateID { return engine.AggregateID(fmt.Sprintf("rst_%013d", i)) }

func event(i int) []byte {
	return engine.AppendEvent(nil, &engine.Event{AtMs: int64(i), Body: &enginepb.Event_TableRemoved{TableRemoved: &enginepb.TableRemoved{TableId: fmt.Sprintf("tbl_%026d", i)}}})
}

func verify(t *testing.T, o Options, heads Heads) *Report {
	t.Helper()
	e, err := OpenForRepair(t.Context(), o)
	require.NoError(t, err)
	defer e.Close()
	r, err := Verify(t.Context(), e, heads)
	require.NoError(t, err)
	return r
}

func TestVerifyOfAWholeJournal(t *testing.T) {
	o := testOptions(t.TempDir())
	book(t, o, 30)
	r := verify(t, o, Heads{restaurant(0): 10})
	require.Empty(t, r.Findings)
	require.Equal(t, "jrn-test", r.Journal)
	require.Equal(t, []int{30, 1, 30, 1, 3}, []int{r.Frames, r.Claims, r.Events, r.Bases, r.Aggregates})
	require.EqualValues(t, 32, r.Folded)

	r = verify(t, o, Heads{restaurant(0): 11})
	require.Len(t, r.Findings, 1)
	require.Equal(t, restaurant(0), r.Findings[0].Aggregate)
}

func TestPrint(t *testing.T) {
	o := testOptions(t.TempDir())
	book(t, o, 3)
	e, err := OpenForRepair(t.Context(), o)
	require.NoError(t, err)
	defer e.Close()
	var out bytes.Buffer
	require.NoError(t, Print(t.Context(), e, &out, 0, 0))
	for _, want := range []string{"1 ", "j.ctl genesis journal=jrn-test partitions=8 node=n1", "j.w.n1 claim node=n1 by=n1 incarnation=1",
		"frame node=n1 incarnation=1 number=3 prev=4 events=1", "rst_0000000000002 v1 ", "tbl_00000000000000000000000002"} {
		require.Contains(t, out.String(), want)
	}
}

// H24: the printed ids are exactly those that lost something, and everything before the damage is in the new journal.
func TestSalvageAfterAFlippedBit(t *testing.T) {
	o := testOptions(t.TempDir())
	book(t, o, 30)
	block := onlyBlock(t, o.Dir)
	require.NoError(t, os.Remove(filepath.Join(filepath.Dir(block), "index.db")))
	edit(t, block, func(d []byte) []byte { d[len(d)/2] ^= 1; return d })
	_, err := Open(t.Context(), o)
	require.ErrorContains(t, err, "journal_regressed")

	heads := Heads{restaurant(0): 10, restaurant(1): 10, restaurant(2): 10}
	damaged := verify(t, o, heads)
	require.NotEmpty(t, damaged.Findings)
	s, err := Salvage(t.Context(), SalvageOptions{Options: o, Heads: heads, Above: 40})
	require.NoError(t, err)
	require.EqualValues(t, 41, s.First, "above every cursor")
	require.Len(t, s.Lost, 3)
	for i, l := range s.Lost {
		require.Equal(t, restaurant(i), l.Aggregate)
		require.EqualValues(t, 10, l.Known)
		require.Less(t, l.Saved, l.Known)
		require.GreaterOrEqual(t, l.Saved, engine.Version(4))
	}
	r := verify(t, o, nil)
	require.Empty(t, r.Findings)
	require.Equal(t, s.Journal, r.Journal)
	require.Equal(t, 1, r.Bases)
	require.Equal(t, int(s.Lost[0].Saved+s.Lost[1].Saved+s.Lost[2].Saved)-5, r.Events, "the base holds five")
	require.DirExists(t, s.Kept)
	openTest(t, o) // and it is served
}

// A hole in the middle that the server's index hides: what comes after it is known to be lost, by id.
func TestSalvageOfAHole(t *testing.T) {
	o := testOptions(t.TempDir())
	book(t, o, 30)
	edit(t, onlyBlock(t, o.Dir), func(d []byte) []byte { d[len(d)*3/4] ^= 1; return d })
	r := verify(t, o, nil)
	require.NotEmpty(t, r.Findings)
	s, err := Salvage(t.Context(), SalvageOptions{Options: o})
	require.NoError(t, err)
	require.Len(t, s.Lost, 1, "one record is unreadable, so one restaurant has a hole: %v", s.Lost)
	require.Equal(t, "the journal after a hole", s.Lost[0].Witness)
	require.Empty(t, verify(t, o, nil).Findings)
}

func TestAdopt(t *testing.T) {
	o := testOptions(t.TempDir())
	book(t, o, 30)
	_, err := Salvage(t.Context(), SalvageOptions{Options: o, Node: "n1", Empty: true})
	require.ErrorContains(t, err, "is not empty")

	o = testOptions(t.TempDir())
	book(t, o, 30)
	require.NoError(t, os.RemoveAll(streamDir(o.Dir, journalStream)))
	_, err = Open(t.Context(), o)
	require.ErrorContains(t, err, "journal_regressed")
	s, err := Salvage(t.Context(), SalvageOptions{Options: o, Node: "n1", Empty: true, Heads: Heads{restaurant(0): 10}})
	require.NoError(t, err)
	require.Equal(t, []Loss{{restaurant(0), 5, 10, "the store"}}, s.Lost)
	require.EqualValues(t, 33, s.First)
	require.Empty(t, verify(t, o, nil).Findings)
	openTest(t, o)
}
