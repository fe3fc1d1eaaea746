package engine_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"

	"maitred/engine"
	"maitred/engine/enginepb"
	"maitred/engine/enginetest"
)

// bodies are the commands that go from node to node, in the order of the golden file: new ones come last.
func bodies() []engine.Body {
	return []engine.Body{
		&engine.CreateRestaurant{}, &engine.ChangeRestaurant{}, &engine.AddTable{}, &engine.ChangeTable{}, &engine.RemoveTable{},
		&engine.CreateReservation{}, &engine.Reschedule{}, &engine.Transition{}, &engine.AddStaff{}, &engine.ChangeStaff{},
		&engine.RemoveStaff{}, &engine.AddReview{}, &engine.ForgetGuest{},
		&engine.Register{}, &engine.ChangeProfile{}, &engine.OpenSession{}, &engine.RotateSession{}, &engine.RevokeSession{},
		&engine.BeginSecondFactor{}, &engine.ConfirmSecondFactor{}, &engine.RemoveSecondFactor{}, &engine.RehashPassword{},
		&engine.NoteThrottle{}, &engine.AddAPIKey{}, &engine.RevokeAPIKey{}, &engine.EraseAccount{}, &engine.CompleteErasure{},
		&engine.SetRules{}, &engine.SeatWalkIn{}, &engine.Hold{}, &engine.ConfirmHold{}, &engine.JoinWaitlist{}, &engine.OfferTable{}, &engine.AssignTables{}, &engine.Annotate{},
	}
}

// staying are the commands that a node sends to itself only.
var staying = []engine.Body{&engine.Sweep{}}

// filler gives every field of a value another content than zero.
type filler struct {
	wide     bool // numbers beyond 32 bits: a command is not checked yet
	leaves   int
	only     int // the one leaf that is filled, from 1; 0 = all
	pointers int
	without  int // the one pointer that stays nil, from 1; 0 = none
}

func (f *filler) fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			f.fill(v.Field(i))
		}
	case reflect.Pointer:
		if f.pointers++; f.pointers != f.without {
			v.Set(reflect.New(v.Type().Elem()))
			f.fill(v.Elem())
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		f.fill(v.Index(0))
		f.fill(v.Index(1))
	case reflect.Interface: // the body, which the caller fills
	default:
		f.leaves++
		f.leaf(v, int64(f.leaves), f.only == 0 || f.only == f.leaves)
	}
}

func (f *filler) leaf(v reflect.Value, n int64, on bool) {
	switch v.Interface().(type) { // of what has names every value must have one
	case engine.Role, engine.Action:
		v.Set(reflect.ValueOf(1 + n%6).Convert(v.Type()))
		return
	case engine.Approval:
		v.Set(reflect.ValueOf(n % 3).Convert(v.Type()))
		return
	case engine.Channel:
		v.Set(reflect.ValueOf(n % 3).Convert(v.Type()))
		return
	case engine.Reason:
		v.Set(reflect.ValueOf(n % 8).Convert(v.Type()))
		return
	case engine.Status:
		v.Set(reflect.ValueOf(1 + n%9).Convert(v.Type()))
		return
	case engine.Code:
		v.Set(reflect.ValueOf(engine.CodeLimit))
		return
	}
	if !on {
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprintf("text %d", n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		if f.wide {
			n = -n << 40
		}
		v.SetInt(n)
	case reflect.Int32:
		v.SetInt(-n)
	case reflect.Uint8, reflect.Uint64:
		v.SetUint(uint64(n))
	case reflect.Float64:
		v.SetFloat(-float64(n) / 4)
	case reflect.Array: // a hash
		reflect.Copy(v, reflect.ValueOf(bytes.Repeat([]byte{byte(n)}, v.Len())))
	default:
		panic("no content for " + v.Type().String())
	}
}

// filled is a command with that kind of body. Its own fields come after those of the body, so that a new field of the
// command leaves the contents of bodies alone.
func (f *filler) filled(kind engine.Body) *engine.Command {
	f.wide = true
	cmd := &engine.Command{Body: reflect.New(reflect.TypeOf(kind).Elem()).Interface().(engine.Body)}
	f.fill(reflect.ValueOf(cmd.Body).Elem())
	f.fill(reflect.ValueOf(cmd).Elem())
	cmd.Silent = false // the owner's, it does not travel
	return cmd
}

// variants calls do with everything filled, with each leaf alone filled, and with each pointer alone nil.
func variants(make func(f *filler), do func(what string)) {
	all := &filler{}
	make(all)
	do("all")
	for i := range all.leaves {
		make(&filler{only: i + 1})
		do(fmt.Sprintf("only leaf %d", i+1))
	}
	for i := range all.pointers {
		make(&filler{without: i + 1})
		do(fmt.Sprintf("without pointer %d", i+1))
	}
}

func sameCommand(t require.TestingT, cmd *engine.Command, msg ...any) *engine.Command {
	once := engine.AppendCommand([]byte("before"), cmd)
	require.Equal(t, "before", string(once[:6]))
	b := once[6:]
	back, err := engine.DecodeCommand(b)
	require.NoError(t, err, msg...)
	for i := range b {
		b[i] ^= 0xff // no reference to the input is kept
	}
	require.Equal(t, cmd, back, msg...)
	return back
}

// TestCommandsThatTravel: whatever implements Body goes to another node with every field, or is known to stay.
func TestCommandsThatTravel(t *testing.T) {
	var names []string
	for _, b := range staying {
		names = append(names, reflect.TypeOf(b).Elem().Name())
		require.Panics(t, func() { engine.AppendCommand(nil, &engine.Command{Body: b}) })
	}
	for _, kind := range bodies() {
		name := reflect.TypeOf(kind).Elem().Name()
		names = append(names, name)
		t.Run(name, func(t *testing.T) {
			var cmd *engine.Command
			variants(func(f *filler) { cmd = f.filled(kind) }, func(what string) { sameCommand(t, cmd, what) })
		})
	}
	require.ElementsMatch(t, bodiesOfSource(t), names, "every kind of command is here, once")
	require.Panics(t, func() { engine.AppendCommand(nil, &engine.Command{}) })
}

// bodiesOfSource are the receivers of isBody.
func bodiesOfSource(t *testing.T) (names []string) {
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, file := range files {
		parsed, err := parser.ParseFile(gotoken.NewFileSet(), file, nil, 0)
		require.NoError(t, err)
		for _, d := range parsed.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == "isBody" {
				names = append(names, f.Recv.List[0].Type.(*ast.StarExpr).X.(*ast.Ident).Name)
			}
		}
	}
	return names
}

// TestCommandsAreUnderstoodInFull: what this build does not know is refused wherever it stands, and so is what is cut.
func TestCommandsAreUnderstoodInFull(t *testing.T) {
	refused := func(t *testing.T, b []byte, why string) {
		t.Helper()
		_, err := engine.DecodeCommand(b)
		require.ErrorIs(t, err, engine.ErrCommand, why)
	}
	refused(t, nil, "nothing")
	refused(t, []byte{0x10, 1}, "a caller without a wish")
	refused(t, []byte{0xba, 0x3f, 0}, "a body of number 1015")
	for _, kind := range bodies() {
		t.Run(reflect.TypeOf(kind).Elem().Name(), func(t *testing.T) {
			b := engine.AppendCommand(nil, new(filler).filled(kind))
			for cut := range b {
				refused(t, b[:cut], "cut")
			}
			each := func(why string, least int, change func(protoreflect.Message)) {
				changed := everywhere(t, b, change)
				require.GreaterOrEqual(t, len(changed), least, why)
				for _, c := range changed {
					refused(t, c, why)
				}
			}
			each("unknown field", 2, func(m protoreflect.Message) { m.SetUnknown([]byte{0xc0, 0x3e, 1}) }) // field 1000
			each("long hash", 1, func(m protoreflect.Message) { spoil(m, protoreflect.BytesKind, 1) })
			each("short hash", 1, func(m protoreflect.Message) { spoil(m, protoreflect.BytesKind, -1) })
			each("unknown role", 1, func(m protoreflect.Message) { spoil(m, protoreflect.EnumKind, 99) })
			each("wraps round", 0, func(m protoreflect.Message) { spoil(m, protoreflect.Uint32Kind, 256) })
		})
	}
	move := new(filler).filled(&engine.Transition{})
	move.Body.(*engine.Transition).Action = engine.ActionRelease + 1
	refused(t, engine.AppendCommand(nil, move), "unknown action")
}

// everywhere changes one message within an encoded command at a time; what did not change is left out.
func everywhere(t *testing.T, b []byte, change func(protoreflect.Message)) (list [][]byte) {
	for at := -1; ; at++ { // first none, to see that it is the change which is refused
		p := new(enginepb.Command)
		require.NoError(t, proto.Unmarshal(b, p))
		n := 0
		var walk func(m protoreflect.Message)
		walk = func(m protoreflect.Message) {
			if n++; n == at+1 {
				change(m)
			}
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
		}
		walk(p.ProtoReflect())
		if n <= at {
			return list
		}
		changed, err := proto.MarshalOptions{Deterministic: true}.Marshal(p)
		require.NoError(t, err)
		if at < 0 {
			require.Equal(t, b, changed)
		} else if !bytes.Equal(changed, b) {
			list = append(list, changed)
		}
	}
}

// spoil breaks one field of that kind. A secret is any bytes: its length is Decide's to check.
func spoil(m protoreflect.Message, kind protoreflect.Kind, by int) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if f.Kind() != kind || f.IsList() || f.Name() == "secret" {
			return true
		}
		switch kind {
		case protoreflect.BytesKind:
			m.Set(f, protoreflect.ValueOfBytes(append(v.Bytes(), 1)[:len(v.Bytes())+by]))
		case protoreflect.EnumKind:
			m.Set(f, protoreflect.ValueOfEnum(protoreflect.EnumNumber(by)))
		case protoreflect.Uint32Kind:
			m.Set(f, protoreflect.ValueOfUint32(uint32(v.Uint())+uint32(by)))
		}
		return false
	})
}

// TestGoldenCommands: what older builds send is understood, and is encoded as they do.
func TestGoldenCommands(t *testing.T) {
	for _, g := range []struct {
		name  string
		kinds int
	}{{"commands_v1", 27}, {"commands_v2", 35}} {
		t.Run(g.name, func(t *testing.T) { readGoldenCommands(t, filepath.Join("testdata", "golden", g.name), g.kinds) })
	}
}

func readGoldenCommands(t *testing.T, file string, want int) {
	if _, err := os.Stat(file); *update && os.IsNotExist(err) { // what was sent once is never written anew
		var text strings.Builder
		for _, kind := range bodies() {
			fmt.Fprintf(&text, "%x\n", engine.AppendCommand(nil, new(filler).filled(kind)))
		}
		require.NoError(t, os.WriteFile(file, []byte(text.String()), 0o644))
	}
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	kinds := map[string]bool{}
	for _, line := range strings.Fields(string(text)) {
		raw := unhex(t, line)
		cmd, err := engine.DecodeCommand(raw)
		require.NoError(t, err)
		require.Equal(t, raw, engine.AppendCommand(nil, cmd), "the encoding is canonical")
		kinds[reflect.TypeOf(cmd.Body).String()] = true
	}
	require.Len(t, kinds, want, "every command of that version is there")
}

// forward decides the command as its owner does when it came from another node, holds that against the one that stayed, and
// applies it.
func forward(t require.TestingT, a engine.Aggregate, now engine.Instant, cmd *engine.Command) engine.Outcome {
	want, events := a.Decide(now, cmd)
	if _, stays := cmd.Body.(*engine.Sweep); !stays {
		got, again := a.Decide(now, sameCommand(t, cmd))
		require.Equal(t, want, got)
		require.Equal(t, encoded(events), encoded(again), "the same events")
		events = again
	}
	back, err := engine.DecodeOutcome(engine.AppendOutcome(nil, &want))
	require.NoError(t, err)
	require.Equal(t, &want, back)
	for _, e := range events {
		a.Apply(e)
	}
	return want
}

func encoded(events []*engine.Event) (list [][]byte) {
	for _, e := range events {
		list = append(list, engine.AppendEvent(nil, e))
	}
	return list
}

func forwardRestaurant(t require.TestingT, src enginetest.Source, n int, seen map[string]int) {
	s := enginetest.NewStream(src, 1)
	a := engine.NewAggregate(engine.AggregateID(s.ID))
	for range n {
		now, cmd := s.Next()
		out := forward(t, a, now, cmd)
		s.Saw(out)
		seen[reflect.TypeOf(cmd.Body).String()]++
		note(seen, reflect.ValueOf(out), "Outcome")
	}
}

func forwardAccount(t require.TestingT, src enginetest.Source, n int, seen map[string]int) {
	s := enginetest.NewAccountStream(src)
	a := engine.NewAggregate(engine.AggregateID(s.ID))
	for i := range n {
		now, cmd := s.Next()
		if i%97 == 96 {
			cmd = &engine.Command{Caller: system, Body: []engine.Body{&engine.EraseAccount{}, &engine.CompleteErasure{}}[i/97%2]}
		}
		note(seen, reflect.ValueOf(forward(t, a, now, cmd)), "Outcome")
		seen[reflect.TypeOf(cmd.Body).String()]++
		sameView(t, a.View().(*engine.AccountView))
		note(seen, reflect.ValueOf(a.View()).Elem().Field(0), "View")
	}
}

// note counts the fields that have content, to see that the histories reach everything.
func note(seen map[string]int, v reflect.Value, name string) {
	for i := range v.NumField() {
		if !v.Field(i).IsZero() {
			seen[name+"."+v.Type().Field(i).Name]++
		}
	}
}

// TestForwardedCommands: a command decided at another node comes to the same, in answer and events.
func TestForwardedCommands(t *testing.T) {
	seen := map[string]int{}
	missing := func() (names []string) {
		for _, b := range append(bodies(), staying...) {
			names = append(names, reflect.TypeOf(b).String())
		}
		for i := range reflect.TypeFor[engine.Outcome]().NumField() {
			names = append(names, "Outcome."+reflect.TypeFor[engine.Outcome]().Field(i).Name)
		}
		for view, i := reflect.TypeFor[engine.AccountView]().Field(0).Type, 0; i < view.NumField(); i++ {
			names = append(names, "View."+view.Field(i).Name)
		}
		return slices.DeleteFunc(names, func(n string) bool {
			return seen[n] > 0 || n == "Outcome.More" // more than one command may cancel: TestOutcomesTravel has it
		})
	}
	for seed := uint64(0); seed < 12 || len(missing()) > 0; seed++ {
		require.Less(t, seed, uint64(200), "never seen: %v", missing())
		forwardRestaurant(t, rand.New(rand.NewPCG(seed, 1)), 400, seen)
		forwardAccount(t, rand.New(rand.NewPCG(seed, 2)), 600, seen)
	}
	t.Log(seen)
}

func TestForwardedCommandsShrink(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 60).Draw(t, "commands")
		forwardRestaurant(t, enginetest.FromRapid(t), n, map[string]int{})
		forwardAccount(t, enginetest.FromRapid(t), n, map[string]int{})
	})
}

func FuzzDecodeCommand(f *testing.F) {
	for _, kind := range bodies() {
		f.Add(engine.AppendCommand(nil, new(filler).filled(kind)))
	}
	s := enginetest.NewStream(rand.New(rand.NewPCG(13, 0)), 3)
	for range 20 {
		if _, cmd := s.Next(); reflect.TypeOf(cmd.Body) != reflect.TypeOf(staying[0]) {
			f.Add(engine.AppendCommand(nil, cmd))
		}
	}
	open, _, _ := floorOf(f, 4, 4)
	known := engine.NewAggregate(engine.AggregateID(owner.Account))
	f.Fuzz(func(t *testing.T, b []byte) {
		kept := bytes.Clone(b)
		cmd, err := engine.DecodeCommand(b)
		if err != nil {
			require.ErrorIs(t, err, engine.ErrCommand)
			return
		}
		for i := range b {
			b[i] ^= 0xff // no reference to the input is kept
		}
		require.Equal(t, kept, engine.AppendCommand(nil, cmd), "one encoding")
		again, err := engine.DecodeCommand(kept)
		require.NoError(t, err)
		require.Equal(t, engine.AppendCommand(nil, cmd), engine.AppendCommand(nil, again))
		if engine.ForRestaurant(cmd.Body) { // whatever is understood can be decided
			open.Decide(0, cmd)
		} else {
			known.Decide(0, cmd)
		}
	})
}

// A command is for restaurants or for accounts: the other kind of aggregate does not know it.
func TestCommandsAreForOneKind(t *testing.T) {
	made := func(id engine.AggregateID, role engine.Role, b engine.Body) engine.Aggregate {
		a := engine.NewAggregate(id)
		out, events := a.Decide(1, &engine.Command{Caller: engine.Caller{Account: "usr_x", Role: role}, Body: b})
		require.False(t, out.Code.Refused(), "%v %s", out.Code, out.Field)
		for _, e := range events {
			a.Apply(e)
		}
		return a
	}
	guest := engine.MakeAccountID([16]byte{1})
	restaurant := made("rst_0123456789abc", engine.RoleOwner, &engine.CreateRestaurant{ID: "rst_0123456789abc", Details: engine.Details{Name: "Da Ivo", TimeZone: "Europe/Rome"}})
	account := made(engine.AggregateID(guest), engine.RoleSystem, &engine.Register{Profile: engine.Profile{
		ID: guest, Email: "anna@example.org", PasswordHash: "x", FirstName: "Anna", LastName: "Rossi", Role: engine.RoleCustomer,
	}})
	for _, b := range append(bodies(), staying...) {
		right, wrong := account, restaurant
		if engine.ForRestaurant(b) {
			right, wrong = restaurant, account
		}
		cmd := &engine.Command{Caller: engine.Caller{Role: engine.RoleSystem}, Body: b}
		require.NotPanics(t, func() { right.Decide(2, cmd) }, "%T", b)
		require.Panics(t, func() { wrong.Decide(2, cmd) }, "%T", b)
	}
}
