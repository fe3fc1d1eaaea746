package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"maitred/engine"
)

// A house moves from SQLite to PostgreSQL and back: nothing is missing, nothing is wiped out unasked, and it goes on from there.
func TestStoreCopy(t *testing.T) {
	pg, data := openPostgres(t), t.TempDir()
	s := openSite(t, data)
	guest := s.token(2, engine.RoleCustomer)
	restaurant := s.trattoria(1, 3)
	var mine []kept
	for i, slot := range []string{"12:00", "14:00", "16:00", "18:00"} {
		got, k := s.reserve(guest, restaurant, fmt.Sprint(i), slot)
		require.Equal(t, 201, got.status, "%s", got.body)
		mine = append(mine, k)
	}
	s.follow()
	there := StoreCopyCmd{Data: data, From: "sqlite", To: "postgres", StoreURL: pg.DSN}
	require.ErrorContains(t, there.run(t.Context(), io.Discard, io.Discard), "in use", "the node runs")
	require.NoError(t, s.Close())
	before := dump(t, data)

	same := there
	same.To = "sqlite"
	require.ErrorContains(t, same.run(t.Context(), io.Discard, io.Discard), "the same")
	empty := StoreCopyCmd{Data: data, From: "postgres", To: "sqlite", StoreURL: pg.DSN, Replace: true}
	require.ErrorContains(t, empty.run(t.Context(), io.Discard, io.Discard), "nothing to copy", "the wrong way round")
	require.Equal(t, before, dump(t, data))

	cut, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, there.run(cut, io.Discard, io.Discard), context.Canceled)
	var said bytes.Buffer
	require.NoError(t, there.run(t.Context(), &said, io.Discard))
	require.Contains(t, said.String(), "reservation           4")
	require.Contains(t, said.String(), "the copy is equal")
	require.Equal(t, before, rowsIn(t, pg.DSN))
	require.ErrorContains(t, there.run(t.Context(), io.Discard, io.Discard), "--replace")

	s = openSite(t, data, func(c *Config) { c.StoreURL = pg.DSN })
	got, k := s.reserve(guest, restaurant, "later", "20:00")
	require.Equal(t, 201, got.status, "%s", got.body)
	s.follow()
	s.requireMine(guest, append(mine, k)...)
	require.NoError(t, s.Close())

	back := StoreCopyCmd{Data: data, From: "postgres", To: "sqlite", StoreURL: pg.DSN, Replace: true}
	require.NoError(t, back.run(t.Context(), io.Discard, io.Discard))
	require.Equal(t, rowsIn(t, pg.DSN), dump(t, data))
}
