package edge

import (
	"hash/maphash"
	"net"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"maitred/actors"
	"maitred/engine"
)

// A token that is verified while it is being revoked: the list has it, the sweep of the cache came before.
func TestATokenRevokedWhileItIsVerified(t *testing.T) {
	tokens := listen(t, &script{}).tokens
	id, now := engine.MakeAccountID([16]byte{7}), time.Now()
	token, err := tokens.Issue(id, engine.RoleCustomer, now)
	require.NoError(t, err)
	b, err := tokens.parse(token, now)
	require.NoError(t, err)
	tokens.revocations.suspect(mark{id, ""}, now.Add(time.Second))
	line := []byte("Bearer " + token)
	require.Nil(t, tokens.verify(line, now))
	b.hash = maphash.String(tokens.seed, token)
	require.Nil(t, tokens.admit(b, b.hash&(tokenSlots-1)&^(tokenWays-1), now), "the rest of a verify that began before")
	require.Nil(t, tokens.verify(line, now), "the next request")
}

// failing answers some commands with "surely not done".
type failing struct {
	House
	fails func(engine.Body) bool
}

func (h *failing) Do(id engine.AggregateID, cmd *engine.Command, d time.Time) (engine.Outcome, error) {
	if h.fails(cmd.Body) {
		return engine.Outcome{}, actors.ErrUnavailable
	}
	return h.House.Do(id, cmd, d)
}

// 503 means surely not done, also of a request that has two effects: they are one command.
func TestRegisterIsOneCommand(t *testing.T) {
	h := &failing{House: openHouse(t), fails: func(b engine.Body) bool { _, ok := b.(*engine.OpenSession); return ok }}
	s := listen(t, h)
	a := s.ask("POST", "/api/v1/auth/register", "", `{"email":"a@b.it","password":"correct horse","first_name":"A","last_name":"B","role":"customer"}`)
	require.Equal(t, 201, a.StatusCode, a.text)
	a = s.ask("POST", "/api/v1/auth/refresh", "", `{"refresh_token":"`+a.doc["refresh_token"].(string)+`"}`)
	require.Equal(t, 200, a.StatusCode, a.text)
}

func TestANewPasswordEndsSessionsInOneCommand(t *testing.T) {
	h := &failing{House: openHouse(t), fails: func(b engine.Body) bool { _, ok := b.(*engine.RevokeSession); return ok }}
	s := listen(t, h)
	p := s.register("a@b.it", "customer")
	a := p.do("PATCH", "/me", `{"password":"another horse","current_password":"correct horse"}`, "If-Match", `"1"`)
	require.Equal(t, 200, a.StatusCode, a.text)
	a = s.ask("POST", "/api/v1/auth/refresh", "", `{"refresh_token":"`+p.refresh+`"}`)
	require.Equal(t, 401, a.StatusCode, a.text)
	a = s.ask("POST", "/api/v1/auth/login", "", `{"email":"a@b.it","password":"another horse"}`)
	require.Equal(t, 200, a.StatusCode, a.text)
}

// The replay of a request about a table that is gone since.
func TestReplayAboutATableThatIsGone(t *testing.T) {
	s := listen(t, openHouse(t))
	p := s.register("a@b.it", "owner")
	id, _ := p.trattoria()
	body := `{"table_number":"T9","capacity":4,"min_capacity":1,"location":"hall"}`
	a := p.do("POST", "/restaurants/"+id+"/tables", body, "Idempotency-Key", "k1")
	require.Equal(t, 201, a.StatusCode, a.text)
	table := "/tables/" + a.doc["id"].(string)
	a = p.do("PATCH", table, `{"capacity":6}`, "If-Match", `"1"`, "Idempotency-Key", "k2")
	require.Equal(t, 200, a.StatusCode, a.text)
	a = p.do("DELETE", table, "", "Idempotency-Key", "k3")
	require.Equal(t, 204, a.StatusCode, a.text)
	a = p.do("DELETE", table, "", "Idempotency-Key", "k3")
	require.Equal(t, 204, a.StatusCode, a.text)
	a = p.do("POST", "/restaurants/"+id+"/tables", body, "Idempotency-Key", "k1")
	require.Equal(t, 404, a.StatusCode, a.text)
	a = p.do("PATCH", table, `{"capacity":6}`, "If-Match", `"1"`, "Idempotency-Key", "k2")
	require.Equal(t, 404, a.StatusCode, a.text)
}

// A server that is closed while it begins to serve ends as well: the order of the two is the scheduler's.
func TestCloseAtOnceAfterOpen(t *testing.T) {
	keys, err := OpenKeys(t.TempDir())
	require.NoError(t, err)
	for range 500 {
		s, err := New(Config{House: &script{}, Keys: keys, Registry: prometheus.NewRegistry(), PasswordMemory: 1})
		require.NoError(t, err)
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		require.NoError(t, s.Open(ln))
		ended := make(chan error, 1)
		go func() { ended <- s.Close() }()
		select {
		case err := <-ended:
			require.NoError(t, err)
		case <-time.After(10 * time.Second):
			t.Fatal("Close waits for ever")
		}
	}
}
