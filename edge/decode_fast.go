package edge

import (
	"bytes"
	"unicode/utf8"
)

// decodeFast reads the body of POST /reservations when it is written plainly: known members once each, strings without
// escapes, small whole numbers. false means "let the strict decoder judge", never "wrong": there is one judge. Whatever it
// accepts, the strict decoder reads the same way (FuzzDecodeReservation). The strings lead into b.
func decodeFast(b []byte, r *reservationRequest) bool {
	*r = reservationRequest{}
	s := scanner{b: b}
	if !s.byte('{') {
		return false
	}
	var seen uint
	for first := true; ; first = false {
		if s.peek() == '}' && first {
			break
		}
		name, ok := s.string()
		if !ok || !s.byte(':') {
			return false
		}
		bit, ok := s.member(name, r)
		if !ok || seen&bit != 0 {
			return false
		}
		seen |= bit
		if s.peek() != ',' {
			break
		}
		s.i++
	}
	return s.byte('}') && s.end()
}

// member reads the value of a member of the request.
func (s *scanner) member(name string, r *reservationRequest) (uint, bool) {
	switch name {
	case "restaurant_id":
		return 1, s.into(&r.RestaurantID)
	case "date":
		return 2, s.into(&r.Date)
	case "time_slot":
		return 4, s.into(&r.TimeSlot)
	case "starts_at":
		return 8, s.into(&r.StartsAt)
	case "guests_count":
		n, ok := s.number()
		r.GuestsCount = n
		return 16, ok
	case "special_requests":
		return 32, s.into(&r.SpecialRequests)
	case "table_id":
		return 64, s.into(&r.TableID)
	}
	return 0, false
}

type scanner struct {
	b []byte
	i int
}

// peek skips space and looks at the next byte; 0 at the end.
func (s *scanner) peek() byte {
	for s.i < len(s.b) {
		switch c := s.b[s.i]; c {
		case ' ', '\t', '\r', '\n':
			s.i++
		default:
			return c
		}
	}
	return 0
}

func (s *scanner) byte(c byte) bool {
	if s.peek() != c {
		return false
	}
	s.i++
	return true
}

func (s *scanner) end() bool { return s.peek() == 0 && s.i == len(s.b) }

// string reads a string without escapes and control characters.
func (s *scanner) string() (string, bool) {
	if !s.byte('"') {
		return "", false
	}
	n := bytes.IndexByte(s.b[s.i:], '"')
	if n < 0 {
		return "", false
	}
	v := s.b[s.i : s.i+n]
	s.i += n + 1
	ascii := true
	for _, c := range v {
		if c < 0x20 || c == '\\' {
			return "", false
		}
		ascii = ascii && c < 0x80
	}
	if !ascii && !utf8.Valid(v) {
		return "", false
	}
	return aliased(v), true
}

func (s *scanner) into(at *string) bool {
	v, ok := s.string()
	*at = v
	return ok
}

// number reads a whole number of at most six digits.
func (s *scanner) number() (int, bool) {
	if s.peek() == 0 {
		return 0, false
	}
	start, n := s.i, 0
	for s.i < len(s.b) && '0' <= s.b[s.i] && s.b[s.i] <= '9' {
		n = n*10 + int(s.b[s.i]-'0')
		s.i++
		if s.i-start > 6 {
			return 0, false
		}
	}
	digits := s.i - start
	if digits == 0 || (digits > 1 && s.b[start] == '0') {
		return 0, false
	}
	switch s.peek() {
	case ',', '}':
		return n, true
	}
	return 0, false
}
