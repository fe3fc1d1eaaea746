package postgres

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"maitred/deploy/dev"
	"maitred/persistence"
	"maitred/persistence/persistencetest"
)

// BenchmarkSlowestStatement prints the statement of Write that takes longest in all, with its plan, by PostgreSQL's own auto_explain: 10
// transactions of 2,000 reservations over 1,000 restaurants.
func BenchmarkSlowestStatement(b *testing.B) {
	pg, err := dev.StartPostgres(b.Context(), dev.PostgresOptions{Settings: map[string]string{
		"shared_preload_libraries": "auto_explain", "auto_explain.log_min_duration": "0", "auto_explain.log_analyze": "on",
		"auto_explain.log_triggers": "on", "auto_explain.log_timing": "off", "logging_collector": "on", "log_filename": "log",
	}})
	require.NoError(b, err)
	defer func() { require.NoError(b, pg.Close()) }()
	s, err := Open(b.Context(), pg.DSN)
	require.NoError(b, err)
	defer s.Close()
	_, err = s.Cursor(b.Context()) // makes the schema
	require.NoError(b, err)
	c := persistencetest.NewCrowd(1_000, 20_000, 28)
	old := persistence.Position{}
	write := func(events []persistence.Committed) {
		next := persistence.Position{Journal: "jrn_test", Seq: c.Seq}
		require.NoError(b, s.Write(b.Context(), old, next, events))
		old = next
	}
	var data string
	require.NoError(b, s.read.QueryRow(b.Context(), "SHOW data_directory").Scan(&data))
	read := func() string {
		text, err := os.ReadFile(filepath.Join(data, "log", "log"))
		require.NoError(b, err)
		return string(text)
	}
	write(c.Founded())
	founded := len(read())
	for range 10 {
		write(c.Reserved(2_000))
	}
	b.Log(slowest(read()[founded:]))
}

var durationOf = regexp.MustCompile(`duration: ([0-9.]+) ms`)

// slowest is the last entry, in a log of auto_explain, of the statement that took longest in all, and what all took.
func slowest(log string) string {
	total, last, sum := map[string]float64{}, map[string]string{}, 0.0
	for _, e := range strings.Split(log, " LOG:  ") {
		m, plan := durationOf.FindStringSubmatch(e), strings.Index(e, "Query Text: ")
		if m == nil || plan < 0 || strings.Contains(e, "SELECT 1 FROM ONLY") { // the latter: a foreign key, in the time of its trigger already
			continue
		}
		ms, _ := strconv.ParseFloat(m[1], 64)
		statement, _, _ := strings.Cut(e[plan:], "\n")
		total[statement] += ms
		last[statement] = e
		sum += ms
	}
	most := slices.MaxFunc(slices.Collect(maps.Keys(total)), func(x, y string) int { return cmp.Compare(total[x], total[y]) })
	return fmt.Sprintf("%.0f of %.0f ms:\n%s", total[most], sum, last[most])
}
