package sqlite

import (
	"encoding/binary"
	"errors"
	"strings"

	"maitred/engine"
)

// partLen is the length of a restaurant's or a thing's part of an id, in characters of Crockford's base 32.
const partLen = 13

const crockford = "0123456789abcdefghjkmnpqrstvwxyz"

const topBit = 1 << 63

var errKey = errors.New("sqlite: unreadable key")

var crockfordValue = func() (v [256]uint8) {
	for i := range v {
		v[i] = 0xff
	}
	for i := range len(crockford) {
		v[crockford[i]] = uint8(i)
	}
	return v
}()

// partBits reads a part as a number; false when it is not a part or has more than 64 bits.
func partBits(part string) (uint64, bool) {
	if len(part) != partLen || crockfordValue[part[0]] > 15 {
		return 0, false
	}
	var bits uint64
	for i := range partLen {
		v := crockfordValue[part[i]]
		if v > 31 {
			return 0, false
		}
		bits = bits<<5 | uint64(v)
	}
	return bits, true
}

func appendPart(dst []byte, bits uint64) []byte {
	for shift := 5 * (partLen - 1); shift >= 0; shift -= 5 {
		dst = append(dst, crockford[bits>>shift&31])
	}
	return dst
}

// ownPart cuts the prefix and the restaurant's part off an id; what does not fit the grammar stays whole.
func ownPart(prefix string, r engine.RestaurantID, id string) (part string, fits bool) {
	rest, ok := strings.CutPrefix(string(r), "rst_")
	if !ok || rest == "" {
		return id, false
	}
	tail, ok := strings.CutPrefix(id, prefix+rest)
	if !ok || tail == "" {
		return id, false
	}
	return tail, true
}

const (
	reservationPrefix = "rsv_"
	reviewPrefix      = "rev_"
)

// ownKey is the id as reservations.own has it: a number that sorts like the text, or the whole id.
func ownKey(r engine.RestaurantID, id engine.ReservationID) any {
	return innerKey(reservationPrefix, r, string(id))
}

// reviewKey is the id as reviews.id has it.
func reviewKey(r engine.RestaurantID, id engine.ReviewID) any {
	return innerKey(reviewPrefix, r, string(id))
}

func innerKey(prefix string, r engine.RestaurantID, id string) any {
	part, ok := ownPart(prefix, r, id)
	if !ok {
		return id
	}
	if bits, ok := partBits(part); ok {
		return int64(bits ^ topBit)
	}
	return id
}

// reservationID reads what ownKey wrote.
func reservationID(r engine.RestaurantID, own any) (engine.ReservationID, error) {
	id, err := innerID(reservationPrefix, r, own)
	return engine.ReservationID(id), err
}

// reviewID reads what reviewKey wrote. A row of before migration 7 has nothing: its review is named after the reservation.
func reviewID(r engine.RestaurantID, key, own any) (engine.ReviewID, error) {
	if key != nil {
		id, err := innerID(reviewPrefix, r, key)
		return engine.ReviewID(id), err
	}
	of, err := reservationID(r, own)
	return engine.ReviewID(reviewPrefix + strings.TrimPrefix(string(of), reservationPrefix)), err
}

// innerID reads what innerKey wrote.
func innerID(prefix string, r engine.RestaurantID, key any) (string, error) {
	switch v := key.(type) {
	case int64:
		dst := append(make([]byte, 0, len(prefix)+2*partLen), prefix...)
		dst = append(dst, strings.TrimPrefix(string(r), "rst_")...)
		return string(appendPart(dst, uint64(v)^topBit)), nil
	case string:
		return v, nil
	case []byte:
		return string(v), nil
	}
	return "", errKey
}

// tablesKey is the set of tables as reservations.tables has it: 8 bytes each, or the whole ids with blanks between.
func tablesKey(r engine.RestaurantID, ids []string) any {
	packed := make([]byte, 0, 8*len(ids))
	for _, id := range ids {
		part, ok := ownPart("tbl_", r, id)
		if !ok {
			return strings.Join(ids, " ")
		}
		bits, ok := partBits(part)
		if !ok {
			return strings.Join(ids, " ")
		}
		packed = binary.BigEndian.AppendUint64(packed, bits)
	}
	return packed
}

// tableIDs reads what tablesKey wrote.
func tableIDs(r engine.RestaurantID, key any) ([]engine.TableID, error) {
	switch v := key.(type) {
	case string:
		var ids []engine.TableID
		for _, id := range strings.Fields(v) {
			ids = append(ids, engine.TableID(id))
		}
		return ids, nil
	case []byte:
		if len(v)%8 != 0 {
			return nil, errKey
		}
		var ids []engine.TableID
		for ; len(v) > 0; v = v[8:] {
			dst := append(make([]byte, 0, 4+2*partLen), "tbl_"...)
			dst = append(dst, strings.TrimPrefix(string(r), "rst_")...)
			ids = append(ids, engine.TableID(appendPart(dst, binary.BigEndian.Uint64(v))))
		}
		return ids, nil
	}
	return nil, errKey
}
