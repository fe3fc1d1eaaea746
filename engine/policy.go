package engine

import "maitred/engine/enginepb"

// Policy is what a cancellation or a no-show costs. Fees are per guest, in minor units of the currency. A reservation keeps the policy that was
// in force when it was made.
type Policy struct {
	FreeUntilMin       int    // minutes before the start until which a guest cancels for nothing, 0–MaxNoticeMin
	LateFee, NoShowFee int    // 0–MaxFee
	Currency           string // ISO 4217; empty only without fees
}

func (p *Policy) fault() string {
	switch {
	case p.FreeUntilMin < 0 || p.FreeUntilMin > MaxNoticeMin:
		return "cancellation.free_until_minutes"
	case p.LateFee < 0 || p.LateFee > MaxFee:
		return "cancellation.late_fee"
	case p.NoShowFee < 0 || p.NoShowFee > MaxFee:
		return "cancellation.no_show_fee"
	case p.Currency == "" && p.LateFee == 0 && p.NoShowFee == 0:
		return ""
	case len(p.Currency) != 3 || !upper(p.Currency):
		return "cancellation.currency"
	}
	return ""
}

func upper(s string) bool {
	for _, c := range s {
		if c < 'A' || c > 'Z' {
			return false
		}
	}
	return true
}

// fee is what the guest owes when a reservation becomes to: for a cancellation of his own that comes late, and for not coming.
func (d *decision) fee(r *Reservation, to Status) int {
	switch {
	case r.Status != StatusConfirmed:
		return 0
	case to == StatusNoShow:
		return r.Policy.NoShowFee * r.GuestsCount
	case to == StatusCancelled && !d.staff() && int64(d.now) > (r.StartsAt-int64(r.Policy.FreeUntilMin)*60)*msPerSec:
		return r.Policy.LateFee * r.GuestsCount
	}
	return 0
}

// Free is until when a guest cancels a reservation for nothing, Unix seconds.
func (r *Reservation) Free() int64 { return r.StartsAt - int64(r.Policy.FreeUntilMin)*60 }

func (p *Policy) proto() *enginepb.Policy {
	if p == nil || *p == (Policy{}) {
		return nil
	}
	return p.whole()
}

// whole is proto of a policy that may say nothing: in a command that is something else than none.
func (p *Policy) whole() *enginepb.Policy {
	if p == nil {
		return nil
	}
	return &enginepb.Policy{FreeUntilMin: int64(p.FreeUntilMin), LateFee: int64(p.LateFee), NoShowFee: int64(p.NoShowFee), Currency: p.Currency}
}

func policyFrom(p *enginepb.Policy) *Policy {
	if p == nil {
		return nil
	}
	return &Policy{int(p.FreeUntilMin), int(p.LateFee), int(p.NoShowFee), p.Currency}
}
