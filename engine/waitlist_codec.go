package engine

import "maitred/engine/enginepb"

// waitlistProto is bodyProto of commands of the waitlist.
func waitlistProto(b Body) enginepb.CommandBody {
	if o, offers := b.(*OfferTable); offers {
		return &enginepb.Command_OfferTable{OfferTable: &enginepb.OfferTable{Id: string(o.ID)}}
	}
	return &enginepb.Command_JoinWaitlist{JoinWaitlist: b.(*JoinWaitlist).proto()}
}

func waitlistFrom(p enginepb.CommandBody) Body {
	if o, offers := p.(*enginepb.Command_OfferTable); offers {
		return &OfferTable{ReservationID(o.OfferTable.Id)}
	}
	return joinWaitlistFrom(p.(*enginepb.Command_JoinWaitlist).JoinWaitlist)
}

func (c *JoinWaitlist) proto() *enginepb.JoinWaitlist {
	p := &enginepb.JoinWaitlist{Id: string(c.ID), GuestsCount: int64(c.GuestsCount), SpecialRequests: c.SpecialRequests,
		Area: c.Area, Contact: c.Contact.proto()}
	if c.Want != (When{}) {
		p.Want = c.Want.proto()
	}
	if c.Until != (When{}) {
		p.Until = c.Until.proto()
	}
	return p
}

func joinWaitlistFrom(p *enginepb.JoinWaitlist) *JoinWaitlist {
	c := &JoinWaitlist{ID: ReservationID(p.Id), GuestsCount: int(p.GuestsCount), SpecialRequests: p.SpecialRequests,
		Area: p.Area, Contact: contactFrom(p.Contact)}
	set(&c.Want, whenFrom(p.Want))
	set(&c.Until, whenFrom(p.Until))
	return c
}

func waitingFrom(p *enginepb.Waiting) *Waiting {
	if p == nil {
		return nil
	}
	w := &Waiting{Since: Instant(p.SinceMs), Until: p.Until, QuotedMin: int(p.QuotedMin)}
	if p.Unquoted {
		w.QuotedMin = -1
	}
	return w
}

func (w *Waiting) proto() *enginepb.Waiting {
	if w == nil {
		return nil
	}
	return &enginepb.Waiting{SinceMs: int64(w.Since), Until: w.Until, QuotedMin: int64(max(w.QuotedMin, 0)), Unquoted: w.QuotedMin < 0}
}
