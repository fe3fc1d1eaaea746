package actors

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/persistence"
)

// A node whose clock is an hour fast calls nobody a no-show who can still come; the others, who outnumber it, go on, and so does it when
// its clock is right again.
func TestTimersStandStillWithAWrongClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, 3)
		defer c.close()
		n1, n2 := c.nodes[0], c.nodes[1]
		here, there := c.as(n1).restaurant(1, 2), c.as(n1).restaurant(2, 2)
		for _, id := range []engine.AggregateID{here, there} {
			out, err := c.as(n1).reserve(id, 1, 12*60)
			require.NoError(t, err)
			require.Equal(t, engine.CodeCreated, out.Code)
		}
		require.NotEqual(t, persistence.PartitionOf(here, 8), persistence.PartitionOf(there, 8))
		require.NoError(t, n1.Release(t.Context(), persistence.PartitionOf(there, 8), n2.name))
		require.NoError(t, n2.Reach(t.Context(), c.last()))
		is := func(n *cellNode, id engine.AggregateID, want engine.Status) {
			t.Helper()
			sheet := c.as(n).view(id).DaySheet(day, nil)
			require.Len(t, sheet, 1)
			require.Equal(t, want, sheet[0].Status)
		}
		until := func(hour int) {
			<-time.After(time.UnixMilli(int64(day) * 86_400_000).Add(time.Duration(hour) * time.Hour).Sub(c.now()))
		}
		n1.fast.Store(int64(4 * time.Hour))
		until(11)
		is(n1, here, engine.StatusConfirmed)
		until(14) // noon in Rome, half an hour, and some
		is(n2, there, engine.StatusNoShow)
		is(n1, here, engine.StatusConfirmed)
		n1.fast.Store(0)
		<-time.After(5 * time.Second)
		is(n1, here, engine.StatusNoShow)
	})
}

// Who is right is what most say; what is late, or nobody, says nothing.
func TestSkewGoesByTheMajority(t *testing.T) {
	const hour = time.Hour
	for name, c := range map[string]struct {
		ahead []time.Duration
		now   time.Duration
		off   bool
	}{
		"all agree":                   {[]time.Duration{0, time.Second}, hour, false},
		"one of two others is wrong":  {[]time.Duration{0, hour}, hour, false},
		"this one is fast":            {[]time.Duration{-hour, -hour}, hour, true},
		"this one is slow":            {[]time.Duration{hour, hour - time.Second}, hour, true},
		"nobody can tell who":         {[]time.Duration{hour}, hour, true},
		"nobody was heard yet":        {nil, Silence - 1, true},
		"nobody is there":             {nil, Silence, false},
		"what they said is long past": {[]time.Duration{hour, hour}, 3 * hour, false},
	} {
		s := skew{}
		for i, ahead := range c.ahead {
			s.hear(string(rune('a'+i)), ahead, hour)
		}
		_, off := s.off(c.now)
		require.Equal(t, c.off, off, name)
	}
}
