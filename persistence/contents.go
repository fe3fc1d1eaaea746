package persistence

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"

	"maitred/engine"
)

// contents is what was decided, as events and bases say it, apart from which journal holds it at which places: a backup, and the journal
// that is made from it, have the same.
type contents struct {
	partitions int
	events     uint64
	sum        hash.Hash // of the events, in order
	sumBases   hash.Hash // in the order in which they come: that of their ids
	versions   map[engine.AggregateID]span
	bases      map[engine.AggregateID]BaseHeader
}

// span is the versions of an aggregate that the journal holds.
type span struct{ first, last engine.Version }

func newContents() *contents {
	return &contents{
		sum: sha256.New(), sumBases: sha256.New(), versions: map[engine.AggregateID]span{}, bases: map[engine.AggregateID]BaseHeader{},
	}
}

// record takes the next record of the journal. A version that does not follow the aggregate's last one is ErrCorrupt.
func (c *contents) record(seq Seq, r Record) error {
	switch r := r.(type) {
	case *Genesis:
		c.partitions = r.Partitions
	case *Checkpoint:
		c.partitions = len(r.Parts)
	case *Frame:
		return c.frame(seq, r)
	}
	return nil
}

func (c *contents) frame(seq Seq, f *Frame) error {
	for i := range f.Index {
		x := &f.Index[i]
		s, known := c.versions[x.Aggregate]
		if !known {
			s = span{first: x.Version, last: x.Version - 1}
		}
		if x.Version != s.last+1 {
			return fmt.Errorf("%w: record %d has version %d of %s after %d", ErrCorrupt, seq, x.Version, x.Aggregate, s.last)
		}
		s.last++
		c.versions[engine.AggregateID(clone(string(x.Aggregate)))] = s
		c.events++
		digestItem(c.sum, x.Aggregate, x.Version, f.Events[i])
	}
	return nil
}

func (c *contents) base(b Base) error {
	if _, twice := c.bases[b.ID]; twice {
		return fmt.Errorf("%w: two bases of %s", ErrCorrupt, b.ID)
	}
	c.bases[b.ID] = b.BaseHeader
	digestItem(c.sumBases, b.ID, b.Version, b.State)
	return nil
}

func digestItem(to hash.Hash, id engine.AggregateID, v engine.Version, data []byte) {
	head := binary.LittleEndian.AppendUint32(nil, uint32(len(id)))
	head = append(head, id...)
	head = binary.LittleEndian.AppendUint64(head, uint64(v))
	head = binary.LittleEndian.AppendUint32(head, uint32(len(data)))
	to.Write(head)
	to.Write(data)
}

// check says whether every aggregate can be opened: its events begin at its first one or reach back to its base, and its base is of a
// record up to last.
func (c *contents) check(last Seq) error {
	for id, s := range c.versions {
		if b := c.bases[id]; s.first > b.Version+1 || s.last < b.Version {
			return fmt.Errorf("%w: the journal has versions %d to %d of %s, its base has %d", ErrCorrupt, s.first, s.last, id, b.Version)
		}
	}
	for id, b := range c.bases {
		if b.Position > last {
			return fmt.Errorf("%w: the base of %s is of record %d, the journal ends at %d", ErrCorrupt, id, b.Position, last)
		}
	}
	if c.partitions == 0 {
		return fmt.Errorf("%w: no record says how many partitions there are", ErrCorrupt)
	}
	return nil
}

// hex is the digest of all events in their order and of all bases in the order of their ids.
func (c *contents) hex() string {
	digest := sha256.Sum256(c.sumBases.Sum(c.sum.Sum(nil)))
	return hex.EncodeToString(digest[:])
}

// ContentDigest reads all events and bases. It is equal for journals that say the same, whatever their ids and sequences are: of a backup
// it is BackupInfo.Digest. Nobody may write meanwhile.
func ContentDigest(ctx context.Context, journal Journal, bases Bases) (string, error) {
	c := newContents()
	b, err := journal.Bounds(ctx)
	if err != nil {
		return "", err
	}
	if b.First <= b.Last {
		err := ReadRecords(ctx, journal, b.First, b.Last, func(e Entry, r Record) error { return c.record(e.Seq, r) })
		if err != nil {
			return "", err
		}
	}
	ids, err := baseIDs(ctx, bases)
	if err != nil {
		return "", err
	}
	for _, id := range ids {
		base, err := bases.Get(ctx, id)
		if err == nil {
			err = c.base(base)
		}
		if err != nil {
			return "", err
		}
	}
	return c.hex(), nil
}
