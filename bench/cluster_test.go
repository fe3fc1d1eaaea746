package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func traceOf(start time.Time, answers ...traced) []traced {
	for i := range answers {
		answers[i].Due += start.UnixMicro()
		answers[i].Done += start.UnixMicro()
	}
	return answers
}

func TestSpanCountsByWhenRequestsWereDue(t *testing.T) {
	start := time.Now()
	trace := traceOf(start,
		traced{Due: -1, Done: 900_000, Status: 201}, // due before: not of this span
		traced{Due: 0, Done: 1_000, Status: 201},
		traced{Due: 500_000, Done: 2_500_000, Status: 503},
		traced{Due: 1_000_000, Done: 1_001_000, Status: 201}, // of the next
	)
	got := spanOf(trace, start, start.Add(time.Second))
	require.Equal(t, 2, got.Requests)
	require.Equal(t, 1, got.Failed)
	require.InDelta(t, 2000, got.P99, 5)
	require.InDelta(t, 1, got.P50, 0.1)
}

func TestServedAgainWaitsForTheLastRestaurant(t *testing.T) {
	start := time.Now()
	trace := traceOf(start,
		traced{Due: -1, Done: 10_000, Status: 201, Room: 1}, // decided before, perhaps
		traced{Due: 0, Done: 20_000, Status: 201, Room: 0},
		traced{Due: 30_000, Done: 900_000, Status: 503, Room: 1},
		traced{Due: 950_000, Done: 1_500_000, Status: 201, Room: 1},
		traced{Due: 960_000, Done: 1_600_000, Status: 201, Room: 1},
	)
	after, ok := servedAgain(trace, 2, start)
	require.True(t, ok)
	require.Equal(t, 1500*time.Millisecond, after)
	_, ok = servedAgain(trace, 3, start)
	require.False(t, ok, "nobody asked for restaurant 2 with success")
	require.Equal(t, 1480*time.Millisecond, longestSilence(trace, start))
}

// What was not served while it was watched misses its aim, however short that was.
func TestKillThatWasNotServedMissesItsAim(t *testing.T) {
	c := clusterReport{Kills: []killFigures{{Served: true, ServedAgain: 3.6, Watched: 6}}}
	c.kill("kill", false, aimKill)
	require.True(t, c.Aims[0].Holds)
	c = clusterReport{Kills: append(c.Kills, killFigures{Served: false, ServedAgain: 2, Watched: 5})}
	c.kill("kill", false, aimKill)
	require.False(t, c.Aims[0].Holds)
	require.Equal(t, 5.0, c.Aims[0].Value)
	c.kill("kill of a leader", true, aimKillOfJournal)
	require.Len(t, c.Aims, 1, "none was killed")
}

// The whole run with the real binary, small: three nodes, the row-lock peers, a drain and a kill. Aims may be missed at this size.
func TestClusterRunsWhole(t *testing.T) {
	dir := t.TempDir()
	cmd := &clusterCmd{Seconds: 0.5, JSON: filepath.Join(dir, "cluster.json"), Plots: dir, Conns: 16, Quick: true, size: clusterSize{
		rooms: 24, few: 12, guests: 100, calm: time.Second, back: time.Second, watched: 8 * time.Second,
	}}
	if err := cmd.Run(); !errors.Is(err, errMissed) {
		require.NoError(t, err)
	}
	text, err := os.ReadFile(cmd.JSON)
	require.NoError(t, err)
	var got clusterReport
	require.NoError(t, json.Unmarshal(text, &got))
	for _, name := range []string{"replicated_vs_rowlock", "replicated_vs_rowlock_pipelined", "forwarded_bookings_per_cpu_vs_local", "forwarded_reads_per_cpu_vs_local"} {
		require.Positive(t, got.Compared.Ratios[name], name)
	}
	require.Len(t, got.Aims, 6)
	require.Greater(t, got.Drains[0].All.Requests, 100)
	kill := got.Kills[0]
	require.Greater(t, kill.After.Requests, 100)
	require.Positive(t, kill.Silence)
	require.Equal(t, kill.Served && kill.ServedAgain <= aimKill, got.Aims[5].Holds, "%+v", kill)
	check := got.Compared.Crashes[0]
	require.Greater(t, check.Acked, 500)
	require.Zero(t, check.Check.Lost+check.Check.Doubled)
	require.Positive(t, check.Replayed)
	for _, plot := range []string{"drain-1.svg", "kill-1.svg"} {
		requireSVG(t, filepath.Join(dir, plot), "p99", "anything else")
	}
}

// requireSVG holds a picture to be well-formed and to say what it shows.
func requireSVG(t *testing.T, file string, words ...string) {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	d := xml.NewDecoder(strings.NewReader(string(text)))
	for {
		if _, err = d.Token(); err != nil {
			break
		}
	}
	require.ErrorIs(t, err, io.EOF)
	for _, w := range words {
		require.Contains(t, string(text), w)
	}
}
