package persistence

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const patienceEvery = 200 * time.Millisecond

// Patiently calls fn again while it ends with ErrUnknown: the journal has nobody to answer now, and needs an election or its other nodes. It
// gives up after within, or when ctx ends, with the last error.
func Patiently(ctx context.Context, within time.Duration, fn func() error) error {
	end := time.NewTimer(within)
	defer end.Stop()
	for {
		err := fn()
		if !errors.Is(err, ErrUnknown) {
			return err
		}
		select {
		case <-time.After(patienceEvery):
		case <-end.C:
			return fmt.Errorf("for %v: %w", within, err)
		case <-ctx.Done():
			return err
		}
	}
}
