package engine

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A full restaurant, each guest with a wish of usual length, must fit into what persistence takes as one base
// (persistence.MaxBaseBytes, 32 MiB); the rooms cannot import each other, so the figure stands here as well.
func TestBaseOfAFullRestaurantFits(t *testing.T) {
	const maxBase = 32<<20 - 4096
	r := Reservation{
		ID: MakeReservationID(MakeRestaurantID(1), 1), Guest: MakeAccountID([16]byte{1}), Tables: []TableID{MakeTableID(MakeRestaurantID(1), 1)},
		Day: 20_780, LocalMin: 1200, StartsAt: 1_795_000_000, EndsAt: 1_795_005_400, GuestsCount: 4, Status: StatusConfirmed, Version: 3,
		SpecialRequests: strings.Repeat("x", 60), Key: Hash{1}, Payload: Hash{2}, Created: 1_795_000_000_000, Updated: 1_795_000_000_000,
	}
	size := r.proto().SizeVT() + 4
	t.Logf("%d bytes a reservation, %d MiB for %d", size, size*MaxReservations>>20, MaxReservations)
	require.LessOrEqual(t, size*MaxReservations+MaxReceipts*80+MaxTables*200, maxBase)
}
