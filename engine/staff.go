package engine

import (
	"cmp"
	"slices"

	"maitred/engine/enginepb"
)

// What somebody may do in a restaurant follows from the rank there, which is a part of the restaurant's state: a dismissal works
// with the next command. The role of an account (customer, owner, admin) only says whether it may create restaurants, and
// whether it stands above all of them.
//
//	host     sees the day sheet, writes guests in, changes, seats and completes reservations
//	manager  also details, tables, the list of staff, and who is host
//	owner    everything

// standing of a role; those above a restaurant stand above its owner.
func standing(r Role) int {
	switch r {
	case RoleHost:
		return 1
	case RoleManager:
		return 2
	case RoleOwner:
		return 3
	case RoleAdmin, RoleSystem:
		return 4
	}
	return 0
}

// rankOf is what the caller is here: RoleAdmin, RoleSystem, RoleOwner (of this restaurant), RoleManager, RoleHost, or RoleNone.
func (b *book) rankOf(c Caller) Role {
	switch {
	case c.Role == RoleAdmin || c.Role == RoleSystem:
		return c.Role
	case c.Account == "" || b.info == nil:
		return RoleNone
	case c.Account == b.info.Owner:
		return RoleOwner
	}
	if m := b.member(c.Account); m != nil {
		return m.Role
	}
	return RoleNone
}

// may reports whether the caller has at least that rank.
func (d *decision) may(least Role) bool { return standing(d.rankOf(d.cmd.Caller)) >= standing(least) }

// staff reports whether the caller may act on every reservation.
func (d *decision) staff() bool { return d.may(RoleHost) }

func byAccount(m *Member, a AccountID) int { return cmp.Compare(m.Account, a) }

// member is nil for who is no staff.
func (b *book) member(a AccountID) *Member {
	if i, found := slices.BinarySearchFunc(b.members, a, byAccount); found {
		return b.members[i]
	}
	return nil
}

// setMember puts m into its place; the old list stays as it was.
func (b *book) setMember(m *Member) {
	old := b.member(m.Account)
	assert(old == nil && m.Version == 1 || old != nil && m.Version == old.Version+1, "I4: versions of a member are contiguous")
	assert(m.Role == RoleManager || m.Role == RoleHost, "I5: staff are managers and hosts")
	i, found := slices.BinarySearchFunc(b.members, m.Account, byAccount)
	next := slices.Clone(b.members)
	if found {
		next[i] = m
	} else {
		next = slices.Insert(next, i, m)
	}
	b.members = next
	assert(len(b.members) <= MaxStaff, "I9: too many staff")
}

func (b *book) removeMember(a AccountID) {
	i, found := slices.BinarySearchFunc(b.members, a, byAccount)
	assert(found, "I5: an unknown member is dismissed")
	b.members = slices.Delete(slices.Clone(b.members), i, i+1)
}

// Staff lists managers and hosts by account. Read-only.
func (v *RestaurantView) Staff() []*Member { return v.members }

// RankOf is what the caller is here: RoleAdmin, RoleOwner (of this restaurant), RoleManager, RoleHost, or RoleNone.
func (v *RestaurantView) RankOf(c Caller) Role { return v.rankOf(c) }

// IsStaff reports whether a rank is that of a host or above.
func IsStaff(r Role) bool { return standing(r) >= standing(RoleHost) }

// AtLeast reports whether rank r is least or above.
func AtLeast(r, least Role) bool { return standing(r) >= standing(least) }

// mayHire reports whether the caller may give or take that role: a manager decides about hosts.
func (d *decision) mayHire(roles ...Role) bool {
	for _, r := range roles {
		if r == RoleManager && !d.may(RoleOwner) {
			return false
		}
	}
	return d.may(RoleManager)
}

func hirable(r Role) bool { return r == RoleManager || r == RoleHost }

func (d *decision) addStaff(c *AddStaff) Outcome {
	old := d.member(c.Account)
	switch {
	case !d.mayHire(c.Role):
		return refuse(CodeForbidden)
	case old != nil || c.Account == d.info.Owner:
		return Outcome{Code: CodeExists, Member: old}
	case d.stale(0):
		return refuse(CodeStale)
	case !IsAccountID(string(c.Account)):
		return invalid("email")
	case !hirable(c.Role):
		return invalid("role")
	case len(d.members) >= MaxStaff:
		return Outcome{Code: CodeLimit, Field: "staff"}
	}
	return d.hire(&Member{Account: c.Account, Role: c.Role, Since: d.now, Version: 1}, CodeCreated)
}

func (d *decision) changeStaff(c *ChangeStaff) Outcome {
	old := d.member(c.Account)
	switch {
	case !d.may(RoleManager):
		return refuse(CodeForbidden)
	case old == nil:
		return refuse(CodeNotFound)
	case !d.mayHire(old.Role, c.Role):
		return refuse(CodeForbidden)
	case d.stale(old.Version):
		return Outcome{Code: CodeStale, Member: old}
	case !hirable(c.Role):
		return invalid("role")
	}
	next := *old
	next.Role = c.Role
	next.Version++
	return d.hire(&next, CodeOK)
}

func (d *decision) hire(m *Member, code Code) Outcome {
	d.emit(&enginepb.Event_StaffSet{StaffSet: &enginepb.StaffSet{Member: m.proto()}})
	attach(d.cmd, d.events, string(m.Account), code)
	return Outcome{Code: code, Member: m}
}

// removeStaff dismisses a member; everybody may go by herself.
func (d *decision) removeStaff(c *RemoveStaff) Outcome {
	old, self := d.member(c.Account), c.Account != "" && c.Account == d.cmd.Caller.Account
	switch {
	case !self && !d.may(RoleManager):
		return refuse(CodeForbidden)
	case old == nil:
		return refuse(CodeNotFound)
	case !self && !d.mayHire(old.Role):
		return refuse(CodeForbidden)
	case d.stale(old.Version):
		return Outcome{Code: CodeStale, Member: old}
	}
	d.emit(&enginepb.Event_StaffRemoved{StaffRemoved: &enginepb.StaffRemoved{Account: string(c.Account)}})
	attach(d.cmd, d.events, string(c.Account), CodeOK)
	return Outcome{Code: CodeOK, Member: old}
}

func memberFrom(p *enginepb.Member) *Member {
	assert(p != nil, "I5: a member without content")
	return &Member{Account: AccountID(p.Account), Role: p.Role, Since: Instant(p.SinceMs), Version: Version(p.Version)}
}

func (m *Member) proto() *enginepb.Member {
	return &enginepb.Member{Account: string(m.Account), Role: m.Role, SinceMs: int64(m.Since), Version: uint64(m.Version)}
}
