package engine_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/engine/enginepb"
)

// TestEveryMemberChanges: a change lays each of its members over what was.
func TestEveryMemberChanges(t *testing.T) {
	h := newHarness(t, "Europe/Rome", evening)
	d := engine.Details{Name: "Bar", Address: "Via 1", City: "Roma", Country: "IT", CuisineType: "fish", Description: "small", Phone: "06", Email: "a@b",
		TimeZone: "Europe/Paris", Latitude: 41.9, Longitude: 12.5, OpeningHours: []engine.OpeningHours{dinner}, GridMin: 30}
	out := h.do(owner, &engine.ChangeRestaurant{Change: engine.DetailsChange{Name: &d.Name, Address: &d.Address, City: &d.City, Country: &d.Country,
		CuisineType: &d.CuisineType, Description: &d.Description, Phone: &d.Phone, Email: &d.Email, TimeZone: &d.TimeZone, Latitude: &d.Latitude,
		Longitude: &d.Longitude, OpeningHours: &d.OpeningHours, GridMin: &d.GridMin}})
	require.Equal(t, engine.CodeOK, out.Code)
	require.Equal(t, d, out.Restaurant.Details)
	require.Equal(t, d, h.view.(*engine.RestaurantView).Restaurant().Details)

	spec := engine.TableSpec{Number: "9", Capacity: 6, MinCapacity: 3, Location: "garden", InService: false, Channel: engine.ChannelInHouse,
		Blocks: []engine.Block{{From: 600, Until: 900}, {From: 1200, Until: 1800}}}
	shuffled := []engine.Block{spec.Blocks[1], spec.Blocks[0]}
	out = h.do(owner, &engine.ChangeTable{ID: h.table("1", 1, 2), Change: engine.TableChange{Number: &spec.Number, Capacity: &spec.Capacity,
		MinCapacity: &spec.MinCapacity, Location: &spec.Location, InService: &spec.InService, Channel: &spec.Channel, Blocks: &shuffled}})
	require.Equal(t, engine.CodeOK, out.Code)
	require.Equal(t, spec, out.Table.TableSpec, "blocks in order of time")
	id := engine.MakeTableID(h.id, h.next())
	spec.Number = "10"
	with := spec
	with.Blocks = shuffled
	require.Equal(t, spec, h.do(owner, &engine.AddTable{ID: id, Table: with}).Table.TableSpec)

	a := newAccountHarness(t)
	p := a.profile()
	p.FirstName, p.LastName, p.Phone, p.PasswordHash = "Grace", "Hopper", "1", "$argon2id$v=19$y"
	out = a.do(&engine.ChangeProfile{Change: engine.ProfileChange{FirstName: &p.FirstName, LastName: &p.LastName, Phone: &p.Phone, PasswordHash: &p.PasswordHash}})
	require.Equal(t, engine.CodeOK, out.Code)
	require.Equal(t, p, out.Account.Profile)
}

// TestIDsOfOthers: what is made here has an id of this house and of its kind.
func TestIDsOfOthers(t *testing.T) {
	other := engine.MakeRestaurantID(78)
	h := newHarness(t, "UTC", evening)
	table := engine.TableSpec{Number: "1", Capacity: 2, MinCapacity: 1}
	for _, id := range []engine.TableID{engine.MakeTableID(other, 1), engine.TableID(engine.MakeReservationID(h.id, 1)), engine.TableID(h.id), "tbl_"} {
		require.Equal(t, "id", h.do(owner, &engine.AddTable{ID: id, Table: table}).Field, id)
	}
	for _, id := range []engine.ReservationID{engine.MakeReservationID(other, 1), engine.ReservationID(engine.MakeTableID(h.id, 1)), ""} {
		c := h.create(h.day, 19*60, 2)
		c.ID = id
		require.Equal(t, "id", h.do(guest(1), c).Field, id)
	}
	a := engine.NewAggregate(engine.AggregateID(other))
	out, _ := a.Decide(h.now, &engine.Command{Caller: owner, Body: &engine.CreateRestaurant{ID: h.id, Details: engine.Details{Name: "O", TimeZone: "UTC"}}})
	require.Equal(t, engine.Outcome{Code: engine.CodeInvalid, Field: "id"}, out)
	require.True(t, engine.IsAggregateID(string(h.id)))
	require.True(t, engine.IsAggregateID(string(owner.Account)))
	require.False(t, engine.IsAggregateID(string(engine.MakeTableID(h.id, 1))))
}

// TestStartsThatCannotBe: each bound of a start alone.
func TestStartsThatCannotBe(t *testing.T) {
	h := newHarness(t, "UTC", evening)
	h.table("1", 1, 2)
	end := day(t, "9999-12-31")
	second := (int64(end)+1)*86_400 - 1
	local := func(d engine.Day, m int) engine.When { return engine.When{HasLocal: true, Day: d, LocalMin: m} }
	for _, c := range []struct {
		want  engine.When
		field string
	}{
		{engine.When{}, "date"}, {engine.When{StartsAt: -1}, "starts_at"}, {engine.When{StartsAt: second + 1}, "starts_at"}, {engine.When{StartsAt: second}, ""},
		{local(-1, 19*60), "date"}, {local(end+1, 19*60), "date"}, {local(end, 19*60), ""}, {local(0, 19*60), ""},
		{local(h.day, -1), "time_slot"}, {local(h.day, 48*60), "time_slot"}, {local(h.day, 48*60-1), ""}, {local(h.day, 0), ""},
		{engine.When{HasLocal: true, Day: h.day, LocalMin: 19 * 60, StartsAt: 7}, "starts_at"},
		{engine.When{HasLocal: true, Day: h.day, LocalMin: 19 * 60, StartsAt: -1}, "starts_at"},
	} {
		body := h.create(h.day, 0, 2)
		body.Want = c.want
		out := h.do(guest(1), body)
		require.Equal(t, c.field, out.Field, "%+v", c.want)
		if c.field == "" {
			require.Contains(t, []engine.Code{engine.CodeTooEarly, engine.CodeTooLate, engine.CodeClosed, engine.CodeNotOnGrid}, out.Code, "%+v", c.want)
		} else {
			require.Equal(t, engine.CodeInvalid, out.Code)
		}
	}
}

// TestRolesInEvents: an event bears the rank that was in force, so that the audit says as what somebody did it.
func TestRolesInEvents(t *testing.T) {
	h := newHarness(t, "UTC", evening)
	host, manager := guest(5), guest(6)
	require.Equal(t, engine.CodeCreated, h.do(owner, &engine.AddStaff{Account: host.Account, Role: engine.RoleHost}).Code)
	require.Equal(t, engine.CodeCreated, h.do(owner, &engine.AddStaff{Account: manager.Account, Role: engine.RoleManager}).Code)
	h.table("1", 1, 2)
	for caller, role := range map[engine.Caller]engine.Role{
		host: engine.RoleHost, manager: engine.RoleManager, owner: engine.RoleOwner, guest(1): engine.RoleCustomer,
		{Account: host.Account, Role: engine.RoleAdmin}: engine.RoleAdmin,
	} {
		out, events := h.a.Decide(h.now, &engine.Command{Caller: caller, Body: h.create(h.day, 19*60, 2)})
		require.Equal(t, engine.CodeCreated, out.Code)
		require.Equal(t, role, events[0].ByRole)
		require.Equal(t, string(caller.Account), events[0].ByAccount)
	}
}

func TestRanks(t *testing.T) {
	up := []engine.Role{engine.RoleCustomer, engine.RoleHost, engine.RoleManager, engine.RoleOwner, engine.RoleAdmin}
	for i, r := range up {
		require.Equal(t, i > 0, engine.IsStaff(r), "%s", r)
		for j, least := range up[1:] {
			require.Equal(t, i >= j+1, engine.AtLeast(r, least), "%s, at least %s", r, least)
		}
	}
	nothing := engine.NewAggregate(engine.AggregateID(engine.MakeRestaurantID(5))).View().(*engine.RestaurantView)
	require.Equal(t, engine.RoleNone, nothing.RankOf(guest(1)), "where there is no restaurant")
	require.Empty(t, nothing.Availability(1, 1, 2, nil))
	require.Empty(t, newHarness(t, "UTC", evening).starts(day(t, "2011-06-12"), 0), "nobody")
}

func TestStaffIsBounded(t *testing.T) {
	h := newHarness(t, "UTC", evening)
	hire := func(n int) engine.Outcome {
		return h.do(owner, &engine.AddStaff{Account: engine.MakeAccountID([16]byte{2, byte(n), byte(n >> 8)}), Role: engine.RoleHost})
	}
	for n := range engine.MaxStaff {
		require.Equal(t, engine.CodeCreated, hire(n).Code)
	}
	require.NoError(t, engine.CheckInvariants(h.a))
	require.Equal(t, engine.Outcome{Code: engine.CodeLimit, Field: "staff"}, hire(engine.MaxStaff))
	again, err := engine.OpenBase(engine.AggregateID(h.id), h.a.AppendBase(nil))
	require.NoError(t, err)
	require.Equal(t, h.a.Digest(), again.Digest())
}

// TestWhatOlderNodesDoNotKnow: each member that came with protocol 2 asks for it alone.
func TestWhatOlderNodesDoNotKnow(t *testing.T) {
	plain := []engine.OpeningHours{evening}
	named, stepped := evening, evening
	named.Name, stepped.GridMin = "Dinner", 30
	yes := true
	for i, c := range []struct {
		body     engine.Body
		protocol uint16
	}{
		{&engine.AddTable{}, 1}, {&engine.AddTable{Table: engine.TableSpec{Channel: engine.ChannelInHouse}}, 2},
		{&engine.AddTable{Table: engine.TableSpec{Blocks: []engine.Block{{From: 1, Until: 2}}}}, 2},
		{&engine.ChangeTable{Change: engine.TableChange{InService: &yes}}, 1}, {&engine.ChangeTable{Change: engine.TableChange{Channel: new(engine.ChannelOnline)}}, 2},
		{&engine.ChangeTable{Change: engine.TableChange{Blocks: new([]engine.Block)}}, 2},
		{&engine.CreateReservation{}, 1}, {&engine.CreateReservation{Area: "bar"}, 2}, {&engine.CreateReservation{Override: "because"}, 2},
		{&engine.Reschedule{}, 1}, {&engine.Reschedule{Area: new("")}, 2}, {&engine.Reschedule{Override: "because"}, 2},
		{&engine.Transition{Action: engine.ActionCancel}, 1}, {&engine.Transition{Action: engine.ActionRelease}, 2},
		{&engine.CreateRestaurant{Details: engine.Details{OpeningHours: plain}}, 1},
		{&engine.CreateRestaurant{Details: engine.Details{OpeningHours: []engine.OpeningHours{named}}}, 2},
		{&engine.CreateRestaurant{Details: engine.Details{OpeningHours: []engine.OpeningHours{stepped}}}, 2},
		{&engine.ChangeRestaurant{}, 1}, {&engine.ChangeRestaurant{Change: engine.DetailsChange{OpeningHours: &plain}}, 1},
		{&engine.ChangeRestaurant{Change: engine.DetailsChange{OpeningHours: &[]engine.OpeningHours{named}}}, 2},
		{&engine.SetRules{}, 2}, {&engine.Hold{}, 2}, {&engine.ConfirmHold{}, 2}, {&engine.JoinWaitlist{}, 2}, {&engine.OfferTable{}, 2},
		{&engine.AssignTables{}, 2}, {&engine.Annotate{}, 2}, {&engine.SeatWalkIn{}, 2},
	} {
		require.Equal(t, c.protocol, (&engine.Command{Body: c.body}).Protocol(), "case %d: %T", i, c.body)
	}
}

// TestSessionsAtTheirBounds: a session that expires now is over, and each member of a new one is looked at.
func TestSessionsAtTheirBounds(t *testing.T) {
	h := newAccountHarness(t)
	good := engine.OpenSession{Family: "f", Refresh: token(1), Expires: h.now + 100}
	for field, spoil := range map[string]func(*engine.OpenSession){
		"family":  func(c *engine.OpenSession) { c.Family = "" },
		"refresh": func(c *engine.OpenSession) { c.Refresh = engine.Hash32{} },
		"expires": func(c *engine.OpenSession) { c.Expires = h.now },
	} {
		bad := good
		spoil(&bad)
		require.Equal(t, engine.Outcome{Code: engine.CodeInvalid, Field: field}, h.do(&bad))
	}
	long := good
	long.Family = strings.Repeat("f", engine.MaxFamily+1)
	require.Equal(t, "family", h.do(&long).Field)
	wrong := good
	wrong.Password = "of yesterday"
	require.Equal(t, engine.CodeUnauthorized, h.do(&wrong).Code, "changed while the edge compared")
	wrong.Password = h.profile().PasswordHash
	require.Equal(t, engine.CodeCreated, h.do(&wrong).Code)
	for _, next := range []engine.Hash32{{}, token(1)} {
		require.Equal(t, "refresh", h.do(&engine.RotateSession{Old: token(1), New: next}).Field)
	}
	h.now += 99
	require.Equal(t, engine.CodeOK, h.do(&engine.RotateSession{Old: token(1), New: token(2)}).Code)
	h.now++
	require.Equal(t, engine.CodeUnauthorized, h.do(&engine.RotateSession{Old: token(2), New: token(3)}).Code)
	require.Equal(t, engine.CodeUnauthorized, h.do(&engine.RevokeSession{Refresh: token(2)}).Code)
	for _, hash := range []string{"", strings.Repeat("x", engine.MaxPasswordHash+1)} {
		require.Equal(t, "password", h.do(&engine.RehashPassword{Old: h.profile().PasswordHash, New: hash}).Field)
	}
}

// TestRegisterWithASession: both or none.
func TestRegisterWithASession(t *testing.T) {
	first := newAccountHarness(t)
	fresh := func() engine.Aggregate { return engine.NewAggregate(engine.AggregateID(first.id)) }
	h := &accountHarness{T: t, id: first.id, now: first.now, a: fresh(), view: fresh().View()}
	session := &engine.OpenSession{Family: "f", Refresh: token(1), Expires: h.now}
	require.Equal(t, engine.Outcome{Code: engine.CodeInvalid, Field: "expires"}, h.do(&engine.Register{Profile: h.profile(), Session: session}))
	session.Expires++
	out := h.do(&engine.Register{Profile: h.profile(), Session: session})
	require.Equal(t, engine.CodeCreated, out.Code)
	require.Equal(t, "f", out.Family)
	require.EqualValues(t, 2, h.a.Version())
	require.Equal(t, engine.CodeOK, h.do(&engine.RotateSession{Old: token(1), New: token(2)}).Code)
}

// TestTimersDoNotPile: what is not due any more leaves the heap, also below an entry that stands.
func TestTimersDoNotPile(t *testing.T) {
	h := newHarness(t, "UTC", evening)
	h.table("1", 1, 2)
	h.booked(19*60, 2)
	for range 200 {
		r := h.do(guest(2), h.create(h.day+5, 19*60, 2)).Reservation
		require.Equal(t, engine.CodeOK, h.do(guest(2), &engine.Transition{ID: r.ID, Action: engine.ActionCancel}).Code)
		require.NoError(t, engine.CheckInvariants(h.a), "I9")
	}
}

// TestForgetAfterALongTime: the service days are passed also when one step is longer than there are sheets.
func TestForgetAfterALongTime(t *testing.T) {
	h := newHarness(t, "UTC", evening)
	h.table("1", 1, 2)
	var made []*engine.Reservation
	for i := range 2 {
		r := h.do(guest(1), h.create(h.day+engine.Day(i), 19*60, 2)).Reservation
		h.do(guest(1), &engine.Transition{ID: r.ID, Action: engine.ActionCancel})
		made = append(made, r)
	}
	h.now = engine.Instant(h.day+33) * 86_400_000
	h.do(owner, &engine.ChangeRestaurant{})
	view := h.view.(*engine.RestaurantView)
	require.Nil(t, view.Reservation(made[0].ID), "on the day")
	require.NotNil(t, view.Reservation(made[1].ID), "a day before its day")
	require.NoError(t, engine.CheckInvariants(h.a))
	require.NoError(t, engine.CheckViewInvariants(view))
}

// TestForgettingAtTheStart: who is about to come is let go, who should be there by now is not, the nearest first.
func TestForgettingAtTheStart(t *testing.T) {
	h := newHarness(t, "UTC", evening)
	for i := range 4 {
		h.table(fmt.Sprint(i), 1, 2)
	}
	now, late, soon := h.booked(19*60, 2), h.booked(21*60, 2), h.booked(20*60, 2)
	h.now = engine.Instant(now.StartsAt) * 1000
	out, events := h.a.Decide(h.now, &engine.Command{Caller: system, Body: &engine.ForgetGuest{Guest: guest(1).Account}})
	require.Equal(t, engine.CodeOK, out.Code)
	require.Len(t, events, 3)
	require.Equal(t, []string{string(soon.ID), string(late.ID)},
		[]string{events[0].GetReservationStatusChanged().GetId(), events[1].GetReservationStatusChanged().GetId()})
}

// TestCombinationsFollowTheFloor: whatever changes a table of a combination changes the combination.
func TestCombinationsFollowTheFloor(t *testing.T) {
	h := newHarness(t, "UTC", evening)
	first := h.table("0", 1, 2)
	ten, two := h.table("T10", 1, 4), h.table("T2", 1, 4)
	rules := h.do(owner, &engine.SetRules{Change: engine.RulesChange{Combinations: &[]engine.Combination{{Tables: []engine.TableID{ten, two}, MinParty: 5, MaxParty: 8}}}})
	require.Equal(t, engine.CodeOK, rules.Code)
	require.Equal(t, engine.CodeOK, h.do(owner, &engine.RemoveTable{ID: first}).Code, "slots move")
	require.Equal(t, []engine.TableID{two, ten}, h.booked(19*60, 7).Tables, "as people count them")
	change := func(c engine.TableChange) engine.Code {
		return h.do(owner, &engine.ChangeTable{ID: two, Change: c}).Code
	}
	require.Equal(t, engine.CodeOK, change(engine.TableChange{InService: new(false)}))
	require.NotEqual(t, engine.CodeCreated, h.do(guest(2), h.create(h.day+1, 19*60, 7)).Code, "half of it is out of service")
	require.Equal(t, engine.CodeOK, change(engine.TableChange{InService: new(true), Channel: new(engine.ChannelInHouse)}))
	require.NotEqual(t, engine.CodeCreated, h.do(guest(2), h.create(h.day+1, 19*60, 7)).Code, "half of it is for the house")
	require.Equal(t, engine.CodeCreated, h.do(owner, h.create(h.day+1, 19*60, 7)).Code)
}

// TestAssignedTablesAreCounted: one to eight tables, each once.
func TestAssignedTablesAreCounted(t *testing.T) {
	h := newHarness(t, "UTC", evening)
	var ids []engine.TableID
	for i := range engine.MaxTablesPerParty + 1 {
		ids = append(ids, h.table(fmt.Sprint(i), 1, 2))
	}
	r := h.booked(19*60, 2)
	for _, tables := range [][]engine.TableID{nil, ids, {ids[0], ids[0]}, {engine.MakeTableID(h.id, 4711)}} {
		require.Equal(t, engine.Outcome{Code: engine.CodeInvalid, Field: "table_ids"}, h.do(owner, &engine.AssignTables{ID: r.ID, Tables: tables}))
	}
	eight := ids[:engine.MaxTablesPerParty]
	out := h.do(owner, &engine.AssignTables{ID: r.ID, Tables: eight, Override: "a wedding"})
	require.Equal(t, engine.CodeOK, out.Code, out.Field)
	require.Equal(t, eight, out.Reservation.Tables)
}

// TestWhatTouchesIsNotInTheWay: half-open, as everywhere.
func TestWhatTouchesIsNotInTheWay(t *testing.T) {
	h := newHarness(t, "UTC", evening)
	one, two := h.table("1", 1, 2), h.table("2", 1, 2)
	taken, moved := h.booked(19*60, 2), h.booked(19*60, 2)
	require.Equal(t, []engine.TableID{two}, moved.Tables)
	h.do(owner, &engine.ChangeTable{ID: one, Change: engine.TableChange{Blocks: &[]engine.Block{
		{From: taken.StartsAt - 3600, Until: taken.StartsAt}, {From: taken.EndsAt, Until: taken.EndsAt + 3600}, {From: taken.EndsAt - 300, Until: taken.EndsAt}}}})
	out := h.do(owner, &engine.AssignTables{ID: moved.ID, Tables: []engine.TableID{one}})
	require.Equal(t, engine.CodeSlotUnavailable, out.Code)
	require.Equal(t, []engine.Reason{engine.ReasonBlocked, engine.ReasonTaken}, []engine.Reason{out.Conflicts[0].Reason, out.Conflicts[1].Reason})
	require.Len(t, out.Conflicts, 2)
}

// TestPaceIsForNewGuests: who only wishes to sit elsewhere brings nobody.
func TestPaceIsForNewGuests(t *testing.T) {
	h := newHarness(t, "UTC", evening)
	for i, area := range []string{"bar", "bar", "garden"} {
		h.do(owner, &engine.AddTable{ID: engine.MakeTableID(h.id, h.next()), Table: engine.TableSpec{Number: fmt.Sprint(i), Capacity: 4, MinCapacity: 1, InService: true, Location: area}})
	}
	r := h.booked(19*60, 2)
	h.booked(19*60, 2)
	require.Equal(t, engine.CodeOK, h.do(owner, &engine.SetRules{Change: engine.RulesChange{Pacing: &engine.Pacing{Covers: 3}}}).Code)
	move := func(c engine.Reschedule) engine.Code { c.ID = r.ID; return h.do(guest(1), &c).Code }
	require.Equal(t, engine.CodePacingLimit, move(engine.Reschedule{GuestsCount: new(3)}))
	require.Equal(t, engine.CodeOK, move(engine.Reschedule{Area: new("garden")}))
	require.Equal(t, engine.CodeOK, move(engine.Reschedule{GuestsCount: new(1)}))
}

// TestAnOverrideHasABound: nobody seats more than eight tables of a hundred.
func TestAnOverrideHasABound(t *testing.T) {
	h := newHarness(t, "UTC", evening)
	c := h.create(h.day, 19*60, engine.MaxTablesPerParty*engine.MaxCapacity)
	c.Table, c.Override = h.table("1", 1, 2), "standing"
	require.Equal(t, engine.CodeCreated, h.do(owner, c).Code)
	c = h.create(h.day+1, 19*60, c.GuestsCount+1)
	c.Table, c.Override = h.table("2", 1, 2), "standing"
	require.Equal(t, engine.CodePartyTooLarge, h.do(owner, c).Code)
}

// TestWhatTheHouseHasSeenStays: under approval a guest who changes only his words does not ask anew.
func TestWhatTheHouseHasSeenStays(t *testing.T) {
	h := newHarness(t, "UTC", evening)
	h.table("1", 1, 4)
	require.Equal(t, engine.CodeOK, h.do(owner, &engine.SetRules{Change: engine.RulesChange{Approval: new(engine.ApprovalManual)}}).Code)
	r := h.booked(19*60, 2)
	require.Equal(t, engine.StatusPending, r.Status)
	require.Equal(t, engine.CodeOK, h.do(owner, &engine.Transition{ID: r.ID, Action: engine.ActionConfirm}).Code)
	for _, c := range []struct {
		change engine.Reschedule
		status engine.Status
	}{
		{engine.Reschedule{SpecialRequests: new("window")}, engine.StatusConfirmed}, {engine.Reschedule{GuestsCount: new(1)}, engine.StatusConfirmed},
		{engine.Reschedule{GuestsCount: new(2)}, engine.StatusPending},
	} {
		c.change.ID = r.ID
		require.Equal(t, c.status, h.do(guest(1), &c.change).Reservation.Status)
	}
}

// TestANewerReasonIsRefused: an answer that this build cannot spell is not passed on.
func TestANewerReasonIsRefused(t *testing.T) {
	encode := func(reason engine.Reason) []byte {
		return engine.AppendOutcome(nil, &engine.Outcome{Code: engine.CodeSlotUnavailable, Conflicts: []engine.Obstacle{{Number: "1", Reason: reason}}})
	}
	_, err := engine.DecodeOutcome(encode(engine.ReasonTaken))
	require.NoError(t, err)
	_, err = engine.DecodeOutcome(encode(engine.ReasonTaken + 1))
	require.Error(t, err)
}

// TestPersonalPartsThatAreCut: an empty string has a part too, and a length without its end is no part.
func TestPersonalPartsThatAreCut(t *testing.T) {
	event := func() *engine.Event {
		return &engine.Event{Body: &enginepb.Event_ReviewAdded{ReviewAdded: &enginepb.ReviewAdded{Comment: "good"}}}
	}
	stripped, taken := engine.SplitPersonal(event())
	require.Empty(t, stripped.GetReviewAdded().Comment)
	require.True(t, engine.HasPersonal(event()))
	require.NoError(t, engine.JoinPersonal(stripped, taken))
	require.Equal(t, "good", stripped.GetReviewAdded().Comment)
	for _, bad := range [][]byte{{0x80}, {9, 'x'}, append(taken, 0)} {
		require.ErrorIs(t, engine.JoinPersonal(event(), bad), engine.ErrEvent, "%v", bad)
	}
	factor := &engine.Event{Body: &enginepb.Event_SecondFactorChanged{SecondFactorChanged: &enginepb.SecondFactorChanged{Factor: &enginepb.SecondFactor{}}}}
	_, taken = engine.SplitPersonal(factor)
	require.NoError(t, engine.JoinPersonal(factor, taken))
	require.Nil(t, factor.GetSecondFactorChanged().Factor.Secret, "none is none, not an empty one: a digest would differ")
}

// TestTheLeadOfAReminder: the guest is told by how much.
func TestTheLeadOfAReminder(t *testing.T) {
	h := newHarness(t, "UTC", evening)
	h.table("1", 1, 2)
	h.now = engine.Instant(h.day-2) * 86_400_000
	r := h.booked(20*60, 2)
	start := engine.Instant(r.StartsAt) * 1000
	lead := func(before engine.Instant) int64 {
		_, events := h.a.Decide(start-before, &engine.Command{Caller: system, Body: &engine.Sweep{}})
		if len(events) == 0 {
			return -1
		}
		require.Equal(t, engine.RoleSystem, events[0].ByRole)
		return events[0].GetReservationReminded().LeadMin
	}
	const hour = 3_600_000
	require.EqualValues(t, -1, lead(24*hour+1))
	require.EqualValues(t, 24*60, lead(24*hour))
	require.EqualValues(t, 24*60, lead(2*hour+1))
	require.EqualValues(t, 2*60, lead(2*hour), "one for both")
	require.EqualValues(t, 2*60, lead(1))
	require.EqualValues(t, 0, lead(0), "who should be there by now is told nothing, and not asked for again")
}

// TestTheHouseHasSoManyHolds: beyond them nothing is held, and nothing offered, until one is over.
func TestTheHouseHasSoManyHolds(t *testing.T) {
	h := newHarness(t, "UTC", dinner)
	const tables = 25
	for i := range tables {
		h.table(fmt.Sprint(i), 1, 2)
	}
	full := h.day + 60
	var booked []*engine.Reservation
	for range tables {
		booked = append(booked, h.do(owner, h.create(full, 19*60, 2)).Reservation)
	}
	waiting := h.join(guest(1), full, 19*60, 19*60, 2).Reservation.ID
	require.Equal(t, engine.CodeCreated, h.join(guest(2), h.day+61, 19*60, 19*60, 2).Code, "an offer at once")
	hold := func(n int) engine.Outcome {
		return h.do(owner, &engine.Hold{ID: engine.MakeReservationID(h.id, h.next()), GuestsCount: 2, Want: engine.When{HasLocal: true, Day: h.day + engine.Day(n/tables), LocalMin: 19 * 60}})
	}
	var last engine.ReservationID
	for n := range engine.MaxHolds - 1 {
		out := hold(n)
		require.Equal(t, engine.CodeCreated, out.Code)
		last = out.Reservation.ID
	}
	require.Equal(t, engine.Outcome{Code: engine.CodeLimit, Field: "holds"}, hold(engine.MaxHolds))
	status := func() engine.Status { return h.view.(*engine.RestaurantView).Reservation(waiting).Status }
	h.do(owner, &engine.Transition{ID: booked[0].ID, Action: engine.ActionCancel})
	require.Equal(t, engine.StatusWaiting, status())
	require.Equal(t, engine.Outcome{Code: engine.CodeLimit, Field: "holds"}, h.do(owner, &engine.OfferTable{ID: waiting}))
	require.NoError(t, engine.CheckInvariants(h.a))
	h.do(owner, &engine.Transition{ID: last, Action: engine.ActionRelease})
	require.Equal(t, engine.StatusHeld, status())
}

// TestTheFullestRulesAreKept: what is allowed at most is applied, and comes back from a base.
func TestTheFullestRulesAreKept(t *testing.T) {
	h := newHarness(t, "UTC", evening)
	var shifts []engine.OpeningHours
	for i := range engine.MaxShifts {
		shifts = append(shifts, engine.OpeningHours{Days: 127, Open: i * 5, LastSeating: i * 5, Close: i*5 + 5})
	}
	require.Equal(t, engine.CodeOK, h.do(owner, &engine.ChangeRestaurant{Change: engine.DetailsChange{OpeningHours: &shifts}}).Code)
	var turns []engine.TurnTime
	for i := range engine.MaxTurnTimes {
		turns = append(turns, engine.TurnTime{MinParty: i + 1, MaxParty: i + 1, Minutes: 90})
	}
	var days []engine.SpecialDay
	for i := range engine.MaxSpecialDays {
		days = append(days, engine.SpecialDay{Day: h.day + engine.Day(i)})
	}
	require.Equal(t, engine.CodeOK, h.do(owner, &engine.SetRules{Change: engine.RulesChange{TurnTimes: &turns, SpecialDays: &days}}).Code)
	again, err := engine.OpenBase(engine.AggregateID(h.id), h.a.AppendBase(nil))
	require.NoError(t, err)
	require.Equal(t, h.a.Digest(), again.Digest())
	require.Equal(t, turns, again.View().(*engine.RestaurantView).Rules().TurnTimes)
}

// TestTheLongestStay: eight hours and a buffer of two.
func TestTheLongestStay(t *testing.T) {
	h := newHarness(t, "UTC", evening)
	h.table("1", 1, 2)
	rules := engine.RulesChange{BufferMin: new(engine.MaxBufferMin), TurnTimes: &[]engine.TurnTime{{MinParty: 1, MaxParty: 9, Minutes: engine.MaxTurnMin}}}
	require.Equal(t, engine.CodeOK, h.do(owner, &engine.SetRules{Change: rules}).Code)
	r := h.booked(19*60, 2)
	require.EqualValues(t, engine.MaxTurnMin*60, r.EndsAt-r.StartsAt)
	require.Equal(t, engine.CodeSlotUnavailable, h.do(guest(2), h.create(h.day, 22*60, 2)).Code)
}

// TestRatingsAtTheirBounds: one to five.
func TestRatingsAtTheirBounds(t *testing.T) {
	h := newHarness(t, "UTC", evening)
	for rating, code := range []engine.Code{engine.CodeInvalid, engine.CodeCreated, engine.CodeCreated, engine.CodeCreated, engine.CodeCreated, engine.CodeCreated, engine.CodeInvalid} {
		h.table(fmt.Sprint(rating), 1, 2)
		r := h.booked(19*60, 2)
		for _, a := range []engine.Action{engine.ActionSeat, engine.ActionComplete} {
			require.Equal(t, engine.CodeOK, h.do(owner, &engine.Transition{ID: r.ID, Action: a}).Code)
		}
		out := h.do(guest(1), &engine.AddReview{ID: engine.MakeReviewID(h.id, h.next()), Reservation: r.ID, Rating: rating, Comment: "buono"})
		require.Equal(t, code, out.Code, "%d", rating)
	}
	require.Equal(t, engine.Ratings{Sum: 15, Count: 5}, h.view.(*engine.RestaurantView).Restaurant().Ratings)
}

// TestAChangeSaysFirstWhatIsDue: in the very millisecond of a reminder, and not any more when the party has not come.
func TestAChangeSaysFirstWhatIsDue(t *testing.T) {
	h := newHarness(t, "UTC", evening)
	h.table("1", 1, 2)
	r := h.booked(20*60, 2)
	start := engine.Instant(r.StartsAt) * 1000
	change := func(at engine.Instant) (leads []int64) {
		out, events := h.a.Decide(at, &engine.Command{Caller: owner, Body: &engine.Reschedule{ID: r.ID, SpecialRequests: new("window")}})
		require.Equal(t, engine.CodeOK, out.Code)
		for _, e := range events {
			if m := e.GetReservationReminded(); m != nil {
				leads = append(leads, m.LeadMin)
			}
		}
		return leads
	}
	const minute = 60_000
	require.Empty(t, change(start-24*60*minute-1))
	require.Equal(t, []int64{24 * 60}, change(start-24*60*minute))
	require.Equal(t, []int64{2 * 60}, change(start-2*60*minute))
	require.Empty(t, change(start+engine.DefaultNoShowMin*minute))
}
