package alb

import (
	"cmp"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
)

// Stats is a copy of a listener's counters.
type Stats struct {
	Accepted      uint64            // connections
	Open          int64             // of them, upgraded ones included
	Requests      map[int]uint64    // answered, by status; 101 is an upgrade
	Failures      map[string]uint64 // answers of the load balancer's own, by reason
	BytesReceived uint64            // of requests' bodies
	BytesSent     uint64            // of answers' bodies
	Backends      []BackendStats    // those that were ever asked, sorted
}

// BackendStats is a copy of the counters of one server.
type BackendStats struct {
	Group         string
	Server        netip.AddrPort
	Requests      map[int]uint64 // answered, by status
	ConnectErrors uint64         // connections that could not be made
	Errors        uint64         // requests without an answer that is HTTP and in time
	Active        int64          // requests on their way, upgraded connections included
}

type counters struct {
	accepted       atomic.Uint64
	open           atomic.Int64
	received, sent atomic.Uint64

	mu       sync.Mutex
	statuses map[int]uint64
	failures map[string]uint64
	backends map[backendKey]*backend
}

type backendKey struct {
	group  string
	server netip.AddrPort
}

type backend struct {
	active                atomic.Int64
	connectErrors, errors atomic.Uint64

	mu       sync.Mutex
	statuses map[int]uint64
}

func (c *counters) status(status int)     { count(&c.mu, &c.statuses, status) }
func (c *counters) failure(reason string) { count(&c.mu, &c.failures, reason) }
func (b *backend) answered(status int)    { count(&b.mu, &b.statuses, status) }

func count[K comparable](mu *sync.Mutex, counts *map[K]uint64, key K) {
	mu.Lock()
	defer mu.Unlock()
	if *counts == nil {
		*counts = map[K]uint64{}
	}
	(*counts)[key]++
}

func (b *backend) failed(err error) {
	var unreached *connectError
	if errors.As(err, &unreached) {
		b.connectErrors.Add(1)
		return
	}
	b.errors.Add(1)
}

func (c *counters) backend(group string, server netip.AddrPort) *backend {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := backendKey{group, server}
	b := c.backends[key]
	if b == nil {
		b = &backend{}
		if c.backends == nil {
			c.backends = map[backendKey]*backend{}
		}
		c.backends[key] = b
	}
	return b
}

// copied is a copy of counts that is not nil.
func copied[K comparable](counts map[K]uint64) map[K]uint64 {
	out := make(map[K]uint64, len(counts))
	maps.Copy(out, counts)
	return out
}

// Stats reads the counters.
func (l *Listener) Stats() Stats {
	c := &l.stats
	c.mu.Lock()
	defer c.mu.Unlock()
	s := Stats{
		Accepted: c.accepted.Load(), Open: c.open.Load(),
		BytesReceived: c.received.Load(), BytesSent: c.sent.Load(),
		Requests: copied(c.statuses), Failures: copied(c.failures),
	}
	for key, b := range c.backends {
		b.mu.Lock()
		s.Backends = append(s.Backends, BackendStats{
			Group: key.group, Server: key.server, Requests: copied(b.statuses),
			ConnectErrors: b.connectErrors.Load(), Errors: b.errors.Load(), Active: b.active.Load(),
		})
		b.mu.Unlock()
	}
	slices.SortFunc(s.Backends, func(a, b BackendStats) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), a.Server.Compare(b.Server))
	})
	return s
}
