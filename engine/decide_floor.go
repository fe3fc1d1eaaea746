package engine

import (
	"cmp"
	"slices"

	"maitred/engine/enginepb"
)

func (d *decision) createRestaurant(c *CreateRestaurant) Outcome {
	role := d.cmd.Caller.Role
	details := c.Details
	switch {
	case d.info != nil && !d.may(RoleOwner):
		return refuse(CodeExists)
	case d.cmd.Caller.Account == "" || (role != RoleOwner && role != RoleAdmin):
		return refuse(CodeForbidden)
	case d.info != nil:
		return Outcome{Code: CodeExists, Restaurant: d.info}
	case d.stale(0):
		return refuse(CodeStale)
	case c.ID != d.id || !IsRestaurantID(string(c.ID)):
		return invalid("id")
	}
	if field := details.settle(); field != "" {
		return invalid(field)
	}
	if overlap(details.OpeningHours) {
		return invalid("opening_hours")
	}
	p := (&Restaurant{ID: d.id, Owner: d.cmd.Caller.Account, Details: details}).proto()
	d.emit(&enginepb.Event_RestaurantCreated{RestaurantCreated: &enginepb.RestaurantCreated{Restaurant: p}})
	attach(d.cmd, d.events, string(d.id), CodeCreated)
	return Outcome{Code: CodeCreated, Restaurant: restaurantFrom(p, 1)}
}

func (d *decision) changeRestaurant(c *ChangeRestaurant) Outcome {
	switch {
	case !d.may(RoleManager):
		return refuse(CodeForbidden)
	case d.stale(d.info.Version):
		return Outcome{Code: CodeStale, Restaurant: d.info}
	}
	details := d.info.Details
	c.Change.merge(&details)
	if field := details.settle(); field != "" {
		return invalid(field)
	}
	if c.Change.OpeningHours != nil {
		if overlap(details.OpeningHours) {
			return invalid("opening_hours")
		}
		if rules := *d.rules; rules.settle(details.OpeningHours) != "" { // a turn time is for a shift that would be gone
			return invalid("opening_hours.name")
		}
	}
	p := (&Restaurant{ID: d.id, Owner: d.info.Owner, Details: details}).proto()
	d.emit(&enginepb.Event_RestaurantChanged{RestaurantChanged: &enginepb.RestaurantChanged{Restaurant: p}})
	attach(d.cmd, d.events, string(d.id), CodeOK)
	r := restaurantFrom(p, d.info.Version+1)
	r.Ratings = d.info.Ratings
	return Outcome{Code: CodeOK, Restaurant: r}
}

// merge lays what is given over details.
func (c *DetailsChange) merge(d *Details) {
	set(&d.Name, c.Name)
	set(&d.Address, c.Address)
	set(&d.City, c.City)
	set(&d.Country, c.Country)
	set(&d.CuisineType, c.CuisineType)
	set(&d.Description, c.Description)
	set(&d.Phone, c.Phone)
	set(&d.Email, c.Email)
	set(&d.TimeZone, c.TimeZone)
	set(&d.Latitude, c.Latitude)
	set(&d.Longitude, c.Longitude)
	set(&d.OpeningHours, c.OpeningHours)
	set(&d.GridMin, c.GridMin)
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// settle puts the details into their canonical form and names the first member that is nonsense; "" when there is none.
func (d *Details) settle() string {
	d.OpeningHours = slices.Clone(d.OpeningHours)
	sortShifts(d.OpeningHours)
	for _, t := range []struct {
		field, value string
		max          int
	}{
		{"name", d.Name, MaxName}, {"address", d.Address, MaxAddress}, {"city", d.City, MaxName},
		{"country", d.Country, MaxName}, {"cuisine_type", d.CuisineType, MaxName},
		{"description", d.Description, MaxDescription}, {"phone", d.Phone, MaxPhone}, {"email", d.Email, MaxEmail},
	} {
		if !text(t.value, t.max) {
			return t.field
		}
	}
	switch {
	case d.Name == "":
		return "name"
	case !everywhere(d.TimeZone) || openZone(d.TimeZone) == nil:
		return "time_zone"
	case !(d.Latitude >= -90 && d.Latitude <= 90):
		return "latitude"
	case !(d.Longitude >= -180 && d.Longitude <= 180):
		return "longitude"
	case !grid(d.GridMin):
		return "grid_min"
	case len(d.OpeningHours) > MaxShifts || slices.ContainsFunc(d.OpeningHours, OpeningHours.nonsense):
		return "opening_hours"
	}
	return ""
}

func sortShifts(list []OpeningHours) {
	slices.SortFunc(list, func(a, b OpeningHours) int {
		return cmp.Or(cmp.Compare(a.Open, b.Open), cmp.Compare(a.Days, b.Days), cmp.Compare(a.Close, b.Close),
			cmp.Compare(a.LastSeating, b.LastSeating), cmp.Compare(a.Name, b.Name), cmp.Compare(a.GridMin, b.GridMin))
	})
}

// nonsense reports whether a shift cannot be: start times lie on ticks of five minutes.
func (h OpeningHours) nonsense() bool {
	return h.Days == 0 || h.Days > 127 || h.Open < 0 || h.Open >= minutesPerDay || h.Open%MinGridMin != 0 ||
		h.Close <= h.Open || h.Close > h.Open+maxShiftMinutes ||
		h.LastSeating < h.Open || h.LastSeating >= h.Close || h.LastSeating%MinGridMin != 0 ||
		!grid(h.GridMin) || !text(h.Name, MaxShiftName)
}

// grid reports whether start times can lie so far apart; 0 = the default.
func grid(minutes int) bool { return minutes == 0 || within(minutes, MinGridMin, MaxGridMin) }

func (d *decision) addTable(c *AddTable) Outcome {
	switch {
	case !d.may(RoleManager):
		return refuse(CodeForbidden)
	case d.floor.slot(c.ID) >= 0:
		return Outcome{Code: CodeExists, Table: d.floor.table(c.ID)}
	case d.stale(0):
		return refuse(CodeStale)
	case !d.inside(string(c.ID), isTable):
		return invalid("id")
	}
	t := &Table{ID: c.ID, Version: 1, TableSpec: c.Table}
	t.orderBlocks()
	if field := d.tableFault(t); field != "" {
		return invalid(field)
	}
	if len(d.floor.list) >= MaxTables {
		return Outcome{Code: CodeLimit, Field: "tables"}
	}
	d.emit(&enginepb.Event_TableAdded{TableAdded: &enginepb.TableAdded{Table: t.proto()}})
	attach(d.cmd, d.events, string(c.ID), CodeCreated)
	return Outcome{Code: CodeCreated, Table: t}
}

func (d *decision) changeTable(c *ChangeTable) Outcome {
	old := d.floor.table(c.ID)
	switch {
	case old == nil:
		return refuse(CodeNotFound)
	case !d.may(RoleManager):
		return refuse(CodeForbidden)
	case d.stale(old.Version):
		return Outcome{Code: CodeStale, Table: old}
	}
	t := *old
	t.Version++
	set(&t.Number, c.Change.Number)
	set(&t.Capacity, c.Change.Capacity)
	set(&t.MinCapacity, c.Change.MinCapacity)
	set(&t.Location, c.Change.Location)
	set(&t.InService, c.Change.InService)
	set(&t.Channel, c.Change.Channel)
	set(&t.Blocks, c.Change.Blocks)
	t.orderBlocks()
	if field := d.tableFault(&t); field != "" {
		return invalid(field)
	}
	d.emit(&enginepb.Event_TableChanged{TableChanged: &enginepb.TableChanged{Table: t.proto()}})
	attach(d.cmd, d.events, string(c.ID), CodeOK)
	return Outcome{Code: CodeOK, Table: &t}
}

func (d *decision) removeTable(c *RemoveTable) Outcome {
	old := d.floor.table(c.ID)
	switch {
	case old == nil:
		return refuse(CodeNotFound)
	case !d.may(RoleManager):
		return refuse(CodeForbidden)
	case d.stale(old.Version):
		return Outcome{Code: CodeStale, Table: old}
	case d.inUse(d.floor.slot(c.ID)):
		return Outcome{Code: CodeInUse, Table: old}
	case d.rules.combines(c.ID):
		return Outcome{Code: CodeInUse, Field: "combinations", Table: old}
	}
	d.emit(&enginepb.Event_TableRemoved{TableRemoved: &enginepb.TableRemoved{TableId: string(c.ID)}})
	attach(d.cmd, d.events, string(c.ID), CodeOK)
	return Outcome{Code: CodeOK, Table: old}
}

// tableFault names the first member that is nonsense.
func (d *decision) tableFault(t *Table) string {
	switch {
	case t.Number == "" || !text(t.Number, MaxTableNumber):
		return "table_number"
	case t.Capacity < 1 || t.Capacity > MaxCapacity:
		return "capacity"
	case t.MinCapacity < 1 || t.MinCapacity > t.Capacity:
		return "min_capacity"
	case ChannelName(t.Channel) == "":
		return "channel"
	case len(t.Blocks) > MaxBlocks || slices.ContainsFunc(t.Blocks, Block.nonsense):
		return "blocks"
	case !text(t.Location, MaxLocation):
		return "location"
	case slices.ContainsFunc(d.floor.list, func(o *Table) bool { return o.Number == t.Number && o.ID != t.ID }):
		return "table_number"
	}
	return ""
}

func (t *Table) orderBlocks() {
	t.Blocks = slices.Clone(t.Blocks)
	slices.SortFunc(t.Blocks, func(a, b Block) int { return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.Until, b.Until)) })
}

func (b Block) nonsense() bool { return b.From < 1 || b.Until <= b.From || b.Until > lastSecond }

// inUse reports whether a blocking reservation holds the table.
func (b *book) inUse(slot int) (used bool) {
	b.busy.walk(func(_ uint64, c *chunk) {
		used = used || slot < len(c.rows) && c.rows[slot] != 0
	})
	return used
}
