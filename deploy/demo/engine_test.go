package demo

import (
	"testing"

	"github.com/stretchr/testify/require"

	"maitred/engine"
)

// What the demo opens is what the engine takes: hours of a map are written by people.
func TestTheEngineTakesThemAll(t *testing.T) {
	list, err := Restaurants()
	require.NoError(t, err)
	owner := engine.Caller{Account: engine.MakeAccountID([16]byte{1}), Role: engine.RoleOwner}
	for i, r := range list {
		id := engine.MakeRestaurantID(uint64(i + 1))
		out, _ := engine.NewAggregate(engine.AggregateID(id)).Decide(1, &engine.Command{Caller: owner, Body: &engine.CreateRestaurant{ID: id, Details: r.Details}})
		require.Equal(t, engine.CodeCreated, out.Code, "%s: %s", r.Details.Name, out.Field)
	}
}
