package host

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Firewall is the step that puts an instance, or an alb's node, behind its security
// groups: an nftables table in its namespace. Replies pass, as security groups
// are stateful, and what is dropped is counted for each direction.
type Firewall struct {
	Namespace string
	Ingress   []topology.Rule // in the order of asking
	Egress    []topology.Rule
	// FiltersEgress is false where members may send everything.
	FiltersEgress bool
	// Resolvers may always be asked on port 53: security groups do not filter
	// that (Amazon VPC user guide, "Security groups for your VPC").
	Resolvers []netip.Addr
	// Metadata may always be asked by HTTP, if it is valid, for the same reason.
	Metadata netip.Addr
	// Balancers may always come in, if it is valid: it is the block of the VPC's
	// load balancers, which needs no rule.
	Balancers netip.Prefix
	// IPv6 is whether the instance has any. Neighbours may always be asked for
	// and always ask then.
	IPv6 bool
}

func (f Firewall) equal(o Firewall) bool {
	return f.Namespace == o.Namespace && slices.Equal(f.Ingress, o.Ingress) && slices.Equal(f.Egress, o.Egress) &&
		f.FiltersEgress == o.FiltersEgress && slices.Equal(f.Resolvers, o.Resolvers) &&
		f.Metadata == o.Metadata && f.Balancers == o.Balancers && f.IPv6 == o.IPv6
}

// firewallOf joins security groups; Namespace and IPv6 are their member's. A flow passes if the
// first rule that matches it allows it: rules are asked by priority, and those
// that deny before those that allow.
func firewallOf(plan *topology.Plan, vpc *topology.VPC, groups []string) Firewall {
	f := Firewall{Resolvers: vpc.Resolvers, FiltersEgress: true}
	f.Metadata, f.Balancers = plan.Profile.Metadata, vpc.BalancerBlock()
	open := false
	for _, group := range plan.Groups(vpc, groups) {
		f.Ingress = append(f.Ingress, group.Ingress...)
		f.Egress = append(f.Egress, group.Egress...)
		open = open || group.Egress == nil
	}
	slices.SortStableFunc(f.Ingress, compareRules)
	slices.SortStableFunc(f.Egress, compareRules)
	switch {
	case open && len(f.Egress) == 0:
		f.FiltersEgress = false
	case open:
		// Everything, after what the other groups deny.
		f.Egress = append(f.Egress, topology.Rule{Protocol: topology.AllProtocols, LastPort: 65535})
	}
	return f
}

func compareRules(a, b topology.Rule) int {
	if c := cmp.Compare(a.Priority, b.Priority); c != 0 {
		return c
	}
	switch {
	case a.Deny == b.Deny:
		return 0
	case a.Deny:
		return -1
	}
	return 1
}

func (f Firewall) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "ip netns exec %s nft -f - <<'EOF'\n", f.Namespace)
	b.WriteString("table inet plinksim {\n")
	chains := f.chains()
	for _, c := range chains {
		fmt.Fprintf(&b, "\tcounter %s { }\n", c.side.counter)
	}
	for _, c := range chains {
		fmt.Fprintf(&b, "\tchain %s {\n\t\ttype filter hook %s priority filter; policy drop;\n",
			c.side.chain, c.side.hook)
		for _, r := range c.rules {
			fmt.Fprintf(&b, "\t\t%s\n", r.text)
		}
		b.WriteString("\t}\n")
	}
	b.WriteString("}\nEOF")
	return b.String()
}

func (f Firewall) replaces() string { return "firewall " + f.Namespace }

// side is what differs between the two directions.
type side struct {
	chain, hook, counter string
	device               string // of the packet, in nft's words
	deviceKey            metaKey
	peer                 string    // the other side's address, in nft's words
	peerOffset           [2]uint32 // in the header of IPv4 (RFC 791, 3.1) and of IPv6 (RFC 8200, 3)
}

var (
	ingressSide = side{
		chain: "ingress", hook: "input", counter: "ingress_drops",
		device: "iif", deviceKey: metaIIF, peer: "saddr", peerOffset: [2]uint32{12, 8},
	}
	egressSide = side{
		chain: "egress", hook: "output", counter: "egress_drops",
		device: "oif", deviceKey: metaOIF, peer: "daddr", peerOffset: [2]uint32{16, 24},
	}
)

// chain is one direction of a table.
type chain struct {
	side  side
	rules []nftRule
}

// nftRule is a rule twice: for people and for the kernel.
type nftRule struct {
	text  string
	exprs []expression
}

func (f Firewall) chains() []chain {
	ingress := ingressSide.chainOf(f.Ingress, func(c *chain) {
		c.appendNeighbours(f.IPv6)
		if f.Balancers.IsValid() {
			c.append(allow(c.side.matchPeer(f.Balancers)))
		}
	})
	if !f.FiltersEgress {
		return []chain{ingress}
	}
	egress := egressSide.chainOf(f.Egress, func(c *chain) {
		c.appendNeighbours(f.IPv6)
		for _, r := range f.Resolvers {
			c.append(allow(c.side.matchPeer(host(r)), matchPorts("udp", 53, 53)))
			c.append(allow(c.side.matchPeer(host(r)), matchPorts("tcp", 53, 53)))
		}
		if f.Metadata.IsValid() {
			c.append(allow(c.side.matchPeer(host(f.Metadata)), matchPorts("tcp", 80, 80)))
		}
	})
	return []chain{ingress, egress}
}

func (s side) chainOf(rules []topology.Rule, always func(*chain)) chain {
	c := chain{side: s}
	c.append(allow(matchReplies()))
	c.append(allow(s.matchLoopback()))
	always(&c)
	for len(rules) > 0 {
		n := 1
		for n < len(rules) && sameButAddress(rules[0], rules[n]) {
			n++
		}
		c.append(s.rulesOf(rules[:n])...)
		rules = rules[n:]
	}
	c.append(s.drop())
	return c
}

// appendNeighbours lets neighbour discovery pass, which no connection tracking
// knows (RFC 4861, 4.3 and 4.4).
func (c *chain) appendNeighbours(six bool) {
	if !six {
		return
	}
	for _, message := range []struct {
		name string
		kind byte
	}{{"nd-neighbor-solicit", 135}, {"nd-neighbor-advert", 136}} {
		c.append(allow(nftRule{"icmpv6 type " + message.name, []expression{
			meta{metaNFPROTO},
			equal([]byte{nfprotoIPv6}),
			meta{metaL4PROTO},
			equal([]byte{packet.ProtocolICMPv6}),
			payload{transportHeader, 0, 1},
			equal([]byte{message.kind}),
		}}))
	}
}

func (c *chain) append(rules ...nftRule) { c.rules = append(c.rules, rules...) }

// sameButAddress says whether two rules differ in the one address that each is for, as those
// of members of a group do. The group does not count: on a host of several, rules have none.
func sameButAddress(a, b topology.Rule) bool {
	one := a.Peer.IsSingleIP() && b.Peer.IsSingleIP()
	b.Peer, b.Group = a.Peer, a.Group
	return one && a == b
}

// largestSet is how many addresses a rule has at most: a message to the kernel has a limit.
const largestSet = 2000

// rulesOf are rules that differ in their peers alone, as few as there can be.
func (s side) rulesOf(rules []topology.Rule) (out []nftRule) {
	if len(rules) == 1 {
		return []nftRule{s.ruleOf(rules[0], s.matchPeer(rules[0].Peer))}
	}
	for _, six := range []bool{false, true} {
		var peers []netip.Addr
		for _, r := range rules {
			if r.Peer.Addr().Is6() == six {
				peers = append(peers, r.Peer.Addr())
			}
		}
		for some := range slices.Chunk(peers, largestSet) {
			r := rules[0]
			r.Peer = host(some[0])
			out = append(out, s.ruleOf(r, s.matchPeers(some)))
		}
	}
	return out
}

func (s side) ruleOf(r topology.Rule, peer nftRule) nftRule {
	protocol := string(r.Protocol)
	if r.Protocol == topology.ICMP && r.Peer.Addr().Is6() {
		protocol = "ipv6-icmp"
	}
	matches := []nftRule{peer, matchPorts(protocol, r.FirstPort, r.LastPort)}
	if r.Deny {
		return s.drop(matches...)
	}
	return allow(matches...)
}

// allow accepts what matches everything.
func allow(matches ...nftRule) nftRule {
	return join(append(matches, nftRule{"accept", []expression{verdict{true}}})...)
}

// drop counts and drops what matches everything.
func (s side) drop(matches ...nftRule) nftRule { return countedDrop(s.counter, matches...) }

func countedDrop(counter string, matches ...nftRule) nftRule {
	return join(append(matches, nftRule{
		fmt.Sprintf("counter name %q drop", counter),
		[]expression{
			count{counter},
			verdict{false},
		},
	})...)
}

func join(parts ...nftRule) nftRule {
	var texts []string
	var exprs []expression
	for _, p := range parts {
		if p.text != "" {
			texts = append(texts, p.text)
		}
		exprs = append(exprs, p.exprs...)
	}
	return nftRule{strings.Join(texts, " "), exprs}
}

func matchReplies() nftRule {
	states := binary.NativeEndian.AppendUint32(nil, stateEstablished|stateRelated)
	return nftRule{"ct state established,related", []expression{
		connectionState{},
		bitwise{states},
		compare{make([]byte, 4), true},
	}}
}

func (s side) matchLoopback() nftRule {
	return nftRule{s.device + ` "lo"`, []expression{
		meta{s.deviceKey},
		equal(binary.NativeEndian.AppendUint32(nil, 1)),
	}}
}

// version is what nftables calls a version of IP.
type version struct {
	name, header string
	nfproto      byte
	bytes        uint32 // of an address
	index        int
}

func versionOf(addr netip.Addr) version {
	if addr.Is6() {
		return version{"ipv6", "ip6", nfprotoIPv6, 16, 1}
	}
	return version{"ipv4", "ip", nfprotoIPv4, 4, 0}
}

// matchPeer matches the other side's address; every address where p is zero.
func (s side) matchPeer(p netip.Prefix) nftRule {
	if !p.IsValid() {
		return nftRule{}
	}
	v := versionOf(p.Addr())
	exprs := []expression{
		meta{metaNFPROTO},
		equal([]byte{v.nfproto}),
	}
	if p.Bits() == 0 {
		return nftRule{"meta nfproto " + v.name, exprs}
	}
	text := p.Masked().String()
	if p.IsSingleIP() {
		text = p.Addr().String()
	}
	at, mask := s.peerOffset[v.index], net.CIDRMask(p.Bits(), int(v.bytes)*8)
	return nftRule{v.header + " " + s.peer + " " + text, append(exprs,
		payload{networkHeader, at, v.bytes},
		bitwise{mask},
		equal(p.Masked().Addr().AsSlice()),
	)}
}

// matchPeers matches some addresses of the same version.
func (s side) matchPeers(addrs []netip.Addr) nftRule {
	if len(addrs) == 1 {
		return s.matchPeer(host(addrs[0]))
	}
	v := versionOf(addrs[0])
	var text strings.Builder
	all := make([][]byte, len(addrs))
	for i, a := range addrs {
		if all[i] = a.AsSlice(); i > 0 {
			text.WriteString(", ")
		}
		text.WriteString(a.String())
	}
	return nftRule{v.header + " " + s.peer + " { " + text.String() + " }", []expression{
		meta{metaNFPROTO},
		equal([]byte{v.nfproto}),
		payload{networkHeader, s.peerOffset[v.index], v.bytes},
		among{all},
	}}
}

// matchPorts matches a protocol and, where it has some, destination ports.
func matchPorts(protocol string, first, last uint16) nftRule {
	numbers := map[string]byte{
		"tcp": packet.ProtocolTCP, "udp": packet.ProtocolUDP, "icmp": packet.ProtocolICMP, "ipv6-icmp": packet.ProtocolICMPv6,
	}
	number, ok := numbers[protocol]
	if !ok {
		return nftRule{} // all
	}
	exprs := []expression{meta{metaL4PROTO}, equal([]byte{number})}
	if protocol == "icmp" || protocol == "ipv6-icmp" || first == 0 && last == 65535 {
		return nftRule{"meta l4proto " + protocol, exprs}
	}
	// The destination port has the same place in TCP and UDP (RFC 9293, 3.1;
	// RFC 768).
	exprs = append(exprs, payload{transportHeader, 2, 2})
	from, to := binary.BigEndian.AppendUint16(nil, first), binary.BigEndian.AppendUint16(nil, last)
	if first == last {
		return nftRule{fmt.Sprintf("%s dport %d", protocol, first), append(exprs, equal(from))}
	}
	return nftRule{fmt.Sprintf("%s dport %d-%d", protocol, first, last),
		append(exprs, between{from, to})}
}

func equal(data []byte) compare {
	return compare{data, false}
}

// host is the prefix that holds addr alone.
func host(addr netip.Addr) netip.Prefix { return netip.PrefixFrom(addr, addr.BitLen()) }
