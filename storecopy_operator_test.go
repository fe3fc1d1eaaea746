package main

import (
	"bytes"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"maitred/deploy/dev"
	"maitred/engine"
)

// operator runs the binary as one would.
type operator struct {
	t   *testing.T
	bin string
}

func (o operator) run(args ...string) (said string, err error) {
	o.t.Helper()
	out, err := exec.CommandContext(o.t.Context(), o.bin, args...).CombinedOutput()
	return string(out), err
}

func (o operator) must(args ...string) string {
	o.t.Helper()
	said, err := o.run(args...)
	require.NoError(o.t, err, "%v: %s", args, said)
	return said
}

func (o operator) refused(sentence string, args ...string) {
	o.t.Helper()
	said, err := o.run(args...)
	require.Error(o.t, err, "%v: %s", args, said)
	require.Contains(o.t, said, sentence)
}

func copyArgs(data, from, to string, pg *dev.Postgres, more ...string) []string {
	return append([]string{"store", "copy", "--data", data, "--from", from, "--to", to, "--store-url", pg.DSN}, more...)
}

func execIn(t *testing.T, pg *dev.Postgres, query string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), pg.DSN)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	_, err = conn.Exec(t.Context(), query)
	require.NoError(t, err)
}

// visited is a house in which a guest reserved, came, wrote a review and was erased, and another is still known.
func visited(t *testing.T) (data, restaurant string) {
	t.Helper()
	e := beginErasure(t, false, time.Second)
	made := e.reservations()
	owner := e.site.token(1, engine.RoleOwner)
	other, k := e.reserve(e.site.token(2, engine.RoleCustomer), e.restaurant, "other", "13:00")
	require.Equal(t, 201, other.status)
	for _, id := range []string{made[2].ID, k.ID} {
		for _, step := range []string{"/seat", "/complete"} {
			got, err := e.do(request{method: "POST", path: "/reservations/" + id + step, token: owner})
			requireStatus(t, 200, got, err)
		}
	}
	for id, token := range map[string]string{made[2].ID: e.token, k.ID: e.site.token(2, engine.RoleCustomer)} {
		got, err := e.do(request{method: "POST", path: "/reservations/" + id + "/review", token: token, body: map[string]any{"rating": 5, "comment": "said " + id}})
		requireStatus(t, 201, got, err)
	}
	e.followed()
	requireStatus(t, 204, e.erase("a long password"), nil)
	e.followed()
	e.awaitComplete()
	require.NoError(t, e.Close())
	return e.data, e.restaurant
}

// TestStoreCopyLeavesErasedBehind: nothing that was erased comes along, in either direction; reviews keep who wrote them.
func TestStoreCopyLeavesErasedBehind(t *testing.T) {
	o, pg := operator{t, binary(t)}, openPostgres(t)
	data, _ := visited(t)
	embedded := dump(t, data)
	require.Contains(t, o.must(copyArgs(data, "sqlite", "postgres", pg)...), "the copy is equal")
	copied := rowsIn(t, pg.DSN)
	require.Equal(t, embedded, copied)
	require.Regexp(t, `(?m)^account "usr_[^"]+" "ROLE_UNSPECIFIED" "0" "2"$`, copied, "the erasure is complete")
	for what, marker := range erasedReservation {
		require.NotContains(t, copied, marker, what)
	}
	requireOneAuthor(t, pg)
	o.must(copyArgs(data, "postgres", "sqlite", pg, "--replace")...)
	require.Equal(t, embedded, dump(t, data))
}

// requireOneAuthor looks at what no line of a dump has: the guest of a review, unless he was erased.
func requireOneAuthor(t *testing.T, pg *dev.Postgres) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), pg.DSN)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	var reviews, authors, right int
	require.NoError(t, conn.QueryRow(t.Context(), `SELECT count(*), count(v.user_id), count(*) FILTER (WHERE v.user_id IS NOT DISTINCT FROM r.user_id)
 FROM reviews v JOIN reservations r ON r.id = v.reservation_id`).Scan(&reviews, &authors, &right))
	require.Equal(t, []int{2, 1, 2}, []int{reviews, authors, right})
}

// TestStoreCopyInterrupted: an operator stops a copy, or it is killed; the next one begins anew without being told to.
func TestStoreCopyInterrupted(t *testing.T) {
	o, pg := operator{t, binary(t)}, openPostgres(t)
	data, _ := visited(t)
	o.must(copyArgs(data, "sqlite", "postgres", pg)...)
	whole := rowsIn(t, pg.DSN)
	for _, signal := range []os.Signal{syscall.SIGINT, syscall.SIGKILL} {
		conn, err := pgx.Connect(t.Context(), pg.DSN)
		require.NoError(t, err)
		_, err = conn.Exec(t.Context(), "UPDATE cursors SET journal = '', seq = 0; TRUNCATE events") // as if nothing had come to an end here
		require.NoError(t, err)
		hold, err := conn.Begin(t.Context())
		require.NoError(t, err)
		_, err = hold.Exec(t.Context(), `CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_xact_lock_shared(7); RETURN NEW; END';
CREATE TRIGGER wait BEFORE INSERT ON events FOR EACH STATEMENT EXECUTE FUNCTION wait()`)
		require.NoError(t, err)
		require.NoError(t, hold.Commit(t.Context()))
		_, err = conn.Exec(t.Context(), "SELECT pg_advisory_lock(7)")
		require.NoError(t, err)

		var said bytes.Buffer
		cmd := exec.Command(o.bin, copyArgs(data, "sqlite", "postgres", pg)...)
		cmd.Stdout, cmd.Stderr = &said, &said
		require.NoError(t, cmd.Start())
		require.Eventually(t, func() bool {
			var waits bool
			err := conn.QueryRow(t.Context(), "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)").Scan(&waits)
			return err == nil && waits
		}, 20*time.Second, pollEvery, "it has come to the audit: %s", &said)
		require.NoError(t, cmd.Process.Signal(signal))
		require.Error(t, cmd.Wait(), said.String())
		require.NotContains(t, said.String(), "is equal")
		_, err = conn.Exec(t.Context(), "SELECT pg_advisory_unlock(7); DROP TRIGGER wait ON events; DROP FUNCTION wait")
		require.NoError(t, err)
		require.NoError(t, conn.Close(t.Context()))

		cut := rowsIn(t, pg.DSN)
		require.NotEqual(t, whole, cut, "the control: something is missing")
		require.Contains(t, cut, "reservation ", "the states were there")
		if signal == syscall.SIGINT {
			o.must(copyArgs(data, "sqlite", "postgres", pg)...)
		} else { // a node that is started on what is unfinished finishes it from its journal
			s := openSite(t, data, func(c *Config) { c.StoreURL = pg.DSN })
			s.follow()
			require.NoError(t, s.Close())
		}
		require.Equal(t, whole, rowsIn(t, pg.DSN))
	}
}

// TestStoreCopyComparesBothSides: when a target does not keep what it was given, the operator is told.
func TestStoreCopyComparesBothSides(t *testing.T) {
	o, pg := operator{t, binary(t)}, openPostgres(t)
	data, _ := visited(t)
	o.must(copyArgs(data, "sqlite", "postgres", pg)...)
	execIn(t, pg, `CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.comment := NULL; RETURN NEW; END';
CREATE TRIGGER lose BEFORE INSERT ON reviews FOR EACH ROW EXECUTE FUNCTION lose()`)
	o.refused("the copy is not what was copied", copyArgs(data, "sqlite", "postgres", pg, "--replace")...)
}
