package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"maitred/engine"
)

const (
	selectErasing       = "SELECT id FROM users WHERE erased = 1 ORDER BY id LIMIT $1"
	selectRestaurantsOf = `SELECT restaurant_id FROM reservations WHERE user_id = $1 UNION SELECT restaurant_id FROM staff WHERE user_id = $1
 ORDER BY 1 LIMIT $2`
	selectOwns = "SELECT EXISTS (SELECT 1 FROM restaurants WHERE owner_id = $1)"
)

// PendingErasures implements persistence.Store.
func (s *Store) PendingErasures(ctx context.Context, limit int) ([]engine.AccountID, error) {
	ids, err := column[engine.AccountID](ctx, s.read, selectErasing, min(max(limit, 1), maxHistory))
	if err != nil {
		return nil, fmt.Errorf("postgres: list erasures: %w", err)
	}
	return ids, nil
}

// RestaurantsOf implements persistence.Store.
func (s *Store) RestaurantsOf(ctx context.Context, guest engine.AccountID, limit int) ([]engine.RestaurantID, error) {
	ids, err := column[engine.RestaurantID](ctx, s.read, selectRestaurantsOf, string(guest), min(max(limit, 1), maxHistory))
	if err != nil {
		return nil, fmt.Errorf("postgres: list the restaurants of a guest: %w", err)
	}
	return ids, nil
}

// OwnsRestaurant implements persistence.Store.
func (s *Store) OwnsRestaurant(ctx context.Context, account engine.AccountID) (owns bool, err error) {
	if err = s.read.QueryRow(ctx, selectOwns, string(account)).Scan(&owns); err != nil {
		return false, fmt.Errorf("postgres: look for restaurants of an owner: %w", err)
	}
	return owns, nil
}

// column reads a query's only column.
func column[T ~string](ctx context.Context, q querier, query string, args ...any) ([]T, error) {
	rows, err := q.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[T])
}
