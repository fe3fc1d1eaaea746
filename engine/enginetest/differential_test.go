package enginetest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"maitred/engine"
)

// run sends n commands to the engine and the oracle and compares every answer. It covers I1 to I13.
func run(t require.TestingT, src Source, n int, seen map[engine.Code]int, accepted, made map[string]int) {
	s := NewStream(src, 1)
	a := engine.NewAggregate(engine.AggregateID(s.ID))
	view := a.View()
	dumb := &Book{ID: s.ID}
	var history []*engine.Event
	for i := range n {
		now, cmd := s.Next()
		want := dumb.Do(now, cmd)
		got, events := a.Decide(now, cmd)
		require.Equal(t, want, got, "command %d at %d: %T %+v by %+v", i, now, cmd.Body, cmd.Body, cmd.Caller)
		for j, e := range events {
			d, err := engine.DecodeEvent(engine.AppendEvent(nil, e))
			require.NoError(t, err)
			events[j] = d
			a.Apply(d)
		}
		history = append(history, events...)
		if i%2 == 0 {
			view = view.Next(events)
		} else {
			view = view.NextFacts(engine.AppendFacts(nil, events, &got)) // as the actors do
		}
		require.Equal(t, dumb.Version, a.Version(), "I5: version after %T", cmd.Body)
		require.Equal(t, dumb.nextDue(), a.NextDue(), "I13")
		seen[got.Code]++
		if !got.Code.Refused() {
			accepted[fmt.Sprintf("%T", cmd.Body)]++
		}
		for _, e := range events {
			made[fmt.Sprintf("%T", e.Body)]++
		}
		staffWork(got, accepted)
		s.Saw(got)
		if i%16 == 0 || i == n-1 {
			check(t, a, view.(*engine.RestaurantView), dumb, now)
		}
		if i%64 == 63 {
			again, err := engine.OpenBase(engine.AggregateID(s.ID), a.AppendBase(nil))
			require.NoError(t, err)
			require.Equal(t, a.Digest(), again.Digest(), "I12: a base is the state")
			a = again
		}
	}
	replayed := engine.NewAggregate(engine.AggregateID(s.ID))
	for _, e := range history {
		replayed.Apply(e)
	}
	require.Equal(t, a.Digest(), replayed.Digest(), "I12: two replays agree")
}

// staffWork notes which rules were set aside, and what stood in the way of staff.
func staffWork(out engine.Outcome, met map[string]int) {
	for _, o := range out.Conflicts {
		if o.Reason != engine.ReasonBlocked {
			met["in the way: "+o.Reason.String()]++
		}
	}
	if r := out.Reservation; r != nil && r.Override != nil && !out.Code.Refused() {
		for _, c := range r.Override.Lifted {
			if c != engine.CodePacingLimit {
				met["lifted: "+c.String()]++
			}
		}
	}
}

func (b *Book) nextDue() (due engine.Instant) {
	if b.owing && len(b.waiting()) > 0 {
		return b.Last
	}
	for _, r := range b.List {
		if at := b.dueAt(r); at != 0 && (due == 0 || at < due) {
			due = at
		}
	}
	return due
}

func check(t require.TestingT, a engine.Aggregate, v *engine.RestaurantView, dumb *Book, now engine.Instant) {
	require.NoError(t, engine.CheckInvariants(a))
	require.NoError(t, engine.CheckViewInvariants(v))
	require.Equal(t, dumb.Info, v.Restaurant())
	require.Equal(t, dumb.rules(), *v.Rules())
	require.Len(t, v.Tables(), len(dumb.Tables))
	require.ElementsMatch(t, dumb.Members, v.Staff())
	days := map[engine.Day]int{engine.Day(now/86_400_000) + 1: 0}
	fresh := a.View().(*engine.RestaurantView)
	for _, r := range dumb.List {
		require.Equal(t, r, v.Reservation(r.ID), "I11: the view has what the book has")
		require.Equal(t, r, fresh.Reservation(r.ID))
		days[r.Day]++
	}
	for day, n := range days {
		require.Len(t, v.DaySheet(day, nil), n, "I7")
		require.Equal(t, fresh.DaySheet(day, nil), v.DaySheet(day, nil), "I11")
	}
	dumb.without(max(now, dumb.Last), func() { explained(t, a, fresh, dumb, now) })
	day := engine.Day(now/86_400_000) + 1
	for guests := 1; guests <= 7; guests += 3 {
		want := dumb.Availability(now, day, guests)
		require.Equal(t, want, v.Availability(now, day, guests, nil), "availability of %v for %d in %s", day, guests, dumb.Info.TimeZone)
		require.Equal(t, want, fresh.Availability(now, day, guests, nil))
	}
}

// explained compares what is explained to staff with what is decided: the same code and tables, and of each table what the oracle says.
func explained(t require.TestingT, a engine.Aggregate, v *engine.RestaurantView, dumb *Book, now engine.Instant) {
	at := int(now / 1000)
	for i, staff := range []bool{false, true} {
		guests, area := 1+at%9, []string{"", "", "hall"}[at%3]
		when := engine.When{HasLocal: true, Day: engine.Day(now/86_400_000) + 1, LocalMin: 11*60 + 15*((at/9+i)%52)}
		by := engine.Caller{Account: account(999, 1), Role: engine.RoleCustomer}
		if staff {
			by = engine.Caller{Role: engine.RoleAdmin}
		}
		out, _ := a.Decide(now, &engine.Command{Caller: by, Body: &engine.CreateReservation{ID: engine.MakeReservationID(dumb.ID, 3), Want: when, GuestsCount: guests, Area: area}})
		e, code, field := v.Explain(now, engine.Question{When: when, Guests: guests, Area: area, Staff: staff})
		if out.Code == engine.CodeInvalid {
			require.Equal(t, []any{out.Code, out.Field}, []any{code, field})
			continue
		}
		require.Equal(t, engine.CodeOK, code)
		if out.Code == engine.CodeCreated {
			require.Equal(t, out.Reservation.Tables, e.Chosen)
			require.Equal(t, []int64{out.Reservation.StartsAt, out.Reservation.EndsAt}, []int64{e.StartsAt, e.EndsAt})
			out.Code = engine.CodeOK
		}
		require.Equal(t, out.Code, e.Code)
		s := start{day: e.Day, local: e.LocalMin, at: e.StartsAt, shift: e.Shift}
		party := ask{guests: guests, staff: staff, area: area}
		free := 0
		for _, c := range e.Combinations {
			if c.Reason == engine.ReasonFree {
				free++
			}
		}
		require.Len(t, dumb.together(party, s), free)
		for _, table := range e.Tables {
			require.Equal(t, dumb.suits(table.Table, party, s), table.Reason == engine.ReasonFree, "%s: %s", table.Table.Number, table.Reason)
			require.Equal(t, table.Reason == engine.ReasonTaken, len(table.By) > 0)
		}
	}
}

// allCodes are the answers that a restaurant can give within a stream.
func allCodes() (codes []engine.Code) {
	for c := range engine.Code(engine.CodeCount) {
		if c != engine.CodeUnauthorized && c != engine.CodeLimit {
			codes = append(codes, c)
		}
	}
	return codes
}

// variable reads a number of the environment.
func variable(t *testing.T, name string, missing uint64) uint64 {
	text := os.Getenv(name)
	if text == "" {
		return missing
	}
	n, err := strconv.ParseUint(text, 10, 64)
	require.NoError(t, err, name)
	return n
}

// TestDifferential runs until every code was given, and at least a fixed number of streams. CodeUnauthorized belongs to accounts,
// CodeLimit to the tests of bounds.
func TestDifferential(t *testing.T) {
	const commands, events = 22 + 4 + 2, 16 // with what staff may set aside, and what stands in their way, but for the pace and blocks, which are rare
	first, seeds := variable(t, "MAITRED_ORACLE_SEED", 1), variable(t, "MAITRED_ORACLE_SEEDS", 20)
	seen, accepted, made := map[engine.Code]int{}, map[string]int{}, map[string]int{}
	missing := func() (codes []engine.Code) {
		for _, c := range allCodes() {
			if seen[c] == 0 {
				codes = append(codes, c)
			}
		}
		return codes
	}
	for seed := first; seed < first+seeds || len(missing()) > 0 || len(accepted) < commands || len(made) < events; seed++ {
		require.Less(t, seed, first+seeds+200, "codes never seen: %v, accepted: %v", missing(), accepted)
		ok := t.Run("", func(t *testing.T) {
			run(t, rand.New(rand.NewPCG(seed, 0)), 400, seen, accepted, made)
		})
		require.True(t, ok, "seed %d", seed)
	}
	t.Logf("answers: %v, accepted: %v, events: %v", seen, accepted, made)
	require.Len(t, accepted, commands, "every command to a restaurant was accepted once: %v", accepted)
	require.Len(t, made, events, "every event of a restaurant was made once")
}

func TestDifferentialShrinks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		run(t, FromRapid(t), rapid.IntRange(1, 60).Draw(t, "commands"), map[engine.Code]int{}, map[string]int{}, map[string]int{})
	})
}
