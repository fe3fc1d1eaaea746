package postgres

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/persistence"
	"maitred/persistence/persistencetest"
)

// BenchmarkWrite prints how many reservations a second Write takes, with all indexes and the constraint, and what they cost in CPU here
// and in the server.
func BenchmarkWrite(b *testing.B) {
	for _, batch := range []int{500, 2_000, 6_000} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) { benchWrite(b, batch, 1_000) })
	}
}

func benchWrite(b *testing.B, batch, restaurants int) {
	s, err := Open(b.Context(), database(b, fmt.Sprintf("bench%d", time.Now().UnixNano())))
	require.NoError(b, err)
	defer s.Close()
	c := persistencetest.NewCrowd(restaurants, 20_000, 28)
	old := persistence.Position{}
	write := func(events []persistence.Committed) {
		next := persistence.Position{Journal: "jrn_test", Seq: c.Seq}
		require.NoError(b, s.Write(b.Context(), old, next, events))
		old = next
	}
	write(c.Founded())
	rows, used, theirs := 0, time.Duration(0), serverCPU(b)
	for rows < b.N*1_000 {
		events := c.Reserved(batch)
		began := time.Now()
		write(events)
		used += time.Since(began)
		rows += batch
	}
	b.ReportMetric(float64(rows)/used.Seconds(), "rows/s")
	b.ReportMetric(float64((serverCPU(b)-theirs).Microseconds())/float64(rows), "server-cpu-µs/row")
	b.ReportMetric(0, "ns/op")
}

// serverCPU is what the processes of the private server have used, in steps of 10 ms.
func serverCPU(b *testing.B) (used time.Duration) {
	b.Helper()
	stats, err := os.ReadDir("/proc")
	require.NoError(b, err)
	for _, d := range stats {
		text, err := os.ReadFile("/proc/" + d.Name() + "/stat")
		if err != nil || !strings.Contains(string(text), "(postgres)") {
			continue
		}
		f := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		for _, ticks := range f[11:13] {
			n, err := strconv.Atoi(ticks)
			require.NoError(b, err)
			used += time.Duration(n) * 10 * time.Millisecond
		}
	}
	return used
}
