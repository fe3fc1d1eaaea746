package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	hostiles    = 20   // addresses that it all comes from
	slowConns   = 2000 // held open by clients that drip or never read
	bigBodies   = 500  // connections that send bodies as large as may be, and larger
	loginFlood  = 500  // logins a second
	besideRate  = 2000 // reservations a second
	dripEvery   = time.Second
	slowMemory  = 1 << 30
	letGoWithin = 12 * time.Second // read timeout, write timeout, and a busy machine
)

// siege is what hostile clients do to a server, and what became of it.
type siege struct {
	addr       string
	restaurant string // whose days are asked for
	wg         sync.WaitGroup

	held, closed, longest      atomic.Int64 // connections held now, let go by the server, ns that one was held
	bigSent, bigRefused, wrong atomic.Int64
	logins, throttled          atomic.Int64
}

// losses is what a siege counted.
type losses struct {
	Held, Closed, Longest, BigSent, BigRefused, Wrong, Logins, Throttled int64
}

// The siege is a process of its own, this binary again: its thousands of clients are not to stand in the way of those whose time is
// taken. It says when it is complete, ends when its standard input does, and then tells its losses.
const (
	besieged     = "MAITRED_TEST_SIEGE"
	besiegedDays = "MAITRED_TEST_SIEGE_RESTAURANT"
)

func besiege(addr string) {
	g := &siege{addr: addr, restaurant: os.Getenv(besiegedDays)}
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	g.begin(ctx)
	for ctx.Err() == nil && g.held.Load() < slowConns*9/10 {
		pause(pollEvery)
	}
	fmt.Println("complete")
	<-ctx.Done()
	held := g.held.Load()
	g.wg.Wait()
	_ = json.NewEncoder(os.Stdout).Encode(losses{held, g.closed.Load(), g.longest.Load(), g.bigSent.Load(), g.bigRefused.Load(), g.wrong.Load(), g.logins.Load(), g.throttled.Load()})
}

// layTo starts a siege and returns when it is complete; the function that it returns ends it.
func layTo(t *testing.T, addr, restaurant string) func() losses {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	if long() {
		cmd = exec.Command("nice", "-n", "19", os.Args[0]) // in life its clients have other machines
	}
	cmd.Env = append(os.Environ(), besieged+"="+addr, besiegedDays+"="+restaurant)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	said := bufio.NewReader(out)
	line, err := said.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "complete\n", line)
	return func() (l losses) {
		require.NoError(t, in.Close())
		require.NoError(t, json.NewDecoder(said).Decode(&l))
		require.NoError(t, cmd.Wait())
		return l
	}
}

func (l *losses) add(o losses) {
	l.Closed, l.BigSent, l.BigRefused, l.Wrong = l.Closed+o.Closed, l.BigSent+o.BigSent, l.BigRefused+o.BigRefused, l.Wrong+o.Wrong
	l.Logins, l.Throttled, l.Longest = l.Logins+o.Logins, l.Throttled+o.Throttled, max(l.Longest, o.Longest)
}

// begin starts all of it; it ends with the context.
func (g *siege) begin(ctx context.Context) {
	for i := range slowConns {
		g.wg.Go(func() { g.slow(ctx, i) })
	}
	for i := range bigBodies {
		g.wg.Go(func() { g.big(ctx, i) })
	}
	flood := newAPI(g.addr, 100)
	var next atomic.Int64
	flood.c.Dial = func(string) (net.Conn, error) { return g.dial(ctx, int(next.Add(1))) }
	logins := make(chan int)
	for range 100 {
		g.wg.Go(func() {
			for n := range logins {
				g.login(flood, n)
			}
		})
	}
	g.wg.Go(func() {
		defer close(logins)
		tick := time.NewTicker(time.Second / loginFlood)
		defer tick.Stop()
		for n := 0; ctx.Err() == nil; n++ {
			select {
			case logins <- n:
			default:
			}
			<-tick.C
		}
	})
}

// dial connects from one of the hostile addresses.
func (g *siege) dial(ctx context.Context, i int) (net.Conn, error) {
	from := net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+i%hostiles))}
	return (&net.Dialer{Timeout: 5 * time.Second, LocalAddr: &from}).DialContext(ctx, "tcp", g.addr)
}

// slow holds one connection after the other: it drips a header or a body, or asks a lot and never reads.
func (g *siege) slow(ctx context.Context, i int) {
	<-time.After(5 * time.Second * time.Duration(i) / slowConns) // not all at once
	for ctx.Err() == nil {
		c, err := g.dial(ctx, i)
		if err != nil {
			<-time.After(100 * time.Millisecond)
			continue
		}
		g.held.Add(1)
		begun := time.Now()
		stop := context.AfterFunc(ctx, func() { c.Close() })
		g.hold(c, i)
		stop()
		c.Close()
		g.held.Add(-1)
		if ctx.Err() == nil {
			g.closed.Add(1)
			for was := g.longest.Load(); ; was = g.longest.Load() {
				if now := int64(time.Since(begun)); now <= was || g.longest.CompareAndSwap(was, now) {
					break
				}
			}
		}
	}
}

// hold returns when the server has closed the connection.
func (g *siege) hold(c net.Conn, i int) {
	first := "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Drip: "
	switch {
	case i%2 == 0:
		first = "POST /api/v1/reservations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 16000\r\n\r\n{"
	case i%10 == 1:
		ask := []byte(strings.Repeat("GET /api/v1/restaurants/"+g.restaurant+"/availability?date="+day(3)+"&guests_count=2 HTTP/1.1\r\nHost: x\r\n\r\n", 5))
		_ = c.(*net.TCPConn).SetReadBuffer(64 << 10)
		for {
			if _, err := c.Write(ask); err != nil {
				return
			}
		}
	}
	if _, err := io.WriteString(c, first); err != nil {
		return
	}
	gone := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, c)
		close(gone)
	}()
	tick := time.NewTicker(dripEvery)
	defer tick.Stop()
	for {
		select {
		case <-gone:
			return
		case <-tick.C:
			if _, err := c.Write([]byte("a")); err != nil {
				<-gone
				return
			}
		}
	}
}

// big sends a body of 16 KiB that is nonsense, then one that is too large, about once a second.
func (g *siege) big(ctx context.Context, i int) {
	<-time.After(time.Second * time.Duration(i) / bigBodies) // not all at once
	body := `{"x":"` + strings.Repeat("y", 16_000) + `"}`
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for n := i; ctx.Err() == nil; n++ {
		status := g.post(ctx, n, body)
		g.bigSent.Add(1)
		switch status {
		case 413, 401, 422, 429:
			g.bigRefused.Add(1)
		case 0, 503: // reset while it was being sent; no room
		default:
			g.wrong.Add(1)
		}
		<-tick.C
	}
}

// post sends the n-th body over a connection of its own, or announces a GiB of it. It returns the status, 0 when none came.
func (g *siege) post(ctx context.Context, n int, body string) int {
	c, err := g.dial(ctx, n)
	if err != nil {
		return 0
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	length := len(body)
	if n%2 == 0 {
		length = 1 << 30
	}
	_, _ = io.WriteString(c, "POST /api/v1/auth/refresh HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: "+strconv.Itoa(length)+"\r\n\r\n"+body)
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0
	}
	_ = res.Body.Close()
	return res.StatusCode
}

func (g *siege) login(a *api, n int) {
	got, err := a.do(request{method: "POST", path: "/auth/login", body: map[string]any{"email": fmt.Sprintf("nobody-%d@example.org", n), "password": "wrong horse"}})
	g.logins.Add(1)
	switch {
	case err == nil && got.status == 429 && got.retryAfter != "":
		g.throttled.Add(1)
	case err == nil && got.status != 401:
		g.wrong.Add(1)
	}
}

// TestFaultSlowClients measures reservations at a constant rate alone and beside 2,000 slow connections, 500 connections with
// large bodies and a flood of logins, in turns.
func TestFaultSlowClients(t *testing.T) {
	raiseFileLimit(t)
	during, rounds, share := 5*time.Second, 1, 0.1 // a machine that does other things too says little in five seconds
	if long() {
		during, rounds, share = 10*time.Second, 5, 0.9
	}
	// The limits by address are those of the defaults; the guests come through a proxy, each from an address of its own.
	s := newServer(t, t.TempDir()+"/data", "--rate-limit", "100", "--max-conns-per-ip", "256", "--trusted-proxy", "127.0.0.1/32")
	s.env = []string{"GOMEMLIMIT=768MiB"} // as an operator who has 1 GiB would; the long form makes 200,000 reservations
	s.start()
	w := furnish(t, s, 60, 50)
	w.days = 80
	o := &offer{w: w, tokens: s.tokens("customer", 200), addr: s.addr, seed: seedOf(t), wish: "a quiet table, please"}
	o.open(besideRate, 3*time.Second) // opens the restaurants
	peak := watch(s)
	var alone, beside []time.Duration
	var g losses
	for range rounds {
		calm := o.open(besideRate, during)
		lift := layTo(t, s.addr, w.places[0].id)
		load := o.open(besideRate, during)
		l := lift()
		require.Greater(t, l.Held, int64(slowConns/2), "the siege went on")
		g.add(l)
		fmt.Printf("%s: alone %.0f/s p99=%v refused=%d no_answer=%d; beside %.0f/s p99=%v refused=%d no_answer=%d\n", t.Name(),
			calm.rate(), calm.p99().Round(100*time.Microsecond), calm.shed.Load(), calm.silent.Load(),
			load.rate(), load.p99().Round(100*time.Microsecond), load.shed.Load(), load.silent.Load())
		alone, beside = append(alone, calm.p99()), append(beside, load.p99())
		require.Zero(t, load.silent.Load(), "reservations without an answer")
		require.GreaterOrEqual(t, load.rate(), share*calm.rate(), "reservations beside the siege")
	}
	memory, longest := peak(), time.Duration(g.Longest)
	slices.Sort(alone)
	slices.Sort(beside)
	before, after := alone[rounds/2], beside[rounds/2]
	fmt.Printf("%s: p99_alone=%v p99_beside=%v ratio=%.2f rss=%d MiB slow_let_go=%d longest_held=%v big=%d refused=%d logins=%d throttled=%d\n", t.Name(),
		before.Round(100*time.Microsecond), after.Round(100*time.Microsecond), float64(after)/float64(before), memory>>20,
		g.Closed, longest.Round(time.Millisecond), g.BigSent, g.BigRefused, g.Logins, g.Throttled)
	if whole := int64(during.Seconds()) * int64(rounds); long() {
		require.Greater(t, g.Logins, loginFlood*whole/2, "the flood was offered")
		require.Greater(t, g.BigSent, bigBodies*whole/2, "the bodies were offered")
		fmt.Printf("%s: the aim is a ratio of at most 2.00\n", t.Name())
		require.LessOrEqual(t, after, max(2*before, 100*time.Millisecond), "p99 of reservations")
	}
	require.Zero(t, g.Wrong, "answers that no hostile request should get")
	require.LessOrEqual(t, memory, int64(slowMemory), "resident memory")
	require.Positive(t, g.Closed)
	require.LessOrEqual(t, longest, letGoWithin, "a slow connection was held")
	require.Positive(t, g.Throttled, "no flood")
}
