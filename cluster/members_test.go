package cluster

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"maitred/deploy/dev"
)

const (
	quick    = 200 * time.Millisecond // between probes
	patient  = 15 * time.Second
	promptly = 3 * time.Second // less than it takes to find out by probing at the usual pace
)

var clusterKey = bytes.Repeat([]byte{7}, keyBytes)

// process is a member with what it wrote and was told.
type process struct {
	*Members
	t         *testing.T
	heard     *heard
	conflicts chan error
}

func start(t *testing.T, name string, change ...func(*MembersConfig)) *process {
	p := &process{t: t, heard: &heard{more: make(chan struct{})}, conflicts: make(chan error, 10)}
	cfg := MembersConfig{
		Name: name, Cluster: "test", Key: clusterKey, Listen: "127.0.0.1:0", probe: quick,
		Meta: Meta{Incarnation: rand.Uint64() | 1, Weight: 100, Version: "v1.2.3", API: "10.0.0.1:8080", Hop: "10.0.0.1:8090"},
		Log:  slog.New(slog.NewTextHandler(p.heard, nil)), Registry: prometheus.NewRegistry(),
		Conflict: func(err error) { p.conflicts <- err },
	}
	for _, c := range change {
		c(&cfg)
	}
	var err error
	p.Members, err = OpenMembers(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

func joining(others ...*process) func(*MembersConfig) {
	return func(c *MembersConfig) {
		for _, o := range others {
			c.Join = append(c.Join, o.Address())
		}
	}
}

func listening(address string) func(*MembersConfig) {
	return func(c *MembersConfig) { c.Listen = address }
}

func (p *process) names() string {
	var out []string
	for _, m := range p.Alive() {
		out = append(out, m.Name)
	}
	return strings.Join(out, " ")
}

// until waits for something to be so, at a change of the members.
func (p *process) until(within time.Duration, what string, so func() bool) {
	p.t.Helper()
	end := time.After(within)
	for {
		changed := p.Changed()
		if so() {
			return
		}
		select {
		case <-changed:
		case <-end:
			p.t.Fatalf("%s: not within %s; members are %q\n%s", what, within, p.names(), p.heard)
		}
	}
}

func (p *process) sees(within time.Duration, names string) {
	p.t.Helper()
	p.until(within, names, func() bool { return p.names() == names })
}

func (p *process) seesStart(within time.Duration, of *process) {
	p.t.Helper()
	p.until(within, "the new start of "+of.cfg.Name, func() bool {
		m, ok := p.Get(of.cfg.Name)
		return ok && m.Incarnation == of.cfg.Meta.Incarnation
	})
}

func (p *process) countOf(reason string) float64 {
	return testutil.ToFloat64(p.Members.refused.WithLabelValues(reason))
}

// heard is a log that can be waited for.
type heard struct {
	mu   sync.Mutex
	text strings.Builder
	more chan struct{}
}

func (l *heard) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(b)
	close(l.more)
	l.more = make(chan struct{})
	return len(b), nil
}

func (l *heard) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// wait is for n heard with a part.
func (l *heard) wait(t *testing.T, n int, part string) {
	t.Helper()
	end := time.After(patient)
	for {
		l.mu.Lock()
		more, found := l.more, strings.Count(l.text.String(), part)
		l.mu.Unlock()
		if found >= n {
			return
		}
		select {
		case <-more:
		case <-end:
			t.Fatalf("%d heard with %q, not %d:\n%s", found, part, n, l)
		}
	}
}

func untouched(t *testing.T, changed <-chan struct{}, who string) {
	t.Helper()
	select {
	case <-changed:
		t.Errorf("%s saw a change", who)
	default:
	}
}

func TestMembersSeeEachOther(t *testing.T) {
	a := start(t, "n1")
	b := start(t, "n2", joining(a))
	c := start(t, "n3", joining(b))
	for _, p := range []*process{a, b, c} {
		p.sees(patient, "n1 n2 n3")
		require.Equal(t, 3.0, testutil.ToFloat64(p.count))
	}
	m, ok := a.Get("n3")
	require.True(t, ok)
	require.Equal(t, c.cfg.Meta, m.Meta)
	_, ok = a.Get("n4")
	require.False(t, ok)
}

func TestMembersSeeDraining(t *testing.T) {
	a := start(t, "n1")
	b := start(t, "n2", joining(a))
	a.sees(patient, "n1 n2")
	b.sees(patient, "n1 n2")
	for _, draining := range []bool{true, false} {
		require.NoError(t, b.SetDraining(t.Context(), draining))
		a.until(promptly, "draining", func() bool { m, _ := a.Get("n2"); return m.Draining == draining })
	}
}

func TestMembersSeeALeaveAtOnce(t *testing.T) {
	usual := func(c *MembersConfig) { c.probe = 0 }
	a := start(t, "n1", usual)
	b := start(t, "n2", usual, joining(a))
	b.sees(patient, "n1 n2")
	a.sees(patient, "n1 n2")
	require.NoError(t, b.Leave(t.Context()))
	require.NoError(t, b.Leave(t.Context()))
	require.NoError(t, b.Close())
	a.sees(promptly, "n1")
	require.ErrorIs(t, b.SetDraining(t.Context(), true), ErrLeft)
	require.NoError(t, b.Leave(t.Context()), "after the close")
}

func TestMembersSeeADeath(t *testing.T) {
	a := start(t, "n1")
	b := start(t, "n2", joining(a))
	c := start(t, "n3", joining(a))
	b.sees(patient, "n1 n2 n3")
	c.sees(patient, "n1 n2 n3")
	require.NoError(t, b.Close())
	require.NoError(t, b.Close())
	a.sees(patient, "n1 n3")
	c.sees(patient, "n1 n3")
}

func TestMembersTakeARestartBack(t *testing.T) {
	for name, left := range map[string]bool{"left": true, "died": false} {
		t.Run(name, func(t *testing.T) {
			a := start(t, "n1")
			b := start(t, "n2", joining(a))
			a.sees(patient, "n1 n2")
			b.sees(patient, "n1 n2")
			if left {
				require.NoError(t, b.Leave(t.Context()))
			}
			require.NoError(t, b.Close())
			a.sees(patient, "n1")
			again := start(t, "n2", joining(a))
			require.NotEqual(t, b.Address(), again.Address())
			a.seesStart(promptly, again)
			again.sees(promptly, "n1 n2")
		})
	}
}

// Nobody has noticed the death yet: at the old address the new start is believed at once, at another one as soon as the old one is
// known to be dead. The new process is not told to end: the other one under its name does not answer.
func TestMembersTakeBackWhoseDeathNobodySaw(t *testing.T) {
	a := start(t, "n1")
	b := start(t, "n2", joining(a))
	a.sees(patient, "n1 n2")
	require.NoError(t, b.Close())
	same := start(t, "n2", joining(a), listening(b.Address()))
	a.seesStart(patient, same)

	require.NoError(t, same.Close())
	elsewhere := start(t, "n2", joining(a))
	elsewhere.heard.wait(t, 1, "not in the cluster yet")
	a.seesStart(5*time.Second, elsewhere)
	elsewhere.heard.wait(t, 1, "joined the cluster")
	require.Empty(t, elsewhere.conflicts)
}

func TestSecondProcessOfANameIsToldToEnd(t *testing.T) {
	first := start(t, "n1")
	other := start(t, "n2", joining(first))
	first.sees(patient, "n1 n2")
	other.sees(patient, "n1 n2")
	firstSaw, otherSaw := first.Changed(), other.Changed()

	second := start(t, "n1", joining(other))
	select {
	case err := <-second.conflicts:
		require.ErrorContains(t, err, "another process runs as n1, at "+first.Address())
	case <-time.After(5 * time.Second):
		t.Fatalf("the second process was not told\n%s", second.heard)
	}
	require.Positive(t, other.countOf(refusedConflict))
	require.NoError(t, second.Leave(t.Context()))
	require.NoError(t, second.Close())
	untouched(t, firstSaw, "the first process")
	untouched(t, otherSaw, "the other node")
	require.Empty(t, first.conflicts)

	require.NoError(t, first.SetDraining(t.Context(), true))
	other.until(promptly, "draining", func() bool { m, _ := other.Get("n1"); return m.Draining })
}

// Two configured with one name that have only each other to join, and the first one looks for others all the time.
func TestSecondProcessOfANameIsToldToEndWhenNobodyElseIsThere(t *testing.T) {
	address := freeAddress(t)
	first := start(t, "n1", func(c *MembersConfig) { c.Join = []string{address} })
	first.heard.wait(t, 1, "not in the cluster yet")
	second := start(t, "n1", joining(first), listening(address))
	select {
	case <-second.conflicts:
	case <-time.After(5 * time.Second):
		t.Fatalf("the second process was not told\n%s", second.heard)
	}
	first.heard.wait(t, 3, `kind="Conflicting address"`)
	require.Empty(t, first.conflicts)
}

func freeAddress(t *testing.T) string {
	port, err := dev.FreePort()
	require.NoError(t, err)
	return fmt.Sprintf("127.0.0.1:%d", port)
}

func TestStrangersAreNoMembers(t *testing.T) {
	for reason, change := range map[string]func(*MembersConfig){
		refusedKey:   func(c *MembersConfig) { c.Key = bytes.Repeat([]byte{8}, keyBytes) },
		refusedLabel: func(c *MembersConfig) { c.Cluster = "another" },
	} {
		t.Run(reason, func(t *testing.T) {
			a := start(t, "n1")
			saw := a.Changed()
			b := start(t, "n2", joining(a), change)
			a.heard.wait(t, 1, "kind="+reason)
			b.heard.wait(t, 1, "not in the cluster yet")
			require.Positive(t, a.countOf(reason))
			require.Equal(t, "n2", b.names())
			untouched(t, saw, "the member")
		})
	}
}

func TestPacketsOfStrangersAreCounted(t *testing.T) {
	a := start(t, "n1")
	conn, err := net.Dial("udp", a.Address())
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Write([]byte("anything"))
	require.NoError(t, err)
	a.heard.wait(t, 1, "kind=label")
	labelled, err := memberlist.AddLabelHeaderToPacket([]byte{4, 1, 2, 3}, "test")
	require.NoError(t, err)
	_, err = conn.Write(labelled)
	require.NoError(t, err)
	a.heard.wait(t, 1, "kind=key")
	require.Equal(t, 1.0, a.countOf(refusedLabel))
	require.Equal(t, 1.0, a.countOf(refusedKey))
}

// forger has the key, and says what no member says.
type forger struct{ meta []byte }

func (f forger) NodeMeta(int) []byte           { return f.meta }
func (forger) NotifyMsg([]byte)                {}
func (forger) GetBroadcasts(int, int) [][]byte { return nil }
func (forger) LocalState(bool) []byte          { return nil }
func (forger) MergeRemoteState([]byte, bool)   {}

func TestForgedMemberIsRefused(t *testing.T) {
	good, err := Meta{Incarnation: 1}.encode()
	require.NoError(t, err)
	for _, f := range []struct {
		reason, name string
		meta         []byte
	}{
		{refusedMeta, "n2", nil}, {refusedMeta, "n2", good[:len(good)-1]}, {refusedNamed, "n2.*", good},
	} {
		a := start(t, "n1")
		saw := a.Changed()
		c := memberlist.DefaultLANConfig()
		c.Name, c.BindAddr, c.BindPort, c.Label, c.SecretKey = f.name, "127.0.0.1", 0, "test", clusterKey
		c.Delegate, c.Logger = forger{f.meta}, log.New(io.Discard, "", 0)
		list, err := memberlist.Create(c)
		require.NoError(t, err)
		_, err = list.Join([]string{a.Address()})
		require.NoError(t, err)
		a.heard.wait(t, 1, "ignoring alive message")
		require.Positive(t, a.countOf(f.reason))
		untouched(t, saw, "the member")
		require.NoError(t, list.Shutdown())
	}
}

func TestMembersJoinWhoIsThere(t *testing.T) {
	down, later := freeAddress(t), freeAddress(t)
	a := start(t, "n1", func(c *MembersConfig) { c.Join = []string{down, later, c.Listen} })
	a.heard.wait(t, 1, "not in the cluster yet")
	b := start(t, "n2", listening(later))
	a.sees(patient, "n1 n2")
	b.sees(patient, "n1 n2")

	require.NoError(t, b.Close())
	a.sees(patient, "n1")
	a.heard.wait(t, 1, "alone: looking for the others")
	b = start(t, "n2", listening(later))
	a.seesStart(promptly, b)
}

// The port is open to everybody in the network: what a stranger can make a node hold is bounded.
func TestStreamsAreBounded(t *testing.T) {
	a := start(t, "n1", func(c *MembersConfig) { c.probe = 0 })
	long := dial(t, a)
	require.NoError(t, memberlist.AddLabelHeaderToStream(long, "test"))
	_, err := long.Write([]byte{10, 1, 0, 0, 0}) // encrypted, 16 MiB
	require.NoError(t, err)
	go long.Write(make([]byte, 2*maxStreamBytes)) // fails when the other side closes
	a.heard.wait(t, 1, errStreamBytes.Error())

	idle := make([]net.Conn, maxStreams+1)
	for i := range idle {
		idle[i] = dial(t, a)
	}
	ends := func(c net.Conn) {
		require.NoError(t, c.SetReadDeadline(time.Now().Add(promptly)))
		_, err := c.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF)
	}
	ends(idle[maxStreams])
	require.GreaterOrEqual(t, a.countOf(refusedStream), 2.0)
	require.NoError(t, a.Close())
	ends(idle[0])
}

func TestCloseDoesNotWaitForWhoDoesNotAnswer(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close()
	a := start(t, "n1", func(c *MembersConfig) { c.probe, c.Join = 0, []string{silent.Addr().String()} })
	c, err := silent.Accept()
	require.NoError(t, err)
	defer c.Close()
	begin := time.Now()
	require.NoError(t, a.Close())
	require.Less(t, time.Since(begin), promptly)
}

func dial(t *testing.T, p *process) net.Conn {
	c, err := net.Dial("tcp", p.Address())
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

func TestMembersConfigIsChecked(t *testing.T) {
	for part, change := range map[string]func(*MembersConfig){
		"cannot name a node":   func(c *MembersConfig) { c.Name = "n.1" },
		"or \"\" a cluster":    func(c *MembersConfig) { c.Cluster = "" },
		"the key has 16 bytes": func(c *MembersConfig) { c.Key = c.Key[:16] },
		"nobody reaches \"0.0.0.0:0\": listen on one address": func(c *MembersConfig) { c.Listen = "0.0.0.0:0" },
		"nobody reaches \":0\"":                               func(c *MembersConfig) { c.Listen = ":0" },
		"nobody reaches \"[::]:7\"":                           func(c *MembersConfig) { c.Advertise = "[::]:7" },
		"listen: ":                                            func(c *MembersConfig) { c.Listen = "127.0.0.1" },
		"advertise: ":                                         func(c *MembersConfig) { c.Advertise = "127.0.0.1" },
		"is not host:port":                                    func(c *MembersConfig) { c.Join = []string{"10.0.0.1"} },
		"not the meta":                                        func(c *MembersConfig) { c.Meta.Incarnation = 0 },
	} {
		cfg := MembersConfig{Name: "n1", Cluster: "test", Key: clusterKey, Listen: "127.0.0.1:0", Meta: Meta{Incarnation: 1}}
		change(&cfg)
		_, err := OpenMembers(cfg)
		require.ErrorContains(t, err, part)
	}
	for _, everywhere := range []string{"0.0.0.0:0", ":0"} {
		a := start(t, "n1", listening(everywhere), func(c *MembersConfig) { c.Advertise = "127.0.0.1:0" })
		start(t, "n2", joining(a)).sees(patient, "n1 n2")
	}
}

func TestMembersCanBeOpenedAgain(t *testing.T) {
	registry := prometheus.NewRegistry()
	for range 2 {
		m := start(t, "n1", func(c *MembersConfig) { c.Registry = registry })
		_, err := OpenMembers(m.cfg)
		require.ErrorContains(t, err, "duplicate")
		require.NoError(t, m.Close())
	}
}

func TestMetaComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		host := rapid.StringMatching(`([a-z0-9.-]{1,120}:[0-9]{1,5})?`)
		m := Meta{
			rapid.Uint64Min(1).Draw(t, "incarnation"), rapid.Uint16().Draw(t, "weight"),
			rapid.StringMatching(`[!-~]{0,64}`).Draw(t, "version"), host.Draw(t, "api"), host.Draw(t, "hop"), rapid.Bool().Draw(t, "draining"),
			rapid.Uint16().Draw(t, "protocol"),
		}
		b, err := m.encode()
		require.NoError(t, err)
		require.LessOrEqual(t, len(b), memberlist.MetaMaxSize)
		back, err := decodeMeta(append(b, rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "of a later build")...))
		require.NoError(t, err)
		require.Equal(t, m, back)
		for n := range b {
			back, err := decodeMeta(b[:n])
			if n != len(b)-2 {
				require.ErrorIs(t, err, errMeta)
				continue
			}
			require.NoError(t, err, "a build from before says no protocol")
			m.Protocol = 0
			require.Equal(t, m, back)
		}
	})
}

func TestMetaIsChecked(t *testing.T) {
	for _, m := range []Meta{
		{}, {Incarnation: 1, Version: "v\n1"}, {Incarnation: 1, API: "nowhere"}, {Incarnation: 1, Version: strings.Repeat("v", 256)},
		{Incarnation: 1, API: strings.Repeat("h", 250) + ":1", Hop: strings.Repeat("h", 250) + ":1"},
	} {
		_, err := m.encode()
		require.ErrorIs(t, err, errMeta)
	}
	rapid.Check(t, func(t *rapid.T) {
		if m, err := decodeMeta(rapid.SliceOfN(rapid.Byte(), 0, 600).Draw(t, "meta")); err == nil {
			require.NotZero(t, m.Incarnation)
		}
	})
}
