package persistence

import (
	"encoding/json"
	"fmt"

	"maitred/engine"
	"maitred/engine/enginepb"
)

// Hours is how the stores keep opening hours in a column: JSON, one array a shift, of the bits of its weekdays (Monday first) and
// the minutes after midnight of its opening, close and last seating.
func Hours(shifts []*enginepb.OpeningHours) (string, error) {
	rows := make([][4]int64, 0, len(shifts))
	for _, o := range shifts {
		rows = append(rows, [4]int64{int64(o.GetDays()), int64(o.GetOpenMin()), int64(o.GetCloseMin()), int64(o.GetLastSeatingMin())})
	}
	text, err := json.Marshal(rows)
	return string(text), err
}

// ParseHours reads what Hours wrote.
func ParseHours(text string) ([]*enginepb.OpeningHours, error) {
	var rows [][4]int32
	if err := json.Unmarshal([]byte(text), &rows); err != nil {
		return nil, fmt.Errorf("opening hours: %w", err)
	}
	var shifts []*enginepb.OpeningHours
	for _, o := range rows {
		shifts = append(shifts, &enginepb.OpeningHours{Days: uint32(o[0]), OpenMin: o[1], CloseMin: o[2], LastSeatingMin: o[3]})
	}
	return shifts, nil
}

// hoursOf is ParseHours for the engine.
func hoursOf(text string) ([]engine.OpeningHours, error) {
	shifts, err := ParseHours(text)
	hours := make([]engine.OpeningHours, len(shifts))
	for i, h := range shifts {
		hours[i] = engine.OpeningHours{
			Days: uint8(h.GetDays()), Open: int(h.GetOpenMin()), Close: int(h.GetCloseMin()), LastSeating: int(h.GetLastSeatingMin()),
		}
	}
	return hours, err
}
