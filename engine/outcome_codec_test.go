package engine_test

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	"maitred/engine"
	"maitred/engine/enginetest"
)

// filledOutcome has content in every field.
func filledOutcome(f *filler) *engine.Outcome {
	out := new(engine.Outcome)
	f.fill(reflect.ValueOf(out).Elem())
	return out
}

// TestOutcomesTravel: every field of an answer, alone and with the others, and every pointer or none.
func TestOutcomesTravel(t *testing.T) {
	var out *engine.Outcome
	variants(func(f *filler) { out = filledOutcome(f) }, func(what string) {
		b := engine.AppendOutcome(nil, out)
		back, err := engine.DecodeOutcome(b)
		require.NoError(t, err, what)
		for i := range b {
			b[i] ^= 0xff // no reference to the input is kept
		}
		require.Equal(t, out, back, what)
	})
	for code := range engine.Code(engine.CodeCount) {
		back, err := engine.DecodeOutcome(engine.AppendOutcome(nil, &engine.Outcome{Code: code}))
		require.NoError(t, err)
		require.Equal(t, &engine.Outcome{Code: code}, back)
	}
}

// TestOutcomesOfNewerBuilds: what a newer owner says beyond is passed over; a code or status without a name is an error.
func TestOutcomesOfNewerBuilds(t *testing.T) {
	out := filledOutcome(&filler{})
	more := append(engine.AppendOutcome(nil, out), 0xc0, 0x3e, 1) // field 1000
	back, err := engine.DecodeOutcome(more)
	require.NoError(t, err)
	require.Equal(t, out, back)

	refused := func(out engine.Outcome) {
		_, err := engine.DecodeOutcome(engine.AppendOutcome(nil, &out))
		require.ErrorIs(t, err, engine.ErrOutcome)
	}
	refused(engine.Outcome{Code: engine.Code(engine.CodeCount)})
	refused(engine.Outcome{Reservation: &engine.Reservation{Status: 99}})
	for name, b := range map[string][]byte{
		"a code that wraps round":  {0x08, 0x80, 0x02},                               // 256
		"a key without its hash":   {0x6a, 0},                                        // api_key
		"a hash of another length": {0x2a, 7, 0x50, 3, 0x62, 3, 1, 2, 3},             // reservation: status, key
		"cut":                      protowire.AppendTag(nil, 2, protowire.BytesType), // field
	} {
		_, err := engine.DecodeOutcome(b)
		require.ErrorIs(t, err, engine.ErrOutcome, name)
	}
}

func FuzzDecodeOutcome(f *testing.F) {
	f.Add(engine.AppendOutcome(nil, filledOutcome(&filler{})))
	s := enginetest.NewStream(rand.New(rand.NewPCG(13, 0)), 3)
	a := engine.NewAggregate(engine.AggregateID(s.ID))
	for range 60 {
		now, cmd := s.Next()
		out, events := a.Decide(now, cmd)
		s.Saw(out)
		for _, e := range events {
			a.Apply(e)
		}
		f.Add(engine.AppendOutcome(nil, &out))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		out, err := engine.DecodeOutcome(b)
		if err != nil {
			require.ErrorIs(t, err, engine.ErrOutcome)
			return
		}
		once := engine.AppendOutcome(nil, out)
		for i := range b {
			b[i] ^= 0xff // no reference to the input is kept
		}
		require.Equal(t, once, engine.AppendOutcome(nil, out))
		again, err := engine.DecodeOutcome(once)
		require.NoError(t, err)
		require.True(t, bytes.Equal(once, engine.AppendOutcome(nil, again)))
	})
}

func BenchmarkForwardCreate(b *testing.B) {
	_, id, day := floorOf(b, 1, 0)
	cmd := &engine.Command{Caller: guest(1), Key: engine.Hash{1}, Payload: engine.Hash{2}, Body: &engine.CreateReservation{
		ID: engine.MakeReservationID(id, 1<<40), Want: engine.When{HasLocal: true, Day: day, LocalMin: 20 * 60}, GuestsCount: 2,
		SpecialRequests: "a quiet corner", Contact: engine.Contact{Name: "Ada", Phone: "+39 06 1234567", Email: "ada@example.org"}}}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = engine.AppendCommand(buf[:0], cmd)
		if _, err := engine.DecodeCommand(buf); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(buf)), "bytes")
}

func BenchmarkForwardOutcome(b *testing.B) {
	a, id, day := floorOf(b, 4, 0)
	out, _ := a.Decide(0, &engine.Command{Caller: guest(1), Key: engine.Hash{1}, Payload: engine.Hash{2}, Body: &engine.CreateReservation{
		ID: engine.MakeReservationID(id, 1<<40), Want: engine.When{HasLocal: true, Day: day, LocalMin: 20 * 60}, GuestsCount: 2,
		SpecialRequests: "a quiet corner", Contact: engine.Contact{Name: "Ada", Phone: "+39 06 1234567", Email: "ada@example.org"}}})
	require.Equal(b, engine.CodeCreated, out.Code)
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = engine.AppendOutcome(buf[:0], &out)
		if _, err := engine.DecodeOutcome(buf); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(buf)), "bytes")
}
