package postgres

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/engine/enginepb"
	"maitred/persistence"
)

// diary writes events, each in a frame of its own, and each call in one transaction.
type diary struct {
	*testing.T
	s        *Store
	at       persistence.Position
	versions map[engine.AggregateID]engine.Version
}

func newDiary(t *testing.T) *diary {
	d := &diary{T: t, s: openIn(t, t.TempDir()), versions: map[engine.AggregateID]engine.Version{}}
	for _, id := range []string{"rst_a", "rst_b"} {
		d.write(
			entry{id, &enginepb.Event{Body: &enginepb.Event_RestaurantCreated{RestaurantCreated: &enginepb.RestaurantCreated{Restaurant: &enginepb.Restaurant{Id: id, Owner: "acc_o", TimeZone: "Europe/Rome"}}}}},
			entry{id, &enginepb.Event{Body: &enginepb.Event_TableAdded{TableAdded: &enginepb.TableAdded{Table: &enginepb.Table{Id: "tbl_1" + id}}}}},
			entry{id, &enginepb.Event{Body: &enginepb.Event_TableAdded{TableAdded: &enginepb.TableAdded{Table: &enginepb.Table{Id: "tbl_2" + id}}}}},
		)
	}
	return d
}

type entry struct {
	restaurant string
	event      *enginepb.Event
}

func (d *diary) write(entries ...entry) {
	d.Helper()
	next := persistence.Position{Journal: "jrn_test", Seq: d.at.Seq}
	var events []persistence.Committed
	for _, e := range entries {
		id := engine.AggregateID(e.restaurant)
		d.versions[id]++
		next.Seq++
		events = append(events, persistence.Committed{Seq: next.Seq, Aggregate: id, Version: d.versions[id], Event: e.event})
	}
	require.NoError(d, d.s.Write(d.Context(), d.at, next, events))
	d.at = next
}

// reserved is from an hour on, two hours long.
func reserved(restaurant, id, table string, hour int64, requests string) entry {
	return entry{restaurant, &enginepb.Event{Body: &enginepb.Event_ReservationCreated{ReservationCreated: &enginepb.ReservationCreated{Reservation: &enginepb.Reservation{
		Id: id, TableIds: []string{table + restaurant}, StartsAt: hour * 3600, EndsAt: (hour + 2) * 3600, Version: 1, Status: enginepb.Status_STATUS_CONFIRMED, SpecialRequests: requests}}}}}
}

func settled(restaurant, id string, status enginepb.Status) entry {
	return entry{restaurant, &enginepb.Event{Body: &enginepb.Event_ReservationStatusChanged{ReservationStatusChanged: &enginepb.ReservationStatusChanged{Id: id, Status: status}}}}
}

func moved(restaurant, id, table string, hour int64) entry {
	return entry{restaurant, &enginepb.Event{Body: &enginepb.Event_ReservationRescheduled{ReservationRescheduled: &enginepb.ReservationRescheduled{
		Id: id, TableIds: []string{table + restaurant}, StartsAt: hour * 3600, EndsAt: (hour + 2) * 3600}}}}
}

func (d *diary) strings(query string) []string {
	d.Helper()
	out, err := column[string](d.Context(), d.s.read, query)
	require.NoError(d, err)
	return out
}

func (d *diary) witnessed() []string {
	return d.strings("SELECT reservation_id FROM reservation_tables WHERE parked ORDER BY 1")
}

// TestCorrectHistoriesHaveNoConflict: a table that changes hands within a transaction, in any order of its rows (holes H18).
func TestCorrectHistoriesHaveNoConflict(t *testing.T) {
	d := newDiary(t)
	d.write(reserved("rst_a", "rsv_z", "tbl_1", 1, ""), settled("rst_a", "rsv_z", enginepb.Status_STATUS_CANCELLED), reserved("rst_a", "rsv_a", "tbl_1", 2, ""))
	d.write(reserved("rst_a", "rsv_b", "tbl_2", 2, ""))
	d.write(moved("rst_a", "rsv_a", "tbl_1", 9), moved("rst_a", "rsv_b", "tbl_1", 2), moved("rst_a", "rsv_a", "tbl_2", 2)) // they swap
	d.write(settled("rst_a", "rsv_b", enginepb.Status_STATUS_NO_SHOW), reserved("rst_a", "rsv_0", "tbl_1", 3, ""), reserved("rst_a", "rsv_1", "tbl_1", 5, ""))
	require.Empty(t, d.witnessed())
	require.Zero(t, testutil.ToFloat64(d.s.metrics.conflicts))
}

// TestAPlantedConflictIsParked: what the engine must never do is stored, counted, and stops nobody.
func TestAPlantedConflictIsParked(t *testing.T) {
	d := newDiary(t)
	d.write(reserved("rst_a", "rsv_a", "tbl_1", 1, ""), reserved("rst_a", "rsv_b", "tbl_1", 2, ""), reserved("rst_b", "rsv_c", "tbl_1", 1, ""))
	require.Equal(t, []string{"rsv_b"}, d.witnessed())
	d.write(reserved("rst_b", "rsv_d", "tbl_2", 1, ""), reserved("rst_b", "rsv_0", "tbl_1", 0, ""))
	require.Equal(t, []string{"rsv_0", "rsv_b"}, d.witnessed())
	require.EqualValues(t, 2, testutil.ToFloat64(d.s.metrics.conflicts))
	require.Len(t, d.strings("SELECT id FROM reservations"), 5)
	d.write(settled("rst_a", "rsv_b", enginepb.Status_STATUS_SEATED))
	require.Equal(t, []string{"rsv_0", "rsv_b"}, d.witnessed())
	d.write(moved("rst_a", "rsv_b", "tbl_1", 3))
	require.Equal(t, []string{"rsv_0"}, d.witnessed(), "a row that is written anew is looked at anew")
	d.write(reserved("rst_a", "rsv_e", "tbl_1", 4, ""))
	require.Equal(t, []string{"rsv_0", "rsv_e"}, d.witnessed())
}

// TestPoisonParksItsAggregateAlone: a text that PostgreSQL does not take.
func TestPoisonParksItsAggregateAlone(t *testing.T) {
	d := newDiary(t)
	d.write(reserved("rst_a", "rsv_a", "tbl_1", 1, ""), reserved("rst_b", "rsv_b", "tbl_1", 1, ""), reserved("rst_a", "rsv_c", "tbl_2", 1, "a\x00b"))
	require.Equal(t, []string{"rsv_b"}, d.strings("SELECT id FROM reservations"))
	d.write(settled("rst_a", "rsv_c", enginepb.Status_STATUS_SEATED), settled("rst_b", "rsv_b", enginepb.Status_STATUS_SEATED))
	require.Equal(t, []string{"seated"}, d.strings("SELECT status FROM reservations"))
	parked, err := d.s.Parked(t.Context())
	require.NoError(t, err)
	require.Len(t, parked, 1)
	require.Equal(t, engine.AggregateID("rst_a"), parked[0].Aggregate)
	require.EqualValues(t, 4, parked[0].Version, "its third reservation's, with the first of the transaction")
	require.Contains(t, parked[0].Reason, "22021")
	require.EqualValues(t, 1, testutil.ToFloat64(d.s.metrics.parked))
	history, err := d.s.History(t.Context(), "rst_a", 100)
	require.NoError(t, err)
	require.Len(t, history, 6, "the audit goes on")

	other, err := Open(t.Context(), d.s.read.Config().ConnString()) // the command
	require.NoError(t, err)
	defer other.Close()
	require.ErrorIs(t, other.Resume(t.Context(), "rst_b"), ErrNotParked)
	require.NoError(t, other.Resume(t.Context(), "rst_a"))
	d.write(settled("rst_b", "rsv_b", enginepb.Status_STATUS_COMPLETED))
	require.Equal(t, []string{"rsv_a confirmed", "rsv_b completed", "rsv_c seated"}, d.strings("SELECT id || ' ' || status FROM reservations ORDER BY 1"), "the audit has no requests, so it is taken now")
	require.Empty(t, d.strings("SELECT aggregate FROM parked"))
	require.Zero(t, testutil.ToFloat64(d.s.metrics.parked))
	d.write(settled("rst_a", "rsv_c", enginepb.Status_STATUS_COMPLETED))
	require.Contains(t, strings.Join(d.strings("SELECT id || ' ' || status FROM reservations"), ","), "rsv_c completed")

	d.write(reserved("rst_b", "rsv_\x00", "tbl_2", 1, "")) // not even the audit's copy is taken
	require.NoError(t, d.s.Resume(t.Context(), "rst_b"))
	d.write(settled("rst_a", "rsv_a", enginepb.Status_STATUS_SEATED))
	require.Equal(t, []string{"rst_b"}, d.strings("SELECT aggregate FROM parked WHERE NOT resume"))
	require.NoError(t, d.s.Skip(t.Context(), "rst_b"))
	d.write(settled("rst_b", "rsv_b", enginepb.Status_STATUS_CONFIRMED))
	require.Contains(t, strings.Join(d.strings("SELECT id || ' ' || status FROM reservations"), ","), "rsv_b confirmed")
	require.Empty(t, d.strings("SELECT aggregate FROM parked"))
}

// TestAMissingRowParksItsAggregateAlone: a row that was given up, and one that somebody has deleted. Neither stops the others.
func TestAMissingRowParksItsAggregateAlone(t *testing.T) {
	d := newDiary(t)
	d.write(reserved("rst_a", "rsv_a", "tbl_1", 1, "a\x00b"), reserved("rst_b", "rsv_b", "tbl_1", 1, ""), reserved("rst_b", "rsv_c", "tbl_2", 1, ""))
	require.NoError(t, d.s.Skip(t.Context(), "rst_a"))
	d.write(settled("rst_a", "rsv_a", enginepb.Status_STATUS_SEATED), settled("rst_b", "rsv_b", enginepb.Status_STATUS_SEATED))
	require.Equal(t, []string{"rst_a"}, d.strings("SELECT aggregate FROM parked"), "what was given up is missed")
	require.Equal(t, []string{"rsv_b seated", "rsv_c confirmed"}, d.strings("SELECT id || ' ' || status FROM reservations ORDER BY 1"))

	_, err := d.s.read.Exec(t.Context(), "DELETE FROM reservation_tables WHERE reservation_id = 'rsv_b'; DELETE FROM reservations WHERE id = 'rsv_b'")
	require.NoError(t, err)
	require.NoError(t, d.s.Skip(t.Context(), "rst_a"))
	d.write(settled("rst_b", "rsv_b", enginepb.Status_STATUS_COMPLETED), reserved("rst_a", "rsv_d", "tbl_2", 9, ""))
	require.Equal(t, []string{"rst_b"}, d.strings("SELECT aggregate FROM parked"), "what was deleted is missed")
	require.Equal(t, []string{"rsv_c", "rsv_d"}, d.strings("SELECT id FROM reservations ORDER BY 1"))
	require.Contains(t, d.strings("SELECT reason FROM parked")[0], "rsv_b is not here")
}
