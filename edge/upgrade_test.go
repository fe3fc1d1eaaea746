package edge

import (
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"maitred/edge/hoppb"
	"maitred/engine"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files that are not there; what was sent once is never written anew")

// asked and answered have content in every field.
func asked() []proto.Message {
	cancel := &engine.Command{Caller: engine.Caller{Account: "usr_x", Role: engine.RoleCustomer, From: "127.0.0.1"}, Key: engine.Hash{1}, IfMatch: 3,
		Body: &engine.Transition{ID: "rsv_x", Action: engine.ActionCancel, Reason: "a cold"}}
	return []proto.Message{
		&hoppb.Request{Aggregate: "rst_0123456789abc", Since: 77, PatienceMs: 5000, Command: engine.AppendCommand(nil, cancel)},
		&hoppb.Request{Aggregate: "rst_0123456789abc", Since: 77, Read: &hoppb.Read{Pattern: "/api/v1/x/{id}", Uri: "/api/v1/x/y?z=1", Id: "y", Account: "usr_x", Role: 2}},
		&hoppb.Request{Aggregate: "rst_0123456789abc", Look: &hoppb.Look{Guests: 2, At: 1_790_000_000, Day: 20_000, Minute: 1200}},
		&hoppb.Request{Aggregate: "rst_0123456789abc", Rank: &hoppb.Who{Account: "usr_x", Role: 2}},
		&hoppb.Answer{Fault: hoppb.Fault_NOT_OWNER, Owner: "n2", Since: 77},
		&hoppb.Answer{
			Outcome: engine.AppendOutcome(nil, &engine.Outcome{Code: engine.CodeLimit, Field: "tables"}), Account: []byte("view"), Status: 200, Rank: 2,
			Headers: []*hoppb.Header{{Name: "ETag", Value: "1"}}, Body: []byte("{}"), Start: &hoppb.Start{Day: 20_000, LocalMin: 1200, StartsAt: 1_790_000_000, Free: 3},
		},
	}
}

// TestGoldenHop: what older builds ask and answer is read, and this one writes the same.
func TestGoldenHop(t *testing.T) {
	const file = "testdata/hop_v1"
	exact := proto.MarshalOptions{Deterministic: true}
	if _, err := os.Stat(file); *rewrite && os.IsNotExist(err) {
		var text strings.Builder
		for _, m := range asked() {
			b, err := exact.Marshal(m)
			require.NoError(t, err)
			fmt.Fprintf(&text, "%x\n", b)
		}
		require.NoError(t, os.WriteFile(file, []byte(text.String()), 0o644))
	}
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	lines := strings.Fields(string(text))
	require.Len(t, lines, len(asked()))
	for i, want := range asked() {
		golden, err := hex.DecodeString(lines[i])
		require.NoError(t, err)
		vt := want.ProtoReflect().New().Interface().(interface {
			proto.Message
			UnmarshalVT([]byte) error
			MarshalVT() ([]byte, error)
		})
		require.NoError(t, vt.UnmarshalVT(golden))
		require.True(t, proto.Equal(want, vt), "%d: %v", i, vt)
		b, err := vt.MarshalVT()
		require.NoError(t, err)
		require.Equal(t, golden, b)
	}
}

// A newer node may say more than this one knows, and gets its answer; a question that is only in what is unknown is none that this one
// answers, least of all with something else.
func TestQuestionsOfNewerBuilds(t *testing.T) {
	house := openHouse(t)
	s := prepare(t, struct{ House }{house}, func(c *Config) { c.Cell = &Cell{Node: "n1", Custody: known{}} })
	account := string(engine.MakeAccountID([16]byte{1}))
	register := engine.AppendCommand(nil, &engine.Command{Caller: engine.Caller{Role: engine.RoleSystem}, Body: &engine.Register{Profile: engine.Profile{
		ID: engine.AccountID(account), Email: "a@example.org", FirstName: "A", LastName: "B", Role: engine.RoleCustomer, PasswordHash: "x",
	}}})
	more := protowire.AppendString(protowire.AppendTag(nil, 1000, protowire.BytesType), "of a later build")
	ask := func(q *hoppb.Request, more []byte) *hoppb.Answer {
		q.PatienceMs = 1000
		body, err := q.MarshalVT()
		require.NoError(t, err)
		status, answer := s.Ask("n2", hopPath, append(body, more...))
		require.Equal(t, 200, status)
		a := new(hoppb.Answer)
		require.NoError(t, a.UnmarshalVT(append(answer, more...)))
		return a
	}
	created := ask(&hoppb.Request{Aggregate: account, Command: register}, more)
	require.Equal(t, hoppb.Fault_NONE, created.Fault)
	out, err := engine.DecodeOutcome(append(created.Outcome, more...))
	require.NoError(t, err)
	require.Equal(t, engine.CodeCreated, out.Code, "%s", out.Field)
	require.NotEmpty(t, ask(&hoppb.Request{Aggregate: account}, nil).Account)
	unknown := ask(&hoppb.Request{Aggregate: account}, more)
	require.Equal(t, hoppb.Fault_NOT_UNDERSTOOD, unknown.Fault)
	require.Empty(t, unknown.Account)
	require.Equal(t, hoppb.Fault_NOT_UNDERSTOOD, ask(&hoppb.Request{Aggregate: account, Command: append(register, more...)}, nil).Fault)
}
