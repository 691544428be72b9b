package dns

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// fillReverse answers a question for the name of an address. We speak for the
// addresses that we know and for all others of our subnets.
func (v *View) fillReverse(m *dns.Msg, key string, addr netip.Addr) bool {
	name := v.reverse[addr]
	if name == nil && !v.inSubnet(addr) {
		return false
	}
	q := m.Question[0]
	m.Authoritative = true
	switch {
	case name == nil:
		m.Rcode = dns.RcodeNameError
	case q.Qtype == dns.TypePTR:
		m.Answer = append(m.Answer, &dns.PTR{
			Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypePTR, Class: dns.ClassINET, Ttl: seconds(name.TTL)},
			Ptr: dns.Fqdn(name.FQDN),
		})
	case q.Qtype == dns.TypeANY:
		m.Answer = append(m.Answer, v.minimalANY(q.Name))
	}
	if len(m.Answer) == 0 {
		m.Ns = append(m.Ns, v.soa(parentOf(key)))
	}
	return true
}

func (v *View) inSubnet(addr netip.Addr) bool {
	for _, s := range v.subnets {
		if s.Prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// reverseAddr reads a canonical reverse name of a whole address (RFC 1035,
// 3.5, and RFC 3596, 2.5).
func reverseAddr(key string) (netip.Addr, bool) {
	if labels, ok := strings.CutSuffix(key, ".in-addr.arpa."); ok {
		return reverseAddr4(strings.Split(labels, "."))
	}
	if labels, ok := strings.CutSuffix(key, ".ip6.arpa."); ok {
		return reverseAddr6(strings.Split(labels, "."))
	}
	return netip.Addr{}, false
}

func reverseAddr4(labels []string) (netip.Addr, bool) {
	var a [4]byte
	if len(labels) != len(a) {
		return netip.Addr{}, false
	}
	for i, label := range labels {
		n, err := strconv.ParseUint(label, 10, 8)
		if err != nil || strconv.FormatUint(n, 10) != label {
			return netip.Addr{}, false
		}
		a[len(a)-1-i] = byte(n)
	}
	return netip.AddrFrom4(a), true
}

func reverseAddr6(labels []string) (netip.Addr, bool) {
	var a [16]byte
	if len(labels) != 2*len(a) {
		return netip.Addr{}, false
	}
	for i, label := range labels {
		n, err := strconv.ParseUint(label, 16, 4)
		if err != nil || len(label) != 1 {
			return netip.Addr{}, false
		}
		at := len(labels) - 1 - i // the nibble, from the front of the address
		a[at/2] |= byte(n) << (4 * (1 - at%2))
	}
	return netip.AddrFrom16(a).Unmap(), true
}
