package persistence

// PurgeLimits is what PurgeBelow needs beside the custody.
type PurgeLimits struct {
	Store  Seq // durable cursor of the store, of this journal; 0 = nothing is in the store
	Keep   Seq // first sequence of the window that is kept in any case
	Bounds Bounds
	Anew   Revision // of the bucket (Bases.Anew)
}

// PurgeBelow is the sequence below which every record may go (for Journal.Purge): each is covered by a base, is in the
// store, is older than the keep window and than the last checkpoint that equalled the fold, and is not the last record of a
// slot that owns a partition: the server would forget the slot's sequence, and its owner could not be told from a stranger
// (holes H28). At most Bounds.First when nothing may go.
func PurgeBelow(c *Custody, l PurgeLimits) Seq {
	below := min(l.Store+1, l.Keep, c.Compared(), c.seq)
	owns := make([]bool, len(c.slots))
	for _, p := range c.parts {
		if p.base < l.Anew { // the bases that this floor relies on are lost
			return l.Bounds.First
		}
		below = min(below, p.floor+1)
		owns[p.owner] = true
	}
	for i, s := range c.slots {
		if owns[i] && s.Seq != 0 {
			below = min(below, s.Seq)
		}
	}
	return max(below, l.Bounds.First)
}
