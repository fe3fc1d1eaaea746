package edge

import (
	"sync"
	"sync/atomic"
	"time"

	"maitred/engine"
)

// Revocations says which access tokens are void before they expire. It is a fold of the journal's events of accounts (Saw), so every node
// has the same one as soon as it has folded so far, and a node that starts has it again from the events of the last RevocationsFor.
//
// A token carries the version that its account had when the session was opened or renewed, and the session's family. What ended the
// family or all of them has a version of its own, and everything older is void: no clock is compared with another node's.
type Revocations struct {
	epoch atomic.Uint64 // counts marks

	mu      sync.RWMutex
	marks   map[mark]revoked
	all     time.Time // tokens of anybody issued up to then are void: there were too many to keep apart
	cleared uint64    // epoch of that
}

// RevocationsFor is how long a revocation is kept: as long as an access token lives, and a bit for clocks that differ.
const RevocationsFor = tokenTTL + clockSlack

// mark is what was revoked: an account with an empty part, else its session family or API key of that name.
type mark struct {
	account engine.AccountID
	part    string
}

type revoked struct {
	version engine.Version // tokens of sessions older than that are void
	at      time.Time      // tokens that tell no version are, if they were issued up to then
	doubt   time.Time      // all tokens issued up to then are: it may be revoked, nobody said so
	epoch   uint64         // of the last change
}

// NewRevocations makes one without any.
func NewRevocations() *Revocations { return &Revocations{marks: map[mark]revoked{}} }

// Saw takes a durable event of an account. It may see one more than once, and in any order.
func (r *Revocations) Saw(account engine.AccountID, v engine.Version, e *engine.Event) {
	if part, ok := engine.Revokes(e); ok {
		r.add(mark{account, part}, v, time.UnixMilli(e.AtMs))
	}
}

// add keeps a revocation at a version, unless it is known.
func (r *Revocations) add(m mark, v engine.Version, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.marks[m]
	if v <= old.version {
		return
	}
	old.version = v
	if at.After(old.at) {
		old.at = at
	}
	r.keep(m, old, at)
}

// suspect voids the account's tokens issued up to now: a revocation may have been done, and which version it has is not known.
func (r *Revocations) suspect(m mark, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.marks[m]
	old.doubt = now
	r.keep(m, old, now)
}

// keep stores a mark. The caller holds mu.
func (r *Revocations) keep(m mark, v revoked, now time.Time) {
	if _, there := r.marks[m]; !there && len(r.marks) >= maxRevocations {
		r.forget(now)
	}
	if len(r.marks) >= maxRevocations { // too many to keep apart: everybody logs in again
		clear(r.marks)
		r.all, r.cleared = now, r.epoch.Load()+1
	}
	v.epoch = r.epoch.Load() + 1
	r.marks[m] = v
	r.epoch.Store(v.epoch)
}

// forget drops what is older than any token.
func (r *Revocations) forget(now time.Time) {
	for m, v := range r.marks {
		if now.Sub(v.at) > RevocationsFor && now.Sub(v.doubt) > RevocationsFor {
			delete(r.marks, m)
		}
	}
}

// void tells whether b was revoked. Of an API key: whether to ask its account again.
func (r *Revocations) void(b *bearer) bool {
	epoch := r.epoch.Load()
	if b.seen.Load() == epoch {
		return false
	}
	r.mu.RLock()
	void := r.voidLocked(b)
	r.mu.RUnlock()
	if !void {
		b.seen.Store(epoch)
	}
	return void
}

func (r *Revocations) voidLocked(b *bearer) bool {
	if b.apiKey != "" {
		return max(r.cleared, r.marks[mark{b.account, ""}].epoch, r.marks[mark{b.account, b.apiKey}].epoch) > b.seen.Load()
	}
	if !b.issued.After(r.all) || r.marks[mark{b.account, ""}].voids(b) {
		return true
	}
	return b.family != "" && r.marks[mark{b.account, b.family}].voids(b)
}

func (v revoked) voids(b *bearer) bool {
	if !b.issued.After(v.doubt) {
		return true
	}
	if b.version != 0 && v.version != 0 {
		return b.version < v.version
	}
	return !b.issued.After(v.at)
}
