package dns

import (
	"context"
	"net/netip"

	"github.com/miekg/dns"
)

// Explanation says how an answer came about.
type Explanation struct {
	// AskerZone is the zone of the subnet that the asker is in, "" where it is
	// in none of ours.
	AskerZone string
	// Steps are the name that was asked for and those that CNAMEs led to.
	Steps []Step
}

// Step is what one name contributed.
type Step struct {
	Name      string // as asked, with a final dot
	Authority string // the zone that answers for it, with a final dot; "" where it is foreign
	Outcome   Outcome
	Wildcard  string // the name that stood for it, without a final dot; "" where it is there itself
	Affinity  bool   // the asker's zone plays a part
	// Choices are the addresses of the name, of the family that was asked for,
	// in the order of the configuration.
	Choices []Choice
}

// Outcome is what a name had.
type Outcome string

// The outcomes.
const (
	Answered Outcome = "answered"
	NoData   Outcome = "no such record" // the name is there, a record of this type is not
	NoName   Outcome = "no such name"   // NXDOMAIN
	Foreign  Outcome = "foreign"        // not a name of ours
	Circle   Outcome = "too many CNAMEs"
)

// Explain gives what Answer would, and why. It is for people who want to know:
// Answer is the quicker one.
func (v *View) Explain(req *dns.Msg, asker netip.Addr) (*dns.Msg, Explanation) {
	t := &Explanation{AskerZone: v.zoneOfAsker(asker.Unmap())}
	m, foreign := v.answer(req, asker, t)
	if foreign {
		explainRefusal(m)
	}
	return m, *t
}

// Explain gives what the server would answer now, why, and where it is from:
// authority, cache, upstream, or refused. It is not counted.
func (s *Server) Explain(ctx context.Context, req *dns.Msg, asker netip.Addr) (
	m *dns.Msg, e Explanation, source string,
) {
	view := s.currentView()
	e.AskerZone = view.zoneOfAsker(asker.Unmap())
	m, foreign := view.answer(req, asker, &e)
	x := exchange{from: netip.AddrPortFrom(asker, 0)}
	switch {
	case foreign && s.forwards(req, asker) && s.forward(ctx, m, req, &x):
		return m, e, x.source
	case foreign:
		explainRefusal(m)
	}
	return m, e, sourceOf(m)
}

// step may be called where nobody wants to know.
func (t *Explanation) step(s Step) {
	if t != nil {
		t.Steps = append(t.Steps, s)
	}
}
