package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/mattn/go-isatty"
)

// ClusterRebalanceCmd shows what the ring wishes, and hurries it or holds it back.
type ClusterRebalanceCmd struct {
	adminFlag
	Go     bool          `help:"Move now, without waiting until the members have been the same for 5 s. Interrupted, it holds back for 10 minutes what has not moved."`
	Pause  time.Duration `help:"Hold moves back for so long, at most 1h; nodes that drain go on, dead ones are claimed." placeholder:"DURATION"`
	Weight []string      `help:"What if a node had another weight: NAME=WEIGHT. To have it so, start the node with --weight." placeholder:"NAME=WEIGHT"`
	JSON   bool          `name:"json" help:"Print the plan as JSON."`
	Wait   time.Duration `default:"5m" help:"How long --go waits; the nodes go on without it."`
}

// interruptedPause is how long an interrupted rebalance holds back what is left.
const interruptedPause = 10 * time.Minute

// Run implements the command.
func (c *ClusterRebalanceCmd) Run() error {
	if n := len(c.Weight); n > 0 && (c.Go || c.Pause > 0) || c.Go && c.Pause > 0 {
		return errors.New("--go, --pause and --weight exclude each other: --weight only shows what would be")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if c.Pause > 0 {
		return c.hold(ctx, c.Pause)
	}
	p, err := c.plan(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		err = json.NewEncoder(os.Stdout).Encode(p)
	} else {
		err = p.print(os.Stdout)
	}
	if err != nil || !c.Go {
		return err
	}
	if _, err := c.call(ctx, http.MethodPost, movesPath, url.Values{"pause_ms": {"0"}}); err != nil {
		return err
	}
	return c.watch(ctx, len(p.Moves))
}

func (c *ClusterRebalanceCmd) plan(ctx context.Context) (*movePlan, error) {
	body, err := c.call(ctx, http.MethodGet, planPath, url.Values{"weights": {strings.Join(c.Weight, ",")}})
	if err != nil {
		return nil, err
	}
	p := new(movePlan)
	return p, json.Unmarshal(body, p)
}

// hold lets all nodes hold moves back.
func (c *ClusterRebalanceCmd) hold(ctx context.Context, d time.Duration) error {
	if _, err := c.call(ctx, http.MethodPost, movesPath, url.Values{"pause_ms": {strconv.FormatInt(d.Milliseconds(), 10)}}); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "moves are held back until %s (a node that restarts forgets it); then the nodes go on by themselves, with --go at once\n", time.Now().Add(d).Format(time.TimeOnly))
	return nil
}

// watch shows how many of the moves are done until all are. Interrupted, it makes the rest wait.
func (c *ClusterRebalanceCmd) watch(ctx context.Context, moves int) error {
	waiting, cancel := context.WithTimeout(ctx, c.Wait)
	defer cancel()
	bar := newBar(os.Stderr, moves)
	left := moves
	for {
		s, err := c.status(waiting)
		if err == nil {
			left = min(s.ToMove, moves)
			bar.show(moves - left)
		}
		switch {
		case ctx.Err() != nil:
			bar.end()
			return c.interrupted(context.WithoutCancel(ctx), moves)
		case waiting.Err() != nil:
			bar.end()
			return fmt.Errorf("%d of %d partitions have not moved within %s; the nodes go on without this command (maitred cluster status tells)", left, moves, c.Wait)
		case err != nil:
			bar.end()
			return err
		case left == 0:
			bar.end()
			return nil
		}
		select {
		case <-waiting.Done():
		case <-time.After(pollEach):
		}
	}
}

// interrupted holds back what has not moved, and then says how much that is.
func (c *ClusterRebalanceCmd) interrupted(ctx context.Context, moves int) error {
	if err := c.hold(ctx, interruptedPause); err != nil {
		return err
	}
	s, err := c.status(ctx)
	if err == nil {
		left := min(s.ToMove, moves)
		fmt.Fprintf(os.Stderr, "interrupted: %d of %d partitions have moved, %d wait\n", moves-left, moves, left)
	}
	return err
}

func (p *movePlan) print(w io.Writer) error {
	if len(p.Moves) == 0 {
		fmt.Fprintf(w, "nothing to move: each of the %d partitions is where it should be\n", p.Partitions)
		return p.printNodes(w)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PARTITION\tFROM\tTO\tRESTAURANTS\tEVENTS TO READ\tEVENTS WRITTEN")
	for _, m := range p.Moves {
		fmt.Fprintf(t, "%d\t%s\t%s\t%d\t%d\t%d\n", m.Partition, m.From, m.To, m.Restaurants, m.Tail, m.Written)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w, "\n"+p.cost())
	if d := p.paused(); d > 0 {
		fmt.Fprintf(w, "moves are held back for another %s\n", d.Round(time.Second))
	}
	return p.printNodes(w)
}

func (p *movePlan) printNodes(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\nNODE\tHOLDS\tTHEN")
	for _, n := range p.Nodes {
		fmt.Fprintf(t, "%s\t%d\t%d\n", n.Name, n.Holds, n.Then)
	}
	return t.Flush()
}

// bar shows progress: on a terminal in place, elsewhere a line whenever it changes.
type bar struct {
	w     *os.File
	of    int
	last  int
	fancy bool
}

func newBar(w *os.File, of int) *bar { return &bar{w, of, -1, isatty.IsTerminal(w.Fd())} }

const barWidth = 40

func (b *bar) show(done int) {
	if done == b.last {
		return
	}
	b.last = done
	if !b.fancy {
		fmt.Fprintf(b.w, "%d of %d partitions moved\n", done, b.of)
		return
	}
	full := barWidth
	if b.of > 0 {
		full = barWidth * done / b.of
	}
	fmt.Fprintf(b.w, "\r[%s%s] %d of %d partitions moved", strings.Repeat("#", full), strings.Repeat(".", barWidth-full), done, b.of)
}

func (b *bar) end() {
	if b.fancy && b.last >= 0 {
		fmt.Fprintln(b.w)
	}
}
