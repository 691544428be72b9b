package dns

import (
	"net/netip"
	"slices"

	"github.com/miekg/dns"
)

// header begins a record of a name. Its owner is the name as it was asked, in
// the same case: clients compare it.
func header(owner string, rrtype uint16, n *Name) dns.RR_Header {
	return dns.RR_Header{Name: owner, Rrtype: rrtype, Class: dns.ClassINET, Ttl: seconds(n.TTL)}
}

// appendRecords adds the records of one type.
func (v *View) appendRecords(
	out []dns.RR, q dns.Question, n *known, asker netip.Addr, t *Explanation, step *Step,
) []dns.RR {
	switch q.Qtype {
	case dns.TypeA, dns.TypeAAAA:
		return v.appendAddresses(out, q, n, asker, t, step)
	case dns.TypeTXT:
		for _, text := range n.TXT {
			out = append(out, &dns.TXT{Hdr: header(q.Name, q.Qtype, &n.Name), Txt: slices.Collect(chunks(text, 255))})
		}
	case dns.TypeSRV:
		for _, s := range n.SRV {
			out = append(out, &dns.SRV{
				Hdr:      header(q.Name, q.Qtype, &n.Name),
				Priority: s.Priority, Weight: s.Weight, Port: s.Port, Target: dns.Fqdn(s.Target),
			})
		}
	}
	return out
}

// chunks cuts a text into strings that a TXT record can hold (RFC 1035,
// 3.3.14); an empty one is one string.
func chunks(text string, size int) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for len(text) > size {
			if !yield(escaped(text[:size])) {
				return
			}
			text = text[size:]
		}
		yield(escaped(text))
	}
}

// escaped writes a text as the library wants it, which takes a backslash for
// the beginning of an escape.
func escaped(text string) string {
	var out []byte
	for i := range len(text) {
		if text[i] == '\\' {
			out = append(out, '\\')
		}
		out = append(out, text[i])
	}
	return string(out)
}

// appendAddresses adds A or AAAA records. The families are chosen on their
// own, as a zone may have only one of them.
func (v *View) appendAddresses(
	out []dns.RR, q dns.Question, n *known, asker netip.Addr, t *Explanation, step *Step,
) []dns.RR {
	zone := ""
	if n.Affinity {
		zone = v.zoneOfAsker(asker)
	}
	f := &n.six
	if q.Qtype == dns.TypeA {
		f = &n.four
	}
	given := f.choose(zone, f.next(t))
	for _, a := range given {
		if q.Qtype == dns.TypeA {
			out = append(out, &dns.A{Hdr: header(q.Name, q.Qtype, &n.Name), A: a.IP.Unmap().AsSlice()})
		} else {
			out = append(out, &dns.AAAA{Hdr: header(q.Name, q.Qtype, &n.Name), AAAA: a.IP.AsSlice()})
		}
	}
	if t != nil {
		step.Affinity = n.Affinity
		step.Choices = explain(f.all, given, zone)
	}
	return out
}

// next is a number that grows with every answer. An explanation does not
// change it.
func (f *family) next(t *Explanation) uint32 {
	if t != nil {
		return f.turn.Load()
	}
	return f.turn.Add(1) - 1
}
