package edge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"maitred/actors"
	"maitred/cluster"
	"maitred/edge/hoppb"
	"maitred/engine"
	"maitred/persistence"
)

// Cell is what a node of several knows of the others.
type Cell struct {
	Node    string // this one
	Peers   Peers
	Custody Custody

	// Protocol is the lowest engine.Protocol of all nodes, 0 as long as one has not said; nil = all are as this one.
	Protocol func() uint16
	NoKeys   bool // a command without a key goes without one: negative control
}

// Peers reaches other nodes: *cluster.Peers. An error is cluster.ErrNotSent or cluster.ErrNoAnswer.
type Peers interface {
	Call(node, path string, body []byte, deadline time.Time) (cluster.Answer, error)
}

// Custody says when it is worth asking again: *actors.House.
type Custody interface {
	Await(ctx context.Context, p persistence.Partition) error // p is no longer on its way from here
	Reach(ctx context.Context, seq persistence.Seq) error     // this node knows the custody of seq
}

var _ Custody = (*actors.House)(nil)

const (
	// moveWait is how long a request waits for a partition that moves. Most moves take a few ms; one for which the journal
	// is slow takes some hundred, and its guests were told to come back after 300 ms.
	moveWait = time.Second
	// peerWait is how long a request waits for an owner that does not listen, or does not serve (DESIGN §7).
	peerWait = 300 * time.Millisecond
	// peerPause lies between two tries to reach a peer that does not listen: it restarts, or somebody inherits it.
	peerPause = 25 * time.Millisecond
	// settlePause lies before the first question after a move, twice as much before the next, and so on: an owner that does not know it
	// yet must not be asked without end.
	settlePause    = 5 * time.Millisecond
	maxSettlePause = 40 * time.Millisecond
	// answerSlack is what an answer may take beyond the deadline that its node was told.
	answerSlack = 200 * time.Millisecond
	hopPath     = "/ask"
)

// routed is a House of all nodes: it decides here what is here, and asks the owner for the rest. One hop at most: who is asked
// decides or says who owns, and asks nobody else.
type routed struct {
	House
	cell Cell
	rand io.Reader
}

// Do implements House. A command without a key gets one, so that it may be sent again when its answer was lost.
func (r *routed) Do(id engine.AggregateID, cmd *engine.Command, deadline time.Time) (out engine.Outcome, err error) {
	if !r.agreed(cmd.Protocol()) {
		return out, errNotAgreed
	}
	here := func() error {
		out, err = r.House.Do(id, cmd, deadline)
		return err
	}
	there := func(at *actors.NotOwnerError) error {
		if cmd.Key == (engine.Hash{}) && !r.cell.NoKeys {
			if _, err := io.ReadFull(r.rand, cmd.Key[:]); err != nil {
				return err
			}
		}
		a, err := r.ask(at, &hoppb.Request{Aggregate: string(id), Command: engine.AppendCommand(nil, cmd)}, deadline)
		if err != nil {
			return err
		}
		answer, err := engine.DecodeOutcome(a.Outcome)
		if err != nil {
			return errors.Join(actors.ErrUnknownOutcome, err)
		}
		out = *answer
		return nil
	}
	return out, r.route(deadline, here, there)
}

// errNotAgreed: some node is of a build that would not understand the command, or what it becomes in the journal.
var errNotAgreed = errors.Join(actors.ErrUnavailable, errors.New("edge: not before every node runs the new build"))

// agreed tells whether every node understands a protocol. The first one is understood by all, also by those that do not say.
func (r *routed) agreed(protocol uint16) bool {
	return protocol <= 1 || r.cell.Protocol == nil || protocol <= r.cell.Protocol()
}

// View implements House. Of a restaurant elsewhere it is a *actors.NotOwnerError: whoever reads it sends the whole question there.
func (r *routed) View(id engine.AggregateID, deadline time.Time) (v *actors.View, err error) {
	here := func() error {
		v, err = r.House.View(id, deadline)
		return err
	}
	if !engine.IsAccountID(string(id)) {
		return v, here()
	}
	return v, r.route(deadline, here, func(at *actors.NotOwnerError) error {
		a, err := r.ask(at, &hoppb.Request{Aggregate: string(id)}, deadline)
		if err != nil {
			return readFault(err)
		}
		account, err := engine.DecodeAccountView(a.Account)
		if err != nil {
			return errors.Join(actors.ErrUnavailable, err)
		}
		v = &actors.View{View: account}
		return nil
	})
}

// route tries here, and there where here says that it is, until somebody has answered. It waits moveWait at most for a partition
// that is on its way, peerWait of it for an owner that does not listen: then it is a fault that says surely not done. A lost answer is
// asked for once more, with the same key.
func (r *routed) route(deadline time.Time, here func() error, there func(*actors.NotOwnerError) error) error {
	patience := time.Now().Add(moveWait)
	if deadline.Before(patience) {
		patience = deadline
	}
	ctx, cancel := context.WithDeadline(context.Background(), patience)
	defer cancel()
	unheard, cancel := context.WithTimeout(ctx, peerWait)
	defer cancel()
	lost, settling := false, settlePause
	for {
		err := here()
		at := new(actors.NotOwnerError)
		switch {
		case !errors.As(err, &at):
			if !r.passing(err) {
				return settled(err, lost)
			}
		case at.Owner != r.cell.Node:
			err = there(at)
		}
		switch next := new(actors.NotOwnerError); {
		case errors.Is(err, cluster.ErrNoAnswer) && lost:
			return actors.ErrUnknownOutcome
		case errors.Is(err, cluster.ErrNoAnswer):
			lost = true
		case errors.Is(err, cluster.ErrNotSent):
			if pause(unheard, peerPause) != nil {
				return settled(actors.ErrUnavailable, lost)
			}
		case errors.As(err, &next):
			if r.settle(ctx, next, settling) != nil {
				return settled(actors.ErrUnavailable, lost)
			}
			settling = min(2*settling, maxSettlePause)
		case errors.Is(err, actors.ErrUnavailable): // surely not done: an owner that has just become one may serve in a moment
			if pause(unheard, peerPause) != nil {
				return settled(err, lost)
			}
		default:
			return settled(err, lost)
		}
	}
}

// passing tells whether this node serves although it did not do this: an actor that was opened while its partition came, or was leaving
// while it went, decides in a moment, here or elsewhere.
func (r *routed) passing(err error) bool {
	return errors.Is(err, actors.ErrUnavailable) && r.House.Status().Serving
}

// settled is the end of a request: a fault of its second try does not say that the first one, whose answer was lost, did nothing.
func settled(err error, lost bool) error {
	if err != nil && lost {
		return fmt.Errorf("%w: then %v", actors.ErrUnknownOutcome, err) // it must not look like that fault as well
	}
	return err
}

// settle waits until asking again may have another answer.
func (r *routed) settle(ctx context.Context, at *actors.NotOwnerError, then time.Duration) error {
	if at.Owner == r.cell.Node {
		if err := r.cell.Custody.Await(ctx, at.Partition); err != nil {
			return err
		}
	}
	if err := r.cell.Custody.Reach(ctx, at.Since); err != nil {
		return err
	}
	return pause(ctx, then)
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ask sends a request to an owner. An answer that is a fault is an error as the owner's own house gives it.
func (r *routed) ask(at *actors.NotOwnerError, q *hoppb.Request, deadline time.Time) (*hoppb.Answer, error) {
	left := time.Until(deadline)
	if left <= 0 {
		return nil, actors.ErrExpired
	}
	q.Since, q.PatienceMs = uint64(at.Since), uint32(left.Milliseconds())
	body, err := q.MarshalVT()
	if err != nil {
		return nil, err
	}
	got, err := r.cell.Peers.Call(at.Owner, hopPath, body, deadline.Add(answerSlack))
	if err != nil {
		return nil, err
	}
	a := new(hoppb.Answer)
	if got.Status != 200 || a.UnmarshalVT(got.Body) != nil {
		return nil, cluster.ErrNoAnswer
	}
	if a.Fault == hoppb.Fault_NOT_OWNER {
		return nil, &actors.NotOwnerError{Partition: at.Partition, Owner: a.Owner, Since: persistence.Seq(a.Since)}
	}
	return a, errorOfFault(a.Fault)
}

// readFault is a fault of something that changes nothing: an answer that was lost is no doubt.
func readFault(err error) error {
	if errors.Is(err, cluster.ErrNoAnswer) || errors.Is(err, actors.ErrUnknownOutcome) {
		return actors.ErrUnavailable
	}
	return err
}

// faults are the errors of a house as one node tells them to another.
var faults = []struct {
	err   error
	fault hoppb.Fault
}{
	{actors.ErrBusy, hoppb.Fault_BUSY},
	{actors.ErrUnavailable, hoppb.Fault_UNAVAILABLE},
	{actors.ErrExpired, hoppb.Fault_EXPIRED},
	{actors.ErrUnknownOutcome, hoppb.Fault_UNKNOWN_OUTCOME},
	{actors.ErrQuarantined, hoppb.Fault_QUARANTINED},
	{actors.ErrPanicked, hoppb.Fault_PANICKED},
}

// errNotUnderstood: an older node does not know what it was asked; it surely did nothing.
var errNotUnderstood = errors.Join(actors.ErrUnavailable, errors.New("edge: the owner does not understand the request"))

func errorOfFault(f hoppb.Fault) error {
	if f == hoppb.Fault_NONE {
		return nil
	}
	for i := range faults {
		if faults[i].fault == f {
			return faults[i].err
		}
	}
	return errNotUnderstood
}

// faultOf is the fault of an error. What is not in the table may have done something.
func faultOf(err error) hoppb.Fault {
	if err == nil {
		return hoppb.Fault_NONE
	}
	for i := range faults {
		if errors.Is(err, faults[i].err) {
			return faults[i].fault
		}
	}
	return hoppb.Fault_UNKNOWN_OUTCOME
}
