package edge

import (
	"cmp"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"maitred/engine"
)

// The rules of a house, as its staff see and change them.
type (
	rulesJSON struct {
		Version          uint64         `json:"version"`
		MinNoticeMinutes int            `json:"min_notice_minutes"`
		HorizonDays      int            `json:"horizon_days"`
		BufferMinutes    int            `json:"buffer_minutes"`
		NoShowMinutes    int            `json:"no_show_minutes"`
		PausedUntil      *string        `json:"paused_until"` // null: not paused
		TurnTimes        []turnTimeJSON `json:"turn_times"`
		Pacing           pacingJSON     `json:"pacing"`
		SpecialDays      []specialJSON  `json:"special_days"`

		Combinations []combinationJSON `json:"combinations"`
		Approval     string            `json:"approval"`
		ApprovalFrom int               `json:"approval_from"` // guests; 0 but for large parties
		HoldMinutes  int               `json:"hold_minutes"`
		OfferMinutes int               `json:"offer_minutes"`
		Cancellation policyJSON        `json:"cancellation"`
	}
	// policyJSON has fees per guest, in minor units.
	policyJSON struct {
		FreeUntilMinutes int    `json:"free_until_minutes"`
		LateFee          int    `json:"late_fee"`
		NoShowFee        int    `json:"no_show_fee"`
		Currency         string `json:"currency"`
	}
	combinationJSON struct {
		TableIDs []string `json:"table_ids"`
		MinParty int      `json:"min_party"`
		MaxParty int      `json:"max_party"`
	}
	turnTimeJSON struct {
		MinParty int    `json:"min_party"`
		MaxParty int    `json:"max_party"`
		Minutes  int    `json:"minutes"`
		Shift    string `json:"shift,omitzero"`
		FromDate string `json:"from_date,omitzero"`
		ToDate   string `json:"to_date,omitzero"`
	}
	pacingJSON struct {
		WindowMinutes int `json:"window_minutes"`
		Covers        int `json:"covers"` // 0 = no bound, as of all
		Parties       int `json:"parties"`
		OnlineCovers  int `json:"online_covers"`
		OnlineParties int `json:"online_parties"`
	}
	specialJSON struct {
		Date   string      `json:"date"`
		Shifts []shiftJSON `json:"shifts"` // none = closed
		Note   string      `json:"note,omitzero"`
	}
	// shiftJSON is hoursJSON of one day.
	shiftJSON struct {
		Open        string `json:"open"`
		Close       string `json:"close"`
		LastSeating string `json:"last_seating"`
		Name        string `json:"name,omitzero"`
		GridMinutes int    `json:"grid_minutes,omitzero"`
	}
	rulesRequest struct {
		MinNoticeMinutes *int            `json:"min_notice_minutes"`
		HorizonDays      *int            `json:"horizon_days"`
		BufferMinutes    *int            `json:"buffer_minutes"`
		NoShowMinutes    *int            `json:"no_show_minutes"`
		PausedUntil      nullableText    `json:"paused_until,omitzero"`
		TurnTimes        *[]turnTimeJSON `json:"turn_times"`
		Pacing           *pacingJSON     `json:"pacing"`
		SpecialDays      *[]specialJSON  `json:"special_days"`

		Combinations *[]combinationJSON `json:"combinations"`
		Approval     *string            `json:"approval"`
		ApprovalFrom *int               `json:"approval_from"`
		HoldMinutes  *int               `json:"hold_minutes"`
		OfferMinutes *int               `json:"offer_minutes"`
		Cancellation *policyJSON        `json:"cancellation"`
	}
)

// nullableText tells null from a member that is not given.
type nullableText struct {
	given bool
	text  *string
}

// UnmarshalJSON implements json.Unmarshaler.
func (n *nullableText) UnmarshalJSON(b []byte) error {
	n.given = true
	return json.Unmarshal(b, &n.text)
}

// MarshalJSON implements json.Marshaler.
func (n nullableText) MarshalJSON() ([]byte, error) { return json.Marshal(n.text) }

func rulesOfView(r *engine.Rules) rulesJSON {
	out := rulesJSON{
		Version: uint64(r.Version), MinNoticeMinutes: r.MinNoticeMin, HorizonDays: cmp.Or(r.HorizonDays, engine.HorizonDays),
		BufferMinutes: r.BufferMin, NoShowMinutes: cmp.Or(r.NoShowMin, engine.DefaultNoShowMin), TurnTimes: []turnTimeJSON{}, SpecialDays: []specialJSON{}, Combinations: []combinationJSON{},
		Approval: engine.ApprovalName(r.Approval), ApprovalFrom: r.ApprovalFrom, HoldMinutes: cmp.Or(r.HoldMin, engine.DefaultHoldMin),
		OfferMinutes: cmp.Or(r.OfferMin, engine.DefaultOfferMin),
		Cancellation: policyJSON{r.Cancellation.FreeUntilMin, r.Cancellation.LateFee, r.Cancellation.NoShowFee, r.Cancellation.Currency},
		Pacing:       pacingJSON{cmp.Or(r.Pacing.WindowMin, engine.DefaultPacingWindow), r.Pacing.Covers, r.Pacing.Parties, r.Pacing.OnlineCovers, r.Pacing.OnlineParties},
	}
	if r.PausedUntil != 0 {
		out.PausedUntil = new(time.UnixMilli(int64(r.PausedUntil)).UTC().Format(time.RFC3339))
	}
	for _, t := range r.TurnTimes {
		j := turnTimeJSON{MinParty: t.MinParty, MaxParty: t.MaxParty, Minutes: t.Minutes, Shift: t.Shift}
		if t.From != 0 {
			j.FromDate, j.ToDate = t.From.String(), t.To.String()
		}
		out.TurnTimes = append(out.TurnTimes, j)
	}
	for _, d := range r.SpecialDays {
		j := specialJSON{Date: d.Day.String(), Shifts: []shiftJSON{}, Note: d.Note}
		for i := range d.Shifts {
			h := hoursOfView(&d.Shifts[i])
			j.Shifts = append(j.Shifts, shiftJSON{h.Open, h.Close, h.LastSeating, h.Name, h.GridMinutes})
		}
		out.SpecialDays = append(out.SpecialDays, j)
	}
	for _, c := range r.Combinations {
		j := combinationJSON{MinParty: c.MinParty, MaxParty: c.MaxParty}
		for _, id := range c.Tables {
			j.TableIDs = append(j.TableIDs, string(id))
		}
		out.Combinations = append(out.Combinations, j)
	}
	return out
}

// checkRules checks the form of what is given and turns it into a change; what it means is the engine's to judge.
func checkRules(w *rulesRequest) (c engine.RulesChange, t *trouble) {
	c = engine.RulesChange{MinNoticeMin: w.MinNoticeMinutes, HorizonDays: w.HorizonDays, BufferMin: w.BufferMinutes, NoShowMin: w.NoShowMinutes, ApprovalFrom: w.ApprovalFrom,
		HoldMin: w.HoldMinutes, OfferMin: w.OfferMinutes}
	if w.OfferMinutes != nil && *w.OfferMinutes == 0 {
		return c, wrong("offer_minutes", "1 to "+strconv.Itoa(engine.MaxHoldMin))
	}
	if w.HoldMinutes != nil && *w.HoldMinutes == 0 {
		return c, wrong("hold_minutes", "1 to "+strconv.Itoa(engine.MaxHoldMin))
	}
	if p := w.Cancellation; p != nil {
		c.Cancellation = &engine.Policy{FreeUntilMin: p.FreeUntilMinutes, LateFee: p.LateFee, NoShowFee: p.NoShowFee, Currency: p.Currency}
	}
	if w.Approval != nil {
		approval, ok := engine.ParseApproval(*w.Approval)
		if !ok {
			return c, wrong("approval", "automatic, manual or large_parties")
		}
		c.Approval = &approval
	}
	if w.HorizonDays != nil && *w.HorizonDays == 0 { // the engine's word for the default
		return c, wrong("horizon_days", "1 to "+strconv.Itoa(engine.MaxHorizonDays))
	}
	if w.NoShowMinutes != nil && *w.NoShowMinutes == 0 {
		return c, wrong("no_show_minutes", "5 to "+strconv.Itoa(engine.MaxNoShowMin))
	}
	if w.PausedUntil.given {
		if c.PausedUntil, t = pausedUntil(w.PausedUntil.text); t != nil {
			return c, t
		}
	}
	if p := w.Pacing; p != nil {
		c.Pacing = &engine.Pacing{WindowMin: p.WindowMinutes, Covers: p.Covers, Parties: p.Parties, OnlineCovers: p.OnlineCovers, OnlineParties: p.OnlineParties}
	}
	if w.TurnTimes != nil {
		if c.TurnTimes, t = turnTimes(*w.TurnTimes); t != nil {
			return c, t
		}
	}
	if w.SpecialDays != nil {
		if c.SpecialDays, t = specialDays(*w.SpecialDays); t != nil {
			return c, t
		}
	}
	if w.Combinations != nil {
		c.Combinations, t = combinations(*w.Combinations)
	}
	return c, t
}

func combinations(list []combinationJSON) (*[]engine.Combination, *trouble) {
	if len(list) > engine.MaxCombinations {
		return nil, wrong("combinations", "at most "+strconv.Itoa(engine.MaxCombinations))
	}
	out := make([]engine.Combination, len(list))
	for i, j := range list {
		out[i] = engine.Combination{MinParty: j.MinParty, MaxParty: j.MaxParty}
		if len(j.TableIDs) > engine.MaxTablesPerParty {
			return nil, wrong("combinations.table_ids", "2 to "+strconv.Itoa(engine.MaxTablesPerParty)+" tables")
		}
		for _, id := range j.TableIDs {
			if !fitsID(id) {
				return nil, wrong("combinations.table_ids", "not an id")
			}
			out[i].Tables = append(out[i].Tables, engine.TableID(id))
		}
	}
	return &out, nil
}

func pausedUntil(text *string) (*engine.Instant, *trouble) {
	if text == nil {
		return new(engine.Instant), nil
	}
	at, err := time.Parse(time.RFC3339, *text)
	if err != nil || at.Nanosecond() != 0 || at.Year() < firstYear || at.Year() > lastYear {
		return nil, wrong("paused_until", "null, or RFC 3339 in whole seconds, 2000 to 2100")
	}
	return new(engine.Instant(at.UnixMilli())), nil
}

func turnTimes(list []turnTimeJSON) (*[]engine.TurnTime, *trouble) {
	if len(list) > engine.MaxTurnTimes {
		return nil, wrong("turn_times", "at most "+strconv.Itoa(engine.MaxTurnTimes))
	}
	out := make([]engine.TurnTime, len(list))
	for i, j := range list {
		t := engine.TurnTime{MinParty: j.MinParty, MaxParty: j.MaxParty, Minutes: j.Minutes, Shift: j.Shift}
		var bad *trouble
		if j.FromDate != "" || j.ToDate != "" {
			if t.From, bad = parseDate("turn_times.from_date", j.FromDate); bad == nil {
				t.To, bad = parseDate("turn_times.to_date", j.ToDate)
			}
		}
		if bad == nil {
			bad = checkText("turn_times.shift", j.Shift, maxShiftName, false)
		}
		if bad != nil {
			return nil, bad
		}
		out[i] = t
	}
	return &out, nil
}

func specialDays(list []specialJSON) (*[]engine.SpecialDay, *trouble) {
	if len(list) > engine.MaxSpecialDays {
		return nil, wrong("special_days", "at most "+strconv.Itoa(engine.MaxSpecialDays))
	}
	out := make([]engine.SpecialDay, len(list))
	for i, j := range list {
		day, t := parseDate("special_days.date", j.Date)
		if t == nil {
			t = checkText("special_days.note", j.Note, maxName, false)
		}
		if t == nil && len(j.Shifts) > maxHours {
			t = wrong("special_days.shifts", "at most "+strconv.Itoa(maxHours)+" shifts")
		}
		if t != nil {
			return nil, t
		}
		out[i] = engine.SpecialDay{Day: day, Note: j.Note}
		for _, s := range j.Shifts {
			h, t := hours("special_days.shifts", &hoursJSON{weekdays[:], s.Open, s.Close, s.LastSeating, s.Name, s.GridMinutes})
			if t != nil {
				return nil, t
			}
			out[i].Shifts = append(out[i].Shifts, h)
		}
	}
	return &out, nil
}

func (s *Server) getRules(x *exchange) {
	_, v := x.inside(engine.RoleHost)
	if v == nil {
		return
	}
	x.answerRules(v.Rules())
}

func (s *Server) patchRules(x *exchange) {
	restaurant, ok := x.pathRestaurant()
	if !ok {
		return
	}
	var w rulesRequest
	t := decode(x.body(), &w)
	var change engine.RulesChange
	if t == nil {
		change, t = checkRules(&w)
	}
	cmd := x.command(t, string(restaurant), string(restaurant), &w, true)
	if cmd == nil {
		return
	}
	cmd.Body = &engine.SetRules{Change: change}
	if out := x.do(engine.AggregateID(restaurant), cmd); out != nil {
		x.answerRules(out.Rules)
	}
}

func (x *exchange) answerRules(r *engine.Rules) {
	x.etag(r.Version)
	x.send(200, rulesOfView(r))
}
