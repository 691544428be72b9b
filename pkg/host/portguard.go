package host

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"

	"github.com/plinksim/plinksim/pkg/packet"
)

// PortGuard is the step that holds an instance to its own addresses: an nftables
// chain at its port on the subnet's bridge, where the instance cannot reach it. It
// lets pass what comes from the instance's MAC and addresses, ARP and neighbour
// discovery about them, and counts and drops the rest: packets with another source,
// claims to the address of a neighbour or of the gateway, and router advertisements
// and redirects, which only a router sends.
type PortGuard struct {
	Namespace, Port string
	MAC             packet.MAC
	IP              netip.Addr
	IPv6            netip.Addr // may be left out
}

func (g PortGuard) String() string { return g.chain().String() }
func (g PortGuard) replaces() string {
	return deviceChain{namespace: g.Namespace, device: g.Port}.replaces()
}
func (g PortGuard) chain() deviceChain {
	return deviceChain{g.Namespace, g.Port, "drop", g.rules()}
}

// ReceiverGuard is the other half: what comes to an instance is for one of its own
// addresses. It is why an instance that others route through, as a NAT instance,
// needs the check switched off.
type ReceiverGuard struct {
	Namespace, Device string
	IP                netip.Addr
	IPv6              netip.Addr // may be left out
}

func (g ReceiverGuard) String() string { return g.chain().String() }
func (g ReceiverGuard) replaces() string {
	return deviceChain{namespace: g.Namespace, device: g.Device}.replaces()
}
func (g ReceiverGuard) chain() deviceChain {
	return deviceChain{g.Namespace, g.Device, "accept", g.rules()}
}

// rules look at what is for the instance's MAC: groups and everybody have others.
func (g ReceiverGuard) rules() []nftRule {
	forIt := nftRule{"meta pkttype host", []expression{meta{metaPKTTYPE}, equal([]byte{0})}} // PACKET_HOST
	other := func(name string, offset uint32, addr netip.Addr) nftRule {
		return nftRule{name + " != " + addr.String(), []expression{
			payload{networkHeader, offset, uint32(addr.BitLen() / 8)},
			compare{data: addr.AsSlice(), not: true},
		}}
	}
	counter := chainOf(g.Device)
	four, six := etherType(packet.EtherTypeIPv4, "ip"), etherType(packet.EtherTypeIPv6, "ip6")
	rules := []nftRule{countedDrop(counter, four, forIt, other("ip daddr", ipv4TargetAt, g.IP))}
	if !g.IPv6.IsValid() {
		return rules
	}
	return append(rules, allow(six, linkLocalAt("ip6 daddr", ipv6TargetAt)),
		countedDrop(counter, six, forIt, other("ip6 daddr", ipv6TargetAt, g.IPv6)))
}

// linkLocalAt matches an address of fe80::/10.
func linkLocalAt(name string, offset uint32) nftRule {
	return nftRule{name + " fe80::/10", masked(networkHeader, offset,
		append([]byte{0xff, 0xc0}, make([]byte, 14)...), append([]byte{0xfe, 0x80}, make([]byte, 14)...))}
}

// deviceChain is an nftables chain that sees first what comes from a device.
type deviceChain struct {
	namespace, device string
	policy            string // accept or drop
	rules             []nftRule
}

// chainOf is the name of a device's chain and of its counter.
func chainOf(device string) string { return "port-" + device }

func (c deviceChain) replaces() string { return "guard " + c.namespace + " " + c.device }

func (c deviceChain) String() string {
	var b strings.Builder
	name := chainOf(c.device)
	fmt.Fprintf(&b, "ip netns exec %s nft -f - <<'EOF'\n", c.namespace)
	fmt.Fprintf(&b, "table netdev plinksim {\n\tcounter %s { }\n", name)
	fmt.Fprintf(&b, "\tchain %s {\n\t\ttype filter hook ingress device %q priority filter; policy %s;\n",
		name, c.device, c.policy)
	for _, r := range c.rules {
		fmt.Fprintf(&b, "\t\t%s\n", r.text)
	}
	b.WriteString("\t}\n}\nEOF")
	return b.String()
}

// Offsets of the fields that are compared: of Ethernet (IEEE 802.3, 3.1.1), ARP (RFC
// 826), IPv4 (RFC 791, 3.1), IPv6 (RFC 8200, 3), ICMPv6 (RFC 4443, 2.1) and of a
// neighbour advertisement (RFC 4861, 4.4).
const (
	etherSourceAt = 6
	arpSenderMAC  = 8
	arpSenderIP   = 14
	ipv4SourceAt  = 12
	ipv4TargetAt  = 16
	ipv6SourceAt  = 8
	ipv6TargetAt  = 24
	icmpTypeAt    = 0
	ndTargetAt    = 8

	routerAdvertisement    = 134 // RFC 4861, 4.2
	neighbourAdvertisement = 136
	redirect               = 137
)

// rules are those of the chain, that for nearly all packets first.
func (g PortGuard) rules() []nftRule {
	ethernet := binary.NativeEndian.AppendUint16(nil, ethernetDevice)
	own := join(nftRule{"", []expression{meta{metaIIFTYPE}, equal(ethernet)}},
		field(linkHeader, etherSourceAt, "ether saddr", g.MAC.String(), g.MAC[:]))
	rules := []nftRule{
		allow(etherType(packet.EtherTypeIPv4, "ip"), own, address("ip saddr", ipv4SourceAt, g.IP)),
		allow(etherType(packet.EtherTypeARP, "arp"), own,
			field(networkHeader, arpSenderMAC, "arp saddr ether", g.MAC.String(), g.MAC[:]),
			address("arp saddr ip", arpSenderIP, g.IP)),
		// Whoever looks whether an address is free has none yet (RFC 5227, 2.1.1).
		allow(etherType(packet.EtherTypeARP, "arp"), own,
			address("arp saddr ip", arpSenderIP, netip.IPv4Unspecified())),
	}
	if !g.IPv6.IsValid() {
		return append(rules, g.drop())
	}
	six := etherType(packet.EtherTypeIPv6, "ip6")
	// nft knows the target's name since 1.0.9; these are its bytes.
	about := nftRule{fmt.Sprintf("@th,64,128 0x%x", g.IPv6.AsSlice()), []expression{
		payload{transportHeader, ndTargetAt, 16},
		equal(g.IPv6.AsSlice()),
	}}
	aboutLinkLocal := nftRule{"@th,64,10 0x3fa",
		masked(transportHeader, ndTargetAt, []byte{0xff, 0xc0}, []byte{0xfe, 0x80})}
	return append(rules,
		g.drop(six, icmpv6("nd-router-advert", routerAdvertisement)),
		g.drop(six, icmpv6("nd-redirect", redirect)),
		allow(six, own, icmpv6("nd-neighbor-advert", neighbourAdvertisement), about),
		allow(six, own, icmpv6("nd-neighbor-advert", neighbourAdvertisement), aboutLinkLocal),
		g.drop(six, icmpv6("nd-neighbor-advert", neighbourAdvertisement)),
		allow(six, own, address("ip6 saddr", ipv6SourceAt, g.IPv6)),
		allow(six, own, linkLocalAt("ip6 saddr", ipv6SourceAt)),
		allow(six, own, address("ip6 saddr", ipv6SourceAt, netip.IPv6Unspecified())),
		g.drop())
}

func (g PortGuard) drop(matches ...nftRule) nftRule {
	return countedDrop(chainOf(g.Port), matches...)
}

func field(base headerBase, offset uint32, name, text string, value []byte) nftRule {
	return nftRule{name + " " + text, []expression{
		payload{base, offset, uint32(len(value))},
		equal(value),
	}}
}

func address(name string, offset uint32, addr netip.Addr) nftRule {
	return field(networkHeader, offset, name, addr.String(), addr.AsSlice())
}

// masked compares bytes of which only the bits of a mask count.
func masked(base headerBase, offset uint32, mask, value []byte) []expression {
	size := uint32(len(mask))
	return []expression{
		payload{base, offset, size},
		bitwise{mask},
		equal(value),
	}
}

func etherType(number uint16, name string) nftRule {
	return nftRule{"meta protocol " + name, []expression{
		meta{metaPROTOCOL},
		equal(binary.BigEndian.AppendUint16(nil, number)),
	}}
}

func icmpv6(name string, kind byte) nftRule {
	return nftRule{"icmpv6 type " + name, []expression{
		meta{metaL4PROTO},
		equal([]byte{packet.ProtocolICMPv6}),
		payload{transportHeader, icmpTypeAt, 1},
		equal([]byte{kind}),
	}}
}
