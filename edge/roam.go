package edge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"maitred/actors"
	"maitred/edge/hoppb"
	"maitred/engine"
	"maitred/persistence"
)

// Reads of what another node has: the question goes there whole, and its answer comes back as it is. The state of a busy restaurant
// is too much to send for each.

// elsewhere notes that another node has what the handler reads; then nothing is answered here.
func (x *exchange) elsewhere(err error) bool {
	return x.roams && errors.As(err, &x.owner)
}

// roam handles a read here, and lets its owner answer when that is another node. When no owner does, the handler answers as if
// nobody else were there: with a fault, or from a copy.
func (s *Server) roam(x *exchange) {
	here := func() error {
		x.roams, x.owner = true, nil
		x.endpoint.handle(x)
		if x.owner == nil {
			return nil
		}
		return x.owner
	}
	deadline := x.deadline(viewTimeout)
	err := s.routed.route(deadline, here, func(at *actors.NotOwnerError) error { return x.answeredBy(at, deadline) })
	if err != nil {
		x.roams, x.owner = false, nil
		x.endpoint.handle(x)
	}
}

func (x *exchange) answeredBy(at *actors.NotOwnerError, deadline time.Time) error {
	read := &hoppb.Read{Pattern: x.endpoint.pattern, Uri: string(x.ctx.Request.Header.RequestURI()), Id: x.param}
	if x.caller != nil {
		read.Account, read.Role = string(x.caller.account), uint32(x.caller.role)
	}
	a, err := x.s.routed.ask(at, &hoppb.Request{Aggregate: x.param, Read: read}, deadline)
	if err != nil {
		return readFault(err)
	}
	r := &x.ctx.Response
	r.SetStatusCode(int(a.Status))
	for _, h := range a.Headers {
		r.Header.Set(h.Name, h.Value)
	}
	r.SetBody(a.Body)
	return nil
}

// wherever tries here, and with other nodes there.
func (s *Server) wherever(deadline time.Time, here func() error, there func(*actors.NotOwnerError) error) error {
	if s.routed == nil {
		return here()
	}
	return s.routed.route(deadline, here, there)
}

// look asks the owner of a restaurant for what freeStartHere says there.
func (r *routed) look(at *actors.NotOwnerError, id engine.RestaurantID, moment *persistence.Moment, guests int, deadline time.Time) (*engine.Start, error) {
	l := &hoppb.Look{Guests: uint32(guests), Day: int32(moment.Day), Minute: int32(moment.Minutes)}
	if !moment.At.IsZero() {
		l.At = moment.At.Unix()
	}
	a, err := r.ask(at, &hoppb.Request{Aggregate: string(id), Look: l}, deadline)
	if err != nil || a.Start == nil {
		return nil, readFault(err)
	}
	return &engine.Start{
		Day: engine.Day(a.Start.Day), LocalMin: int(a.Start.LocalMin), StartsAt: a.Start.StartsAt, Free: int(a.Start.Free),
	}, nil
}

// rank asks the owner of a restaurant for what rankHere says there.
func (r *routed) rank(at *actors.NotOwnerError, id engine.RestaurantID, who engine.Caller, deadline time.Time) (engine.Role, error) {
	q := &hoppb.Request{Aggregate: string(id), Rank: &hoppb.Who{Account: string(who.Account), Role: uint32(who.Role)}}
	a, err := r.ask(at, q, deadline)
	if err != nil {
		return engine.RoleNone, readFault(err)
	}
	return engine.Role(a.Rank), nil
}

// Ask answers what another node asks; it never asks a third one. The transport has said who that is.
func (s *Server) Ask(_, path string, body []byte) (status int, answer []byte) {
	q := new(hoppb.Request)
	if path != hopPath {
		return fasthttp.StatusNotFound, nil
	}
	if err := q.UnmarshalVT(body); err != nil || !engine.IsAggregateID(q.Aggregate) && q.Read == nil {
		return fasthttp.StatusBadRequest, nil
	}
	a := new(hoppb.Answer)
	deadline := time.Now().Add(min(time.Duration(q.PatienceMs)*time.Millisecond, maxPatience))
	err := s.routed.own(persistence.Seq(q.Since), deadline, func() error { return s.answer(q, a, deadline) })
	if at := new(actors.NotOwnerError); errors.As(err, &at) {
		a = &hoppb.Answer{Fault: hoppb.Fault_NOT_OWNER, Owner: at.Owner, Since: uint64(at.Since)}
	} else if a.Fault = faultOf(err); errors.Is(err, engine.ErrCommand) {
		a.Fault = hoppb.Fault_NOT_UNDERSTOOD
	}
	out, err := a.MarshalVT()
	if err != nil {
		return fasthttp.StatusInternalServerError, nil
	}
	return fasthttp.StatusOK, out
}

// maxPatience bounds what another node may ask for.
const maxPatience = 2 * commandTimeout

// own does here what another node asks for, once this one knows the custody by which it was asked. A partition that is on its way
// to a third node is waited for: then its owner is known.
func (r *routed) own(since persistence.Seq, deadline time.Time, here func() error) error {
	patience := time.Now().Add(moveWait)
	if deadline.Before(patience) {
		patience = deadline
	}
	ctx, cancel := context.WithDeadline(context.Background(), patience)
	defer cancel()
	if r.cell.Custody.Reach(ctx, since) != nil {
		return actors.ErrUnavailable
	}
	for {
		err := here()
		at := new(actors.NotOwnerError)
		if !errors.As(err, &at) || at.Owner != r.cell.Node {
			return err
		}
		if r.cell.Custody.Await(ctx, at.Partition) != nil {
			return actors.ErrUnavailable
		}
	}
}

func (s *Server) answer(q *hoppb.Request, a *hoppb.Answer, deadline time.Time) error {
	id := engine.AggregateID(q.Aggregate)
	switch {
	case q.Command != nil:
		cmd, err := engine.DecodeCommand(q.Command)
		if err != nil {
			return err
		}
		if engine.ForRestaurant(cmd.Body) != engine.IsRestaurantID(q.Aggregate) {
			return fmt.Errorf("%w: %T is not for %s", engine.ErrCommand, cmd.Body, id)
		}
		out, err := s.cfg.House.Do(id, cmd, deadline)
		if err == nil {
			a.Outcome = engine.AppendOutcome(nil, &out)
		}
		return err
	case q.Read != nil:
		return s.answerRead(q.Read, a)
	case q.Look != nil:
		return s.answerLook(q, a, deadline)
	case q.Rank != nil:
		who := engine.Caller{Account: engine.AccountID(q.Rank.Account), Role: engine.Role(q.Rank.Role)}
		rank, err := s.rankHere(engine.RestaurantID(id), who, deadline)
		a.Rank = uint32(rank)
		return err
	case len(q.ProtoReflect().GetUnknown()) > 0: // a newer node's question, not the one that has no field of its own
		return fmt.Errorf("%w: it asks for nothing that this build knows", engine.ErrCommand)
	}
	v, err := s.cfg.House.View(id, deadline)
	if err != nil {
		return err
	}
	account, ok := v.View.(*engine.AccountView)
	if !ok {
		return fmt.Errorf("%w: %s is no account", engine.ErrCommand, id)
	}
	a.Account = engine.AppendAccountView(nil, account)
	return nil
}

func (s *Server) answerLook(q *hoppb.Request, a *hoppb.Answer, deadline time.Time) error {
	moment := &persistence.Moment{Day: engine.Day(q.Look.Day), Minutes: int(q.Look.Minute)}
	if q.Look.At != 0 {
		moment.At = time.Unix(q.Look.At, 0)
	}
	start, err := s.freeStartHere(engine.RestaurantID(q.Aggregate), moment, int(q.Look.Guests), deadline)
	if err == nil && start != nil {
		a.Start = &hoppb.Start{Day: int32(start.Day), LocalMin: int32(start.LocalMin), StartsAt: start.StartsAt, Free: int32(start.Free)}
	}
	return err
}

// answerRead runs the handler of a GET for a caller whom the other node has authenticated.
func (s *Server) answerRead(read *hoppb.Read, a *hoppb.Answer) error {
	e := s.reads[read.Pattern]
	if e == nil || !fitsID(read.Id) || !strings.HasPrefix(read.Uri, "/") {
		return fmt.Errorf("%w: no such read", engine.ErrCommand)
	}
	var req fasthttp.Request
	req.Header.SetMethod("GET")
	req.SetRequestURI(read.Uri)
	var ctx fasthttp.RequestCtx
	ctx.Init(&req, &net.TCPAddr{}, nil)
	s.secure(&ctx)
	x := s.acquire(&ctx)
	defer s.release(x)
	x.now = s.clock()
	x.endpoint, x.param, x.roams = e, read.Id, true
	if read.Account != "" {
		x.caller = &bearer{account: engine.AccountID(read.Account), role: engine.Role(read.Role)}
	}
	e.handle(x)
	if x.owner != nil {
		return x.owner
	}
	a.Status = uint32(ctx.Response.StatusCode())
	for name, value := range ctx.Response.Header.All() {
		if passedFields[string(name)] {
			a.Headers = append(a.Headers, &hoppb.Header{Name: string(name), Value: string(value)})
		}
	}
	a.Body = append([]byte(nil), ctx.Response.Body()...)
	return nil
}

// passedFields are the fields of an answer that come from a handler.
var passedFields = map[string]bool{"Content-Type": true, "Etag": true, "Retry-After": true, "Location": true, "Link": true, "Age": true}
