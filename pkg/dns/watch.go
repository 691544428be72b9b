package dns

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

// Query is one question that a server answered.
type Query struct {
	Time   time.Time
	Asker  netip.AddrPort
	TCP    bool
	Name   string // as asked, with a final dot
	Type   string // A, AAAA, PTR, …
	Code   string // NOERROR, NXDOMAIN, REFUSED, …
	Data   []string
	Source string // authority, cache, upstream or refused
	Size   int    // of the reply, in bytes
	Took   time.Duration
}

// watchers are told of every query. Without one a query costs one load.
type watchers struct {
	list atomic.Pointer[[]*watcher]
	mu   sync.Mutex
}

// watcher is one function, and whether it may still be called.
type watcher struct {
	f       func(Query)
	mu      sync.RWMutex // read while f is called
	stopped bool
}

// Watch calls f for every question from now on until stop is called. f is
// called where questions are answered, by several goroutines at once, and must
// not block. When stop returns, f is not called any more; f must not call it.
func (s *Server) Watch(f func(Query)) (stop func()) {
	own := &watcher{f: f}
	w := &s.watching
	w.change(func(list []*watcher) []*watcher { return append(list, own) })
	return func() {
		w.change(func(list []*watcher) []*watcher {
			return slices.DeleteFunc(list, func(other *watcher) bool { return other == own })
		})
		own.mu.Lock() // after the calls that are under way
		defer own.mu.Unlock()
		own.stopped = true
	}
}

func (w *watcher) tell(q Query) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if !w.stopped {
		w.f(q)
	}
}

func (w *watchers) change(change func([]*watcher) []*watcher) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []*watcher
	if old := w.list.Load(); old != nil {
		list = slices.Clone(*old)
	}
	if list = change(list); len(list) == 0 {
		w.list.Store(nil)
		return
	}
	w.list.Store(&list)
}

// tell is called with what was sent.
func (w *watchers) tell(e exchange, m *dns.Msg, size int) {
	list := w.list.Load()
	if list == nil {
		return
	}
	q := Query{
		Time: e.start, Asker: e.from, TCP: !e.udp, Code: rcodeName(m.Rcode),
		Source: e.source, Size: size, Took: time.Since(e.start),
	}
	if len(m.Question) == 1 {
		q.Name, q.Type = m.Question[0].Name, dns.Type(m.Question[0].Qtype).String()
	}
	for _, rr := range m.Answer {
		q.Data = append(q.Data, Data(rr))
	}
	for _, watcher := range *list {
		watcher.tell(q)
	}
}

// Data is what a record says beyond its name, class and TTL: "10.0.0.1", or
// "CNAME db.example." for what is not an address.
func Data(rr dns.RR) string {
	text := rr.String()[len(rr.Header().String()):]
	switch t := rr.Header().Rrtype; t {
	case dns.TypeA, dns.TypeAAAA:
		return text
	default:
		return dns.Type(t).String() + " " + text
	}
}
