package edge

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// time.LoadLocation reads the machine's /usr/share/zoneinfo before the zones in the binary, and takes whatever is a file there. So
// an owner's restaurant can have a zone that only this machine knows ("posix/…", "right/…", "Europe//Rome"), or that is another one
// on every machine ("localtime", "posixrules"). It is journaled. In a container without those files the restaurant cannot be
// opened any more ("an unknown time zone was journaled": quarantined), and with "localtime" two nodes decide differently.
func TestAZoneIsOneThatEveryMachineKnows(t *testing.T) {
	s := listen(t, openHouse(t))
	owner := s.register("owner@example.org", "owner")
	tried := 0
	for _, name := range []string{"localtime", "posixrules", "posix/Europe/Rome", "right/Europe/Rome", "Europe//Rome", "./Europe/Rome", "Europe/./Rome"} {
		if _, err := time.LoadLocation(name); err != nil {
			continue // this machine does not know it
		}
		tried++
		a := owner.do("POST", "/restaurants", fmt.Sprintf(`{"name":"X","time_zone":%q}`, name))
		require.Equal(t, 422, a.StatusCode, "%s: %s", name, a.text)
		require.Equal(t, "time_zone", a.doc["field"])
	}
	if tried == 0 {
		t.Skip("there is no /usr/share/zoneinfo")
	}
	for _, name := range []string{"Europe/Rome", "America/Argentina/Buenos_Aires", "Etc/GMT+5", "UTC", "EST5EDT"} {
		require.Equal(t, 201, owner.do("POST", "/restaurants", fmt.Sprintf(`{"name":"X","time_zone":%q}`, name)).StatusCode, name)
	}
}
