package sqlite

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/persistence"
	"maitred/persistence/persistencetest"
)

// BenchmarkWrite prints CPU microseconds per reservation of the whole of Write, audit included.
func BenchmarkWrite(b *testing.B) {
	for _, batch := range []int{500, 2_000, 6_000} {
		for _, restaurants := range []int{1_000, 10_000} {
			b.Run(fmt.Sprintf("batch=%d/restaurants=%d", batch, restaurants), func(b *testing.B) { benchWrite(b, batch, restaurants, 20_000, 28) })
		}
	}
}

func benchWrite(b *testing.B, batch, restaurants, guests, perFrame int) {
	s, err := Open(b.Context(), filepath.Join(b.TempDir(), "store.db"))
	require.NoError(b, err)
	defer s.Close()
	c := persistencetest.NewCrowd(restaurants, guests, perFrame)
	var old persistence.Position
	write := func(events []persistence.Committed) {
		require.NoError(b, s.Write(b.Context(), old, at(c.Seq), events))
		old = at(c.Seq)
	}
	write(c.Founded())
	rows, used := 0, time.Duration(0)
	for rows < b.N*1_000 {
		events := c.Reserved(batch)
		start := cpu()
		write(events)
		used += cpu() - start
		rows += batch
	}
	b.ReportMetric(float64(used.Microseconds())/float64(rows), "cpu-µs/row")
	b.ReportMetric(0, "ns/op")
}
