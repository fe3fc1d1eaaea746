package engine_test

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/engine"
)

var rewrite = flag.Bool("rewrite", false, "write the output of the scripts anew; commit only what you understand")

// TestScripts runs testdata/*.txt: a command, ----, the whole output, an empty line.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	seen := map[string]bool{}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			s := &script{t: t, names: map[string]string{}, seen: seen}
			var got strings.Builder
			for _, block := range strings.Split(strings.TrimSpace(string(text)), "\n\n") {
				command, _, _ := strings.Cut(block, "\n----")
				fmt.Fprintf(&got, "%s\n----\n%s\n\n", command, s.run(command))
			}
			if *rewrite {
				require.NoError(t, os.WriteFile(file, []byte(strings.TrimSpace(got.String())+"\n"), 0o644))
				return
			}
			require.Equal(t, strings.TrimSpace(string(text)), strings.TrimSpace(got.String()))
		})
	}
	for c := range engine.Code(engine.CodeCount) {
		require.True(t, seen[c.String()], "no script shows %s", c)
	}
	for _, verb := range strings.Fields("create-restaurant change-restaurant add-table change-table remove-table book reschedule do sweep " +
		"rules shifts free walk-in hold confirm-hold join offer waitlist conflicts assign note close-table move-table block-table hire promote dismiss review register change-profile login rotate revoke totp-begin totp-confirm totp-remove api-key api-key-revoke rehash note-throttle at state") {
		require.True(t, seen[verb], "no script uses %s", verb)
	}
}

// script is a restaurant and an account, and the names that a script gives to ids.
type script struct {
	t       *testing.T
	a, acct engine.Aggregate
	view    engine.View
	now     engine.Instant
	names   map[string]string
	seen    map[string]bool
	n       uint64
}

var (
	scriptRestaurant = engine.MakeRestaurantID(1)
	scriptAccount    = engine.MakeAccountID([16]byte{'a', 'd', 'a'})
)

// run reads "verb key=value …" lines; those before the last one that start with # are remarks.
func (s *script) run(command string) string {
	lines := strings.Split(command, "\n")
	line := lines[len(lines)-1]
	verb, rest, _ := strings.Cut(line, " ")
	args := map[string]string{}
	for _, f := range strings.Fields(rest) {
		k, v, _ := strings.Cut(f, "=")
		args[k] = v
	}
	s.seen[verb] = true
	switch verb {
	case "at":
		at, err := time.Parse(time.RFC3339, args["t"])
		require.NoError(s.t, err)
		s.now = engine.Instant(at.UnixMilli())
		return "ok"
	case "state":
		return s.state()
	case "free":
		return s.free(args)
	case "conflicts":
		return s.conflicts()
	case "waitlist":
		return s.waitlist(args)
	}
	if body := s.accountBody(verb, args); body != nil {
		if s.acct == nil {
			s.acct = engine.NewAggregate(engine.AggregateID(scriptAccount))
		}
		return s.send(s.acct, args, body)
	}
	if s.a == nil {
		s.a = engine.NewAggregate(engine.AggregateID(scriptRestaurant))
		s.view = s.a.View()
	}
	return s.send(s.a, args, s.body(verb, args))
}

func (s *script) send(a engine.Aggregate, args map[string]string, body engine.Body) string {
	cmd := &engine.Command{Caller: s.caller(args["by"]), Body: body, IfMatch: engine.Version(s.number(args, "if", 0))}
	if k := args["key"]; k != "" {
		copy(cmd.Key[:], k)
		copy(cmd.Payload[:], args["payload"])
	}
	out, events := a.Decide(s.now, cmd)
	s.seen[out.Code.String()] = true
	text := s.show(out)
	for _, e := range events {
		a.Apply(e)
		text += "\n  event " + strings.TrimPrefix(fmt.Sprintf("%T", e.Body), "*enginepb.Event_")
		if e.Receipt != nil {
			text += " with receipt"
		}
	}
	if a == s.a {
		s.view = s.view.Next(events)
	}
	require.NoError(s.t, engine.CheckInvariants(a))
	return text
}

func (s *script) caller(who string) engine.Caller {
	switch who {
	case "owner":
		return owner
	case "system":
		return system
	case "ada":
		return engine.Caller{Account: scriptAccount, Role: engine.RoleCustomer}
	case "bob":
		return guest(2)
	}
	return engine.Caller{}
}

func (s *script) number(args map[string]string, key string, missing int) int {
	if args[key] == "" {
		return missing
	}
	n, err := strconv.Atoi(args[key])
	require.NoError(s.t, err, key)
	return n
}

// id is the id behind a name, made when it is new.
func (s *script) id(name string, make func(engine.RestaurantID, uint64) string) string {
	if name == "" {
		return ""
	}
	if s.names[name] == "" {
		s.n++
		s.names[name] = make(scriptRestaurant, s.n)
	}
	return s.names[name]
}

func (s *script) table(name string) engine.TableID {
	return engine.TableID(s.id(name, func(r engine.RestaurantID, n uint64) string { return string(engine.MakeTableID(r, n)) }))
}

func (s *script) reservation(name string) engine.ReservationID {
	return engine.ReservationID(s.id(name, func(r engine.RestaurantID, n uint64) string { return string(engine.MakeReservationID(r, n)) }))
}

func (s *script) when(args map[string]string) (w engine.When) {
	if args["date"] != "" {
		w.HasLocal = true
		w.Day = day(s.t, args["date"])
		m, ok := engine.ParseClock(args["time"])
		require.True(s.t, ok)
		w.LocalMin = m
	}
	return w
}

func (s *script) second(text string) int64 {
	at, err := time.Parse(time.RFC3339, text)
	require.NoError(s.t, err)
	return at.Unix()
}

func (s *script) details(args map[string]string) engine.Details {
	d := engine.Details{Name: args["name"], TimeZone: args["zone"]}
	if d.TimeZone == "" {
		d.TimeZone = "Europe/Rome"
	}
	d.OpeningHours = []engine.OpeningHours{{Days: 127, Open: 18 * 60, Close: 26 * 60, LastSeating: 25 * 60}}
	return d
}

func (s *script) body(verb string, args map[string]string) engine.Body {
	switch verb {
	case "create-restaurant":
		return &engine.CreateRestaurant{ID: scriptRestaurant, Details: s.details(args)}
	case "change-restaurant":
		name := args["name"]
		return &engine.ChangeRestaurant{Change: engine.DetailsChange{Name: &name}}
	case "rules":
		return s.rules(args)
	case "shifts":
		return &engine.ChangeRestaurant{Change: engine.DetailsChange{OpeningHours: new(s.shifts(args["of"]))}}
	case "add-table":
		n := s.number(args, "capacity", 2)
		channel, ok := engine.ParseChannel(cmp.Or(args["channel"], "online"))
		require.True(s.t, ok)
		return &engine.AddTable{ID: s.table(args["id"]), Table: engine.TableSpec{Number: args["id"], Capacity: n, MinCapacity: s.number(args, "min", 1),
			InService: true, Location: args["area"], Channel: channel}}
	case "change-table":
		n := s.number(args, "capacity", 2)
		return &engine.ChangeTable{ID: s.table(args["id"]), Change: engine.TableChange{Capacity: &n}}
	case "move-table":
		return &engine.ChangeTable{ID: s.table(args["id"]), Change: engine.TableChange{Location: new(args["area"])}}
	case "close-table":
		return &engine.ChangeTable{ID: s.table(args["id"]), Change: engine.TableChange{InService: new(false)}}
	case "block-table":
		return &engine.ChangeTable{ID: s.table(args["id"]), Change: engine.TableChange{Blocks: &[]engine.Block{{From: s.second(args["from"]), Until: s.second(args["until"])}}}}
	case "remove-table":
		return &engine.RemoveTable{ID: s.table(args["id"])}
	case "book":
		return &engine.CreateReservation{ID: s.reservation(args["id"]), Want: s.when(args), GuestsCount: s.number(args, "guests", 2),
			Table: s.table(args["table"]), Area: args["area"], Override: args["override"]}
	case "assign":
		c := &engine.AssignTables{ID: s.reservation(args["id"]), Override: args["override"]}
		for _, name := range strings.FieldsFunc(args["tables"], func(r rune) bool { return r == '+' }) {
			c.Tables = append(c.Tables, s.table(name))
		}
		return c
	case "note":
		return &engine.Annotate{ID: s.reservation(args["id"]), Note: args["text"]}
	case "hold":
		return &engine.Hold{ID: s.reservation(args["id"]), Want: s.when(args), GuestsCount: s.number(args, "guests", 2), Table: s.table(args["table"]),
			Replaces: s.reservation(args["replaces"])}
	case "confirm-hold":
		c := &engine.ConfirmHold{ID: s.reservation(args["id"])}
		if args["requests"] != "" {
			c.SpecialRequests = new(args["requests"])
		}
		return c
	case "join":
		c := &engine.JoinWaitlist{ID: s.reservation(args["id"]), Want: s.when(args), GuestsCount: s.number(args, "guests", 2), Area: args["area"]}
		if until := args["until"]; until != "" {
			c.Until = s.when(map[string]string{"date": args["date"], "time": until})
		}
		return c
	case "offer":
		return &engine.OfferTable{ID: s.reservation(args["id"])}
	case "walk-in":
		return &engine.SeatWalkIn{ID: s.reservation(args["id"]), GuestsCount: s.number(args, "guests", 2), Table: s.table(args["table"]), Area: args["area"]}
	case "reschedule":
		c := &engine.Reschedule{ID: s.reservation(args["id"]), Override: args["override"]}
		if args["table"] != "" {
			c.Table = new(s.table(args["table"]))
		}
		if args["date"] != "" {
			w := s.when(args)
			c.Want = &w
		}
		if args["guests"] != "" {
			c.GuestsCount = new(s.number(args, "guests", 0))
		}
		if area, given := args["area"]; given {
			c.Area = &area
		}
		return c
	case "do":
		action, ok := engine.ParseAction(args["action"])
		require.True(s.t, ok, args["action"])
		return &engine.Transition{ID: s.reservation(args["id"]), Action: action}
	case "hire":
		return &engine.AddStaff{Account: s.caller(args["who"]).Account, Role: role(args["role"])}
	case "promote":
		return &engine.ChangeStaff{Account: s.caller(args["who"]).Account, Role: role(args["role"])}
	case "dismiss":
		return &engine.RemoveStaff{Account: s.caller(args["who"]).Account}
	case "review":
		s.n++
		return &engine.AddReview{ID: engine.MakeReviewID(scriptRestaurant, s.n), Reservation: s.reservation(args["id"]), Rating: s.number(args, "rating", 5), Comment: "buono"}
	case "sweep":
		return &engine.Sweep{}
	case "forget":
		return &engine.ForgetGuest{Guest: s.caller(args["guest"]).Account}
	}
	s.t.Fatalf("no command %q", verb)
	return nil
}

func role(name string) engine.Role {
	return map[string]engine.Role{"host": engine.RoleHost, "manager": engine.RoleManager, "owner": engine.RoleOwner}[name]
}

func (s *script) accountBody(verb string, args map[string]string) engine.Body {
	hash := func(v string) (h engine.Hash32) { copy(h[:], v); return h }
	switch verb {
	case "register":
		return &engine.Register{Profile: engine.Profile{ID: scriptAccount, Email: args["email"], Role: engine.RoleCustomer, PasswordHash: "phc"}}
	case "change-profile":
		name := args["name"]
		return &engine.ChangeProfile{Change: engine.ProfileChange{FirstName: &name}}
	case "login":
		return &engine.OpenSession{Family: args["family"], Refresh: hash(args["token"]), Expires: s.now + 1000,
			Step: int64(s.number(args, "step", 0)), Recovery: hash(args["recovery"])}
	case "rotate":
		return &engine.RotateSession{Old: hash(args["old"]), New: hash(args["new"])}
	case "revoke":
		return &engine.RevokeSession{Refresh: hash(args["token"])}
	case "totp-begin":
		return &engine.BeginSecondFactor{Secret: args["secret"]}
	case "totp-confirm":
		return &engine.ConfirmSecondFactor{Secret: args["secret"], Step: int64(s.number(args, "step", 0)),
			Recovery: []engine.Hash32{hash("r1"), hash("r2")}}
	case "totp-remove":
		return &engine.RemoveSecondFactor{}
	case "api-key":
		return &engine.AddAPIKey{Key: engine.APIKey{ID: engine.MakeAPIKeyID(uint64(s.number(args, "id", 1))), Name: args["name"], Hash: hash(args["name"])}}
	case "api-key-revoke":
		return &engine.RevokeAPIKey{ID: engine.MakeAPIKeyID(uint64(s.number(args, "id", 1)))}
	case "rehash":
		return &engine.RehashPassword{Old: args["old"], New: args["new"]}
	case "note-throttle":
		return &engine.NoteThrottle{}
	case "erase":
		return &engine.EraseAccount{}
	case "complete-erasure":
		return &engine.CompleteErasure{}
	}
	return nil
}

func (s *script) name(id string) string {
	for name, known := range s.names {
		if known == id {
			return name
		}
	}
	return id
}

func (s *script) show(out engine.Outcome) string {
	text := out.Code.String()
	if out.Field != "" {
		text += " field=" + out.Field
	}
	if out.Replayed {
		text += " replayed"
	}
	if out.Waits {
		text += " waits"
	}
	if r := out.Reservation; r != nil {
		text += "\n  " + s.line(r)
	}
	if t := out.Table; t != nil {
		text += fmt.Sprintf("\n  table %s %d–%d v%d", t.Number, t.MinCapacity, t.Capacity, t.Version)
	}
	if r := out.Restaurant; r != nil {
		text += fmt.Sprintf("\n  restaurant %s v%d", r.Name, r.Version)
		if r.Ratings.Count > 0 {
			text += fmt.Sprintf(" %.2f of %d", r.Ratings.Average(), r.Ratings.Count)
		}
	}
	if r := out.Rules; r != nil {
		text += fmt.Sprintf("\n  rules v%d", r.Version)
	}
	if m := out.Member; m != nil {
		text += fmt.Sprintf("\n  member %s v%d", m.Role, m.Version)
	}
	if a := out.Account; a != nil {
		text += fmt.Sprintf("\n  account %s %q v%d", a.Email, a.FirstName, a.Version)
	}
	if out.Family != "" {
		text += " family=" + out.Family
	}
	for _, o := range out.Conflicts {
		text += "\n  in the way " + s.obstacle(&o)
	}
	for _, a := range out.Alternatives {
		text += fmt.Sprintf("\n  rather %s %s", a.Day, engine.AppendClock(nil, a.LocalMin))
	}
	return text
}

func (s *script) line(r *engine.Reservation) string {
	var tables []string
	for _, t := range r.Tables {
		tables = append(tables, s.name(string(t)))
	}
	owes := ""
	if w := r.Waiting; w != nil && r.Status == engine.StatusWaiting {
		owes = fmt.Sprintf(" until %s, told %d min", time.Unix(w.Until, 0).UTC().Format("15:04Z"), w.QuotedMin)
	}
	if r.Status == engine.StatusHeld && r.Waiting != nil {
		owes = " offered until " + time.UnixMilli(int64(r.HoldUntil)).UTC().Format("15:04:05Z")
	}
	if r.FeeDue != 0 {
		owes = fmt.Sprintf(" owes %d %s", r.FeeDue, r.Policy.Currency)
	}
	if o := r.Override; o != nil {
		owes += fmt.Sprintf(" override %q %v", o.Reason, o.Lifted)
	}
	if r.Note != "" {
		owes += fmt.Sprintf(" note %q", r.Note)
	}
	return fmt.Sprintf("%s %s %s %s–%s for %d at %s v%d%s%s", s.name(string(r.ID)), engine.StatusName(r.Status), r.Day,
		engine.AppendClock(nil, r.LocalMin), time.Unix(r.EndsAt, 0).UTC().Format("15:04Z"), r.GuestsCount, strings.Join(tables, "+"), r.Version, map[bool]string{true: " reviewed"}[r.Reviewed], owes)
}

func (s *script) obstacle(o *engine.Obstacle) string {
	clock := func(at int64) string { return time.Unix(at, 0).UTC().Format("15:04Z") }
	text := fmt.Sprintf("%s %s", o.Number, o.Reason)
	if o.Reservation != "" {
		text += fmt.Sprintf(" by %s %s for %d, buffer %d,", s.name(string(o.Reservation)), engine.StatusName(o.Status), o.Guests, o.BufferMin)
	}
	if o.From != 0 {
		text += " " + clock(o.From) + "–" + clock(o.Until)
	}
	return text
}

// state shows the day sheets of a fortnight, and when the next timer is due.
func (s *script) state() string {
	v := s.view.(*engine.RestaurantView)
	text := fmt.Sprintf("version %d", v.Version())
	if due := s.a.NextDue(); due != 0 {
		text += " next due " + time.UnixMilli(int64(due)).UTC().Format(time.RFC3339)
	}
	for d := engine.Day(s.now / 86_400_000); d < engine.Day(s.now/86_400_000)+14; d++ {
		for _, r := range v.DaySheet(d, nil) {
			text += "\n  " + s.line(r)
		}
	}
	return text
}
