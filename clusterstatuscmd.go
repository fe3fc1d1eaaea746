package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/mattn/go-isatty"

	"maitred/actors"
)

// ClusterStatusCmd prints what a node knows.
type ClusterStatusCmd struct {
	adminFlag
	JSON  bool `name:"json" help:"Print JSON."`
	Watch bool `help:"Print it anew every second until interrupted; on a terminal in place."`
}

// redraw clears a terminal and goes to its upper left corner.
const redraw = "\x1b[H\x1b[2J"

// Run implements the command.
func (c *ClusterStatusCmd) Run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	for {
		s, err := c.status(ctx)
		if err != nil && (!c.Watch || ctx.Err() != nil) {
			return err
		}
		var out strings.Builder
		if c.Watch && !c.JSON && isatty.IsTerminal(os.Stdout.Fd()) {
			out.WriteString(redraw)
		}
		switch {
		case err != nil:
			fmt.Fprintln(&out, err)
		case c.JSON:
			err = json.NewEncoder(&out).Encode(s)
		default:
			err = s.print(&out)
		}
		fmt.Print(out.String()) // at once: a table that comes in parts flickers
		if !c.Watch {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

func (s *cellStatus) print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NODE\tSTATE\tHOLDS\tWISHED\tLEASE\tLAST ACK\tBEHIND\tCLOCK\tWEIGHT\tVERSION\tAPI")
	for i := range s.Nodes {
		at := &s.Nodes[i]
		self := [4]string{"-", "-", "-", "-"}
		if at.Self != nil {
			self = at.Self.cells()
		} else if at.SeenMs != nil {
			self[1] = "seen " + short(*at.SeenMs) + " ago"
		}
		name := at.Name
		if name == s.Node {
			name += "*"
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%s\t%d\t%s\t%s\n", name, at.State, at.Holds, at.Wished, strings.Join(self[:], "\t"), at.Weight, cmp.Or(at.Version, "-"), cmp.Or(at.API, "-"))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, "\n"+strings.Join(s.remarks(), "\n"))
	return err
}

// cells are lease, age of the last acknowledged append, records to fold, and skew.
func (r *nodeReport) cells() [4]string {
	cells := [4]string{short(r.LeaseMs), short(r.AckedMs) + " ago", "?", "?"}
	if r.LeaseMs <= 0 {
		cells[0] = "over"
	}
	if r.Behind != nil {
		cells[2] = fmt.Sprint(*r.Behind)
	}
	if r.SkewMs != nil {
		cells[3] = fmt.Sprintf("%+.1fs", float64(*r.SkewMs)/1000)
	}
	return cells
}

// remarks are the sentences below the table: what is the matter, and what to do about it.
func (s *cellStatus) remarks() []string {
	lines := []string{fmt.Sprintf("%d partitions, %d not where they should be; the journal is led by %s; as %s (*) sees it",
		s.Partitions, s.ToMove, cmp.Or(s.JournalLeader, "nobody: nothing can be written until one is elected (4 to 9 s, with a majority)"), s.Node)}
	var paused int64
	for i := range s.Nodes {
		at := &s.Nodes[i]
		switch r := at.Self; {
		case at.State == stateAway && at.Holds > 0:
			lines = append(lines, fmt.Sprintf("%s is away and holds %d partitions: %s claims them after %s of silence", at.Name, at.Holds, strings.Join(at.Heirs[:min(1, len(at.Heirs))], ""), actors.Silence))
		case at.State == stateSilent:
			lines = append(lines, at.Name+" lives and writes nothing: look at its log, and whether it reaches the journal of the others")
		case r != nil && !r.Serving:
			lines = append(lines, fmt.Sprintf("%s does not serve: %s", at.Name, r.Reason))
		case r == nil && at.State != stateAway:
			lines = append(lines, at.Name+" did not say how it is within a second")
		}
		if r := at.Self; r != nil && r.SkewMs != nil && (time.Duration(*r.SkewMs)*time.Millisecond).Abs() > actors.MaxSkew {
			lines = append(lines, fmt.Sprintf("the clock of %s is %+.1f s off: its timers (no-shows, reminders) stand still until it is set", at.Name, float64(*r.SkewMs)/1000))
		}
		if at.Self != nil {
			paused = max(paused, at.Self.PausedMs)
		}
	}
	if paused > 0 {
		lines = append(lines, fmt.Sprintf("moves are held back for another %s: maitred cluster rebalance --go lets them go on", short(paused)))
	}
	return lines
}

// short is a time for a table.
func short(ms int64) string {
	d := time.Duration(ms) * time.Millisecond
	switch {
	case d.Abs() < 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d.Abs() < 10*time.Minute:
		return d.Round(time.Second).String()
	}
	return d.Round(time.Minute).String()
}
