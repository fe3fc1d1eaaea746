package postgres

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/deploy/dev"
	"maitred/engine"
	"maitred/persistence"
	"maitred/persistence/persistencetest"
)

// The questions of DESIGN.md, put by psql to a store that followed an evening of the real engine.
func TestDocumentedQueries(t *testing.T) {
	pg, err := dev.StartPostgres(context.Background(), dev.PostgresOptions{})
	require.NoError(t, err)
	defer func() { require.NoError(t, pg.Close()) }()
	s, err := Open(t.Context(), pg.DSN)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	_, err = s.Cursor(t.Context())
	require.NoError(t, err)
	aggregates, events := persistencetest.AnEvening(t)
	require.NoError(t, s.Write(t.Context(), persistence.Position{}, persistence.Position{Journal: "jrn_test", Seq: persistence.Seq(len(events))}, events))
	var view *engine.RestaurantView
	for _, a := range aggregates {
		if v, ok := a.View().(*engine.RestaurantView); ok {
			view = v
		}
	}
	const day = "2026-11-28"
	bin, err := dev.EnsurePostgres(t.Context())
	require.NoError(t, err)
	doc, err := os.ReadFile("DESIGN.md")
	require.NoError(t, err)
	var answers []string
	for _, block := range strings.Split(string(doc), "```sql\n")[1:] {
		query, _, found := strings.Cut(block, "```")
		require.True(t, found)
		cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "psql"), pg.DSN, "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1",
			"-v", "restaurant="+string(view.Restaurant().ID), "-v", "day="+day)
		cmd.Stdin = strings.NewReader(query)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s\n%s", query, out)
		answers = append(answers, strings.TrimSpace(string(out)))
	}
	require.Len(t, answers, 3)
	require.Equal(t, sheetOf(t, view, day), answers[0])
	require.Contains(t, answers[1], day+"|")
	require.Len(t, strings.Split(answers[2], "\n"), 5)
	require.True(t, strings.HasPrefix(answers[2], fmt.Sprintf("%d|0|", len(events))), answers[2])
}

// sheetOf is the evening's sheet as the engine knows it.
func sheetOf(t *testing.T, view *engine.RestaurantView, date string) string {
	t.Helper()
	day, ok := engine.ParseDate(date)
	require.True(t, ok)
	rome, err := time.LoadLocation("Europe/Rome")
	require.NoError(t, err)
	numbers := map[engine.TableID]string{}
	for _, table := range view.Tables() {
		numbers[table.ID] = table.Number
	}
	var lines []string
	for _, r := range view.DaySheet(day, nil) {
		if r.Status != engine.StatusConfirmed && r.Status != engine.StatusSeated {
			continue
		}
		var tables []string
		for _, id := range r.Tables {
			tables = append(tables, numbers[id])
		}
		at := func(unix int64) string { return time.Unix(unix, 0).In(rome).Format("15:04") }
		lines = append(lines, fmt.Sprintf("%s|%s|%d|%s|%s", at(r.StartsAt), at(r.EndsAt), r.GuestsCount, engine.StatusName(r.Status), strings.Join(tables, "+")))
	}
	return strings.Join(lines, "\n")
}
