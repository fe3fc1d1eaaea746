package edge

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"

	"maitred/engine"
)

type restaurantJSON struct {
	ID            string      `json:"id"`
	Name          string      `json:"name"`
	Address       string      `json:"address"`
	City          string      `json:"city"`
	Country       string      `json:"country"`
	CuisineType   string      `json:"cuisine_type"`
	Description   string      `json:"description"`
	Phone         string      `json:"phone"`
	Email         string      `json:"email"`
	TimeZone      string      `json:"time_zone"`
	Latitude      float64     `json:"latitude"`
	Longitude     float64     `json:"longitude"`
	OpeningHours  []hoursJSON `json:"opening_hours"`
	GridMinutes   int         `json:"grid_minutes"`
	AverageRating *float64    `json:"average_rating"` // null: nobody has reviewed it
	TotalReviews  int64       `json:"total_reviews"`
	Version       uint64      `json:"version"`
}

var weekdays = [...]string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}

func restaurantOfView(r *engine.Restaurant) restaurantJSON {
	out := restaurantJSON{
		ID: string(r.ID), Name: r.Name, Address: r.Address, City: r.City, Country: r.Country, CuisineType: r.CuisineType,
		Description: r.Description, Phone: r.Phone, Email: r.Email, TimeZone: r.TimeZone, Latitude: r.Latitude,
		Longitude: r.Longitude, OpeningHours: []hoursJSON{}, Version: uint64(r.Version),
		AverageRating: averageOf(r.Ratings), TotalReviews: r.Ratings.Count, GridMinutes: cmp.Or(r.GridMin, engine.DefaultGridMin),
	}
	for i := range r.OpeningHours {
		out.OpeningHours = append(out.OpeningHours, hoursOfView(&r.OpeningHours[i]))
	}
	return out
}

func hoursOfView(h *engine.OpeningHours) hoursJSON {
	clock := func(m int) string { return string(appendClock(nil, m)) }
	j := hoursJSON{Open: clock(h.Open), Close: clock(h.Close), LastSeating: clock(h.LastSeating), Days: []string{}, Name: h.Name, GridMinutes: h.GridMin}
	for i, name := range weekdays {
		if h.Days&(1<<i) != 0 {
			j.Days = append(j.Days, name)
		}
	}
	return j
}

// hours reads a shift, which is the member field: its close and last seating may lie after midnight, which they say by being earlier than its opening.
func hours(field string, j *hoursJSON) (engine.OpeningHours, *trouble) {
	h := engine.OpeningHours{Name: j.Name, GridMin: j.GridMinutes}
	if t := checkText(field+".name", j.Name, maxShiftName, false); t != nil {
		return h, t
	}
	if t := checkGrid(field+".grid_minutes", j.GridMinutes); t != nil {
		return h, t
	}
	for _, d := range j.Days {
		bit := -1
		for i, name := range weekdays {
			if d == name {
				bit = i
			}
		}
		if bit < 0 || h.Days&(1<<bit) != 0 {
			return h, wrong(field+".days", "mon, tue, wed, thu, fri, sat, sun, each once")
		}
		h.Days |= 1 << bit
	}
	if h.Days == 0 {
		return h, wrong(field+".days", "at least one day")
	}
	var ok bool
	if h.Open, ok = parseClock(j.Open); !ok {
		return h, wrong(field+".open", "HH:MM, 00:00 to 23:59")
	}
	if h.Close, ok = parseClock(j.Close); !ok && j.Close != "24:00" {
		return h, wrong(field+".close", "HH:MM, 00:00 to 24:00")
	}
	if h.Close <= h.Open || j.Close == "24:00" {
		h.Close = h.Close%1440 + 1440
	}
	if j.LastSeating == "" {
		h.LastSeating = max(h.Open, h.Close-60)
		return h, nil
	}
	if h.LastSeating, ok = parseClock(j.LastSeating); !ok {
		return h, wrong(field+".last_seating", "HH:MM, 00:00 to 23:59")
	}
	if h.LastSeating < h.Open {
		h.LastSeating += 1440
	}
	if h.LastSeating >= h.Close {
		return h, wrong(field+".last_seating", "from open to before close")
	}
	return h, nil
}

// checkGrid looks at the distance of start times; 0 = the one that stands above it.
func checkGrid(field string, minutes int) *trouble {
	if minutes != 0 && (minutes < engine.MinGridMin || minutes > engine.MaxGridMin || minutes%engine.MinGridMin != 0) {
		return wrong(field, "5 to 60 by 5")
	}
	return nil
}

// checkRestaurant checks the form of what is given and turns it into a change.
func checkRestaurant(w *restaurantRequest) (engine.DetailsChange, *trouble) {
	c := engine.DetailsChange{
		Name: w.Name, Address: w.Address, City: w.City, Country: w.Country, CuisineType: w.CuisineType, Description: w.Description,
		Phone: w.Phone, Email: w.Email, TimeZone: w.TimeZone, Latitude: w.Latitude, Longitude: w.Longitude, GridMin: w.GridMinutes,
	}
	for _, f := range [...]struct {
		name  string
		value *string
		most  int
	}{
		{"name", w.Name, maxName}, {"address", w.Address, maxLine}, {"city", w.City, maxName}, {"country", w.Country, maxName},
		{"cuisine_type", w.CuisineType, maxName}, {"phone", w.Phone, maxPhone}, {"email", w.Email, maxEmail},
		{"time_zone", w.TimeZone, 64},
	} {
		if t := checkText(f.name, text(f.value), f.most, false); t != nil {
			return c, t
		}
	}
	if t := checkText("description", text(w.Description), maxText, true); t != nil {
		return c, t
	}
	if w.Name != nil && strings.TrimSpace(*w.Name) == "" {
		return c, wrong("name", "needed")
	}
	if text(w.Email) != "" {
		if _, ok := normalEmail(*w.Email); !ok {
			return c, wrong("email", "not an e-mail address")
		}
	}
	if w.Latitude != nil && math.Abs(*w.Latitude) > 90 {
		return c, wrong("latitude", "-90 to 90")
	}
	if w.Longitude != nil && math.Abs(*w.Longitude) > 180 {
		return c, wrong("longitude", "-180 to 180")
	}
	if w.GridMinutes != nil {
		if t := checkGrid("grid_minutes", *w.GridMinutes); t != nil {
			return c, t
		}
	}
	if w.OpeningHours == nil {
		return c, nil
	}
	if len(*w.OpeningHours) > maxHours {
		return c, wrong("opening_hours", "at most "+strconv.Itoa(maxHours)+" shifts")
	}
	all := make([]engine.OpeningHours, 0, len(*w.OpeningHours))
	for i := range *w.OpeningHours {
		h, t := hours("opening_hours", &(*w.OpeningHours)[i])
		if t != nil {
			return c, t
		}
		all = append(all, h)
	}
	c.OpeningHours = &all
	return c, nil
}

// details of a new restaurant.
func details(c *engine.DetailsChange) (engine.Details, *trouble) {
	d := engine.Details{
		Name: text(c.Name), Address: text(c.Address), City: text(c.City), Country: text(c.Country), CuisineType: text(c.CuisineType),
		Description: text(c.Description), Phone: text(c.Phone), Email: text(c.Email), TimeZone: text(c.TimeZone),
	}
	if c.Name == nil {
		return d, wrong("name", "needed")
	}
	if d.TimeZone == "" {
		return d, wrong("time_zone", "an IANA time zone")
	}
	if c.Latitude != nil {
		d.Latitude = *c.Latitude
	}
	if c.Longitude != nil {
		d.Longitude = *c.Longitude
	}
	if c.OpeningHours != nil {
		d.OpeningHours = *c.OpeningHours
	}
	if c.GridMin != nil {
		d.GridMin = *c.GridMin
	}
	return d, nil
}

// payloadOf hashes a request by its canonical JSON.
func payloadOf(target string, w any) (engine.Hash, error) {
	text, err := canonicalJSON(w)
	if err != nil {
		return engine.Hash{}, err
	}
	return hash16(canonical(canonical(nil, target), text)), nil
}

// canonicalJSON is what a request says, however it was written. A member that an older build does not know must not be in it when the
// request does not have it: keys are good on every node.
func canonicalJSON(w any) (string, error) {
	b, err := json.Marshal(w, json.Deterministic(true))
	return string(b), err
}

func (s *Server) postRestaurant(x *exchange) {
	var w restaurantRequest
	t := decode(x.body(), &w)
	var change engine.DetailsChange
	if t == nil {
		change, t = checkRestaurant(&w)
	}
	var d engine.Details
	if t == nil {
		d, t = details(&change)
	}
	var key engine.Hash
	if t == nil {
		key, t = x.scope("")
	}
	if t != nil {
		x.trouble(t)
		return
	}
	if x.caller.role != engine.RoleOwner && x.caller.role != engine.RoleAdmin { // the engine says so too; here it costs no aggregate
		x.fail(kindForbidden)
		return
	}
	payload, err := payloadOf("", &w)
	if err != nil {
		x.fault(err)
		return
	}
	id := engine.MakeRestaurantID(s.mint.uint64())
	if key != (engine.Hash{}) { // the same key must reach the same aggregate
		id = s.keyedRestaurant(key)
	}
	out := x.do(engine.AggregateID(id), &engine.Command{
		Caller: x.who(), Key: key, Payload: payload, Body: &engine.CreateRestaurant{ID: id, Details: d},
	})
	if out != nil {
		x.location(restaurantsPath, string(id))
		x.answerRestaurant(201, out.Restaurant)
	}
}

// keyedRestaurant makes the id of a restaurant that is created with a key.
func (s *Server) keyedRestaurant(key engine.Hash) engine.RestaurantID {
	h := hmac.New(sha256.New, s.cfg.Keys.account)
	h.Write(canonical([]byte("restaurant"), string(key[:])))
	return engine.MakeRestaurantID(binary.LittleEndian.Uint64(h.Sum(nil)))
}

func (x *exchange) answerRestaurant(status int, r *engine.Restaurant) {
	x.etag(r.Version)
	x.send(status, restaurantOfView(r))
}

// pathRestaurant is the id in the path, copied; false when it has answered.
func (x *exchange) pathRestaurant() (engine.RestaurantID, bool) {
	if !engine.IsRestaurantID(x.param) {
		x.fail(kindNotFound)
		return "", false
	}
	return engine.RestaurantID(strings.Clone(x.param)), true
}

func (s *Server) getRestaurant(x *exchange) {
	id, ok := x.pathRestaurant()
	if !ok {
		return
	}
	if v := x.restaurant(id); v != nil {
		x.answerRestaurant(200, v.Restaurant())
	}
}

func (s *Server) patchRestaurant(x *exchange) {
	id, ok := x.pathRestaurant()
	if !ok {
		return
	}
	var w restaurantRequest
	t := decode(x.body(), &w)
	var change engine.DetailsChange
	if t == nil {
		change, t = checkRestaurant(&w)
	}
	cmd := x.command(t, string(id), string(id), &w, true)
	if cmd == nil {
		return
	}
	cmd.Body = &engine.ChangeRestaurant{Change: change}
	if out := x.do(engine.AggregateID(id), cmd); out != nil {
		x.answerRestaurant(200, out.Restaurant)
	}
}

// command makes a command about target inside restaurant, without its body; nil when it has answered, also t.
func (x *exchange) command(t *trouble, restaurant, target string, w any, needsMatch bool) *engine.Command {
	var match engine.Version
	if t == nil {
		match, t = x.ifMatch(needsMatch)
	}
	var key engine.Hash
	if t == nil {
		key, t = x.scope(restaurant)
	}
	if t != nil {
		x.trouble(t)
		return nil
	}
	payload, err := payloadOf(target, w)
	if err != nil {
		x.fault(err)
		return nil
	}
	return &engine.Command{Caller: x.who(), Key: key, Payload: payload, IfMatch: match}
}
