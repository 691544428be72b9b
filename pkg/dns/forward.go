package dns

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

const (
	// tryTimeout is how long one upstream may take for an answer.
	tryTimeout = 2 * time.Second
	// maxForwarded limits the questions that wait for upstreams; more of them
	// fail at once.
	maxForwarded = 1000
)

// Forwarder asks other servers for names that are not ours, and remembers what
// they said. Set its fields before it is used and not after; a forwarder
// belongs to one Server.
type Forwarder struct {
	// Upstreams are asked in this order; the next one where one does not
	// answer or fails. None of them is ever asked for what it asks itself: so
	// a server that sends questions back meets no circle.
	Upstreams []netip.AddrPort
	// Dial opens a connection to an upstream.
	Dial Dial

	cache  cache
	queued atomic.Int32
	mu     sync.Mutex
	asked  map[cacheKey]*pending
	count  struct{ upstream, cached, failed atomic.Uint64 }
}

// pending is a question that upstreams were asked, and that several may wait for.
type pending struct {
	done   chan struct{}
	answer *dns.Msg
}

// isUpstream reports whether an asker is one of those that we would ask.
func (f *Forwarder) isUpstream(asker netip.Addr) bool {
	return slices.ContainsFunc(f.Upstreams, func(u netip.AddrPort) bool { return u.Addr() == asker })
}

// lookup answers a question from the cache or from an upstream. The answer is
// the caller's; source says where it is from. It is nil where ctx ended.
func (f *Forwarder) lookup(ctx context.Context, q dns.Question, do bool) (answer *dns.Msg, source string) {
	key := cacheKey{dns.CanonicalName(q.Name), q.Qtype, do}
	if m := f.cache.get(key, time.Now()); m != nil {
		f.count.cached.Add(1)
		return m, "cache"
	}
	p, first := f.join(key)
	if first {
		p.answer = f.ask(ctx, q, do)
		if ctx.Err() == nil { // or it says nothing about the upstreams
			f.cache.put(key, p.answer, time.Now())
		}
		f.leave(key, p)
	}
	select {
	case <-p.done:
		return p.answer.Copy(), "upstream"
	case <-ctx.Done():
		return nil, "upstream"
	}
}

// join lets equal questions wait for one answer.
func (f *Forwarder) join(key cacheKey) (p *pending, first bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p := f.asked[key]; p != nil {
		return p, false
	}
	if f.asked == nil {
		f.asked = map[cacheKey]*pending{}
	}
	p = &pending{done: make(chan struct{})}
	f.asked[key] = p
	return p, true
}

func (f *Forwarder) leave(key cacheKey, p *pending) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.asked, key)
	close(p.done)
}

// ask asks the upstreams in turn. Where none has an answer, it is a failure.
func (f *Forwarder) ask(ctx context.Context, q dns.Question, do bool) *dns.Msg {
	for _, upstream := range f.Upstreams {
		f.count.upstream.Add(1)
		m, err := f.exchange(ctx, upstream, q, do)
		if err == nil && m.Rcode != dns.RcodeServerFailure && m.Rcode != dns.RcodeRefused {
			return m
		}
		f.count.failed.Add(1)
	}
	m := new(dns.Msg)
	m.Rcode = dns.RcodeServerFailure
	return m
}

func (f *Forwarder) exchange(ctx context.Context, to netip.AddrPort, q dns.Question, do bool) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	return ask(ctx, f.Dial, to, q, do)
}

// Dial opens a connection. It obeys ctx.
type Dial = func(ctx context.Context, network, address string) (net.Conn, error)

// ask asks one server by UDP and, where the answer does not fit, by TCP. The
// context has a deadline.
func ask(ctx context.Context, dial Dial, to netip.AddrPort, q dns.Question, do bool) (*dns.Msg, error) {
	m, err := askBy(ctx, dial, "udp", to, q, do)
	if err == nil && m.Truncated {
		m, err = askBy(ctx, dial, "tcp", to, q, do)
	}
	return m, err
}

func askBy(
	ctx context.Context, dial Dial, network string, to netip.AddrPort, q dns.Question, do bool,
) (*dns.Msg, error) {
	conn, err := dial(ctx, network, to.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	// A deadline, not Close: what ends with its context then is a timeout.
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	req := new(dns.Msg)
	req.SetQuestion(q.Name, q.Qtype)
	req.SetEdns0(payload, do)
	c := dns.Conn{Conn: conn, UDPSize: payload}
	if err := c.WriteMsg(req); err != nil {
		return nil, err
	}
	for {
		m, err := c.ReadMsg()
		switch {
		case err != nil && m == nil:
			return nil, err
		case err != nil || !belongs(m, req):
			if network == "tcp" {
				return nil, errors.New("the answer is to another question")
			}
			continue // anybody can send a datagram: the real answer may still come
		}
		return onlyAnswer(m), nil
	}
}

// belongs holds an answer to its question.
func belongs(m, req *dns.Msg) bool {
	if !m.Response || m.Id != req.Id || len(m.Question) != 1 {
		return false
	}
	got, want := m.Question[0], req.Question[0]
	return strings.EqualFold(got.Name, want.Name) && got.Qtype == want.Qtype && got.Qclass == want.Qclass
}

// onlyAnswer leaves out what is between the upstream and us, and what nobody
// asked for.
func onlyAnswer(m *dns.Msg) *dns.Msg {
	return &dns.Msg{
		MsgHdr: dns.MsgHdr{Rcode: m.Rcode & 0xf, Truncated: m.Truncated},
		Answer: m.Answer, Ns: m.Ns,
	}
}
