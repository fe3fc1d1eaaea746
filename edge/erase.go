package edge

import (
	"context"
	"time"

	"maitred/engine"
)

// Erasures is what DELETE /me needs beside the house.
type Erasures struct {
	// Owns reports whether the account owns a restaurant, as of at least what was durable when it was called. nil = an owner's
	// account cannot be erased here (503).
	Owns func(ctx context.Context, account engine.AccountID) (bool, error)
	// Begun is told, from the request's goroutine, that an account was erased, or may have been. nil = nobody is told.
	Begun func()
}

// EraseGrace is how long after its erasure an account may be completed, which lets somebody register under the e-mail again. By
// then every access token of the former has expired, and every request that one of them let in is decided or refused.
const EraseGrace = tokenTTL + commandTimeout + time.Second

var kindOwns = kind{409, "in_use", "The account owns restaurants", 0}

type eraseRequest struct {
	Password *string `json:"password"`
}

// deleteMe erases the caller's account: profile, sessions and access tokens are gone when it answers, and the eraser goes
// through the restaurants.
func (s *Server) deleteMe(x *exchange) {
	var w eraseRequest
	if t := decode(x.body(), &w); t != nil {
		x.trouble(t)
		return
	}
	match, t := x.ifMatch(false)
	if t == nil && (w.Password == nil || len(*w.Password) > 4*maxPassword) {
		t = wrong("password", "the account's password is needed")
	}
	if t != nil {
		x.trouble(t)
		return
	}
	v := x.confirmPassword(*w.Password)
	if v == nil || !x.ownsNothing(v.Info()) {
		return
	}
	id := x.caller.account
	out := x.do(engine.AggregateID(id), &engine.Command{Caller: x.who(), IfMatch: match, Body: &engine.EraseAccount{}})
	if s.cfg.Erasures.Begun != nil {
		s.cfg.Erasures.Begun() // also when the outcome is unknown
	}
	x.revoked(id, "", out)
	if out != nil {
		x.empty()
	}
}

// ownsNothing refuses an account that restaurants belong to; false when it has answered. Only an owner or admin can own one, so
// nobody else waits for the store.
func (x *exchange) ownsNothing(info *engine.AccountInfo) bool {
	if info.Role == engine.RoleCustomer {
		return true
	}
	if x.s.cfg.Erasures.Owns == nil {
		x.fail(kindStoreAway)
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), ownsTimeout)
	defer cancel()
	owns, err := x.s.cfg.Erasures.Owns(ctx, info.ID)
	switch {
	case err != nil:
		x.s.log.Warn("the store did not answer", "endpoint", x.endpoint.pattern, "error", err)
		x.fail(kindStoreAway)
	case owns:
		x.trouble(&trouble{kind: kindOwns, field: "restaurants"})
	}
	return err == nil && !owns
}
