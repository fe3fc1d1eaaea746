package demo

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"maitred/engine"
)

const everyDay = 0b1111111

var (
	timeRange = regexp.MustCompile(`^(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})$`)
	dayRange  = regexp.MustCompile(`^(?i)(mo|tu|we|th|fr|sa|su)(?:-(mo|tu|we|th|fr|sa|su))?$`)
	weekdays  = []string{"mo", "tu", "we", "th", "fr", "sa", "su"}
)

// ParseHours reads the common part of OpenStreetMap's opening_hours: rules split by ";", each an optional day range and time
// ranges; a day range without times means lunch and dinner on those days; a later rule replaces an earlier one for its
// days. ok is false for anything else (free text, other languages): the caller then takes plausible hours.
func ParseHours(s string) (hours []engine.OpeningHours, ok bool) {
	for _, rule := range strings.Split(s, ";") {
		rule = strings.TrimSpace(rule)
		if rule == "" {
			continue
		}
		days, shifts, ok := parseRule(rule)
		if !ok {
			return nil, false
		}
		hours = append(without(hours, days), shifts...)
	}
	return merge(hours), len(hours) > 0
}

func parseRule(rule string) (days uint8, shifts []engine.OpeningHours, ok bool) {
	days = everyDay
	if head, rest, _ := strings.Cut(rule, " "); dayRange.MatchString(head) {
		days, rule = parseDays(head), strings.TrimSpace(rest)
	}
	switch strings.ToLower(rule) {
	case "off", "closed":
		return days, nil, true
	case "":
		return days, usualShifts(days), true
	}
	for _, part := range strings.Split(rule, ",") {
		shift, ok := parseShift(strings.TrimSpace(part), days)
		if !ok {
			return 0, nil, false
		}
		shifts = append(shifts, shift)
	}
	return days, shifts, true
}

func parseDays(s string) uint8 {
	m := dayRange.FindStringSubmatch(s)
	first := slices.Index(weekdays, strings.ToLower(m[1]))
	last := first
	if m[2] != "" {
		last = slices.Index(weekdays, strings.ToLower(m[2]))
	}
	var days uint8
	for d := first; ; d = (d + 1) % 7 {
		days |= 1 << d
		if d == last {
			return days
		}
	}
}

func parseShift(s string, days uint8) (engine.OpeningHours, bool) {
	m := timeRange.FindStringSubmatch(s)
	if m == nil {
		return engine.OpeningHours{}, false
	}
	open, closes := minutes(m[1], m[2]), minutes(m[3], m[4])
	if closes <= open {
		closes += 24 * 60
	}
	return shift(days, open, closes)
}

func minutes(h, m string) int {
	hours, _ := strconv.Atoi(h)
	mins, _ := strconv.Atoi(m)
	return hours*60 + mins
}

// shift rounds the times to the grid and seats the last party 90 minutes before closing, or at half time of a short shift.
func shift(days uint8, open, closes int) (engine.OpeningHours, bool) {
	if open >= 24*60 || closes > open+24*60 {
		return engine.OpeningHours{}, false
	}
	open, closes = (open+14)/15*15, closes/15*15
	last := max(closes-90, (open+closes)/2) / 15 * 15
	return engine.OpeningHours{Days: days, Open: open, Close: closes, LastSeating: last}, open <= last && last < closes
}

func usualShifts(days uint8) []engine.OpeningHours {
	lunch, _ := shift(days, 12*60+30, 15*60)
	dinner, _ := shift(days, 19*60+30, 23*60+30)
	return []engine.OpeningHours{lunch, dinner}
}

// without takes days out of hours.
func without(hours []engine.OpeningHours, days uint8) []engine.OpeningHours {
	var kept []engine.OpeningHours
	for _, h := range hours {
		if h.Days &^= days; h.Days != 0 {
			kept = append(kept, h)
		}
	}
	return kept
}

// merge drops shifts that overlap an earlier one on a common day: OpenStreetMap does not forbid them, a book does.
func merge(hours []engine.OpeningHours) []engine.OpeningHours {
	var kept []engine.OpeningHours
	for _, h := range hours {
		overlaps := slices.ContainsFunc(kept, func(k engine.OpeningHours) bool {
			return k.Days&h.Days != 0 && h.Open < k.Close && k.Open < h.Close
		})
		if !overlaps {
			kept = append(kept, h)
		}
	}
	return kept
}

// OpensFor says whether r starts a table at local minute of a weekday, and names the time as HH:MM.
func OpensFor(r Restaurant, day time.Weekday, minute int) (string, bool) {
	bit := uint8(1) << ((int(day) + 6) % 7)
	for _, h := range r.Details.OpeningHours {
		if h.Days&bit != 0 && h.Open <= minute && minute <= h.LastSeating {
			return fmt.Sprintf("%02d:%02d", minute/60, minute%60), true
		}
	}
	return "", false
}
