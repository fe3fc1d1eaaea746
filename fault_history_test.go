package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// verdict is how one operation ended for the guest who asked.
type verdict string

const (
	acknowledged verdict = "acknowledged" // 200, 201: it must survive everything
	refused      verdict = "refused"      // 409 and other decisions against it: it must not have happened
	notDone      verdict = "not done"     // 503, 429: surely not done
	unknown      verdict = "unknown"      // 504, no answer: once or never
)

// op is one operation of one guest, as the guest wrote it down.
type op struct {
	N           int64   `json:"n"`
	Guest       int     `json:"guest"`
	Method      string  `json:"method"`
	Path        string  `json:"path"`
	Key         string  `json:"key"`
	IfMatch     string  `json:"if_match,omitempty"`
	Body        any     `json:"body,omitempty"`
	Reservation string  `json:"reservation,omitempty"` // that it changes; empty for a create
	Verdict     verdict `json:"verdict"`
	Status      int     `json:"status"`
	Answer      *kept   `json:"answer,omitempty"`
	Fault       string  `json:"fault,omitempty"` // why the verdict is unknown
	Was         *kept   `json:"was,omitempty"`   // the reservation before, as the guest knew it

	Begun time.Duration `json:"begun"` // since the ledger was opened
	Ended time.Duration `json:"ended"` // of the answer that decided
}

func (o *op) isCreate() bool { return o.Reservation == "" }

// mark is what a create carries into the journal, so that the journal can be compared by the operation.
func mark(n int64) string { return fmt.Sprintf("op-%d", n) }

// ledger is what the guests wrote down: on the disk, in a process that no fault touches. An operation counts only when its
// line is fsynced.
type ledger struct {
	file  *os.File
	begun time.Time
	queue chan entry
	done  chan struct{}

	mu    sync.Mutex
	next  int64
	err   error
	ops   []*op            // in the order in which they were written down
	books map[string]*book // by reservation
	odd   []string         // answers that contradict an earlier one
	doubt int              // operations that were of unknown outcome, also those that were settled

	glances []*glance
}

// since is the time since the ledger was opened.
func (l *ledger) since() time.Duration { return time.Since(l.begun) }

// book is what the guests know of one reservation.
type book struct {
	last    *kept // newest acknowledged state
	guest   int
	touched int // round of the last operation
}

// drifts tells that the house goes on with the reservation by itself: who waits is offered a table, and an offer ends.
func (k *kept) drifts() bool { return k.Status == "waiting" || k.Status == "held" }

// driftsTo tells whether the house may make the one status of the other by itself.
func driftsTo(from, to string) bool {
	return to == "expired" || from == "waiting" && to == "held"
}

type entry struct {
	line    []byte
	written chan struct{}
}

func newLedger(t *testing.T) *ledger {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "ledger.jsonl"))
	require.NoError(t, err)
	l := &ledger{file: f, begun: time.Now(), queue: make(chan entry, 1024), done: make(chan struct{}), books: map[string]*book{}}
	go l.write()
	t.Cleanup(func() {
		close(l.queue)
		<-l.done
		require.NoError(t, f.Close())
		require.NoError(t, l.err, "the ledger could not be written: nothing of this run counts")
	})
	return l
}

// write puts lines on the disk; all that wait share one fsync.
func (l *ledger) write() {
	defer close(l.done)
	w := bufio.NewWriter(l.file)
	for e := range l.queue {
		batch := []entry{e}
		for more := true; more && len(batch) < cap(l.queue); {
			select {
			case e, ok := <-l.queue:
				if more = ok; ok {
					batch = append(batch, e)
				}
			default:
				more = false
			}
		}
		for _, e := range batch {
			_, _ = w.Write(e.line)
		}
		err := w.Flush()
		if err == nil {
			err = l.file.Sync()
		}
		if err != nil {
			l.mu.Lock()
			l.err = err
			l.mu.Unlock()
		}
		for _, e := range batch {
			close(e.written)
		}
	}
}

func (l *ledger) number() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next++
	return l.next
}

// record writes an operation down and counts it once it is on the disk.
func (l *ledger) record(o *op, round int) {
	line, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	e := entry{append(line, '\n'), make(chan struct{})}
	l.queue <- e
	<-e.written
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ops = append(l.ops, o)
	if o.Verdict == unknown {
		l.doubt++
	}
	if o.Verdict == acknowledged {
		l.books[o.Answer.ID] = &book{o.Answer, o.Guest, round}
	}
}

// remark keeps an answer that contradicts an earlier one.
func (l *ledger) remark(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.odd = append(l.odd, fmt.Sprintf(format, args...))
}

// count says how many operations ended in a verdict; of each operation the last line counts.
func (l *ledger) count() map[verdict]int {
	n := map[verdict]int{}
	for _, o := range l.final() {
		n[o.Verdict]++
	}
	return n
}

// final is the last line of each operation.
func (l *ledger) final() map[int64]*op {
	l.mu.Lock()
	defer l.mu.Unlock()
	last := make(map[int64]*op, len(l.ops))
	for _, o := range l.ops {
		last[o.N] = o
	}
	return last
}

// open lists the operations whose outcome is unknown still.
func (l *ledger) open() []*op {
	var open []*op
	for _, o := range l.final() {
		if o.Verdict == unknown {
			open = append(open, o)
		}
	}
	return open
}

// sample is every reservation touched since a round, and of the rest one in every.
func (l *ledger) sample(since, every int) map[string]*book {
	l.mu.Lock()
	defer l.mu.Unlock()
	some, i := map[string]*book{}, 0
	for id, b := range l.books {
		if i++; b.touched >= since || i%every == 0 {
			some[id] = b
		}
	}
	return some
}

// tally is the line that a run prints.
type tally struct {
	faults, lost, doubled, wrong int
	offers                       int // to who waited
	details                      []string
}

const (
	mostDetails   = 20
	longestDetail = 1000 // testify shows nothing of a message with a longer line than 64 KiB
)

func (y *tally) add(counter *int, format string, args ...any) {
	*counter++
	if len(y.details) < mostDetails {
		y.details = append(y.details, fmt.Sprintf("%.*s", longestDetail, fmt.Sprintf(format, args...)))
	}
}

// print writes the line of a run and fails the test when something was lost, doubled or wrong.
func (y *tally) print(t *testing.T, l *ledger, format string, args ...any) {
	t.Helper()
	n := l.count()
	fmt.Printf("%s: faults=%d acknowledged=%d unknown=%d unsettled=%d refused=%d not_done=%d lost=%d doubled=%d wrong=%d %s\n", t.Name(), y.faults,
		n[acknowledged], l.doubt, n[unknown], n[refused], n[notDone], y.lost, y.doubled, y.wrong, fmt.Sprintf(format, args...))
	for _, d := range y.details {
		t.Error(d)
	}
	require.Zero(t, y.lost+y.doubled+y.wrong, "lost %d, doubled %d, wrong %d", y.lost, y.doubled, y.wrong)
	require.NotZero(t, n[acknowledged], "nothing was acknowledged: the run shows nothing")
}

// absorb adds what another ledger holds, for the count: numbers are not compared any more.
func (l *ledger) absorb(other *ledger) {
	last := other.final()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.doubt += other.doubt
	for _, o := range last {
		l.next++
		o.N = l.next
		l.ops = append(l.ops, o)
	}
}
