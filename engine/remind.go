package engine

import "maitred/engine/enginepb"

// ReminderLeads are the minutes before the start at which a guest is reminded, once each.
var ReminderLeads = [...]int{24 * 60, 2 * 60}

// remindersPast are the reminders whose time is at or before now, a bit each.
func (r *Reservation) remindersPast(now Instant) (past uint8) {
	for i, lead := range ReminderLeads {
		if now >= r.reminderAt(lead) {
			past |= 1 << i
		}
	}
	return past
}

func (r *Reservation) reminderAt(lead int) Instant {
	return Instant((r.StartsAt - int64(lead)*60) * msPerSec)
}

// nextReminder is when the guest is to be reminded next; 0 = never.
func (r *Reservation) nextReminder() Instant {
	for i, lead := range ReminderLeads {
		if r.Reminded>>i&1 == 0 {
			return r.reminderAt(lead)
		}
	}
	return 0
}

// remind says the last of the reminders that are due, and passes over those that it makes pointless; after the start it says none.
func (d *decision) remind(r *Reservation) {
	lead := 0
	if int64(d.now) < r.StartsAt*msPerSec {
		for i, minutes := range ReminderLeads {
			if r.remindersPast(d.now)>>i&1 == 1 {
				lead = minutes
			}
		}
	}
	d.emit(&enginepb.Event_ReservationReminded{ReservationReminded: &enginepb.ReservationReminded{Id: string(r.ID), LeadMin: int64(lead)}})
}
