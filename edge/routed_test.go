package edge

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/actors"
	"maitred/cluster"
	"maitred/edge/hoppb"
	"maitred/engine"
	"maitred/persistence"
)

// scene is what a routed house of n1 meets: who owns, what peers answer, and what was asked of whom.
type scene struct {
	t     *testing.T
	owner *actors.NotOwnerError // as this node knows it; nil = here
	peers func(node string, q *hoppb.Request) (*hoppb.Answer, error)
	reach func(seq persistence.Seq) // this node folds so far
	await func(ctx context.Context) error
	local func() error // what this node says of what it owns
	ready bool         // this node serves

	here  int
	asked []string
	keys  []engine.Hash
}

func (s *scene) Do(engine.AggregateID, *engine.Command, time.Time) (engine.Outcome, error) {
	s.here++
	if s.owner != nil {
		return engine.Outcome{}, fmt.Errorf("elsewhere: %w", s.owner)
	}
	if s.local != nil {
		return engine.Outcome{}, s.local()
	}
	return engine.Outcome{Code: engine.CodeOK}, nil
}

func (s *scene) View(engine.AggregateID, time.Time) (*actors.View, error) { return nil, s.owner }
func (s *scene) Status() actors.Status                                    { return actors.Status{Serving: s.ready} }

func (s *scene) Await(ctx context.Context, _ persistence.Partition) error {
	if s.await == nil {
		<-ctx.Done()
		return ctx.Err()
	}
	return s.await(ctx)
}

func (s *scene) Reach(_ context.Context, seq persistence.Seq) error {
	if s.reach != nil {
		s.reach(seq)
	}
	return nil
}

func (s *scene) Call(node, _ string, body []byte, _ time.Time) (cluster.Answer, error) {
	q := new(hoppb.Request)
	require.NoError(s.t, q.UnmarshalVT(body))
	s.asked = append(s.asked, fmt.Sprintf("%s since %d", node, q.Since))
	if q.Command != nil {
		cmd, err := engine.DecodeCommand(q.Command)
		require.NoError(s.t, err)
		s.keys = append(s.keys, cmd.Key)
	}
	a, err := s.peers(node, q)
	if err != nil {
		return cluster.Answer{}, err
	}
	out, err := a.MarshalVT()
	require.NoError(s.t, err)
	return cluster.Answer{Status: 200, Body: out}, nil
}

func (s *scene) cancel(key engine.Hash) (engine.Outcome, error) {
	r := &routed{House: s, cell: Cell{Node: "n1", Peers: s, Custody: s}, rand: rand.Reader}
	cmd := &engine.Command{Caller: engine.Caller{Account: "usr_x"}, Key: key, Body: &engine.Transition{ID: "rsv_x", Action: engine.ActionCancel}}
	return r.Do("rst_0123456789abc", cmd, time.Now().Add(commandTimeout))
}

func owns(node string, since persistence.Seq) *actors.NotOwnerError {
	return &actors.NotOwnerError{Partition: 3, Owner: node, Since: since}
}

func decided(string, *hoppb.Request) (*hoppb.Answer, error) {
	return &hoppb.Answer{Outcome: engine.AppendOutcome(nil, &engine.Outcome{Code: engine.CodeNotFound})}, nil
}

// in runs a scene on a clock of its own.
func (s *scene) in(t *testing.T, play func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s.t = t
		play(t)
	})
}

func TestTheOwnerDecides(t *testing.T) {
	s := &scene{owner: owns("n2", 7), peers: decided}
	s.in(t, func(t *testing.T) {
		out, err := s.cancel(engine.Hash{1})
		require.NoError(t, err)
		require.Equal(t, engine.CodeNotFound, out.Code)
		require.Equal(t, []string{"n2 since 7"}, s.asked)
		require.Equal(t, []engine.Hash{{1}}, s.keys)
	})
}

// Who is told that the partition has moved on asks again once it knows that too.
func TestMovedIsAskedAgain(t *testing.T) {
	s := &scene{owner: owns("n2", 7)}
	s.reach = func(seq persistence.Seq) {
		require.EqualValues(t, 9, seq)
		s.owner = owns("n3", 9)
	}
	s.peers = func(node string, q *hoppb.Request) (*hoppb.Answer, error) {
		if node == "n2" {
			return &hoppb.Answer{Fault: hoppb.Fault_NOT_OWNER, Owner: "n3", Since: 9}, nil
		}
		return decided(node, q)
	}
	s.in(t, func(t *testing.T) {
		_, err := s.cancel(engine.Hash{})
		require.NoError(t, err)
		require.Equal(t, []string{"n2 since 7", "n3 since 9"}, s.asked)
	})
}

// An answer that was lost is asked for once more, with the same key, also when the client sent none.
func TestALostAnswerIsAskedForOnceMore(t *testing.T) {
	s := &scene{owner: owns("n2", 7)}
	s.peers = func(node string, q *hoppb.Request) (*hoppb.Answer, error) {
		if len(s.asked) == 1 {
			return nil, cluster.ErrNoAnswer
		}
		return decided(node, q)
	}
	s.in(t, func(t *testing.T) {
		_, err := s.cancel(engine.Hash{})
		require.NoError(t, err)
		require.Len(t, s.keys, 2)
		require.NotEqual(t, engine.Hash{}, s.keys[0])
		require.Equal(t, s.keys[0], s.keys[1])
	})
}

// After a lost answer nothing says "surely not done": whatever ends the second try, the client is to ask again with its key.
func TestAfterALostAnswerNothingIsSure(t *testing.T) {
	ends := map[string]func(s *scene) (*hoppb.Answer, error){
		"lost again":    func(*scene) (*hoppb.Answer, error) { return nil, cluster.ErrNoAnswer },
		"not reached":   func(*scene) (*hoppb.Answer, error) { return nil, cluster.ErrNotSent },
		"busy":          func(*scene) (*hoppb.Answer, error) { return &hoppb.Answer{Fault: hoppb.Fault_BUSY}, nil },
		"not serving":   func(*scene) (*hoppb.Answer, error) { return &hoppb.Answer{Fault: hoppb.Fault_UNAVAILABLE}, nil },
		"expired":       func(*scene) (*hoppb.Answer, error) { return &hoppb.Answer{Fault: hoppb.Fault_EXPIRED}, nil },
		"a newer fault": func(*scene) (*hoppb.Answer, error) { return &hoppb.Answer{Fault: 99}, nil },
		"moved": func(s *scene) (*hoppb.Answer, error) {
			return &hoppb.Answer{Fault: hoppb.Fault_NOT_OWNER, Owner: "n1", Since: 9}, nil
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			s := &scene{owner: owns("n2", 7)}
			s.peers = func(string, *hoppb.Request) (*hoppb.Answer, error) {
				if len(s.asked) == 1 {
					return nil, cluster.ErrNoAnswer
				}
				return end(s)
			}
			s.in(t, func(t *testing.T) {
				_, err := s.cancel(engine.Hash{1})
				require.Equal(t, kindUnknownOutcome, kindOfFault(err), "%v", err)
			})
		})
	}
}

// Nobody waits longer than peerWait for an owner that does not listen, and moveWait for a partition that stays on its way; then it is
// surely not done.
func TestPatienceHasABound(t *testing.T) {
	scenes := map[string]*scene{
		"dead":       {owner: owns("n2", 7), peers: func(string, *hoppb.Request) (*hoppb.Answer, error) { return nil, cluster.ErrNotSent }},
		"on its way": {owner: owns("n1", 7)},
		"to and fro": {owner: owns("n2", 7), peers: func(string, *hoppb.Request) (*hoppb.Answer, error) {
			return &hoppb.Answer{Fault: hoppb.Fault_NOT_OWNER, Owner: "n3", Since: 5}, nil
		}},
	}
	for name, s := range scenes {
		t.Run(name, func(t *testing.T) {
			s.in(t, func(t *testing.T) {
				begun := time.Now()
				_, err := s.cancel(engine.Hash{1})
				require.Equal(t, kindUnavailable, kindOfFault(err), "%v", err)
				require.Equal(t, map[bool]time.Duration{true: peerWait, false: moveWait}[name == "dead"], time.Since(begun))
				require.LessOrEqual(t, len(s.asked), 30)
			})
		})
	}
}

// A partition on its way is waited for: its new owner decides, and a node that gets it decides itself.
func TestAPartitionOnItsWayIsWaitedFor(t *testing.T) {
	for _, next := range []*actors.NotOwnerError{nil, owns("n3", 9)} {
		s := &scene{owner: owns("n1", 7), peers: decided}
		s.await = func(context.Context) error {
			<-time.After(700 * time.Millisecond)
			s.owner = next
			return nil
		}
		s.in(t, func(t *testing.T) {
			_, err := s.cancel(engine.Hash{1})
			require.NoError(t, err)
			require.Equal(t, next != nil, slices.Equal(s.asked, []string{"n3 since 9"}))
		})
	}
}

// A node that serves may be unable to do one thing for a moment, while a partition comes or goes; one that does not serve says so at once.
func TestWhatThisNodeCannotDoNowIsTriedAgain(t *testing.T) {
	for name, c := range map[string]struct {
		ready bool
		fails int
		took  time.Duration
	}{
		"once":              {ready: true, fails: 1, took: peerPause},
		"for good":          {ready: true, fails: 1000, took: peerWait},
		"it serves nothing": {fails: 1000},
	} {
		t.Run(name, func(t *testing.T) {
			s := &scene{ready: c.ready}
			s.local = func() error {
				if s.here <= c.fails {
					return actors.ErrUnavailable
				}
				return nil
			}
			s.in(t, func(t *testing.T) {
				begun := time.Now()
				_, err := s.cancel(engine.Hash{1})
				require.Equal(t, c.fails == 1000, errors.Is(err, actors.ErrUnavailable), "%v", err)
				require.Equal(t, c.took, time.Since(begun))
			})
		})
	}
}

// What an owner answers a fault with is that fault here.
func TestFaultsTravel(t *testing.T) {
	for _, f := range faults {
		require.ErrorIs(t, errorOfFault(faultOf(fmt.Errorf("wrapped: %w", f.err))), f.err)
	}
	require.NoError(t, errorOfFault(faultOf(nil)))
	require.Equal(t, hoppb.Fault_UNKNOWN_OUTCOME, faultOf(errors.New("never seen")))
	require.ErrorIs(t, errorOfFault(hoppb.Fault_NOT_UNDERSTOOD), actors.ErrUnavailable)
	for _, row := range kindOfError {
		if !errors.Is(row.err, actors.ErrUnavailable) {
			require.ErrorIs(t, errorOfFault(faultOf(row.err)), row.err, "has no row")
		}
	}
}

// Nonsense from another node changes nothing and ends nothing.
func TestNonsenseFromANode(t *testing.T) {
	house := openHouse(t)
	s := prepare(t, struct{ House }{house}, func(c *Config) { c.Cell = &Cell{Node: "n1", Custody: known{}} })
	ask := func(q *hoppb.Request) hoppb.Fault {
		q.PatienceMs = 1000
		body, err := q.MarshalVT()
		require.NoError(t, err)
		status, answer := s.Ask("n2", hopPath, body)
		require.Equal(t, 200, status)
		a := new(hoppb.Answer)
		require.NoError(t, a.UnmarshalVT(answer))
		return a.Fault
	}
	status, _ := s.Ask("n2", "/elsewhere", nil)
	require.Equal(t, 404, status)
	for _, garbage := range []string{"x", "\x0a\x05rst_x", ""} {
		status, _ := s.Ask("n2", hopPath, []byte(garbage))
		require.Equal(t, 400, status, "%q", garbage)
	}
	register := engine.AppendCommand(nil, &engine.Command{Body: &engine.RevokeSession{All: true}})
	require.Equal(t, hoppb.Fault_NOT_UNDERSTOOD, ask(&hoppb.Request{Aggregate: "rst_0123456789abc", Command: register}), "an account's")
	require.Equal(t, hoppb.Fault_NOT_UNDERSTOOD, ask(&hoppb.Request{Aggregate: "rst_0123456789abc", Command: []byte("x")}))
	require.Equal(t, hoppb.Fault_NOT_UNDERSTOOD, ask(&hoppb.Request{Aggregate: "rst_0123456789abc"}), "no account")
	require.Equal(t, hoppb.Fault_NOT_UNDERSTOOD, ask(&hoppb.Request{Read: &hoppb.Read{Pattern: "/nowhere", Id: "x", Uri: "/"}}))
	require.Zero(t, house.Status().Quarantined)
}

// A command that not every node understands is refused before anybody decides it, also when its restaurant is here.
func TestWhatNotEveryNodeUnderstandsIsNotDecided(t *testing.T) {
	lowest := uint16(0)
	r := &routed{cell: Cell{Node: "n1", Protocol: func() uint16 { return lowest }}}
	require.True(t, r.agreed(1), "the first protocol, also beside a build that says none")
	require.False(t, r.agreed(2))
	lowest = 1
	require.False(t, r.agreed(2))
	lowest = 2
	require.True(t, r.agreed(2))
	require.ErrorIs(t, errNotAgreed, actors.ErrUnavailable, "surely not done")
	r.cell.Protocol = nil
	require.True(t, r.agreed(2), "nobody else is there")
}
