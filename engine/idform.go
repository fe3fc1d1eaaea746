package engine

import "strings"

// Lengths of ids. A part is 64 bits in 13 characters, or 128 bits in 26.
const (
	MaxIDLen   = 64
	idPartLen  = 13
	restPrefix = "rst_"
	acctPrefix = "usr_"
	tblPrefix  = "tbl_"
	resvPrefix = "rsv_"
	revwPrefix = "rev_"

	crockford = "0123456789abcdefghjkmnpqrstvwxyz"
)

// MakeRestaurantID makes the id of a restaurant out of 64 random bits.
func MakeRestaurantID(r uint64) RestaurantID {
	return RestaurantID(appendPart([]byte(restPrefix), r))
}

// MakeAccountID makes the id of an account out of the keyed hash of its normalised e-mail.
func MakeAccountID(h [16]byte) AccountID {
	var dst [len(acctPrefix) + 2*idPartLen]byte
	copy(dst[:], acctPrefix)
	hi, lo := be64(h[:8]), be64(h[8:])
	for i := len(dst) - 1; i >= len(acctPrefix); i-- {
		dst[i] = crockford[lo&31]
		lo = lo>>5 | hi<<59
		hi >>= 5
	}
	return AccountID(dst[:])
}

// MakeTableID makes the id of a table of restaurant r out of 64 random bits.
func MakeTableID(r RestaurantID, own uint64) TableID {
	return TableID(appendInner(tblPrefix, r, own))
}

// MakeReservationID makes the id of a reservation at restaurant r out of 64 random bits.
func MakeReservationID(r RestaurantID, own uint64) ReservationID {
	return ReservationID(appendInner(resvPrefix, r, own))
}

// MakeReviewID makes the id of a review of restaurant r out of 64 random bits. Everybody sees it, so it must not be made of the
// reservation's.
func MakeReviewID(r RestaurantID, own uint64) ReviewID {
	return ReviewID(appendInner(revwPrefix, r, own))
}

// RestaurantOf is the restaurant that a table's, a reservation's, a review's or a restaurant's own id carries; false when the id does
// not fit the grammar.
func RestaurantOf(id string) (RestaurantID, bool) {
	switch {
	case strings.HasPrefix(id, tblPrefix), strings.HasPrefix(id, resvPrefix), strings.HasPrefix(id, revwPrefix):
		if len(id) != 4+2*idPartLen || !isPart(id[4:4+idPartLen]) || !isPart(id[4+idPartLen:]) {
			return "", false
		}
		return RestaurantID(restPrefix + id[4:4+idPartLen]), true
	case IsRestaurantID(id):
		return RestaurantID(id), true
	}
	return "", false
}

// IsRestaurantID reports whether id fits the grammar of restaurant ids.
func IsRestaurantID(id string) bool {
	return len(id) == 4+idPartLen && strings.HasPrefix(id, restPrefix) && isPart(id[4:])
}

// IsAccountID reports whether id fits the grammar of account ids.
func IsAccountID(id string) bool {
	if len(id) != 4+2*idPartLen || !strings.HasPrefix(id, acctPrefix) || id[4] > '7' {
		return false
	}
	return isCrockford(id[4:])
}

func appendInner(prefix string, r RestaurantID, own uint64) []byte {
	dst := make([]byte, 0, 4+2*idPartLen)
	dst = append(dst, prefix...)
	dst = append(dst, strings.TrimPrefix(string(r), restPrefix)...)
	return appendPart(dst, own)
}

func appendPart(dst []byte, v uint64) []byte {
	for shift := 60; shift >= 0; shift -= 5 {
		dst = append(dst, crockford[v>>shift&31])
	}
	return dst
}

// isPart reports whether s is what appendPart writes: 13 digits of at most 64 bits.
func isPart(s string) bool {
	return len(s) == idPartLen && s[0] <= 'f' && isCrockford(s)
}

func isCrockford(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c < '0' || c > 'z' || c > '9' && c < 'a' || c == 'i' || c == 'l' || c == 'o' || c == 'u' {
			return false
		}
	}
	return true
}

func be64(b []byte) uint64 {
	var v uint64
	for _, c := range b[:8] {
		v = v<<8 | uint64(c)
	}
	return v
}

// ownPart is the last part of a table's or reservation's id, as the number that made it.
func ownPart(id string) (uint64, bool) {
	if len(id) != 4+2*idPartLen || !isPart(id[4+idPartLen:]) {
		return 0, false
	}
	var v uint64
	for i := 4 + idPartLen; i < len(id); i++ {
		v = v<<5 | uint64(crockfordValue(id[i]))
	}
	return v, true
}

func mustOwnPart(id ReservationID) uint64 {
	v, ok := ownPart(string(id))
	assert(ok, "I5: an id outside the grammar was journaled")
	return v
}

// crockfordValue is the value of a digit that isCrockford has let pass.
func crockfordValue(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c < 'i':
		return c - 'a' + 10
	case c < 'l':
		return c - 'j' + 18
	case c < 'o':
		return c - 'm' + 20
	case c < 'u':
		return c - 'p' + 22
	}
	return c - 'v' + 27
}

func isTable(id string) bool       { return strings.HasPrefix(id, tblPrefix) }
func isReservation(id string) bool { return strings.HasPrefix(id, resvPrefix) }
func isReview(id string) bool      { return strings.HasPrefix(id, revwPrefix) }
