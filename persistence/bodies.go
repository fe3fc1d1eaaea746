package persistence

import (
	"fmt"
	"strings"

	"maitred/engine"
	"maitred/persistence/recordpb"
)

// reading collects the first thing that is wrong with a body, so that each field can be read in one line.
type reading struct{ err error }

func (r *reading) wrong(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: "+format, append([]any{ErrCorrupt}, args...)...)
	}
}

// name copies a name of 1–MaxNameBytes bytes without white space or the separators of a subject.
func (r *reading) name(what, s string) string {
	if !ValidName(s) {
		r.wrong("%s %q", what, s)
	}
	return clone(s)
}

func (r *reading) digest(what string, b []byte) (d Digest) {
	if len(b) != 0 && len(b) != len(d) {
		r.wrong("%s of %d bytes", what, len(b))
		return d
	}
	copy(d[:], b)
	return d
}

func (r *reading) partition(p uint32) Partition {
	if p >= MaxPartitions {
		r.wrong("partition %d", p)
	}
	return Partition(p)
}

func (r *reading) gives(in []*recordpb.Give) []Give {
	if len(in) == 0 {
		return nil
	}
	if len(in) > MaxPartitions {
		r.wrong("%d gives", len(in))
		return nil
	}
	out := make([]Give, len(in))
	for i, g := range in {
		out[i] = Give{Partition: r.partition(g.Partition), To: r.name("give to", g.To)}
	}
	return out
}

// ValidName tells whether s may name a node, a journal or an aggregate: 1–MaxNameBytes of a–z, A–Z, 0–9, '-' and '_', so
// that it fits into a subject.
func ValidName(s string) bool {
	if len(s) == 0 || len(s) > MaxNameBytes {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

func frameFromProto(b []byte) (*Frame, error) {
	var pb recordpb.Frame
	if err := pb.UnmarshalVTUnsafe(b); err != nil {
		return nil, fmt.Errorf("%w: frame: %w", ErrCorrupt, err)
	}
	var r reading
	f := &Frame{
		Journal: r.name("journal", pb.Journal), Node: r.name("node", pb.Node),
		Incarnation: pb.Incarnation, Number: pb.Number,
		PrevSeq: Seq(pb.PrevSeq), PrevHash: r.digest("previous hash", pb.PrevHash), WallMs: pb.WallMs,
		Releases: r.gives(pb.Releases),
	}
	r.events(f, pb.Events)
	if len(pb.Floors) > MaxPartitions {
		r.wrong("%d floors", len(pb.Floors))
	} else if len(pb.Floors) > 0 {
		f.Floors = make([]Floor, len(pb.Floors))
		for i, x := range pb.Floors {
			f.Floors[i] = Floor{Partition: r.partition(x.Partition), Seq: Seq(x.Seq), Revision: Revision(x.Revision)}
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	return f, nil
}

func (r *reading) events(f *Frame, in []*recordpb.FrameEvent) {
	if len(in) > MaxFrameEvents {
		r.wrong("%d events", len(in))
		return
	}
	if len(in) == 0 {
		return
	}
	f.Index, f.Events = make([]IndexEntry, len(in)), make([][]byte, len(in))
	ids := joinIDs(in) // one copy for the frame: who keeps an id for long copies it again
	for i, e := range in {
		if e.Version == 0 || len(e.Event) == 0 || len(e.Event) > MaxEventBytes {
			r.wrong("event %d: version %d, %d bytes", i, e.Version, len(e.Event))
			return
		}
		if !ValidName(e.Aggregate) {
			r.wrong("aggregate %q", e.Aggregate)
			return
		}
		f.Index[i] = IndexEntry{
			Partition: r.partition(e.Partition), Since: Seq(e.Since),
			Aggregate: engine.AggregateID(ids[:len(e.Aggregate)]), Version: engine.Version(e.Version),
		}
		ids = ids[len(e.Aggregate):]
		f.Events[i] = e.Event
	}
}

func joinIDs(in []*recordpb.FrameEvent) string {
	n := 0
	for _, e := range in {
		n += len(e.Aggregate)
	}
	var b strings.Builder
	b.Grow(n)
	for _, e := range in {
		b.WriteString(e.Aggregate)
	}
	return b.String()
}

func claimToProto(c *Claim) *recordpb.Claim {
	pb := &recordpb.Claim{
		Journal: c.Journal, Node: c.Node, By: c.By, Incarnation: c.Incarnation,
		PrevSeq: uint64(c.PrevSeq), PrevHash: digestBytes(&c.PrevHash), WallMs: c.WallMs,
	}
	for _, g := range c.Gives {
		pb.Gives = append(pb.Gives, &recordpb.Give{Partition: uint32(g.Partition), To: g.To})
	}
	return pb
}

func claimFromProto(b []byte) (*Claim, error) {
	var pb recordpb.Claim
	if err := pb.UnmarshalVTUnsafe(b); err != nil {
		return nil, fmt.Errorf("%w: claim: %w", ErrCorrupt, err)
	}
	var r reading
	c := &Claim{
		Journal: r.name("journal", pb.Journal), Node: r.name("node", pb.Node), By: r.name("by", pb.By),
		Incarnation: pb.Incarnation, PrevSeq: Seq(pb.PrevSeq), PrevHash: r.digest("previous hash", pb.PrevHash),
		WallMs: pb.WallMs, Gives: r.gives(pb.Gives),
	}
	if r.err != nil {
		return nil, r.err
	}
	return c, nil
}

func genesisFromProto(b []byte) (*Genesis, error) {
	var pb recordpb.Genesis
	if err := pb.UnmarshalVTUnsafe(b); err != nil {
		return nil, fmt.Errorf("%w: genesis: %w", ErrCorrupt, err)
	}
	var r reading
	if pb.Partitions == 0 || pb.Partitions > MaxPartitions {
		r.wrong("%d partitions", pb.Partitions)
	}
	g := &Genesis{
		Journal: r.name("journal", pb.Journal), Partitions: int(pb.Partitions), Node: r.name("node", pb.Node),
		WallMs: pb.WallMs,
	}
	if r.err != nil {
		return nil, r.err
	}
	return g, nil
}

func checkpointToProto(c *Checkpoint) *recordpb.Checkpoint {
	pb := &recordpb.Checkpoint{
		Journal: c.Journal, Seq: uint64(c.Seq), Digest: digestBytes(&c.Digest), WallMs: c.WallMs,
	}
	for i := range c.Slots {
		s := &c.Slots[i]
		pb.Slots = append(pb.Slots, &recordpb.Slot{
			Node: s.Node, Incarnation: s.Incarnation, Number: s.Number, Seq: uint64(s.Seq), Hash: digestBytes(&s.Hash),
		})
	}
	for _, p := range c.Parts {
		pb.Parts = append(pb.Parts, &recordpb.Part{
			Owner: p.Owner, Since: uint64(p.Since), Floor: uint64(p.Floor), Base: uint64(p.Base),
		})
	}
	return pb
}

func checkpointFromProto(b []byte) (*Checkpoint, error) {
	var pb recordpb.Checkpoint
	if err := pb.UnmarshalVTUnsafe(b); err != nil {
		return nil, fmt.Errorf("%w: checkpoint: %w", ErrCorrupt, err)
	}
	var r reading
	c := &Checkpoint{
		Journal: r.name("journal", pb.Journal), Seq: Seq(pb.Seq), Digest: r.digest("digest", pb.Digest), WallMs: pb.WallMs,
	}
	if len(pb.Slots) > MaxNodes || len(pb.Parts) == 0 || len(pb.Parts) > MaxPartitions {
		r.wrong("%d slots, %d partitions", len(pb.Slots), len(pb.Parts))
		return nil, r.err
	}
	for i, s := range pb.Slots {
		if i > 0 && s.Node <= pb.Slots[i-1].Node {
			r.wrong("slot %q after %q", s.Node, pb.Slots[i-1].Node)
		}
		c.Slots = append(c.Slots, SlotState{
			Node: r.name("node", s.Node), Incarnation: s.Incarnation, Number: s.Number,
			Seq: Seq(s.Seq), Hash: r.digest("hash", s.Hash),
		})
	}
	for _, p := range pb.Parts {
		c.Parts = append(c.Parts, PartState{
			Owner: r.name("owner", p.Owner), Since: Seq(p.Since), Floor: Seq(p.Floor), Base: Revision(p.Base),
		})
	}
	if r.err == nil && c.Digest != c.StateDigest() {
		r.wrong("checkpoint of %d: digest is not that of its state", c.Seq)
	}
	if r.err != nil {
		return nil, r.err
	}
	return c, nil
}
