package edge

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The public list of reviews leaves out reservation_id ("only to the guest who wrote it") and the guest's name. But a review's id was
// its reservation's with another prefix: everybody read the reservation's id off it, and a host who put it into GET
// /reservations/{id} read who wrote the bad review (here by the special request; a phone booking has the contact).
func TestAReviewDoesNotNameItsReservation(t *testing.T) {
	s := listen(t, openHouse(t))
	owner, guest := s.register("owner@example.org", "owner"), s.register("guest@example.org", "customer")
	id, _ := owner.trattoria()
	a := guest.do("POST", "/reservations", wish(id, day(2), "19:00", 2))
	require.Equal(t, 201, a.StatusCode, a.text)
	reservation := a.doc["id"].(string)
	for _, action := range []string{"/seat", "/complete"} {
		require.Equal(t, 200, owner.do("POST", "/reservations/"+reservation+action, "").StatusCode)
	}
	a = guest.do("POST", "/reservations/"+reservation+"/review", `{"rating":1}`)
	require.Equal(t, 201, a.StatusCode, a.text)
	require.NotContains(t, a.doc["id"], reservation[len("rsv_"):], "the id that the list shows to everybody")
}
