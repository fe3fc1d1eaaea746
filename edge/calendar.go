package edge

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	ics "github.com/arran4/golang-ical"

	"maitred/engine"
)

const calendarType = "text/calendar; charset=utf-8"

// acceptsCalendar says whether an Accept line admits an iCalendar object.
func acceptsCalendar(accept []byte) bool {
	return bytes.Contains(accept, []byte("text/calendar")) || bytes.Contains(accept, []byte("text/*"))
}

// getCalendar is a reservation for the guest's calendar (RFC 5545): the same UID for ever, a SEQUENCE that rises with each change, and a CANCEL
// once nobody is expected any more. Times are in UTC, so that no calendar needs to know the restaurant's zone.
func (s *Server) getCalendar(x *exchange) {
	v, r := x.subject()
	if r == nil {
		return
	}
	x.etag(r.Version)
	x.ctx.Response.Header.SetContentType(calendarType)
	x.buf = append(x.buf[:0], calendarOf(v.Restaurant(), r)...)
	x.reply(200)
}

func calendarOf(at *engine.Restaurant, r *engine.Reservation) string {
	cal := ics.NewCalendarFor("maitred")
	method, status := ics.MethodPublish, ics.ObjectStatusConfirmed
	switch r.Status {
	case engine.StatusHeld, engine.StatusPending, engine.StatusWaiting:
		status = ics.ObjectStatusTentative
	case engine.StatusCancelled, engine.StatusDeclined, engine.StatusExpired, engine.StatusNoShow:
		method, status = ics.MethodCancel, ics.ObjectStatusCancelled
	}
	cal.SetMethod(method)
	e := cal.AddEvent(string(r.ID) + "@maitred")
	e.SetSequence(int(r.Version) - 1)
	e.SetDtStampTime(time.UnixMilli(int64(r.Updated)).UTC())
	e.SetCreatedTime(time.UnixMilli(int64(r.Created)).UTC())
	e.SetModifiedAt(time.UnixMilli(int64(r.Updated)).UTC())
	e.SetStartAt(time.Unix(r.StartsAt, 0).UTC())
	e.SetEndAt(time.Unix(r.EndsAt, 0).UTC())
	e.SetSummary(fmt.Sprintf("%s, table for %d", at.Name, r.GuestsCount))
	e.SetStatus(status)
	if place := placeOf(at); place != "" {
		e.SetLocation(place)
	}
	if r.SpecialRequests != "" {
		e.SetDescription(r.SpecialRequests)
	}
	if at.Latitude != 0 || at.Longitude != 0 {
		e.SetGeo(at.Latitude, at.Longitude)
	}
	return cal.Serialize(ics.WithNewLineWindows)
}

// placeOf is where a restaurant is, in one line.
func placeOf(at *engine.Restaurant) string {
	var parts []string
	for _, p := range []string{at.Address, at.City, at.Country} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	return strings.Join(parts, ", ")
}
