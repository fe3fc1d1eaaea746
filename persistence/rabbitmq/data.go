package rabbitmq

import (
	"cmp"
	"time"

	"maitred/engine"
	"maitred/engine/enginepb"
)

// The data of the messages. Names are those of the HTTP API where it has them. Personal strings have no place here.
type (
	// party is when and where a reservation is. Instants are RFC 3339 in UTC.
	party struct {
		TableIDs     []string `json:"table_ids"`
		ServiceDate  string   `json:"service_date"`  // YYYY-MM-DD of the shift
		LocalMinutes int32    `json:"local_minutes"` // after local midnight of the service date; ≥ 1,440 on the day after
		StartsAt     string   `json:"starts_at"`
		EndsAt       string   `json:"ends_at"` // exclusive
		GuestsCount  int32    `json:"guests_count"`
	}
	reservationCreated struct {
		ID           string `json:"id"`
		RestaurantID string `json:"restaurant_id"`
		UserID       string `json:"user_id,omitempty"` // absent: staff wrote the guest in
		party
		Status    string `json:"status"`
		HoldUntil string `json:"hold_until,omitempty"` // of a hold: when it ends by itself
		ByRole    string `json:"by_role,omitempty"`
	}
	reservationRescheduled struct {
		ID           string `json:"id"`
		RestaurantID string `json:"restaurant_id"`
		party
		ByRole string `json:"by_role,omitempty"`
	}
	reservationOffered struct {
		ID           string `json:"id"`
		RestaurantID string `json:"restaurant_id"`
		party
		HoldUntil string `json:"hold_until"` // the offer ends by itself
		ByRole    string `json:"by_role,omitempty"`
	}
	reservationReminded struct {
		ID           string `json:"id"`
		RestaurantID string `json:"restaurant_id"`
		LeadMinutes  int64  `json:"lead_minutes"` // before the start: which reminder it is
		ByRole       string `json:"by_role,omitempty"`
	}
	reservationStatus struct {
		ID           string `json:"id"`
		RestaurantID string `json:"restaurant_id"`
		Status       string `json:"status"`
		Reason       string `json:"reason,omitempty"`  // of maitred's own timers only: what people write is personal
		FeeDue       int64  `json:"fee_due,omitempty"` // of the guest, in minor units
		FeeCurrency  string `json:"fee_currency,omitempty"`
		ByRole       string `json:"by_role,omitempty"`
	}
	reservationNoted struct {
		ID           string `json:"id"`
		RestaurantID string `json:"restaurant_id"`
		ByRole       string `json:"by_role,omitempty"`
	}
	openingHours struct {
		Days        []string `json:"days"`
		Open        string   `json:"open"` // HH:MM; close and last seating are after midnight when they are earlier
		Close       string   `json:"close"`
		LastSeating string   `json:"last_seating"`
		Name        string   `json:"name,omitempty"`
		GridMinutes int32    `json:"grid_minutes,omitempty"` // absent: the restaurant's
	}
	restaurantData struct {
		ID           string         `json:"id"`
		OwnerID      string         `json:"owner_id"`
		Name         string         `json:"name"`
		Address      string         `json:"address"`
		City         string         `json:"city"`
		Country      string         `json:"country"`
		CuisineType  string         `json:"cuisine_type"`
		Description  string         `json:"description"`
		Phone        string         `json:"phone"`
		Email        string         `json:"email"`
		TimeZone     string         `json:"time_zone"`
		Latitude     float64        `json:"latitude"`
		Longitude    float64        `json:"longitude"`
		OpeningHours []openingHours `json:"opening_hours"`
		GridMinutes  int32          `json:"grid_minutes"`
		ByRole       string         `json:"by_role,omitempty"`
	}
	rulesSet struct {
		RestaurantID     string        `json:"restaurant_id"`
		Version          uint64        `json:"version"`
		MinNoticeMinutes int64         `json:"min_notice_minutes"`
		HorizonDays      int64         `json:"horizon_days"`
		BufferMinutes    int64         `json:"buffer_minutes"`
		NoShowMinutes    int64         `json:"no_show_minutes"`
		PausedUntil      string        `json:"paused_until,omitempty"`
		TurnTimes        []turnTime    `json:"turn_times"`
		Pacing           pacing        `json:"pacing"`
		SpecialDays      []specialDay  `json:"special_days"`
		Combinations     []combination `json:"combinations"`
		Approval         string        `json:"approval"`
		ApprovalFrom     int64         `json:"approval_from,omitempty"`
		HoldMinutes      int64         `json:"hold_minutes"`
		OfferMinutes     int64         `json:"offer_minutes"`
		Cancellation     policy        `json:"cancellation"`
		ByRole           string        `json:"by_role,omitempty"`
	}
	combination struct {
		TableIDs []string `json:"table_ids"`
		MinParty int64    `json:"min_party"`
		MaxParty int64    `json:"max_party"`
	}
	policy struct {
		FreeUntilMinutes int64  `json:"free_until_minutes"`
		LateFee          int64  `json:"late_fee"` // per guest, in minor units
		NoShowFee        int64  `json:"no_show_fee"`
		Currency         string `json:"currency"`
	}
	turnTime struct {
		MinParty int64  `json:"min_party"`
		MaxParty int64  `json:"max_party"`
		Minutes  int64  `json:"minutes"`
		Shift    string `json:"shift,omitempty"`
		FromDate string `json:"from_date,omitempty"`
		ToDate   string `json:"to_date,omitempty"`
	}
	pacing struct {
		WindowMinutes int64 `json:"window_minutes"`
		Covers        int64 `json:"covers"`
		Parties       int64 `json:"parties"`
		OnlineCovers  int64 `json:"online_covers"`
		OnlineParties int64 `json:"online_parties"`
	}
	shiftOfDay struct {
		Open        string `json:"open"`
		Close       string `json:"close"`
		LastSeating string `json:"last_seating"`
		Name        string `json:"name,omitempty"`
		GridMinutes int32  `json:"grid_minutes,omitempty"`
	}
	specialDay struct {
		Date   string       `json:"date"`
		Shifts []shiftOfDay `json:"shifts"` // none = closed
		Note   string       `json:"note,omitempty"`
	}
	tableData struct {
		ID           string       `json:"id"`
		RestaurantID string       `json:"restaurant_id"`
		TableNumber  string       `json:"table_number"`
		Capacity     int32        `json:"capacity"`
		MinCapacity  int32        `json:"min_capacity"`
		Location     string       `json:"location"`
		IsAvailable  bool         `json:"is_available"` // in service
		Channel      string       `json:"channel"`
		Blocks       []tableBlock `json:"blocks"`
		ByRole       string       `json:"by_role,omitempty"`
	}
	tableBlock struct {
		From  string `json:"from"`
		Until string `json:"until"`
	}
	tableRemoved struct {
		ID           string `json:"id"`
		RestaurantID string `json:"restaurant_id"`
		ByRole       string `json:"by_role,omitempty"`
	}
	staffSet struct {
		RestaurantID string `json:"restaurant_id"`
		UserID       string `json:"user_id"`
		Role         string `json:"role"`
		Since        string `json:"since"`
		ByRole       string `json:"by_role,omitempty"`
	}
	// aboutUser is the data of staff_removed and guest_forgotten.
	aboutUser struct {
		RestaurantID string `json:"restaurant_id"`
		UserID       string `json:"user_id"`
		ByRole       string `json:"by_role,omitempty"`
	}
	reviewAdded struct {
		ID            string `json:"id"`
		RestaurantID  string `json:"restaurant_id"`
		ReservationID string `json:"reservation_id"`
		Rating        int32  `json:"rating"` // 1–5
		ByRole        string `json:"by_role,omitempty"`
	}
)

// about is what an event is called, the thing it is about, and its data. event is empty when this build does not know it.
type about struct {
	event, subject string
	data           any
}

// describe says what is published of an event of a restaurant, which has no personal strings any more.
func describe(restaurant string, e *engine.Event) about {
	by := roleName(e.GetByRole())
	switch b := e.GetBody().(type) {
	case *enginepb.Event_ReservationCreated:
		r := b.ReservationCreated.GetReservation()
		return about{"reservation_created", r.GetId(), reservationCreated{r.GetId(), restaurant, r.GetGuest(),
			partyOf(r), engine.StatusName(r.GetStatus()), holdUntil(r), by}}
	case *enginepb.Event_ReservationRescheduled:
		r := b.ReservationRescheduled
		return about{"reservation_rescheduled", r.GetId(), reservationRescheduled{r.GetId(), restaurant, partyOf(r), by}}
	case *enginepb.Event_ReservationStatusChanged:
		r := b.ReservationStatusChanged
		status := engine.StatusName(r.GetStatus())
		if status == "" {
			return about{}
		}
		return about{"reservation_" + status, r.GetId(), reservationStatus{r.GetId(), restaurant, status, r.GetReason(), r.GetFeeDue(), r.GetFeeCurrency(), by}}
	case *enginepb.Event_ReservationOffered:
		r := b.ReservationOffered
		return about{"reservation_offered", r.GetId(), reservationOffered{r.GetId(), restaurant, partyOf(r), instant(time.UnixMilli(r.GetHoldUntilMs())), by}}
	case *enginepb.Event_ReservationReminded:
		r := b.ReservationReminded
		name := "reservation_reminded"
		if r.GetLeadMin() == 0 { // nobody is to be written to
			name = "reservation_not_reminded"
		}
		return about{name, r.GetId(), reservationReminded{r.GetId(), restaurant, r.GetLeadMin(), by}}
	case *enginepb.Event_ReservationNoted:
		id := b.ReservationNoted.GetId()
		return about{"reservation_noted", id, reservationNoted{id, restaurant, by}}
	case *enginepb.Event_RestaurantCreated:
		return about{"restaurant_created", "", restaurantOf(restaurant, b.RestaurantCreated.GetRestaurant(), by)}
	case *enginepb.Event_RestaurantChanged:
		return about{"restaurant_changed", "", restaurantOf(restaurant, b.RestaurantChanged.GetRestaurant(), by)}
	case *enginepb.Event_RulesSet:
		return about{"rules_set", "", rulesOf(restaurant, b.RulesSet.GetRules(), by)}
	case *enginepb.Event_TableAdded:
		t := b.TableAdded.GetTable()
		return about{"table_added", t.GetId(), tableOf(restaurant, t, by)}
	case *enginepb.Event_TableChanged:
		t := b.TableChanged.GetTable()
		return about{"table_changed", t.GetId(), tableOf(restaurant, t, by)}
	case *enginepb.Event_TableRemoved:
		id := b.TableRemoved.GetTableId()
		return about{"table_removed", id, tableRemoved{id, restaurant, by}}
	case *enginepb.Event_StaffSet:
		m := b.StaffSet.GetMember()
		return about{"staff_set", m.GetAccount(), staffSet{restaurant, m.GetAccount(), roleName(m.GetRole()), instant(time.UnixMilli(m.GetSinceMs())), by}}
	case *enginepb.Event_StaffRemoved:
		return about{"staff_removed", b.StaffRemoved.GetAccount(), aboutUser{restaurant, b.StaffRemoved.GetAccount(), by}}
	case *enginepb.Event_ReviewAdded:
		r := b.ReviewAdded
		return about{"review_added", r.GetId(), reviewAdded{r.GetId(), restaurant, r.GetReservation(), r.GetRating(), by}}
	case *enginepb.Event_GuestForgotten:
		return about{"guest_forgotten", b.GuestForgotten.GetGuest(), aboutUser{restaurant, b.GuestForgotten.GetGuest(), by}}
	}
	return about{}
}

func policyOf(p *enginepb.Policy) policy {
	return policy{p.GetFreeUntilMin(), p.GetLateFee(), p.GetNoShowFee(), p.GetCurrency()}
}

func holdUntil(r *enginepb.Reservation) string {
	if r.GetStatus() != engine.StatusHeld {
		return ""
	}
	return instant(time.UnixMilli(r.GetHoldUntilMs()))
}

// placed is what a reservation and its rescheduling have in common.
type placed interface {
	GetTableIds() []string
	GetServiceDay() int32
	GetLocalMin() int32
	GetStartsAt() int64
	GetEndsAt() int64
	GetGuestsCount() int32
}

func partyOf(r placed) party {
	return party{
		TableIDs: orEmpty(r.GetTableIds()), ServiceDate: engine.Day(r.GetServiceDay()).String(), LocalMinutes: r.GetLocalMin(),
		StartsAt: second(r.GetStartsAt()), EndsAt: second(r.GetEndsAt()), GuestsCount: r.GetGuestsCount(),
	}
}

var weekdays = [...]string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}

func restaurantOf(id string, r *enginepb.Restaurant, by string) restaurantData {
	d := restaurantData{
		ID: id, OwnerID: r.GetOwner(), Name: r.GetName(), Address: r.GetAddress(), City: r.GetCity(), Country: r.GetCountry(),
		CuisineType: r.GetCuisineType(), Description: r.GetDescription(), Phone: r.GetPhone(), Email: r.GetEmail(), TimeZone: r.GetTimeZone(),
		Latitude: r.GetLatitude(), Longitude: r.GetLongitude(), OpeningHours: []openingHours{}, ByRole: by, GridMinutes: cmp.Or(r.GetGridMin(), engine.DefaultGridMin),
	}
	for _, h := range r.GetOpeningHours() {
		d.OpeningHours = append(d.OpeningHours, hoursOf(h.GetDays(), int64(h.GetOpenMin()), int64(h.GetCloseMin()), int64(h.GetLastSeatingMin()), h.GetName(), int64(h.GetGridMin())))
	}
	return d
}

func hoursOf(days uint32, open, end, last int64, name string, grid int64) openingHours {
	o := openingHours{Days: []string{}, Open: clock(open), Close: clock(end), LastSeating: clock(last), Name: name, GridMinutes: int32(grid)}
	for i, name := range weekdays {
		if days&(1<<i) != 0 {
			o.Days = append(o.Days, name)
		}
	}
	return o
}

func rulesOf(restaurant string, r *enginepb.Rules, by string) rulesSet {
	p := r.GetPacing()
	d := rulesSet{RestaurantID: restaurant, Version: r.GetVersion(), MinNoticeMinutes: r.GetMinNoticeMin(), HorizonDays: cmp.Or(r.GetHorizonDays(), engine.HorizonDays),
		BufferMinutes: r.GetBufferMin(), NoShowMinutes: cmp.Or(r.GetNoShowMin(), engine.DefaultNoShowMin), TurnTimes: []turnTime{}, SpecialDays: []specialDay{}, Combinations: []combination{}, ByRole: by,
		Approval: engine.ApprovalName(r.GetApproval()), ApprovalFrom: r.GetApprovalFrom(), HoldMinutes: cmp.Or(r.GetHoldMin(), engine.DefaultHoldMin),
		OfferMinutes: cmp.Or(r.GetOfferMin(), engine.DefaultOfferMin), Cancellation: policyOf(r.GetCancellation()),
		Pacing: pacing{cmp.Or(p.GetWindowMin(), engine.DefaultPacingWindow), p.GetCovers(), p.GetParties(), p.GetOnlineCovers(), p.GetOnlineParties()}}
	if until := r.GetPausedUntilMs(); until != 0 {
		d.PausedUntil = instant(time.UnixMilli(until))
	}
	for _, t := range r.GetTurnTimes() {
		turn := turnTime{MinParty: t.GetMinParty(), MaxParty: t.GetMaxParty(), Minutes: t.GetMinutes(), Shift: t.GetShift()}
		if t.GetFromDay() != 0 {
			turn.FromDate, turn.ToDate = engine.Day(t.GetFromDay()).String(), engine.Day(t.GetToDay()).String()
		}
		d.TurnTimes = append(d.TurnTimes, turn)
	}
	for _, s := range r.GetSpecialDays() {
		day := specialDay{Date: engine.Day(s.GetDay()).String(), Shifts: []shiftOfDay{}, Note: s.GetNote()}
		for _, h := range s.GetShifts() {
			o := hoursOf(0, h.GetOpenMin(), h.GetCloseMin(), h.GetLastSeatingMin(), h.GetName(), h.GetGridMin())
			day.Shifts = append(day.Shifts, shiftOfDay{o.Open, o.Close, o.LastSeating, o.Name, o.GridMinutes})
		}
		d.SpecialDays = append(d.SpecialDays, day)
	}
	for _, c := range r.GetCombinations() {
		d.Combinations = append(d.Combinations, combination{c.GetTableIds(), c.GetMinParty(), c.GetMaxParty()})
	}
	return d
}

func tableOf(restaurant string, t *enginepb.Table, by string) tableData {
	blocks := []tableBlock{}
	for _, b := range t.GetBlocks() {
		blocks = append(blocks, tableBlock{second(b.GetFrom()), second(b.GetUntil())})
	}
	return tableData{t.GetId(), restaurant, t.GetTableNumber(), t.GetCapacity(), t.GetMinCapacity(), t.GetLocation(), t.GetInService(), engine.ChannelName(t.GetChannel()), blocks, by}
}

// roleName is a role as the API spells it, "system" for maitred's own timers; "" for an unknown one.
func roleName(r engine.Role) string {
	switch r {
	case engine.RoleCustomer:
		return "customer"
	case engine.RoleOwner:
		return "owner"
	case engine.RoleManager:
		return "manager"
	case engine.RoleHost:
		return "host"
	case engine.RoleAdmin:
		return "admin"
	case engine.RoleSystem:
		return "system"
	}
	return ""
}

func clock(minutes int64) string { return string(engine.AppendClock(nil, int(minutes))) }

// second is a Unix time in seconds as RFC 3339 in UTC.
func second(unix int64) string { return time.Unix(unix, 0).UTC().Format(time.RFC3339) }

// instant is RFC 3339 in UTC to the millisecond, the precision of the journal.
func instant(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func orEmpty(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}
