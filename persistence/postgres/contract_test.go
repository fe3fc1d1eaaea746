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
	doc, err := os.ReadFile("DESIGN.md")
	require.NoError(t, err)
	blocks := strings.Split(string(doc), "```sql\n")[1:]
	var answers []string
	for i, block := range blocks {
		query, _, found := strings.Cut(block, "```")
		require.True(t, found)
		dsn := pg.DSN
		if i > 0 {
			dsn = asReporting(t, pg.DSN)
		}
		out, err := psql(t, dsn, query, "restaurant="+string(view.Restaurant().ID), "day="+day)
		require.NoError(t, err, "%s\n%s", query, out)
		answers = append(answers, out)
	}
	answers = answers[1:]
	require.Len(t, answers, 3)
	require.Equal(t, sheetOf(t, view, day), answers[0])
	require.Contains(t, answers[1], day+"|")
	require.Len(t, strings.Split(answers[2], "\n"), 5)
	require.True(t, strings.HasPrefix(answers[2], fmt.Sprintf("%d|0|", len(events))), answers[2])
	out, err := psql(t, asReporting(t, pg.DSN), "DELETE FROM reservations;")
	require.Error(t, err)
	require.Contains(t, out, "permission denied")
}

// asReporting is dsn for the role that may only read.
func asReporting(t *testing.T, dsn string) string {
	t.Helper()
	require.Contains(t, dsn, "user=postgres")
	return strings.Replace(dsn, "user=postgres", "user=reporting", 1)
}

// psql runs a script with psql and returns what it prints: columns with a bar between, one row a line.
func psql(t *testing.T, dsn, script string, variables ...string) (string, error) {
	t.Helper()
	bin, err := dev.EnsurePostgres(t.Context())
	require.NoError(t, err)
	args := []string{dsn, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"}
	for _, v := range variables {
		args = append(args, "-v", v)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "psql"), args...)
	cmd.Stdin = strings.NewReader(script)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
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
