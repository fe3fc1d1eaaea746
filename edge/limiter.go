package edge

import (
	"bytes"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"
)

const (
	limiterShards  = 64
	limiterEntries = 4096 // clients per shard
	limiterLooks   = 16   // entries of a full shard that are looked at for one to forget

	// MaxRateLimit is the highest limit, in requests a minute.
	MaxRateLimit = 1_000_000
)

// limiter is a GCRA (generic cell rate algorithm) per client: one arrival time each, bounded. A client may spend a minute's
// quota at once and earns it back evenly.
type limiter struct {
	quota  int // of an address, a minute
	shards [limiterShards]limiterShard
}

type limiterShard struct {
	mu        sync.Mutex
	due       map[[16]byte]int64     // Unix ns at which the client's debt is paid
	unsettled map[[16]byte]unsettled // of clients in due; nil: nobody else is to know
}

// allowance is what a client has left after a request.
type allowance struct {
	allowed   bool
	remaining int // requests that it may send at once now
	reset     int // seconds until it has its whole quota again
	retry     int // seconds to wait when not allowed
}

// newLimiter allows perMinute requests a minute and address; nil for 0. A shared one notes what it charges, for settle.
func newLimiter(perMinute int, shared bool) *limiter {
	if perMinute <= 0 {
		return nil
	}
	l := &limiter{quota: min(perMinute, MaxRateLimit)}
	for i := range l.shards {
		l.shards[i].due = make(map[[16]byte]int64)
		if shared {
			l.shards[i].unsettled = map[[16]byte]unsettled{}
		}
	}
	return l
}

// charge books one request of a client with a quota of so many a minute.
func (l *limiter) charge(client [16]byte, quota int, now time.Time) allowance {
	each := int64(time.Minute) / int64(quota)
	burst, at := each*int64(quota), now.UnixNano()
	shard := &l.shards[(client[15]^client[13]*7^client[7])%limiterShards]
	shard.mu.Lock()
	due, known := shard.due[client]
	due = max(due, at)
	allowed := due+each-at <= burst
	if allowed {
		due += each
		if !known && len(shard.due) >= limiterEntries {
			shard.forget(at)
		}
		shard.due[client] = due
		if shard.unsettled != nil {
			shard.unsettled[client] = unsettled{shard.unsettled[client].requests + 1, quota}
		}
	}
	shard.mu.Unlock()
	a := allowance{allowed: allowed, remaining: int(max(0, burst-(due-at)) / each), reset: seconds(due - at)}
	if !allowed {
		a.retry = max(1, seconds(due+each-at-burst))
	}
	return a
}

// seconds rounds up.
func seconds(ns int64) int { return int((ns + int64(time.Second) - 1) / int64(time.Second)) }

// forget makes room for one client: of a few that it happens on, the one that owes least. Who owes much is remembered, so
// that nobody rids himself of his debt by sending from many addresses.
func (s *limiterShard) forget(at int64) {
	var least [16]byte
	lowest, looks := int64(0), 0
	for client, due := range s.due {
		if looks == 0 || due < lowest {
			least, lowest = client, due
		}
		if looks++; looks == limiterLooks || due <= at {
			break
		}
	}
	delete(s.due, least)
	delete(s.unsettled, least)
}

// machineKeyPrefix begins the Authorization line of a machine client, which has a quota of its own.
var machineKeyPrefix = []byte("Bearer mtk_")

// keyedFactor is how many times its quota an address may send with machine keys, of however many accounts: an account costs an
// address two requests, so accounts must not multiply what it may. At the default limit it is what one key has (defaultQuota).
const keyedFactor = 6

// pay charges the request to its address or, with a machine key that was verified lately, to the key and to what the address has
// for keys; and says in the answer what is left, of the tighter one. False: it has answered 429. A key that is not known yet is
// charged to the address, or guessing keys would cost nothing.
//
// The fields are those of draft-ietf-httpapi-ratelimit-headers-10; the window is a minute.
func (x *exchange) pay() bool {
	s := x.s
	var a allowance
	quota, name := s.limiter.quota, `"ip"`
	if b := x.keyed(); b != nil && b.quota > 0 {
		quota, name = min(b.quota, MaxRateLimit), `"key"`
		a = s.limiter.charge(b.limitKey, quota, x.now)
		if shared := min(max(b.quota, keyedFactor*s.limiter.quota), MaxRateLimit); a.allowed { // a key that an admin gave more has it
			if c := s.limiter.charge(keyedOf(networkOf(x.clientAddr())), shared, x.now); !c.allowed || c.remaining < a.remaining {
				quota, name, a = shared, `"ip"`, c
			}
		}
	} else {
		a = s.limiter.charge(networkOf(x.clientAddr()), quota, x.now)
	}
	var room [64]byte
	h := &x.ctx.Response.Header
	b := append(append(room[:0], name...), ";q="...)
	h.SetCanonical(headerRatePolicy, append(strconv.AppendInt(b, int64(quota), 10), ";w=60"...))
	b = append(append(room[:0], name...), ";r="...)
	b = append(strconv.AppendInt(b, int64(a.remaining), 10), ";t="...)
	h.SetCanonical(headerRate, strconv.AppendInt(b, int64(a.reset), 10))
	if a.allowed {
		return true
	}
	k := kindTooMany
	k.retry = a.retry
	x.fail(k)
	return false
}

var (
	headerRatePolicy = []byte("RateLimit-Policy")
	headerRate       = []byte("RateLimit")
)

// keyed is the caller whose machine key came with the request, when it is among those verified lately.
func (x *exchange) keyed() *bearer {
	line := x.head.authorization
	if x.s.keyCaller == nil || len(line) < len(machineKeyPrefix) || !bytes.EqualFold(line[:len(machineKeyPrefix)], machineKeyPrefix) {
		return nil
	}
	return x.s.keyCaller(line, x.now)
}

// clientAddr is the address of the client: the peer's, or, when the peer is a trusted proxy, the last hop in X-Forwarded-For
// that is none. What cannot be read there ends the search: it is nobody's word.
func (x *exchange) clientAddr() netip.Addr {
	addr, _ := netip.AddrFromSlice(x.ctx.RemoteIP())
	addr = addr.Unmap()
	if !x.s.trusts(addr) {
		return addr
	}
	lines := x.ctx.Request.Header.PeekAll("X-Forwarded-For")
	for i := len(lines) - 1; i >= 0; i-- {
		line := lines[i]
		for len(line) > 0 {
			at := bytes.LastIndexByte(line, ',')
			hop, err := parseHop(string(bytes.TrimSpace(line[at+1:])))
			if err != nil {
				return addr
			}
			if addr = hop; !x.s.trusts(addr) {
				return addr
			}
			line = line[:max(at, 0)]
		}
	}
	return addr
}

// parseHop reads an address, with a port or without.
func parseHop(text string) (netip.Addr, error) {
	if with, err := netip.ParseAddrPort(text); err == nil {
		return with.Addr().Unmap(), nil
	}
	addr, err := netip.ParseAddr(text)
	return addr.Unmap().WithZone(""), err
}

func (s *Server) trusts(addr netip.Addr) bool { return inAny(s.cfg.TrustedProxies, addr) }

func inAny(networks []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(addr) })
}

// networkOf is what is limited together: an IPv4 address, or an IPv6 network of 64 bits, within which a host has all addresses.
func networkOf(addr netip.Addr) [16]byte {
	key := addr.As16()
	if addr.Is6() && !addr.Is4In6() {
		clear(key[8:])
	}
	return key
}

// keyedOf is what the requests with machine keys from a network are limited by: nobody's network.
func keyedOf(network [16]byte) [16]byte {
	network[9] = 0xff
	return network
}
