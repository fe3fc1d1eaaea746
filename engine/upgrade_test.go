package engine_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"maitred/engine"
	"maitred/engine/enginepb"
)

// What a build says to, and keeps for, the builds before and after it.

// once reads a golden file of hexadecimal lines; with -update it is written if it is not there, and never anew.
func once(t *testing.T, name string, lines func() [][]byte) (list [][]byte) {
	t.Helper()
	file := filepath.Join("testdata", "golden", name)
	if _, err := os.Stat(file); *update && os.IsNotExist(err) {
		var text strings.Builder
		for _, b := range lines() {
			fmt.Fprintf(&text, "%x\n", b)
		}
		require.NoError(t, os.WriteFile(file, []byte(text.String()), 0o644))
	}
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	for _, line := range strings.Fields(string(text)) {
		list = append(list, unhex(t, line))
	}
	return list
}

// TestGoldenOutcomes: what an older owner answers (a refusal, and content in every field that it knew) is read in full: this build gives the
// same bytes for it.
func TestGoldenOutcomes(t *testing.T) {
	golden := once(t, "outcomes_v1", func() [][]byte { return nil })
	require.Len(t, golden, 2)
	for _, b := range golden {
		got, err := engine.DecodeOutcome(b)
		require.NoError(t, err)
		require.Equal(t, b, engine.AppendOutcome(nil, got))
	}
	refused, err := engine.DecodeOutcome(golden[0])
	require.NoError(t, err)
	require.Equal(t, &engine.Outcome{Code: engine.CodeLimit, Field: "tables"}, refused)
}

// TestGoldenAccountViews: the same of the view of an account that an older build's events made.
func TestGoldenAccountViews(t *testing.T) {
	a, _ := replayed(t, "account-1")
	view := a.View().(*engine.AccountView)
	golden := once(t, "views_v1", func() [][]byte { return [][]byte{engine.AppendAccountView(nil, view)} })
	require.Equal(t, golden[0], engine.AppendAccountView(nil, view))
	back, err := engine.DecodeAccountView(golden[0])
	require.NoError(t, err)
	require.True(t, alike(reflect.ValueOf(view), reflect.ValueOf(back)))
}

func goldenEvents(t *testing.T, name string) [][]byte {
	t.Helper()
	return once(t, name+".events", func() [][]byte { return nil })
}

func replayed(t *testing.T, name string, change ...func([]byte) []byte) (a engine.Aggregate, id engine.AggregateID) {
	t.Helper()
	for _, raw := range goldenEvents(t, name) {
		for _, c := range change {
			raw = c(raw)
		}
		e, err := engine.DecodeEvent(raw)
		require.NoError(t, err)
		if a == nil {
			if id = engine.AggregateID(e.GetRestaurantCreated().GetRestaurant().GetId()); id == "" {
				id = engine.AggregateID(e.GetAccountRegistered().Account.Id)
			}
			a = engine.NewAggregate(id)
		}
		a.Apply(e)
	}
	return a, id
}

// newer adds a field that this build does not know to every message within m, as later builds may.
func newer(t *testing.T, m proto.Message, b []byte) []byte {
	t.Helper()
	require.NoError(t, proto.Unmarshal(b, m))
	n := 0
	var walk func(protoreflect.Message)
	walk = func(m protoreflect.Message) {
		n++
		m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
			switch {
			case f.Message() == nil:
			case f.IsList():
				for i := range v.List().Len() {
					walk(v.List().Get(i).Message())
				}
			default:
				walk(v.Message())
			}
			return true
		})
		m.SetUnknown(protowire.AppendString(protowire.AppendTag(nil, 1000, protowire.BytesType), "of a later build"))
	}
	walk(m.ProtoReflect())
	require.Positive(t, n)
	out, err := proto.Marshal(m)
	require.NoError(t, err)
	require.NotEqual(t, b, out)
	return out
}

// TestEventsAndBasesOfNewerBuilds: what a newer build says beyond is passed over, wherever it stands: the state is the one without it. A
// base that this build writes leaves it out; therefore nobody says such things before every node knows them (Protocol).
func TestEventsAndBasesOfNewerBuilds(t *testing.T) {
	for _, name := range []string{"restaurant-1", "restaurant-2", "account-1"} {
		plain, id := replayed(t, name)
		more, _ := replayed(t, name, func(b []byte) []byte { return newer(t, new(enginepb.Event), b) })
		require.Equal(t, plain.AppendBase(nil), more.AppendBase(nil), name)

		var base proto.Message = new(enginepb.RestaurantBase)
		if strings.HasPrefix(name, "account") {
			base = new(enginepb.AccountBase)
		}
		opened, err := engine.OpenBase(id, newer(t, base, plain.AppendBase(nil)))
		require.NoError(t, err)
		require.Equal(t, plain.AppendBase(nil), opened.AppendBase(nil), name)
		require.NoError(t, engine.CheckInvariants(opened))
	}
	a, _ := replayed(t, "account-1")
	view := a.View().(*engine.AccountView)
	back, err := engine.DecodeAccountView(newer(t, new(enginepb.AccountView), engine.AppendAccountView(nil, view)))
	require.NoError(t, err)
	require.True(t, alike(reflect.ValueOf(view), reflect.ValueOf(back)))
}

// TestUnknownEventsAreRefused: a kind of event that this build does not know must not be passed over. The restaurant is quarantined
// until a newer build opens it; nothing is overwritten.
func TestUnknownEventsAreRefused(t *testing.T) {
	e := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 1_790_000_000_000)
	e = protowire.AppendBytes(protowire.AppendTag(e, 99, protowire.BytesType), []byte{0x0a, 1, 'x'})
	_, err := engine.DecodeEvent(e)
	require.ErrorIs(t, err, engine.ErrEvent)
}

// TestCommandsOfToday: what builds that announce nothing understand needs the first protocol only.
func TestCommandsOfToday(t *testing.T) {
	for _, raw := range once(t, "commands_v1", func() [][]byte { return nil }) {
		cmd, err := engine.DecodeCommand(raw)
		require.NoError(t, err)
		require.EqualValues(t, 1, cmd.Protocol())
	}
}

// TestGoldenOutcomesOfStaffWork: an answer with everything that came with protocol 2, conflicts and waiting included.
func TestGoldenOutcomesOfStaffWork(t *testing.T) {
	full := func() [][]byte {
		out := new(engine.Outcome)
		new(filler).fill(reflect.ValueOf(out).Elem())
		out.Code, out.Reservation.Status, out.Reservation.Waiting.QuotedMin = engine.CodeSlotUnavailable, engine.StatusHeld, -1
		return [][]byte{engine.AppendOutcome(nil, out)}
	}
	for _, b := range once(t, "outcomes_v2", full) {
		got, err := engine.DecodeOutcome(b)
		require.NoError(t, err)
		require.Equal(t, b, engine.AppendOutcome(nil, got))
		require.NotEmpty(t, got.Conflicts)
		require.NotNil(t, got.Reservation.Waiting)
	}
}
