package jetstream

import (
	"context"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"maitred/persistence"
)

func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{200, 8 << 10, 256 << 10} {
		b.Run(byteSize(size), func(b *testing.B) {
			o := testOptions(b.TempDir())
			o.MaxBytes = 4 << 30
			j := openTest(b, o).Journal()
			data := make([]byte, size)
			var last persistence.Seq
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				seq, err := j.Append(context.Background(), "j.w.n1", data, last)
				if err != nil {
					b.Fatal(err)
				}
				last = seq
			}
		})
	}
}

// The client's own way, for comparison.
func BenchmarkAppendPublishMsg(b *testing.B) {
	e := openTest(b, testOptions(b.TempDir()))
	js, err := jetstream.New(e.now.Load().writes)
	require.NoError(b, err)
	data := make([]byte, 8<<10)
	var last uint64
	b.ReportAllocs()
	for b.Loop() {
		ack, err := js.PublishMsg(context.Background(), &nats.Msg{Subject: "j.w.n1", Data: data}, jetstream.WithExpectLastSequencePerSubject(last))
		if err != nil {
			b.Fatal(err)
		}
		last = ack.Sequence
	}
}

func BenchmarkRead(b *testing.B) {
	const records = 20_000
	o := testOptions(b.TempDir())
	o.Unsafe.LazySync, o.Unsafe.NoAssertions = true, true // only to fill it quickly
	j := openTest(b, o).Journal()
	data := make([]byte, 1024)
	var last persistence.Seq
	for range records {
		seq, err := j.Append(context.Background(), "j.w.n1", data, last)
		require.NoError(b, err)
		last = seq
	}
	for b.Loop() {
		n := 0
		require.NoError(b, j.Read(context.Background(), 1, last, func(persistence.Entry) error { n++; return nil }))
		require.Equal(b, records, n)
	}
	b.ReportMetric(float64(records*b.N)/b.Elapsed().Seconds(), "records/s")
}

func byteSize(n int) string {
	if n >= 1<<10 {
		return fmt.Sprintf("%dKiB", n>>10)
	}
	return fmt.Sprintf("%dB", n)
}
