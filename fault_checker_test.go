package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The checker is a measuring instrument: each kind of damage is shown to it once.

func told(l *ledger, n int64, v verdict, id string) {
	o := &op{N: n, Verdict: v, Status: 201}
	if v == acknowledged {
		o.Answer = &kept{ID: id, Table: "tbl_1", Status: "confirmed", Version: 1}
	}
	l.record(o, 0)
}

func made(seq uint64, n int64, id, table string, from int64) fact {
	return fact{seq: seq, id: id, made: true, mark: mark(n), tables: []string{table}, from: from, to: from + 7200, status: "confirmed", blocked: true}
}

func waits(seq uint64, n int64, id string) fact {
	return fact{seq: seq, id: id, made: true, mark: mark(n), status: "waiting"}
}

func offered(seq uint64, id, table string) fact {
	return fact{seq: seq, id: id, offered: true, tables: []string{table}, to: 7200, status: "held", blocked: true}
}

func TestFaultCheckerIsContent(t *testing.T) {
	l, y, h := newLedger(t), &tally{}, newShelf()
	told(l, 1, acknowledged, "rsv_a")
	told(l, 2, refused, "")
	told(l, 3, unknown, "")
	told(l, 4, acknowledged, "rsv_d")
	h.put(y, made(1, 1, "rsv_a", "tbl_1", 0))
	h.put(y, made(2, 3, "rsv_c", "tbl_1", 7200)) // half-open: one begins when the other ends
	h.put(y, fact{seq: 3, id: "rsv_c", status: "cancelled"})
	h.put(y, made(4, 4, "rsv_d", "tbl_1", 7200)) // on the table that the cancelled one left
	told(l, 5, acknowledged, "rsv_e")
	l.books["rsv_e"].last.Status = "waiting"
	h.put(y, waits(5, 5, "rsv_e")) // who waited has been offered a table since
	h.put(y, offered(6, "rsv_e", "tbl_2"))
	h.reconcile(y, l)
	require.Zero(t, y.lost+y.doubled+y.wrong, "%v", y.details)
}

func TestFaultCheckerCatches(t *testing.T) {
	cases := map[string]struct {
		told   func(l *ledger)
		facts  []fact
		expect func(y *tally) int
	}{
		"lost": {
			func(l *ledger) { told(l, 1, acknowledged, "rsv_a") },
			nil, func(y *tally) int { return y.lost },
		},
		"made under another id": {
			func(l *ledger) { told(l, 1, acknowledged, "rsv_a") },
			[]fact{made(1, 1, "rsv_b", "tbl_1", 0)}, func(y *tally) int { return y.doubled },
		},
		"made twice by one key": {
			func(l *ledger) { told(l, 1, acknowledged, "rsv_a") },
			[]fact{made(1, 1, "rsv_b", "tbl_1", 0), made(2, 1, "rsv_a", "tbl_2", 0)}, func(y *tally) int { return y.doubled },
		},
		"same id twice": {
			func(*ledger) {},
			[]fact{made(1, 1, "rsv_a", "tbl_1", 0), made(2, 2, "rsv_a", "tbl_2", 0)}, func(y *tally) int { return y.doubled },
		},
		"two on a table": {
			func(*ledger) {},
			[]fact{made(1, 1, "rsv_a", "tbl_1", 0), made(2, 2, "rsv_b", "tbl_1", 3600)}, func(y *tally) int { return y.doubled },
		},
		"two on a table for a moment": {
			func(*ledger) {},
			[]fact{made(1, 1, "rsv_a", "tbl_1", 0), made(2, 2, "rsv_b", "tbl_1", 3600), {seq: 3, id: "rsv_a", status: "cancelled"}},
			func(y *tally) int { return y.doubled },
		},
		"moved onto a taken table": {
			func(*ledger) {},
			[]fact{made(1, 1, "rsv_a", "tbl_1", 0), made(2, 2, "rsv_b", "tbl_2", 0), {seq: 3, id: "rsv_b", tables: []string{"tbl_1"}, from: 1, to: 2}},
			func(y *tally) int { return y.doubled },
		},
		"offered twice": {
			func(*ledger) {},
			[]fact{waits(1, 1, "rsv_a"), offered(2, "rsv_a", "tbl_1"), offered(3, "rsv_a", "tbl_2")}, func(y *tally) int { return y.doubled },
		},
		"offered to two": {
			func(*ledger) {},
			[]fact{waits(1, 1, "rsv_a"), waits(2, 2, "rsv_b"), offered(3, "rsv_a", "tbl_1"), offered(4, "rsv_b", "tbl_1")},
			func(y *tally) int { return y.doubled },
		},
		"offered no table": {
			func(*ledger) {},
			[]fact{waits(1, 1, "rsv_a"), {seq: 2, id: "rsv_a", offered: true, status: "held", blocked: true}}, func(y *tally) int { return y.wrong },
		},
		"confirmed while it waits": {
			func(*ledger) {},
			[]fact{waits(1, 1, "rsv_a"), {seq: 2, id: "rsv_a", status: "confirmed", blocked: true}}, func(y *tally) int { return y.wrong },
		},
		"accepted by nobody, or by who was refused": {
			func(l *ledger) { told(l, 1, acknowledged, "rsv_a"); l.books["rsv_a"].last.Status = "waiting" },
			[]fact{waits(1, 1, "rsv_a"), offered(2, "rsv_a", "tbl_1"), {seq: 3, id: "rsv_a", status: "confirmed", blocked: true}},
			func(y *tally) int { return y.wrong },
		},
		"left by nobody": {
			func(l *ledger) { told(l, 1, acknowledged, "rsv_a"); l.books["rsv_a"].last.Status = "held" },
			[]fact{waits(1, 1, "rsv_a"), offered(2, "rsv_a", "tbl_1"), {seq: 3, id: "rsv_a", status: "cancelled"}},
			func(y *tally) int { return y.wrong },
		},
		"refused and done": {
			func(l *ledger) { told(l, 1, refused, "") },
			[]fact{made(1, 1, "rsv_a", "tbl_1", 0)}, func(y *tally) int { return y.wrong },
		},
		"surely not done and done": {
			func(l *ledger) { told(l, 1, notDone, "") },
			[]fact{made(1, 1, "rsv_a", "tbl_1", 0)}, func(y *tally) int { return y.wrong },
		},
		"cancelled by nobody": {
			func(l *ledger) { told(l, 1, acknowledged, "rsv_a") },
			[]fact{made(1, 1, "rsv_a", "tbl_1", 0), {seq: 2, id: "rsv_a", status: "cancelled"}}, func(y *tally) int { return y.wrong },
		},
		"a cancel without its reservation": {
			func(*ledger) {},
			[]fact{{seq: 1, id: "rsv_a", status: "cancelled"}}, func(y *tally) int { return y.lost },
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			l, y, h := newLedger(t), &tally{}, newShelf()
			c.told(l)
			for _, f := range c.facts {
				h.put(y, f)
			}
			h.reconcile(y, l)
			require.Positive(t, c.expect(y), "not caught: %+v", y)
		})
	}
}

// TestWhatTheHouseMayDo: of what a guest has seen waiting or held, an offer and an end may follow; nothing else, and nothing of another party.
func TestWhatTheHouseMayDo(t *testing.T) {
	old := kept{ID: "rsv_a", Restaurant: "rst_a", Date: "2026-12-31", Guests: 2, Status: "waiting", Version: 1, Requests: "op-1"}
	with := func(k kept, change func(*kept)) *kept { k.Version++; change(&k); return &k }
	held := *with(old, func(k *kept) { k.Status, k.Table = "held", "tbl_1" })
	require.True(t, old.follows(&old))
	require.True(t, held.follows(&old))
	for _, before := range []kept{old, held} {
		require.True(t, with(before, func(k *kept) { k.Status = "expired" }).follows(&before))
		for name, change := range map[string]func(*kept){
			"confirmed":        func(k *kept) { k.Status = "confirmed" },
			"cancelled":        func(k *kept) { k.Status = "cancelled" },
			"waits again":      func(k *kept) { k.Status = "waiting" },
			"another party":    func(k *kept) { k.Status, k.Guests = "expired", 3 },
			"another day":      func(k *kept) { k.Status, k.Date = "expired", "2027-01-01" },
			"another house":    func(k *kept) { k.Status, k.Restaurant = "expired", "rst_b" },
			"another wish":     func(k *kept) { k.Status, k.Requests = "expired", "" },
			"back in time":     func(k *kept) { k.Status, k.Version = "expired", 0 },
			"the same version": func(k *kept) { k.Status, k.Version = "expired", before.Version },
		} {
			require.False(t, with(before, change).follows(&before), "%s: %s", before.Status, name)
		}
	}
}
