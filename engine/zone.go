package engine

import (
	"path"
	"slices"
	"sort"
	"strings"
	"time"
	_ "time/tzdata" // the zones are part of the binary
)

// zone is a time zone's offsets between zoneFrom and zoneTo, packed: a *time.Location weighs several kilobytes. Times
// outside are looked up in the location itself, slowly. Immutable.
type zone struct {
	name  string
	steps []step
}

// step says that offset off (seconds east of UTC) is in force from at (Unix seconds).
type step struct {
	at  uint32
	off int32
}

const (
	zoneFrom = 1735689600 // 2025-01-01
	zoneTo   = 2114380800 // 2037-01-01
)

// everywhere refuses names that stand for a zone on some machines only, or for another one on each: files beside the zones, and
// other spellings of a path. time.LoadLocation takes what it finds in the machine's directory before what is in the binary.
func everywhere(name string) bool {
	dir, _, _ := strings.Cut(name, "/")
	return path.Clean(name) == name && !slices.Contains([]string{"localtime", "posixrules", "posix", "right"}, dir)
}

// openZone reads an IANA zone; nil when there is none of that name.
func openZone(name string) *zone {
	if name == "" || name == "Local" || len(name) > MaxTimeZone {
		return nil
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return nil
	}
	var steps []step
	for at := int64(zoneFrom); at < zoneTo; {
		t := time.Unix(at, 0).In(loc)
		_, off := t.Zone()
		if n := len(steps); n == 0 || steps[n-1].off != int32(off) {
			steps = append(steps, step{uint32(at), int32(off)})
		}
		_, end := t.ZoneBounds()
		if end.IsZero() {
			break
		}
		at = end.Unix()
	}
	return &zone{name: name, steps: slices.Clone(steps)} // as many as there are: each open restaurant has its own
}

// offset is what the clock on the wall is ahead of UTC at a time in Unix seconds.
func (z *zone) offset(at int64) int64 {
	if at < zoneFrom || at >= zoneTo {
		return z.distantOffset(at)
	}
	i := sort.Search(len(z.steps), func(i int) bool { return int64(z.steps[i].at) > at })
	return int64(z.steps[i-1].off)
}

func (z *zone) distantOffset(at int64) int64 {
	loc, err := time.LoadLocation(z.name)
	assert(err == nil, "a known zone has vanished")
	_, off := time.Unix(at, 0).In(loc).Zone()
	return int64(off)
}

// instant is the first time at which the wall clock shows local minutes after midnight of day; false when it never does.
// at is then the time that the clock would show with the offset before the gap.
func (z *zone) instant(day Day, local int) (at int64, ok bool) {
	const around = 26 * 3600 // no wall clock is further from UTC
	wall := int64(day)*86400 + int64(local)*60
	before, after := z.offset(wall-around), z.offset(wall+around)
	if at = wall - before; z.offset(at) == before {
		if before == after {
			return at, true
		}
		if other := wall - after; other < at && z.offset(other) == after {
			return other, true
		}
		return at, true
	}
	if at = wall - after; z.offset(at) == after {
		return at, true
	}
	return wall - before, false
}

// local is the wall clock at a time: its date, the minutes after midnight, and the seconds beyond them.
func (z *zone) local(at int64) (day Day, minute, second int) {
	wall := at + z.offset(at)
	d := floorDiv(int(wall), 86400)
	rest := int(wall) - d*86400
	return Day(d), rest / 60, rest % 60
}
