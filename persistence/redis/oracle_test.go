package redis

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/engine/enginepb"
	"maitred/persistence"
	"maitred/persistence/persistencetest"
)

// place is what the oracle knows of a restaurant: everything, kept the simple way.
type place struct {
	version      engine.Version
	details      *enginepb.Restaurant
	tables       map[string]*enginepb.Table
	reservations map[string]*enginepb.Reservation
}

// places folds events in order.
func places(events []persistence.Committed) map[engine.AggregateID]*place {
	all := map[engine.AggregateID]*place{}
	for _, c := range events {
		if engine.IsAccountID(string(c.Aggregate)) {
			continue
		}
		p := all[c.Aggregate]
		if p == nil {
			p = &place{tables: map[string]*enginepb.Table{}, reservations: map[string]*enginepb.Reservation{}}
			all[c.Aggregate] = p
		}
		p.version = c.Version
		switch e := c.Event.Body.(type) {
		case *enginepb.Event_RestaurantCreated:
			p.details = e.RestaurantCreated.Restaurant
		case *enginepb.Event_RestaurantChanged:
			p.details = e.RestaurantChanged.Restaurant
		case *enginepb.Event_TableAdded:
			p.tables[e.TableAdded.Table.Id] = e.TableAdded.Table
		case *enginepb.Event_TableChanged:
			p.tables[e.TableChanged.Table.Id] = e.TableChanged.Table
		case *enginepb.Event_TableRemoved:
			delete(p.tables, e.TableRemoved.TableId)
		case *enginepb.Event_ReservationCreated:
			p.reservations[e.ReservationCreated.Reservation.Id] = e.ReservationCreated.Reservation.CloneVT()
		case *enginepb.Event_ReservationRescheduled:
			r, moved := p.reservations[e.ReservationRescheduled.Id], e.ReservationRescheduled
			r.ServiceDay, r.StartsAt, r.EndsAt, r.GuestsCount, r.TableIds = moved.ServiceDay, moved.StartsAt, moved.EndsAt, moved.GuestsCount, moved.TableIds
		case *enginepb.Event_ReservationStatusChanged:
			p.reservations[e.ReservationStatusChanged.Id].Status = e.ReservationStatusChanged.Status
		}
	}
	return all
}

// text is what other teams can read of a restaurant, in lines.
func (p *place) text(id engine.AggregateID) (lines []string) {
	say := func(format string, args ...any) { lines = append(lines, string(id)+" "+fmt.Sprintf(format, args...)) }
	say("version %d", p.version)
	if p.details != nil {
		grid := p.details.GridMin
		if grid == 0 {
			grid = engine.DefaultGridMin
		}
		hours := ""
		for _, h := range p.details.OpeningHours {
			hours += fmt.Sprintf(" %d:%d-%d,%d", h.Days, h.OpenMin, h.CloseMin, h.LastSeatingMin)
		}
		say("details %q %s %d%s", p.details.Name, p.details.TimeZone, grid, hours)
	}
	for _, t := range p.tables {
		say("table %s %q %d-%d %v", t.Id, t.TableNumber, t.MinCapacity, t.Capacity, t.InService)
	}
	for _, r := range p.reservations {
		switch r.Status {
		case enginepb.Status_STATUS_HELD, enginepb.Status_STATUS_PENDING, enginepb.Status_STATUS_CONFIRMED, enginepb.Status_STATUS_SEATED:
			say("day %s: %s %d-%d %d at %s", engine.AppendDate(nil, engine.Day(r.ServiceDay)), r.Id, r.StartsAt, r.EndsAt, r.GuestsCount, strings.Join(r.TableIds, ","))
		}
	}
	return lines
}

// expected is what all of Redis is to say.
func expected(events []persistence.Committed) string {
	var lines []string
	for id, p := range places(events) {
		lines = append(lines, p.text(id)...)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// found is what Redis says, read as doc.go tells other teams to.
func found(t *testing.T, c *Client) string {
	t.Helper()
	var lines []string
	for _, key := range keys(t, c) {
		rest, ours := strings.CutPrefix(key, "maitred:{")
		id, kind, both := strings.Cut(rest, "}:")
		if !ours || !both || kind == "cursor" || kind == "days" || strings.HasPrefix(kind, "r:") {
			continue
		}
		say := func(format string, args ...any) { lines = append(lines, id+" "+fmt.Sprintf(format, args...)) }
		switch date, isDay := strings.CutPrefix(kind, "day:"); {
		case kind == "v":
			say("version %d", into[position](t, c.db.Get(t.Context(), key).Val()).Version)
		case kind == "floor":
			for field, text := range c.db.HGetAll(t.Context(), key).Val() {
				switch field {
				case "@":
				case "@details":
					d, hours := into[detailsJSON](t, text), ""
					for _, h := range d.OpeningHours {
						hours += fmt.Sprintf(" %d:%d-%d,%d", h.Days, h.Open, h.Close, h.LastSeating)
					}
					say("details %q %s %d%s", d.Name, d.TimeZone, d.GridMinutes, hours)
				default:
					v := into[tableJSON](t, text)
					say("table %s %q %d-%d %v", field, v.Number, v.MinCapacity, v.Capacity, v.InService)
				}
			}
		case isDay:
			for field, text := range c.db.HGetAll(t.Context(), key).Val() {
				if field != "@" {
					s := into[stay](t, text)
					say("day %s: %s %d-%d %d at %s", date, field, s.Start, s.End, s.Guests, strings.Join(s.Tables, ","))
				}
			}
		default:
			t.Errorf("doc.go does not know %s", key)
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func into[T any](t *testing.T, text string) (v T) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(text), &v), text)
	return v
}

// frames are a history, as the journal's frames.
func frames(seed uint64, n int) persistencetest.Frames { return persistencetest.MakeFrames(seed, n) }
