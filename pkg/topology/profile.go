package topology

import (
	"net/netip"
	"time"

	"github.com/plinksim/plinksim/internal/derive"
)

// Profile is how one cloud behaves: its defaults, and as named capabilities
// what it can do and what it does in another way than the others. Every value
// has its public source where it is set. What is asked of a cloud is asked of
// its Profile; nothing else knows which cloud it is.
type Profile struct {
	TCPIdle     time.Duration // of a load balancer's listener, unless it says otherwise
	UDPIdle     time.Duration // the same for UDP
	MTU         int           // of a VPC
	EndpointMTU int           // the longest IP packet that an endpoint forwards; 0: what the VPCs carry
	NameTTL     time.Duration // of the answers for endpoint names
	NATPorts    int           // per NAT IP and target
	Bandwidth   int           // Mbit/s of a connection; 0: not limited
	LowReserve  int           // addresses at the start of a subnet that are reserved
	TopReserve  int           // and at its end
	Gateway     int           // the gateway's place in a subnet: 1 is the second address, -1 the last

	// Resolvers are the addresses of a VPC's DNS server. Where ResolverPlace is
	// not 0, the first is the address of the VPC with that number.
	Resolvers     []netip.Addr
	ResolverPlace int
	// Metadata is the address at which an instance asks who it is, which security groups
	// do not filter. Every VPC has it, and CloudAPI too, to which the names of the cloud's
	// API lead.
	Metadata, CloudAPI netip.Addr
	// SharedBlock is where the cloud takes addresses from that no VPC has: NAT
	// IPs of CLBs and ALBs, and where health checks come from. It is zero where
	// these are addresses of the VPC. Nobody gets one of CloudBlock, which the
	// cloud's own servers have.
	SharedBlock, CloudBlock netip.Prefix

	// What VPCs and security groups can be.
	Limits         Limits
	Quotas         Quotas
	DefaultGroup   bool // what names no security group is in its VPC's default one
	JointListeners bool // one for TCP and UDP, and no two on one port
	BalancerGroups bool // NLBs and ALBs can have security groups
	RegionalZone   bool // names of zones begin with that of their region
	DenyRules      bool // security groups can deny, and their rules have priorities
	SourceCheck    bool // an instance sends from its own addresses only, unless it is told otherwise

	// What load balancers and server groups can do.
	CLB               bool                      // there are CLBs
	Scheduler         Scheduler                 // of a server group of layer 4, unless it says otherwise
	FailOpen          map[LoadBalancerType]bool // whose groups take sessions where no server is healthy; "": of none
	UDPChecks         bool                      // UDP groups are probed by UDP
	HeaderInChecks    bool                      // probes have a PROXY header where sessions have one
	HeaderNamesVPC    bool                      // a PROXY header names the VPC and the service beside the endpoint
	IPv6ServersOfUDP  bool                      // UDP listeners of a dual-stack load balancer need servers with IPv6
	Deregistration    Leaving                   // of sessions whose server left its group
	UDPDeregistration Leaving                   // those of a UDP group
	Unhealthy         Leaving                   // of sessions whose server has become unhealthy
	DelayEndsSessions bool                      // where a group names a delay, sessions are removed after it
	// KeepsClientIP: servers of layer 4 see their clients' addresses, so that
	// none reaches itself through its load balancer, except, with HidesClientIP,
	// a TCP server that is named by its address.
	KeepsClientIP, HidesClientIP bool

	SecondaryIPs   bool                      // the nodes of an NLB can have secondary addresses
	ALBTargets     bool                      // a group of an NLB can have an ALB as its server
	GroupCrossZone map[LoadBalancerType]bool // groups of which type have a cross-zone setting of their own
	HTTP           HTTPProfile

	// What services, endpoints and connections can do.
	OneEndpointState    bool   // an endpoint's state is that of its connection
	OneService          bool   // a load balancer is of one endpoint service
	WholeLoadBalancers  bool   // which offers all zones that it had when it was last changed
	ListenersOffered    int    // that a load balancer of a service may have; 0: any number
	AWSAPI              bool   // clients of AWS can drive a lab of it
	AlibabaAPI          bool   // clients of Alibaba Cloud can
	UsualRegion         string // of a lab that is made for such clients
	FlowLogs            string // the format of flow logs
	ServiceNames        bool   // a service's own name leads to the endpoints of the VPC
	PrivateDNS          bool   // services have private DNS names, and endpoints can use them
	Descriptions        bool   // services and endpoints have descriptions, with a rule of what they are
	ZoneAffinity        bool   // an endpoint's name can lead to the asker's zone first
	OfferALB            bool   // services can offer ALBs
	FullNAT             bool   // there are NAT gateways that serve reverse endpoints
	NLBScales           bool   // connections to NLBs are not limited, unless they are given a bandwidth
	BandwidthPerZone    bool   // a bandwidth is that of each zone of a connection, not of the whole
	TuneConnections     bool   // owners limit connections, and enable, disable and replace their zones
	KeepNLB             bool   // but a zone that has an NLB keeps it
	ZonesGoFirst        bool   // an endpoint that is in a zone cannot be deleted
	ResourcesGoFirst    bool   // a service that has resources cannot be deleted
	WaitingKeepsService bool   // nor one with a connection that waits to be accepted

	HashesSequence bool // FlowHash has the TCP sequence number in it

	// ReverseIngress says which rules of a reverse endpoint's security groups
	// judge what a NAT gateway sends: the ingress rules, whose source is the
	// provider's instance, or the egress rules, whose destination is the server.
	ReverseIngress bool

	// What becomes of packets that endpoints do not forward.
	ResetStray       bool // TCP segments that no session knows are answered with a RST
	ReportTTL        bool // ICMP time exceeded
	ReportExhaustion bool // ICMP administratively prohibited where there is no NAT port
	ReportTooBig     bool // ICMP fragmentation needed
	ClampMSS         bool // SYNs announce no larger segments than both sides can carry
	// How long a TCP session may be silent that is not established; 0 is what
	// is usual.
	TCPOpening, TCPClosing, TCPClosed time.Duration
}

// Limits bounds what a cloud lets a user choose.
type Limits struct {
	VPCWidest, VPCNarrowest       int // mask bits
	VPCUsual                      int // wider is possible and not recommended
	SubnetWidest, SubnetNarrowest int
	Forbidden                     []netip.Prefix // no VPC in these
	SecondaryCIDRs                int            // of a VPC; 0: any number
	TCPIdleMin, TCPIdleMax        time.Duration  // 0: any
}

// HTTPProfile is how a cloud's layer 7 load balancer behaves.
type HTTPProfile struct {
	Idle    time.Duration // of a client's connection between two requests
	Request time.Duration // default of RequestTimeout
	Connect time.Duration // to a server
	// MaxHeader is the longest request line and the longest header, in bytes;
	// MaxHeaders bounds all of them together. More is answered with 400.
	MaxHeader, MaxHeaders int
	RefuseTrace           bool // 405 for TRACE
	// ConnectElsewhere tries another server where one refuses the connection.
	// Nothing of the request was sent by then.
	ConnectElsewhere bool
	ClientGone       int      // what is counted where the client went away
	Forwarded        []string // default of HTTPListener.Forwarded
	Keepalive        bool     // default of ServerGroup.Keepalive
	Persistence      Persistence
	// OneTimeout: a silent server is waited for as long as a silent client.
	OneTimeout bool
	// HTTPSBehindHTTP: a listener for HTTP may lead to a group for HTTPS.
	HTTPSBehindHTTP bool
	Limits          HTTPLimits
}

// HTTPLimits is what the cloud takes; 0 is anything.
type HTTPLimits struct {
	Zones              int // of an ALB, at least
	Idle, Request      time.Duration
	Priority           int // the highest number of a rule
	Persistence        time.Duration
	Rewrite            bool // persistence by the server's cookie
	PersistenceInZones bool // persistence where a node keeps to its zone
	FixedResponseBody  int  // bytes
}

// Profile is how the cloud behaves; the zero value where there is no such cloud.
func (c Cloud) Profile() Profile {
	p := profiles[c]
	p.HTTP = httpProfiles[c]
	return p
}

// BandwidthOf is that of a connection to load balancers of a type where nobody has
// chosen one, in Mbit/s; 0: not limited.
func (p Profile) BandwidthOf(t LoadBalancerType) int {
	if t == NLB && p.NLBScales {
		return 0
	}
	return p.Bandwidth
}

// ResolversOf are the addresses at which the DNS server of a VPC answers.
func (p Profile) ResolversOf(vpc netip.Prefix) []netip.Addr {
	if p.ResolverPlace == 0 {
		return p.Resolvers
	}
	return append([]netip.Addr{derive.Nth(vpc, p.ResolverPlace)}, p.Resolvers...)
}

// shared is the block of RFC 6598, of which Alibaba Cloud makes use.
var shared = netip.MustParsePrefix("100.64.0.0/10")

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

var profiles = map[Cloud]Profile{
	Alibaba: {
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
		// PrivateLink API 2020-04-15, EnableVpcEndpointConnection, Bandwidth, as of
		// 2026. "PrivateLink Quick Start" (document version 20220711) shows 1024.
		Bandwidth: 3072,
		// The same, TrafficControlMode: Scalability by default with NLBs, in which
		// a bandwidth does not take effect.
		NLBScales: true,
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
		// Elastic Compute Service user guide, private domain names of instances.
		Resolvers: []netip.Addr{netip.MustParseAddr("100.100.2.136"), netip.MustParseAddr("100.100.2.138")},
		// Health checks come from the block of RFC 6598 (CLB FAQ, "health
		// checks"). What servers see behind an endpoint of a CLB or an ALB no
		// public document says. It cannot be an address of the consumer, which
		// may exist in the provider's VPC too: it is taken from the same block.
		SharedBlock: shared,
		// The DNS servers are in it.
		CloudBlock: netip.MustParsePrefix("100.100.0.0/16"),
		// VPC API 2016-04-28, CreateVpc and CreateVSwitch; AssociateVpcCidrBlock.
		Limits: Limits{
			SecondaryCIDRs: 5,
			VPCWidest:      8, VPCUsual: 16, VPCNarrowest: 28, SubnetWidest: 16, SubnetNarrowest: 29,
			Forbidden: specialAndShared, TCPIdleMin: 10 * time.Second, TCPIdleMax: 900 * time.Second,
		},
		// PrivateLink, "Quotas and limits"; of security groups API 2020-04-15,
		// CreateVpcEndpoint, SecurityGroupId.
		Quotas: Quotas{
			ServicesPerAccount: 200, EndpointsPerVPC: 1000,
			ResourcesPerService: 500, ResourcesPerZone: 100, GroupsPerEndpoint: 10,
		},
		RegionalZone: true, // ECS API 2014-05-26, DescribeZones
		DenyRules:    true, // ECS user guide, "Security group rules"
		SourceCheck:  true, // ECS API 2014-05-26, ModifyNetworkInterfaceAttribute, SourceDestCheck
		CLB:          true,
		Scheduler:    WeightedRoundRobin, // Network Load Balancer API 2022-04-30, CreateServerGroup
		// "NLB health checks" and "ALB health checks"; of CLB no document says so.
		FailOpen: map[LoadBalancerType]bool{NLB: true, ALB: true},
		// Network Load Balancer API 2022-04-30, CreateServerGroup,
		// PreserveClientIpEnabled is true where it is missing; CLB FAQ: a backend
		// server of layer 4 cannot reach itself through its CLB.
		KeepsClientIP: true,
		// Application Load Balancer API 2020-06-16, CreateServerGroup,
		// CrossZoneEnabled.
		GroupCrossZone: map[LoadBalancerType]bool{ALB: true},
		UDPChecks:      true, // Server Load Balancer API 2014-05-15, CreateLoadBalancerUDPListener
		// PrivateLink, "Obtain real client information".
		HeaderNamesVPC: true,
		// "NLB health checks": sessions go on, with connection draining until its
		// timeout.
		DelayEndsSessions: true,
		// PrivateLink API 2020-04-15, GetVpcEndpointServiceAttribute,
		// ZoneAffinityEnabled.
		ServiceNames: true,
		ZoneAffinity: true,
		Descriptions: true,
		OfferALB:     true,      // CreateVpcEndpointService, Resource, ResourceType
		FullNAT:      true,      // VPC API 2016-04-28, CreateFullNatEntry
		FlowLogs:     "alibaba", // Simple Log Service documentation, "VPC flow log fields"
		// UpdateVpcEndpointConnectionAttribute, EnableVpcEndpointZoneConnection,
		// DisableVpcEndpointZoneConnection and
		// UpdateVpcEndpointZoneConnectionResourceAttribute.
		TuneConnections: true,
		// PrivateLink, "Use cases of service resource scheduling".
		KeepNLB:          true,
		ZonesGoFirst:     true, // DeleteVpcEndpoint
		ResourcesGoFirst: true, // DeleteVpcEndpointService

		AlibabaAPI:  true,
		UsualRegion: "eu-central-1",
	},
	AWS: {
		// User Guide for Network Load Balancers, "Network Load Balancers",
		// connection idle timeout.
		TCPIdle: 350 * time.Second,
		UDPIdle: 120 * time.Second,
		// Amazon EC2 user guide, "Network maximum transmission unit (MTU) for your
		// EC2 instance": jumbo frames.
		MTU: 9001,
		// AWS PrivateLink guide, "AWS PrivateLink quotas": maximum
		// transmission unit of an interface endpoint.
		EndpointMTU: 8500,
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
		// Amazon VPC user guide, "DNS attributes for your VPC": the VPC's base
		// address plus two, and 169.254.169.253.
		Resolvers:     []netip.Addr{netip.MustParseAddr("169.254.169.253")},
		ResolverPlace: 2,
		// Amazon EC2 user guide, "Access instance metadata for an EC2 instance". At
		// AWS the names of the API lead to public addresses, of which a lab has none:
		// this one is beside those that VPCs have for the cloud's servers, and no
		// document gives it to one.
		Metadata: netip.MustParseAddr("169.254.169.254"),
		CloudAPI: netip.MustParseAddr("169.254.169.252"),
		// Amazon VPC user guide, "VPC CIDR blocks" and "Subnet CIDR blocks"; of
		// the timeout Elastic Load Balancing API, ModifyListenerAttributes; "Amazon
		// VPC quotas": five IPv4 blocks of a VPC, the primary one among them.
		Limits: Limits{
			SecondaryCIDRs: 4,
			VPCWidest:      16, VPCUsual: 16, VPCNarrowest: 28, SubnetWidest: 16, SubnetNarrowest: 28,
			Forbidden: special, TCPIdleMin: 60 * time.Second, TCPIdleMax: 6000 * time.Second,
		},
		// AWS PrivateLink guide, "AWS PrivateLink quotas", interface endpoints of
		// a VPC; Amazon VPC user guide, "Amazon VPC quotas", security groups of a
		// network interface.
		Quotas:       Quotas{EndpointsPerVPC: 50, GroupsPerEndpoint: 5},
		RegionalZone: true, // EC2 API, DescribeAvailabilityZones
		SourceCheck:  true, // EC2 API, ModifyNetworkInterfaceAttribute, SourceDestCheck
		// "What is a Network Load Balancer?", routing algorithm: a hash of the
		// flow.
		Scheduler: FlowHash,
		// The same: protocol, addresses, ports, and the TCP sequence number.
		HashesSequence: true,
		// User Guide for Network Load Balancers, "Health checks for target groups".
		FailOpen: map[LoadBalancerType]bool{"": true, CLB: true, NLB: true, ALB: true},
		// Amazon VPC user guide, "Default security groups for your VPCs"; EC2 API,
		// CreateVpcEndpoint, SecurityGroupId.N.
		DefaultGroup: true,
		// User Guide for Network Load Balancers, "Update the security groups for your
		// Network Load Balancer".
		BalancerGroups: true,
		// User Guide for Network Load Balancers, "Listeners", TCP_UDP; Elastic Load
		// Balancing API, CreateListener, DuplicateListener.
		JointListeners: true,
		// User Guide for Network Load Balancers, "Edit target group attributes",
		// Proxy Protocol.
		HeaderInChecks: true,
		// User Guide for Network Load Balancers, "Use an Application Load Balancer
		// as a target of a Network Load Balancer".
		ALBTargets: true,
		// User Guide for Network Load Balancers, "Edit target group attributes",
		// client IP preservation: on for instances, off for TCP targets of type ip;
		// "Troubleshoot your Network Load Balancer": a target that is its own
		// client times out where it is on.
		KeepsClientIP: true,
		HidesClientIP: true,
		// Elastic Load Balancing API, LoadBalancerAttribute,
		// secondary_ips.auto_assigned.per_subnet.
		SecondaryIPs: true,
		// Elastic Load Balancing API, TargetGroupAttribute,
		// load_balancing.cross_zone.enabled.
		GroupCrossZone: map[LoadBalancerType]bool{NLB: true, ALB: true},
		// User Guide for Network Load Balancers, "Listeners".
		IPv6ServersOfUDP: true,
		// User Guide for Network Load Balancers, "Edit target group attributes":
		// deregistration delay 300 s, connection termination after it only for
		// UDP; termination for unhealthy targets, at once.
		Deregistration:    Leaving{Delay: 300 * time.Second},
		UDPDeregistration: Leaving{Delay: 300 * time.Second, Terminate: true},
		Unhealthy:         Leaving{Terminate: true},
		// AWS PrivateLink guide, "Create a service powered by AWS PrivateLink": a load
		// balancer is of one service; "Configure an endpoint service": a zone that is
		// added later is offered after ModifyVpcEndpointServiceConfiguration.
		OneService:  true,
		AWSAPI:      true,
		FlowLogs:    "aws", // Amazon VPC User Guide, "Flow log records"
		UsualRegion: "us-east-1",
		// EC2 API, DescribeVpcEndpoints: State, pendingAcceptance and rejected among
		// its values.
		OneEndpointState:   true,
		WholeLoadBalancers: true,
		// Elastic Load Balancing user guide of the AWS China Regions, "VPC endpoints",
		// limits.
		ListenersOffered: 50,
		// AWS PrivateLink guide, "Manage DNS names for VPC endpoint services".
		PrivateDNS: true,
		// AWS PrivateLink guide, "AWS PrivateLink quotas", bandwidth per
		// Availability Zone.
		BandwidthPerZone: true,
		// EC2 API, DeleteVpcEndpointServiceConfigurations: no connection may be
		// available or waiting.
		WaitingKeepsService: true,
	},
	RFC: {
		FlowLogs: "aws",
		TCPIdle:  2*time.Hour + 4*time.Minute, // RFC 5382, REQ-5
		UDPIdle:  5 * time.Minute,             // RFC 4787, REQ-5
		MTU:      1500,                        // RFC 894
		NameTTL:  60 * time.Second,
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
		// No RFC says where a network's DNS server is; that of Alibaba Cloud.
		Resolvers: []netip.Addr{netip.MustParseAddr("100.100.2.136"), netip.MustParseAddr("100.100.2.138")},
		Limits: Limits{
			VPCWidest: 8, VPCUsual: 8, VPCNarrowest: 29, SubnetWidest: 8, SubnetNarrowest: 29,
			Forbidden: specialAndShared,
		},
		// What a cloud can do and no RFC forbids.
		DenyRules:         true,
		CLB:               true,
		Scheduler:         WeightedRoundRobin,
		UDPChecks:         true,
		HeaderNamesVPC:    true,
		DelayEndsSessions: true,
		ServiceNames:      true,
		ZoneAffinity:      true,
		Descriptions:      true,
		OfferALB:          true,
		SecondaryIPs:      true,
		ALBTargets:        true,
		GroupCrossZone:    map[LoadBalancerType]bool{NLB: true, ALB: true},
		FullNAT:           true,
		TuneConnections:   true,
		ZonesGoFirst:      true,
		ResourcesGoFirst:  true,
	},
}

// httpProfiles is how the clouds' layer 7 load balancers behave.
var httpProfiles = map[Cloud]HTTPProfile{
	Alibaba: {
		// Application Load Balancer API 2020-06-16, CreateListener.
		Idle:    15 * time.Second,
		Request: time.Minute,
		// "ALB status codes": a header of more than 32 KB is 400, TRACE is 405,
		// 499 is logged where the client went away. No public figure for the
		// connect timeout and for all headers together: what nginx, of which ALB
		// is made, is usually given.
		Connect:     5 * time.Second,
		MaxHeader:   32 << 10,
		MaxHeaders:  128 << 10,
		RefuseTrace: true,
		ClientGone:  499,
		// No public word. What nginx does (ngx_http_proxy_module,
		// proxy_next_upstream: error timeout) where nothing was sent.
		ConnectElsewhere: true,
		// CreateServerGroup: UpstreamKeepaliveEnabled is off, the cookie is
		// SERVERID for 1000 s.
		Persistence: Persistence{Cookie: "SERVERID", Timeout: 1000 * time.Second},
		// Application Load Balancer API 2020-06-16, CreateLoadBalancer (at least
		// two zones), CreateListener, CreateRule and CreateServerGroup.
		Limits: HTTPLimits{
			Zones: 2, Idle: time.Minute, Request: 3 * time.Minute, Priority: 10000,
			Persistence: 24 * time.Hour, Rewrite: true, FixedResponseBody: 1024,
		},
	},
	AWS: {
		// User Guide for Application Load Balancers, "Edit attributes for your
		// Application Load Balancer" (idle timeout), "Troubleshoot your
		// Application Load Balancers" (connect timeout 10 s; 16 K for a request
		// line or header, 64 K for all; 460 where the client went away), "HTTP
		// headers and Application Load Balancers", "Sticky sessions".
		Idle:        time.Minute,
		Request:     time.Minute,
		Connect:     10 * time.Second,
		MaxHeader:   16 << 10,
		MaxHeaders:  64 << 10,
		ClientGone:  460,
		Forwarded:   []string{"proto", "port"},
		Keepalive:   true,
		Persistence: Persistence{Cookie: "AWSALB", Timeout: 24 * time.Hour, Renew: true},
		// One idle timeout is for both sides.
		OneTimeout: true,
		// User Guide for Application Load Balancers, "Target groups for your
		// Application Load Balancers", routing configuration.
		HTTPSBehindHTTP: true,
		// Elastic Load Balancing API, CreateLoadBalancer (subnets),
		// LoadBalancerAttribute, TargetGroupAttribute.
		Limits: HTTPLimits{
			Zones: 2, Idle: 4000 * time.Second, Request: 4000 * time.Second, Priority: 50000,
			Persistence: 7 * 24 * time.Hour, PersistenceInZones: true, FixedResponseBody: 1024,
		},
	},
	RFC: {
		// RFC 9110 and RFC 9112 name no time and no limit.
		Idle:            time.Minute,
		Request:         time.Minute,
		Connect:         10 * time.Second,
		MaxHeader:       32 << 10,
		MaxHeaders:      128 << 10,
		ClientGone:      499,
		Forwarded:       []string{"proto", "port"},
		Keepalive:       true,
		Persistence:     Persistence{Cookie: "SERVERID", Timeout: 1000 * time.Second},
		HTTPSBehindHTTP: true,
		Limits: HTTPLimits{
			Zones: 1, Priority: 50000,
			Persistence: 7 * 24 * time.Hour, Rewrite: true, PersistenceInZones: true, FixedResponseBody: 1024,
		},
	},
}
