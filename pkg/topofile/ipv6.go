package topofile

import (
	"fmt"
	"net/netip"
)

// ipv6Addr and ipv6Block are read as what they say; netip.Addr and
// netip.Prefix are of IPv4 in a file.
type (
	ipv6Addr  netip.Addr
	ipv6Block netip.Prefix
)

func parseIPv6Addr(text string, v *ipv6Addr) (hint string, err error) {
	addr, err := netip.ParseAddr(text)
	if err != nil || !addr.Is6() || addr.Is4In6() || addr.Zone() != "" {
		return "write an address such as 2001:db8:1::10", fmt.Errorf("is %q, not an IPv6 address", text)
	}
	*v = ipv6Addr(addr)
	return "", nil
}

func parseIPv6Block(text string, v *ipv6Block) (hint string, err error) {
	block, err := netip.ParsePrefix(text)
	if err != nil || !block.Addr().Is6() || block.Addr().Is4In6() {
		return "write an address, a slash and a mask, such as 2001:db8:1::/64",
			fmt.Errorf("is %q, not an IPv6 CIDR block", text)
	}
	*v = ipv6Block(block)
	return "", nil
}

// prefix is a block as a netip.Prefix.
func prefix(v value[ipv6Block]) value[netip.Prefix] {
	return value[netip.Prefix]{V: netip.Prefix(v.V), Node: v.Node, Bad: v.Bad}
}

// Addresses that networks use: global ones (RFC 4291, 2.5.4) and unique local
// ones (RFC 4193, 3.1).
var usableIPv6 = []netip.Prefix{netip.MustParsePrefix("2000::/3"), netip.MustParsePrefix("fc00::/7")}

// Masks of IPv6 blocks. Amazon VPC user guide, "VPC CIDR blocks": /44 to /60 for
// a VPC; at Alibaba Cloud a VPC has /56 (VPC API 2016-04-28, CreateVpc). A subnet
// has /64 at AWS and Alibaba Cloud.
const (
	widestIPv6    = 44
	narrowestIPv6 = 60
	subnetIPv6    = 64
)
