package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"maitred/engine"
	"maitred/engine/enginepb"
	"maitred/persistence"
)

var (
	_ persistence.Rebuildable = (*Store)(nil)
	_ persistence.Dumper      = (*Store)(nil)
)

var errLoaded = errors.New("postgres: the aggregate is in the store already")

// Reset implements persistence.Rebuildable.
func (s *Store) Reset(ctx context.Context) error {
	err := s.transact(ctx, func(t *tx) error {
		clear(t.known)
		clear(t.parked) // or what was parked would be passed over while the store is filled
		t.metrics.parked.Set(0)
		_, err := t.Exec(ctx, "TRUNCATE parked, events, reviews, reservation_tables, reservations, staff, tables, terms, restaurants, users, heads")
		if err != nil {
			return err
		}
		_, err = t.Exec(ctx, "UPDATE cursors SET journal = '', seq = 0, as_of = 'epoch' WHERE sink = 'store'")
		return err
	})
	if err != nil {
		return fmt.Errorf("postgres: reset: %w", err)
	}
	return nil
}

// Load implements persistence.Rebuildable.
func (s *Store) Load(ctx context.Context, states []persistence.AggregateState) error {
	err := s.transact(ctx, func(t *tx) error {
		var these []persistence.Committed
		for i := range states {
			these = append(these, persistence.Committed{Aggregate: states[i].ID})
		}
		if err := t.heads(these); err != nil {
			return err
		}
		for i := range states {
			a := &states[i]
			if t.head(a.ID) != 0 {
				return fmt.Errorf("%s: %w", a.ID, errLoaded)
			}
			t.moved[a.ID] = a.Version
			t.rows.put(a)
		}
		if err := t.rows.save(ctx, t.Tx); err != nil {
			return err
		}
		if t.witness { // what another store says twice is said twice here too
			if err := t.parkConflicts(t.Tx); err != nil {
				return err
			}
		}
		return t.saveHeads()
	})
	if err != nil {
		return fmt.Errorf("postgres: load: %w", err)
	}
	return nil
}

// put takes the state of an aggregate.
func (w *rows) put(a *persistence.AggregateState) {
	id := string(a.ID)
	switch {
	case a.ErasureCompleted:
		w.users[id] = &user{erased: persistence.ErasureCompleted}
	case a.Erased:
		w.users[id] = &user{erased: persistence.ErasurePending}
	case a.Account != nil:
		w.registered(id, a.Account)
	}
	if a.Restaurant == nil {
		return
	}
	w.restaurants[id] = &restaurant{details: a.Restaurant, made: true, version: int64(a.RestaurantVersion), ratings: a.Ratings, rules: a.Rules}
	w.mention(a.Restaurant.GetOwner())
	for _, m := range a.Staff {
		w.staff[staffKey{id, m.GetAccount()}] = m
		w.mention(m.GetAccount())
	}
	for _, pb := range a.Reservations {
		w.create(id, pb)
		for _, t := range pb.GetTableIds() { // it may have been removed since
			w.tables[t] = &table{restaurant: id, details: &enginepb.Table{}, removed: true}
		}
	}
	for _, v := range a.Reviews {
		w.reviews[v.GetReservation()] = &review{ReviewAdded: v.ReviewAdded, restaurant: id, version: v.Order, user: orNil(v.Guest),
			comment: orNil(v.GetComment()), at: time.UnixMilli(v.AtMs)}
		if v.Guest != "" {
			w.mention(v.Guest)
		}
	}
	for _, pb := range a.Tables {
		w.tables[pb.GetId()] = &table{restaurant: id, details: pb}
	}
}

// Heads implements persistence.Store.
func (s *Store) Heads(ctx context.Context, fn func(engine.AggregateID, engine.Version) error) error {
	if err := heads(ctx, s.read, fn); err != nil {
		return fmt.Errorf("postgres: read the heads: %w", err)
	}
	return nil
}
