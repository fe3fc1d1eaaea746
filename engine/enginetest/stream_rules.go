package enginetest

import "maitred/engine"

// rules changes some of the rules, mostly to what can be.
func (s *Stream) rules() *engine.SetRules {
	c := &engine.RulesChange{}
	minutes := func(list ...int) *int { return new(list[s.src.IntN(len(list))]) }
	if s.one(4) {
		c.MinNoticeMin = minutes(0, 0, 45, 120, 60*1440, 1440)
	}
	if s.one(6) {
		c.HorizonDays = minutes(0, 0, 2, 30, 300)
	}
	if s.one(4) {
		c.BufferMin = minutes(0, 0, 5, 15, 60, 7)
	}
	if s.one(4) {
		c.NoShowMin = minutes(0, 5, 90)
	}
	if s.one(4) {
		c.PausedUntil = new(s.Now + engine.Instant(s.src.IntN(1_200_000)) - 300_000)
	}
	if s.one(3) {
		c.Pacing = &engine.Pacing{WindowMin: []int{0, 5, 30, 60, 45}[s.src.IntN(5)], Covers: s.src.IntN(3) * 8, Parties: s.src.IntN(3),
			OnlineCovers: s.src.IntN(2) * 6, OnlineParties: s.src.IntN(2)}
		c.Pacing.OnlineParties = min(c.Pacing.OnlineParties, c.Pacing.Parties)
	}
	if s.one(3) {
		c.TurnTimes = new(s.turnTimes())
	}
	if s.one(3) {
		c.SpecialDays = new(s.specialDays())
	}
	if s.one(3) {
		c.Approval = new(engine.Approval(s.src.IntN(3)))
		c.ApprovalFrom = new(0)
		if *c.Approval == engine.ApprovalLarge || s.one(10) {
			c.ApprovalFrom = new(s.src.IntN(6))
		}
	}
	if s.one(6) {
		c.HoldMin = minutes(0, 1, 30)
	}
	if s.one(6) {
		c.OfferMin = minutes(0, 1, 60)
	}
	if s.one(3) {
		c.Cancellation = &engine.Policy{FreeUntilMin: s.src.IntN(3) * 720, LateFee: s.src.IntN(2) * 1500, NoShowFee: s.src.IntN(2) * 3000, Currency: "EUR"}
		if s.one(5) {
			c.Cancellation.Currency = ""
		}
	}
	if s.one(2) {
		c.Combinations = new(s.combinations())
	}
	return &engine.SetRules{Change: *c}
}

func (s *Stream) turnTimes() (list []engine.TurnTime) {
	for range s.src.IntN(4) {
		t := engine.TurnTime{MinParty: 1 + s.src.IntN(6), Minutes: 15 + 5*s.src.IntN(40)}
		t.MaxParty = t.MinParty + s.src.IntN(3)
		if s.one(2) {
			t.Shift = []string{"Lunch", "Dinner", "Brunch"}[s.src.IntN(3)]
		}
		if s.one(3) {
			t.From = s.day + engine.Day(s.src.IntN(3))
			t.To = t.From + engine.Day(s.src.IntN(2))
		}
		list = append(list, t)
	}
	return list
}

func (s *Stream) combinations() (list []engine.Combination) {
	for range 1 + s.src.IntN(4) {
		c := engine.Combination{MinParty: 1 + s.src.IntN(6)}
		c.MaxParty = c.MinParty + s.src.IntN(6)
		for range 2 + s.src.IntN(2) {
			c.Tables = append(c.Tables, s.table())
		}
		list = append(list, c)
	}
	return list
}

func (s *Stream) specialDays() (list []engine.SpecialDay) {
	for range s.src.IntN(3) {
		d := engine.SpecialDay{Day: s.day + engine.Day(s.src.IntN(4)), Note: "festa"}
		for range s.src.IntN(3) {
			open := s.src.IntN(20) * 60
			d.Shifts = append(d.Shifts, engine.OpeningHours{Open: open, LastSeating: open + s.src.IntN(40)*5, Close: open + 300, Name: "Brunch"})
		}
		list = append(list, d)
	}
	return list
}

// holder is whose the last hold is.
func (s *Stream) holder() engine.Caller {
	for _, g := range s.guests {
		if g.Account == s.held.Guest {
			return g
		}
	}
	return s.Owner
}

func (s *Stream) hold() *engine.Hold {
	c := &engine.Hold{ID: engine.MakeReservationID(s.ID, s.next()), Want: s.when(), GuestsCount: s.party()}
	if s.one(4) {
		c.Replaces = s.reservation()
	}
	if s.one(6) {
		c.Table = s.table()
	}
	if s.one(6) {
		c.Area = s.area()
	}
	return c
}

func (s *Stream) confirmHold() *engine.ConfirmHold {
	c := &engine.ConfirmHold{ID: s.reservation()}
	if s.one(3) {
		c.SpecialRequests = new("a quiet corner")
	}
	return c
}

func (s *Stream) join() *engine.JoinWaitlist {
	c := &engine.JoinWaitlist{ID: engine.MakeReservationID(s.ID, s.next()), Want: s.when(), GuestsCount: s.party()}
	if s.one(4) {
		c.Want = engine.When{}
	}
	if s.taken != nil && s.one(2) { // where there is somebody already
		c.Want = engine.When{HasLocal: true, Day: s.taken.Day, LocalMin: s.taken.LocalMin}
	}
	if s.one(2) && c.Want.HasLocal {
		c.Until = c.Want
		c.Until.LocalMin += (s.src.IntN(14) - 1) * 60
	}
	if s.one(5) {
		c.Area = s.area()
	}
	return c
}

func (s *Stream) walkIn() *engine.SeatWalkIn {
	c := &engine.SeatWalkIn{ID: engine.MakeReservationID(s.ID, s.next()), GuestsCount: s.party()}
	if s.one(4) {
		c.Table = s.table()
	}
	if s.one(5) {
		c.Area = s.area()
	}
	return c
}
