package engine

import "maitred/engine/enginepb"

// ReminderLeads are the minutes before the start at which a guest is reminded, once each. A reminder whose time is not after the last change
// of the reservation is not made up for: whoever books, moves or confirms so late knows when to come.
var ReminderLeads = [...]int{24 * 60, 2 * 60}

// ReminderProtocol is the Protocol that every node must announce before reminders are written.
const ReminderProtocol = 2

func (r *Reservation) reminderAt(lead int) Instant {
	return Instant((r.StartsAt - int64(lead)*60) * msPerSec)
}

// nextReminder is when the guest is to be reminded next; 0 = never.
func (r *Reservation) nextReminder() Instant {
	for _, lead := range ReminderLeads {
		if at := r.reminderAt(lead); at > r.Updated {
			return at
		}
	}
	return 0
}

// remindFirst says what the sweep has not said yet before a change that keeps the start: after it nobody would.
func (d *decision) remindFirst(r *Reservation) *Reservation {
	if at := r.nextReminder(); d.cmd.Silent || r.Status != StatusConfirmed || at == 0 || at > d.now || d.now >= d.noShowAt(r) {
		return r
	}
	return evolve(r, d.remind(r))
}

// remind says the last of the reminders that are due, which makes those before pointless; after the start it says none.
func (d *decision) remind(r *Reservation) *Event {
	said := 0
	for _, lead := range ReminderLeads {
		if at := r.reminderAt(lead); at > r.Updated && at <= d.now && int64(d.now) < r.StartsAt*msPerSec {
			said = lead
		}
	}
	e := d.emit(&enginepb.Event_ReservationReminded{ReservationReminded: &enginepb.ReservationReminded{Id: string(r.ID), LeadMin: int64(said)}})
	e.ByAccount, e.ByRole, e.From = "", RoleSystem, "" // whoever came while it was due
	return e
}
