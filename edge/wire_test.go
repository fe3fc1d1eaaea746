package edge

import (
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"maitred/engine"
)

// The same answers as structs, for a JSON library to read and write: what the hand-written ones must equal, byte for byte.
type (
	reservationDoc struct {
		ID              string       `json:"id"`
		RestaurantID    string       `json:"restaurant_id"`
		TableID         *string      `json:"table_id"`
		TableIDs        []string     `json:"table_ids"`
		Date            string       `json:"date"`
		TimeSlot        string       `json:"time_slot"`
		StartsAt        string       `json:"starts_at"`
		EndsAt          string       `json:"ends_at"`
		GuestsCount     int          `json:"guests_count"`
		SpecialRequests string       `json:"special_requests"`
		Status          string       `json:"status"`
		Version         uint64       `json:"version"`
		Contact         *contactJSON `json:"contact,omitempty"`
		CreatedAt       string       `json:"created_at"`
		UpdatedAt       string       `json:"updated_at"`
	}
	slotDoc struct {
		TimeSlot  string `json:"time_slot"`
		StartsAt  string `json:"starts_at"`
		Available bool   `json:"available"`
		Tables    int    `json:"tables"`
	}
	availabilityDoc struct {
		Date     string    `json:"date"`
		TimeZone string    `json:"time_zone"`
		Slots    []slotDoc `json:"slots"`
	}
	alternativeDoc struct {
		Date     string `json:"date"`
		TimeSlot string `json:"time_slot"`
		StartsAt string `json:"starts_at"`
	}
	problemDoc struct {
		Type         string           `json:"type"`
		Title        string           `json:"title"`
		Status       int              `json:"status"`
		Code         string           `json:"code"`
		Detail       string           `json:"detail,omitempty"`
		Field        string           `json:"field,omitempty"`
		Alternatives []alternativeDoc `json:"alternatives,omitempty"`
	}
)

const rfcMillis = "2006-01-02T15:04:05.000Z07:00"

func drawDay(t *rapid.T) engine.Day { return engine.Day(rapid.IntRange(10957, 47847).Draw(t, "day")) } // 2000 to 2100

// drawStart makes a start of a service day in a zone with offset o.
func drawStart(t *rapid.T) (day engine.Day, minutes int, starts int64, zone *time.Location) {
	day, minutes = drawDay(t), rapid.IntRange(0, 2879).Draw(t, "minutes")
	o := rapid.IntRange(-48, 56).Draw(t, "quarters") * 900 // -12:00 … +14:00
	zone = time.UTC
	if o != 0 {
		zone = time.FixedZone("", o)
	}
	return day, minutes, int64(day)*86400 + int64(minutes)*60 - int64(o), zone
}

func dayText(d engine.Day) string {
	return time.Unix(int64(d)*86400, 0).UTC().Format(time.DateOnly)
}

func clockText(minutes int) string {
	return time.Unix(int64(minutes%1440)*60, 0).UTC().Format("15:04")
}

func marshal(t require.TestingT, v any) string {
	b, err := json.Marshal(v)
	require.NoError(t, err)
	return string(b)
}

var anyText = rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", `"`, `\`, "\n\t\x00\x1f", "<>&", "\u2028", "è", "👩", "\x7f"}))

func TestReservationEqualsItsStruct(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		day, minutes, starts, zone := drawStart(t)
		at := func(name string) (engine.Instant, string) {
			ms := rapid.Int64Range(946684800000, 4102444800000).Draw(t, name)
			return engine.Instant(ms), time.UnixMilli(ms).UTC().Format(rfcMillis)
		}
		restaurant := engine.MakeRestaurantID(rapid.Uint64().Draw(t, "restaurant"))
		r := engine.Reservation{
			ID:  engine.MakeReservationID(restaurant, rapid.Uint64().Draw(t, "own")),
			Day: day, LocalMin: minutes, StartsAt: starts, EndsAt: starts + rapid.Int64Range(900, 36000).Draw(t, "length"),
			GuestsCount: rapid.IntRange(1, 100).Draw(t, "guests"), SpecialRequests: anyText.Draw(t, "requests"),
			Status:  rapid.SampledFrom([]engine.Status{engine.StatusConfirmed, engine.StatusSeated, engine.StatusNoShow}).Draw(t, "status"),
			Version: engine.Version(rapid.Uint64().Draw(t, "version")),
		}
		d := reservationDoc{
			ID: string(r.ID), RestaurantID: string(restaurant), TableIDs: []string{}, Date: dayText(day), TimeSlot: clockText(minutes),
			StartsAt: time.Unix(starts, 0).In(zone).Format(time.RFC3339), EndsAt: time.Unix(r.EndsAt, 0).In(zone).Format(time.RFC3339),
			GuestsCount: r.GuestsCount, SpecialRequests: r.SpecialRequests, Status: engine.StatusName(r.Status), Version: uint64(r.Version),
		}
		r.Created, d.CreatedAt = at("created")
		r.Updated, d.UpdatedAt = at("updated")
		for i := range rapid.IntRange(0, 3).Draw(t, "tables") {
			id := engine.MakeTableID(restaurant, uint64(i))
			r.Tables = append(r.Tables, id)
			d.TableIDs = append(d.TableIDs, string(id))
			d.TableID = &d.TableIDs[0]
		}
		if rapid.Bool().Draw(t, "contact") {
			r.Contact = engine.Contact{Name: "A" + anyText.Draw(t, "name"), Phone: anyText.Draw(t, "phone"), Email: anyText.Draw(t, "email")}
			d.Contact = &contactJSON{r.Contact.Name, r.Contact.Phone, r.Contact.Email}
		}
		require.Equal(t, marshal(t, d), string(appendReservation(nil, &r)))
	})
}

func TestAvailabilityEqualsItsStruct(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		day := drawDay(t)
		d := availabilityDoc{Date: dayText(day), TimeZone: anyText.Draw(t, "zone"), Slots: []slotDoc{}}
		var starts []engine.Start
		for range rapid.IntRange(0, 40).Draw(t, "slots") {
			own, minutes, at, zone := drawStart(t)
			free := rapid.IntRange(0, 500).Draw(t, "free")
			starts = append(starts, engine.Start{Day: own, LocalMin: minutes, StartsAt: at, Free: free})
			d.Slots = append(d.Slots, slotDoc{clockText(minutes), time.Unix(at, 0).In(zone).Format(time.RFC3339), free > 0, free})
		}
		require.Equal(t, marshal(t, d), string(appendAvailability(nil, day, d.TimeZone, starts, -1)))
	})
}

func TestProblemEqualsItsStruct(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := rapid.SampledFrom(kindOfCode[:]).Draw(t, "kind")
		tr := trouble{kind: k, field: anyText.Draw(t, "field"), detail: anyText.Draw(t, "detail")}
		d := problemDoc{Type: "urn:maitred:problem:" + k.code, Title: k.title, Status: k.status, Code: k.code, Detail: tr.detail, Field: tr.field}
		for range rapid.IntRange(0, 4).Draw(t, "alternatives") {
			day, minutes, starts, zone := drawStart(t)
			tr.alternatives = append(tr.alternatives, engine.Alternative{Day: day, LocalMin: minutes, StartsAt: starts})
			d.Alternatives = append(d.Alternatives, alternativeDoc{dayText(day), clockText(minutes), time.Unix(starts, 0).In(zone).Format(time.RFC3339)})
		}
		require.Equal(t, marshal(t, d), string(appendProblem(nil, &tr)))
	})
}

func TestAvailabilityOfOneTime(t *testing.T) {
	starts := []engine.Start{{Day: 20780, LocalMin: 1140, StartsAt: 20780*86400 + 1140*60, Free: 3}, {Day: 20780, LocalMin: 1470, StartsAt: 20780*86400 + 1470*60}}
	got := string(appendAvailability(nil, 20780, "UTC", starts, 30))
	require.Contains(t, got, `"time_slot":"00:30"`)
	require.Equal(t, 1, strings.Count(got, "time_slot"))
}
