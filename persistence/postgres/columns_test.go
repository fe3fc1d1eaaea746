package postgres

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// own are the tables and columns that DESIGN.md says are not promised.
var own = []string{"heads", "terms", "goose_db_version", "restaurants.n", "restaurants.location", "restaurants.name_folded", "restaurants.city_folded",
	"restaurants.cuisine_folded", "restaurants.words", "restaurants.words_ranked", "restaurants.rules"}

var (
	contractTable  = regexp.MustCompile("^### `([a-z_]+)`$")
	contractColumn = regexp.MustCompile("^\\| `([a-z_]+)` \\| ([a-z ]+) \\| (yes|no) \\|.*\\|$")
)

// contract is the part of DESIGN.md that other teams rely on.
func contract(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("DESIGN.md")
	require.NoError(t, err)
	_, promised, found := strings.Cut(string(text), "## What other teams may rely on")
	require.True(t, found)
	return promised
}

// TestTheTablesAreAsDocumented: every column that is promised is there as promised, and every one that is there is promised or said
// not to be.
func TestTheTablesAreAsDocumented(t *testing.T) {
	s := openIn(t, t.TempDir())
	_, err := s.Cursor(t.Context()) // makes the schema
	require.NoError(t, err)
	text := contract(t)
	var promised []string
	table := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if m := contractTable.FindStringSubmatch(line); m != nil {
			table = m[1]
		} else if m := contractColumn.FindStringSubmatch(line); m != nil {
			promised = append(promised, table+"."+m[1]+" "+m[2]+" null:"+m[3])
		} else if strings.HasPrefix(line, "| `") {
			t.Errorf("unreadable line of a table: %s", line)
		}
	}
	preamble, _, _ := strings.Cut(text, "* Everything")
	for _, name := range own {
		_, column, isColumn := strings.Cut(name, ".")
		if !isColumn {
			column = name
		}
		require.Contains(t, preamble, "`"+column+"`", "it is said not to be promised")
	}
	var there []string
	err = each(t.Context(), s.read, `SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns
 WHERE table_schema = 'public' ORDER BY table_name, ordinal_position`, nil, func(row pgx.Rows) error {
		var name, column, kind, null string
		err := row.Scan(&name, &column, &kind, &null)
		if !slices.Contains(own, name) && !slices.Contains(own, name+"."+column) {
			there = append(there, name+"."+column+" "+kind+" null:"+strings.ToLower(null))
		}
		return err
	})
	require.NoError(t, err)
	require.Greater(t, len(there), 60)
	slices.Sort(there)
	slices.Sort(promised)
	require.Equal(t, strings.Join(there, "\n"), strings.Join(promised, "\n"))
}
