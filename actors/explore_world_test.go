package actors

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	"maitred/engine"
	"maitred/persistence"
)

// The explorer drives the real core, fold, custody, tail and residents through every order of events within its bounds. What
// it adds are the disk, the network, clients, and the shell around the core (what writer.go and actor.go do with goroutines).

// bounds says how much of everything a run may have.
type bounds struct {
	nodes, restaurants int
	commands           []wish
	attempts           int // of each command
	crashes, pauses    int
	lost, late, dups   int // packets lost, given up while on their way, delivered twice
	full, unread       int // appends refused for lack of room, reads of the slot without an answer
	ticks              int
	tick               time.Duration // 2 s if 0
	beats              int           // heartbeats
	bases, floors      int
	passivations       int
	checkpoints, purge int
	claims, releases   int
	outages            int
	prompt             bool // nothing is slow: time passes only when nothing else can happen
	nextSeq            persistence.Seq
	restarts           int
	stale              bool // bases are read one revision late
}

// wish is a command of a client: a reservation, or the cancellation of the one that command of made.
type wish struct {
	restaurant int
	cancel     bool
	of         int
}

// hist is a restaurant's history as the stream has it. Immutable.
type hist struct {
	prev    *hist
	seq     persistence.Seq
	version engine.Version
	digest  uint64
	agg     engine.Aggregate // never changed
}

// attempt is one try of a client's command.
type attempt struct {
	cmd, try int
	state    attemptState
	node     int
	floor    engine.Version // newest version of the restaurant that was acknowledged to anybody when it began
	made     engine.ReservationID
}

type attemptState uint8

const (
	attemptOpen attemptState = iota + 1
	attemptDone
	attemptFailed
)

// token is what an entry carries. Immutable.
type token struct {
	attempt int
	outcome engine.Outcome
	events  []*engine.Event
	stands  engine.Version
	now     engine.Instant
}

// packet is a publish or a put on its way, or the answer to one.
type packet struct {
	node   int
	boot   int // start of the node that sent it
	claim  int // slot that is claimed, +1; 0 = the own slot
	data   []byte
	expect persistence.Seq
	base   *persistence.Base
	answer bool
	seq    persistence.Seq
	rev    persistence.Revision
	err    error
}

// explored is one state.
type explored struct {
	*bounds
	ctl   *control
	way   *way
	depth int
	disk  disk
	god   *persistence.Custody
	hist  [2]*hist
	nodes []*xnode
	owned []bool // nodes[i] belongs to this world alone
	net   []packet
	tries []attempt
	acked [2]engine.Version
	now   time.Duration
	away  bool // the journal is away
	left  budget
	bad   string
}

// budget is what is left of the bounds.
type budget struct {
	crashes, pauses, lost, late, dups, full, unread, ticks, beats, bases, floors int
	passivations, checkpoints, purge, claims, releases, outages, restarts        int
}

func (w *explored) fail(format string, args ...any) {
	if w.bad == "" {
		w.bad = fmt.Sprintf(format, args...)
	}
}

// clone makes the next state; nodes are shared until they are changed.
func (w *explored) clone(a action) *explored {
	n := *w
	n.way, n.depth = &way{w.way, a}, w.depth+1
	n.nodes, n.owned = slices.Clone(w.nodes), make([]bool, len(w.nodes))
	n.net, n.tries = slices.Clone(w.net), slices.Clone(w.tries)
	return &n
}

// node is nodes[i], ready to be changed.
func (w *explored) node(i int) *xnode {
	if !w.owned[i] {
		w.owned[i] = true
		n := *w.nodes[i]
		if n.core != nil {
			n.core = n.core.Clone()
		}
		n.res = slices.Clone(n.res)
		n.silence.seen = maps.Clone(n.silence.seen)
		n.foldOwned = false
		w.nodes[i] = &n
	}
	return w.nodes[i]
}

// way is how a state was reached.
type way struct {
	prev *way
	by   action
}

// trace is the way to this state, one action a line.
func (w *explored) trace() string {
	var lines []string
	for s := w.way; s != nil; s = s.prev {
		lines = append(lines, s.by.String())
	}
	slices.Reverse(lines)
	return strings.Join(lines, "\n")
}

var exploredNow = engine.Instant(int64(day-3) * 86_400_000)

// The two restaurants of the explorer lie in different partitions of two.
var exploredIDs = func() [2]engine.AggregateID {
	var ids [2]engine.AggregateID
	for n := uint64(1); ids[0] == "" || ids[1] == ""; n++ {
		id := engine.AggregateID(engine.MakeRestaurantID(n))
		if p := persistence.PartitionOf(id, 2); ids[p] == "" {
			ids[p] = id
		}
	}
	return ids
}()

func restaurantOf(id engine.AggregateID) int {
	if id == exploredIDs[0] {
		return 0
	}
	return 1
}

func nodeName(i int) string { return fmt.Sprintf("n%d", i+1) }

// founded is a restaurant with two tables, as a base has it.
func founded(id engine.AggregateID) engine.Aggregate {
	agg := engine.NewAggregate(id)
	rid := engine.RestaurantID(id)
	apply := func(b engine.Body) {
		_, events := agg.Decide(exploredNow, &engine.Command{Caller: owner, Body: b})
		for _, e := range events {
			agg.Apply(e)
		}
	}
	apply(&engine.CreateRestaurant{ID: rid, Details: engine.Details{
		Name: "Da Mario", TimeZone: "Europe/Rome",
		OpeningHours: []engine.OpeningHours{{Days: 1 << 5, Open: 10 * 60, Close: 24 * 60, LastSeating: 22 * 60}},
	}})
	for i := range 2 {
		apply(&engine.AddTable{ID: engine.MakeTableID(rid, uint64(i+1)), Table: engine.TableSpec{
			Number: fmt.Sprint(i + 1), Capacity: 4, MinCapacity: 1, InService: true,
		}})
	}
	return agg
}

// newExplored is a journal with its genesis, bases of the restaurants, and every node serving.
func newExplored(b *bounds, ctl *control) *explored {
	if b.tick == 0 {
		b.tick = 2 * time.Second
	}
	w := &explored{bounds: b, ctl: ctl, god: new(persistence.Custody)}
	w.left = budget{b.crashes, b.pauses, b.lost, b.late, b.dups, b.full, b.unread, b.ticks, b.beats, b.bases, b.floors,
		b.passivations, b.checkpoints, b.purge, b.claims, b.releases, b.outages, b.restarts}
	w.disk.start = max(b.nextSeq, 1)
	w.disk.first = w.disk.start
	w.stored(w.disk.append(persistence.Control, persistence.Encode(nil, &persistence.Genesis{
		Journal: "jrn_explored", Partitions: 2, Node: "n1",
	})))
	for r, id := range exploredIDs {
		agg := founded(id)
		w.hist[r] = &hist{version: agg.Version(), digest: agg.Digest(), agg: agg}
		must(w.disk.put(r, persistence.Base{
			BaseHeader: persistence.BaseHeader{ID: id, Version: agg.Version(), Position: w.disk.first},
			State:      agg.AppendBase(nil),
		}, true))
	}
	for i := range b.nodes {
		w.nodes = append(w.nodes, &xnode{name: nodeName(i), i: i, state: nodeDown})
	}
	w.owned = make([]bool, b.nodes)
	w.disk.stale, w.disk.noHeader = b.stale, ctl.staleBase
	for i := range b.nodes {
		w.start(i)
	}
	if b.nodes == 1 {
		return w
	}
	for moved := true; moved; {
		moved = false
		for _, a := range w.enabled() {
			if a.kind <= actReader {
				w, moved = w.do(a), true
				break
			}
		}
	}
	w.way = nil
	return w
}

// stored checks a record that has just got its place (M2, M3, M4, M8) and folds it into what the stream says.
func (w *explored) stored(seq persistence.Seq) {
	e := w.disk.entries[seq-w.disk.start]
	r, err := persistence.Decode(e.Data)
	if err != nil {
		w.fail("record %d: %v", seq, err)
		return
	}
	w.god = w.god.Clone()
	if w.god.Journal() == "" {
		w.god = new(persistence.Custody)
	}
	if err := w.god.Apply(e, r); err != nil {
		w.fail("M4: %v", err)
		return
	}
	f, ok := r.(*persistence.Frame)
	if !ok {
		return
	}
	for i, x := range f.Index {
		w.happened(seq, restaurantOf(x.Aggregate), x.Version, must(engine.DecodeEvent(f.Events[i])))
	}
}

// happened folds one event into a restaurant's history.
func (w *explored) happened(seq persistence.Seq, r int, v engine.Version, e *engine.Event) {
	h := w.hist[r]
	if v != h.version+1 {
		w.fail("M3: event of version %d after %d in restaurant %d at %d", v, h.version, r, seq)
		return
	}
	if c := e.GetReservationCreated(); c != nil {
		id := engine.ReservationID(c.GetReservation().GetId())
		cmd := w.commandOf(id)
		for _, made := range w.reservations(h.agg, r) {
			if w.commandOf(made.ID) == cmd {
				w.fail("M8: command %d made %s and %s", cmd, made.ID, id)
			}
		}
	}
	agg := must(engine.OpenBase(exploredIDs[r], h.agg.AppendBase(nil)))
	agg.Apply(e)
	w.hist[r] = &hist{prev: h, seq: seq, version: v, digest: agg.Digest(), agg: agg}
	w.overlaps(r)
}

// overlaps is M2: no two live reservations have a table at the same time.
func (w *explored) overlaps(r int) {
	list := w.reservations(w.hist[r].agg, r)
	for i, a := range list {
		for _, b := range list[:i] {
			if a.Status == engine.StatusConfirmed && b.Status == engine.StatusConfirmed &&
				a.StartsAt < b.EndsAt && b.StartsAt < a.EndsAt && slices.ContainsFunc(a.Tables, func(t engine.TableID) bool {
				return slices.Contains(b.Tables, t)
			}) {
				w.fail("M2: %s and %s overlap", a.ID, b.ID)
			}
		}
	}
}

func (w *explored) reservations(agg engine.Aggregate, r int) []*engine.Reservation {
	return agg.View().(*engine.RestaurantView).DaySheet(day, nil)
}

// reservation ids name the command and the try that made them.
func (w *explored) idOf(cmd, try int) engine.ReservationID {
	r := w.commands[cmd].restaurant
	return engine.MakeReservationID(engine.RestaurantID(exploredIDs[r]), uint64(100*cmd+try+1))
}

func (w *explored) commandOf(id engine.ReservationID) int {
	for cmd := range w.commands {
		for try := range w.attempts {
			if w.idOf(cmd, try) == id {
				return cmd
			}
		}
	}
	return -1
}

// at is the history of restaurant r at version v; nil when the stream does not have it.
func (w *explored) at(r int, v engine.Version) *hist {
	h := w.hist[r]
	if v > h.version {
		return nil
	}
	for h != nil && h.version > v {
		h = h.prev
	}
	return h
}

// upTo is the history of restaurant r at sequence seq.
func (w *explored) upTo(r int, seq persistence.Seq) *hist {
	h := w.hist[r]
	for h.prev != nil && h.seq > seq {
		h = h.prev
	}
	return h
}

// hash is equal for equal states.
func (w *explored) hash() uint64 {
	var b []byte
	num := func(vs ...uint64) {
		for _, v := range vs {
			b = binary.LittleEndian.AppendUint64(b, v)
		}
	}
	num(uint64(w.disk.last()), uint64(w.disk.first), uint64(w.disk.rev), uint64(w.acked[0]), uint64(w.acked[1]))
	digest := w.god.Digest()
	b = append(b, digest[:]...)
	for r := range w.restaurants {
		num(w.hist[r].digest, uint64(w.hist[r].seq), uint64(w.disk.now[r].Version), uint64(w.disk.now[r].Revision))
	}
	b = fmt.Appendf(b, "%v %v %v", w.left, w.tries, w.away)
	var packets []uint64
	for i := range w.net {
		p := &w.net[i]
		h := xxhash.New()
		fmt.Fprintf(h, "%d %d %d %d %v %d %d %v|", p.node, p.boot, p.claim, p.expect, p.answer, p.seq, p.rev, p.err)
		h.Write(p.data)
		if p.base != nil {
			fmt.Fprintf(h, "%v", p.base.BaseHeader)
		}
		packets = append(packets, h.Sum64())
	}
	slices.Sort(packets)
	num(packets...)
	for _, n := range w.nodes {
		b = n.fingerprint(w.now, b)
	}
	return xxhash.Sum64(b)
}

// restore reads what the disk has, as a start does.
func restored(d *disk) (*fold, error) {
	cfg := Config{Journal: diskJournal{d}, Bases: diskBases{d}}
	return restore(context.Background(), &cfg, newTimers(&House{cfg: cfg}))
}
