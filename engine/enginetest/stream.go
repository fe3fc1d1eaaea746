package enginetest

import (
	"fmt"
	"strings"

	"pgregory.net/rapid"

	"maitred/engine"
)

// Source is where a stream draws from: *rand.Rand of math/rand/v2, or FromRapid.
type Source interface{ IntN(n int) int }

// FromRapid draws from a rapid test, which can then shrink the stream.
func FromRapid(t *rapid.T) Source { return fromRapid{t} }

type fromRapid struct{ t *rapid.T }

func (r fromRapid) IntN(n int) int { return rapid.IntRange(0, n-1).Draw(r.t, "n") }

// Stream makes random commands to one restaurant: mostly sensible, sometimes stale, foreign, repeated or nonsense.
type Stream struct {
	src    Source
	ID     engine.RestaurantID
	Now    engine.Instant
	Owner  engine.Caller
	guests []engine.Caller

	day          engine.Day // around which guests come
	tables       []engine.TableID
	reservations []engine.ReservationID
	held         *engine.Reservation // the last that was; nil = none
	waits        []engine.ReservationID
	taken        *engine.Reservation // the last that was made
	sent         []*engine.Command   // with keys, to be repeated
	ids          uint64
	started      bool
}

// zones have offsets of 30 and 45 minutes, both hemispheres, and none.
var zones = []string{"Europe/Rome", "Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns", "Pacific/Chatham", "America/Santiago", "UTC"}

// eves are days shortly before the clocks change somewhere, and quiet ones.
var eves = []string{"2026-03-26", "2026-10-22", "2027-04-01", "2026-04-02", "2026-09-03", "2026-03-06", "2026-10-30", "2026-06-10"}

// NewStream begins a stream; n sets the ids of restaurant and people apart.
func NewStream(src Source, n uint64) *Stream {
	s := &Stream{src: src, ID: engine.MakeRestaurantID(n), Owner: engine.Caller{Account: account(n, 0), Role: engine.RoleOwner}}
	for i := range 3 {
		s.guests = append(s.guests, engine.Caller{Account: account(n, byte(i+1)), Role: engine.RoleCustomer})
	}
	s.day, _ = engine.ParseDate(eves[src.IntN(len(eves))])
	s.Now = engine.Instant(s.day)*86_400_000 + engine.Instant(src.IntN(86_400_000))
	return s
}

func account(n uint64, i byte) engine.AccountID {
	return engine.MakeAccountID([16]byte{byte(n >> 8), byte(n), i + 1})
}

// Next is the next command and its time. The first ones make the restaurant and a few tables.
func (s *Stream) Next() (engine.Instant, *engine.Command) {
	if !s.started {
		s.started = true
		return s.Now, &engine.Command{Caller: s.Owner, Key: s.key(), Body: &engine.CreateRestaurant{ID: s.ID, Details: s.details()}}
	}
	s.pass()
	if len(s.tables) < 2 {
		return s.Now, s.finish(&engine.Command{Caller: s.Owner, Body: s.addTable()})
	}
	if len(s.sent) > 0 && s.one(12) {
		c := *s.sent[s.src.IntN(len(s.sent))]
		if s.one(4) {
			c.Payload[0]++
		}
		if s.one(3) { // as if the caller were another by now
			c.Caller = s.guests[s.src.IntN(len(s.guests))]
		}
		return s.Now, &c
	}
	return s.Now, s.finish(s.command())
}

// Saw tells the stream what a command came to, so that later ones meet what exists. A stream that is told nothing speaks of
// unknown reservations.
func (s *Stream) Saw(out engine.Outcome) {
	if out.Code == engine.CodeCreated && !out.Replayed && out.Reservation != nil {
		s.reservations = append(s.reservations, out.Reservation.ID)
		s.taken = out.Reservation
		switch out.Reservation.Status {
		case engine.StatusHeld:
			s.held = out.Reservation
		case engine.StatusWaiting:
			s.waits = append(s.waits, out.Reservation.ID)
		}
	}
}

func (s *Stream) command() *engine.Command {
	guest := s.guests[s.src.IntN(len(s.guests))]
	either := guest
	if s.one(2) {
		either = s.Owner
	}
	if s.one(60) {
		either = engine.Caller{}
	}
	whose := either // the others' are nobody's
	if s.one(2) {
		whose = s.Owner
	}
	switch n := s.src.IntN(176); {
	case n >= 170:
		return &engine.Command{Caller: whose, Body: s.annotate()}
	case n >= 160:
		return &engine.Command{Caller: whose, Body: s.assign()}
	case n >= 158:
		return &engine.Command{Caller: whose, Body: &engine.OfferTable{ID: s.waitingParty()}}
	case n >= 146:
		return &engine.Command{Caller: either, Body: s.join()}
	case n >= 136:
		c := s.confirmHold()
		if s.held != nil && !s.one(4) {
			c.ID, whose = s.held.ID, s.holder()
		}
		return &engine.Command{Caller: whose, Body: c}
	case n >= 126:
		c := s.hold()
		if s.held != nil && s.one(3) {
			c.Replaces, either = s.held.ID, s.holder()
		}
		return &engine.Command{Caller: either, Body: c}
	case n >= 120:
		return &engine.Command{Caller: whose, Body: s.walkIn()}
	case n >= 116:
		return &engine.Command{Caller: either, Body: s.rules()}
	case n >= 106:
		return &engine.Command{Caller: guest, Body: &engine.AddReview{ID: engine.MakeReviewID(s.ID, s.next()), Reservation: s.reservation(), Rating: s.src.IntN(7), Comment: "buono"}}
	case n >= 100:
		return &engine.Command{Caller: either, Body: s.staff()}
	case n < 45:
		return &engine.Command{Caller: either, Body: s.create()}
	case n < 60:
		return &engine.Command{Caller: whose, Body: s.reschedule()}
	case n < 82:
		return &engine.Command{Caller: whose, Body: &engine.Transition{ID: s.reservation(), Action: engine.Action(1 + s.src.IntN(8))}}
	case n < 87:
		return &engine.Command{Caller: engine.Caller{Role: engine.RoleSystem}, Body: &engine.Sweep{}}
	case n < 88 && s.one(2):
		if s.one(4) {
			return &engine.Command{Caller: either, Body: &engine.ForgetGuest{Guest: guest.Account}}
		}
		return &engine.Command{Caller: engine.Caller{Role: engine.RoleSystem}, Body: &engine.ForgetGuest{Guest: guest.Account}}
	case n < 88:
		return &engine.Command{Caller: either, Body: &engine.Sweep{}}
	case n < 91:
		return &engine.Command{Caller: either, Body: s.addTable()}
	case n < 95:
		return &engine.Command{Caller: either, Body: s.changeTable()}
	case n < 97:
		return &engine.Command{Caller: either, Body: &engine.RemoveTable{ID: s.table()}}
	case n < 99:
		return &engine.Command{Caller: either, Body: s.changeRestaurant()}
	}
	return &engine.Command{Caller: either, Body: &engine.CreateRestaurant{ID: s.ID, Details: s.details()}}
}

// staff hires and dismisses among those who are guests as well.
func (s *Stream) staff() engine.Body {
	who := s.guests[s.src.IntN(len(s.guests))].Account
	if s.one(10) {
		who = s.Owner.Account
	}
	role := []engine.Role{engine.RoleHost, engine.RoleManager, engine.RoleHost, engine.RoleOwner}[s.src.IntN(4)]
	switch s.src.IntN(4) {
	case 0:
		return &engine.ChangeStaff{Account: who, Role: role}
	case 1, 2:
		return &engine.RemoveStaff{Account: who}
	}
	return &engine.AddStaff{Account: who, Role: role}
}

// finish adds keys and expectations.
func (s *Stream) finish(c *engine.Command) *engine.Command {
	_, sweep := c.Body.(*engine.Sweep)
	_, forget := c.Body.(*engine.ForgetGuest)
	if !sweep && !forget && s.one(3) {
		c.Key, c.Payload = s.key(), engine.Hash{byte(s.src.IntN(256)), 1}
		kept := *c
		s.sent = append(s.sent, &kept)
	}
	if s.one(8) {
		c.IfMatch = engine.Version(1 + s.src.IntN(4))
	}
	return c
}

// pass lets time go on, mostly by minutes, sometimes by weeks; now and then the clock goes back.
func (s *Stream) pass() {
	switch n := s.src.IntN(200); {
	case n == 0:
		s.Now += 40 * 86_400_000
	case n == 1:
		s.Now -= 3_600_000
	case n < 12:
		s.Now += engine.Instant(s.src.IntN(86_400_000))
	default:
		s.Now += engine.Instant(s.src.IntN(600_000))
	}
	s.day = max(s.day, engine.Day(s.Now/86_400_000))
}

func (s *Stream) one(in int) bool { return s.src.IntN(in) == 0 }

func (s *Stream) next() uint64 {
	s.ids++
	return s.ids * 0x9E3779B97F4A7C15
}

func (s *Stream) key() (h engine.Hash) {
	copy(h[:], fmt.Sprintf("key %d", s.ids))
	s.ids++
	return h
}

func (s *Stream) table() engine.TableID {
	if s.one(30) {
		return engine.MakeTableID(s.ID, 1)
	}
	return s.tables[s.src.IntN(len(s.tables))]
}

func (s *Stream) reservation() engine.ReservationID {
	if len(s.reservations) == 0 || s.one(30) {
		return engine.MakeReservationID(s.ID, 1)
	}
	return s.reservations[max(0, len(s.reservations)-1-s.src.IntN(25))]
}

// waitingParty is one that waited when it joined, mostly.
func (s *Stream) waitingParty() engine.ReservationID {
	if len(s.waits) == 0 || s.one(5) {
		return s.reservation()
	}
	return s.waits[max(0, len(s.waits)-1-s.src.IntN(5))]
}

func (s *Stream) details() engine.Details {
	d := engine.Details{Name: "Osteria", TimeZone: zones[s.src.IntN(len(zones))], GridMin: []int{0, 5, 15, 30, 45, 60, 20}[s.src.IntN(7)]}
	d.OpeningHours = []engine.OpeningHours{{Days: 127, Open: 11 * 60, Close: 27 * 60, LastSeating: 26*60 + 5*s.src.IntN(6)}}
	if s.one(4) {
		d.OpeningHours = nil
	}
	for range max(0, s.src.IntN(5)-2) {
		open := s.src.IntN(24*12) * 5
		last := open + s.src.IntN(8*12)*5
		d.OpeningHours = append(d.OpeningHours, engine.OpeningHours{
			Days: uint8(1 + s.src.IntN(127)), Open: open, LastSeating: last, Close: last + 30})
	}
	switch s.src.IntN(40) {
	case 0:
		d.Name = strings.Repeat("x", engine.MaxName+1)
	case 1:
		d.TimeZone = "Europe/Nowhere"
	case 2:
		d.GridMin = 7
	}
	if s.one(3) {
		d.OpeningHours = []engine.OpeningHours{
			{Days: 127, Open: 12 * 60, Close: 16 * 60, LastSeating: 15 * 60, Name: "Lunch", GridMin: []int{0, 10, 30}[s.src.IntN(3)]},
			{Days: uint8(1 + s.src.IntN(127)), Open: 18 * 60, Close: 25 * 60, LastSeating: 24*60 + 5*s.src.IntN(6), Name: "Dinner"},
		}
	}
	if !s.started || s.ids < 2 {
		d.Name, d.TimeZone, d.GridMin = "Osteria", zones[s.src.IntN(len(zones))], 0
		d.OpeningHours = []engine.OpeningHours{{Days: 127, Open: 11 * 60, Close: 27 * 60, LastSeating: 26 * 60}}
	}
	return d
}

func (s *Stream) addTable() *engine.AddTable {
	id := engine.MakeTableID(s.ID, s.next())
	if len(s.tables) > 0 && s.one(20) {
		id = s.table()
	} else {
		s.tables = append(s.tables, id)
	}
	capacity := 1 + s.src.IntN(8)
	return &engine.AddTable{ID: id, Table: engine.TableSpec{Number: fmt.Sprintf("T%d", s.src.IntN(40)), Capacity: capacity,
		MinCapacity: max(1, capacity-s.src.IntN(4)), InService: !s.one(10), Location: s.area(), Channel: s.channel()}}
}

func (s *Stream) changeTable() *engine.ChangeTable {
	c := &engine.ChangeTable{ID: s.table()}
	if s.one(2) {
		c.Change.Capacity = new(s.src.IntN(9))
	}
	if s.one(2) {
		c.Change.InService = new(s.one(2))
	}
	if s.one(4) {
		c.Change.Channel = new(s.channel())
	}
	if s.one(4) {
		c.Change.Location = new(s.area())
	}
	if s.one(3) {
		c.Change.Blocks = new([]engine.Block)
		for range s.src.IntN(3) {
			from := int64(s.Now/1000) + int64(s.src.IntN(3*86_400))
			*c.Change.Blocks = append(*c.Change.Blocks, engine.Block{From: from, Until: from + int64(s.src.IntN(30_000))})
		}
	}
	return c
}

func (s *Stream) area() string { return []string{"", "hall", "hall", "terrace"}[s.src.IntN(4)] }

func (s *Stream) channel() engine.Channel {
	if s.one(3) {
		return engine.Channel(s.src.IntN(3))
	}
	return engine.ChannelOnline
}

func (s *Stream) changeRestaurant() *engine.ChangeRestaurant {
	c, d := &engine.ChangeRestaurant{}, s.details()
	switch s.src.IntN(4) {
	case 0:
		c.Change.Name = &d.Name
	case 1:
		c.Change.TimeZone = &d.TimeZone
	case 2:
		c.Change.GridMin = &d.GridMin
	case 3:
		c.Change.OpeningHours = &d.OpeningHours
	}
	return c
}

func (s *Stream) when() engine.When {
	w := engine.When{HasLocal: true, Day: s.day + engine.Day(s.src.IntN(3)), LocalMin: (11*60 + s.src.IntN(15*4)*15) % 1440}
	switch s.src.IntN(30) {
	case 0:
		w.LocalMin += 1 + s.src.IntN(14)
	case 1:
		w.Day += engine.Day(s.src.IntN(100))
	case 2:
		w.Day -= 2
	case 3:
		w.StartsAt = int64(s.Now/1000) + 3600
	case 4:
		return engine.When{}
	case 8:
		w.LocalMin = s.src.IntN(24*4) * 15
	case 5, 6, 7:
		return engine.When{StartsAt: (int64(s.Now/1000)/900 + int64(s.src.IntN(200))) * 900}
	}
	return w
}

func (s *Stream) create() *engine.CreateReservation {
	id := engine.MakeReservationID(s.ID, s.next())
	if len(s.reservations) > 0 && s.one(40) {
		id = s.reservation()
	}
	c := &engine.CreateReservation{ID: id, Want: s.when(), GuestsCount: s.party(), Contact: engine.Contact{Name: "Ada"}, Override: s.reason()}
	if s.one(6) {
		c.Table = s.table()
	}
	if s.one(5) {
		c.Area = s.area()
	}
	if s.one(80) {
		c.SpecialRequests = strings.Repeat("x", engine.MaxSpecialRequests+1)
	}
	return c
}

func (s *Stream) party() int {
	if s.one(25) {
		return s.src.IntN(12)
	}
	return 1 + s.src.IntN(6)
}

func (s *Stream) reschedule() *engine.Reschedule {
	c := &engine.Reschedule{ID: s.reservation(), Override: s.reason()}
	if s.one(2) {
		w := s.when()
		c.Want = &w
	}
	if s.one(3) {
		c.GuestsCount = new(s.party())
	}
	if s.one(3) {
		c.SpecialRequests = new("a quiet corner")
	}
	if s.one(5) {
		c.Table = new(s.table())
	}
	if s.one(6) {
		c.Area = new(s.area())
	}
	return c
}
