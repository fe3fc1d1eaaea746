package enginetest

import (
	"slices"
	"sort"
	"time"

	"maitred/engine"
)

func (b *Book) createRestaurant(cmd *engine.Command, c *engine.CreateRestaurant) (engine.Outcome, string, int) {
	role := cmd.Caller.Role
	switch {
	case b.Info != nil && b.rank(cmd.Caller) < 3:
		return refused(engine.CodeExists, "")
	case cmd.Caller.Account == "" || role != engine.RoleOwner && role != engine.RoleAdmin:
		return refused(engine.CodeForbidden, "")
	case b.Info != nil:
		return engine.Outcome{Code: engine.CodeExists, Restaurant: b.Info}, "", 0
	case cmd.IfMatch != 0:
		return refused(engine.CodeStale, "")
	case c.ID != b.ID:
		return refused(engine.CodeInvalid, "id")
	}
	info := &engine.Restaurant{ID: c.ID, Owner: cmd.Caller.Account, Version: 1, Details: c.Details}
	if f := settle(&info.Details); f != "" {
		return refused(engine.CodeInvalid, f)
	}
	if crowded(info.OpeningHours) {
		return refused(engine.CodeInvalid, "opening_hours")
	}
	b.Info = info
	return engine.Outcome{Code: engine.CodeCreated, Restaurant: info}, string(c.ID), 1
}

func inOrder(list []engine.OpeningHours) []engine.OpeningHours {
	list = slices.Clone(list)
	sort.SliceStable(list, func(i, j int) bool {
		x, y := list[i], list[j]
		for _, k := range [][2]int{{x.Open, y.Open}, {int(x.Days), int(y.Days)}, {x.Close, y.Close}, {x.LastSeating, y.LastSeating}} {
			if k[0] != k[1] {
				return k[0] < k[1]
			}
		}
		return x.Name < y.Name || x.Name == y.Name && x.GridMin < y.GridMin
	})
	return list
}

// settle looks at what the generator may get wrong.
func settle(d *engine.Details) string {
	d.OpeningHours = inOrder(d.OpeningHours)
	if d.Name == "" || len(d.Name) > 200 {
		return "name"
	}
	if _, err := time.LoadLocation(d.TimeZone); err != nil || d.TimeZone == "" {
		return "time_zone"
	}
	if g := d.GridMin; g != 0 && (g < 5 || g > 60 || g%5 != 0) {
		return "grid_min"
	}
	for _, h := range d.OpeningHours {
		if h.LastSeating < h.Open || h.LastSeating >= h.Close {
			return "opening_hours"
		}
	}
	return ""
}

func (b *Book) changeRestaurant(cmd *engine.Command, c *engine.ChangeRestaurant) (engine.Outcome, string, int) {
	switch {
	case b.rank(cmd.Caller) < 2:
		return refused(engine.CodeForbidden, "")
	case cmd.IfMatch != 0 && cmd.IfMatch != b.Info.Version:
		return engine.Outcome{Code: engine.CodeStale, Restaurant: b.Info}, "", 0
	}
	next := *b.Info
	next.Version++
	if c.Change.Name != nil {
		next.Name = *c.Change.Name
	}
	if c.Change.TimeZone != nil {
		next.TimeZone = *c.Change.TimeZone
	}
	if c.Change.OpeningHours != nil {
		next.OpeningHours = *c.Change.OpeningHours
	}
	if c.Change.GridMin != nil {
		next.GridMin = *c.Change.GridMin
	}
	if f := settle(&next.Details); f != "" {
		return refused(engine.CodeInvalid, f)
	}
	if c.Change.OpeningHours != nil {
		if crowded(next.OpeningHours) {
			return refused(engine.CodeInvalid, "opening_hours")
		}
		if b.turnFault(b.rules().TurnTimes, b.rules().SpecialDays, next.OpeningHours) != "" {
			return refused(engine.CodeInvalid, "opening_hours.name")
		}
	}
	b.Info = &next
	return engine.Outcome{Code: engine.CodeOK, Restaurant: b.Info}, string(b.ID), 1
}

func (b *Book) addTable(cmd *engine.Command, c *engine.AddTable) (engine.Outcome, string, int) {
	switch {
	case b.rank(cmd.Caller) < 2:
		return refused(engine.CodeForbidden, "")
	case b.table(c.ID) != nil:
		return engine.Outcome{Code: engine.CodeExists, Table: b.table(c.ID)}, "", 0
	case cmd.IfMatch != 0:
		return refused(engine.CodeStale, "")
	}
	t := &engine.Table{ID: c.ID, Version: 1, TableSpec: c.Table}
	if f := b.fault(t); f != "" {
		return refused(engine.CodeInvalid, f)
	}
	if len(b.Tables) == engine.MaxTables {
		return refused(engine.CodeLimit, "tables")
	}
	b.Tables = append(b.Tables, t)
	return engine.Outcome{Code: engine.CodeCreated, Table: t}, string(c.ID), 1
}

func (b *Book) fault(t *engine.Table) string {
	taken := slices.ContainsFunc(b.Tables, func(o *engine.Table) bool { return o.ID != t.ID && o.Number == t.Number })
	switch {
	case t.Number == "":
		return "table_number"
	case t.Capacity < 1 || t.Capacity > 100:
		return "capacity"
	case t.MinCapacity < 1 || t.MinCapacity > t.Capacity:
		return "min_capacity"
	case slices.ContainsFunc(t.Blocks, func(b engine.Block) bool { return b.Until <= b.From }):
		return "blocks"
	case taken:
		return "table_number"
	}
	return ""
}

func (b *Book) changeTable(cmd *engine.Command, c *engine.ChangeTable) (engine.Outcome, string, int) {
	old := b.table(c.ID)
	switch {
	case old == nil:
		return refused(engine.CodeNotFound, "")
	case b.rank(cmd.Caller) < 2:
		return refused(engine.CodeForbidden, "")
	case cmd.IfMatch != 0 && cmd.IfMatch != old.Version:
		return engine.Outcome{Code: engine.CodeStale, Table: old}, "", 0
	}
	t := *old
	t.Version++
	if c.Change.Capacity != nil {
		t.Capacity = *c.Change.Capacity
	}
	if c.Change.MinCapacity != nil {
		t.MinCapacity = *c.Change.MinCapacity
	}
	if c.Change.InService != nil {
		t.InService = *c.Change.InService
	}
	if c.Change.Channel != nil {
		t.Channel = *c.Change.Channel
	}
	if c.Change.Location != nil {
		t.Location = *c.Change.Location
	}
	if c.Change.Blocks != nil {
		t.Blocks = slices.Clone(*c.Change.Blocks)
		sort.Slice(t.Blocks, func(i, j int) bool {
			x, y := t.Blocks[i], t.Blocks[j]
			return x.From < y.From || x.From == y.From && x.Until < y.Until
		})
	}
	if f := b.fault(&t); f != "" {
		return refused(engine.CodeInvalid, f)
	}
	b.Tables[slices.Index(b.Tables, old)] = &t
	return engine.Outcome{Code: engine.CodeOK, Table: &t}, string(c.ID), 1
}

func (b *Book) removeTable(cmd *engine.Command, c *engine.RemoveTable) (engine.Outcome, string, int) {
	old := b.table(c.ID)
	switch {
	case old == nil:
		return refused(engine.CodeNotFound, "")
	case b.rank(cmd.Caller) < 2:
		return refused(engine.CodeForbidden, "")
	case cmd.IfMatch != 0 && cmd.IfMatch != old.Version:
		return engine.Outcome{Code: engine.CodeStale, Table: old}, "", 0
	}
	for _, r := range b.List {
		if holds(r.Status) && slices.Contains(r.Tables, c.ID) {
			return engine.Outcome{Code: engine.CodeInUse, Table: old}, "", 0
		}
	}
	for _, combination := range b.rules().Combinations {
		if slices.Contains(combination.Tables, c.ID) {
			return engine.Outcome{Code: engine.CodeInUse, Field: "combinations", Table: old}, "", 0
		}
	}
	b.Tables = slices.DeleteFunc(b.Tables, func(t *engine.Table) bool { return t == old })
	return engine.Outcome{Code: engine.CodeOK, Table: old}, string(c.ID), 1
}
