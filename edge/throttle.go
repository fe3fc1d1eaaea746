package edge

import (
	"net"
	"sync"
	"time"

	"maitred/engine"
)

// throttle slows the guessing of passwords and codes down: failed attempts are counted for each account, known or not, for
// each address, and for all. Beyond a bound the next attempt has to wait, each time twice as long, never longer than
// longestWait: nobody is locked out for good. While somebody waits nothing is hashed, and the right password is refused
// too: else an attacker would learn it during the wait. It lives in memory and is bounded.
type throttle struct {
	mu        sync.Mutex
	accounts  map[engine.AccountID]*attempts
	addresses map[[16]byte]*attempts
	all       attempts
}

// bound is how many failures are free, what the next one costs, and when one is forgiven. An address, and all of them, are
// many people who may mistype for ever: theirs leak away one by one. An account's go all at once, after failureWindow
// without any, or with the right password.
type bound struct {
	free           int
	first, longest time.Duration
	each           time.Duration // one is forgiven; 0 = all, after failureWindow
}

var (
	accountBound = bound{accountFailures, firstWait, longestWait, 0}
	addressBound = bound{addressFailures, firstWait, longestWait, failureWindow / addressFailures}
	globalBound  = bound{globalFailures, globalWait, globalWait, failureWindow / globalFailures}
)

// attempts are those of one account, one address, or all.
type attempts struct {
	failed  int       // in the window
	pending int       // being judged now
	until   time.Time // nothing is judged before
	last    time.Time // of the last failure, or up to when they were forgiven
}

// attempt is one that was let in and is to be ended.
type attempt struct {
	t                *throttle
	account, address *attempts
}

func newThrottle() *throttle {
	return &throttle{accounts: map[engine.AccountID]*attempts{}, addresses: map[[16]byte]*attempts{}}
}

// begin lets an attempt in, or says how long to wait.
func (t *throttle) begin(account engine.AccountID, ip net.IP, now time.Time) (*attempt, time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a, b := t.accounts[account], t.addresses[network(ip)]
	wait := max(a.wait(accountBound, now), b.wait(addressBound, now))
	if b != nil && b.failed > 0 { // whoever comes from elsewhere must not wait because somebody guesses from many addresses
		wait = max(wait, t.all.wait(globalBound, now))
	}
	if wait > 0 {
		return nil, wait
	}
	if a == nil {
		a = remembered(t.accounts, account, accountBound, now)
	}
	if b == nil {
		b = remembered(t.addresses, network(ip), addressBound, now)
	}
	a.pending++
	b.pending++
	return &attempt{t, a, b}, 0
}

// end counts the attempt. crossed: with this failure the account has to wait for the first time in its window.
func (a *attempt) end(v verdict, now time.Time) (crossed bool) {
	a.t.mu.Lock()
	defer a.t.mu.Unlock()
	a.account.pending--
	a.address.pending--
	switch v {
	case passed:
		a.account.failed, a.account.until = 0, time.Time{}
	case failed:
		a.account.fail(accountBound, now)
		a.address.fail(addressBound, now)
		a.t.all.fail(globalBound, now)
		return a.account.failed == accountFailures
	}
	return false
}

// verdict is how an attempt ended.
type verdict uint8

const (
	unjudged verdict = iota // a fault, or half of the proof: neither for nor against
	passed
	failed
)

// wait counts what is being judged as failed, so that many at once are no way around the bound.
func (a *attempts) wait(b bound, now time.Time) time.Duration {
	switch {
	case a == nil:
		return 0
	case now.Before(a.until):
		return a.until.Sub(now)
	}
	a.forgive(b, now)
	if a.pending > 0 && a.failed+a.pending >= b.free {
		return time.Second
	}
	return 0
}

func (a *attempts) fail(b bound, now time.Time) {
	a.forgive(b, now)
	if a.failed++; a.failed == 1 || b.each == 0 {
		a.last = now
	}
	if over := a.failed - b.free; over >= 0 {
		wait := b.longest
		if over < 16 {
			wait = min(b.first<<over, b.longest)
		}
		a.until = now.Add(wait)
	}
}

func (a *attempts) forgive(b bound, now time.Time) {
	since := now.Sub(a.last)
	switch {
	case b.each == 0:
		if since >= failureWindow {
			a.failed = 0
		}
	case since >= b.each:
		n := since / b.each
		a.failed = max(0, a.failed-int(min(n, 1<<20)))
		a.last = a.last.Add(n * b.each)
	}
}

// idle says whether forgetting it changes nothing.
func (a *attempts) idle(b bound, now time.Time) bool {
	a.forgive(b, now)
	return a.pending == 0 && a.failed == 0 && !now.Before(a.until)
}

// remembered makes room first: of a few, those that are idle go, else the one with the fewest failures that nobody judges.
func remembered[K comparable](all map[K]*attempts, key K, b bound, now time.Time) *attempts {
	if len(all) >= maxAttempts {
		makeRoom(all, b, now)
	}
	a := &attempts{}
	all[key] = a
	return a
}

func makeRoom[K comparable](all map[K]*attempts, b bound, now time.Time) {
	const look = 64
	var least K
	seen, fewest := 0, -1
	for k, a := range all { // in random order
		switch {
		case a.idle(b, now):
			delete(all, k)
		case a.pending == 0 && (fewest < 0 || a.failed < fewest):
			least, fewest = k, a.failed
		}
		if seen++; seen >= look {
			break
		}
	}
	if len(all) >= maxAttempts && fewest >= 0 {
		delete(all, least)
	}
}

// network is an address, of IPv6 the 64 bits that its holder cannot choose.
func network(ip net.IP) (key [16]byte) {
	copy(key[:], ip.To16())
	if ip.To4() == nil {
		clear(key[8:])
	}
	return key
}
