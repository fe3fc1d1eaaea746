package sqlite

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/engine/enginepb"
	"maitred/persistence"
)

// diary writes events one frame each.
type diary struct {
	*testing.T
	s        *Store
	at       persistence.Position
	versions map[engine.AggregateID]engine.Version
}

func (d *diary) add(ids []engine.AggregateID, events ...*enginepb.Event) {
	d.Helper()
	next := at(d.at.Seq + 1)
	var list []persistence.Committed
	for i, e := range events {
		id := ids[min(i, len(ids)-1)]
		d.versions[id]++
		list = append(list, persistence.Committed{Seq: next.Seq, Index: i, Aggregate: id, Version: d.versions[id], Event: e})
	}
	require.NoError(d, d.s.Write(d.Context(), d.at, next, list))
	d.at = next
}

func booked(id, guest, words string) *enginepb.Event {
	return &enginepb.Event{Body: &enginepb.Event_ReservationCreated{ReservationCreated: &enginepb.ReservationCreated{Reservation: &enginepb.Reservation{
		Id: id, Guest: guest, SpecialRequests: words, Contact: &enginepb.Contact{Name: words}, StartsAt: 1, EndsAt: 2, Version: 1,
		Status: enginepb.Status_STATUS_CONFIRMED}}}}
}

// TestErasureInTheStore: while the store is open too, no page of the database or its log keeps what was forgotten.
func TestErasureInTheStore(t *testing.T) {
	dir := t.TempDir()
	d := &diary{T: t, s: openIn(t, dir), versions: map[engine.AggregateID]engine.Version{}}
	account, owner := engine.MakeAccountID([16]byte{1}), engine.MakeAccountID([16]byte{2})
	var restaurants []engine.AggregateID
	for i := range uint64(3) {
		r := engine.AggregateID(engine.MakeRestaurantID(i))
		restaurants = append(restaurants, r)
		d.add([]engine.AggregateID{r}, &enginepb.Event{Body: &enginepb.Event_RestaurantCreated{RestaurantCreated: &enginepb.RestaurantCreated{
			Restaurant: &enginepb.Restaurant{Id: string(r), Owner: string(owner), TimeZone: "Europe/Rome"}}}})
	}
	a := []engine.AggregateID{engine.AggregateID(account)}
	d.add(a, &enginepb.Event{Body: &enginepb.Event_AccountRegistered{AccountRegistered: &enginepb.AccountRegistered{
		Account: &enginepb.Account{Id: string(account), Email: "marker@mail", Role: enginepb.Role_ROLE_CUSTOMER}}}})
	words := "marker " + strings.Repeat("of several pages ", 500)
	d.add(restaurants[:1], booked("rsv_1", string(account), words), booked("rsv_2", string(owner), "another's"))
	d.add(restaurants[1:2], booked("rsv_3", string(account), words))
	d.add(restaurants[1:2], &enginepb.Event{Body: &enginepb.Event_ReservationRescheduled{ReservationRescheduled: &enginepb.ReservationRescheduled{
		Id: "rsv_3", SpecialRequests: "marker, moved", StartsAt: 3, EndsAt: 4}}})

	pending := func() []engine.AccountID {
		ids, err := d.s.PendingErasures(t.Context(), 10)
		require.NoError(t, err)
		return ids
	}
	guestAt := func(limit int) []engine.RestaurantID {
		ids, err := d.s.RestaurantsOf(t.Context(), account, limit)
		require.NoError(t, err)
		return ids
	}
	for who, want := range map[engine.AccountID]bool{owner: true, account: false, engine.MakeAccountID([16]byte{9}): false} {
		owns, err := d.s.OwnsRestaurant(t.Context(), who)
		require.NoError(t, err)
		require.Equal(t, want, owns)
	}
	require.Empty(t, pending())
	d.add(a, &enginepb.Event{Body: &enginepb.Event_AccountErased{AccountErased: &enginepb.AccountErased{}}})
	require.Equal(t, []engine.AccountID{account}, pending())
	require.Equal(t, []engine.RestaurantID{engine.RestaurantID(restaurants[0]), engine.RestaurantID(restaurants[1])}, guestAt(10))
	require.Len(t, guestAt(1), 1)
	require.NotEmpty(t, filesWith(t, dir, "marker"), "the search finds what is there")

	forget := &enginepb.Event{Body: &enginepb.Event_GuestForgotten{GuestForgotten: &enginepb.GuestForgotten{Guest: string(account)}}}
	// One is made and forgotten within a transaction.
	d.add(restaurants[:1], booked("rsv_4", string(account), words), forget)
	require.Equal(t, []engine.RestaurantID{engine.RestaurantID(restaurants[1])}, guestAt(10))
	d.add(restaurants[1:2], forget)
	d.add(restaurants[2:], forget) // who never was there
	require.Empty(t, guestAt(10))
	require.Contains(t, dumpOf(t, d.s), "another's")
	d.add(a, &enginepb.Event{Body: &enginepb.Event_AccountErasureCompleted{AccountErasureCompleted: &enginepb.AccountErasureCompleted{}}})
	require.Empty(t, pending())
	require.Empty(t, filesWith(t, dir, "marker"))
}

func filesWith(t *testing.T, dir, marker string) (found []string) {
	t.Helper()
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		require.NoError(t, err)
		if strings.Contains(string(b), marker) {
			found = append(found, f.Name())
		}
	}
	return found
}

// TestLogIsScrubbedWhenAReaderIsGone: a reader that keeps the log from being emptied only puts it off.
func TestLogIsScrubbedWhenAReaderIsGone(t *testing.T) {
	dir := t.TempDir()
	d := &diary{T: t, s: openIn(t, dir), versions: map[engine.AggregateID]engine.Version{}}
	r, account := engine.AggregateID(engine.MakeRestaurantID(1)), engine.MakeAccountID([16]byte{1})
	d.add([]engine.AggregateID{r}, booked("rsv_1", string(account), "marker"))
	reader, err := d.s.read.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	var n int
	require.NoError(t, reader.QueryRow("SELECT count(*) FROM reservations").Scan(&n))
	a := engine.AggregateID(account)
	d.add([]engine.AggregateID{a, a, r, a},
		&enginepb.Event{Body: &enginepb.Event_AccountRegistered{AccountRegistered: &enginepb.AccountRegistered{Account: &enginepb.Account{}}}},
		&enginepb.Event{Body: &enginepb.Event_AccountErased{AccountErased: &enginepb.AccountErased{}}},
		&enginepb.Event{Body: &enginepb.Event_GuestForgotten{GuestForgotten: &enginepb.GuestForgotten{Guest: string(account)}}},
		&enginepb.Event{Body: &enginepb.Event_AccountErasureCompleted{AccountErasureCompleted: &enginepb.AccountErasureCompleted{}}})
	require.NotEmpty(t, filesWith(t, dir, "marker"))
	require.NoError(t, reader.Rollback())
	copied := t.TempDir() // as a kill leaves it now
	for _, f := range []string{"store.db", "store.db-wal"} {
		b, err := os.ReadFile(filepath.Join(dir, f))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(copied, f), b, 0o600))
	}
	openIn(t, copied)
	require.Empty(t, filesWith(t, copied, "marker"), "opening after a kill scrubs")
	d.add([]engine.AggregateID{r})
	require.Empty(t, filesWith(t, dir, "marker"))
}

// TestErasureQueriesUseIndexes: an erasure looks at no more rows than it is about.
func TestErasureQueriesUseIndexes(t *testing.T) {
	s := openIn(t, t.TempDir())
	for query, index := range map[string]string{
		updateForgotten: "reservations_guest", selectErasing: "accounts_erasing", selectOwns: "restaurants_owner",
		selectRestaurantsOf: "reservations_guest",
	} {
		rows, err := s.read.Query("EXPLAIN QUERY PLAN "+query, make([]any, strings.Count(query, "?"))...)
		require.NoError(t, err)
		var plan strings.Builder
		for rows.Next() {
			var id, parent, unused int
			var detail string
			require.NoError(t, rows.Scan(&id, &parent, &unused, &detail))
			plan.WriteString(detail + "\n")
		}
		require.NoError(t, rows.Close())
		require.Contains(t, plan.String(), index, query)
	}
}
