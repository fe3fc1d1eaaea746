package postgres

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"maitred/deploy/dev"
	"maitred/persistence/persistencetest"
)

// server is one private PostgreSQL for all the tests of this package.
var server struct {
	once sync.Once
	*dev.Postgres
	err error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if server.Postgres != nil {
		if err := server.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// database makes the database of a name, once, and returns how to reach it.
func database(t testing.TB, name string) string {
	t.Helper()
	server.once.Do(func() {
		server.Postgres, server.err = dev.StartPostgres(context.Background(), dev.PostgresOptions{})
	})
	require.NoError(t, server.err)
	conn, err := pgx.Connect(t.Context(), server.SocketDSN)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	var exists bool
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)", name).Scan(&exists))
	if !exists {
		_, err = conn.Exec(t.Context(), "CREATE DATABASE "+pgx.Identifier{name}.Sanitize())
		require.NoError(t, err)
	}
	return strings.Replace(server.SocketDSN, "dbname=postgres", "dbname="+name, 1)
}

// nameOf is the database that stands for a folder.
func nameOf(dir string) string {
	return "t" + strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' {
			return r
		}
		return -1
	}, strings.ToLower(dir[max(0, len(dir)-40):]))
}

func openIn(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(t.Context(), database(t, nameOf(dir)))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func TestStore(t *testing.T) {
	persistencetest.ExerciseStore(t, func(t *testing.T, dir string) persistencetest.TestStore { return openIn(t, dir) })
}

func TestSink(t *testing.T) {
	persistencetest.ExerciseSink(t, func(t *testing.T) persistencetest.SinkUnderTest {
		return persistencetest.StoreSink(t, func(t *testing.T, dir string) persistencetest.TestStore { return openIn(t, dir) })
	})
}
