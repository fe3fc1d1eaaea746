package redis

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"maitred/engine"
	"maitred/engine/enginepb"
	"maitred/persistence"
	"maitred/persistence/persistencetest"
)

const journal = "J1"

func at(seq persistence.Seq) persistence.Position {
	return persistence.Position{Journal: journal, Seq: seq}
}

func today() int32 { return int32(time.Now().Unix() / daySeconds) }

// history is a made-up one whose days are still to come: Redis has no other clock than its machine's.
func history(seed uint64, n int) persistencetest.Frames {
	return shifted(persistencetest.MakeFrames(seed, n), today()+10-20_700)
}

// shifted moves every service day.
func shifted(frames persistencetest.Frames, days int32) persistencetest.Frames {
	for _, f := range frames {
		for i := range f {
			e := proto.CloneOf(f[i].Event)
			if r := e.GetReservationCreated().GetReservation(); r != nil {
				r.ServiceDay += days
				r.StartsAt, r.EndsAt = r.StartsAt+int64(days)*daySeconds, r.EndsAt+int64(days)*daySeconds
			}
			if r := e.GetReservationRescheduled(); r != nil {
				r.ServiceDay += days
				r.StartsAt, r.EndsAt = r.StartsAt+int64(days)*daySeconds, r.EndsAt+int64(days)*daySeconds
			}
			if r := e.GetReservationOffered(); r != nil {
				r.ServiceDay += days
				r.StartsAt, r.EndsAt = r.StartsAt+int64(days)*daySeconds, r.EndsAt+int64(days)*daySeconds
			}
			f[i].Event = e
		}
	}
	return frames
}

// naive is what Redis is to hold, made without any thought of speed: after each event every day is listed anew.
type naive map[engine.AggregateID]*naiveRestaurant

type naiveRestaurant struct {
	position     obj
	details      obj
	rules        string
	tables       map[string]obj
	floorAt      obj
	reservations map[string]*naiveReservation
	days         map[string]map[string]obj // by date and reservation
	dayAt        map[string]obj
}

type naiveReservation struct {
	date   string
	status string
	stay   obj
}

type obj = map[string]any

func (n naive) apply(events ...persistence.Committed) {
	for _, c := range events {
		if strings.HasPrefix(string(c.Aggregate), "usr_") {
			continue
		}
		r := n[c.Aggregate]
		if r == nil {
			r = &naiveRestaurant{tables: map[string]obj{}, reservations: map[string]*naiveReservation{}, days: map[string]map[string]obj{}, dayAt: map[string]obj{}}
			n[c.Aggregate] = r
		}
		r.position = obj{"v": c.Version, "as_of": c.Event.AtMs}
		r.event(c.Event)
		r.list()
	}
}

func (r *naiveRestaurant) event(e *enginepb.Event) {
	if pb := e.GetRestaurantCreated().GetRestaurant(); pb != nil {
		r.describe(pb)
	}
	if pb := e.GetRestaurantChanged().GetRestaurant(); pb != nil {
		r.describe(pb)
	}
	for _, pb := range []*enginepb.Table{e.GetTableAdded().GetTable(), e.GetTableChanged().GetTable()} {
		if pb != nil {
			r.tables[pb.Id] = obj{"number": pb.TableNumber, "capacity": pb.Capacity, "min_capacity": pb.MinCapacity, "in_service": pb.InService}
			if pb.Location != "" {
				r.tables[pb.Id]["location"] = pb.Location
			}
			if len(pb.Blocks) > 0 {
				var pairs []string
				for _, b := range pb.Blocks {
					pairs = append(pairs, fmt.Sprintf("[%d,%d]", b.From, b.Until))
				}
				r.tables[pb.Id]["blocks"] = "[" + strings.Join(pairs, ",") + "]"
			}
			if pb.Channel != 0 {
				r.tables[pb.Id]["channel"] = int32(pb.Channel)
			}
			r.floorAt = r.position
		}
	}
	if pb := e.GetRulesSet().GetRules(); pb != nil {
		b, err := proto.Marshal(pb)
		if err != nil {
			panic(err)
		}
		r.rules, r.floorAt = string(b), r.position
	}
	if pb := e.GetTableRemoved(); pb != nil {
		delete(r.tables, pb.TableId)
		r.floorAt = r.position
	}
	if pb := e.GetReservationCreated().GetReservation(); pb != nil {
		r.reservations[pb.Id] = &naiveReservation{naiveDate(pb.ServiceDay), pb.Status.String(), naiveStay(pb.TableIds, pb.StartsAt, pb.EndsAt, pb.GuestsCount, pb.LocalMin, pb.BufferMin)}
		if pb.Guest != "" {
			r.reservations[pb.Id].stay["u"] = true
		}
		if pb.Status == enginepb.Status_STATUS_HELD {
			r.reservations[pb.Id].stay["x"] = pb.HoldUntilMs
		}
	}
	if pb := e.GetReservationRescheduled(); pb != nil {
		old := r.reservations[pb.Id]
		stay := naiveStay(pb.TableIds, pb.StartsAt, pb.EndsAt, pb.GuestsCount, pb.LocalMin, pb.BufferMin)
		for _, kept := range []string{"u", "x"} {
			if old.stay[kept] != nil {
				stay[kept] = old.stay[kept]
			}
		}
		old.date, old.stay = naiveDate(pb.ServiceDay), stay
	}
	if pb := e.GetReservationOffered(); pb != nil {
		old := r.reservations[pb.Id]
		stay := naiveStay(pb.TableIds, pb.StartsAt, pb.EndsAt, pb.GuestsCount, pb.LocalMin, pb.BufferMin)
		stay["x"] = pb.HoldUntilMs
		if old.stay["u"] != nil {
			stay["u"] = true
		}
		old.status, old.stay = enginepb.Status_STATUS_HELD.String(), stay
	}
	if pb := e.GetReservationStatusChanged(); pb != nil {
		r.reservations[pb.Id].status = pb.Status.String()
		if pb.Status != enginepb.Status_STATUS_HELD {
			r.reservations[pb.Id].stay = maps.Clone(r.reservations[pb.Id].stay)
			delete(r.reservations[pb.Id].stay, "x")
		}
	}
}

func (r *naiveRestaurant) describe(pb *enginepb.Restaurant) {
	hours := []any{}
	for _, h := range pb.OpeningHours {
		shift := obj{"days": h.Days, "open": h.OpenMin, "close": h.CloseMin, "last_seating": h.LastSeatingMin}
		if h.Name != "" {
			shift["name"] = h.Name
		}
		if h.GridMin != 0 {
			shift["grid_minutes"] = h.GridMin
		}
		hours = append(hours, shift)
	}
	grid := pb.GridMin
	if grid == 0 {
		grid = 15
	}
	r.details = obj{"name": pb.Name, "time_zone": pb.TimeZone, "grid_minutes": grid, "opening_hours": hours}
	r.floorAt = r.position
}

func naiveDate(day int32) string {
	return time.Unix(int64(day)*86_400, 0).UTC().Format(time.DateOnly)
}

func naiveStay(tables []string, starts, ends int64, guests, local, buffer int32) obj {
	stay := obj{"t": append([]string{}, tables...), "s": starts, "e": ends, "g": guests}
	if local != 0 {
		stay["l"] = local
	}
	if buffer != 0 {
		stay["b"] = buffer
	}
	return stay
}

// list fills the days with who holds tables, and notes which of them are another than before.
func (r *naiveRestaurant) list() {
	days := map[string]map[string]obj{}
	for id, v := range r.reservations {
		switch v.status {
		case "STATUS_HELD", "STATUS_PENDING", "STATUS_CONFIRMED", "STATUS_SEATED", "STATUS_COMPLETED":
			if days[v.date] == nil {
				days[v.date] = map[string]obj{}
			}
			stay := maps.Clone(v.stay)
			if v.status == "STATUS_COMPLETED" {
				stay["o"] = true
			}
			days[v.date][id] = stay
		}
	}
	for date := range days {
		if !reflect.DeepEqual(days[date], r.days[date]) {
			r.dayAt[date] = r.position
		}
	}
	for date, old := range r.days {
		if len(old) > 0 && days[date] == nil {
			r.dayAt[date] = r.position
		}
	}
	for date := range r.dayAt { // a day that was touched has a key
		if days[date] == nil {
			days[date] = map[string]obj{}
		}
	}
	r.days = days
}

// contents is the keys that the naive world has, as backend.contents reads them.
func (n naive) contents(retain time.Duration) map[string]any {
	all := map[string]any{}
	for id, r := range n {
		prefix := "maitred:{" + string(id) + "}:"
		all[prefix+"v"] = text(r.position)
		floor := map[string]string{"@": text(r.floorAt), "@details": text(r.details)}
		if r.rules != "" {
			floor["@rules"] = r.rules
		}
		for table, t := range r.tables {
			floor[table] = text(t)
		}
		all[prefix+"floor"] = floor
		dates := map[string]float64{}
		for date, stays := range r.days {
			fields := map[string]string{"@": text(r.dayAt[date])}
			for reservation, s := range stays {
				fields[reservation] = text(s)
			}
			all[prefix+"day:"+date] = fields
			begins, err := time.Parse(time.DateOnly, date)
			if err != nil {
				panic(err)
			}
			dates[date] = float64(begins.Add(24*time.Hour + retain).Unix())
		}
		if len(dates) > 0 {
			all[prefix+"days"] = dates
		}
	}
	return all
}

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// lines prints contents, JSON normalised, without the markers and maitred's own records. loose leaves out what a load need not
// know: when a day last changed, days on which nobody is, and that a guest who was forgotten had booked by himself.
func lines(contents map[string]any, loose bool) string {
	normal := func(s string) string {
		var v any
		if err := json.Unmarshal([]byte(s), &v); err != nil {
			return "not JSON: " + s
		}
		if stay, is := v.(obj); is && loose {
			delete(stay, "u")
		}
		return text(v)
	}
	var out []string
	for key, v := range contents {
		if strings.HasSuffix(key, ":cursor") || strings.Contains(key, "}:r:") {
			continue
		}
		switch v := v.(type) {
		case string:
			if loose {
				var p position
				_ = json.Unmarshal([]byte(v), &p)
				v = fmt.Sprintf(`{"v":%d}`, p.Version)
			}
			out = append(out, key+" "+normal(v))
		case map[string]float64:
			if !loose {
				out = append(out, key+" "+text(v))
			}
		case map[string]string:
			if loose {
				v = maps.Clone(v)
				delete(v, "@")
			}
			for _, field := range slices.Sorted(maps.Keys(v)) {
				out = append(out, key+" "+field+" "+normal(v[field]))
			}
		}
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

// folded is the naive world up to a sequence.
func folded(frames persistencetest.Frames, to persistence.Seq) naive {
	n := naive{}
	n.apply(frames.Events(0, to)...)
	return n
}

// requireHolds compares what Redis holds with the naive fold, byte for byte.
func requireHolds(t testing.TB, b *backend, n naive, msg ...any) {
	t.Helper()
	requireLines(t, lines(n.contents(defaultRetain), false), lines(b.contents(t), false), msg...)
}

// requireLoaded is requireHolds after a load.
func requireLoaded(t testing.TB, b *backend, n naive, msg ...any) {
	t.Helper()
	requireLines(t, lines(n.contents(defaultRetain), true), lines(b.contents(t), true), msg...)
}

func requireLines(t testing.TB, want, got string, msg ...any) {
	t.Helper()
	if want == got {
		return
	}
	wanted, has := strings.Split(want, "\n"), strings.Split(got, "\n")
	var diff []string
	for _, l := range wanted {
		if _, found := slices.BinarySearch(has, l); !found {
			diff = append(diff, "missing "+l)
		}
	}
	for _, l := range has {
		if _, found := slices.BinarySearch(wanted, l); !found {
			diff = append(diff, "surplus "+l)
		}
	}
	require.Fail(t, "redis is not the fold: "+strings.Join(diff[:min(len(diff), 12)], "\n"), msg...)
}

// batches cuts 0..to into batches of random size.
func batches(rng *rand.Rand, from, to persistence.Seq) (ends []persistence.Seq) {
	for from < to {
		from = min(to, from+1+persistence.Seq(rng.IntN(40)))
		ends = append(ends, from)
	}
	return ends
}
