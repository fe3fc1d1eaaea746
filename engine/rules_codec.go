package engine

import "maitred/engine/enginepb"

func (r *Rules) proto() *enginepb.Rules {
	p := &enginepb.Rules{Version: uint64(r.Version), MinNoticeMin: int64(r.MinNoticeMin), HorizonDays: int64(r.HorizonDays),
		BufferMin: int64(r.BufferMin), NoShowMin: int64(r.NoShowMin), PausedUntilMs: int64(r.PausedUntil),
		TurnTimes: turnsProto(r.TurnTimes), SpecialDays: specialProto(r.SpecialDays),
		Combinations: combinationsProto(r.Combinations), Approval: r.Approval, ApprovalFrom: int64(r.ApprovalFrom), HoldMin: int64(r.HoldMin), OfferMin: int64(r.OfferMin), Cancellation: r.Cancellation.proto()}
	if r.Pacing != (Pacing{}) {
		p.Pacing = r.Pacing.proto()
	}
	return p
}

func rulesFrom(p *enginepb.Rules) *Rules {
	assert(p != nil, "I5: rules without content")
	r := &Rules{Version: Version(p.Version), MinNoticeMin: int(p.MinNoticeMin), HorizonDays: int(p.HorizonDays), BufferMin: int(p.BufferMin),
		NoShowMin: int(p.NoShowMin), PausedUntil: Instant(p.PausedUntilMs), TurnTimes: turnsFrom(p.TurnTimes), SpecialDays: specialFrom(p.SpecialDays),
		Combinations: combinationsFrom(p.Combinations), Approval: p.Approval, ApprovalFrom: int(p.ApprovalFrom), HoldMin: int(p.HoldMin), OfferMin: int(p.OfferMin)}
	set(&r.Pacing, pacingFrom(p.Pacing))
	set(&r.Cancellation, policyFrom(p.Cancellation))
	return r
}

func (p *Pacing) proto() *enginepb.Pacing {
	if p == nil {
		return nil
	}
	return &enginepb.Pacing{WindowMin: int64(p.WindowMin), Covers: int64(p.Covers), Parties: int64(p.Parties),
		OnlineCovers: int64(p.OnlineCovers), OnlineParties: int64(p.OnlineParties)}
}

func pacingFrom(p *enginepb.Pacing) *Pacing {
	if p == nil {
		return nil
	}
	return &Pacing{int(p.WindowMin), int(p.Covers), int(p.Parties), int(p.OnlineCovers), int(p.OnlineParties)}
}

func turnsProto(list []TurnTime) []*enginepb.TurnTime {
	out := make([]*enginepb.TurnTime, len(list))
	for i, t := range list {
		out[i] = &enginepb.TurnTime{MinParty: int64(t.MinParty), MaxParty: int64(t.MaxParty), Minutes: int64(t.Minutes), Shift: t.Shift,
			FromDay: int64(t.From), ToDay: int64(t.To)}
	}
	return out
}

func turnsFrom(list []*enginepb.TurnTime) []TurnTime {
	if len(list) == 0 {
		return nil
	}
	out := make([]TurnTime, len(list))
	for i, t := range list {
		out[i] = TurnTime{int(t.MinParty), int(t.MaxParty), int(t.Minutes), t.Shift, Day(t.FromDay), Day(t.ToDay)}
	}
	return out
}

func specialProto(list []SpecialDay) []*enginepb.SpecialDay {
	out := make([]*enginepb.SpecialDay, len(list))
	for i, d := range list {
		out[i] = &enginepb.SpecialDay{Day: int64(d.Day), Shifts: shiftsProto(d.Shifts), Note: d.Note}
	}
	return out
}

func specialFrom(list []*enginepb.SpecialDay) []SpecialDay {
	if len(list) == 0 {
		return nil
	}
	out := make([]SpecialDay, len(list))
	for i, d := range list {
		out[i] = SpecialDay{Day(d.Day), shiftsFrom(d.Shifts), d.Note}
	}
	return out
}

func combinationsProto(list []Combination) []*enginepb.Combination {
	out := make([]*enginepb.Combination, len(list))
	for i, c := range list {
		out[i] = &enginepb.Combination{TableIds: tableStrings(c.Tables), MinParty: int64(c.MinParty), MaxParty: int64(c.MaxParty)}
	}
	return out
}

func combinationsFrom(list []*enginepb.Combination) []Combination {
	if len(list) == 0 {
		return nil
	}
	out := make([]Combination, len(list))
	for i, c := range list {
		out[i] = Combination{tableIDs(c.TableIds), int(c.MinParty), int(c.MaxParty)}
	}
	return out
}

func (c *SetRules) proto() *enginepb.SetRules {
	r := &c.Change
	p := &enginepb.SetRules{MinNoticeMin: wide(r.MinNoticeMin), HorizonDays: wide(r.HorizonDays), BufferMin: wide(r.BufferMin),
		NoShowMin: wide(r.NoShowMin), Pacing: r.Pacing.proto(), Approval: r.Approval, ApprovalFrom: wide(r.ApprovalFrom),
		HoldMin: wide(r.HoldMin), OfferMin: wide(r.OfferMin), Cancellation: r.Cancellation.whole()}
	if r.PausedUntil != nil {
		p.PausedUntilMs = new(int64(*r.PausedUntil))
	}
	if r.TurnTimes != nil {
		p.TurnTimes = &enginepb.TurnTimes{TurnTimes: turnsProto(*r.TurnTimes)}
	}
	if r.SpecialDays != nil {
		p.SpecialDays = &enginepb.SpecialDays{SpecialDays: specialProto(*r.SpecialDays)}
	}
	if r.Combinations != nil {
		p.Combinations = &enginepb.Combinations{Combinations: combinationsProto(*r.Combinations)}
	}
	return p
}

func setRulesFrom(p *enginepb.SetRules) *SetRules {
	c := &SetRules{Change: RulesChange{MinNoticeMin: narrow(p.MinNoticeMin), HorizonDays: narrow(p.HorizonDays), BufferMin: narrow(p.BufferMin),
		NoShowMin: narrow(p.NoShowMin), Pacing: pacingFrom(p.Pacing), Approval: p.Approval, ApprovalFrom: narrow(p.ApprovalFrom),
		HoldMin: narrow(p.HoldMin), OfferMin: narrow(p.OfferMin), Cancellation: policyFrom(p.Cancellation)}}
	if p.PausedUntilMs != nil {
		c.Change.PausedUntil = new(Instant(*p.PausedUntilMs))
	}
	if p.TurnTimes != nil {
		c.Change.TurnTimes = new(turnsFrom(p.TurnTimes.TurnTimes))
	}
	if p.SpecialDays != nil {
		c.Change.SpecialDays = new(specialFrom(p.SpecialDays.SpecialDays))
	}
	if p.Combinations != nil {
		c.Change.Combinations = new(combinationsFrom(p.Combinations.Combinations))
	}
	return c
}
