package edge

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/actors"
	"maitred/engine"
	"maitred/persistence"
	"maitred/persistence/memory"
)

// two servers of one cluster, whose clocks differ by 3 s. Each knows of revocations what the journal says and what it did itself.
type two struct {
	t       *testing.T
	journal *memory.Journal
	bases   *memory.Bases
	keys    *Keys
	house   *actors.House
	ahead   *site // its clock is
	behind  *site
}

func newTwo(t *testing.T) *two {
	keys, err := OpenKeys(t.TempDir())
	require.NoError(t, err)
	c := &two{t: t, journal: memory.NewJournal(memory.Options{}), bases: memory.NewBases(memory.BasesOptions{}), keys: keys}
	t.Cleanup(func() { require.NoError(t, c.journal.Close()) })
	c.open()
	return c
}

func (c *two) open() {
	c.t.Helper()
	a, b := NewRevocations(), NewRevocations()
	house, err := actors.Open(context.Background(), actors.Config{
		Node: "n1", Journal: c.journal, Bases: c.bases, Feed: persistence.NewFeed(c.journal, 1<<20), Partitions: 16, Recall: RevocationsFor,
		OnAccount: func(id engine.AccountID, v engine.Version, e *engine.Event) {
			a.Saw(id, v, e)
			b.Saw(id, v, e)
		},
	})
	require.NoError(c.t, err)
	c.t.Cleanup(func() { require.NoError(c.t, house.Close()) })
	server := func(r *Revocations, by time.Duration) *site {
		return listen(c.t, struct{ House }{house}, func(cfg *Config) { // not as a house that MAITRED_TEST_ELSEWHERE moves
			cfg.Keys, cfg.Revocations, cfg.Now = c.keys, r, func() time.Time { return time.Now().Add(by) }
		})
	}
	c.house, c.ahead, c.behind = house, server(a, 1500*time.Millisecond), server(b, -1500*time.Millisecond)
}

// enter is a new session of a person, at a server.
func (s *site) enter(email, password string) person {
	s.t.Helper()
	a := s.login(email, password)
	require.Equal(s.t, 200, a.StatusCode, a.text)
	return person{s, a.doc["user"].(map[string]any)["id"].(string), a.doc["access_token"].(string), a.doc["refresh_token"].(string)}
}

func (s *site) may(token string) int { return s.ask("GET", "/api/v1/me", token, "").StatusCode }

// revoking are the ways to void tokens. p is asked for it, and other is a session of the same account that lives on if only p's ends.
var revoking = []struct {
	name     string
	all      bool // sessions
	password string
	do       func(p person) *answer
}{
	{"logout", false, "correct horse", func(p person) *answer {
		return p.ask("POST", "/api/v1/auth/logout", "", fmt.Sprintf(`{"refresh_token":%q}`, p.refresh))
	}},
	{"revoke-all", true, "correct horse", func(p person) *answer { return p.do("POST", "/auth/revoke-all", "") }},
	{"new password", true, "another horse", func(p person) *answer {
		return p.do("PATCH", "/me", `{"password":"another horse","current_password":"correct horse"}`, "If-Match", `"1"`)
	}},
	{"erasure", true, "", func(p person) *answer { return p.do("DELETE", "/me", `{"password":"correct horse"}`) }},
}

// What one server revokes the other refuses at once; a session that is opened later, or at the other one, is good at both: by the order of
// the journal, whatever their clocks say.
func TestRevocationsHoldOnEveryNode(t *testing.T) {
	for i, r := range revoking {
		t.Run(r.name, func(t *testing.T) {
			c := newTwo(t)
			for from, to := range map[*site]*site{c.ahead: c.behind, c.behind: c.ahead} {
				email := fmt.Sprintf("a%d@%s.it", i, map[*site]string{c.ahead: "ahead", c.behind: "behind"}[from])
				to.register(email, "customer")
				p, other := from.enter(email, "correct horse"), to.enter(email, "correct horse")
				for _, s := range []*site{from, to} {
					require.Equal(t, 200, s.may(p.token))
					require.Equal(t, 200, s.may(other.token))
				}
				a := r.do(p)
				require.Less(t, a.StatusCode, 300, a.text)
				for _, s := range []*site{from, to} {
					require.Equal(t, 401, s.may(p.token))
					require.Equal(t, map[bool]int{true: 401, false: 200}[r.all], s.may(other.token), "the other session")
				}
				if r.password == "" {
					continue
				}
				for _, s := range []*site{from, to} {
					next := s.enter(email, r.password)
					require.Equal(t, 200, from.may(next.token), "a session that was opened after it")
					require.Equal(t, 200, to.may(next.token))
				}
			}
		})
	}
}

// A new password voids access tokens also when no session is left: the one of the oldest session outlived it.
func TestANewPasswordVoidsTokensWithoutSessions(t *testing.T) {
	c := newTwo(t)
	oldest := c.ahead.register("a@b.it", "customer")
	var sessions []person
	for range engine.MaxSessions {
		sessions = append(sessions, c.ahead.enter("a@b.it", "correct horse"))
	}
	for _, p := range sessions {
		require.Equal(t, 204, c.ahead.ask("POST", "/api/v1/auth/logout", "", fmt.Sprintf(`{"refresh_token":%q}`, p.refresh)).StatusCode)
	}
	require.Equal(t, 200, c.behind.may(oldest.token))
	require.Equal(t, 200, oldest.do("PATCH", "/me", `{"password":"another horse","current_password":"correct horse"}`, "If-Match", `"1"`).StatusCode)
	require.Equal(t, 401, c.behind.may(oldest.token))
	require.Equal(t, 401, c.ahead.may(oldest.token))
}

// An API key is remembered for a minute; deleting it voids it everywhere at once.
func TestADeletedAPIKeyIsVoidOnEveryNode(t *testing.T) {
	c := newTwo(t)
	p := c.ahead.register("a@b.it", "customer")
	id, key := p.newKey(`{"name":"till"}`)
	require.Equal(t, 200, c.behind.may(key))
	require.Equal(t, 204, p.do("DELETE", "/me/api-keys/"+id, "").StatusCode)
	require.Equal(t, 401, c.behind.may(key))
	require.Equal(t, 401, c.ahead.may(key))
}

// A node that starts has the revocations again before it answers anybody.
func TestRevocationsOutliveARestart(t *testing.T) {
	c := newTwo(t)
	c.ahead.register("a@b.it", "customer")
	p := c.ahead.enter("a@b.it", "correct horse")
	require.Equal(t, 204, p.do("POST", "/auth/revoke-all", "").StatusCode)
	next := c.ahead.enter("a@b.it", "correct horse")
	require.NoError(t, c.house.Close())
	c.open()
	for _, s := range []*site{c.ahead, c.behind} {
		require.Equal(t, 401, s.may(p.token))
		require.Equal(t, 200, s.may(next.token))
	}
}

// Tokens of an earlier build tell no version: they go by the time, as before.
func TestTokensWithoutAVersionGoByTheTime(t *testing.T) {
	tokens := testTokens(t)
	old, err := tokens.Issue(guestID, engine.RoleCustomer, testNow)
	require.NoError(t, err)
	later, err := tokens.Issue(guestID, engine.RoleCustomer, testNow.Add(time.Second))
	require.NoError(t, err)
	require.NotNil(t, tokens.verify(bearerLine(old), testNow))
	tokens.revocations.add(mark{guestID, ""}, 9, testNow)
	require.Nil(t, tokens.verify(bearerLine(old), testNow.Add(time.Second)))
	require.NotNil(t, tokens.verify(bearerLine(later), testNow.Add(time.Second)))
}

// What is forgotten is older than any token.
func TestRevocationsAreForgottenInTime(t *testing.T) {
	r := NewRevocations()
	r.add(mark{accountNumber(1), ""}, 2, testNow)
	for n := 2; len(r.marks) < maxRevocations; n++ {
		r.add(mark{accountNumber(n), ""}, 2, testNow.Add(RevocationsFor))
	}
	r.add(mark{accountNumber(0), ""}, 2, testNow.Add(RevocationsFor+time.Second))
	require.Len(t, r.marks, maxRevocations, "the first one was, and no more")
	require.Zero(t, r.marks[mark{accountNumber(1), ""}])
	require.Zero(t, r.all)
}
