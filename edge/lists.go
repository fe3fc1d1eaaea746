package edge

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"maitred/engine"
	"maitred/persistence"
)

// getMine lists the caller's reservations, newest start first, from the store: as_of says how fresh that is.
func (s *Server) getMine(x *exchange) {
	filter, scope, t := x.listFilter()
	if t != nil {
		x.trouble(t)
		return
	}
	ctx, cancel := x.listing()
	if ctx == nil {
		return
	}
	defer cancel()
	page, err := s.cfg.Lists.ReservationsOf(ctx, x.caller.account, filter)
	if err != nil {
		x.storeFault(err)
		return
	}
	b := append(x.buf[:0], `{"items":[`...)
	for i := range page.Rows {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendRow(b, &page.Rows[i])
	}
	b = append(b, `],"next_cursor":`...)
	if page.Next == "" {
		b = append(b, "null"...)
	} else {
		b = appendString(b, x.signCursor(page.Next, scope))
	}
	b = append(b, `,"as_of":"`...)
	b = page.AsOf.UTC().AppendFormat(b, time.RFC3339)
	x.buf = append(b, `"}`...)
	x.reply(200)
}

// listFilter reads status, from, to, limit and cursor; scope is what a cursor is bound to.
func (x *exchange) listFilter() (f persistence.ListFilter, scope string, t *trouble) {
	if t = x.query("status", "from", "to", "limit", "cursor"); t != nil {
		return f, "", t
	}
	args := x.ctx.QueryArgs()
	status, from, to := string(args.Peek("status")), string(args.Peek("from")), string(args.Peek("to"))
	if status != "" {
		var ok bool
		if f.Status, ok = engine.ParseStatus(status); !ok {
			return f, "", wrong("status", "not a status")
		}
	}
	for _, bound := range []struct {
		name, value string
		at          *int32
	}{{"from", from, &f.From}, {"to", to, &f.To}} {
		if bound.value == "" {
			continue
		}
		day, t := parseDate(bound.name, bound.value)
		if t != nil {
			return f, "", t
		}
		*bound.at = int32(day)
	}
	if f.Limit, t = x.limit(); t != nil {
		return f, "", t
	}
	scope = strings.Join([]string{status, from, to}, ",")
	f.After, t = x.readCursor(string(args.Peek("cursor")), scope)
	return f, scope, t
}

// appendRow writes a reservation as the store knows it.
func appendRow(dst []byte, r *persistence.ReservationRow) []byte {
	day, minutes, starts := engine.Day(r.ServiceDay), int(r.LocalMin), r.StartsAt.Unix()
	dst = appendString(append(dst, `{"id":`...), string(r.ID))
	dst = appendString(append(dst, `,"restaurant_id":`...), string(r.Restaurant))
	dst = appendString(append(dst, `,"restaurant_name":`...), r.RestaurantName)
	dst = appendTables(append(dst, ','), r.Tables)
	dst = appendWhen(append(dst, ','), day, minutes, starts)
	dst = append(dst, `,"ends_at":"`...)
	dst = appendInstant(dst, r.EndsAt.Unix(), offset(day, minutes, starts))
	dst = append(dst, `","guests_count":`...)
	dst = strconv.AppendInt(dst, int64(r.GuestsCount), 10)
	dst = appendString(append(dst, `,"special_requests":`...), r.SpecialRequests)
	dst = append(dst, `,"status":"`...)
	dst = append(dst, engine.StatusName(r.Status)...)
	dst = append(dst, `","version":`...)
	dst = strconv.AppendUint(dst, uint64(r.Version), 10)
	return append(dst, '}')
}

// getDaySheet lists a service day of a restaurant for its staff, in order of start, from the owner node's view.
func (s *Server) getDaySheet(x *exchange) {
	id, v := x.inside(engine.RoleHost)
	if v == nil {
		return
	}
	day, limit, after, date, t := x.sheetQuery()
	if t != nil {
		x.trouble(t)
		return
	}
	sheet := v.DaySheet(day, nil)
	slices.SortFunc(sheet, func(a, b *engine.Reservation) int { return strings.Compare(sheetPlace(a), sheetPlace(b)) })
	next := ""
	b := append(x.buf[:0], `{"date":"`...)
	b = append(b, date...)
	b = append(b, `","items":[`...)
	n := 0
	for _, r := range sheet {
		place := sheetPlace(r)
		if place <= after {
			continue
		}
		if n == limit {
			break
		}
		if n++; n > 1 {
			b = append(b, ',')
		}
		b = x.appendSheetItem(b, v, r)
		next = place
	}
	b = append(b, `],"next_cursor":`...)
	if n < limit || next == sheetPlace(sheet[len(sheet)-1]) {
		b = append(b, "null"...)
	} else {
		b = appendString(b, x.signCursor(next, string(id)+date))
	}
	sum := summarise(sheet)
	x.buf = append(appendSummary(b, &sum), '}')
	x.reply(200)
}

func (x *exchange) sheetQuery() (day engine.Day, limit int, after, date string, t *trouble) {
	if t = x.query("date", "limit", "cursor"); t != nil {
		return
	}
	date = string(x.ctx.QueryArgs().Peek("date"))
	if day, t = parseDate("date", date); t != nil {
		return
	}
	if limit, t = x.limit(); t != nil {
		return
	}
	after, t = x.readCursor(string(x.ctx.QueryArgs().Peek("cursor")), x.param+date)
	return
}

// sheetPlace orders a day sheet: by start, then by id.
func sheetPlace(r *engine.Reservation) string {
	var b [48]byte
	place := strconv.AppendInt(b[:0], 1e12+r.StartsAt, 10)
	return string(append(append(place, '.'), r.ID...))
}
