package persistence

import (
	"encoding/json"
	"fmt"

	"maitred/engine"
	"maitred/engine/enginepb"
)

// Hours is how the stores keep opening hours in a column: JSON, one array a shift, of the bits of its weekdays (Monday first), the
// minutes after midnight of its opening, close and last seating, and if it has them its grid and its name.
func Hours(shifts []*enginepb.OpeningHours) (string, error) {
	rows := make([]shiftRow, len(shifts))
	for i, o := range shifts {
		rows[i] = shiftRow{o}
	}
	text, err := json.Marshal(rows)
	return string(text), err
}

// shiftRow is the array of one shift.
type shiftRow struct{ *enginepb.OpeningHours }

// MarshalJSON implements json.Marshaler.
func (r shiftRow) MarshalJSON() ([]byte, error) {
	row := []any{r.GetDays(), r.GetOpenMin(), r.GetCloseMin(), r.GetLastSeatingMin()}
	if r.GetGridMin() != 0 || r.GetName() != "" {
		row = append(row, r.GetGridMin(), r.GetName())
	}
	return json.Marshal(row)
}

// UnmarshalJSON implements json.Unmarshaler.
func (r *shiftRow) UnmarshalJSON(b []byte) error {
	o := new(enginepb.OpeningHours)
	parts := []any{&o.Days, &o.OpenMin, &o.CloseMin, &o.LastSeatingMin, &o.GridMin, &o.Name}
	r.OpeningHours = o
	if err := json.Unmarshal(b, &parts); err != nil {
		return err
	}
	if len(parts) != 4 && len(parts) != 6 {
		return fmt.Errorf("a shift of %d parts", len(parts))
	}
	return nil
}

// ParseHours reads what Hours wrote.
func ParseHours(text string) ([]*enginepb.OpeningHours, error) {
	var rows []shiftRow
	if err := json.Unmarshal([]byte(text), &rows); err != nil {
		return nil, fmt.Errorf("opening hours: %w", err)
	}
	var shifts []*enginepb.OpeningHours
	for _, o := range rows {
		shifts = append(shifts, o.OpeningHours)
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
			Name: h.GetName(), GridMin: int(h.GetGridMin()),
		}
	}
	return hours, err
}
