package sqlite

import (
	"context"
	"database/sql"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"
)

// A layout is one way to lay reservations and the audit out; BenchmarkLayouts prints CPU microseconds per row of each.
// DESIGN.md has the figures that decided.
type layout struct {
	name  string
	ddl   string
	table string
	cols  int
	row   func(r *layoutRow, args []any) []any
	audit string // "" none, else one row a frame
	index bool   // a row per (aggregate, frame) beside
	head  bool   // an upsert per (aggregate, batch) instead
}

type layoutRow struct {
	rest, own uint64
	restN     int64
	guest     [16]byte
	guestN    int64
	starts    int64
	day       int64
}

const layoutRowsPerStmt, layoutFrame = 100, 28

func text(prefix string, b ...uint64) string {
	s := prefix
	for _, v := range b {
		s += fmt.Sprintf("%013x", v)[:13]
	}
	return s
}

var layouts = []layout{
	{name: "text-ids", table: "r", cols: 12, ddl: `create table r(id text primary key, restaurant text, guest text, tables text, day integer,
		local_min integer, starts integer, ends integer, guests integer, requests text, status integer, version integer);
		create index r_g on r(guest, starts desc); create index r_d on r(restaurant, day, starts);`,
		row: func(r *layoutRow, a []any) []any {
			return append(a, text("rsv_", r.rest, r.own), text("rst_", r.rest), text("usr_", r.rest, uint64(r.guestN)),
				text("tbl_", r.rest, r.own), r.day, int64(1200), r.starts, r.starts+7200, int64(4), "", int64(3), int64(1))
		}},
	{name: "seq-rowid+unique", table: "r", cols: 12, ddl: `create table r(n integer primary key, restaurant, own, guest integer, tables blob, day integer,
		local_min integer, starts integer, ends integer, guests integer, requests text, status integer, version integer);
		create unique index r_u on r(restaurant, own);
		create index r_g on r(guest, starts desc); create index r_d on r(restaurant, day, starts);`,
		row: internedRow},
	{name: "seq+frames+heads", table: "r", cols: 12, ddl: seqDDL + auditDDL, row: internedRow, audit: "frame", head: true},
	{name: "seq-noday", table: "r", cols: 12, ddl: strings.Replace(seqDDL, "create index r_d on r(restaurant, day, starts);", "", 1), row: internedRow},
	{name: "seq-ownonly", table: "r", cols: 12, ddl: strings.Replace(seqDDL, "r(restaurant, own)", "r(own)", 1), row: internedRow},
}

const seqDDL = `create table r(n integer primary key, restaurant integer, own, guest integer, tables blob, day integer,
		local_min integer, starts integer, ends integer, guests integer, requests text, status integer, version integer);
		create unique index r_u on r(restaurant, own);
		create index r_g on r(guest, starts desc); create index r_d on r(restaurant, day, starts);`

const auditDDL = `create table events(seq integer primary key, at integer, body blob);
	create table ev(agg, seq integer, primary key(agg, seq)) without rowid;
	create table heads(agg, version integer, seq integer, primary key(agg)) without rowid;`

func internedRow(r *layoutRow, a []any) []any {
	t := binary.BigEndian.AppendUint64(nil, r.own)
	return append(a, r.restN, int64(r.own), r.guestN, t, r.day, int64(1200), r.starts, r.starts+7200, int64(4), nil, int64(3), int64(1))
}

func layoutInsert(table, cols string, n, rows int, tail string) string {
	one := "(" + strings.TrimSuffix(strings.Repeat("?,", n), ",") + ")"
	return "insert into " + table + cols + " values " + strings.TrimSuffix(strings.Repeat(one+",", rows), ",") + tail
}

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkLayouts(b *testing.B) {
	for _, l := range layouts {
		for _, pragma := range []string{"2048", "4096", "8192"} {
			for _, batch := range []int{2000, 6000} {
				b.Run(fmt.Sprintf("%s/page=%s/batch=%d", l.name, pragma, batch), func(b *testing.B) { benchLayout(b, l, pragma, batch) })
			}
		}
	}
}

func benchLayout(b *testing.B, l layout, page string, batch int) {
	const restaurants, guests = 2000, 20000
	ctx := context.Background()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(b.TempDir(), "s.db")+"?_pragma=page_size("+page+")&_pragma=journal_mode(wal)&_pragma=synchronous(normal)&_pragma=cache_size(-65536)&_pragma=wal_autocheckpoint(16000)")
	require.NoError(b, err)
	defer db.Close()
	db.SetMaxOpenConns(1)
	_, err = db.Exec(l.ddl)
	require.NoError(b, err)
	cols := ""
	if strings.HasPrefix(l.name, "seq") {
		cols = "(restaurant,own,guest,tables,day,local_min,starts,ends,guests,requests,status,version)"
	}
	conn, err := db.Conn(ctx)
	require.NoError(b, err)
	defer conn.Close()
	ins, err := conn.PrepareContext(ctx, layoutInsert(l.table, cols, l.cols, layoutRowsPerStmt, " on conflict do nothing"))
	require.NoError(b, err)
	var ev, fr, hd *sql.Stmt
	if l.audit != "" {
		fr, err = conn.PrepareContext(ctx, "insert into events values(?,?,?)")
		require.NoError(b, err)
		ev, err = conn.PrepareContext(ctx, layoutInsert("ev", "", 2, layoutRowsPerStmt, " on conflict do nothing"))
		require.NoError(b, err)
		hd, err = conn.PrepareContext(ctx, layoutInsert("heads", "", 3, layoutRowsPerStmt, " on conflict do update set version=excluded.version, seq=excluded.seq"))
		require.NoError(b, err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	rest := make([]uint64, restaurants)
	for i := range rest {
		rest[i] = rng.Uint64()
	}
	guest := make([][16]byte, guests)
	for i := range guest {
		binary.LittleEndian.PutUint64(guest[i][:], rng.Uint64())
		binary.LittleEndian.PutUint64(guest[i][8:], rng.Uint64())
	}
	body := make([]byte, layoutFrame*230)
	seq := int64(0)
	args := make([]any, 0, l.cols*layoutRowsPerStmt)
	start := cpu()
	rows := 0
	for rows < b.N*2000 {
		_, err := conn.ExecContext(ctx, "begin immediate")
		require.NoError(b, err)
		heads := map[int]int64{}
		evs := args[:0:0]
		for range batch / layoutRowsPerStmt {
			args = args[:0]
			for range layoutRowsPerStmt {
				ri, gi := rng.IntN(restaurants), rng.IntN(guests)
				day := int64(20000 + rng.IntN(30))
				r := layoutRow{rest: rest[ri], restN: int64(ri), own: rng.Uint64(), guest: guest[gi], guestN: int64(gi), day: day, starts: day*86400 + int64(rng.IntN(48))*900}
				args = l.row(&r, args)
				rows++
				if l.audit != "" {
					if rows%layoutFrame == 0 {
						seq++
						_, err := fr.Exec(seq, seq, body)
						require.NoError(b, err)
					}
					heads[ri] = seq
					if l.index {
						evs = append(evs, int64(rest[ri]), seq)
					}
				}
			}
			_, err := ins.Exec(args...)
			require.NoError(b, err)
			if l.index {
				_, err = ev.Exec(evs...)
				require.NoError(b, err)
				evs = evs[:0]
			}
		}
		if l.head {
			hs := args[:0:0]
			for k, v := range heads {
				hs = append(hs, int64(rest[k]), v, v)
				if len(hs) == 3*layoutRowsPerStmt {
					_, err = hd.Exec(hs...)
					require.NoError(b, err)
					hs = hs[:0]
				}
			}
		}
		_, err = conn.ExecContext(ctx, "commit")
		require.NoError(b, err)
	}
	b.ReportMetric(float64((cpu()-start).Microseconds())/float64(rows), "cpu-µs/row")
	b.ReportMetric(0, "ns/op")
}
