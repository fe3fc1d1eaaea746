package persistence

import "fmt"

// check asserts everything that Apply relies on, and changes nothing.
func (c *Custody) check(e Entry, r Record) error {
	if g, ok := r.(*Genesis); ok {
		return c.checkGenesis(e, g)
	}
	if c.journal == "" {
		return failed(e, AssertGenesis, "the journal begins with a %T", r)
	}
	if e.Seq != c.seq+1 {
		return failed(e, AssertSequence, "the last one is %d", c.seq)
	}
	switch r := r.(type) {
	case *Frame:
		return c.checkFrame(e, r)
	case *Claim:
		return c.checkClaim(e, r)
	case *Checkpoint:
		return c.checkCheckpoint(e, r)
	}
	return failed(e, AssertSubject, "a %T cannot be folded", r)
}

func failed(e Entry, a Assertion, format string, args ...any) error {
	return &CustodyError{Seq: e.Seq, Subject: e.Subject, Assertion: a, Detail: fmt.Sprintf(format, args...)}
}

func (c *Custody) checkGenesis(e Entry, g *Genesis) error {
	switch {
	case c.journal != "":
		return failed(e, AssertGenesis, "journal %s has begun, this is %s", c.journal, g.Journal)
	case e.Subject != Control:
		return failed(e, AssertSubject, "genesis belongs on %s", Control)
	case e.Seq == 0 || g.Partitions < 1 || g.Partitions > MaxPartitions || !ValidName(g.Journal) || !ValidName(g.Node):
		return failed(e, AssertGenesis, "journal %q, %d partitions, node %q", g.Journal, g.Partitions, g.Node)
	}
	return nil
}

// onSlot tells whether subject is the slot of node, without building the subject.
func onSlot(subject Subject, node string) bool {
	const prefix = "j.w."
	return len(subject) == len(prefix)+len(node) && subject[:len(prefix)] == prefix && string(subject[len(prefix):]) == node
}

// checkChain asserts what frames and claims share: journal, subject and the link to the slot's previous record.
func (c *Custody) checkChain(e Entry, journal, node string, prevSeq Seq, prevHash Digest) error {
	s := c.Slot(node)
	switch {
	case journal != c.journal:
		return failed(e, AssertJournal, "journal %s, this is %s", journal, c.journal)
	case !onSlot(e.Subject, node):
		return failed(e, AssertSubject, "node %s", node)
	case prevSeq != s.Seq:
		return failed(e, AssertPrevSeq, "says %d, the slot's last is %d", prevSeq, s.Seq)
	case prevHash != s.Hash:
		return failed(e, AssertPrevHash, "says %s, record %d has %s", prevHash.Short(), s.Seq, s.Hash.Short())
	}
	return nil
}

func (c *Custody) checkFrame(e Entry, f *Frame) error {
	if err := c.checkChain(e, f.Journal, f.Node, f.PrevSeq, f.PrevHash); err != nil {
		return err
	}
	node, ok := c.index[f.Node]
	if !ok {
		return failed(e, AssertIncarnation, "node %s never claimed its slot", f.Node)
	}
	s := &c.slots[node]
	if f.Incarnation == 0 || f.Incarnation != s.Incarnation {
		return failed(e, AssertIncarnation, "frame of incarnation %d, the slot has %d", f.Incarnation, s.Incarnation)
	}
	if f.Number != s.Number+1 {
		return failed(e, AssertNumber, "frame %d of the incarnation, the last was %d", f.Number, s.Number)
	}
	for i := range f.Index {
		x := &f.Index[i]
		if int(x.Partition) >= len(c.parts) || PartitionOf(x.Aggregate, len(c.parts)) != x.Partition {
			return failed(e, AssertPartition, "%s in partition %d of %d", x.Aggregate, x.Partition, len(c.parts))
		}
		if p := &c.parts[x.Partition]; p.owner != node {
			return failed(e, AssertOwner, "event of %s version %d in partition %d, which %s owns since %d",
				x.Aggregate, x.Version, x.Partition, c.slots[p.owner].Node, p.since)
		} else if p.since != x.Since {
			return failed(e, AssertSince, "event of %s version %d written under custody %d, the present one is %d",
				x.Aggregate, x.Version, x.Since, p.since)
		}
	}
	if err := c.checkFloors(e, f, node); err != nil {
		return err
	}
	return c.checkGives(e, f.Releases, node, f.Node, 0)
}

func (c *Custody) checkFloors(e Entry, f *Frame, node int32) error {
	for _, fl := range f.Floors {
		if int(fl.Partition) >= len(c.parts) {
			return failed(e, AssertPartition, "floor of partition %d of %d", fl.Partition, len(c.parts))
		}
		p := &c.parts[fl.Partition]
		if p.owner != node {
			return failed(e, AssertOwner, "floor of partition %d, which %s owns", fl.Partition, c.slots[p.owner].Node)
		}
		if fl.Seq < p.floor || fl.Seq >= e.Seq || fl.Revision < p.base {
			return failed(e, AssertFloor, "partition %d from %d (base revision %d) to %d (%d)",
				fl.Partition, p.floor, p.base, fl.Seq, fl.Revision)
		}
	}
	return nil
}

// checkGives asserts that node owns what it gives, gives it once, and not to except (empty: to anybody). fresh is how many
// slots the record makes besides.
func (c *Custody) checkGives(e Entry, gives []Give, node int32, except string, fresh int) error {
	var err error
	marked := 0
	for _, g := range gives {
		switch {
		case int(g.Partition) >= len(c.parts):
			err = failed(e, AssertPartition, "gives partition %d of %d", g.Partition, len(c.parts))
		case c.parts[g.Partition].owner != node:
			err = failed(e, AssertOwner, "gives partition %d, which %s owns", g.Partition, c.slots[c.parts[g.Partition].owner].Node)
		case c.seen[g.Partition] || g.To == except || !ValidName(g.To):
			err = failed(e, AssertGive, "partition %d to %q", g.Partition, g.To)
		}
		if err != nil {
			break
		}
		c.seen[g.Partition] = true
		marked++
		if _, known := c.index[g.To]; !known {
			fresh++
		}
	}
	for _, g := range gives[:marked] {
		c.seen[g.Partition] = false
	}
	if err == nil && len(c.slots)+fresh > MaxNodes {
		err = failed(e, AssertNodes, "%d slots and %d more", len(c.slots), fresh)
	}
	return err
}

func (c *Custody) checkClaim(e Entry, cl *Claim) error {
	if !ValidName(cl.Node) || !ValidName(cl.By) {
		return failed(e, AssertSubject, "claim of %q by %q", cl.Node, cl.By)
	}
	if err := c.checkChain(e, cl.Journal, cl.Node, cl.PrevSeq, cl.PrevHash); err != nil {
		return err
	}
	own := cl.By == cl.Node
	if last := c.Slot(cl.Node).Incarnation; own && cl.Incarnation <= last {
		return failed(e, AssertIncarnation, "claims with incarnation %d after %d", cl.Incarnation, last)
	}
	if !own && cl.Incarnation != 0 {
		return failed(e, AssertIncarnation, "claim by %s brings incarnation %d", cl.By, cl.Incarnation)
	}
	node, known := c.index[cl.Node]
	fresh := 0
	if !known {
		node, fresh = -1, 1
	}
	if _, known := c.index[cl.By]; !known && !own {
		fresh++
	}
	return c.checkGives(e, cl.Gives, node, "", fresh)
}

func (c *Custody) checkCheckpoint(e Entry, cp *Checkpoint) error {
	switch {
	case e.Subject != Control:
		return failed(e, AssertSubject, "a checkpoint belongs on %s", Control)
	case cp.Journal != c.journal:
		return failed(e, AssertJournal, "journal %s, this is %s", cp.Journal, c.journal)
	case cp.Seq >= e.Seq:
		return failed(e, AssertCheckpoint, "it is of %d, after itself", cp.Seq)
	case cp.Digest != cp.StateDigest():
		return failed(e, AssertCheckpoint, "its digest is not that of its state")
	}
	if want, ok := c.digestAt(cp.Seq); ok && want != cp.Digest {
		return failed(e, AssertCheckpoint, "of %d: digest %s, the fold has %s", cp.Seq, cp.Digest.Short(), want.Short())
	}
	return nil
}
