package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"maitred/actors"
	"maitred/engine"
)

// The eraser brings erasures to their end: it asks the store which accounts are erased and where they have reservations, tells
// those restaurants to forget the guest, and completes the account when the store shows none any more. All its state is in the
// journal, so it goes on after a kill wherever it was, and doing a step twice does no harm.
const (
	eraseEvery   = time.Minute
	eraseRetry   = time.Second                                     // after a round that left something to do
	eraseBatch   = 10_000                                          // accounts, and restaurants of one, in a round
	eraseTimeout = 10 * time.Second                                // of one command or question
	maxForgets   = engine.MaxReservations/(engine.MaxEvents-1) + 2 // commands until a restaurant has nothing more to cancel
)

type erasures interface {
	PendingErasures(ctx context.Context, limit int) ([]engine.AccountID, error)
	RestaurantsOf(ctx context.Context, guest engine.AccountID, limit int) ([]engine.RestaurantID, error)
}

type eraserHouse interface {
	Do(id engine.AggregateID, cmd *engine.Command, deadline time.Time) (engine.Outcome, error)
	View(id engine.AggregateID, deadline time.Time) (*actors.View, error)
}

// eraser is one goroutine from start to Close.
type eraser struct {
	store erasures
	house eraserHouse
	shown func(context.Context) (bool, error) // the store shows what any node had made durable when it was asked
	now   func() time.Time
	log   *slog.Logger
	grace time.Duration // from the erasure until it can be complete (edge.EraseGrace)
	leads func() bool   // one node of several does it; nil = this one

	wake chan struct{}
	stop context.CancelFunc
	done chan struct{}
}

func newEraser(store erasures, house eraserHouse, shown func(context.Context) (bool, error), now func() time.Time, log *slog.Logger, grace time.Duration) *eraser {
	return &eraser{store: store, house: house, shown: shown, now: now, log: log, grace: grace, wake: make(chan struct{}, 1)}
}

func (e *eraser) start() {
	var ctx context.Context
	ctx, e.stop = context.WithCancel(context.Background())
	e.done = make(chan struct{})
	go e.run(ctx)
}

// signal says that an account was erased. It never waits.
func (e *eraser) signal() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// Close ends the goroutine, after the command that it is about.
func (e *eraser) Close() error {
	e.stop()
	<-e.done
	return nil
}

func (e *eraser) run(ctx context.Context) {
	defer close(e.done)
	e.awaitStore(ctx)
	for {
		left, err := e.turn(ctx)
		if ctx.Err() != nil {
			return
		}
		pause := min(eraseEvery, max(e.grace, eraseRetry/10))
		if err != nil {
			e.log.Warn("erasures wait", "error", err)
		} else if left {
			pause = eraseRetry
		}
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-e.wake:
		case <-t.C:
		}
		t.Stop()
		e.awaitStore(ctx)
	}
}

// turn is a round, if this node is the one that does it.
func (e *eraser) turn(ctx context.Context) (left bool, err error) {
	if e.leads != nil && !e.leads() {
		return false, nil
	}
	return e.round(ctx)
}

// awaitStore gives the store a moment to show what has just become durable; the next round looks again in any case.
func (e *eraser) awaitStore(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, eraseRetry)
	defer cancel()
	for {
		if shown, err := e.shown(ctx); shown || err != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// round does a step for each erasure under way; left says that there is more to do without waiting for the grace.
func (e *eraser) round(ctx context.Context) (left bool, err error) {
	shown, err := e.shown(ctx)
	if err != nil {
		return false, err
	}
	accounts, err := e.store.PendingErasures(ctx, eraseBatch)
	if err != nil {
		return false, err
	}
	var errs []error
	for _, a := range accounts {
		if ctx.Err() != nil {
			return true, ctx.Err()
		}
		more, err := e.step(ctx, a)
		left = left || more
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", a, err))
		}
	}
	return left || !shown || len(accounts) == eraseBatch, errors.Join(errs...)
}

// step makes restaurants forget the guest, or completes the erasure when none is left. That is decided on what the store shows
// at a position of after the grace, so that no reservation is missed.
func (e *eraser) step(ctx context.Context, account engine.AccountID) (more bool, err error) {
	view, err := e.house.View(engine.AggregateID(account), e.now().Add(eraseTimeout))
	if err != nil {
		return false, err
	}
	picture, ok := view.View.(*engine.AccountView)
	if !ok {
		return false, fmt.Errorf("a view of an account is %T", view.View)
	}
	at, pending := picture.Erasure()
	if !pending {
		return false, nil // the store does not know it yet
	}
	ripe := e.now().UnixMilli() >= int64(at)+e.grace.Milliseconds()
	shown, err := e.shown(ctx)
	if err != nil {
		return false, err
	}
	restaurants, err := e.store.RestaurantsOf(ctx, account, eraseBatch)
	if err != nil {
		return false, err
	}
	for _, r := range restaurants {
		if err := e.forget(ctx, r, account); err != nil {
			return false, fmt.Errorf("%s: %w", r, err)
		}
	}
	if len(restaurants) > 0 || ripe && !shown {
		return true, nil
	}
	if !ripe {
		return false, nil
	}
	_, err = e.command(engine.AggregateID(account), &engine.CompleteErasure{})
	return false, err
}

// forget sends ForgetGuest until there is nothing more to cancel.
func (e *eraser) forget(ctx context.Context, r engine.RestaurantID, guest engine.AccountID) error {
	for range maxForgets {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if done, err := e.command(engine.AggregateID(r), &engine.ForgetGuest{Guest: guest}); done || err != nil {
			return err
		}
	}
	return errors.New("the restaurant always has more to cancel")
}

// command sends a command of the system; done is false when there is more to do.
func (e *eraser) command(id engine.AggregateID, body engine.Body) (done bool, err error) {
	out, err := e.house.Do(id, &engine.Command{Caller: engine.Caller{Role: engine.RoleSystem}, Body: body}, e.now().Add(eraseTimeout))
	if err != nil {
		return false, err
	}
	if out.Code != engine.CodeOK {
		return false, fmt.Errorf("%T is answered %v", body, out.Code)
	}
	return !out.More, nil
}
