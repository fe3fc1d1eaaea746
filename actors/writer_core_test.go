package actors

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/persistence"
)

const testID = engine.AggregateID("rst_0000000000001")

// served is a core that serves one partition under custody 7.
func served(t *testing.T) *core {
	c := newCore("n1", "jrn_test")
	out := c.begin(moment{wall: 1000}, persistence.SlotState{}, 1, nil)
	require.Equal(t, effectAppend, out[0].kind)
	out = c.acked(moment{}, 7, nil)
	require.Equal(t, []effect{{kind: effectFoldTo, seq: 7}}, out)
	require.Empty(t, c.claimed(persistence.SlotState{Incarnation: c.claimInc, Seq: 7}, []persistence.Seq{7}, nil))
	require.True(t, c.serving())
	c.enqueue(entry{kind: entryOpened, id: testID, stands: 3}, nil)
	return c
}

func event(first engine.Version, n, bytes int) entry {
	e := entry{id: testID, since: 7, first: first, stands: first + engine.Version(n) - 1}
	for range n {
		b := make([]byte, bytes)
		e.events = append(e.events, b)
		e.bytes += persistence.EventBytes(testID, b)
	}
	return e
}

func kinds(out []effect) []effectKind {
	var ks []effectKind
	for _, e := range out {
		ks = append(ks, e.kind)
	}
	return ks
}

func TestCoreOrdersViewsRepliesSinks(t *testing.T) {
	c := served(t)
	require.Empty(t, c.enqueue(event(4, 2, 10), nil))
	require.Empty(t, c.enqueue(entry{id: testID, stands: 5}, nil)) // a refusal that stands on the events
	out := c.next(moment{}, nil)
	require.Equal(t, []effectKind{effectAppend}, kinds(out))
	require.EqualValues(t, 7, out[0].expect)
	require.Empty(t, c.next(moment{boot: time.Hour}, nil), "one frame in flight")
	out = c.acked(moment{boot: time.Second}, 9, nil)
	require.Equal(t, []effectKind{effectDurable, effectReply, effectPublish}, kinds(out))
	require.Len(t, out[1].entries, 2)
	require.Equal(t, LeaseTime, c.lease, "the lease counts from the send")
	require.Empty(t, c.enqueue(entry{id: testID, stands: 5}, nil))
	require.Equal(t, []effectKind{effectReply}, kinds(c.next(moment{}, nil)), "what stands on a durable version leaves alone")
}

func TestCoreRefusesWhatBreaksTheRules(t *testing.T) {
	for name, spoil := range map[string]func(*entry){
		"version gap":      func(e *entry) { e.first++; e.stands++ },
		"version again":    func(e *entry) { e.first--; e.stands-- },
		"old custody":      func(e *entry) { e.since = 6 },
		"not ours":         func(e *entry) { e.partition = 1 },
		"nobody opened it": func(e *entry) { e.id = "rst_0000000000002" },
		"answer too early": func(e *entry) { e.events = nil; e.stands = 9 },
	} {
		c := served(t)
		e := event(4, 1, 10)
		spoil(&e)
		out := c.enqueue(e, nil)
		require.Len(t, out, 1, name)
		require.ErrorIs(t, out[0].err, errRefused, name)
		require.Empty(t, c.queue, name)
	}
}

func TestCorePacksWholeCommandsUpToAFrame(t *testing.T) {
	c := served(t)
	v := engine.Version(4)
	for range 20 {
		require.Empty(t, c.enqueue(event(v, 2, 15<<10), nil))
		v += 2
	}
	seq, frames, next := persistence.Seq(8), 0, engine.Version(4)
	for !c.idle() {
		out := c.next(moment{}, nil)
		require.LessOrEqual(t, len(out[0].data), persistence.MaxFrameBytes)
		rec, err := persistence.Decode(slices.Clone(out[0].data))
		require.NoError(t, err)
		require.Zero(t, len(rec.(*persistence.Frame).Events)%2)
		for _, x := range rec.(*persistence.Frame).Index {
			require.Equal(t, next, x.Version)
			next++
		}
		c.acked(moment{}, seq, nil)
		seq++
		frames++
	}
	require.Equal(t, v, next)
	require.Equal(t, 3, frames)
}

func TestCoreClaimsWithTheSameExpectation(t *testing.T) {
	c := served(t)
	c.enqueue(event(4, 1, 10), nil)
	first := c.next(moment{}, nil)[0]
	data := slices.Clone(first.data)
	out := c.failed(moment{boot: time.Second}, persistence.ErrUnknown, nil)
	require.False(t, c.serving())
	require.Equal(t, data, out[0].data)
	require.Equal(t, first.expect, out[0].expect)
	d := c.Clone()
	out = c.failed(moment{boot: time.Second + retryFor}, persistence.ErrUnknown, nil)
	rec, err := persistence.Decode(out[0].data)
	require.NoError(t, err)
	require.IsType(t, &persistence.Claim{}, rec)
	require.Equal(t, first.expect, out[0].expect)

	// The frame had the place: the Claim goes on top of it, and the fold decides.
	require.Equal(t, effectReadLast, c.failed(moment{}, persistence.ErrConflict, nil)[0].kind)
	require.Equal(t, out[0].expect, c.lastRead(moment{}, nil, nil)[0].expect, "nothing is concluded from an empty answer")
	out = c.lastRead(moment{}, &persistence.Entry{Seq: 9, Data: data}, nil)
	require.EqualValues(t, 9, out[0].expect)
	c.acked(moment{}, 11, nil)
	c.folded(9, persistence.HashOf(data))
	out = c.claimed(persistence.SlotState{Incarnation: c.claimInc, Seq: 11}, []persistence.Seq{11}, nil)
	require.Equal(t, []effectKind{effectDurable, effectReply, effectPublish}, kinds(out))
	require.NoError(t, out[1].err)

	// The clone had another fate: its place was taken by the Claim.
	out = d.failed(moment{boot: time.Hour}, persistence.ErrFull, nil)
	d.acked(moment{}, 9, nil)
	require.EqualValues(t, 7, out[0].expect)
	out = d.claimed(persistence.SlotState{Incarnation: d.claimInc, Seq: 9}, []persistence.Seq{9}, nil)
	require.Equal(t, []effectKind{effectReply}, kinds(out))
	require.ErrorIs(t, out[0].err, ErrUnavailable)
}

func TestCoreSendsHeartbeats(t *testing.T) {
	c := served(t)
	require.Empty(t, c.next(moment{boot: HeartbeatEvery - 1}, nil))
	require.Equal(t, []effectKind{effectAppend}, kinds(c.next(moment{boot: HeartbeatEvery}, nil)))
	require.Empty(t, c.flight)
}

// A refusal that waits behind a slow append may be told that the outcome is unknown. When it is durable later it is settled,
// not answered again: its caller has gone, and its credit must come back once.
func TestCoreSettlesWhoWasToldBefore(t *testing.T) {
	c := served(t)
	c.enqueue(event(4, 1, 10), nil)
	c.next(moment{}, nil)
	c.enqueue(entry{id: testID, stands: 4, deadline: 500}, nil)
	require.Equal(t, []effectKind{effectExpire}, kinds(c.expire(1000, nil)))
	c.acked(moment{}, 9, nil)
	out := c.next(moment{}, nil)
	require.Equal(t, []effectKind{effectSettle}, kinds(out))
	require.Len(t, out[0].entries, 1)
}
