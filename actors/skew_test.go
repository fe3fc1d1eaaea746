package actors

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/persistence"
)

func TestSkewIsAgainstTheMedianOfTheOthers(t *testing.T) {
	const hour = time.Hour
	for _, c := range []struct {
		own    time.Duration
		others []time.Duration
		want   time.Duration
	}{
		{0, []time.Duration{0, 0}, 0},
		{hour, []time.Duration{0, 0}, hour},
		{-hour, []time.Duration{time.Second, 0, 0}, -hour},
		{0, []time.Duration{0, hour}, 0}, // of three, another's is wrong
		{0, []time.Duration{hour, 0, 0, -hour}, 0},
		{0, []time.Duration{hour}, -hour}, // of two nobody knows whose
		{0, []time.Duration{hour, hour}, -hour},
	} {
		got, ok := skewOf(c.own, c.others)
		require.True(t, ok)
		require.Equal(t, c.want, got, "%v among %v", c.own, c.others)
	}
	_, ok := skewOf(0, nil)
	require.False(t, ok)
}

// A late reading does not move a clock; one that was set back is believed after a while.
func TestAClockIsItsBestReading(t *testing.T) {
	var c clock
	at := time.Hour
	c.read((10 * time.Hour).Milliseconds(), at)
	require.Equal(t, 9*time.Hour, c.ahead)
	c.read((10 * time.Hour).Milliseconds(), at+5*time.Second)
	require.Equal(t, 9*time.Hour, c.ahead, "5 s on its way")
	c.read((10*time.Hour + 7*time.Second).Milliseconds(), at+6*time.Second)
	require.Equal(t, 9*time.Hour+time.Second, c.ahead)
	c.read((5 * time.Hour).Milliseconds(), at+6*time.Second+forgetClock+1)
	require.Less(t, c.ahead, 4*time.Hour)
}

// A node whose clock is eight hours ahead marks nobody as a no-show; the others go on, and so does it when its clock is set (holes H17).
func TestTimersStandStillWhereTheClockIsWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, 3)
		defer c.close()
		n1, n2 := c.nodes[0], c.nodes[1]
		restaurants := map[*cellNode]engine.AggregateID{n1: c.as(n1).restaurant(1, 2), n2: c.as(n1).restaurant(2, 2)}
		require.NotEqual(t, persistence.PartitionOf(restaurants[n1], 8), persistence.PartitionOf(restaurants[n2], 8))
		for _, id := range restaurants {
			out, err := c.as(n1).reserve(id, 1, 12*60)
			require.NoError(t, err)
			require.Equal(t, engine.CodeCreated, out.Code)
		}
		require.NoError(t, n1.Release(t.Context(), persistence.PartitionOf(restaurants[n2], 8), n2.name))
		require.NoError(t, n2.Reach(t.Context(), c.last()))
		status := func(n *cellNode) engine.Status { return c.as(n).view(restaurants[n]).DaySheet(day, nil)[0].Status }
		<-time.After(time.Minute) // all have heard of all

		n1.ahead.Store(int64(8 * time.Hour))
		<-time.After(time.Minute)
		require.Equal(t, engine.StatusConfirmed, status(n1))
		skew, ok := n1.Skew()
		require.True(t, ok)
		require.InDelta(t, 8*time.Hour, skew, float64(time.Second))
		skew, ok = n2.Skew()
		require.True(t, ok)
		require.InDelta(t, 0, skew, float64(time.Second), "one of two others is wrong")

		due := time.UnixMilli(int64(day) * 86_400_000).Add(14 * time.Hour) // noon in Rome, half an hour, and some
		<-time.After(due.Sub(c.now()))
		require.Equal(t, engine.StatusNoShow, status(n2))
		require.Equal(t, engine.StatusConfirmed, status(n1), "it would be right by now, and the node cannot know it")
		n1.ahead.Store(0)
		<-time.After(time.Minute)
		require.Equal(t, engine.StatusNoShow, status(n1))
	})
}
