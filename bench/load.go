package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"
)

const (
	openLoopTick = 500 * time.Microsecond // how late an open loop may send, and see an answer; counted as latency
	drainTimeout = 15 * time.Second       // for answers that are outstanding when the window ends
	readBuffer   = 32 << 10
)

// loadCmd is the load generator, a process of its own so that its CPU can be told from the server's. One thread, one epoll
// loop, requests written straight into sockets: every microsecond it takes is taken from the server on the same cores.
type loadCmd struct {
	Job string `arg:"" help:"File with the job as JSON."`
}

// loadResult is what a load process reports. Times are microseconds, measured from the intended send time in an open loop.
type loadResult struct {
	Requests    int            `json:"requests"`
	Seconds     float64        `json:"seconds"`
	Status      map[string]int `json:"status"`
	Bookings    int            `json:"bookings"`
	Created     int            `json:"created"` // 201 inside the window
	Acked       int            `json:"acked"`   // 201 in all, as in the ledger
	P50         int64          `json:"p50_us"`
	P99         int64          `json:"p99_us"`
	Max         int64          `json:"max_us"`
	ReadP50     int64          `json:"read_p50_us"`
	ReadP99     int64          `json:"read_p99_us"`
	ReadMax     int64          `json:"read_max_us"`
	Restaurants int            `json:"restaurants"`
	Tokens      int            `json:"tokens"`
	CPU         float64        `json:"cpu_seconds"` // of the generator, inside the window
	Next        int            `json:"next"`        // offset of the next round
	BytesOut    int            `json:"bytes_out"`   // of one answer's body, the last one
	BytesIn     int            `json:"bytes_in"`    // of one request, the last one
	Unanswered  int            `json:"unanswered"`
	Exhausted   bool           `json:"exhausted"` // the workload ended before the window
	Faults      []string       `json:"faults,omitempty"`
	Check       *checkResult   `json:"check,omitempty"`
}

// Run implements the command: it prints "begin" and "end" when the measured window does, then the result as one JSON line.
func (c *loadCmd) Run() error {
	text, err := os.ReadFile(c.Job)
	if err != nil {
		return fmt.Errorf("read the job: %w", err)
	}
	var j job
	if err := json.Unmarshal(text, &j); err != nil {
		return fmt.Errorf("read the job: %w", err)
	}
	runtime.LockOSThread()
	debug.SetGCPercent(800)
	g, err := newGenerator(&j)
	if err != nil {
		return err
	}
	defer g.closeAll()
	if err := g.run(); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(g.report())
}

type conn struct {
	fd   int
	sent int64 // nanoseconds since start, or when it should have been sent
	req  request
	out  []byte
	in   []byte
	got  int
}

type phase int

const (
	warming phase = iota
	measuring
	draining
)

type generator struct {
	job      *job
	work     *workload
	epoll    int
	timer    int // timerfd, wakes the open loop
	conns    []*conn
	idle     []*conn
	start    time.Time
	phase    phase
	deadline int64 // of the phase, nanoseconds since start
	sent     int
	busy     int
	ended    bool // the workload has no more
	book     *hdrhistogram.Histogram
	read     *hdrhistogram.Histogram
	status   [600]int
	ledger   *ledger
	check    *checker
	trace    []traced
	result   loadResult
	began    int64
	cpuBegan float64
}

func newGenerator(j *job) (*generator, error) {
	work, err := newWorkload(j)
	if err != nil {
		return nil, err
	}
	g := &generator{job: j, work: work, timer: -1, book: hdrhistogram.New(1, 120_000_000, 3), read: hdrhistogram.New(1, 120_000_000, 3)}
	if j.Kind == kindVerify {
		g.check = newChecker(work.acks)
	} else if j.AckFile != "" {
		if g.ledger, err = openLedger(j.AckFile); err != nil {
			return nil, err
		}
	}
	if g.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	if j.TraceFile != "" {
		g.trace = make([]traced, 0, 1<<16)
	}
	addrs := strings.Split(j.Addr, ",")
	for i := range j.Conns {
		c, err := dial(addrs[i%len(addrs)])
		if err != nil {
			return nil, err
		}
		g.conns, g.idle = append(g.conns, c), append(g.idle, c)
		event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)}
		if err := unix.EpollCtl(g.epoll, unix.EPOLL_CTL_ADD, c.fd, &event); err != nil {
			return nil, fmt.Errorf("epoll: %w", err)
		}
	}
	return g, g.armTimer()
}

// dial connects a raw non-blocking socket: the runtime's poller would park and wake a goroutine for each answer.
func dial(addr string) (*conn, error) {
	tcp, err := net.ResolveTCPAddr("tcp4", addr)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", addr, err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", addr, err)
	}
	to := &unix.SockaddrInet4{Port: tcp.Port}
	copy(to.Addr[:], tcp.IP.To4())
	err = errors.Join(unix.Connect(fd, to), unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1), unix.SetNonblock(fd, true))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("dial %s: %w", addr, err), unix.Close(fd))
	}
	return &conn{fd: fd, in: make([]byte, readBuffer), out: make([]byte, 0, 2048)}, nil
}

const timerSlot = -1

// armTimer gives the loop a pulse: of openLoopTick in an open loop, else only to see the end of a phase.
func (g *generator) armTimer() error {
	flags := unix.TFD_CLOEXEC
	if g.job.Rate == 0 {
		flags |= unix.TFD_NONBLOCK
	}
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, flags)
	if err != nil {
		return fmt.Errorf("timerfd: %w", err)
	}
	g.timer = fd
	every := 20 * time.Millisecond
	if g.job.Rate > 0 {
		every = openLoopTick
	}
	spec := unix.NsecToTimespec(int64(every))
	if err := unix.TimerfdSettime(fd, 0, &unix.ItimerSpec{Interval: spec, Value: spec}, nil); err != nil {
		return fmt.Errorf("timerfd: %w", err)
	}
	if g.job.Rate > 0 { // wait reads it
		return nil
	}
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: timerSlot}
	if err := unix.EpollCtl(g.epoll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	return nil
}

func (g *generator) now() int64 { return int64(time.Since(g.start)) }

func (g *generator) run() error {
	g.start = time.Now()
	g.deadline = int64(g.job.WarmMs) * int64(time.Millisecond)
	if g.job.WarmMs == 0 {
		g.begin(0)
	}
	g.feed(0)
	events := make([]unix.EpollEvent, 256)
	for {
		n, err := g.wait(events)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("epoll: %w", err)
		}
		for _, e := range events[:n] {
			if e.Fd == timerSlot {
				g.pulse()
				continue
			}
			if err := g.receive(g.conns[e.Fd]); err != nil {
				return err
			}
		}
		now := g.now()
		if g.advance(now) {
			break
		}
		g.feed(now)
	}
	if g.ledger != nil {
		if err := g.ledger.close(); err != nil {
			return err
		}
	}
	return g.writeTrace()
}

// wait returns connections that have an answer. In a closed loop as soon as there is one; in an open loop at the next
// pulse: woken by each answer it would cost three times the CPU, of the same cores that the server needs.
func (g *generator) wait(events []unix.EpollEvent) (int, error) {
	if g.job.Rate == 0 {
		return unix.EpollWait(g.epoll, events, -1)
	}
	g.pulse()
	return unix.EpollWait(g.epoll, events, 0)
}

func (g *generator) pulse() {
	var count [8]byte
	_, _ = unix.Read(g.timer, count[:])
}

// warmTokens bounds how much longer the warm-up lasts until every token was sent once: a server verifies a token's signature
// (90 µs) once in its life of minutes, so 12,000 first uses within a few measured seconds would be the test's doing.
const warmTokens = 5 * time.Second

// advance moves through the phases; true at the end.
func (g *generator) advance(now int64) bool {
	if g.phase == warming && now >= g.deadline && (g.work.warm() || now >= g.deadline+int64(warmTokens)) {
		g.begin(now)
	}
	if g.phase == measuring && (now >= g.deadline || (g.ended && g.busy == 0)) {
		g.result.Seconds = float64(now-g.began) / 1e9
		g.result.CPU = ownCPU() - g.cpuBegan
		fmt.Println("end")
		g.phase, g.deadline = draining, now+int64(drainTimeout)
	}
	if g.phase == draining && (g.busy == 0 || now >= g.deadline) {
		g.result.Unanswered = g.busy
		return true
	}
	return false
}

func (g *generator) begin(now int64) {
	g.phase, g.began, g.cpuBegan = measuring, now, ownCPU()
	g.work.warmed = true
	g.deadline = now + int64(g.job.MeasureMs)*int64(time.Millisecond)
	g.book.Reset()
	g.read.Reset()
	g.status = [600]int{}
	fmt.Println("begin")
}

// feed sends on every idle connection (closed loop), or what is due (open loop).
func (g *generator) feed(now int64) {
	for g.phase != draining && !g.ended && len(g.idle) > 0 {
		due := now
		if g.job.Rate > 0 {
			if due = int64(float64(g.sent) / g.job.Rate * 1e9); due > now {
				return
			}
		}
		c := g.idle[0] // the longest idle: an open loop below capacity would let the others time out
		if !g.send(c, due) {
			return
		}
		g.idle = g.idle[1:]
	}
}

func (g *generator) send(c *conn, due int64) bool {
	if g.job.Limit > 0 && g.sent >= g.job.Limit {
		g.ended = true
		return false
	}
	var ok bool
	if c.out, ok = g.work.write(c.out[:0], &c.req); !ok {
		g.ended = true
		return false
	}
	c.req.measured = g.phase == measuring
	c.sent = due
	n, err := unix.Write(c.fd, c.out)
	if err != nil || n < len(c.out) {
		g.fault(fmt.Sprintf("write: %d of %d bytes: %v", n, len(c.out), err))
		g.ended = true
		return false
	}
	g.sent++
	g.busy++
	return true
}

// receive reads what a connection has; with a whole answer the connection is idle again, or busy with the next request.
func (g *generator) receive(c *conn) error {
	n, err := unix.Read(c.fd, c.in[c.got:])
	if err == unix.EAGAIN || err == unix.EINTR {
		return nil
	}
	if err != nil || n == 0 {
		return fmt.Errorf("the server closed a connection after %d requests: %w", g.sent, errors.Join(err, errClosed))
	}
	c.got += n
	a, length, err := parseAnswer(c.in[:c.got])
	if err != nil {
		return fmt.Errorf("%w: %.200q", err, c.in[:c.got])
	}
	if length == 0 {
		if c.got == len(c.in) {
			c.in = append(c.in, make([]byte, len(c.in))...)
		}
		return nil
	}
	now := g.now()
	if err := g.account(c, a, now); err != nil {
		return err
	}
	c.got = 0
	g.busy--
	g.idle = append(g.idle, c)
	if g.job.Rate == 0 {
		g.feed(now)
	}
	return nil
}

var errClosed = errors.New("connection closed")

func (g *generator) account(c *conn, a answer, now int64) error {
	if a.status >= len(g.status) || a.status < 100 {
		return fmt.Errorf("%w: status %d", errMalformed, a.status)
	}
	if a.status >= 500 {
		g.fault(fmt.Sprintf("%d: %.200s", a.status, a.body))
	}
	if g.check != nil {
		g.check.answer(int(c.req.seq), a)
	}
	if a.status == 201 && g.ledger != nil {
		id := member(a.body, idMember)
		if id == nil {
			return fmt.Errorf("%w: 201 without id: %.200q", errMalformed, a.body)
		}
		g.result.Acked++
		seq := int(c.req.seq)
		if err := g.ledger.add(id, c.req.token, func(b []byte) []byte { return g.work.key(b, seq) }); err != nil {
			return fmt.Errorf("write the ledger: %w", err)
		}
		if g.job.SyncAcks {
			if err := g.ledger.sync(); err != nil {
				return err
			}
		}
	}
	if g.phase != measuring || (g.job.Rate > 0 && !c.req.measured) {
		return nil
	}
	g.status[a.status]++
	g.note(c, a.status, now)
	latency := max(1, (now-c.sent)/1000)
	if c.req.booking {
		g.result.Bookings++
		_ = g.book.RecordValue(latency)
	} else {
		_ = g.read.RecordValue(latency)
	}
	g.result.BytesOut, g.result.BytesIn = len(a.body), len(c.out)
	return nil
}

func (g *generator) fault(text string) {
	if len(g.result.Faults) < 5 {
		g.result.Faults = append(g.result.Faults, text)
	}
}

func (g *generator) closeAll() {
	for _, c := range g.conns {
		_ = unix.Close(c.fd)
	}
	_ = unix.Close(g.timer)
	_ = unix.Close(g.epoll)
}

// ownCPU is the CPU time of this process, seconds.
func ownCPU() float64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}
