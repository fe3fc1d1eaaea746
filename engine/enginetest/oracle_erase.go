package enginetest

import (
	"slices"
	"sort"

	"maitred/engine"
)

// forgetGuest cancels what lies ahead, 62 at a time, then dismisses him and blanks everything that is the guest's.
func (b *Book) forgetGuest(now engine.Instant, cmd *engine.Command, c *engine.ForgetGuest) (engine.Outcome, string, int) {
	if cmd.Caller.Role != engine.RoleSystem && cmd.Caller.Role != engine.RoleAdmin {
		return refused(engine.CodeForbidden, "")
	}
	var ahead []int
	for i, r := range b.List {
		lies := holds(r.Status) && r.Status != engine.StatusSeated && engine.Instant(r.StartsAt)*1000 > now
		if r.Guest == c.Guest && (lies || r.Status == engine.StatusWaiting) {
			ahead = append(ahead, i)
		}
	}
	sort.Slice(ahead, func(x, y int) bool {
		p, q := b.List[ahead[x]], b.List[ahead[y]]
		return p.StartsAt < q.StartsAt || p.StartsAt == q.StartsAt && p.ID < q.ID
	})
	n := min(len(ahead), 62)
	for _, i := range ahead[:n] {
		r := *b.List[i]
		r.Status, r.Updated = engine.StatusCancelled, now
		r.Version++
		b.List[i] = &r
	}
	if n < len(ahead) {
		return engine.Outcome{Code: engine.CodeOK, More: true}, "", n
	}
	if n > 0 || b.member(c.Guest) != nil { // what comes before is events of their own, in which what is due goes
		b.Last = now
		b.forget()
	}
	for i, r := range b.List {
		if r.Guest != c.Guest {
			continue
		}
		blank := *r
		blank.Guest, blank.Contact, blank.SpecialRequests = "", engine.Contact{}, ""
		blank.Override, blank.Note = nil, ""
		blank.Key, blank.Payload = engine.Hash{}, engine.Hash{}
		blank.Version++
		blank.Updated = now
		b.List[i] = &blank
	}
	events := n + 1
	if m := b.member(c.Guest); m != nil {
		events++
		b.Members = slices.DeleteFunc(slices.Clone(b.Members), func(o *engine.Member) bool { return o == m })
	}
	return engine.Outcome{Code: engine.CodeOK}, "", events
}
