// Package topology is the model of a lab: a Plan in which every identifier,
// domain name, address, MAC and device is decided, with the look-ups that go
// from a name to an object; the operations that accounts do while the lab runs;
// and, as a Profile, how the clouds differ.
//
// The package is pure and stands on the standard library alone. Plans are made
// by topofile, which reads topology files.
package topology

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/plinksim/plinksim/pkg/packet"
)

// Plan is a topology in which everything is decided: every name, address, MAC
// and device of the lab. The same file gives the same Plan on every machine.
// Lists are in the order of the file. A Plan is immutable once it is
// made, so it may be read from any goroutine.
type Plan struct {
	Name   string // the lab: 1 to 32 of a-z, 0-9 and "-"
	File   string // the file's name as the user wrote it, "" if it was not a file
	Source []byte // the file's text; nil of one that was edited: see Origin
	// Origin is the document that an edited topology is planned from, a
	// *topofile.Document; nil of a file.
	Origin  any
	Cloud   Cloud
	Profile Profile
	Quotas  Quotas
	Region  string
	// Transition is how long states on the way last, for clients that are to see
	// them; 0: no longer than it takes.
	Transition time.Duration
	// MaxSessions limits the sessions of the lab; 0 is what is usual.
	MaxSessions int

	Accounts      []Account
	VPCs          []VPC
	Peerings      []Peering
	ServerGroups  []ServerGroup
	LoadBalancers []LoadBalancer
	NATGateways   []NATGateway
	Services      []EndpointService
	Endpoints     []Endpoint
	DNSZones      []DNSZone
	Checks        []Check

	// Hosts are the machines that the lab is spread over, none where it is on one; and
	// the network between them. OnHost is set of what On gives: the host that it is on.
	Hosts    []Host
	Underlay Underlay
	OnHost   string

	// Dataplane names the namespace in which every ENI of the lab ends.
	Dataplane string
	// Warnings are what a user should know though the topology is usable.
	Warnings []Problem
}

// Account owns VPCs, services and endpoints.
type Account struct {
	Name string
	ID   string // 16 digits at Alibaba Cloud, 12 at AWS, made from the name
}

// VPC is a network namespace that routes between the bridges of its subnets.
type VPC struct {
	Name    string
	ID      string // vpc-…
	Account string
	CIDR    netip.Prefix // the primary one
	// SecondaryCIDRs are the IPv4 blocks that were associated with it later.
	SecondaryCIDRs []netip.Prefix
	IPv6CIDR       netip.Prefix // zero: none
	Namespace      string       // file name of its network namespace
	// Resolvers are the addresses at which the VPC's DNS server answers.
	Resolvers []netip.Addr
	// It has none where it is switched off (enableDnsSupport at AWS).
	// DNSHostnames is whether endpoints in it can have private names too
	// (enableDnsHostnames).
	DNSHostnames bool
	// Upstreams are what the resolver asks for names that it does not know.
	Upstreams []netip.Addr
	// HealthSource is the address from which backends of this VPC see health
	// checks come. It is an address of the VPC's namespace.
	HealthSource netip.Addr
	// HealthSources are the same for each of the plan's hosts, in their order; zero where
	// the VPC has no subnet on the host that it could be of. VNI is the number of the
	// VPC's VXLAN. Transit is set on a host alone: see On.
	HealthSources  []netip.Addr
	VNI            int
	Transit        *Transit
	MTU            int
	Subnets        []Subnet
	SecurityGroups []SecurityGroup
	Instances      []Instance
	Tags           Tags
}

// Subnet is a vSwitch at Alibaba Cloud: a bridge in the VPC's namespace.
type Subnet struct {
	Name    string
	ID      string // vsw-… or subnet-…
	Zone    string
	CIDR    netip.Prefix
	Gateway netip.Addr // the address of the bridge
	MAC     packet.MAC // of the bridge: packet.MACOf(Gateway)
	// IPv6CIDR and IPv6Gateway are zero where the subnet has no IPv6.
	IPv6CIDR    netip.Prefix
	IPv6Gateway netip.Addr
	Bridge      string // device name in the VPC's namespace, at most 15 bytes
	Tags        Tags
}

// SecurityGroup is a list of rules that a flow must pass to start.
type SecurityGroup struct {
	Name    string
	ID      string // sg-…
	Ingress []Rule // what may come to the members; nothing where empty
	Egress  []Rule // what members may send; everything where nil
	Tags    Tags
}

// Rule allows or denies new flows.
type Rule struct {
	Deny     bool
	Priority int      // 1 is asked first; AWS has no priorities and every rule is 1
	Protocol Protocol // TCP, UDP, ICMP or AllProtocols
	// FirstPort and LastPort are the destination ports, both included; 0 and
	// 65535 where the rule names none or the protocol has none.
	FirstPort, LastPort uint16
	// Peer is the other side: source for ingress, destination for egress. Group is
	// in its place: the security group of the VPC whose members are; see Plan.Groups.
	Peer  netip.Prefix
	Group string
}

// Instance is a network namespace with one device in a subnet.
type Instance struct {
	Name           string
	ID             string // i-…
	VPC            string
	Subnet         string
	Zone           string
	IP             netip.Addr
	IPv6           netip.Addr // zero where its subnet has none
	MAC            packet.MAC // packet.MACOf(IP)
	SecurityGroups []string   // names in the VPC; nothing is filtered where empty
	Namespace      string     // file name of its network namespace
	Device         string     // in its own namespace: eth0
	Port           string     // the other end, on the subnet's bridge
	DNSName        string     // NAME.VPC.internal, without a final dot
	SourceCheck    bool       // it may send from its own addresses only
	// Stopped is set while it is switched off: it has no namespace, so that nothing
	// runs on it and nothing answers, and keeps its addresses.
	Stopped  bool
	Env      []string // NAME=VALUE, of the programs that run on it beside what they have from the machine
	Services []InstanceService
	Tags     Tags
}

// The states of an instance. The clouds' words are Running and Stopped at Alibaba
// Cloud (ECS API 2014-05-26, DescribeInstanceStatus), running and stopped at AWS (EC2
// API, InstanceState).
const (
	StateRunning = "running"
	StateStopped = "stopped"
)

// State is one of the states.
func (i *Instance) State() string {
	if i.Stopped {
		return StateStopped
	}
	return StateRunning
}

// ServiceKind is what a program on an instance does.
type ServiceKind string

// The kinds of programs. Echo has its port by TCP and by UDP; Command is a
// program of the user's.
const (
	HTTPService    ServiceKind = "http"
	EchoService    ServiceKind = "echo"
	TCPService     ServiceKind = "tcp"
	UDPService     ServiceKind = "udp"
	CommandService ServiceKind = "command"
)

// Transports are the protocols by which a program of the kind has its port.
func (k ServiceKind) Transports() []Protocol {
	switch k {
	case HTTPService, TCPService:
		return []Protocol{TCP}
	case EchoService:
		return []Protocol{TCP, UDP}
	case UDPService:
		return []Protocol{UDP}
	}
	return nil
}

// InstanceService is a program that answers on an instance.
type InstanceService struct {
	Kind ServiceKind
	Port uint16 // 0 for a command
	Body string // what http, tcp and udp answer
	// ProxyProtocol closes connections by TCP that do not begin with a PROXY protocol
	// header.
	ProxyProtocol bool
	// Of a command: the program with its arguments, and when it is started again by
	// itself.
	Argv    []string
	Restart RestartPolicy
}

// RestartPolicy says when a program that has ended is started again without being
// asked for; "" is never.
type RestartPolicy string

// The policies beside never: where a program failed, and however it ended.
const (
	RestartOnFailure RestartPolicy = "on-failure"
	RestartAlways    RestartPolicy = "always"
)

// ServerGroup is a set of backends (target group at AWS).
type ServerGroup struct {
	Name        string
	ID          string // rsp-…, sgp-…, or targetgroup/NAME/… at AWS
	VPC         string
	Protocol    Protocol // TCP, UDP, HTTP or HTTPS
	Scheduler   Scheduler
	IPv6        bool // its servers are reached by their IPv6 addresses
	Servers     []Server
	HealthCheck HealthCheck
	// CrossZone is whether a node may pick servers of other zones; nil is what
	// the load balancer says.
	CrossZone *bool
	// ProxyProtocol is that of the listeners which lead to it and have none, "" for
	// none: at AWS it is an attribute of target groups.
	ProxyProtocol HeaderPlace
	// FailOpen lets sessions go to every server where none is healthy.
	FailOpen bool
	// SlowStart is how long a server's weight grows after it became healthy
	// beside others; 0: not at all.
	SlowStart time.Duration
	// What becomes of the sessions of a server that the group has no more, and
	// of one that has become unhealthy.
	Deregistration, Unhealthy Leaving
	Persistence               *Persistence // of http and https; nil for none
	Keepalive                 bool         // of http and https: connections to servers outlive a request
	Tags                      Tags
}

// Leaving is what becomes of the sessions of a server that takes no new ones.
type Leaving struct {
	Delay     time.Duration // how long they go on in any case
	Terminate bool          // then they are removed; else they go on until they end
}

// Server is one backend (target) of a server group.
type Server struct {
	Instance string // VPC/NAME; "" of one that is named by its address, or of an alb's node
	Balancer string // the alb whose node it is, else ""
	Zone     string // that of the instance, of the subnet, or of the node; "" in another VPC
	IP       netip.Addr
	Port     uint16
	Weight   int // 0 to 100; 0 takes no new sessions
}

// Name is what people call the server: VPC/INSTANCE, ALB@ZONE, or its address.
func (s Server) Name() string {
	switch {
	case s.Instance != "":
		return s.Instance
	case s.Balancer != "":
		return s.Balancer + "@" + s.Zone
	}
	return s.IP.String()
}

// In says whether a node that keeps to a zone, "" is none, may pick the server.
// One of another VPC is in no zone, and every node may.
func (s Server) In(zone string) bool { return zone == "" || s.Zone == "" || s.Zone == zone }

// Short is Name without the VPC.
func (s Server) Short() string {
	name := s.Name()
	return name[strings.LastIndex(name, "/")+1:]
}

// LoadBalancer has one node in each of its zones.
type LoadBalancer struct {
	Name      string
	ID        string // lb-…, nlb-…, alb-…, or net/NAME/… and app/NAME/… at AWS
	Domain    string // leads to its nodes; "": it has no name
	Type      LoadBalancerType
	VPC       string
	Nodes     []Node
	Listeners []Listener
	CrossZone bool // a node may pick servers of other zones
	DualStack bool // its nodes have IPv6 addresses too
	// SecurityGroups judge what comes to its listeners, by the client's address;
	// nothing is filtered where there is none. Those of an alb judge what its nodes
	// send too, as an instance's do. EndpointsFree lets what comes through endpoints to
	// an nlb pass, whatever they say.
	SecurityGroups []string
	EndpointsFree  bool
	// SecondaryIPs are how many NAT IPs each node has beside its own address.
	SecondaryIPs int
	Tags         Tags
}

// PicksEverywhere says whether a node may pick servers of a group that are in
// other zones than its own: what the group says goes before what the load
// balancer says. A CLB has one node and serves its whole VPC.
func (l *LoadBalancer) PicksEverywhere(g *ServerGroup) bool {
	if g.CrossZone != nil {
		return *g.CrossZone
	}
	return l.CrossZone || l.Type == CLB
}

// ZoneDomain is the name that leads to the node of a zone, "" where there is none: only
// NLBs with a name have some (User Guide for Network Load Balancers, "Network Load
// Balancers", DNS name).
func (l *LoadBalancer) ZoneDomain(zone string) string {
	if l.Domain == "" || l.Type != NLB {
		return ""
	}
	return zone + "." + l.Domain
}

// CountListeners is how many listeners its user gave it.
func (l *LoadBalancer) CountListeners() (n int) {
	for _, listener := range l.Listeners {
		if !listener.Joint || listener.Protocol == TCP {
			n++
		}
	}
	return n
}

// Node is a load balancer's presence in one zone.
type Node struct {
	Zone   string
	Subnet string
	ENI    ENI
	// Local are the NAT IPs: the addresses from which backends see sessions
	// come. They belong to the node, which answers ARP for them; the VPC and
	// the instances of the node's subnet have a route to them.
	Local []netip.Addr
	// Proxy is where an alb's listeners run, nil of the other types. To the data
	// plane it is the server of every session.
	Proxy *Proxy
}

// Listener accepts sessions on a port.
type Listener struct {
	Protocol    Protocol // TCP or UDP, HTTP or HTTPS of an ALB
	Port        uint16
	ServerGroup string // where it leads; "" where HTTP.Otherwise says what it does
	IdleTimeout time.Duration
	// ProxyProtocol says where a PROXY protocol v2 header goes before what the
	// consumer sends; "" for none.
	ProxyProtocol HeaderPlace
	// Joint is set of one of TCP and of one of UDP that are one listener for both
	// to its user.
	Joint bool
	TOA   bool          // tell servers in a TCP option who the consumer is
	HTTP  *HTTPListener // of http and https, nil otherwise
}

// HeaderPlace is when a PROXY protocol header is sent. The names are those of the
// attribute proxy_protocol_v2.client_to_server.header_placement of AWS target
// groups.
type HeaderPlace string

// The places of a header: with the first bytes of the consumer, or at once.
const (
	OnFirstPayload HeaderPlace = "on_first_ack_with_payload"
	OnFirstAck     HeaderPlace = "on_first_ack"
)

// ENI is a veth pair: one end on a subnet's bridge, the other in the lab's
// data plane namespace.
type ENI struct {
	Name   string // as users write it: ep1@eu-central-1b
	ID     string // eni-…
	VPC    string
	Subnet string
	Zone   string
	IP     netip.Addr
	IPv6   netip.Addr // zero where its owner is not dual-stack
	MAC    packet.MAC // what ARP answers: packet.MACOf(IP); not the device's MAC
	Device string     // in the data plane namespace, at most 15 bytes, unique there
	Port   string     // on the bridge in the VPC's namespace, at most 15 bytes
}

// NATGateway lets instances of its VPC, the provider's, open connections to
// servers in the VPCs of reverse endpoints: each of its entries binds one of
// its NAT IPs and a port to an address and a port there.
type NATGateway struct {
	Name    string
	ID      string // ngw-…
	TableID string // of its FullNAT table: fulltb-…
	Type    string // FullNat
	Account string
	VPC     string
	Subnet  string
	ENI     ENI // its address is the default NAT IP
	// CIDR is the block of the NAT IPs. Where it is not that of the subnet, the
	// VPC and the instances of the subnet have a route to it.
	CIDR    netip.Prefix
	NATIPs  []NATIP // the default one, the gateway's own address, first
	Entries []FullNATEntry
	Tags    Tags
}

// NATIP is an address of a NAT gateway that its entries can use. The gateway
// answers ARP for it.
type NATIP struct {
	ID string // vpcnatip-…
	IP netip.Addr
}

// FullNATEntry leads from an address and a port of a NAT gateway through the
// ENI of a reverse endpoint to a server. The server sees the ENI's address.
type FullNATEntry struct {
	Name       string
	ID         string // fullnat-…
	NATIP      netip.Addr
	NATPort    uint16
	Protocol   Protocol // TCP or UDP
	Endpoint   string
	Zone       string // of the endpoint's ENI
	AccessIP   netip.Addr
	AccessPort uint16
	// Domain is the name of the NAT IP in the hosts files of the gateway's VPC,
	// "" where it has none.
	Domain string
}

// EndpointService offers load balancers to endpoints, or a NAT gateway to
// reverse endpoints.
type EndpointService struct {
	Name         string
	ID           string // epsrv-… or vpce-svc-…
	ServiceName  string // com.aliyuncs.privatelink.<region>.<id> or com.amazonaws.vpce.…
	Domain       string // without a final dot
	Account      string
	Resources    []Resource
	Reverse      bool // it offers NAT gateways: its endpoints are reverse endpoints
	AutoAccept   bool
	ZoneAffinity bool
	PrivateName  *PrivateName     // nil where it has none
	Bandwidth    int              // Mbit/s of a connection; 0: not limited
	Type         LoadBalancerType // of its resources; "" of NAT gateways
	Whitelist    []string         // accounts, the owner always among them; Everybody
	Description  string
	Payer        string // consumer or provider
	// Absent: nobody has created it yet. Everything about it is decided, so
	// that it can be created while the lab runs.
	Absent bool
	Tags   Tags
}

// Everybody stands for all accounts in a whitelist: "*", as AWS writes it
// (ModifyVpcEndpointServicePermissions); acs:ram:*::* at Alibaba Cloud.
const Everybody = "*"

// Sees reports whether an account may see the service and make endpoints that
// use it.
func (s *EndpointService) Sees(account string) bool {
	return s.Account == account || slices.Contains(s.Whitelist, account) || slices.Contains(s.Whitelist, Everybody)
}

// Resource is a load balancer or a NAT gateway in one zone, the unit that a
// service offers. One of the two names is set.
type Resource struct {
	LoadBalancer string `json:"load_balancer,omitempty"`
	NATGateway   string `json:"nat_gateway,omitempty"`
	Zone         string `json:"zone"`
}

// String is the resource as people write it: clb1@zone.
func (r Resource) String() string { return r.LoadBalancer + r.NATGateway + "@" + r.Zone }

// Endpoint is a consumer's way to a service: an ENI in each of its zones. The
// ENI of a reverse endpoint is the way of a service's NAT gateway to the VPC.
type Endpoint struct {
	Name           string
	ID             string // ep-… or vpce-…
	Domain         string // without a final dot
	Account        string
	VPC            string
	Service        string
	Reverse        bool // its service is
	SecurityGroups []string
	ZoneAffinity   bool // its own, or else that of its service
	OwnAffinity    bool // it has a zone affinity of its own
	PrivateDNS     bool // it has the private name of its service in its VPC
	DualStack      bool // its ENIs have IPv6 addresses too
	AnswerPing     bool // a server behind it answers ICMP echo requests
	MTU            int  // the longest IP packet of its connection; 0: what the VPCs carry
	Zones          []EndpointZone
	Impairments    Impairments
	Description    string
	Absent         bool // as that of an EndpointService
	Tags           Tags
}

// Impairments are those of a connection, the bandwidth of its service among
// them.
type Impairments struct {
	ToProvider, ToConsumer Impairment
	Seed                   uint64 // of all that is random
}

// EndpointZone is an endpoint's presence in one zone.
type EndpointZone struct {
	Zone   string
	Subnet string
	Domain string // without a final dot
	ENI    ENI
}

// Check is one verification step. Exactly one of Get, Connect, UDP, Resolve and Do
// is set.
type Check struct {
	Name    string
	From    string // instance as VPC/NAME; "" for Do
	Get     string // an http or https URL, references replaced
	Connect string // tcp HOST:PORT, references replaced
	UDP     string // udp HOST:PORT, references replaced
	Resolve string // a name, references replaced
	Do      *Operation
	// Send is what a connection or a datagram begins with, a line; "" for nothing. With
	// Idle it is sent again after so long a silence, and answered again.
	Send string
	Idle time.Duration
	// ServerName is what TLS asks for and verifies, and the Host of a Get; "" is the
	// name in the URL, and no TLS with Connect.
	ServerName string
	Times      int           // at least 1
	Parallel   int           // tries at a time, at least 1
	Timeout    time.Duration // of one try, without Idle
	Expect     Expect
}

// Expect is what a check must see. The zero value expects success.
type Expect struct {
	Status    int      // of http; 0: any below 400
	Bodies    []string // each answer is one of them and each of them comes at least once
	Error     string   // timeout, refused, reset, certificate or any; of Do one of Refusals or any
	Addresses []string // exactly these, in any order
	// Within and After limit how long each try takes, without Idle; 0: any time.
	Within, After time.Duration
}
