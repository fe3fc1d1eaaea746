package main

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/actors"
	"maitred/engine"
	"maitred/persistence"
)

// edgeWaits is for how long DELETE /me waits for the answer.
const edgeWaits = 2 * time.Second

func (s *site) owns(account byte, within time.Duration) bool {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), within)
	defer cancel()
	owns, err := s.ownsRestaurant(ctx, engine.MakeAccountID([16]byte{account}))
	require.NoError(s.t, err)
	return owns
}

// On a quiet node the store's cursor waits for company: who asks about an owner does not.
func TestAQuietNodeSaysWhoOwns(t *testing.T) {
	s := openSite(t, t.TempDir())
	s.trattoria(0, 1)
	for range 3 {
		require.True(t, s.owns(1, edgeWaits))
		require.False(t, s.owns(2, edgeWaits))
		beat := s.house.Status().Last // two heartbeats on
		require.Eventually(t, func() bool { return s.house.Status().Last >= beat+2 }, 30*time.Second, 10*time.Millisecond)
	}
}

// What another node has just made durable counts, although this one has not met it yet.
func TestWhoOwnsIsAskedOfAllNodes(t *testing.T) {
	s := openSite(t, t.TempDir())
	journal := s.embedded.Journal()
	id := engine.MakeRestaurantID(7)
	p := persistence.PartitionOf(engine.AggregateID(id), len(s.house.Owners()))
	require.NoError(t, s.house.Release(t.Context(), p, "n2"))
	n2, err := actors.Open(t.Context(), actors.Config{
		Node: "n2", Shared: true, Journal: journal, Bases: persistence.SealBases(s.embedded.Bases(), s.seal), Seal: s.seal, Feed: persistence.NewFeed(journal, 1<<20),
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, n2.Close()) }()
	require.Eventually(t, func() bool { return persistence.Seq(s.stored.Load()) >= s.house.Status().Last }, 30*time.Second, time.Millisecond)
	out, err := n2.Do(engine.AggregateID(id), &engine.Command{
		Caller: engine.Caller{Account: engine.MakeAccountID([16]byte{9}), Role: engine.RoleOwner},
		Body: &engine.CreateRestaurant{ID: id, Details: engine.Details{Name: "Osteria", TimeZone: "UTC",
			OpeningHours: []engine.OpeningHours{{Days: 127, Open: 0, Close: 1440, LastSeating: 1300}}}},
	}, time.Now().Add(5*time.Second))
	require.NoError(t, err)
	require.Equal(t, engine.CodeCreated, out.Code)
	require.True(t, s.owns(9, 30*time.Second))
}
