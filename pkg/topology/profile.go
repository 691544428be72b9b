package topology

import (
	"net/netip"
	"time"
)

// profiles is how each cloud behaves.
var profiles = map[string]Profile{
	"alibaba": {
		Cloud: "alibaba",
		// EstablishedTimeout of a TCP listener, 10 to 900 s: Server Load
		// Balancer API 2014-05-15, CreateLoadBalancerTCPListener. IdleTimeout
		// of an NLB listener, 900 s for TCP and 20 s for UDP: Network Load
		// Balancer API 2022-04-30, CreateListener.
		TCPIdle: 900 * time.Second,
		UDPIdle: 20 * time.Second,
		// No public figure: the Ethernet default.
		MTU: 1500,
		// No public figure: what AWS answers.
		NameTTL: 60 * time.Second,
		// Alibaba Cloud, NAT Gateway, "Limits": 55,000 concurrent connections
		// of one NAT IP to one destination address and port.
		NATPorts: 55000,
		// "PrivateLink Quick Start" (document version 20220711) shows
		// connections of 1024 Mbps. PrivateLink API 2020-04-15 says 3072 today.
		Bandwidth: 1024,
		// VPC API 2016-04-28, CreateVSwitch: the first and the last three
		// addresses of a vSwitch are reserved; the gateway is the last but two.
		LowReserve: 1,
		TopReserve: 3,
		Gateway:    -3,
		// The console's dialog for reverse access wants a group of its own for
		// the endpoint, with inbound rules that let everything pass ("私网反向访问",
		// repository aliyun/ros-templates, detail_7). That outbound rules play no
		// part is inferred from it.
		ReverseIngress: true,
		// No public figure: what is dropped is dropped in silence. Whoever
		// forwards must report a spent TTL (RFC 1812, 5.3.1).
		ReportTTL: true,
	},
	"aws": {
		Cloud: "aws",
		// User Guide for Network Load Balancers, "Network Load Balancers",
		// connection idle timeout.
		TCPIdle: 350 * time.Second,
		UDPIdle: 120 * time.Second,
		// AWS PrivateLink guide, "AWS PrivateLink quotas": maximum
		// transmission unit of an interface endpoint.
		MTU: 8500,
		// Answers for interface endpoint names carry 60 s.
		NameTTL: 60 * time.Second,
		// User Guide for Network Load Balancers, "Target groups", client IP
		// preservation: 55,000 simultaneous connections to each unique target.
		NATPorts: 55000,
		// AWS PrivateLink guide, "AWS PrivateLink quotas": 10 Gbps per
		// Availability Zone.
		Bandwidth: 10000,
		// Amazon VPC user guide, "Subnet CIDR blocks": the first four
		// addresses and the last one are reserved, the second is the router.
		LowReserve: 4,
		TopReserve: 1,
		Gateway:    1,
		// AWS PrivateLink guide, "AWS PrivateLink quotas": path MTU discovery is
		// not supported, so that TCP must be told by its MSS.
		ClampMSS: true,
		// User Guide for Network Load Balancers, "Connection idle timeout":
		// whoever sends after it gets a RST. Nothing is sent when it elapses.
		ResetStray: true,
		ReportTTL:  true, // RFC 1812, 5.3.1
	},
	"rfc": {
		Cloud:   "rfc",
		TCPIdle: 2*time.Hour + 4*time.Minute, // RFC 5382, REQ-5
		UDPIdle: 5 * time.Minute,             // RFC 4787, REQ-5
		MTU:     1500,                        // RFC 894
		NameTTL: 60 * time.Second,
		// All but the well-known ports.
		NATPorts:   65536 - 1024,
		LowReserve: 2, // the network's own address and the gateway
		TopReserve: 1, // broadcast
		Gateway:    1,
		ResetStray: true, // RFC 9293, 3.10.7.1
		ReportTTL:  true, // RFC 1812, 5.3.1
		// RFC 5508, REQ-8
		ReportExhaustion: true,
		ReportTooBig:     true, // RFC 1191, 4
		// RFC 5382, REQ-5 for what opens and closes; RFC 7857, 2 keeps a
		// session as long after a RST.
		TCPOpening: 4 * time.Minute,
		TCPClosing: 4 * time.Minute,
		TCPClosed:  4 * time.Minute,
	},
}

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
		return []netip.Addr{nth(vpc, 2), netip.MustParseAddr("169.254.169.253")}
	}
	return []netip.Addr{netip.MustParseAddr("100.100.2.136"), netip.MustParseAddr("100.100.2.138")}
}
