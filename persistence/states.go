package persistence

import (
	"maitred/engine"
	"maitred/engine/enginepb"
)

// Bounds of a page of States.
const (
	MaxStates    = 1_000  // aggregates
	MaxStateRows = 20_000 // reservations and reviews, but for one aggregate's
)

// StatesFilter bounds a page of States.
type StatesFilter struct {
	After           engine.AggregateID // of the page before; empty = first page
	Limit           int                // 1 to MaxStates; a page with many rows has fewer
	FromDay         int32              // only reservations of this service day or later, and no reviews; 0 = all
	RestaurantsOnly bool
}

// From and To are the ids of a page: From < id < To.
func (f *StatesFilter) From() string {
	if f.RestaurantsOnly {
		return max(string(f.After), restaurantsFrom)
	}
	return string(f.After)
}

// To is behind the last id.
func (f *StatesFilter) To() string {
	if f.RestaurantsOnly {
		return restaurantsTo
	}
	return "\x7f"
}

// What the ids of restaurants are between.
const restaurantsFrom, restaurantsTo = "rst_", "rst`"

// StoredReview is a review as AggregateState has it.
type StoredReview struct {
	*enginepb.ReviewAdded
	Order engine.Version // ascending within the restaurant: its version with the review, where the store knows it
	Guest string         // account; empty = not known, or erased
	AtMs  int64
}

// Proto is the row as a base has it.
func (r *ReservationRow) Proto() *enginepb.Reservation {
	v := &enginepb.Reservation{
		Id: string(r.ID), Guest: string(r.Guest), ServiceDay: r.ServiceDay, LocalMin: r.LocalMin, StartsAt: r.StartsAt.Unix(), EndsAt: r.EndsAt.Unix(),
		GuestsCount: r.GuestsCount, SpecialRequests: r.SpecialRequests, Status: r.Status, Version: uint64(r.Version), BufferMin: r.BufferMin, HoldUntilMs: r.HoldUntilMs,
	}
	for _, t := range r.Tables {
		v.TableIds = append(v.TableIds, string(t))
	}
	return v
}

// PutRules takes the protobuf of the rules; nil = they were never set.
func (a *AggregateState) PutRules(rules []byte) error {
	if rules == nil {
		return nil
	}
	a.Rules = new(enginepb.Rules)
	return a.Rules.UnmarshalVT(rules)
}

// PutAccount makes the state of an account of its row.
func (a *AggregateState) PutAccount(row *AccountRow) {
	a.Erased, a.ErasureCompleted = row.Erased != NotErased, row.Erased == ErasureCompleted
	if !a.Erased {
		a.Account = &enginepb.Account{Id: string(row.ID), Role: row.Role, CreatedMs: row.CreatedMs}
	}
}
