package dns

import (
	"sync/atomic"

	"github.com/miekg/dns"
)

// Stats is a copy of a server's counters.
type Stats struct {
	UDP, TCP   uint64            // messages that came
	Rcodes     map[string]uint64 // replies by their code: NOERROR, NXDOMAIN, REFUSED, …
	Truncated  uint64            // replies that did not fit a UDP message
	Unanswered uint64            // messages that were too short or replies themselves
	// Of the Forwarder: answers from its cache, questions to upstreams, and
	// those of them that failed.
	Cached, Forwarded, ForwardsFailed uint64
}

type counters struct {
	udp, tcp, truncated, unanswered atomic.Uint64

	rcodes [dns.RcodeBadVers + 1]atomic.Uint64
}

func (c *counters) rcode(code int) { c.rcodes[code].Add(1) }

// Stats is a copy of the counters.
func (s *Server) Stats() Stats {
	out := Stats{
		UDP: s.count.udp.Load(), TCP: s.count.tcp.Load(),
		Truncated: s.count.truncated.Load(), Unanswered: s.count.unanswered.Load(),
		Rcodes: map[string]uint64{},
	}
	if f := s.Forwarder; f != nil {
		out.Cached, out.Forwarded = f.count.cached.Load(), f.count.upstream.Load()
		out.ForwardsFailed = f.count.failed.Load()
	}
	for code := range s.count.rcodes {
		if n := s.count.rcodes[code].Load(); n > 0 {
			out.Rcodes[rcodeName(code)] = n
		}
	}
	return out
}

// rcodeName settles code 16, which the library knows by the name that it has
// in another record (RFC 6895, 2.3).
func rcodeName(code int) string {
	if code == dns.RcodeBadVers {
		return "BADVERS"
	}
	return dns.RcodeToString[code]
}
