package edge

import (
	"strconv"

	"maitred/engine"
)

// appendTerms adds to an object what a guest who books agrees to: nothing for a house that asks nothing.
func appendTerms(dst []byte, t engine.Terms) []byte {
	if t == (engine.Terms{}) {
		return dst
	}
	dst = dst[:len(dst)-1]
	if p := &t.Policy; *p != (engine.Policy{}) {
		dst = strconv.AppendInt(append(dst, `,"cancellation":{"free_until_minutes":`...), int64(p.FreeUntilMin), 10)
		dst = strconv.AppendInt(append(dst, `,"late_fee":`...), int64(p.LateFee), 10)
		dst = strconv.AppendInt(append(dst, `,"no_show_fee":`...), int64(p.NoShowFee), 10)
		dst = append(appendString(append(dst, `,"currency":`...), p.Currency), '}')
	}
	return append(appendWaits(dst, t.Waits), '}')
}

// appendWaits says that a booking would wait for the house, with a comma before.
func appendWaits(dst []byte, waits bool) []byte {
	if !waits {
		return dst
	}
	return append(dst, `,"needs_approval":true`...)
}

// answerHold is answerReservation of what may be a hold.
func (x *exchange) answerHold(status int, r *engine.Reservation, waits bool) {
	x.etag(r.Version)
	x.buf = x.appendFor(x.buf[:0], r)
	x.buf = append(appendWaits(x.buf[:len(x.buf)-1], waits), '}')
	x.reply(status)
}
