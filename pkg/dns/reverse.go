package dns

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// fillReverse answers a question for the name of an address; known is false
// where it is for another name. We speak for the addresses that we know and
// for all others of our subnets, each in the zone of the label above it.
func (v *View) fillReverse(m *dns.Msg, q dns.Question, key string, t *Explanation) (ours, known bool) {
	if v.closestZone(key) != "" {
		return false, false // a reverse zone that somebody wrote himself
	}
	block, known := reverseBlock(key)
	switch {
	case !known:
		return false, false
	case block.IsSingleIP():
		return v.fillAddress(m, q, key, block.Addr(), t), true
	case block.Bits() == zoneBits(block.Addr()) && v.touches(block):
		v.fillReverseZone(m, q, key, t)
		return true, true
	}
	return false, true
}

func (v *View) fillAddress(m *dns.Msg, q dns.Question, key string, addr netip.Addr, t *Explanation) (ours bool) {
	name := v.knownBy(addr)
	if name == nil && !v.inSubnet(addr) {
		return false
	}
	m.Authoritative = true
	step := Step{Name: q.Name, Authority: parentOf(key), Outcome: NoData}
	switch {
	case name == nil:
		m.Rcode, step.Outcome = dns.RcodeNameError, NoName
	case q.Qtype == dns.TypePTR:
		m.Answer = append(m.Answer, &dns.PTR{Hdr: header(q.Name, dns.TypePTR, name), Ptr: dns.Fqdn(name.FQDN)})
	case q.Qtype == dns.TypeANY:
		m.Answer = append(m.Answer, v.minimalANY(q.Name))
	}
	if len(m.Answer) == 0 {
		m.Ns = append(m.Ns, v.soa(parentOf(key), parentOf(key)))
	} else {
		step.Outcome = Answered
	}
	t.step(step)
	return true
}

// fillReverseZone answers for the zone that negative answers name.
func (v *View) fillReverseZone(m *dns.Msg, q dns.Question, key string, t *Explanation) {
	m.Authoritative = true
	step := Step{Name: q.Name, Authority: key, Outcome: Answered}
	switch q.Qtype {
	case dns.TypeSOA:
		m.Answer = append(m.Answer, v.soa(q.Name, key))
	case dns.TypeNS:
		m.Answer = append(m.Answer, v.ns(q.Name, key))
	case dns.TypeANY:
		m.Answer = append(m.Answer, v.minimalANY(q.Name))
	default:
		m.Ns = append(m.Ns, v.soa(key, key))
		step.Outcome = NoData
	}
	t.step(step)
}

func (v *View) inSubnet(addr netip.Addr) bool {
	for _, s := range v.subnets {
		if s.Prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// touches reports whether a block has addresses that we speak for.
func (v *View) touches(block netip.Prefix) bool {
	for _, s := range v.subnets {
		if s.Prefix.Overlaps(block) {
			return true
		}
	}
	for addr := range v.own.reverse {
		if block.Contains(addr) {
			return true
		}
	}
	if v.public != nil {
		for addr := range v.public.view.own.reverse {
			if block.Contains(addr) && v.knownBy(addr) != nil {
				return true
			}
		}
	}
	return false
}

// zoneBits is the size of a reverse zone: the last label is a host's.
func zoneBits(addr netip.Addr) int {
	if addr.Is4() {
		return 24
	}
	return 124
}

// reverseBlock reads a canonical reverse name: of an address, or of all that
// begin with the labels that are there (RFC 1035, 3.5, and RFC 3596, 2.5).
func reverseBlock(key string) (netip.Prefix, bool) {
	if labels, ok := strings.CutSuffix(key, ".in-addr.arpa."); ok {
		return reverseBlock4(strings.Split(labels, "."))
	}
	if labels, ok := strings.CutSuffix(key, ".ip6.arpa."); ok {
		return reverseBlock6(strings.Split(labels, "."))
	}
	return netip.Prefix{}, false
}

func reverseBlock4(labels []string) (netip.Prefix, bool) {
	var a [4]byte
	if len(labels) > len(a) {
		return netip.Prefix{}, false
	}
	for i, label := range labels {
		n, err := strconv.ParseUint(label, 10, 8)
		if err != nil || strconv.FormatUint(n, 10) != label {
			return netip.Prefix{}, false
		}
		a[len(labels)-1-i] = byte(n)
	}
	return netip.PrefixFrom(netip.AddrFrom4(a), 8*len(labels)), true
}

func reverseBlock6(labels []string) (netip.Prefix, bool) {
	var a [16]byte
	if len(labels) > 2*len(a) {
		return netip.Prefix{}, false
	}
	for i, label := range labels {
		n, err := strconv.ParseUint(label, 16, 4)
		if err != nil || len(label) != 1 {
			return netip.Prefix{}, false
		}
		at := len(labels) - 1 - i // the nibble, from the front of the address
		a[at/2] |= byte(n) << (4 * (1 - at%2))
	}
	addr := netip.AddrFrom16(a)
	if len(labels) == 2*len(a) {
		addr = addr.Unmap()
	}
	return netip.PrefixFrom(addr, min(4*len(labels), addr.BitLen())), true
}
