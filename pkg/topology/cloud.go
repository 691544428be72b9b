package topology

import "github.com/plinksim/plinksim/pkg/packet"

// Cloud is the cloud whose names, defaults and behaviour a lab has. How clouds
// differ is written in their Profiles.
type Cloud string

// The clouds. RFC is none of the public ones: where they differ, it does what
// the RFCs ask for.
const (
	Alibaba Cloud = "alibaba"
	AWS     Cloud = "aws"
	RFC     Cloud = "rfc"
)

// Protocol is what a rule, a listener, a server group, a health check or a
// FullNAT entry is for.
type Protocol string

// The protocols. TCPUDP is of server groups alone: their load balancer has a
// listener for both. AllProtocols is of rules alone, NoProtocol of health checks
// alone: it probes nothing.
const (
	TCP          Protocol = "tcp"
	UDP          Protocol = "udp"
	ICMP         Protocol = "icmp"
	HTTP         Protocol = "http"
	HTTPS        Protocol = "https"
	TCPUDP       Protocol = "tcp_udp"
	AllProtocols Protocol = "all"
	NoProtocol   Protocol = "none"
)

// IsHTTP says whether a listener or a server group of the protocol is of layer
// 7.
func (p Protocol) IsHTTP() bool { return p == HTTP || p == HTTPS }

// Transport is the protocol above IP that carries it.
func (p Protocol) Transport() Protocol {
	if p == UDP || p == ICMP {
		return p
	}
	return TCP
}

// Number is the protocol's number in an IPv4 header, 0 where it has none.
func (p Protocol) Number() uint8 {
	switch p {
	case TCP:
		return packet.ProtocolTCP
	case UDP:
		return packet.ProtocolUDP
	case ICMP:
		return packet.ProtocolICMP
	}
	return 0
}

// LoadBalancerType is what kind of load balancer one is.
type LoadBalancerType string

// The types of load balancers. CLB and NLB are of layer 4, in one zone and in
// several; ALB is of layer 7.
const (
	CLB LoadBalancerType = "clb"
	NLB LoadBalancerType = "nlb"
	ALB LoadBalancerType = "alb"
)

// Scheduler decides which server of a group gets a session.
type Scheduler string

// The schedulers, by the names that the clouds' APIs give them.
const (
	WeightedRoundRobin Scheduler = "wrr"
	RoundRobin         Scheduler = "rr"
	WeightedLeast      Scheduler = "wlc" // the fewest sessions for its weight
	SourceHash         Scheduler = "sch" // the same server for each source address
	FlowHash           Scheduler = "tch" // and for each source and destination with their ports
)
