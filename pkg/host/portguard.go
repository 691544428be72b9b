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

func (g PortGuard) chainName() string { return "port-" + g.Port }

func (g PortGuard) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "ip netns exec %s nft -f - <<'EOF'\n", g.Namespace)
	fmt.Fprintf(&b, "table netdev plinksim {\n\tcounter %s { }\n", g.chainName())
	fmt.Fprintf(&b, "\tchain %s {\n\t\ttype filter hook ingress device %q priority filter; policy drop;\n",
		g.chainName(), g.Port)
	for _, r := range g.rules() {
		fmt.Fprintf(&b, "\t\t%s\n", r.text)
	}
	b.WriteString("\t}\n}\nEOF")
	return b.String()
}

func (g PortGuard) replaces() string { return "guard " + g.Namespace + " " + g.Port }

// Offsets of the fields that are compared: of Ethernet (IEEE 802.3, 3.1.1), ARP (RFC
// 826), IPv4 (RFC 791, 3.1), IPv6 (RFC 8200, 3), ICMPv6 (RFC 4443, 2.1) and of a
// neighbour advertisement (RFC 4861, 4.4).
const (
	etherSourceAt = 6
	arpSenderMAC  = 8
	arpSenderIP   = 14
	ipv4SourceAt  = 12
	ipv6SourceAt  = 8
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
	linkLocal := nftRule{"ip6 saddr fe80::/10", masked(networkHeader, ipv6SourceAt,
		append([]byte{0xff, 0xc0}, make([]byte, 14)...), append([]byte{0xfe, 0x80}, make([]byte, 14)...))}
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
		allow(six, own, linkLocal),
		allow(six, own, address("ip6 saddr", ipv6SourceAt, netip.IPv6Unspecified())),
		g.drop())
}

func (g PortGuard) drop(matches ...nftRule) nftRule {
	return countedDrop(g.chainName(), matches...)
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
