// Package demo makes the data of `maitred serve --demo`: 500 real restaurants of Rome (© OpenStreetMap contributors,
// ODbL 1.0) with their real opening hours where the map has them, and a plausible floor, the same on every machine.
package demo

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"maitred/engine"
)

//go:embed rome-restaurants.geojson
var rome []byte

// The demo's accounts. Their passwords are printed at every start: a demo has no secrets.
const (
	OwnerEmail    = "owner@demo.maitred.example"
	GuestEmail    = "guest@demo.maitred.example"
	Password      = "trattoria-2026"
	Attribution   = "© OpenStreetMap contributors, ODbL 1.0"
	timeZoneOfAll = "Europe/Rome"
)

// Restaurant is one restaurant to load: its commands carry deterministic ids, so that loading twice changes nothing.
type Restaurant struct {
	ID      engine.RestaurantID
	Details engine.Details
	Tables  []engine.AddTable
}

type feature struct {
	Properties map[string]string `json:"properties"`
	Geometry   struct {
		Coordinates [2]float64 `json:"coordinates"` // longitude, latitude
	} `json:"geometry"`
}

// Restaurants lists the demo's restaurants in the order of the file.
func Restaurants() ([]Restaurant, error) {
	var file struct {
		Features []feature `json:"features"`
	}
	if err := json.Unmarshal(rome, &file); err != nil {
		return nil, fmt.Errorf("read the demo's restaurants: %w", err)
	}
	all := make([]Restaurant, 0, len(file.Features))
	for _, f := range file.Features {
		all = append(all, f.restaurant())
	}
	return all, nil
}

func (f feature) restaurant() Restaurant {
	p := f.Properties
	dice := dice(p["@id"])
	id := engine.MakeRestaurantID(dice.next())
	hours, ok := ParseHours(p["opening_hours"])
	if !ok {
		hours = dice.hours()
	}
	return Restaurant{
		ID: id,
		Details: engine.Details{
			Name: clip(p["name"], engine.MaxName), Address: strings.TrimSpace(p["addr:street"] + " " + p["addr:housenumber"]),
			City: "Roma", Country: "IT", CuisineType: cuisine(p["cuisine"]), Description: clip(p["description"], 500),
			Phone: p["phone"], TimeZone: timeZoneOfAll,
			Longitude: f.Geometry.Coordinates[0], Latitude: f.Geometry.Coordinates[1], OpeningHours: hours,
		},
		Tables: dice.floor(id),
	}
}

func cuisine(s string) string {
	if s == "" {
		return "italian"
	}
	first, _, _ := strings.Cut(s, ";")
	return strings.ToLower(strings.TrimSpace(first))
}

func clip(s string, limit int) string {
	if utf8.RuneCountInString(s) <= limit {
		return s
	}
	return string([]rune(s)[:limit])
}

// diceRoll is a deterministic stream of numbers seeded by the map's id of a restaurant.
type diceRoll struct{ stream io.Reader }

func dice(seed string) diceRoll {
	var stream bytes.Buffer
	for i := range 16 {
		block := sha256.Sum256([]byte(seed + "/" + strconv.Itoa(i)))
		stream.Write(block[:])
	}
	return diceRoll{&stream}
}

func (d diceRoll) next() uint64 {
	var b [8]byte
	_, _ = io.ReadFull(d.stream, b[:])
	return binary.BigEndian.Uint64(b[:])
}

// hours are what a Roman trattoria plausibly keeps: lunch and dinner, closed on one weekday or never.
func (d diceRoll) hours() []engine.OpeningHours {
	days := uint8(everyDay)
	if closed := d.next() % 9; closed < 7 {
		days &^= 1 << closed
	}
	return usualShifts(days)
}

// floor makes 6 to 21 tables: two fifths for two, two fifths for four, the rest for six and eight; every fourth outside.
func (d diceRoll) floor(id engine.RestaurantID) []engine.AddTable {
	sizes := []int{2, 4, 2, 4, 6, 2, 4, 2, 4, 8}
	n := 6 + int(d.next()%16)
	tables := make([]engine.AddTable, n)
	for i := range tables {
		capacity, location := sizes[i%len(sizes)], "sala"
		if i%4 == 3 {
			location = "terrazza"
		}
		tables[i] = engine.AddTable{ID: engine.MakeTableID(id, d.next()), Table: engine.TableSpec{
			Number: strconv.Itoa(i + 1), Capacity: capacity, MinCapacity: max(1, capacity/2), Location: location, InService: true,
		}}
	}
	return tables
}
