package persistencetest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"maitred/engine"
	"maitred/engine/enginepb"
	"maitred/persistence"
)

// Model is the fold of events that a store must equal: maps, no speed, no order of its own.
type Model struct {
	Position     persistence.Position
	heads        map[engine.AggregateID]engine.Version
	restaurants  map[engine.AggregateID]*enginepb.Restaurant
	versions     map[engine.AggregateID]engine.Version
	rules        map[engine.AggregateID]*enginepb.Rules
	tables       map[engine.AggregateID]map[string]*enginepb.Table
	staff        map[engine.AggregateID]map[string]*enginepb.Member
	ratings      map[engine.AggregateID]engine.Ratings
	reviews      []persistence.ReviewRow // oldest first
	reviewed     map[engine.ReviewID]engine.ReservationID
	accounts     map[engine.AggregateID]*persistence.AccountRow
	reservations map[string]*modelReservation
	audit        [][]byte
	made         int
}

type modelReservation struct {
	persistence.ReservationRow
	made int // place in the order in which reservations were made
}

// NewModel makes the model of an empty store.
func NewModel() *Model {
	return &Model{
		heads: map[engine.AggregateID]engine.Version{}, restaurants: map[engine.AggregateID]*enginepb.Restaurant{},
		versions: map[engine.AggregateID]engine.Version{}, tables: map[engine.AggregateID]map[string]*enginepb.Table{},
		rules: map[engine.AggregateID]*enginepb.Rules{},
		staff: map[engine.AggregateID]map[string]*enginepb.Member{}, ratings: map[engine.AggregateID]engine.Ratings{},
		reviewed: map[engine.ReviewID]engine.ReservationID{},
		accounts: map[engine.AggregateID]*persistence.AccountRow{}, reservations: map[string]*modelReservation{},
	}
}

// Apply folds events that were never folded before and moves the position.
func (m *Model) Apply(next persistence.Position, events []persistence.Committed) {
	m.Position = next
	for i := range events {
		c := &events[i]
		b, err := engine.StripPersonal(c.Event).MarshalVT()
		if err != nil {
			panic(err)
		}
		m.audit = append(m.audit, persistence.AppendAudited(nil, c, b))
		m.heads[c.Aggregate] = c.Version
		m.apply(c.Aggregate, c.Event)
	}
}

func (m *Model) apply(id engine.AggregateID, event *enginepb.Event) {
	switch e := event.Body.(type) {
	case *enginepb.Event_RestaurantCreated:
		m.restaurants[id], m.versions[id], m.tables[id] = e.RestaurantCreated.Restaurant, 1, map[string]*enginepb.Table{}
		m.staff[id] = map[string]*enginepb.Member{}
	case *enginepb.Event_StaffSet:
		m.staff[id][e.StaffSet.Member.Account] = e.StaffSet.Member
	case *enginepb.Event_StaffRemoved:
		delete(m.staff[id], e.StaffRemoved.Account)
	case *enginepb.Event_ReviewAdded:
		m.review(id, event.AtMs, e.ReviewAdded)
	case *enginepb.Event_RestaurantChanged:
		m.restaurants[id] = e.RestaurantChanged.Restaurant
		m.versions[id]++
	case *enginepb.Event_RulesSet:
		m.rules[id] = e.RulesSet.Rules
	case *enginepb.Event_TableAdded:
		m.tables[id][e.TableAdded.Table.Id] = e.TableAdded.Table
	case *enginepb.Event_TableChanged:
		m.tables[id][e.TableChanged.Table.Id] = e.TableChanged.Table
	case *enginepb.Event_TableRemoved:
		delete(m.tables[id], e.TableRemoved.TableId)
	case *enginepb.Event_AccountRegistered:
		a := e.AccountRegistered.Account
		m.accounts[id] = &persistence.AccountRow{ID: engine.AccountID(id), Role: a.Role, CreatedMs: a.CreatedMs}
	case *enginepb.Event_AccountErased:
		m.accounts[id] = &persistence.AccountRow{ID: engine.AccountID(id), Erased: persistence.ErasurePending}
	case *enginepb.Event_AccountErasureCompleted:
		m.accounts[id].Erased = persistence.ErasureCompleted
	case *enginepb.Event_ReservationCreated:
		m.reserve(id, e.ReservationCreated.Reservation)
	case *enginepb.Event_ReservationRescheduled:
		c := e.ReservationRescheduled
		r := m.reservations[c.Id]
		r.place(c.TableIds, c.ServiceDay, c.LocalMin, c.StartsAt, c.EndsAt)
		r.GuestsCount, r.SpecialRequests, r.BufferMin = c.GuestsCount, c.SpecialRequests, c.BufferMin
		r.Version++
	case *enginepb.Event_ReservationOffered:
		c := e.ReservationOffered
		r := m.reservations[c.Id]
		r.place(c.TableIds, c.ServiceDay, c.LocalMin, c.StartsAt, c.EndsAt)
		r.BufferMin, r.HoldUntilMs, r.Status = c.BufferMin, c.HoldUntilMs, engine.StatusHeld
		r.Version++
	case *enginepb.Event_ReservationReminded:
		m.reservations[e.ReservationReminded.Id].Version++
	case *enginepb.Event_ReservationStatusChanged:
		r := m.reservations[e.ReservationStatusChanged.Id]
		r.Status = e.ReservationStatusChanged.Status
		r.Version++
	case *enginepb.Event_ReservationNoted:
		m.reservations[e.ReservationNoted.Id].Version++
	case *enginepb.Event_GuestForgotten:
		for _, r := range m.reservations {
			if engine.AggregateID(r.Restaurant) == id && string(r.Guest) == e.GuestForgotten.Guest {
				r.Guest, r.SpecialRequests = "", ""
				r.Version++
				for i := range m.reviews {
					if m.reviewed[m.reviews[i].ID] == r.ID {
						m.reviews[i].Comment = ""
					}
				}
			}
		}
	}
}

func (m *Model) review(id engine.AggregateID, atMs int64, e *enginepb.ReviewAdded) {
	m.reservations[e.Reservation].Version++
	r := m.ratings[id]
	m.ratings[id] = engine.Ratings{Sum: r.Sum + int64(e.Rating), Count: r.Count + 1}
	m.reviewed[engine.ReviewID(e.Id)] = engine.ReservationID(e.Reservation)
	m.reviews = append(m.reviews, persistence.ReviewRow{ID: engine.ReviewID(e.Id), Restaurant: engine.RestaurantID(id),
		Rating: e.Rating, Comment: e.Comment, At: time.UnixMilli(atMs).UTC()})
}

func (m *Model) reserve(id engine.AggregateID, pb *enginepb.Reservation) {
	r := &modelReservation{made: m.made}
	m.made++
	r.ID, r.Restaurant, r.Guest = engine.ReservationID(pb.Id), engine.RestaurantID(id), engine.AccountID(pb.Guest)
	r.GuestsCount, r.SpecialRequests, r.Status, r.Version = pb.GuestsCount, pb.SpecialRequests, pb.Status, 1
	r.BufferMin, r.HoldUntilMs = pb.BufferMin, pb.HoldUntilMs
	r.place(pb.TableIds, pb.ServiceDay, pb.LocalMin, pb.StartsAt, pb.EndsAt)
	m.reservations[pb.Id] = r
}

func (r *modelReservation) place(tables []string, day, local int32, starts, ends int64) {
	r.Tables = nil
	for _, t := range tables {
		r.Tables = append(r.Tables, engine.TableID(t))
	}
	r.ServiceDay, r.LocalMin = day, local
	r.StartsAt, r.EndsAt = time.Unix(starts, 0).UTC(), time.Unix(ends, 0).UTC()
}

// row is a reservation with what its restaurant says now.
func (m *Model) row(r *modelReservation) persistence.ReservationRow {
	row := r.ReservationRow
	about := m.restaurants[engine.AggregateID(r.Restaurant)]
	row.RestaurantName, row.TimeZone = about.Name, about.TimeZone
	return row
}

// Dump is what persistence.Dumper prints of a store that equals the model; withAudit false leaves the audit out.
func (m *Model) Dump(withAudit bool) string {
	lines := [][]byte{persistence.AppendCursor(nil, m.Position)}
	for id, v := range m.heads {
		lines = append(lines, persistence.AppendHead(nil, id, v))
	}
	for id, r := range m.restaurants {
		lines = append(lines, persistence.AppendRestaurant(nil, r, m.versions[id]))
		if rules := m.rules[id]; rules != nil {
			b, err := proto.Marshal(rules)
			if err != nil {
				panic(err)
			}
			lines = append(lines, persistence.AppendRules(nil, engine.RestaurantID(id), b))
		}
		for _, t := range m.tables[id] {
			lines = append(lines, persistence.AppendTable(nil, engine.RestaurantID(id), t))
		}
	}
	for _, a := range m.accounts {
		lines = append(lines, persistence.AppendAccount(nil, a))
	}
	for _, r := range m.reservations {
		row := m.row(r)
		lines = append(lines, persistence.AppendReservation(nil, &row))
	}
	for id, staff := range m.staff {
		for _, member := range staff {
			lines = append(lines, persistence.AppendMember(nil, engine.RestaurantID(id), member))
		}
	}
	for id, r := range m.ratings {
		lines = append(lines, persistence.AppendRatings(nil, engine.RestaurantID(id), r))
	}
	if withAudit {
		for i := range m.reviews {
			lines = append(lines, persistence.AppendReview(nil, &m.reviews[i]))
		}
		lines = append(lines, m.audit...)
	}
	slices.SortFunc(lines, slices.Compare)
	return string(bytes.Join(lines, nil))
}

// list is the reservations that keep accepts.
func (m *Model) list(keep func(*modelReservation) bool) []persistence.ReservationRow {
	var rows []persistence.ReservationRow
	for _, r := range m.reservations {
		if keep(r) {
			rows = append(rows, m.row(r))
		}
	}
	return rows
}

// Frames is a made-up history: Frames[i] are the events of the frame at sequence i+1, some frames have none.
type Frames [][]persistence.Committed

// MakeFrames makes a history of n frames over a few restaurants and accounts, the same for the same seed. It has every kind
// of event that the read model knows, also several of one reservation within a frame, and ids outside the grammar.
func MakeFrames(seed uint64, n int) Frames {
	g := &history{rng: rand.New(rand.NewPCG(seed, 1)), versions: map[engine.AggregateID]engine.Version{}, reviewed: map[string]bool{}, seats: map[string]*seat{}, waits: map[string]*enginepb.Reservation{}, at: 1_790_000_000_000}
	for i := range 4 {
		var h [16]byte
		binary.LittleEndian.PutUint64(h[:], g.rng.Uint64())
		g.accounts = append(g.accounts, engine.AggregateID(engine.MakeAccountID(h)))
		g.restaurants = append(g.restaurants, "rst_"+g.part())
		if i == 3 {
			g.restaurants[i] = "odd"
		}
	}
	frames := make(Frames, 0, n)
	for len(frames) < n {
		g.seq++
		g.frame = nil
		for range g.rng.IntN(8) {
			g.event()
		}
		frames = append(frames, g.frame)
	}
	return frames
}

// Events are the events of the sequences after..to.
func (f Frames) Events(after, to persistence.Seq) []persistence.Committed {
	return slices.Concat(f[after:to]...)
}

type history struct {
	rng          *rand.Rand
	at           int64
	seq          persistence.Seq
	frame        []persistence.Committed
	versions     map[engine.AggregateID]engine.Version
	accounts     []engine.AggregateID
	restaurants  []string
	tables       [4][]string
	reservations [4][]string
	reviewed     map[string]bool
	staff        [4]map[string]uint64 // versions by account
	seats        map[string]*seat     // by reservation
	waits        map[string]*enginepb.Reservation
	late         int32
}

// seat is what a reservation takes: no table is given away twice, or a store that looks would object.
type seat struct {
	tables       []string
	starts, ends int64
	taken        bool
}

const alphabet = "0123456789abcdefghjkmnpqrstvwxyz"

// part is a part of an id; one in eight has more than 64 bits.
func (g *history) part() string {
	b := make([]byte, 13)
	for i := range b {
		b[i] = alphabet[g.rng.IntN(32)]
	}
	if g.rng.IntN(8) > 0 {
		b[0] = alphabet[g.rng.IntN(16)]
	}
	return string(b)
}

func (g *history) add(id engine.AggregateID, e *enginepb.Event) {
	g.at += g.rng.Int64N(3)
	e.AtMs = g.at
	g.versions[id]++
	g.frame = append(g.frame, persistence.Committed{Seq: g.seq, Index: len(g.frame), Aggregate: id, Version: g.versions[id], Event: e})
}

func (g *history) event() {
	a := g.accounts[g.rng.IntN(len(g.accounts))]
	switch {
	case g.versions[a] == 0:
		g.add(a, &enginepb.Event{Body: &enginepb.Event_AccountRegistered{AccountRegistered: &enginepb.AccountRegistered{
			Account: &enginepb.Account{Id: string(a), Role: enginepb.Role_ROLE_CUSTOMER, CreatedMs: g.at}}}})
	case g.rng.IntN(60) == 0:
		g.add(a, &enginepb.Event{Body: &enginepb.Event_AccountErased{AccountErased: &enginepb.AccountErased{}}})
	case g.rng.IntN(60) == 0:
		g.add(a, &enginepb.Event{Body: &enginepb.Event_AccountErased{AccountErased: &enginepb.AccountErased{}}})
		g.add(a, &enginepb.Event{Body: &enginepb.Event_AccountErasureCompleted{AccountErasureCompleted: &enginepb.AccountErasureCompleted{}}})
	case g.rng.IntN(20) == 0:
		g.add(a, &enginepb.Event{Body: &enginepb.Event_SessionOpened{SessionOpened: &enginepb.SessionOpened{Family: g.part()}}})
	default:
		g.restaurantEvent(g.rng.IntN(len(g.restaurants)), string(a))
	}
}

func (g *history) restaurantEvent(i int, guest string) {
	id := engine.AggregateID(g.restaurants[i])
	about := &enginepb.Restaurant{Id: string(id), Owner: guest, Name: "Da \"" + g.part() + "\"\nè", TimeZone: "Europe/Rome", City: "Roma",
		Latitude: g.rng.Float64(), OpeningHours: []*enginepb.OpeningHours{{Days: 127, OpenMin: 720, CloseMin: 1500, LastSeatingMin: 1400, GridMin: 30 * g.rng.Int32N(2),
			Name: []string{"", "Lunch \"due\""}[g.rng.IntN(2)]}}}
	e := &enginepb.Event{}
	switch {
	case g.versions[id] == 0:
		e.Body = &enginepb.Event_RestaurantCreated{RestaurantCreated: &enginepb.RestaurantCreated{Restaurant: about}}
	case g.rng.IntN(30) == 0:
		e.Body = &enginepb.Event_RestaurantChanged{RestaurantChanged: &enginepb.RestaurantChanged{Restaurant: about}}
	case g.rng.IntN(30) == 0:
		e.Body = &enginepb.Event_RulesSet{RulesSet: &enginepb.RulesSet{Rules: &enginepb.Rules{Version: uint64(g.seq), BufferMin: 15 * g.rng.Int64N(2),
			TurnTimes: []*enginepb.TurnTime{{MinParty: 1, MaxParty: 2, Minutes: 60, Shift: g.part()}}}}}
	case len(g.tables[i]) == 0 || g.rng.IntN(12) == 0:
		g.tableEvent(i, e)
	case g.rng.IntN(15) == 0:
		g.staffEvent(i, guest, e)
	case len(g.reservations[i]) > 0 && g.rng.IntN(10) == 0:
		g.reviewEvent(i, e)
	case len(g.reservations[i]) == 0 || g.rng.IntN(2) == 0:
		g.reservationMade(i, guest, e)
	default:
		g.reservationChanged(i, e)
	}
	g.add(id, e)
}

func (g *history) own(i int, prefix string) string {
	if i == 3 {
		return prefix + g.part()
	}
	return prefix + g.restaurants[i][4:] + g.part()
}

func (g *history) tableEvent(i int, e *enginepb.Event) {
	ids := g.tables[i]
	table := &enginepb.Table{TableNumber: g.part(), Capacity: 4, MinCapacity: 1, InService: g.rng.IntN(2) == 0, Version: 1,
		Location: []string{"", "terrace"}[g.rng.IntN(2)], Channel: engine.Channel(g.rng.IntN(3)),
		Blocks: [][]*enginepb.Block{nil, {{From: g.at / 1000, Until: g.at/1000 + 7200}}}[g.rng.IntN(2)]}
	switch {
	case len(ids) > 3:
		e.Body = &enginepb.Event_TableRemoved{TableRemoved: &enginepb.TableRemoved{TableId: ids[0]}}
		g.tables[i] = ids[1:]
	case len(ids) > 1 && g.rng.IntN(2) == 0:
		table.Id, table.Version = ids[0], 1+uint64(g.versions[engine.AggregateID(g.restaurants[i])])
		e.Body = &enginepb.Event_TableChanged{TableChanged: &enginepb.TableChanged{Table: table}}
	default:
		table.Id = g.own(i, "tbl_")
		g.tables[i] = append(ids, table.Id)
		e.Body = &enginepb.Event_TableAdded{TableAdded: &enginepb.TableAdded{Table: table}}
	}
}

func (g *history) staffEvent(i int, account string, e *enginepb.Event) {
	if g.staff[i] == nil {
		g.staff[i] = map[string]uint64{}
	}
	if g.staff[i][account] > 0 && g.rng.IntN(2) == 0 {
		delete(g.staff[i], account)
		e.Body = &enginepb.Event_StaffRemoved{StaffRemoved: &enginepb.StaffRemoved{Account: account}}
		return
	}
	g.staff[i][account]++
	role := []enginepb.Role{enginepb.Role_ROLE_HOST, enginepb.Role_ROLE_MANAGER}[g.rng.IntN(2)]
	e.Body = &enginepb.Event_StaffSet{StaffSet: &enginepb.StaffSet{Member: &enginepb.Member{
		Account: account, Role: role, SinceMs: g.at, Version: g.staff[i][account]}}}
}

func (g *history) reviewEvent(i int, e *enginepb.Event) {
	id := g.reservations[i][g.rng.IntN(len(g.reservations[i]))]
	if g.reviewed[id] {
		g.reservationChanged(i, e)
		return
	}
	g.reviewed[id] = true
	e.Body = &enginepb.Event_ReviewAdded{ReviewAdded: &enginepb.ReviewAdded{Id: g.own(i, "rev_"),
		Reservation: id, Rating: 1 + g.rng.Int32N(5), Comment: []string{"", "buono è"}[g.rng.IntN(2)]}}
}

func (g *history) reservationMade(i int, guest string, e *enginepb.Event) {
	r := &enginepb.Reservation{Id: g.own(i, "rsv_"), Guest: guest, TableIds: g.tables[i][:1+g.rng.IntN(len(g.tables[i]))],
		GuestsCount: 2, Status: enginepb.Status_STATUS_CONFIRMED, Version: 1, CreatedMs: g.at}
	r.TableIds = slices.Clone(r.TableIds)
	if g.rng.IntN(5) == 0 {
		r.Guest, r.SpecialRequests = "", "window"
	} else if g.rng.IntN(3) == 0 {
		r.SpecialRequests, r.Contact = "quiet", &enginepb.Contact{Name: g.part()}
	}
	if g.rng.IntN(6) == 0 {
		r.Status, r.HoldUntilMs = engine.StatusHeld, g.at+300_000
	}
	r.ServiceDay, r.LocalMin, r.StartsAt, r.EndsAt, r.BufferMin = g.when(r.Id, r.TableIds)
	g.seats[r.Id] = &seat{r.TableIds, r.StartsAt, freeAgain(r), true}
	if g.rng.IntN(6) == 0 { // it waits
		g.waits[r.Id] = r
		r.Status, r.HoldUntilMs, r.TableIds, r.Waiting = engine.StatusWaiting, 0, nil, &enginepb.Waiting{Until: r.StartsAt + 3600}
		g.seats[r.Id] = &seat{nil, r.StartsAt, freeAgain(r), false}
	}
	g.reservations[i] = append(g.reservations[i], r.Id)
	e.Body = &enginepb.Event_ReservationCreated{ReservationCreated: &enginepb.ReservationCreated{Reservation: r}}
}

// when is one of a few times, so that ties are common, at which tables are free for a reservation; or a time of its own.
func (g *history) when(id string, tables []string) (day, local int32, starts, ends int64, buffer int32) {
	for range 8 {
		buffer = 15 * g.rng.Int32N(2)
		day, local = 20_700+g.rng.Int32N(6), 1170+15*g.rng.Int32N(20)
		starts = int64(day)*86_400 + int64(local-120)*60
		if ends = starts + 900*(1+g.rng.Int64N(8)); g.free(id, tables, starts, ends+int64(buffer)*60) {
			return day, local, starts, ends, buffer
		}
	}
	g.late++
	day = 20_800 + g.late
	starts = int64(day) * 86_400
	return day, 120, starts, starts + 7200, 0
}

// freeAgain is when somebody else may have the tables.
func freeAgain(r interface {
	GetEndsAt() int64
	GetBufferMin() int32
}) int64 {
	return r.GetEndsAt() + int64(r.GetBufferMin())*60
}

// free says whether nobody else has one of the tables in a time.
func (g *history) free(id string, tables []string, starts, ends int64) bool {
	for other, s := range g.seats {
		if other != id && s.taken && s.starts < ends && starts < s.ends && slices.ContainsFunc(tables, func(t string) bool { return slices.Contains(s.tables, t) }) {
			return false
		}
	}
	return true
}

func (g *history) reservationChanged(i int, e *enginepb.Event) {
	if g.rng.IntN(20) == 0 {
		e.Body = &enginepb.Event_GuestForgotten{GuestForgotten: &enginepb.GuestForgotten{Guest: string(g.accounts[g.rng.IntN(len(g.accounts))])}}
		return
	}
	ids := g.reservations[i]
	id := ids[len(ids)-1-g.rng.IntN(min(len(ids), 6))]
	if r := g.waits[id]; r != nil {
		c := &enginepb.ReservationOffered{Id: id, TableIds: slices.Clone(g.tables[i][:1]), HoldUntilMs: g.at + 600_000, GuestsCount: 2}
		c.ServiceDay, c.LocalMin, c.StartsAt, c.EndsAt, c.BufferMin = g.when(id, c.TableIds)
		delete(g.waits, id)
		if c.ServiceDay == r.ServiceDay {
			g.seats[id] = &seat{c.TableIds, c.StartsAt, freeAgain(c), true}
			e.Body = &enginepb.Event_ReservationOffered{ReservationOffered: c}
			return
		}
		e.Body = &enginepb.Event_ReservationStatusChanged{ReservationStatusChanged: &enginepb.ReservationStatusChanged{Id: id, Status: engine.StatusExpired}}
		return
	}
	switch g.rng.IntN(8) {
	case 0:
		e.Body = &enginepb.Event_ReservationReminded{ReservationReminded: &enginepb.ReservationReminded{Id: id, LeadMin: 120}}
		return
	case 1:
		e.Body = &enginepb.Event_ReservationNoted{ReservationNoted: &enginepb.ReservationNoted{Id: id, Note: "regular"}}
		return
	}
	if g.rng.IntN(3) == 0 {
		c := &enginepb.ReservationRescheduled{Id: id, TableIds: slices.Clone(g.tables[i][:1]), GuestsCount: 3, SpecialRequests: fmt.Sprint(g.at)}
		c.ServiceDay, c.LocalMin, c.StartsAt, c.EndsAt, c.BufferMin = g.when(id, c.TableIds)
		g.seats[id] = &seat{c.TableIds, c.StartsAt, freeAgain(c), g.seats[id].taken}
		e.Body = &enginepb.Event_ReservationRescheduled{ReservationRescheduled: c}
		return
	}
	status := []enginepb.Status{enginepb.Status_STATUS_CONFIRMED, enginepb.Status_STATUS_CANCELLED, enginepb.Status_STATUS_SEATED}[g.rng.IntN(3)]
	s := g.seats[id]
	if s.taken = status != enginepb.Status_STATUS_CANCELLED; s.taken && !g.free(id, s.tables, s.starts, s.ends) {
		s.taken, status = false, enginepb.Status_STATUS_CANCELLED
	}
	e.Body = &enginepb.Event_ReservationStatusChanged{ReservationStatusChanged: &enginepb.ReservationStatusChanged{Id: id, Status: status}}
}
