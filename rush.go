package main

import "time"

// The store gives way to guests: during a rush it rests between two of its statements, at most maxRests times restFor, unless
// it lags by mostLag. So its work is put off, not dropped.
const (
	rushAt   = 100 // guests who wait together, on average
	rushOver = 200 * time.Millisecond
	restFor  = 2 * time.Millisecond
	maxRests = 50
	mostLag  = 30 * time.Second
)

// rush is what the store knows of the guests who wait. For one goroutine.
type rush struct {
	waiting func() int
	lag     func() time.Duration
	mean    float64 // of waiting, over about rushOver
	at      time.Time
}

// giveWay returns when the store may go on.
func (r *rush) giveWay() {
	for range maxRests {
		if r.look(time.Now()); r.mean <= rushAt || r.lag() > mostLag {
			return
		}
		time.Sleep(restFor)
	}
}

// look takes what is seen now into the mean, in proportion to the time since the last look.
func (r *rush) look(now time.Time) {
	part := min(1, now.Sub(r.at).Seconds()/rushOver.Seconds())
	r.mean += part * (float64(r.waiting()) - r.mean)
	r.at = now
}
