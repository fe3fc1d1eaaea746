package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestParseAnswerNeedsTheWholeAnswer(t *testing.T) {
	text := "HTTP/1.1 201 Created\r\nServer: x\r\nContent-Length: 14\r\n\r\n{\"id\":\"rsv_1\"}"
	for n := range len(text) {
		_, length, err := parseAnswer([]byte(text[:n]))
		require.NoError(t, err)
		require.Zero(t, length, "%d bytes", n)
	}
	a, length, err := parseAnswer([]byte(text + "HTTP/1.1 200"))
	require.NoError(t, err)
	require.Equal(t, len(text), length)
	require.Equal(t, 201, a.status)
	require.Equal(t, "rsv_1", string(member(a.body, idMember)))

	_, _, err = parseAnswer([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"))
	require.ErrorIs(t, err, errMalformed)
	_, _, err = parseAnswer([]byte("SSH-2.0-OpenSSH\r\n\r\n"))
	require.ErrorIs(t, err, errMalformed)
}

func testWorkload(t *testing.T, k kind, s site) *workload {
	t.Helper()
	dir := t.TempDir()
	s.Today = "2026-11-22"
	siteFile, tokens := filepath.Join(dir, "site.json"), filepath.Join(dir, "tokens.txt")
	require.NoError(t, writeJSON(siteFile, s))
	require.NoError(t, os.WriteFile(tokens, []byte("a\nb\nc\n"), 0o600))
	w, err := newWorkload(&job{Kind: k, SiteFile: siteFile, TokenFile: tokens, Run: "t", Seed: 7})
	require.NoError(t, err)
	return w
}

// The share of 201 can only be read if every request of these workloads has room: no start may be asked for more often
// than there are tables, until the workload says that it is used up.
func TestBookingsNeverAskForMoreThanThereIs(t *testing.T) {
	rooms := []string{"rst_a", "rst_b"}
	for _, k := range []kind{kindSpread, kindReads} {
		w := testWorkload(t, k, site{Spread: rooms, SpreadCap: 2, Reads: rooms, ReadsCap: 2})
		asked := map[string]int{}
		var r request
		for range 1_000_000 {
			b, ok := w.write(nil, &r)
			if !ok {
				break
			}
			if !r.booking {
				continue
			}
			head, body, _ := strings.Cut(string(b), "\r\n\r\n")
			require.Contains(t, head, fmt.Sprintf("Content-Length: %03d", len(body)))
			var what struct {
				Room string `json:"restaurant_id"`
				Date string `json:"date"`
				Slot string `json:"time_slot"`
			}
			require.NoError(t, json.Unmarshal([]byte(body), &what))
			asked[what.Room+what.Date+what.Slot]++
		}
		days := bookableDays
		if k == kindReads {
			days = keysPerHot
		}
		require.Len(t, asked, len(rooms)*days*startsPerDay, k)
		for place, n := range asked {
			require.Equal(t, 2, n, place)
		}
	}
}

func TestDemandHasTheShapeOfTheProfile(t *testing.T) {
	d, err := loadDemand(100)
	require.NoError(t, err)
	random, parties, days, soon := rng(1), make([]float64, 20), 0.0, 0.0
	const n = 200_000
	for range n {
		parties[d.party.roll(&random)] += 1.0 / n
		lead := d.leadDays(&random)
		days += float64(lead) / n
		if lead < 2 {
			soon += 1.0 / n
		}
		minute := d.startMin(&random)
		require.True(t, minute >= 10*60 && minute < 22*60 && minute%15 == 0)
	}
	require.InDelta(t, 0.4274, parties[1], 0.01)
	require.InDelta(t, 0.0195, parties[19], 0.005)
	require.InDelta(t, 0.5, soon, 0.01, "half of the reservations are made less than 48 h ahead")
	require.False(t, math.IsNaN(days))
}

func newTestRun(t *testing.T, fault string) *comparison {
	t.Helper()
	t.Setenv(faultVariable, fault)
	self, err := os.Executable()
	require.NoError(t, err)
	dir := t.TempDir()
	r := &comparison{cmd: &compareCmd{Conns: 16, binary: self}, dir: dir, slice: 300 * time.Millisecond, offsets: map[string]int{}}
	r.house, err = buildHouse(t.Context(), dir, self)
	require.NoError(t, err)
	_, err = r.house.start()
	require.NoError(t, err)
	t.Cleanup(func() { _ = r.house.kill() })
	require.NoError(t, r.furnishWith(t.Context(), 20))
	return r
}

// A checker that cannot fail proves nothing: a server that loses, and one that forgets keys, must be found out.
func TestCheckFindsWhatIsLostAndDoubled(t *testing.T) {
	for fault, finding := range map[string]string{"": "", "loses": "lost", "doubles": "repeated key"} {
		t.Run("server "+fault, func(t *testing.T) {
			r := newTestRun(t, fault)
			j := r.job(kindSpread, "one")
			require.NoError(t, r.burst(t.Context(), 1, "maitred burst", j))
			require.Greater(t, r.rows[0].Load.Acked, 1000)
			require.Equal(t, 1.0, r.rows[0].Share)
			require.NoError(t, r.crashAndCheck(t.Context(), 1, []string{"one"}, j))
			require.NoError(t, r.finalCheck(t.Context()))
			require.Equal(t, replaySample, r.report.Crashes[0].Replayed)
			if finding == "" {
				require.NoError(t, r.report.verdict())
				require.EqualValues(t, r.report.Crashes[0].Acked, *r.report.Crashes[0].Created)
				return
			}
			require.ErrorContains(t, r.report.verdict(), finding)
		})
	}
}

func TestCheckerCountsATablePromisedTwice(t *testing.T) {
	c := newChecker([]ack{{id: "rsv_1", key: "a"}, {id: "rsv_2", key: "b"}, {id: "rsv_3", key: "c"}})
	body := func(id, table string) answer {
		return answer{status: 200, body: fmt.Appendf(nil, `{"id":"%s","table_id":"%s","starts_at":"2026-12-01T10:00:00Z","status":"confirmed"}`, id, table)}
	}
	c.answer(0, body("rsv_1", "tbl_1"))
	c.answer(1, body("rsv_2", "tbl_1"))
	c.answer(2, body("rsv_9", "tbl_2"))
	require.Equal(t, 1, c.result.Doubled)
	require.Equal(t, 1, c.result.Lost, "an answer with another id is not the reservation")
}

// An open loop counts from when a request should have been sent: a slow server must not slow the clock.
func TestOpenLoopCountsFromTheIntendedTime(t *testing.T) {
	p, err := startPeer("echo")
	require.NoError(t, err)
	t.Cleanup(func() { _ = p.Close() })
	r := newTestRun(t, "")
	j := r.job(kindSpread, "open")
	j.Addr, j.SiteFile, j.AckFile, j.Rate, j.Conns = p.addr, r.files.site, "", 2000, 8
	var got *loadResult
	for range 5 { // a machine that stands still for a moment delivers less; one run without that will do
		got, err = load(t.Context(), r.dir, &j, func() {}, func() {})
		require.NoError(t, err)
		if math.Abs(float64(got.Requests)-600) <= 60 {
			break
		}
	}
	require.InDelta(t, 2000*0.3, got.Requests, 60)

	// Far beyond what one connection can do: what was delivered is late, and the latency says so.
	j.Rate, j.Conns = 1_000_000, 1
	got, err = load(t.Context(), r.dir, &j, func() {}, func() {})
	require.NoError(t, err)
	require.Greater(t, got.P50, int64(100_000), "microseconds")
}

func TestCompareRunsWhole(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "out", "compare.json")
	cmd := &compareCmd{Seconds: 1, JSON: file, Conns: 32, Quick: true, binary: self}
	require.NoError(t, cmd.Run())
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	var got report
	require.NoError(t, json.Unmarshal(text, &got))
	for _, name := range []string{"durable_vs_echo", "durable_vs_rowlock", "reads_vs_echo", "reads_uniform_vs_echo", "hot_vs_spread", "cpu_per_booking_vs_echo"} {
		require.Positive(t, got.Ratios[name], name)
	}
	require.Nil(t, got.row("maitred burst").Frames, "what the server does not tell is not made up")
	require.Equal(t, 1.0, got.row("rowlock").Share, "the row-lock peer books every request")
	require.Equal(t, 1.0, got.row("rowlock pipelined").Share)
}

// TestMedianInterval: the ranks of published tables of the sign test (5 %, two-sided).
func TestMedianInterval(t *testing.T) {
	for n, rank := range map[int]int{1: 0, 5: 0, 6: 1, 7: 1, 8: 1, 9: 2, 11: 2, 12: 3, 20: 6, 25: 8, 50: 18} {
		var values []float64
		for i := range n {
			values = append(values, float64(i+1))
		}
		low, high := medianInterval(values)
		if rank == 0 {
			require.Zero(t, low+high, "%d", n)
			continue
		}
		require.Equal(t, []float64{float64(rank), float64(n + 1 - rank)}, []float64{low, high}, "%d values", n)
	}
}

func TestScaleAndRecoveryRunWhole(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "scale.json")
	scale := &scaleCmd{Restaurants: 600, Few: 300, Tables: 8, Seconds: 0.3, Rounds: 3, Conns: 16, JSON: file, Binary: []string{self, self}}
	require.NoError(t, scale.Run())
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	var got scaleReport
	require.NoError(t, json.Unmarshal(text, &got))
	require.Len(t, got.Builds, 2)
	require.Len(t, got.Rows, 2*2*3)
	require.Positive(t, got.Builds[1].Ratio.Min)
	require.Positive(t, got.Newer.Min)
	require.Nil(t, got.Builds[1].PerOpen, "as many actors are open on both sides: there is nothing to divide by")

	recovery := &recoveryCmd{Events: 5000, Restaurants: 50, Tables: 2, Times: 2, Conns: 16, binary: self}
	require.NoError(t, recovery.Run())
	t.Setenv(faultVariable, "loses")
	require.ErrorContains(t, recovery.Run(), "lost")
}

// The sustained rate is what the sink keeps up with, not what the journal takes.
func TestSustainedIsBoundByTheSink(t *testing.T) {
	r := newTestRun(t, "slow sink")
	r.cmd.Seconds = 0.5
	require.NoError(t, r.burst(t.Context(), 1, "maitred burst", r.job(kindSpread, "one")))
	require.Greater(t, r.rows[0].PerSecond, 2.5*slowSink, "else the test shows nothing")
	require.NoError(t, r.sustained(t.Context()))
	require.Len(t, r.report.Crashes, 1)
	require.Less(t, r.report.Sustained, 1.3*slowSink)
	require.Positive(t, r.report.Sustained)
	r.report.Rows = r.rows
	r.report.ratios()
	require.NotNil(t, r.report.row(fmt.Sprintf("maitred sustained %.0f/s", r.report.Sustained)))
}
