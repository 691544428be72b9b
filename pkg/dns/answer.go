package dns

import (
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

// payload is the largest UDP message that we send and say that we take: what
// fits every path without fragments (DNS flag day 2020).
const payload = 1232

// Answer gives the reply to req from asker. It may be longer than fits a UDP
// message. The addresses of a name begin with another one each time. It is nil
// for what must not be answered: a message that is itself a reply.
func (v *View) Answer(req *dns.Msg, asker netip.Addr) *dns.Msg {
	m, foreign := v.answer(req, asker, nil)
	if foreign {
		explainRefusal(m)
	}
	return m
}

// answer also writes down in t, where that is not nil, how the answer came
// about. Foreign is whether the name, or the one that its CNAMEs lead to, is
// not ours: then the code is REFUSED, unless an upstream is asked.
func (v *View) answer(req *dns.Msg, asker netip.Addr, t *Explanation) (m *dns.Msg, foreign bool) {
	if req.Response {
		return nil, false
	}
	m = new(dns.Msg)
	m.SetReply(req)
	m.Compress = true
	m.RecursionAvailable = true // to its clients it is the VPC's resolver
	if rcode := refusal(req); rcode != dns.RcodeSuccess {
		m.Rcode = rcode
	} else {
		foreign = !v.fill(m, asker.Unmap(), t)
	}
	if len(req.Question) != 1 {
		m.Question = nil
	}
	echoEDNS(m, req)
	return m, foreign
}

// refusal says why a message is not a question that we take, whatever its name.
func refusal(req *dns.Msg) int {
	if req.Opcode != dns.OpcodeQuery {
		return dns.RcodeNotImplemented
	}
	if len(req.Question) != 1 || countOPT(req) > 1 {
		return dns.RcodeFormatError
	}
	if opt := req.IsEdns0(); opt != nil && opt.Version() != 0 {
		return dns.RcodeBadVers // RFC 6891, 6.1.3
	}
	switch q := req.Question[0]; {
	case q.Qclass != dns.ClassINET:
		return dns.RcodeRefused
	case q.Qtype == dns.TypeAXFR || q.Qtype == dns.TypeIXFR || q.Qtype == dns.TypeMAILA || q.Qtype == dns.TypeMAILB:
		return dns.RcodeRefused
	case q.Qtype == dns.TypeOPT:
		return dns.RcodeFormatError // an OPT record is never asked for (RFC 6891, 6.1.1)
	}
	return dns.RcodeSuccess
}

// fill answers the question of m. It is false where its name, or the one that
// its CNAMEs lead to, is not ours; the code is that of the last name then as
// always (RFC 6604, 3).
func (v *View) fill(m *dns.Msg, asker netip.Addr, t *Explanation) (ours bool) {
	q := m.Question[0]
	for range maxChain + 1 {
		key := dns.CanonicalName(q.Name)
		target, ours := v.fillName(m, q, key, asker, t)
		if !ours {
			t.step(Step{Name: q.Name, Outcome: Foreign})
			m.Rcode = dns.RcodeRefused
			return false
		}
		if target == "" {
			return true
		}
		q.Name = dns.Fqdn(target)
	}
	t.step(Step{Name: q.Name, Outcome: Circle})
	m.Rcode, m.Answer, m.Ns = dns.RcodeServerFailure, nil, nil
	return true
}

// maxChain is how many CNAMEs are followed for one question. A chain that is
// longer leads in a circle, or might as well.
const maxChain = 8

// fillName adds what one name has. Where that is a CNAME and another type is
// asked for, target is the name to go on with.
func (v *View) fillName(m *dns.Msg, q dns.Question, key string, asker netip.Addr, t *Explanation) (target string,
	ours bool) {
	if ours, known := v.fillReverse(m, q, key, t); known {
		return "", ours
	}
	zone := v.zoneOf(key)
	if zone == "" {
		return "", false
	}
	if len(m.Answer) == 0 {
		m.Authoritative = true // it is about the first name (RFC 1035, 4.1.1)
	}
	name, exists, wildcard := v.lookup(key, zone)
	step := Step{Name: q.Name, Authority: zone, Wildcard: wildcard, Outcome: NoData}
	before := len(m.Answer)
	switch {
	case !exists:
		m.Rcode, step.Outcome = dns.RcodeNameError, NoName
	case q.Qtype == dns.TypeANY:
		m.Answer = append(m.Answer, v.minimalANY(q.Name))
	case key == zone && q.Qtype == dns.TypeSOA:
		m.Answer = append(m.Answer, v.soa(q.Name, zone))
	case key == zone && q.Qtype == dns.TypeNS:
		m.Answer = append(m.Answer, v.ns(q.Name, zone))
	case name != nil && name.CNAME != "":
		cname := &dns.CNAME{Hdr: header(q.Name, dns.TypeCNAME, &name.Name), Target: dns.Fqdn(name.CNAME)}
		m.Answer = append(m.Answer, cname)
		if q.Qtype != dns.TypeCNAME {
			target = name.CNAME
		}
	case name != nil:
		m.Answer = v.appendRecords(m.Answer, q, name, asker, t, &step)
	}
	if len(m.Answer) > before {
		step.Outcome = Answered
	} else {
		m.Ns = append(m.Ns, v.soa(zone, zone)) // RFC 2308, 3: negative answers carry it
	}
	t.step(step)
	return target, true
}

// minimalANY is the whole answer to a question for everything (RFC 8482, 4.2).
func (v *View) minimalANY(name string) dns.RR {
	return &dns.HINFO{Hdr: v.header(name, dns.TypeHINFO), Cpu: "RFC8482"}
}

// soa is the record of a zone. Its own TTL and its minimum are equal, so that
// either limits how long a negative answer is kept (RFC 2308, 5).
func (v *View) soa(owner, zone string) dns.RR {
	return &dns.SOA{
		Hdr:     v.header(owner, dns.TypeSOA),
		Ns:      v.hostOf(zone),
		Mbox:    below("hostmaster", zone),
		Serial:  1, // zones are never transferred, so nobody compares it
		Refresh: 3600, Retry: 600, Expire: 86400,
		Minttl: v.ttl,
	}
}

func (v *View) ns(owner, zone string) dns.RR {
	return &dns.NS{Hdr: v.header(owner, dns.TypeNS), Ns: v.hostOf(zone)}
}

// header is that of a record which no configured name has.
func (v *View) header(owner string, kind uint16) dns.RR_Header {
	return dns.RR_Header{Name: owner, Rrtype: kind, Class: dns.ClassINET, Ttl: v.ttl}
}

func (v *View) hostOf(zone string) string {
	if v.host != "" {
		return dns.Fqdn(v.host)
	}
	return below("ns", zone)
}

// below puts a label in front of a zone; a zone that is too long for that
// stands for itself.
func below(label, zone string) string {
	name := label + "." + strings.TrimPrefix(zone, ".")
	if _, ok := dns.IsDomainName(name); !ok || len(name) > 254 {
		return zone
	}
	return name
}

func countOPT(m *dns.Msg) (n int) {
	for _, rr := range m.Extra {
		if rr.Header().Rrtype == dns.TypeOPT {
			n++
		}
	}
	return n
}

// echoEDNS answers an OPT record with ours (RFC 6891, 7), DO bit included
// (RFC 3225, 3). A question without one gets none.
func echoEDNS(m, req *dns.Msg) {
	if opt := req.IsEdns0(); opt != nil {
		m.SetEdns0(payload, opt.Do())
	}
}

// explainRefusal says why a foreign name is refused (RFC 8914, 4.21).
func explainRefusal(m *dns.Msg) {
	explainError(m, dns.ExtendedErrorCodeNotAuthoritative, "not a name of this lab, and nothing is forwarded")
}

// explainFailure says that upstreams were asked in vain (RFC 8914, 4.23).
func explainFailure(m *dns.Msg) {
	explainError(m, dns.ExtendedErrorCodeNoReachableAuthority, "no upstream of this VPC has an answer")
}

// explainError is for people who use dig; an asker without EDNS cannot be told.
func explainError(m *dns.Msg, code uint16, text string) {
	if opt := m.IsEdns0(); opt != nil {
		opt.Option = append(opt.Option, &dns.EDNS0_EDE{InfoCode: code, ExtraText: text})
	}
}
