package rabbitmq

import (
	"maitred/engine"
	"maitred/engine/enginepb"
	"maitred/persistence"
)

// Ids of the examples.
const (
	exampleRestaurant  = "rst_0123456789abc"
	exampleTable       = "tbl_0123456789abc0000000000001"
	exampleReservation = "rsv_0123456789abc0000000000002"
	exampleReview      = "rev_0123456789abc0000000000002"
	exampleGuest       = "usr_0hv2k5j8c9qdnm3rz7x1w4pb6e"
	exampleOwner       = "usr_1cgh60d2ms3n9vzjq85tk7xwpa"
)

// secret stands in every personal string of the examples.
const secret = "personal, nobody's business"

// exampleEvents is one event of each kind that is published, with every field that an event of its kind can have.
func exampleEvents() []persistence.Committed {
	about := &enginepb.Restaurant{Id: exampleRestaurant, Owner: exampleOwner, Name: "Da Prova", Address: "Via Prova 1", City: "Roma",
		Country: "IT", CuisineType: "Roman", Description: "A trattoria in Trastevere.", Phone: "+39 06 555 0100", Email: "info@example.org",
		TimeZone: "Europe/Rome", Latitude: 41.888, Longitude: 12.4776,
		OpeningHours: []*enginepb.OpeningHours{{Days: 0b0111111, OpenMin: 1080, CloseMin: 1500, LastSeatingMin: 1380, Name: "Dinner", GridMin: 30}}}
	rules := &enginepb.Rules{Version: 2, MinNoticeMin: 60, HorizonDays: 60, BufferMin: 15, NoShowMin: 20, PausedUntilMs: 1_796_000_400_000,
		TurnTimes: []*enginepb.TurnTime{{MinParty: 1, MaxParty: 2, Minutes: 90, Shift: "Dinner"}, {MinParty: 1, MaxParty: 8, Minutes: 180, FromDay: 20_818, ToDay: 20_818}},
		Pacing:    &enginepb.Pacing{WindowMin: 15, Covers: 24, OnlineCovers: 16},
		SpecialDays: []*enginepb.SpecialDay{{Day: 20_812, Note: "Christmas"},
			{Day: 20_818, Shifts: []*enginepb.Shift{{Days: 127, OpenMin: 1140, CloseMin: 1560, LastSeatingMin: 1260, Name: "Late", GridMin: 30}}}},
		Combinations: []*enginepb.Combination{{TableIds: []string{exampleTable, "tbl_0123456789abc0000000000002"}, MinParty: 5, MaxParty: 8}}, Approval: engine.ApprovalLarge, ApprovalFrom: 8,
		Cancellation: &enginepb.Policy{FreeUntilMin: 1440, LateFee: 1500, NoShowFee: 3000, Currency: "EUR"}}
	table := &enginepb.Table{Id: exampleTable, TableNumber: "12", Capacity: 4, MinCapacity: 2, Location: "terrace", InService: true, Version: 1, Channel: engine.ChannelInHouse,
		Blocks: []*enginepb.Block{{From: 1_798_131_600, Until: 1_798_138_800}}}
	contact := &enginepb.Contact{Name: secret, Phone: secret, Email: secret}
	const evening = 1_798_131_600 // 2026-12-24T17:00:00Z
	made := &enginepb.Reservation{Id: exampleReservation, Guest: exampleGuest, TableIds: []string{exampleTable}, ServiceDay: 20_811, LocalMin: 1080,
		StartsAt: evening, EndsAt: evening + 7200, GuestsCount: 2, SpecialRequests: secret, Status: engine.StatusConfirmed, Version: 1, Contact: contact,
		Key: []byte("key"), Body: []byte("body")}
	moved := &enginepb.ReservationRescheduled{Id: exampleReservation, TableIds: []string{exampleTable}, ServiceDay: 20_811, LocalMin: 1470,
		StartsAt: evening + 23_400, EndsAt: evening + 30_600, GuestsCount: 3, SpecialRequests: secret, Override: &enginepb.Override{Reason: secret, Lifted: []uint32{10}}}
	events := []*enginepb.Event{
		{ByRole: engine.RoleOwner, Body: &enginepb.Event_RestaurantCreated{RestaurantCreated: &enginepb.RestaurantCreated{Restaurant: about}}},
		{ByRole: engine.RoleOwner, Body: &enginepb.Event_RestaurantChanged{RestaurantChanged: &enginepb.RestaurantChanged{Restaurant: about}}},
		{ByRole: engine.RoleManager, Body: &enginepb.Event_TableAdded{TableAdded: &enginepb.TableAdded{Table: table}}},
		{ByRole: engine.RoleManager, Body: &enginepb.Event_TableChanged{TableChanged: &enginepb.TableChanged{Table: table}}},
		{ByRole: engine.RoleManager, Body: &enginepb.Event_TableRemoved{TableRemoved: &enginepb.TableRemoved{TableId: exampleTable}}},
		{ByRole: engine.RoleOwner, Body: &enginepb.Event_StaffSet{StaffSet: &enginepb.StaffSet{Member: &enginepb.Member{
			Account: exampleGuest, Role: engine.RoleHost, SinceMs: 1_796_000_000_000, Version: 1}}}},
		{ByRole: engine.RoleOwner, Body: &enginepb.Event_StaffRemoved{StaffRemoved: &enginepb.StaffRemoved{Account: exampleGuest}}},
		{ByRole: engine.RoleCustomer, Body: &enginepb.Event_ReservationCreated{ReservationCreated: &enginepb.ReservationCreated{Reservation: made}}},
		{ByRole: engine.RoleCustomer, Body: &enginepb.Event_ReservationRescheduled{ReservationRescheduled: moved}},
	}
	for _, status := range []enginepb.Status{enginepb.Status_STATUS_HELD, enginepb.Status_STATUS_PENDING, engine.StatusConfirmed,
		enginepb.Status_STATUS_DECLINED, engine.StatusSeated, engine.StatusCompleted, engine.StatusNoShow, engine.StatusCancelled} {
		events = append(events, &enginepb.Event{ByRole: engine.RoleHost, Body: &enginepb.Event_ReservationStatusChanged{
			ReservationStatusChanged: &enginepb.ReservationStatusChanged{Id: exampleReservation, Status: status, Reason: secret}}})
		if status == engine.StatusNoShow {
			body := events[len(events)-1].GetReservationStatusChanged()
			body.FeeDue, body.FeeCurrency = 6000, "EUR"
		}
	}
	events = append(events,
		&enginepb.Event{ByRole: engine.RoleSystem, Body: &enginepb.Event_ReservationStatusChanged{ReservationStatusChanged: &enginepb.ReservationStatusChanged{
			Id: exampleReservation, Status: enginepb.Status_STATUS_EXPIRED, Reason: "not confirmed in time"}}},
		&enginepb.Event{ByRole: engine.RoleCustomer, Body: &enginepb.Event_ReviewAdded{ReviewAdded: &enginepb.ReviewAdded{
			Id: exampleReview, Reservation: exampleReservation, Rating: 5, Comment: secret}}},
		&enginepb.Event{ByRole: engine.RoleSystem, Body: &enginepb.Event_GuestForgotten{GuestForgotten: &enginepb.GuestForgotten{Guest: exampleGuest}}},
		&enginepb.Event{ByRole: engine.RoleManager, Body: &enginepb.Event_RulesSet{RulesSet: &enginepb.RulesSet{Rules: rules}}},
		&enginepb.Event{ByRole: engine.RoleSystem, Body: &enginepb.Event_ReservationOffered{ReservationOffered: &enginepb.ReservationOffered{
			Id: exampleReservation, TableIds: []string{exampleTable}, ServiceDay: 20_811, LocalMin: 1080, StartsAt: evening, EndsAt: evening + 7200,
			GuestsCount: 2, HoldUntilMs: 1_796_000_624_123}}},
		&enginepb.Event{ByRole: engine.RoleSystem, Body: &enginepb.Event_ReservationReminded{ReservationReminded: &enginepb.ReservationReminded{
			Id: exampleReservation, LeadMin: 120}}},
		&enginepb.Event{ByRole: engine.RoleSystem, Body: &enginepb.Event_ReservationReminded{ReservationReminded: &enginepb.ReservationReminded{
			Id: exampleReservation}}},
		&enginepb.Event{ByRole: engine.RoleHost, Body: &enginepb.Event_ReservationNoted{ReservationNoted: &enginepb.ReservationNoted{Id: exampleReservation, Note: secret}}})
	var all []persistence.Committed
	for i, e := range events {
		e.AtMs, e.ByAccount, e.From = 1_796_000_000_123+int64(i)*1000, exampleOwner, secret
		e.Receipt = &enginepb.Receipt{Key: []byte("key"), Subject: exampleReservation}
		all = append(all, persistence.Committed{Seq: 1, Index: i, Aggregate: exampleRestaurant, Version: engine.Version(i + 1), Event: e})
	}
	return all
}
