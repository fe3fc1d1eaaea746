package redis

import (
	"encoding/json"
	"errors"
	"fmt"

	"maitred/engine"
)

const (
	fieldPosition = "@"
	fieldDetails  = "@details"
	fieldRules    = "@rules" // protobuf of enginepb.Rules

	channelPrefix = "maitred.availability."

	daySeconds = 86_400
)

func keyOf(id engine.AggregateID, rest string) string { return "maitred:{" + string(id) + "}:" + rest }

func versionKey(id engine.AggregateID) string { return keyOf(id, "v") }
func floorKey(id engine.AggregateID) string   { return keyOf(id, "floor") }
func daysKey(id engine.AggregateID) string    { return keyOf(id, "days") }

func dayKey(id engine.AggregateID, date string) string           { return keyOf(id, "day:"+date) }
func recordKey(id engine.AggregateID, reservation string) string { return keyOf(id, "r:"+reservation) }

func dateOf(day int32) string { return string(engine.AppendDate(nil, engine.Day(day))) }

// position says which event of a restaurant is the newest in what it stands beside.
type position struct {
	Version engine.Version `json:"v"`
	AsOf    int64          `json:"as_of"` // Unix ms
}

// stay is what a reservation holds.
type stay struct {
	Tables []string `json:"t"`
	Start  int64    `json:"s"` // Unix seconds
	End    int64    `json:"e"` // Unix seconds, exclusive
	Guests int32    `json:"g"`

	Buffer int32 `json:"b,omitempty"` // minutes after End for which the tables stay free
	Local  int32 `json:"l,omitempty"` // minutes after midnight of the day; 0 also in what earlier builds wrote
	Online bool  `json:"u,omitempty"` // booked by the guest
	Until  int64 `json:"x,omitempty"` // Unix ms at which it ends by itself: a hold
	Over   bool  `json:"o,omitempty"` // has left: the tables are free, but it started in its window
}

// record is where a reservation is, also when it holds nothing: events do not say where it was.
type record struct {
	Day    int32 `json:"d"` // days since 1970-01-01
	Counts bool  `json:"o"` // is on the day's list
	Stay   stay  `json:"p"`
}

type tableJSON struct {
	Number      string `json:"number"`
	Capacity    int32  `json:"capacity"`
	MinCapacity int32  `json:"min_capacity"`
	InService   bool   `json:"in_service"`
	Location    string `json:"location,omitempty"`
	Channel     int32  `json:"channel,omitempty"` // engine.Channel
	Blocks      string `json:"blocks,omitempty"`  // as the stores keep them
}

type detailsJSON struct {
	Name         string      `json:"name"`
	TimeZone     string      `json:"time_zone"`
	GridMinutes  int32       `json:"grid_minutes"`
	OpeningHours []hoursJSON `json:"opening_hours"`
}

type hoursJSON struct {
	Days        uint32 `json:"days"`
	Open        int32  `json:"open"`
	Close       int32  `json:"close"`
	LastSeating int32  `json:"last_seating"`
	Name        string `json:"name,omitempty"`
	GridMinutes int32  `json:"grid_minutes,omitempty"`
}

// message is what subscribers get.
type message struct {
	Restaurant engine.AggregateID `json:"restaurant_id"`
	Date       string             `json:"service_date,omitempty"`
	Version    engine.Version     `json:"version"`
}

// encode is the JSON of one of the types above, which cannot fail.
func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic("redis: encode " + err.Error())
	}
	return string(b)
}

// errNotOurs says that somebody else has written one of our keys.
var errNotOurs = errors.New("redis: a value is not ours")

// decode reads what encode wrote.
func decode[T any](key, text string) (T, error) {
	var v, none T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return none, fmt.Errorf("%s: %w: %w", key, errNotOurs, err)
	}
	return v, nil
}
