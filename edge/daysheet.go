package edge

import (
	"strconv"

	"maitred/engine"
)

// sheetSummary is what a service day comes to, over all of its reservations, not those of one page.
type sheetSummary struct {
	status [len(sheetStatuses)]tally
	starts []startTally // of who comes or came, by start
}

type tally struct{ parties, covers int }

type startTally struct {
	localMin int
	tally
}

// sheetStatuses are the statuses that a summary counts, as the API names them: every one.
var sheetStatuses = [...]engine.Status{engine.StatusHeld, engine.StatusPending, engine.StatusConfirmed, engine.StatusSeated, engine.StatusCompleted,
	engine.StatusCancelled, engine.StatusExpired, engine.StatusDeclined, engine.StatusNoShow, engine.StatusWaiting}

// comes reports whether a party of that status is a part of the evening.
func comes(s engine.Status) bool {
	switch s {
	case engine.StatusPending, engine.StatusConfirmed, engine.StatusSeated, engine.StatusCompleted:
		return true
	}
	return false
}

// summarise counts a sheet that is in order of start.
func summarise(sheet []*engine.Reservation) (sum sheetSummary) {
	for _, r := range sheet {
		for i, s := range sheetStatuses {
			if s == r.Status {
				sum.status[i].add(r)
			}
		}
		if !comes(r.Status) {
			continue
		}
		hour := r.LocalMin / 60 * 60
		if n := len(sum.starts); n == 0 || sum.starts[n-1].localMin != hour {
			sum.starts = append(sum.starts, startTally{localMin: hour})
		}
		sum.starts[len(sum.starts)-1].add(r)
	}
	return sum
}

func (t *tally) add(r *engine.Reservation) {
	t.parties++
	t.covers += r.GuestsCount
}

// appendSummary writes a summary, with a comma before.
func appendSummary(dst []byte, sum *sheetSummary) []byte {
	dst = append(dst, `,"summary":{"by_status":{`...)
	for i, s := range sheetStatuses {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendString(dst, engine.StatusName(s)), ':')
		dst = append(sum.status[i].append(append(dst, '{')), '}')
	}
	dst = append(dst, `},"by_hour":[`...)
	for i := range sum.starts {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendClock(append(dst, `{"from":"`...), sum.starts[i].localMin), `",`...)
		dst = append(sum.starts[i].append(dst), '}')
	}
	return append(dst, "]}"...)
}

func (t *tally) append(dst []byte) []byte {
	dst = strconv.AppendInt(append(dst, `"parties":`...), int64(t.parties), 10)
	return strconv.AppendInt(append(dst, `,"covers":`...), int64(t.covers), 10)
}

// appendSheetItem writes a reservation as the host works with it: with the numbers of its tables, which people say.
func (x *exchange) appendSheetItem(dst []byte, v *engine.RestaurantView, r *engine.Reservation) []byte {
	dst = x.appendFor(dst, r)
	dst = append(dst[:len(dst)-1], `,"table_numbers":[`...)
	for i, id := range r.Tables {
		if i > 0 {
			dst = append(dst, ',')
		}
		number := "" // of a table that was removed since
		if t := v.Table(id); t != nil {
			number = t.Number
		}
		dst = appendString(dst, number)
	}
	return append(dst, "]}"...)
}
