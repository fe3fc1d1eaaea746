package edge

import (
	"net"
	"sync"
	"time"
)

const (
	limiterShards  = 64
	limiterEntries = 4096 // addresses per shard
)

// limiter is a GCRA per address: one arrival time each, bounded.
type limiter struct {
	each   time.Duration // between requests
	burst  time.Duration
	shards [limiterShards]limiterShard
}

type limiterShard struct {
	mu  sync.Mutex
	due map[[16]byte]time.Time
}

// newLimiter allows perMinute requests a minute and address, a quarter of it at once; nil for 0.
func newLimiter(perMinute int) *limiter {
	if perMinute <= 0 {
		return nil
	}
	each := time.Minute / time.Duration(perMinute)
	l := &limiter{each: each, burst: max(each, 15*time.Second)}
	for i := range l.shards {
		l.shards[i].due = make(map[[16]byte]time.Time)
	}
	return l
}

func (l *limiter) allow(ip net.IP, now time.Time) bool {
	var key [16]byte
	copy(key[:], ip.To16())
	shard := &l.shards[(key[15]^key[13]*7^key[7])%limiterShards]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	due := shard.due[key]
	if due.Before(now) {
		due = now
	}
	if due.Sub(now) > l.burst-l.each {
		return false
	}
	if len(shard.due) >= limiterEntries {
		shard.forget(now)
	}
	shard.due[key] = due.Add(l.each)
	return true
}

// forget drops the addresses that have paid their debt; a shard full of debtors forgets them all rather than grow.
func (s *limiterShard) forget(now time.Time) {
	for key, due := range s.due {
		if due.Before(now) {
			delete(s.due, key)
		}
	}
	if len(s.due) >= limiterEntries {
		clear(s.due)
	}
}
