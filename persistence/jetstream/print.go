package jetstream

import (
	"bufio"
	"context"
	"fmt"
	"io"

	"maitred/engine"
	"maitred/persistence"
)

// Print writes the records from first to last (0 = the journal's own bounds) as text: a line for each record, and one for
// each of its events. What cannot be read has its line too.
func Print(ctx context.Context, e *Embedded, w io.Writer, first, last persistence.Seq) error {
	l, err := e.current()
	if err != nil {
		return err
	}
	b, err := l.bounds(ctx)
	if err != nil {
		return err
	}
	b.First = max(b.First, first)
	if last != 0 {
		b.Last = min(b.Last, last)
	}
	out := bufio.NewWriter(w)
	err = e.walk(ctx, b, func(e persistence.Entry) { printRecord(out, e) }, func(from, to persistence.Seq) {
		fmt.Fprintf(out, "%d..%d MISSING\n", from, to)
	})
	if err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("print the journal: %w", err)
	}
	return nil
}

func printRecord(w io.Writer, e persistence.Entry) {
	fmt.Fprintf(w, "%d %s %s ", e.Seq, e.Time.Format("2006-01-02T15:04:05.000Z"), e.Subject)
	r, err := persistence.Decode(e.Data)
	if err != nil {
		fmt.Fprintf(w, "UNREADABLE %d bytes: %v\n", len(e.Data), err)
		return
	}
	switch r := r.(type) {
	case *persistence.Frame:
		printFrame(w, r)
	case *persistence.Claim:
		fmt.Fprintf(w, "claim node=%s by=%s incarnation=%d prev=%d gives=%v\n", r.Node, r.By, r.Incarnation, r.PrevSeq, r.Gives)
	case *persistence.Genesis:
		fmt.Fprintf(w, "genesis journal=%s partitions=%d node=%s\n", r.Journal, r.Partitions, r.Node)
	case *persistence.Checkpoint:
		fmt.Fprintf(w, "checkpoint of=%d slots=%d partitions=%d digest=%x\n", r.Seq, len(r.Slots), len(r.Parts), r.Digest[:8])
	}
}

func printFrame(w io.Writer, f *persistence.Frame) {
	kind := "frame"
	if len(f.Events) == 0 {
		kind = "heartbeat"
	}
	fmt.Fprintf(w, "%s node=%s incarnation=%d number=%d prev=%d events=%d", kind, f.Node, f.Incarnation, f.Number, f.PrevSeq, len(f.Events))
	for _, fl := range f.Floors {
		fmt.Fprintf(w, " floor[%d]=%d@%d", fl.Partition, fl.Seq, fl.Revision)
	}
	for _, g := range f.Releases {
		fmt.Fprintf(w, " release[%d]=%s", g.Partition, g.To)
	}
	fmt.Fprintln(w)
	for i := range f.Index {
		x := &f.Index[i]
		text := ""
		if ev, err := engine.DecodeEvent(f.Events[i]); err != nil {
			text = "UNREADABLE " + err.Error()
		} else {
			engine.HidePersonal(ev)
			text = ev.String()
		}
		fmt.Fprintf(w, "  [%d] partition=%d since=%d %s v%d %s\n", i, x.Partition, x.Since, x.Aggregate, x.Version, text)
	}
}
