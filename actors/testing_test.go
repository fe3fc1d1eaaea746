package actors

import (
	"context"
	"encoding/binary"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"maitred/engine"
	"maitred/persistence"
	"maitred/persistence/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// passivateAll makes every house of the suite passivate each aggregate after each command (make passivate).
var passivateAll = os.Getenv("MAITRED_TEST_PASSIVATE") != ""

// world is one node on a journal and bases in memory.
type world struct {
	t       testing.TB
	cfg     Config
	journal *memory.Journal
	bases   *memory.Bases
	house   *House
	fault   atomic.Pointer[func(memory.Append) memory.Fault]

	basesFault atomic.Pointer[memory.Fault] // of each put
	stale      atomic.Bool                  // bases answer with the revision before the newest

	clock  atomic.Int64 // Unix milliseconds of Config.Now
	serial atomic.Uint64
}

var (
	owner  = engine.Caller{Account: engine.MakeAccountID([16]byte{1}), Role: engine.RoleOwner}
	guest  = engine.Caller{Account: engine.MakeAccountID([16]byte{2}), Role: engine.RoleCustomer}
	day, _ = engine.ParseDate("2026-11-28") // a Saturday
)

// stays is for tests about what is in memory from one command to the next: they make no sense under MAITRED_TEST_PASSIVATE.
func stays(c *Config) { c.PassivateAll = false }

func newWorld(t testing.TB, change ...func(*Config)) *world {
	w := &world{t: t}
	w.clock.Store(int64(day-3) * 86_400_000)
	w.journal = memory.NewJournal(memory.Options{OnAppend: w.onAppend})
	w.bases = memory.NewBases(memory.BasesOptions{
		OnPut: func(persistence.Base) memory.Fault {
			if f := w.basesFault.Load(); f != nil {
				return *f
			}
			return memory.Fault{}
		},
		Stale: func(engine.AggregateID) bool { return w.stale.Load() },
	})
	w.cfg = Config{
		Node: "n1", Partitions: 8, Journal: w.journal, Bases: w.bases, PassivateAll: passivateAll,
		Now: func() time.Time { return time.UnixMilli(w.clock.Load()) },
	}
	for _, c := range change {
		c(&w.cfg)
	}
	w.open()
	t.Cleanup(func() { w.house.Close() })
	return w
}

func (w *world) onAppend(a memory.Append) memory.Fault {
	if f := w.fault.Load(); f != nil {
		return (*f)(a)
	}
	return memory.Fault{}
}

func (w *world) open() {
	w.cfg.Feed = persistence.NewFeed(w.cfg.Journal, 1<<20)
	h, err := Open(context.Background(), w.cfg)
	require.NoError(w.t, err)
	w.house = h
}

// restart closes the house without further ado and opens another on what is durable.
func (w *world) restart() {
	require.NoError(w.t, w.house.Close())
	w.journal = w.journal.Reopen(memory.Options{OnAppend: w.onAppend})
	w.cfg.Journal = w.journal
	w.open()
}

func soon() time.Time { return time.Now().Add(20 * time.Second) }

func (w *world) do(id engine.AggregateID, caller engine.Caller, body engine.Body) (engine.Outcome, error) {
	n := w.serial.Add(1)
	return w.keyed(id, caller, n, body)
}

func (w *world) keyed(id engine.AggregateID, caller engine.Caller, key uint64, body engine.Body) (engine.Outcome, error) {
	cmd := &engine.Command{Caller: caller, Body: body}
	binary.LittleEndian.PutUint64(cmd.Key[:], key)
	cmd.Payload = cmd.Key
	return w.house.Do(id, cmd, soon())
}

// restaurant makes a restaurant with tables for four, open on Saturdays from 10 to 22.
func (w *world) restaurant(n uint64, tables int) engine.AggregateID {
	w.t.Helper()
	rid := engine.MakeRestaurantID(n)
	id := engine.AggregateID(rid)
	out, err := w.do(id, owner, &engine.CreateRestaurant{ID: rid, Details: engine.Details{
		Name: "Da Mario", TimeZone: "Europe/Rome",
		OpeningHours: []engine.OpeningHours{{Days: 1 << 5, Open: 10 * 60, Close: 24 * 60, LastSeating: 22 * 60}},
	}})
	require.NoError(w.t, err)
	require.Equal(w.t, engine.CodeCreated, out.Code, out.Field)
	for i := range tables {
		out, err = w.do(id, owner, &engine.AddTable{ID: engine.MakeTableID(rid, uint64(i+1)), Table: engine.TableSpec{
			Number: string(engine.MakeTableID(rid, uint64(i)))[20:], Capacity: 4, MinCapacity: 1, InService: true,
		}})
		require.NoError(w.t, err)
		require.Equal(w.t, engine.CodeCreated, out.Code, out.Field)
	}
	return id
}

// reserve asks for a table for two on day at minutes after midnight.
func (w *world) reserve(id engine.AggregateID, serial uint64, minute int) (engine.Outcome, error) {
	return w.keyed(id, guest, serial|1<<40, reservation(id, serial, minute))
}

func reservation(id engine.AggregateID, serial uint64, minute int) *engine.CreateReservation {
	return &engine.CreateReservation{
		ID:   engine.MakeReservationID(engine.RestaurantID(id), serial),
		Want: engine.When{HasLocal: true, Day: day, LocalMin: minute}, GuestsCount: 2,
	}
}

func reservationOf(id engine.AggregateID, serial uint64) engine.ReservationID {
	return engine.MakeReservationID(engine.RestaurantID(id), serial)
}

// opened is the handle of id, in memory.
func (w *world) opened(id engine.AggregateID) *handle {
	w.t.Helper()
	w.view(id)
	hd, ok := w.house.handles.Load(id)
	require.True(w.t, ok)
	return hd
}

func (w *world) view(id engine.AggregateID) *engine.RestaurantView {
	w.t.Helper()
	v, err := w.house.View(id, soon())
	require.NoError(w.t, err)
	return v.View.(*engine.RestaurantView)
}
