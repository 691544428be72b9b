package topofile

import (
	"net/netip"
	"time"

	"github.com/plinksim/plinksim/internal/derive"
)

// shared is the block of RFC 6598. Alibaba Cloud takes it for itself: load
// balancers check their servers from it (CLB FAQ, "health checks") and its
// DNS servers are in it.
var shared = netip.MustParsePrefix("100.64.0.0/10")

// alibabaServices is the part of the shared block that holds Alibaba Cloud's
// own servers, the DNS servers among them.
var alibabaServices = netip.MustParsePrefix("100.100.0.0/16")

// sizes bounds what a cloud lets a user choose.
type sizes struct {
	vpcWidest, vpcNarrowest       int // mask bits
	vpcUsual                      int // wider is possible and not recommended
	subnetWidest, subnetNarrowest int
	forbidden                     []netip.Prefix // no VPC in these
	tcpIdleMin, tcpIdleMax        time.Duration  // 0: any
	deny                          bool           // security groups can deny and have priorities
	clb                           bool           // the cloud has clb
	fullNAT                       bool           // and NAT gateways that serve endpoints
}

var (
	special = []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/8"),      // RFC 1122, 3.2.1.3
		netip.MustParsePrefix("127.0.0.0/8"),    // RFC 1122, 3.2.1.3
		netip.MustParsePrefix("169.254.0.0/16"), // RFC 3927
		netip.MustParsePrefix("224.0.0.0/4"),    // RFC 5771
		netip.MustParsePrefix("240.0.0.0/4"),    // RFC 1112, 4
	}
	specialAndShared = append(special[:len(special):len(special)], shared)
)

// sizesOf has its figures from: Alibaba Cloud VPC API 2016-04-28, CreateVpc
// and CreateVSwitch; Amazon VPC user guide, "VPC CIDR blocks" and "Subnet CIDR
// blocks"; Elastic Load Balancing API, ModifyListenerAttributes.
var sizesOf = map[string]sizes{
	"alibaba": {vpcWidest: 8, vpcUsual: 16, vpcNarrowest: 28, subnetWidest: 16, subnetNarrowest: 29,
		forbidden: specialAndShared, tcpIdleMin: 10 * time.Second, tcpIdleMax: 900 * time.Second, deny: true, clb: true, fullNAT: true},
	"aws": {vpcWidest: 16, vpcUsual: 16, vpcNarrowest: 28, subnetWidest: 16, subnetNarrowest: 28,
		forbidden: special, tcpIdleMin: 60 * time.Second, tcpIdleMax: 6000 * time.Second},
	"rfc": {vpcWidest: 8, vpcUsual: 8, vpcNarrowest: 29, subnetWidest: 8, subnetNarrowest: 29,
		forbidden: specialAndShared, deny: true, clb: true, fullNAT: true},
}

// resolvers are the addresses of a VPC's DNS server. Alibaba Cloud: Elastic
// Compute Service user guide, private domain names of instances. AWS: Amazon
// VPC user guide, "DNS attributes for your VPC": the VPC's base address plus
// two, and 169.254.169.253.
func resolvers(cloud string, vpc netip.Prefix) []netip.Addr {
	if cloud == "aws" {
		return []netip.Addr{derive.Nth(vpc, 2), netip.MustParseAddr("169.254.169.253")}
	}
	return []netip.Addr{netip.MustParseAddr("100.100.2.136"), netip.MustParseAddr("100.100.2.138")}
}
