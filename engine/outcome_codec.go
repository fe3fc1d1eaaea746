package engine

import (
	"errors"
	"fmt"
	"slices"

	"maitred/engine/enginepb"
)

// ErrOutcome is what DecodeOutcome wraps: the bytes are no answer that this build can give.
var ErrOutcome = errors.New("engine: not an outcome")

// AppendOutcome appends the answer's protobuf encoding. Equal answers give equal bytes.
func AppendOutcome(dst []byte, o *Outcome) []byte {
	p := &enginepb.Outcome{Code: uint32(o.Code), Field: o.Field, Replayed: o.Replayed, More: o.More,
		Review: string(o.Review), Family: o.Family, Version: uint64(o.Version), Waits: o.Waits}
	if o.Reservation != nil {
		p.Reservation = o.Reservation.proto()
	}
	if o.Table != nil {
		p.Table = o.Table.proto()
	}
	if r := o.Restaurant; r != nil {
		p.Restaurant, p.RestaurantVersion = r.proto(), uint64(r.Version)
		p.RatingSum, p.RatingCount = r.Ratings.Sum, r.Ratings.Count
	}
	if o.Member != nil {
		p.Member = o.Member.proto()
	}
	if o.Rules != nil {
		p.Rules = o.Rules.proto()
	}
	if o.Account != nil {
		p.Account = o.Account.proto()
	}
	if o.APIKey != nil {
		p.ApiKey = o.APIKey.proto()
	}
	for _, a := range o.Alternatives {
		p.Alternatives = append(p.Alternatives, &enginepb.Alternative{Day: int32(a.Day), LocalMin: int32(a.LocalMin), StartsAt: a.StartsAt})
	}
	for i := range o.Conflicts {
		p.Conflicts = append(p.Conflicts, o.Conflicts[i].proto())
	}
	return appendMessage(dst, p)
}

// DecodeOutcome reads what AppendOutcome wrote; what a newer build says beyond that is passed over. The outcome keeps no
// reference to b.
func DecodeOutcome(b []byte) (*Outcome, error) {
	p := new(enginepb.Outcome)
	if err := p.UnmarshalVT(b); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOutcome, err)
	}
	if fault := outcomeFault(p); fault != "" {
		return nil, fmt.Errorf("%w: %s", ErrOutcome, fault)
	}
	o := &Outcome{Code: Code(p.Code), Field: p.Field, Replayed: p.Replayed, More: p.More, Review: ReviewID(p.Review), Family: p.Family,
		Version: Version(p.Version), Waits: p.Waits}
	if p.Reservation != nil {
		o.Reservation = reservationFrom(p.Reservation)
	}
	if p.Table != nil {
		o.Table = tableFrom(p.Table)
	}
	if p.Restaurant != nil {
		o.Restaurant = restaurantFrom(p.Restaurant, Version(p.RestaurantVersion))
		o.Restaurant.Ratings = Ratings{p.RatingSum, p.RatingCount}
	}
	if p.Member != nil {
		o.Member = memberFrom(p.Member)
	}
	if p.Rules != nil {
		o.Rules = rulesFrom(p.Rules)
	}
	if p.Account != nil {
		o.Account = accountFrom(p.Account)
	}
	if p.ApiKey != nil {
		o.APIKey = new(keyFrom(p.ApiKey))
	}
	for _, a := range p.Alternatives {
		o.Alternatives = append(o.Alternatives, Alternative{Day(a.Day), int(a.LocalMin), a.StartsAt})
	}
	for _, c := range p.Conflicts {
		o.Conflicts = append(o.Conflicts, obstacleFrom(c))
	}
	return o, nil
}

// outcomeFault says why an answer cannot be passed on; "" when it can.
func outcomeFault(p *enginepb.Outcome) string {
	whole := func(hash []byte) bool { return len(hash) == 0 || len(hash) == len(Hash{}) }
	switch r, k := p.Reservation, p.ApiKey; {
	case p.Code >= uint32(codeEnd):
		return fmt.Sprintf("this build does not know code %d", p.Code)
	case r != nil && StatusName(r.Status) == "":
		return fmt.Sprintf("this build does not know status %d", r.Status)
	case slices.ContainsFunc(p.Conflicts, func(o *enginepb.Obstacle) bool { return o.Reason >= uint32(len(reasonNames)) }):
		return "this build does not know why a table is not free"
	case r != nil && !(whole(r.Key) && whole(r.Body)), k != nil && len(k.Hash) != len(Hash32{}):
		return "a broken hash"
	}
	return ""
}
