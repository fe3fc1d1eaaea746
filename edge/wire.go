package edge

import (
	"strconv"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"maitred/engine"
)

// The bodies of requests. A pointer tells "not given" from a zero value.
type (
	registerRequest struct {
		Email     string `json:"email"`
		Password  string `json:"password"`
		FirstName string `json:"first_name"`
		LastName  string `json:"last_name"`
		Phone     string `json:"phone"`
		Role      string `json:"role"`
	}
	loginRequest struct {
		Email    string `json:"email"`
		Password string `json:"password"`
		Code     string `json:"code"` // of the second factor
	}
	codeRequest struct {
		Code string `json:"code"`
	}
	passwordRequest struct {
		Password string `json:"password"`
	}
	apiKeyRequest struct {
		Name     string    `json:"name"`
		Scopes   *[]string `json:"scopes"`
		Quota    *int      `json:"quota_per_minute"`
		Password string    `json:"password"`
	}
	refreshRequest struct {
		RefreshToken string `json:"refresh_token"`
	}
	profileRequest struct {
		FirstName       *string `json:"first_name"`
		LastName        *string `json:"last_name"`
		Phone           *string `json:"phone"`
		Password        *string `json:"password"`
		CurrentPassword *string `json:"current_password"`
	}
	hoursJSON struct {
		Days        []string `json:"days"`
		Open        string   `json:"open"`
		Close       string   `json:"close"`
		LastSeating string   `json:"last_seating"`
		Name        string   `json:"name,omitzero"`         // omitzero: a request without it is the same request to older builds
		GridMinutes int      `json:"grid_minutes,omitzero"` // 0 = the restaurant's
	}
	restaurantRequest struct {
		Name         *string      `json:"name"`
		Address      *string      `json:"address"`
		City         *string      `json:"city"`
		Country      *string      `json:"country"`
		CuisineType  *string      `json:"cuisine_type"`
		Description  *string      `json:"description"`
		Phone        *string      `json:"phone"`
		Email        *string      `json:"email"`
		TimeZone     *string      `json:"time_zone"`
		Latitude     *float64     `json:"latitude"`
		Longitude    *float64     `json:"longitude"`
		OpeningHours *[]hoursJSON `json:"opening_hours"`
		GridMinutes  *int         `json:"grid_minutes,omitzero"`
	}
	tableRequest struct {
		TableNumber *string `json:"table_number"`
		Capacity    *int    `json:"capacity"`
		MinCapacity *int    `json:"min_capacity"`
		Location    *string `json:"location"`
		IsAvailable *bool   `json:"is_available"`
		Channel     *string `json:"channel,omitzero"`

		Blocks *[]blockJSON `json:"blocks,omitzero"`
	}
	blockJSON struct {
		From  string `json:"from"`
		Until string `json:"until"`
	}
	contactJSON struct {
		Name  string `json:"name"`
		Phone string `json:"phone"`
		Email string `json:"email"`
	}
	reservationRequest struct {
		RestaurantID    string      `json:"restaurant_id"`
		Date            string      `json:"date"`
		TimeSlot        string      `json:"time_slot"`
		StartsAt        string      `json:"starts_at"`
		GuestsCount     int         `json:"guests_count"`
		SpecialRequests string      `json:"special_requests"`
		TableID         string      `json:"table_id"`
		Area            string      `json:"area"`
		Override        string      `json:"override"`
		Contact         contactJSON `json:"contact"`
	}
	rescheduleRequest struct {
		Date            *string `json:"date"`
		TimeSlot        *string `json:"time_slot"`
		StartsAt        *string `json:"starts_at"`
		GuestsCount     *int    `json:"guests_count"`
		SpecialRequests *string `json:"special_requests"`
		TableID         *string `json:"table_id"`
		Area            *string `json:"area"`
		Override        string  `json:"override"`
	}
	reasonRequest struct {
		Reason string `json:"reason"`
	}
)

// textRune says whether a rune may stand in a line of text: no control, no direction override, nothing unprintable.
func textRune(r rune) bool {
	switch {
	case r < 0x20 || (0x7f <= r && r < 0xa0):
		return false
	case r < 0x2000:
		return true
	case 0x202a <= r && r <= 0x202e, 0x2066 <= r && r <= 0x2069, r == 0x200e, r == 0x200f: // bidi
		return false
	case r == 0x2028, r == 0x2029, r == utf8.RuneError:
		return false
	}
	return !unicode.Is(unicode.Cs, r)
}

// checkText bounds a text in runes and refuses what must never reach the journal. lines allows line breaks and tabs.
func checkText(field, s string, most int, lines bool) *trouble {
	ascii := len(s) <= most
	for i := 0; ascii && i < len(s); i++ {
		ascii = 0x20 <= s[i] && s[i] < 0x7f
	}
	if ascii {
		return nil
	}
	n := 0
	for _, r := range s {
		if n++; n > most {
			return wrong(field, "at most "+strconv.Itoa(most)+" characters")
		}
		if !textRune(r) && !(lines && (r == '\n' || r == '\t' || r == '\r')) {
			return wrong(field, "control characters are not allowed")
		}
	}
	return nil
}

// appendString writes a JSON string.
func appendString(dst []byte, s string) []byte {
	plain := true
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= 0x7f || c == '"' || c == '\\' {
			plain = false
			break
		}
	}
	if plain {
		dst = append(dst, '"')
		dst = append(dst, s...)
		return append(dst, '"')
	}
	dst, _ = jsontext.AppendQuote(dst, s) // its error is invalid UTF-8, which it replaces
	return dst
}

// appendClock writes HH:MM of minutes after midnight.
func appendClock(dst []byte, minutes int) []byte {
	m := minutes % 1440
	h := m / 60
	m %= 60
	return append(dst, byte('0'+h/10), byte('0'+h%10), ':', byte('0'+m/10), byte('0'+m%10))
}

// parseClock reads HH:MM, 00:00 to 23:59.
func parseClock(s string) (int, bool) {
	if len(s) != 5 || s[2] != ':' {
		return 0, false
	}
	for _, i := range [...]int{0, 1, 3, 4} {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	h, m := int(s[0]-'0')*10+int(s[1]-'0'), int(s[3]-'0')*10+int(s[4]-'0')
	return h*60 + m, h < 24 && m < 60
}

// offset is the local time's distance from UTC in seconds, which a start carries by itself: local minutes of a service day
// against the instant. 0 where that is no whole number of minutes within a day's reach.
func offset(day engine.Day, localMin int, startsAt int64) int64 {
	o := int64(day)*86400 + int64(localMin)*60 - startsAt
	if o%60 != 0 || o < -18*3600 || o > 18*3600 {
		return 0
	}
	return o
}

// dateText remembers the date that was written last: the start times of a day share it.
type dateText struct {
	day  engine.Day
	text [16]byte
	n    int // of text; 0 = nothing was written
}

func (d *dateText) append(dst []byte, day engine.Day) []byte {
	if d.n == 0 || d.day != day {
		d.day, d.n = day, len(engine.AppendDate(d.text[:0], day))
	}
	return append(dst, d.text[:d.n]...)
}

// appendInstant writes RFC 3339 with an offset from UTC in seconds.
func appendInstant(dst []byte, unix, offset int64) []byte {
	var d dateText
	return d.appendInstant(dst, unix, offset)
}

func (d *dateText) appendInstant(dst []byte, unix, offset int64) []byte {
	local := unix + offset
	day := local / 86400
	second := local % 86400
	if second < 0 {
		day, second = day-1, second+86400
	}
	dst = d.append(dst, engine.Day(day))
	dst = append(dst, 'T')
	dst = appendClock(dst, int(second/60))
	dst = append(dst, ':', byte('0'+second%60/10), byte('0'+second%10))
	if offset == 0 {
		return append(dst, 'Z')
	}
	sign := byte('+')
	if offset < 0 {
		sign, offset = '-', -offset
	}
	return appendClock(append(dst, sign), int(offset/60))
}

// appendMillis writes an instant of the engine in UTC, to the millisecond.
func appendMillis(dst []byte, at engine.Instant) []byte {
	ms := int64(at) % 1000
	dst = append(dst, '"')
	dst = appendInstant(dst, int64(at)/1000, 0)
	dst = append(dst[:len(dst)-1], '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10), 'Z')
	return append(dst, '"')
}

// appendWhen writes date, time_slot and starts_at, with a comma before.
func appendWhen(dst []byte, day engine.Day, localMin int, startsAt int64) []byte {
	dst = append(dst, `"date":"`...)
	dst = engine.AppendDate(dst, day)
	dst = append(dst, `","time_slot":"`...)
	dst = appendClock(dst, localMin)
	dst = append(dst, `","starts_at":"`...)
	dst = appendInstant(dst, startsAt, offset(day, localMin, startsAt))
	return append(dst, '"')
}

// appendProblem writes a problem of RFC 9457.
func appendProblem(dst []byte, t *trouble) []byte {
	dst = append(dst, `{"type":"urn:maitred:problem:`...)
	dst = append(dst, t.code...)
	dst = append(dst, `","title":`...)
	dst = appendString(dst, t.title)
	dst = append(dst, `,"status":`...)
	dst = strconv.AppendInt(dst, int64(t.status), 10)
	dst = append(dst, `,"code":"`...)
	dst = append(dst, t.code...)
	dst = append(dst, '"')
	if t.detail != "" {
		dst = appendString(append(dst, `,"detail":`...), t.detail)
	}
	if t.field != "" {
		dst = appendString(append(dst, `,"field":`...), t.field)
	}
	for i, a := range t.alternatives {
		if i == 0 {
			dst = append(dst, `,"alternatives":[{`...)
		} else {
			dst = append(dst, `,{`...)
		}
		dst = append(appendWhen(dst, a.Day, a.LocalMin, a.StartsAt), '}')
	}
	if len(t.alternatives) > 0 {
		dst = append(dst, ']')
	}
	if len(t.conflicts) > 0 {
		dst = appendObstacles(dst, t.conflicts)
	}
	return append(dst, '}')
}

// appendReservation writes a reservation as its guest sees it; see appendFor.
func appendReservation(dst []byte, r *engine.Reservation) []byte {
	dst = append(dst, `{"id":"`...)
	dst = append(dst, r.ID...)
	dst = append(dst, `","restaurant_id":"rst_`...)
	dst = append(dst, r.ID[4:17]...)
	dst = append(dst, `",`...)
	dst = appendTables(dst, r.Tables)
	dst = append(dst, ',')
	dst = appendWhen(dst, r.Day, r.LocalMin, r.StartsAt)
	dst = append(dst, `,"ends_at":"`...)
	dst = appendInstant(dst, r.EndsAt, offset(r.Day, r.LocalMin, r.StartsAt))
	dst = append(dst, `","guests_count":`...)
	dst = strconv.AppendInt(dst, int64(r.GuestsCount), 10)
	dst = append(dst, `,"special_requests":`...)
	dst = appendString(dst, r.SpecialRequests)
	dst = append(dst, `,"status":"`...)
	dst = append(dst, engine.StatusName(r.Status)...)
	dst = append(dst, `","version":`...)
	dst = strconv.AppendUint(dst, uint64(r.Version), 10)
	if r.Contact != (engine.Contact{}) {
		dst = appendString(append(dst, `,"contact":{"name":`...), r.Contact.Name)
		dst = appendString(append(dst, `,"phone":`...), r.Contact.Phone)
		dst = appendString(append(dst, `,"email":`...), r.Contact.Email)
		dst = append(dst, '}')
	}
	if r.Status == engine.StatusHeld {
		dst = appendMillis(append(dst, `,"hold_until":`...), r.HoldUntil)
	}
	if w := r.Waiting; w != nil && (r.Status == engine.StatusWaiting || r.Status == engine.StatusHeld) {
		dst = appendInstant(append(dst, `,"waitlist":{"until":"`...), w.Until, offset(r.Day, r.LocalMin, r.StartsAt))
		dst = append(dst, `","quoted_wait_minutes":`...)
		if w.QuotedMin < 0 {
			dst = append(dst, "null}"...)
		} else {
			dst = append(strconv.AppendInt(dst, int64(w.QuotedMin), 10), '}')
		}
	}
	if r.Policy != (engine.Policy{}) {
		dst = appendPolicy(dst, r)
	}
	if r.FeeDue > 0 {
		dst = strconv.AppendInt(append(dst, `,"fee_due":`...), int64(r.FeeDue), 10)
	}
	dst = appendMillis(append(dst, `,"created_at":`...), r.Created)
	dst = appendMillis(append(dst, `,"updated_at":`...), r.Updated)
	return append(dst, '}')
}

// appendPolicy writes what a cancellation costs, with a comma before.
func appendPolicy(dst []byte, r *engine.Reservation) []byte {
	dst = append(dst, `,"cancellation":{"free_until":"`...)
	dst = appendInstant(dst, r.Free(), offset(r.Day, r.LocalMin, r.StartsAt))
	dst = strconv.AppendInt(append(dst, `","late_fee":`...), int64(r.Policy.LateFee), 10)
	dst = strconv.AppendInt(append(dst, `,"no_show_fee":`...), int64(r.Policy.NoShowFee), 10)
	dst = appendString(append(dst, `,"currency":`...), r.Policy.Currency)
	return append(dst, '}')
}

// appendTables writes table_id, the first one, and table_ids.
func appendTables(dst []byte, tables []engine.TableID) []byte {
	dst = append(dst, `"table_id":`...)
	if len(tables) == 0 {
		return append(dst, `null,"table_ids":[]`...)
	}
	dst = appendString(dst, string(tables[0]))
	dst = append(dst, `,"table_ids":[`...)
	for i, t := range tables {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, string(t))
	}
	return append(dst, ']')
}
