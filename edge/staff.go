package edge

import (
	"strings"
	"time"

	"maitred/actors"
	"maitred/engine"
)

type staffRequest struct {
	Email string `json:"email"`
	Role  string `json:"role"`
}

type staffChangeRequest struct {
	Role string `json:"role"`
}

type memberJSON struct {
	UserID  string `json:"user_id"`
	Role    string `json:"role"`
	Since   string `json:"since"`
	Version uint64 `json:"version"`
	Email   string `json:"email,omitempty"`
}

type staffJSON struct {
	Items []memberJSON `json:"items"`
}

// rankNames are what somebody can be in a restaurant.
var rankNames = map[engine.Role]string{engine.RoleOwner: "owner", engine.RoleManager: "manager", engine.RoleHost: "host"}

// hirable reads a role that can be given; the others are not possible.
func hirable(name string) (engine.Role, *trouble) {
	switch name {
	case "manager":
		return engine.RoleManager, nil
	case "host":
		return engine.RoleHost, nil
	}
	return engine.RoleNone, wrong("role", "manager or host")
}

func memberOf(m *engine.Member) memberJSON {
	since := appendMillis(nil, m.Since)
	return memberJSON{UserID: string(m.Account), Role: rankNames[m.Role], Since: string(since[1 : len(since)-1]), Version: uint64(m.Version)}
}

// inside is the restaurant of the path, when the caller has at least the rank least there; else it has answered: 404 to
// strangers, who do not learn what is there, 403 to whose rank is too low.
func (x *exchange) inside(least engine.Role) (engine.RestaurantID, *engine.RestaurantView) {
	id, ok := x.pathRestaurant()
	if !ok {
		return "", nil
	}
	v := x.restaurant(id)
	if v == nil {
		return "", nil
	}
	if !x.suffices(v.RankOf(x.who()), least) {
		return "", nil
	}
	return id, v
}

// suffices tells whether a rank is at least least; else it has answered as inside does.
func (x *exchange) suffices(rank, least engine.Role) bool {
	switch {
	case !engine.IsStaff(rank):
		x.fail(kindNotFound)
		return false
	case !engine.AtLeast(rank, least):
		x.fail(kindForbidden)
		return false
	}
	return true
}

// ranks is inside for a command, which needs no more than the rank of its caller, wherever the restaurant is.
func (x *exchange) ranks(id engine.RestaurantID, least engine.Role) bool {
	var rank engine.Role
	deadline, who := x.deadline(viewTimeout), x.who()
	err := x.s.wherever(deadline, func() (err error) {
		rank, err = x.s.rankHere(id, who, deadline)
		return err
	}, func(at *actors.NotOwnerError) (err error) {
		rank, err = x.s.routed.rank(at, id, who, deadline)
		return err
	})
	if err != nil {
		x.fault(err)
		return false
	}
	return x.suffices(rank, least)
}

// rankHere is the rank of a caller in a restaurant of this node; none where there is no restaurant.
func (s *Server) rankHere(id engine.RestaurantID, who engine.Caller, deadline time.Time) (engine.Role, error) {
	view, err := s.cfg.House.View(engine.AggregateID(id), deadline)
	if err != nil {
		return engine.RoleNone, err
	}
	v, ok := view.View.(*engine.RestaurantView)
	if !ok || v.Restaurant() == nil {
		return engine.RoleNone, nil
	}
	return v.RankOf(who), nil
}

// postStaff hires an account that exists. Only who may hire learns whether it does.
func (s *Server) postStaff(x *exchange) {
	id, ok := x.pathRestaurant()
	if !ok || !x.ranks(id, engine.RoleManager) {
		return
	}
	var w staffRequest
	t := decode(x.body(), &w)
	var role engine.Role
	if t == nil {
		role, t = hirable(w.Role)
	}
	email, isAddress := normalEmail(w.Email)
	if t == nil && !isAddress {
		t = wrong("email", "not an e-mail address")
	}
	cmd := x.command(t, string(id), string(id), &w, false)
	if cmd == nil {
		return
	}
	account, err := x.account(accountID(s.cfg.Keys.account, email))
	if err != nil {
		x.fault(err)
		return
	}
	if account == nil {
		x.trouble(wrong("email", "nobody has registered with it"))
		return
	}
	cmd.Body = &engine.AddStaff{Account: account.ID, Role: role}
	if out := x.do(engine.AggregateID(id), cmd); out != nil {
		x.location(restaurantsPath, string(id)+"/staff/"+string(account.ID))
		x.answerMember(201, out.Member)
	}
}

func (x *exchange) answerMember(status int, m *engine.Member) {
	x.etag(m.Version)
	x.send(status, memberOf(m))
}

// getStaff lists managers and hosts with the e-mail addresses by which they were hired, at most engine.MaxStaff. Nobody asks who is
// hired, so the list tells nothing of an account that the employer did not know: no name.
func (s *Server) getStaff(x *exchange) {
	_, v := x.inside(engine.RoleManager)
	if v == nil {
		return
	}
	list := staffJSON{Items: []memberJSON{}}
	for _, m := range v.Staff() {
		account, err := x.account(m.Account)
		if err != nil {
			x.fault(err)
			return
		}
		j := memberOf(m)
		if account != nil {
			j.Email = account.Email
		}
		list.Items = append(list.Items, j)
	}
	x.send(200, list)
}

// staffSubject is the member that the path names; false when it has answered.
func (x *exchange) staffSubject() (engine.RestaurantID, engine.AccountID, bool) {
	id, ok := x.pathRestaurant()
	if ok && !engine.IsAccountID(x.second) {
		x.fail(kindNotFound)
		ok = false
	}
	return id, engine.AccountID(strings.Clone(x.second)), ok
}

func (s *Server) patchStaff(x *exchange) {
	id, account, ok := x.staffSubject()
	if !ok {
		return
	}
	var w staffChangeRequest
	t := decode(x.body(), &w)
	var role engine.Role
	if t == nil {
		role, t = hirable(w.Role)
	}
	cmd := x.command(t, string(id), string(account), &w, true)
	if cmd == nil {
		return
	}
	cmd.Body = &engine.ChangeStaff{Account: account, Role: role}
	if out := x.do(engine.AggregateID(id), cmd); out != nil {
		x.answerMember(200, out.Member)
	}
}

// deleteStaff dismisses a member; everybody may go by herself.
func (s *Server) deleteStaff(x *exchange) {
	id, account, ok := x.staffSubject()
	if !ok {
		return
	}
	cmd := x.command(nil, string(id), string(account), struct{}{}, false)
	if cmd == nil {
		return
	}
	cmd.Body = &engine.RemoveStaff{Account: account}
	if x.do(engine.AggregateID(id), cmd) != nil {
		x.empty()
	}
}

type placeJSON struct {
	RestaurantID string `json:"restaurant_id"`
	Name         string `json:"name"`
	City         string `json:"city"`
	Role         string `json:"role"`
}

type placesJSON struct {
	Items []placeJSON `json:"items"`
	pageJSON
}

// getPlaces lists the restaurants that the caller owns or works at, from the store.
func (s *Server) getPlaces(x *exchange) {
	limit, after, t := x.pageQuery("")
	if t != nil {
		x.trouble(t)
		return
	}
	ctx, cancel := x.listing()
	if ctx == nil {
		return
	}
	defer cancel()
	page, err := s.cfg.Lists.PlacesOf(ctx, x.caller.account, after, limit)
	if err != nil {
		x.storeFault(err)
		return
	}
	out := placesJSON{Items: []placeJSON{}, pageJSON: x.page(page.Next, "", page.AsOf)}
	for _, p := range page.Rows {
		out.Items = append(out.Items, placeJSON{string(p.Restaurant), p.Name, p.City, rankNames[p.Role]})
	}
	x.send(200, out)
}
