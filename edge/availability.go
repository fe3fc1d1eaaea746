package edge

import (
	"bytes"
	"strconv"
	"strings"

	"maitred/engine"
)

// getAvailability lists the start times of a service day. Hot: an answer that is kept in the view is sent as it is.
func (s *Server) getAvailability(x *exchange) {
	q, t := x.availabilityQuery()
	if t != nil {
		x.trouble(t)
		return
	}
	if !engine.IsRestaurantID(x.param) {
		x.fail(kindNotFound)
		return
	}
	if s.cfg.Copies != nil && !q.special() {
		if patience, ok := x.maxStale(); ok && x.copied(q, patience) {
			return
		}
	}
	view, err := s.house.View(engine.AggregateID(strings.Clone(x.param)), x.deadline(viewTimeout))
	if err != nil {
		if x.elsewhere(err) {
			return
		}
		if s.cfg.Copies == nil || q.special() || kindOfFault(err).status < 503 || !x.copied(q, anyAge) {
			x.fault(err)
		}
		return
	}
	minute := x.now.Unix() / 60
	whole := q.minutes < 0 && !q.special() // such answers are kept
	if whole {
		if body := view.Cached(q.day, q.guests, minute); body != nil {
			x.replyShared(200, body)
			return
		}
	}
	v, ok := view.View.(*engine.RestaurantView)
	if !ok || v.Restaurant() == nil {
		x.fail(kindNotFound)
		return
	}
	x.starts = v.AvailabilityIn(engine.Instant(x.now.UnixMilli()), q.day, q.guests, q.area, q.hold, x.starts[:0])
	x.buf = appendAvailability(x.buf[:0], q.day, v.Restaurant().TimeZone, x.starts, q.minutes)
	x.buf = appendTerms(x.buf, v.Terms(q.guests))
	if !whole || !view.Wanted(q.day, q.guests) {
		x.reply(200)
		return
	}
	body := bytes.Clone(x.buf)
	view.Keep(q.day, q.guests, minute, body)
	x.replyShared(200, body)
}

// availabilityQuery is what the request asks for.
type availabilityQuery struct {
	day     engine.Day
	guests  int
	minutes int                  // time, after midnight; -1 = all
	area    string               // empty = all
	hold    engine.ReservationID // whose holder asks
}

// special tells whether the answer is not everybody's.
func (q *availabilityQuery) special() bool { return q.area != "" || q.hold != "" }

func (x *exchange) availabilityQuery() (availabilityQuery, *trouble) {
	var date, guests, clock, area, hold string
	uri := x.ctx.Request.Header.RequestURI()
	at := bytes.IndexByte(uri, '?')
	if at >= 0 && bytes.IndexByte(uri[at:], '%') < 0 && bytes.IndexByte(uri[at:], '+') < 0 {
		if !plainQuery(uri[at+1:], &date, &guests, &clock, &area, &hold) {
			return availabilityQuery{}, wrong("query", "date, guests_count, time, area and hold, once each")
		}
	} else {
		if t := x.query("date", "guests_count", "guests", "time", "area", "hold"); t != nil {
			return availabilityQuery{}, t
		}
		args := x.ctx.QueryArgs()
		date, guests, clock = string(args.Peek("date")), string(args.Peek("guests_count")), string(args.Peek("time"))
		area, hold = string(args.Peek("area")), string(args.Peek("hold"))
		if guests == "" {
			guests = string(args.Peek("guests"))
		}
	}
	q := availabilityQuery{minutes: -1, area: area, hold: engine.ReservationID(strings.Clone(hold))}
	t := checkText("area", area, maxName, false)
	if t != nil {
		return q, t
	}
	if q.day, t = parseDate("date", date); t != nil {
		return q, t
	}
	if hold != "" && !fitsID(hold) {
		return q, wrong("hold", "not an id")
	}
	if q.guests, t = x.guests(guests); t != nil {
		return q, t
	}
	if clock != "" {
		var ok bool
		if q.minutes, ok = parseClock(clock); !ok {
			return q, wrong("time", "HH:MM, 00:00 to 23:59")
		}
	}
	return q, nil
}

// guests reads the size of a party from a query.
func (x *exchange) guests(text string) (int, *trouble) {
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, wrong("guests_count", "a whole number")
	}
	return n, checkParty("guests_count", n)
}

// plainQuery reads a query without escapes; false when a parameter is unknown or comes twice, or time, area or hold are empty.
func plainQuery(q []byte, date, guests, clock, area, hold *string) bool {
	for len(q) > 0 {
		var pair []byte
		pair, q, _ = bytes.Cut(q, []byte{'&'})
		eq := bytes.IndexByte(pair, '=')
		if eq < 0 {
			return false
		}
		var at *string
		switch string(pair[:eq]) {
		case "date":
			at = date
		case "guests_count", "guests":
			at = guests
		case "time":
			at = clock
		case "area":
			at = area
		case "hold":
			at = hold
		}
		if at == nil || *at != "" || (at == clock || at == area || at == hold) && eq == len(pair)-1 {
			return false
		}
		*at = aliased(pair[eq+1:])
	}
	return true
}

// appendAvailability writes the start times of a day, or the one at minutes after midnight.
func appendAvailability(dst []byte, day engine.Day, zone string, starts []engine.Start, minutes int) []byte {
	dst = append(dst, `{"date":"`...)
	dst = engine.AppendDate(dst, day)
	dst = append(dst, `","time_zone":`...)
	dst = appendString(dst, zone)
	dst = append(dst, `,"slots":[`...)
	first := true
	var date dateText
	for i := range starts {
		s := &starts[i]
		if minutes >= 0 && s.LocalMin%1440 != minutes {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(dst, `{"time_slot":"`...)
		dst = appendClock(dst, s.LocalMin)
		dst = append(dst, `","starts_at":"`...)
		dst = date.appendInstant(dst, s.StartsAt, offset(s.Day, s.LocalMin, s.StartsAt))
		dst = append(dst, `","available":`...)
		dst = strconv.AppendBool(dst, s.Free > 0)
		dst = append(dst, `,"tables":`...)
		dst = strconv.AppendInt(dst, int64(s.Free), 10)
		dst = append(dst, '}')
	}
	return append(dst, "]}"...)
}
