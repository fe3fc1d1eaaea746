package persistencetest

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/persistence"
	"maitred/persistence/memory"
)

// What the real engine decides, projected, must equal what its bases say.
func storeEqualsBases(t *testing.T, dir string, open func(*testing.T, string) TestStore) {
	aggregates, events := AnEvening(t)
	end := persistence.Seq(len(events))
	projected := open(t, dir+"/a")
	require.NoError(t, projected.Write(t.Context(), persistence.Position{}, at(end), events))

	j, bases := memory.NewJournal(memory.Options{}), memory.NewBases(memory.BasesOptions{})
	for i := range end {
		beat := persistence.Encode(nil, &persistence.Frame{Journal: at(1).Journal, Node: "n1", Number: uint64(i + 1)})
		_, err := j.Append(t.Context(), persistence.SlotSubject("n1"), beat, i)
		require.NoError(t, err)
	}
	for id, a := range aggregates {
		b := persistence.Base{BaseHeader: persistence.BaseHeader{ID: id, Version: a.Version(), Position: end}, State: a.AppendBase(nil)}
		_, err := bases.Put(t.Context(), b)
		require.NoError(t, err)
	}
	rebuilt := open(t, dir+"/b")
	require.NoError(t, persistence.Rebuild(t.Context(), rebuilt, j, bases, nil))
	require.Equal(t, withoutAudit(dump(t, projected)), withoutAudit(dump(t, rebuilt)))
	require.NoError(t, projected.Close())
	require.NoError(t, rebuilt.Close())
}

// AnEvening is what the real engine decided about a restaurant, and the states it came to.
func AnEvening(t *testing.T) (aggregates map[engine.AggregateID]engine.Aggregate, events []persistence.Committed) {
	rng := rand.New(rand.NewPCG(5, 6))
	rid := engine.MakeRestaurantID(7)
	aggregates = map[engine.AggregateID]engine.Aggregate{}
	owner := engine.Caller{Account: engine.MakeAccountID([16]byte{1}), Role: engine.RoleOwner}
	seen := map[engine.Code]int{}
	day, _ := engine.ParseDate("2026-11-28")
	now := engine.Instant(int64(day-3)) * 86_400_000
	do := func(id engine.AggregateID, by engine.Caller, body engine.Body) engine.Outcome {
		a := aggregates[id]
		if a == nil {
			a = engine.NewAggregate(id)
			aggregates[id] = a
		}
		now += 1000
		out, made := a.Decide(now, &engine.Command{Caller: by, Body: body})
		seen[out.Code]++
		for _, e := range made {
			a.Apply(e)
			events = append(events, persistence.Committed{Seq: persistence.Seq(len(events) + 1), Aggregate: id, Version: a.Version(), Event: e})
		}
		return out
	}
	r := engine.AggregateID(rid)
	do(engine.AggregateID(owner.Account), owner, &engine.Register{Profile: engine.Profile{ID: owner.Account, Email: "o@example.org", // #nosec G101 -- made up
		FirstName: "O", LastName: "O", Phone: "+39 06 1", Role: engine.RoleOwner, PasswordHash: "$argon2id$x"}})
	out := do(r, owner, &engine.CreateRestaurant{ID: rid, Details: engine.Details{Name: "Da Mario", TimeZone: "Europe/Rome",
		OpeningHours: []engine.OpeningHours{{Days: 127, Open: 18 * 60, Close: 26 * 60, LastSeating: 25 * 60}}}})
	require.Equal(t, engine.CodeCreated, out.Code, out.Field)
	for i := range uint64(6) {
		out := do(r, owner, &engine.AddTable{ID: engine.MakeTableID(rid, i), Table: engine.TableSpec{Number: string('1' + rune(i)), Capacity: 4, MinCapacity: 1, InService: true}})
		require.Equal(t, engine.CodeCreated, out.Code, out.Field)
	}
	var made []engine.ReservationID
	for i := range uint64(300) {
		switch {
		case i%40 == 29: // windows of an hour with six parties, four of them booked online; a quarter of an hour between parties
			out := do(r, owner, &engine.SetRules{Change: engine.RulesChange{BufferMin: new(15), Pacing: &engine.Pacing{WindowMin: 60, Parties: 6, OnlineParties: 4},
				TurnTimes: &[]engine.TurnTime{{MinParty: 2, MaxParty: 2, Minutes: 60 + 5*int(i/40)}}}})
			require.Equal(t, engine.CodeOK, out.Code, out.Field)
		case i%40 == 9:
			name := "Da Mario " + string('a'+rune(i/40))
			do(r, owner, &engine.ChangeRestaurant{Change: engine.DetailsChange{Name: &name}})
		case i%40 == 19:
			where := "terrace"
			do(r, owner, &engine.ChangeTable{ID: engine.MakeTableID(rid, i%6), Change: engine.TableChange{Location: &where}})
		case len(made) > 0 && rng.IntN(3) == 0:
			do(r, owner, &engine.Transition{ID: made[rng.IntN(len(made))], Action: engine.ActionCancel})
		case len(made) > 0 && rng.IntN(3) == 0:
			guests := 1 + rng.IntN(4)
			want := engine.When{HasLocal: true, Day: day + engine.Day(rng.IntN(3)), LocalMin: 18*60 + 15*rng.IntN(24)}
			do(r, owner, &engine.Reschedule{ID: made[rng.IntN(len(made))], GuestsCount: &guests, Want: &want})
		default:
			id := engine.MakeReservationID(rid, rng.Uint64())
			want := engine.When{HasLocal: true, Day: day + engine.Day(rng.IntN(3)), LocalMin: 18*60 + 15*rng.IntN(24)}
			guest := engine.Caller{Account: engine.MakeAccountID([16]byte{byte(2 + rng.IntN(200))}), Role: engine.RoleCustomer}
			if out := do(r, guest, &engine.CreateReservation{ID: id, Want: want, GuestsCount: 2}); out.Code == engine.CodeCreated {
				made = append(made, id)
			}
		}
	}
	require.Greater(t, len(made), 50, "%v", seen)
	require.Greater(t, seen[engine.CodeOK], 50, "%v", seen)
	return aggregates, events
}
