package enginetest

import (
	"fmt"
	"slices"
	"sort"
	"time"

	"maitred/engine"
)

// Book is the oracle: one restaurant as a list of reservations. It shares no code with the engine but the types and the
// names of ids; every question is answered by looking at everything.
type Book struct {
	ID      engine.RestaurantID
	Info    *engine.Restaurant
	Rules   *engine.Rules // nil = never set
	Tables  []*engine.Table
	List    []*engine.Reservation
	Members []*engine.Member
	Ratings []int // of every review
	Version engine.Version
	Last    engine.Instant
	owing   bool // more could be offered

	receipts []receipt
	location *time.Location
	clock    map[wall]shown
}

// wall is a minute on the clock of a zone; shown is when it is shown first.
type (
	wall struct {
		zone  string
		day   engine.Day
		local int
	}
	shown struct {
		at     int64
		exists bool
	}
)

type receipt struct {
	key, payload engine.Hash
	subject      string
	code         engine.Code
}

func (b *Book) do(now engine.Instant, cmd *engine.Command) engine.Outcome {
	now = max(now, b.Last)
	if cmd.Key != (engine.Hash{}) {
		if out, found := b.replay(cmd); found {
			return b.shown(cmd, out)
		}
	}
	out, subject, events := b.actBeside(now, cmd)
	if out.Code > engine.CodeCreated {
		return out
	}
	if events > 0 {
		b.Version += engine.Version(events)
		b.Last = now
		_, books := cmd.Body.(*engine.CreateReservation)
		_, seats := cmd.Body.(*engine.SeatWalkIn)
		_, keeps := cmd.Body.(*engine.Hold)
		_, joins := cmd.Body.(*engine.JoinWaitlist)
		if !books && !seats && !keeps && !joins && cmd.Key != (engine.Hash{}) {
			b.receipts = append(b.receipts, receipt{cmd.Key, cmd.Payload, subject, out.Code})
			b.receipts = b.receipts[max(0, len(b.receipts)-engine.MaxReceipts):]
		}
		b.forget()
	}
	return out
}

func (b *Book) replay(cmd *engine.Command) (engine.Outcome, bool) {
	for _, r := range b.List {
		if r.Key == cmd.Key {
			if r.Payload != cmd.Payload {
				return engine.Outcome{Code: engine.CodeKeyReused}, true
			}
			return engine.Outcome{Code: engine.CodeCreated, Replayed: true, Reservation: r}, true
		}
	}
	for _, r := range b.receipts {
		if r.key != cmd.Key {
			continue
		}
		if r.payload != cmd.Payload {
			return engine.Outcome{Code: engine.CodeKeyReused}, true
		}
		out := engine.Outcome{Code: r.code, Replayed: true}
		switch r.subject[:3] {
		case "rst":
			out.Restaurant = b.Info
		case "tbl":
			out.Table = b.table(engine.TableID(r.subject))
			if _, deletes := cmd.Body.(*engine.RemoveTable); out.Table == nil && !deletes {
				out.Code = engine.CodeNotFound
			}
		case "rul":
			out.Rules = b.Rules
		case "usr":
			out.Member = b.member(engine.AccountID(r.subject))
			if _, dismisses := cmd.Body.(*engine.RemoveStaff); out.Member == nil && !dismisses {
				out.Code = engine.CodeNotFound
			}
		case "rev":
			if out.Reservation = b.find(cmd.Body.(*engine.AddReview).Reservation); out.Reservation == nil {
				out.Code = engine.CodeNotFound
				break
			}
			out.Review = engine.ReviewID(r.subject)
		default:
			if out.Reservation = b.find(engine.ReservationID(r.subject)); out.Reservation == nil {
				out.Code = engine.CodeNotFound
			}
		}
		return out, true
	}
	return engine.Outcome{}, false
}

// shown takes away what the caller may not see by now.
func (b *Book) shown(cmd *engine.Command, out engine.Outcome) engine.Outcome {
	hidden := engine.Outcome{Code: engine.CodeNotFound, Replayed: true}
	if r := out.Reservation; r != nil && !b.staff(cmd.Caller) && (r.Guest == "" || r.Guest != cmd.Caller.Account) {
		return hidden
	}
	if out.Rules != nil && !b.staff(cmd.Caller) {
		return hidden
	}
	if _, dismisses := cmd.Body.(*engine.RemoveStaff); out.Member != nil && !dismisses && b.rank(cmd.Caller) < 2 {
		return hidden
	}
	return out
}

func (b *Book) forget() {
	today := b.Last / 86_400_000
	b.List = slices.DeleteFunc(b.List, func(r *engine.Reservation) bool {
		over := !holds(r.Status) && r.Status != engine.StatusWaiting
		return over && today >= engine.Instant(r.Day)+33 && today >= r.Updated/86_400_000+2
	})
}

func (b *Book) act(now engine.Instant, cmd *engine.Command) (out engine.Outcome, subject string, events int) {
	if c, ok := cmd.Body.(*engine.CreateRestaurant); ok {
		return b.createRestaurant(cmd, c)
	}
	if b.Info == nil {
		return engine.Outcome{Code: engine.CodeNotFound}, "", 0
	}
	switch c := cmd.Body.(type) {
	case *engine.ChangeRestaurant:
		return b.changeRestaurant(cmd, c)
	case *engine.SetRules:
		return b.setRules(cmd, c)
	case *engine.AddTable:
		return b.addTable(cmd, c)
	case *engine.ChangeTable:
		return b.changeTable(cmd, c)
	case *engine.RemoveTable:
		return b.removeTable(cmd, c)
	case *engine.CreateReservation:
		return b.create(now, cmd, c)
	case *engine.Hold:
		return b.hold(now, cmd, c)
	case *engine.ConfirmHold:
		return b.confirmHold(now, cmd, c)
	case *engine.SeatWalkIn:
		return b.seatWalkIn(now, cmd, c)
	case *engine.JoinWaitlist:
		return b.join(now, cmd, c)
	case *engine.OfferTable:
		return b.offerTable(now, cmd, c)
	case *engine.AssignTables:
		return b.assignTables(now, cmd, c)
	case *engine.Annotate:
		return b.annotate(now, cmd, c)
	case *engine.Reschedule:
		return b.reschedule(now, cmd, c)
	case *engine.Transition:
		return b.transition(now, cmd, c)
	case *engine.AddStaff:
		return b.addStaff(now, cmd, c)
	case *engine.ChangeStaff:
		return b.changeStaff(cmd, c)
	case *engine.RemoveStaff:
		return b.removeStaff(cmd, c)
	case *engine.AddReview:
		return b.addReview(now, cmd, c)
	case *engine.Sweep:
		return b.sweep(now, cmd)
	case *engine.ForgetGuest:
		return b.forgetGuest(now, cmd, c)
	}
	panic("enginetest: unknown command")
}

func (b *Book) find(id engine.ReservationID) *engine.Reservation {
	for _, r := range b.List {
		if r.ID == id {
			return r
		}
	}
	return nil
}

func (b *Book) put(next *engine.Reservation) {
	for i, r := range b.List {
		if r.ID == next.ID {
			b.List[i] = next
			return
		}
	}
	b.List = append(b.List, next)
}

func (b *Book) table(id engine.TableID) *engine.Table {
	for _, t := range b.Tables {
		if t.ID == id {
			return t
		}
	}
	return nil
}

func holds(s engine.Status) bool {
	return s == engine.StatusHeld || s == engine.StatusPending || s == engine.StatusConfirmed || s == engine.StatusSeated
}

// free reports whether nobody but except holds the table at any minute of [from, to).
func (b *Book) free(t engine.TableID, from, to int64, except engine.ReservationID) bool {
	for _, r := range b.List {
		if r.ID == except || !holds(r.Status) || !slices.Contains(r.Tables, t) {
			continue
		}
		for at := from; at < to; at += 60 {
			if at >= r.StartsAt && at < r.EndsAt+int64(r.BufferMin)*60 {
				return false
			}
		}
	}
	return true
}

// ask is what a party wants to know.
type ask struct {
	guests int
	staff  bool
	walkIn bool
	waited bool // horizon and pause are for others
	area   string
	except engine.ReservationID // its own
	size   bool                 // the size of the party does not matter
}

// pick is the smallest free table; ties go to the lower number, as people count.
func (b *Book) pick(a ask, s start) *engine.Table {
	var best *engine.Table
	for _, t := range b.Tables {
		if !b.suits(t, a, s) {
			continue
		}
		if a.walkIn && best != nil && t.Channel != best.Channel {
			if t.Channel > best.Channel {
				best = t
			}
			continue
		}
		if best == nil || t.Capacity < best.Capacity || t.Capacity == best.Capacity && number(t) < number(best) {
			best = t
		}
	}
	return best
}

// number pads the digits of a table number so that plain comparison is natural. The generator's numbers are unique.
func number(t *engine.Table) string {
	digits := 0
	for _, c := range t.Number {
		if c >= '0' && c <= '9' {
			digits++
		}
	}
	letters := t.Number[:len(t.Number)-digits]
	return letters + "0000000000"[digits:] + t.Number[len(letters):]
}

func (b *Book) suits(t *engine.Table, a ask, s start) bool {
	return b.may(t, a) && t.InService && t.MinCapacity <= a.guests && a.guests <= t.Capacity && b.open(t, a, s)
}

// may says whether the party books tables of that channel and area.
func (b *Book) may(t *engine.Table, a ask) bool {
	return t.Channel == engine.ChannelOnline && (a.area == "" || t.Location == a.area) ||
		a.staff && t.Channel == engine.ChannelInHouse && (a.area == "" || t.Location == a.area) ||
		a.walkIn && (a.area == "" || t.Location == a.area)
}

func (b *Book) open(t *engine.Table, a ask, s start) bool {
	for at := s.at; at < s.at+b.turn(a.guests, s)+b.buffer(); at += 60 {
		for _, block := range t.Blocks {
			if at >= block.From/300*300 && at < (block.Until+299)/300*300 { // the book counts in pieces of five minutes
				return false
			}
		}
	}
	return b.free(t.ID, s.at, s.at+b.turn(a.guests, s)+b.buffer(), a.except)
}

// together are the combinations that could seat the party, the best first.
func (b *Book) together(a ask, s start) (sets [][]engine.TableID) {
	type candidate struct {
		tables []engine.TableID
		rank   string
	}
	var all []candidate
	for _, c := range b.rules().Combinations {
		fits, areas := a.guests >= c.MinParty && a.guests <= c.MaxParty, map[string]bool{}
		var tables []*engine.Table
		for _, id := range c.Tables {
			t := b.table(id)
			fits = fits && t.InService && b.may(t, a) && b.open(t, a, s)
			areas[t.Location] = true
			tables = append(tables, t)
		}
		if !fits {
			continue
		}
		sort.Slice(tables, func(i, j int) bool { return number(tables[i]) < number(tables[j]) })
		one := candidate{rank: fmt.Sprintf("%d %02d %04d", min(len(areas), 2), len(tables), c.MaxParty)}
		for _, t := range tables {
			one.tables = append(one.tables, t.ID)
			one.rank += " " + number(t)
		}
		all = append(all, one)
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].rank < all[j].rank })
	for _, c := range all {
		sets = append(sets, c.tables)
	}
	return sets
}

func (b *Book) zone() *time.Location {
	if b.location == nil || b.location.String() != b.Info.TimeZone {
		loc, err := time.LoadLocation(b.Info.TimeZone)
		if err != nil {
			panic(err)
		}
		b.location = loc
	}
	return b.location
}

// instant is the first time at which the wall clock shows that minute of the day; false when it never does.
func (b *Book) instant(day engine.Day, local int) (int64, bool) {
	w := wall{b.Info.TimeZone, day, local}
	s, known := b.clock[w]
	if !known {
		s.at, s.exists = b.watch(time.Unix(int64(day)*86400+int64(local)*60, 0).UTC())
		if b.clock == nil {
			b.clock = map[wall]shown{}
		}
		b.clock[w] = s
	}
	return s.at, s.exists
}

// watch looks at the clock every quarter of an hour for three hours, until it shows w.
func (b *Book) watch(w time.Time) (int64, bool) {
	guess := time.Date(w.Year(), w.Month(), w.Day(), w.Hour(), w.Minute(), 0, 0, b.zone())
	for at := guess.Unix() - 3*3600; at <= guess.Unix(); at += 900 {
		t := time.Unix(at, 0).In(b.zone())
		if t.Minute() == w.Minute() && t.Hour() == w.Hour() && t.Day() == w.Day() {
			return at, true
		}
	}
	// A skipped minute is judged by the offset before the gap.
	_, before := w.Add(-26 * time.Hour).In(b.zone()).Zone()
	return w.Unix() - int64(before), false
}

// start is one minute of a service day, looked at.
type start struct {
	day              engine.Day
	local            int
	at               int64
	covered, offered bool
	shift            string
}

func (b *Book) look(day engine.Day, local int) start {
	s := start{day: day, local: local}
	var exists bool
	s.at, exists = b.instant(day, local)
	for _, h := range b.hours(day) {
		if local < h.Open || local > h.LastSeating {
			continue
		}
		grid := h.GridMin
		if grid == 0 {
			grid = b.Info.GridMin
		}
		if grid == 0 {
			grid = 15
		}
		s.covered, s.shift = true, h.Name
		if exists && ((local-h.Open)%grid == 0 || local == h.LastSeating) {
			s.offered = true
		}
	}
	return s
}

func (b *Book) judge(now engine.Instant, s start, a ask) engine.Code {
	rules := b.rules()
	notice, horizon := engine.Instant(rules.MinNoticeMin)*60_000, engine.Instant(rules.HorizonDays)
	if a.staff {
		notice = 0
	}
	if horizon == 0 {
		horizon = 90
	}
	switch {
	case !a.staff && !a.waited && now < rules.PausedUntil:
		return engine.CodePaused
	case !s.covered:
		return engine.CodeClosed
	case engine.Instant(s.at*1000) < now+notice:
		return engine.CodeTooLate
	case !a.waited && engine.Instant(s.at*1000) > now+horizon*86_400_000:
		return engine.CodeTooEarly
	case !s.offered:
		return engine.CodeNotOnGrid
	}
	return engine.CodeOK
}

// Availability is every start of day with the number of free tables.
func (b *Book) Availability(now engine.Instant, day engine.Day, guests int) (out []engine.Start) {
	b.without(max(now, b.Last), func() { out = b.availability(max(now, b.Last), day, ask{guests: guests}) })
	return out
}

func (b *Book) availability(now engine.Instant, day engine.Day, a ask) (out []engine.Start) {
	if b.Info == nil || a.guests < 1 {
		return nil
	}
	for local := 0; local < 2*1440; local += 5 {
		covered := slices.ContainsFunc(b.hours(day), func(h engine.OpeningHours) bool { return local >= h.Open && local <= h.LastSeating })
		if !covered {
			continue
		}
		s := b.look(day, local)
		if !s.offered {
			continue
		}
		open := b.judge(now, s, a) == engine.CodeOK && b.paced(s, a.guests, a.staff, a.except)
		n := 0
		for _, t := range b.Tables {
			if open && b.suits(t, a, s) {
				n++
			}
		}
		if open {
			n += len(b.together(a, s))
		}
		out = append(out, engine.Start{Day: day, LocalMin: local, StartsAt: s.at, Free: n})
	}
	return out
}
