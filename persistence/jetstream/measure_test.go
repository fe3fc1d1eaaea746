package jetstream

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	measureEnv     = "JETSTREAM_MEASURE"
	measureNodeEnv = "JETSTREAM_TEST_NODE"

	measureClearEnv = "JETSTREAM_MEASURE_CLEAR" // without TLS between the servers

	measureBytes = 32 << 10 // about 128 events
)

// measured is what a process tells of its appends.
type measured struct {
	Appends   int
	P50, P99  time.Duration
	LongestNs int64 // between two acknowledgements
}

// TestMeasureCluster prints the figures of DESIGN.md. It takes about a minute, so it runs only when asked for.
func TestMeasureCluster(t *testing.T) {
	if os.Getenv(measureEnv) == "" {
		t.Skip("set " + measureEnv + "=1 to measure")
	}
	nodes := make([]*process, 3)
	options := clusterOptions(t, t.TempDir(), 3)
	for i, o := range options {
		nodes[i] = startProcess(t, o)
	}
	for _, p := range nodes {
		p.expect(t, "ready")
	}
	for _, mode := range []string{"one", "three"} {
		total, rows := run(t, nodes, mode, 5*time.Second, nil)
		t.Logf("%s stream(s), 3 writers: %.0f appends/s of %d bytes, p50 %s, p99 %s", mode, total, measureBytes, rows[0].P50, rows[0].P99)
	}
	for _, stop := range []string{"stopped gracefully", "killed with -9"} {
		leader := leads(t, nodes)
		d := 6 * time.Second
		if stop == "killed with -9" {
			d = 20 * time.Second
		}
		_, rows := run(t, nodes, "one", d, func() (gone int) {
			if stop == "killed with -9" {
				require.NoError(t, nodes[leader].cmd.Process.Kill())
			} else {
				nodes[leader].send("quit")
			}
			return leader
		})
		t.Logf("the stream's leader %s: pauses of the two others %s", stop, []time.Duration{
			time.Duration(rows[0].LongestNs).Round(time.Millisecond), time.Duration(rows[1].LongestNs).Round(time.Millisecond)})
		_ = nodes[leader].cmd.Wait() // killed, or ended by itself
		nodes[leader] = startProcess(t, options[leader])
		nodes[leader].expect(t, "ready")
	}
}

// run lets all nodes append for d and does something after 2 s that may end one of them.
func run(t *testing.T, nodes []*process, mode string, d time.Duration, disturb func() int) (perSecond float64, rows []measured) {
	for _, p := range nodes {
		p.send(fmt.Sprintf("%s %d", mode, d.Milliseconds()))
	}
	gone := -1
	if disturb != nil {
		<-time.After(2 * time.Second)
		gone = disturb()
	}
	for i, p := range nodes {
		if i == gone {
			continue
		}
		var m measured
		require.NoError(t, json.Unmarshal([]byte(strings.TrimPrefix(p.expect(t, "result "), "result ")), &m))
		rows = append(rows, m)
		perSecond += float64(m.Appends) / d.Seconds()
	}
	return perSecond, rows
}

func leads(t *testing.T, nodes []*process) int {
	for range 100 {
		for i, p := range nodes {
			p.send("leads")
			if p.expect(t, "leads ") == "leads true" {
				return i
			}
		}
		<-time.After(100 * time.Millisecond)
	}
	t.Fatal("nobody leads")
	return -1
}

type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

func startProcess(t *testing.T, o Options) *process {
	o.Logger = nil
	config, err := json.Marshal(o)
	require.NoError(t, err)
	cmd := exec.Command(os.Args[0], "-test.run", "^TestMeasureNode$", "-test.v")
	cmd.Env = append(os.Environ(), measureNodeEnv+"="+string(config))
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
	})
	return &process{cmd, in, bufio.NewScanner(out)}
}

func (p *process) send(line string) { _, _ = io.WriteString(p.in, line+"\n") }

func (p *process) expect(t *testing.T, prefix string) string {
	for p.out.Scan() {
		if strings.HasPrefix(p.out.Text(), prefix) {
			return p.out.Text()
		}
	}
	t.Fatalf("the process ended before it said %q", prefix)
	return ""
}

// TestMeasureNode is one process of the cluster. It ends with its standard input.
func TestMeasureNode(t *testing.T) {
	config := os.Getenv(measureNodeEnv)
	if config == "" {
		t.Skip("runs as the child of another test")
	}
	var o Options
	require.NoError(t, json.Unmarshal([]byte(config), &o))
	o.MaxBytes = 2 << 30
	if os.Getenv(measureClearEnv) == "" {
		o.Cluster.TLS = routeTLS(t, o.Cluster.Secret)
	}
	e := openTest(t, o)
	fmt.Println("\nready")
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var mode string
		var ms int
		fmt.Sscan(in.Text(), &mode, &ms)
		switch mode {
		case "leads":
			fmt.Printf("\nleads %t\n", e.now.Load().server.JetStreamIsStreamLeader("$G", journalStream))
		case "quit":
			require.NoError(t, e.Close())
			return
		default:
			go func() {
				m, _ := json.Marshal(appendFor(t, e, mode, time.Duration(ms)*time.Millisecond))
				fmt.Printf("\nresult %s\n", m)
			}()
		}
	}
}

// appendFor appends to the node's own subject, of the one stream or of a stream of its own.
func appendFor(t *testing.T, e *Embedded, mode string, d time.Duration) measured {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	l, subject, stream := e.now.Load(), "j.w."+e.opts.Name, journalStream
	if mode == "three" {
		stream, subject = "J"+e.opts.Name, "k."+e.opts.Name
		cfg := journalConfig(e.opts)
		cfg.Name, cfg.Subjects, cfg.MaxBytes = stream, []string{subject}, -1
		_, err := l.js.CreateStream(ctx, cfg)
		require.NoError(t, err)
	}
	var last uint64
	if m, err := l.get(ctx, stream, getRequest{LastFor: subject}); err == nil {
		last = m.Seq
	}
	data := make([]byte, measureBytes)
	var took []time.Duration
	longest, before := time.Duration(0), time.Now()
	for ctx.Err() == nil {
		start := time.Now()
		seq, err := l.publish(ctx, subject, nil, data, last, 500*time.Millisecond)
		if err != nil {
			look, cancel := context.WithTimeout(ctx, 500*time.Millisecond) // nobody answers during an election
			if m, err := l.get(look, stream, getRequest{LastFor: subject}); err == nil {
				last = m.Seq
			}
			cancel()
			<-time.After(5 * time.Millisecond)
			continue
		}
		now := time.Now()
		last, took = seq, append(took, now.Sub(start))
		longest, before = max(longest, now.Sub(before)), now
	}
	slices.Sort(took)
	if len(took) == 0 {
		return measured{LongestNs: int64(d)}
	}
	return measured{len(took), took[len(took)/2], took[len(took)*99/100], int64(max(longest, time.Since(before)))}
}
