package dns

import (
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	// maxCached is how many answers a cache holds.
	maxCached = 4096
	// maxTTL and maxNegative limit how long an answer is believed. RFC 2308, 5
	// calls one to three hours sensible for a negative one.
	maxTTL      = 24 * time.Hour
	maxNegative = time.Hour
	// failureTTL is how long a failure is remembered, at least one second and
	// at most five minutes (RFC 9520, 3.2).
	failureTTL = time.Second
)

// cacheKey is a question. Those who ask for signatures have answers of their own.
type cacheKey struct {
	name  string // canonical
	qtype uint16
	do    bool
}

// cache remembers the answers of upstreams. The zero value is empty and ready
// to use.
type cache struct {
	mu      sync.Mutex
	entries map[cacheKey]entry
}

type entry struct {
	answer         *dns.Msg
	stored, expire time.Time
}

// get gives a copy whose TTLs are what is left of them, or nil.
func (c *cache) get(key cacheKey, now time.Time) *dns.Msg {
	c.mu.Lock()
	e, ok := c.entries[key]
	if ok && !now.Before(e.expire) {
		delete(c.entries, key)
		ok = false
	}
	c.mu.Unlock()
	if !ok {
		return nil
	}
	m := e.answer.Copy()
	age := seconds(now.Sub(e.stored))
	for _, section := range [][]dns.RR{m.Answer, m.Ns} {
		for _, rr := range section {
			rr.Header().Ttl -= min(age, rr.Header().Ttl)
		}
	}
	return m
}

func (c *cache) put(key cacheKey, answer *dns.Msg, now time.Time) {
	ttl := keepFor(answer)
	if ttl <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries == nil {
		c.entries = map[cacheKey]entry{}
	}
	for old := range c.entries {
		if len(c.entries) < maxCached {
			break
		}
		delete(c.entries, old) // any: the order of a map is not one of use
	}
	c.entries[key] = entry{answer: answer.Copy(), stored: now, expire: now.Add(ttl)}
}

// keepFor is how long an answer is good: as long as each of its records, and a
// negative one as its SOA says, or not at all (RFC 2308, 5).
func keepFor(m *dns.Msg) time.Duration {
	switch {
	case m.Truncated:
		return 0
	case m.Rcode == dns.RcodeServerFailure:
		return failureTTL
	case m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError:
		return 0
	}
	ttl, negative := maxTTL, m.Rcode == dns.RcodeNameError || !answers(m)
	for _, rr := range m.Answer {
		ttl = min(ttl, duration(rr.Header().Ttl))
	}
	if !negative {
		return ttl
	}
	for _, rr := range m.Ns {
		if soa, ok := rr.(*dns.SOA); ok {
			return min(ttl, maxNegative, duration(soa.Hdr.Ttl), duration(soa.Minttl))
		}
	}
	return 0
}

// answers reports whether there is more than CNAMEs that lead to nothing.
func answers(m *dns.Msg) bool {
	for _, rr := range m.Answer {
		if rr.Header().Rrtype != dns.TypeCNAME {
			return true
		}
	}
	return false
}

func duration(ttl uint32) time.Duration {
	if ttl > 1<<31-1 {
		return 0 // RFC 2181, 8
	}
	return time.Duration(ttl) * time.Second
}
