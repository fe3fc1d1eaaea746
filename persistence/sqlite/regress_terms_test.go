package sqlite

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/engine"
	"maitred/engine/enginepb"
	"maitred/persistence"
)

// Every word that was ever in a description stayed in terms and their trigrams, for ever. Anybody who registers as an owner can
// change the description of his one restaurant 100 times a minute: some 12,000 new terms a minute of words that are in no
// restaurant any more (also those that were taken out because they had no business there). Each misspelt search weighs them all.
func TestWordsThatAreGoneLeaveTheIndex(t *testing.T) {
	s, err := Open(t.Context(), t.TempDir()+"/store.db")
	require.NoError(t, err)
	defer s.Close()
	const changes, words = 300, 120 // of 7 letters: 959 characters of the 1,000 that a description may have
	rng := rand.New(rand.NewPCG(1, 2))
	description := func() string {
		var b strings.Builder
		for range words {
			b.WriteByte(' ')
			for range 7 {
				b.WriteByte(byte('a' + rng.IntN(26)))
			}
		}
		return b.String()[1:]
	}
	first := lunchRoom(0, "Trattoria", description())
	require.NoError(t, s.Write(t.Context(), persistence.Position{}, at(1), []persistence.Committed{first}))
	took := func() time.Duration {
		began := time.Now()
		for range 10 {
			_, err := s.Search(t.Context(), persistence.SearchFilter{Text: "tratoria rommana", Limit: 1})
			require.NoError(t, err)
		}
		return time.Since(began) / 10
	}
	fresh := took()
	var events []persistence.Committed
	for i := range changes {
		e := lunchRoom(0, "Trattoria", description())
		r := e.Event.GetRestaurantCreated().GetRestaurant()
		e.Event = &enginepb.Event{AtMs: e.Event.AtMs, Body: &enginepb.Event_RestaurantChanged{RestaurantChanged: &enginepb.RestaurantChanged{Restaurant: r}}}
		e.Seq, e.Index = 2, i
		e.Version = engine.Version(i + 2)
		events = append(events, e)
	}
	require.NoError(t, s.Write(t.Context(), at(1), at(2), events))
	var terms int
	require.NoError(t, s.read.QueryRowContext(t.Context(), "SELECT count(*) FROM terms").Scan(&terms))
	t.Logf("%d terms for one restaurant of %d words; a misspelt search took %v, now %v", terms, words+3, fresh, took())
	require.LessOrEqual(t, terms, 10*(words+3), fmt.Sprint("after ", changes, " changes"))
}
