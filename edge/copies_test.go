package edge

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/actors"
	"maitred/engine"
	"maitred/persistence"
)

// shelf is a copy that is as old as it says.
type shelf struct {
	copy  persistence.Availability
	err   error
	asked int
}

func (s *shelf) Availability(_ context.Context, _ engine.Instant, _ engine.RestaurantID, _ engine.Day, _ int, notBefore time.Time) (persistence.Availability, error) {
	s.asked++
	if s.err == nil && s.copy.AsOf.Before(notBefore) {
		return persistence.Availability{}, errors.New("stale")
	}
	return s.copy, s.err
}

// DESIGN §6: the copy answers only who takes an old answer, or when the owner does not answer; and it says how old it is.
func TestCopiesAnswerOnlyWhereTheyMay(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	day, ok := engine.ParseDate("2026-12-24")
	require.True(t, ok)
	copyOf := persistence.Availability{TimeZone: "Europe/Rome", AsOf: now.Add(-30 * time.Second),
		Starts: []engine.Start{{Day: day, LocalMin: 19 * 60, StartsAt: 1798135200, Free: 3}}}
	house := openHouse(t)
	for _, c := range []struct {
		name, cacheControl string
		shelf              *shelf
		owner              error // nil: it answers that there is no such restaurant
		status, asked      int
	}{
		{"nobody asked for an old one", "", &shelf{copy: copyOf}, nil, 404, 0},
		{"any age", "max-stale", &shelf{copy: copyOf}, nil, 200, 1},
		{"among others, however it is written", "no-transform , Max-Stale=60", &shelf{copy: copyOf}, nil, 200, 1},
		{"too old", "max-stale=29", &shelf{copy: copyOf}, nil, 404, 1},
		{"just not too old", "max-stale=31", &shelf{copy: copyOf}, nil, 200, 1},
		{"the copy is away", "max-stale", &shelf{err: errors.New("away")}, nil, 404, 1},
		{"unreadable", "max-stale=soon", &shelf{copy: copyOf}, nil, 404, 0},
		{"negative", "max-stale=-1", &shelf{copy: copyOf}, nil, 404, 0},
		{"the owner is away", "", &shelf{copy: copyOf}, actors.ErrUnavailable, 200, 1},
		{"the owner is late", "", &shelf{copy: copyOf}, actors.ErrExpired, 200, 1},
		{"the owner and the copy are away", "", &shelf{err: errors.New("away")}, actors.ErrUnavailable, 503, 1},
		{"the owner's state is not trusted", "", &shelf{copy: copyOf}, actors.ErrQuarantined, 200, 1},
		{"a fault of ours is shown", "", &shelf{copy: copyOf}, actors.ErrPanicked, 500, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &script{view: func(id engine.AggregateID) (*actors.View, error) {
				if c.owner != nil {
					return nil, c.owner
				}
				return house.View(id, time.Now().Add(time.Second))
			}}
			s := listen(t, h, func(cfg *Config) { cfg.Copies, cfg.Now = c.shelf, func() time.Time { return now } })
			a := s.ask("GET", "/api/v1/restaurants/"+string(engine.MakeRestaurantID(7))+"/availability?date=2026-12-24&guests_count=2", "", "", "Cache-Control", c.cacheControl)
			require.Equal(t, c.status, a.StatusCode, a.text)
			require.Equal(t, c.asked, c.shelf.asked)
			if c.status == http.StatusOK {
				require.Equal(t, copyOf.AsOf.UTC().Format(time.RFC3339), a.doc["as_of"])
				require.Len(t, a.doc["slots"], 1)
			}
		})
	}
}
