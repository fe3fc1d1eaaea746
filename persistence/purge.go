package persistence

import "fmt"

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

// Witness is what something outside the journal remembers of it: the store's cursor, the local high-water mark, a base.
type Witness struct {
	Name    string // for the operator: "store", "hwm", "base rst_…"
	Journal string
	Seq     Seq
	Hash    Digest // of the record at Seq; zero = not known
}

// RegressedError says that the journal lost what a witness saw, or is another one: journal_regressed. Never serve.
type RegressedError struct {
	Witness Witness
	Journal string
	First   Seq
	Last    Seq
	Hash    Digest // of the journal's record at Witness.Seq, when both are known
}

func (e *RegressedError) Error() string {
	w := &e.Witness
	switch {
	case w.Journal != e.Journal:
		return fmt.Sprintf("persistence: journal %q regressed: %s knows journal %q up to %d", e.Journal, w.Name, w.Journal, w.Seq)
	case w.Seq > e.Last:
		return fmt.Sprintf("persistence: journal %s regressed: it ends at %d, %s has seen %d (%d records are missing)",
			e.Journal, e.Last, w.Name, w.Seq, w.Seq-e.Last)
	}
	return fmt.Sprintf("persistence: journal %s regressed: record %d has hash %s, %s has seen %s",
		e.Journal, w.Seq, e.Hash.Short(), w.Name, w.Hash.Short())
}

// CheckWitnesses compares the journal with what others remember of it; the first that knows more, other bytes or another
// journal gives a *RegressedError. journal is empty when the stream has no genesis. hashAt gives the hash of the record at
// a sequence within b; it is asked only for witnesses that know one. A witness with Seq 0 has seen nothing, and one below
// b.First cannot be compared.
func CheckWitnesses(journal string, b Bounds, hashAt func(Seq) (Digest, error), witnesses []Witness) error {
	for _, w := range witnesses {
		if w.Seq == 0 {
			continue
		}
		e := &RegressedError{Witness: w, Journal: journal, First: b.First, Last: b.Last}
		if w.Journal != journal || w.Seq > b.Last {
			return e
		}
		if w.Hash == (Digest{}) || w.Seq < b.First {
			continue
		}
		h, err := hashAt(w.Seq)
		if err != nil {
			return fmt.Errorf("compare journal with %s: record %d: %w", w.Name, w.Seq, err)
		}
		if h != w.Hash {
			e.Hash = h
			return e
		}
	}
	return nil
}
