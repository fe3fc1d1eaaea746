package enginetest

import (
	"maitred/engine"
)

// rank is 0 for strangers, 1 for hosts, 2 for managers, 3 for the owner, 4 for who stands above.
func (b *Book) rank(c engine.Caller) int {
	if c.Role == engine.RoleAdmin || c.Role == engine.RoleSystem {
		return 4
	}
	if c.Account != "" && c.Account == b.Info.Owner {
		return 3
	}
	for _, m := range b.Members {
		if m.Account == c.Account && m.Role == engine.RoleManager {
			return 2
		} else if m.Account == c.Account {
			return 1
		}
	}
	return 0
}

func (b *Book) staff(c engine.Caller) bool { return b.rank(c) >= 1 }

func (b *Book) member(a engine.AccountID) *engine.Member {
	for _, m := range b.Members {
		if m.Account == a {
			return m
		}
	}
	return nil
}

// hires reports whether the caller may give or take a role.
func (b *Book) hires(c engine.Caller, r engine.Role) bool {
	return b.rank(c) >= 3 || b.rank(c) == 2 && r != engine.RoleManager
}

func fits(r engine.Role) bool { return r == engine.RoleManager || r == engine.RoleHost }

func (b *Book) addStaff(now engine.Instant, cmd *engine.Command, c *engine.AddStaff) (engine.Outcome, string, int) {
	switch old := b.member(c.Account); {
	case !b.hires(cmd.Caller, c.Role):
		return refused(engine.CodeForbidden, "")
	case old != nil || c.Account == b.Info.Owner:
		return engine.Outcome{Code: engine.CodeExists, Member: old}, "", 0
	case cmd.IfMatch != 0:
		return refused(engine.CodeStale, "")
	case !fits(c.Role):
		return refused(engine.CodeInvalid, "role")
	}
	m := &engine.Member{Account: c.Account, Role: c.Role, Since: now, Version: 1}
	b.Members = append(b.Members, m)
	return engine.Outcome{Code: engine.CodeCreated, Member: m}, string(m.Account), 1
}

func (b *Book) changeStaff(cmd *engine.Command, c *engine.ChangeStaff) (engine.Outcome, string, int) {
	old := b.member(c.Account)
	switch {
	case b.rank(cmd.Caller) < 2:
		return refused(engine.CodeForbidden, "")
	case old == nil:
		return refused(engine.CodeNotFound, "")
	case !b.hires(cmd.Caller, old.Role) || !b.hires(cmd.Caller, c.Role):
		return refused(engine.CodeForbidden, "")
	case cmd.IfMatch != 0 && cmd.IfMatch != old.Version:
		return engine.Outcome{Code: engine.CodeStale, Member: old}, "", 0
	case !fits(c.Role):
		return refused(engine.CodeInvalid, "role")
	}
	m := &engine.Member{Account: c.Account, Role: c.Role, Since: old.Since, Version: old.Version + 1}
	for i := range b.Members {
		if b.Members[i] == old {
			b.Members[i] = m
		}
	}
	return engine.Outcome{Code: engine.CodeOK, Member: m}, string(m.Account), 1
}

func (b *Book) removeStaff(cmd *engine.Command, c *engine.RemoveStaff) (engine.Outcome, string, int) {
	old, self := b.member(c.Account), c.Account != "" && c.Account == cmd.Caller.Account
	switch {
	case !self && b.rank(cmd.Caller) < 2:
		return refused(engine.CodeForbidden, "")
	case old == nil:
		return refused(engine.CodeNotFound, "")
	case !self && !b.hires(cmd.Caller, old.Role):
		return refused(engine.CodeForbidden, "")
	case cmd.IfMatch != 0 && cmd.IfMatch != old.Version:
		return engine.Outcome{Code: engine.CodeStale, Member: old}, "", 0
	}
	var left []*engine.Member
	for _, m := range b.Members {
		if m != old {
			left = append(left, m)
		}
	}
	b.Members = left
	return engine.Outcome{Code: engine.CodeOK, Member: old}, string(old.Account), 1
}

func (b *Book) addReview(now engine.Instant, cmd *engine.Command, c *engine.AddReview) (engine.Outcome, string, int) {
	old := b.find(c.Reservation)
	guest := old != nil && old.Guest != "" && old.Guest == cmd.Caller.Account
	switch {
	case old == nil || !guest && !b.staff(cmd.Caller):
		return refused(engine.CodeNotFound, "")
	case !guest:
		return refused(engine.CodeForbidden, "")
	case cmd.IfMatch != 0 && cmd.IfMatch != old.Version:
		return engine.Outcome{Code: engine.CodeStale, Reservation: old}, "", 0
	case old.Reviewed:
		return engine.Outcome{Code: engine.CodeExists, Reservation: old}, "", 0
	case old.Status != engine.StatusCompleted:
		return engine.Outcome{Code: engine.CodeInvalidTransition, Reservation: old}, "", 0
	case c.Rating < 1 || c.Rating > 5:
		return refused(engine.CodeInvalid, "rating")
	}
	next := *old
	next.Reviewed, next.Updated = true, now
	next.Version++
	b.put(&next)
	b.Ratings = append(b.Ratings, c.Rating)
	info := *b.Info
	info.Ratings = engine.Ratings{}
	for _, r := range b.Ratings {
		info.Ratings.Sum += int64(r)
		info.Ratings.Count++
	}
	b.Info = &info
	return engine.Outcome{Code: engine.CodeCreated, Reservation: &next, Review: c.ID}, string(c.ID), 1
}
