package dns

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// payload is the largest UDP message that we send and say that we take: what
// fits every path without fragments (DNS flag day 2020).
const payload = 1232

// Answer gives the reply to req from asker. It may be longer than fits a UDP
// message. turn rotates the order of addresses: pass a number that grows. It
// is nil for what must not be answered: a message that is itself a reply.
func (v *View) Answer(req *dns.Msg, asker netip.Addr, turn uint32) *dns.Msg {
	if req.Response {
		return nil
	}
	m := new(dns.Msg)
	m.SetReply(req)
	m.Compress = true
	m.RecursionAvailable = true // to its clients it is the VPC's resolver
	if rcode := refusal(req); rcode != dns.RcodeSuccess {
		m.Rcode = rcode
	} else if !v.fill(m, asker.Unmap(), turn) {
		m.Rcode = dns.RcodeRefused
	}
	if len(req.Question) != 1 {
		m.Question = nil
	}
	echoEDNS(m, req)
	return m
}

// refusal says why a message is no question that we take, whatever its name.
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

// fill answers the question of m, false where its name is not ours.
func (v *View) fill(m *dns.Msg, asker netip.Addr, turn uint32) bool {
	q := m.Question[0]
	key := dns.CanonicalName(q.Name)
	if addr, ok := reverseAddr(key); ok {
		return v.fillReverse(m, key, addr)
	}
	zone := v.zoneOf(key)
	if zone == "" {
		return false
	}
	m.Authoritative = true
	name, apex := v.names[key], key == zone
	switch {
	case name == nil && !apex && !v.parents[key]:
		m.Rcode = dns.RcodeNameError
	case q.Qtype == dns.TypeANY:
		m.Answer = append(m.Answer, v.minimalANY(q.Name))
	case apex && q.Qtype == dns.TypeSOA:
		m.Answer = append(m.Answer, v.soa(zone))
	case apex && q.Qtype == dns.TypeNS:
		m.Answer = append(m.Answer, v.ns(zone))
	case name != nil:
		m.Answer = records(q, name, v.choose(name, asker, turn))
	}
	if len(m.Answer) == 0 {
		m.Ns = append(m.Ns, v.soa(zone)) // RFC 2308, 3: negative answers carry it
	}
	return true
}

// choose gives the addresses of a name for one asker, in the order in which
// they are to be tried.
func (v *View) choose(n *Name, asker netip.Addr, turn uint32) []Address {
	zone := ""
	if n.Affinity {
		zone = v.zoneOfAsker(asker)
	}
	up := slices.DeleteFunc(slices.Clone(n.Addrs), func(a Address) bool { return !a.Up })
	if near := inZone(up, zone); len(near) > 0 {
		return rotate(near, turn)
	}
	if len(up) > 0 {
		return rotate(up, turn)
	}
	// Nothing is up. All are given, the asker's own zone first.
	all := rotate(slices.Clone(n.Addrs), turn)
	slices.SortStableFunc(all, func(a, b Address) int { return nearFirst(a, b, zone) })
	return all
}

func inZone(addrs []Address, zone string) (near []Address) {
	for _, a := range addrs {
		if zone != "" && a.Zone == zone {
			near = append(near, a)
		}
	}
	return near
}

func nearFirst(a, b Address, zone string) int {
	aNear, bNear := zone != "" && a.Zone == zone, zone != "" && b.Zone == zone
	switch {
	case aNear == bNear:
		return 0
	case aNear:
		return -1
	}
	return 1
}

func rotate(addrs []Address, turn uint32) []Address {
	if len(addrs) == 0 {
		return addrs
	}
	n := int(turn % uint32(len(addrs)))
	return slices.Concat(addrs[n:], addrs[:n])
}

// records writes addresses as A or AAAA records. Their owner is the name as it
// was asked, in the same case: clients compare it.
func records(q dns.Question, n *Name, addrs []Address) (out []dns.RR) {
	for _, a := range addrs {
		head := dns.RR_Header{Name: q.Name, Rrtype: q.Qtype, Class: dns.ClassINET, Ttl: seconds(n.TTL)}
		switch is4 := a.IP.Unmap().Is4(); {
		case is4 && q.Qtype == dns.TypeA:
			out = append(out, &dns.A{Hdr: head, A: a.IP.Unmap().AsSlice()})
		case !is4 && q.Qtype == dns.TypeAAAA:
			out = append(out, &dns.AAAA{Hdr: head, AAAA: a.IP.AsSlice()})
		}
	}
	return out
}

// minimalANY is the whole answer to a question for everything (RFC 8482, 4.2).
func (v *View) minimalANY(name string) dns.RR {
	return &dns.HINFO{
		Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeHINFO, Class: dns.ClassINET, Ttl: v.ttl},
		Cpu: "RFC8482",
	}
}

// soa is the record of a zone. Its own TTL and its minimum are equal, so that
// either limits how long a negative answer is kept (RFC 2308, 5).
func (v *View) soa(zone string) dns.RR {
	return &dns.SOA{
		Hdr:     dns.RR_Header{Name: zone, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: v.ttl},
		Ns:      v.hostOf(zone),
		Mbox:    below("hostmaster", zone),
		Serial:  1, // zones are never transferred, so nobody compares it
		Refresh: 3600, Retry: 600, Expire: 86400,
		Minttl: v.ttl,
	}
}

func (v *View) ns(zone string) dns.RR {
	return &dns.NS{
		Hdr: dns.RR_Header{Name: zone, Rrtype: dns.TypeNS, Class: dns.ClassINET, Ttl: v.ttl},
		Ns:  v.hostOf(zone),
	}
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
	opt := req.IsEdns0()
	if opt == nil {
		return
	}
	m.SetEdns0(payload, opt.Do())
}
