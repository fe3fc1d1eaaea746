package engine

import "maitred/engine/enginepb"

func (c *CreateRestaurant) proto() *enginepb.CreateRestaurant {
	d := &c.Details
	return &enginepb.CreateRestaurant{
		Id: string(c.ID), Name: d.Name, Address: d.Address, City: d.City, Country: d.Country, CuisineType: d.CuisineType,
		Description: d.Description, Phone: d.Phone, Email: d.Email, TimeZone: d.TimeZone, Latitude: d.Latitude,
		Longitude: d.Longitude, OpeningHours: shiftsProto(d.OpeningHours), GridMin: int64(d.GridMin),
	}
}

func createRestaurantFrom(p *enginepb.CreateRestaurant) *CreateRestaurant {
	return &CreateRestaurant{ID: RestaurantID(p.Id), Details: Details{
		Name: p.Name, Address: p.Address, City: p.City, Country: p.Country, CuisineType: p.CuisineType,
		Description: p.Description, Phone: p.Phone, Email: p.Email, TimeZone: p.TimeZone, Latitude: p.Latitude,
		Longitude: p.Longitude, OpeningHours: shiftsFrom(p.OpeningHours), GridMin: int(p.GridMin),
	}}
}

func shiftsProto(list []OpeningHours) []*enginepb.Shift {
	out := make([]*enginepb.Shift, len(list))
	for i, h := range list {
		out[i] = &enginepb.Shift{Days: uint32(h.Days), OpenMin: int64(h.Open), CloseMin: int64(h.Close), LastSeatingMin: int64(h.LastSeating),
			Name: h.Name, GridMin: int64(h.GridMin)}
	}
	return out
}

func shiftsFrom(list []*enginepb.Shift) []OpeningHours {
	if len(list) == 0 {
		return nil
	}
	out := make([]OpeningHours, len(list))
	for i, h := range list {
		out[i] = OpeningHours{Days: uint8(h.Days), Open: int(h.OpenMin), Close: int(h.CloseMin), LastSeating: int(h.LastSeatingMin),
			Name: h.Name, GridMin: int(h.GridMin)}
	}
	return out
}

func (c *ChangeRestaurant) proto() *enginepb.ChangeRestaurant {
	d := &c.Change
	p := &enginepb.ChangeRestaurant{
		Name: d.Name, Address: d.Address, City: d.City, Country: d.Country, CuisineType: d.CuisineType,
		Description: d.Description, Phone: d.Phone, Email: d.Email, TimeZone: d.TimeZone, Latitude: d.Latitude,
		Longitude: d.Longitude, GridMin: wide(d.GridMin),
	}
	if d.OpeningHours != nil {
		p.OpeningHours = &enginepb.Shifts{Shifts: shiftsProto(*d.OpeningHours)}
	}
	return p
}

func changeRestaurantFrom(p *enginepb.ChangeRestaurant) *ChangeRestaurant {
	c := &ChangeRestaurant{Change: DetailsChange{
		Name: p.Name, Address: p.Address, City: p.City, Country: p.Country, CuisineType: p.CuisineType,
		Description: p.Description, Phone: p.Phone, Email: p.Email, TimeZone: p.TimeZone, Latitude: p.Latitude,
		Longitude: p.Longitude, GridMin: narrow(p.GridMin),
	}}
	if p.OpeningHours != nil {
		c.Change.OpeningHours = new(shiftsFrom(p.OpeningHours.Shifts))
	}
	return c
}

func (c *AddTable) proto() *enginepb.AddTable {
	t := &c.Table
	return &enginepb.AddTable{Id: string(c.ID), Number: t.Number, Capacity: int64(t.Capacity), MinCapacity: int64(t.MinCapacity),
		Location: t.Location, InService: t.InService, Channel: t.Channel, Blocks: blocksProto(t.Blocks)}
}

func addTableFrom(p *enginepb.AddTable) *AddTable {
	return &AddTable{ID: TableID(p.Id), Table: TableSpec{Number: p.Number, Capacity: int(p.Capacity), MinCapacity: int(p.MinCapacity),
		Location: p.Location, InService: p.InService, Channel: p.Channel, Blocks: blocksFrom(p.Blocks)}}
}

func (c *ChangeTable) proto() *enginepb.ChangeTable {
	t := &c.Change
	p := &enginepb.ChangeTable{Id: string(c.ID), Number: t.Number, Capacity: wide(t.Capacity), MinCapacity: wide(t.MinCapacity),
		Location: t.Location, InService: t.InService, Channel: t.Channel}
	if t.Blocks != nil {
		p.Blocks = &enginepb.Blocks{Blocks: blocksProto(*t.Blocks)}
	}
	return p
}

func blocksProto(list []Block) []*enginepb.Block {
	out := make([]*enginepb.Block, len(list))
	for i, b := range list {
		out[i] = &enginepb.Block{From: b.From, Until: b.Until}
	}
	return out
}

func blocksFrom(list []*enginepb.Block) []Block {
	if len(list) == 0 {
		return nil
	}
	out := make([]Block, len(list))
	for i, b := range list {
		out[i] = Block{b.From, b.Until}
	}
	return out
}

func changeTableFrom(p *enginepb.ChangeTable) *ChangeTable {
	c := &ChangeTable{ID: TableID(p.Id), Change: TableChange{Number: p.Number, Capacity: narrow(p.Capacity),
		MinCapacity: narrow(p.MinCapacity), Location: p.Location, InService: p.InService, Channel: p.Channel}}
	if p.Blocks != nil {
		c.Change.Blocks = new(blocksFrom(p.Blocks.Blocks))
	}
	return c
}

func (w *When) proto() *enginepb.When {
	if w == nil {
		return nil
	}
	return &enginepb.When{HasLocal: w.HasLocal, Day: int32(w.Day), LocalMin: int64(w.LocalMin), StartsAt: w.StartsAt}
}

func whenFrom(p *enginepb.When) *When {
	if p == nil {
		return nil
	}
	return &When{HasLocal: p.HasLocal, Day: Day(p.Day), LocalMin: int(p.LocalMin), StartsAt: p.StartsAt}
}

func (c *CreateReservation) proto() *enginepb.CreateReservation {
	p := &enginepb.CreateReservation{Id: string(c.ID), GuestsCount: int64(c.GuestsCount), SpecialRequests: c.SpecialRequests,
		Table: string(c.Table), Area: c.Area, Override: c.Override}
	if c.Want != (When{}) {
		p.Want = c.Want.proto()
	}
	p.Contact = c.Contact.proto()
	return p
}

func (c Contact) proto() *enginepb.Contact {
	if c == (Contact{}) {
		return nil
	}
	return &enginepb.Contact{Name: c.Name, Phone: c.Phone, Email: c.Email}
}

func (c *Hold) proto() *enginepb.Hold {
	p := &enginepb.Hold{Id: string(c.ID), GuestsCount: int64(c.GuestsCount), Table: string(c.Table), Area: c.Area, Contact: c.Contact.proto(),
		Replaces: string(c.Replaces)}
	if c.Want != (When{}) {
		p.Want = c.Want.proto()
	}
	return p
}

func holdFrom(p *enginepb.Hold) *Hold {
	c := &Hold{ID: ReservationID(p.Id), GuestsCount: int(p.GuestsCount), Table: TableID(p.Table), Area: p.Area, Replaces: ReservationID(p.Replaces),
		Contact: contactFrom(p.Contact)}
	set(&c.Want, whenFrom(p.Want))
	return c
}

func contactFrom(p *enginepb.Contact) Contact {
	return Contact{p.GetName(), p.GetPhone(), p.GetEmail()}
}

func (c *SeatWalkIn) proto() *enginepb.SeatWalkIn {
	return &enginepb.SeatWalkIn{Id: string(c.ID), GuestsCount: int64(c.GuestsCount), SpecialRequests: c.SpecialRequests, Table: string(c.Table),
		Area: c.Area, Contact: c.Contact.proto()}
}

func seatWalkInFrom(p *enginepb.SeatWalkIn) *SeatWalkIn {
	return &SeatWalkIn{ID: ReservationID(p.Id), GuestsCount: int(p.GuestsCount), SpecialRequests: p.SpecialRequests, Table: TableID(p.Table),
		Area: p.Area, Contact: contactFrom(p.Contact)}
}

func createReservationFrom(p *enginepb.CreateReservation) *CreateReservation {
	c := &CreateReservation{ID: ReservationID(p.Id), GuestsCount: int(p.GuestsCount), SpecialRequests: p.SpecialRequests,
		Table: TableID(p.Table), Area: p.Area, Contact: contactFrom(p.Contact), Override: p.Override}
	set(&c.Want, whenFrom(p.Want))
	return c
}

func (c *Reschedule) proto() *enginepb.Reschedule {
	return &enginepb.Reschedule{Id: string(c.ID), Want: c.Want.proto(), GuestsCount: wide(c.GuestsCount),
		SpecialRequests: c.SpecialRequests, Table: as[string](c.Table), Area: c.Area, Override: c.Override}
}

func rescheduleFrom(p *enginepb.Reschedule) *Reschedule {
	return &Reschedule{ID: ReservationID(p.Id), Want: whenFrom(p.Want), GuestsCount: narrow(p.GuestsCount),
		SpecialRequests: p.SpecialRequests, Table: as[TableID](p.Table), Area: p.Area, Override: p.Override}
}

func (c *AddReview) proto() *enginepb.AddReview {
	return &enginepb.AddReview{Id: string(c.ID), Reservation: string(c.Reservation), Rating: int64(c.Rating), Comment: c.Comment}
}

func addReviewFrom(p *enginepb.AddReview) *AddReview {
	return &AddReview{ID: ReviewID(p.Id), Reservation: ReservationID(p.Reservation), Rating: int(p.Rating), Comment: p.Comment}
}
