// Package status has what a lab's daemon tells: the types of everything that is
// printed as JSON or travels over its socket. It knows nothing of how a lab
// runs, so that a client needs no more than this.
package status

import (
	"net/netip"
	"time"
)

// Schema is the version of everything that is printed as JSON. It changes
// when a field is removed or changes its meaning.
const Schema = "plinksim/v1"

// Lab is a lab as people and scripts read it.
type Lab struct {
	Schema  string    `json:"schema"`
	Lab     string    `json:"lab"`
	Cloud   string    `json:"cloud"`
	Region  string    `json:"region"`
	File    string    `json:"file"`
	Dir     string    `json:"dir"`
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
	// Host is the host that this is, of a topology over several; Hosts are all of them.
	Host  string `json:"host,omitempty"`
	Hosts []Host `json:"hosts,omitempty"`
	// Agreed is what the hosts agree on, where they do.
	Agreed *Agreed `json:"agreed,omitempty"`
	// TimeScale is how many times as fast as at the cloud the times of the lab pass: 1
	// unless "up" was told otherwise.
	TimeScale float64 `json:"time_scale"`

	VPCs          []VPC             `json:"vpcs"`
	Services      []EndpointService `json:"endpoint_services"`
	Endpoints     []Endpoint        `json:"endpoints"`
	LoadBalancers []LoadBalancer    `json:"load_balancers"`
	NATGateways   []NATGateway      `json:"nat_gateways"`
	ServerGroups  []ServerGroup     `json:"server_groups"`
	Links         []Link            `json:"links"`
	Proxies       []Proxy           `json:"proxies"` // listeners of albs, node by node
	Shaping       []Shaped          `json:"shaping"` // bandwidths and faults of connections
	ENIFaults     []ENIFault        `json:"eni_faults"`
	Timers        []Timer           `json:"timers"`
	Dataplane     Dataplane         `json:"data_plane"`

	// Problems are sentences about the lab itself: a state that could not be
	// restored, or is not saved.
	Problems []string `json:"problems"`
}

// Host is one host of a topology over several, as the host that is asked sees it.
type Host struct {
	Name    string     `json:"name"`
	Address netip.Addr `json:"address"` // in the underlay
	Zones   []string   `json:"zones"`
	Here    bool       `json:"here"` // it is the one that is asked
	// Path is the way from the host that is asked: one of the Path constants, "" of the host
	// itself and before anything is known. Text says it for people.
	Path  string    `json:"path,omitempty"`
	Text  string    `json:"text,omitempty"`
	Since time.Time `json:"since,omitzero"` // of Path
	// Daemon is ok where its daemon answered for this status, else why it did not; missing
	// where hosts do not ask each other. Of what only it knows, its daemon tells.
	Daemon string `json:"daemon,omitempty"`

	// Where hosts agree on the lab. The host that is asked knows of one that does not live
	// no more than that.
	Lives   bool   `json:"lives,omitempty"`
	Leader  bool   `json:"leader,omitempty"`  // it makes what is changed
	Version string `json:"version,omitempty"` // of plinksim
	Applied int64  `json:"applied,omitempty"` // the revision that is in force there
	Trouble string `json:"trouble,omitempty"` // what is wrong with it, beside its path
}

// Agreed is what the hosts of a lab agree on, as the host that is asked knows it.
type Agreed struct {
	Revision int64      `json:"revision"` // in force on this host
	Newest   int64      `json:"newest"`   // that this host knows of
	Silent   *time.Time `json:"silent_since,omitempty"`
	Text     string     `json:"text,omitempty"` // what is wrong
}

// What the way to another host is.
const (
	PathOK       = "ok"
	PathLost     = "lost"      // nothing comes back
	PathTooSmall = "too small" // short packets pass, and those that are as long as they get do not
)

// Timer is a time that decides what becomes of a session, a server or a name.
type Timer struct {
	Of      string  `json:"of"`    // a listener (nlb1 tcp/80), a server group, or names
	Timer   string  `json:"timer"` // idle, request, probe every, ...
	Seconds float64 `json:"seconds"`
	// InForce is how long it lasts with the lab's time scale.
	InForce float64 `json:"in_force_seconds"`
}

// VPC is one VPC with what is in it.
type VPC struct {
	Name    string       `json:"name"`
	ID      string       `json:"id"`
	Account string       `json:"account"`
	CIDR    netip.Prefix `json:"cidr"`
	// SecondaryCIDRs are its further IPv4 blocks.
	SecondaryCIDRs []netip.Prefix `json:"secondary_cidrs,omitempty"`
	Resolvers      []netip.Addr   `json:"resolvers"`
	Instances      []Instance     `json:"instances"`
}

// Instance is one instance.
type Instance struct {
	Name     string            `json:"name"` // as commands take it
	ID       string            `json:"id"`
	Subnet   string            `json:"subnet"`
	Zone     string            `json:"zone"`
	Host     string            `json:"host,omitempty"` // where that is another one than the lab's
	IP       netip.Addr        `json:"ip"`
	IPv6     netip.Addr        `json:"ipv6,omitzero"`
	DNSName  string            `json:"dns_name"`
	State    string            `json:"state"` // running or stopped
	Services []InstanceService `json:"services"`
	// Denied counts the packets that the instance's security groups dropped.
	Denied uint64 `json:"denied_packets"`
	// Spoofed counts the frames that the source/destination check dropped: sent with
	// a source that is not its own, or a claim to the address of another, or sent to
	// it and not for its addresses.
	Spoofed uint64 `json:"spoofed_packets"`
}

// StartsAgain is in the State of a program that has ended and is started again by itself.
const StartsAgain = "starts again"

// InstanceService is one program on an instance.
type InstanceService struct {
	Kind  string `json:"kind"`
	Port  uint16 `json:"port,omitempty"`
	State string `json:"state"`
}

// EndpointService is one endpoint service as its provider sees it.
type EndpointService struct {
	Name         string    `json:"name"`
	ID           string    `json:"id"`
	ServiceName  string    `json:"service_name"`
	Account      string    `json:"account"`
	State        string    `json:"state"` // in the words of the cloud
	Modified     time.Time `json:"modified"`
	Description  string    `json:"description"`
	Payer        string    `json:"payer"` // consumer or provider
	Domain       string    `json:"domain"`
	Zones        []string  `json:"zones"`     // in which it offers something
	Resources    []string  `json:"resources"` // clb1@zone; none to its consumers
	AutoAccept   bool      `json:"auto_accept"`
	ZoneAffinity bool      `json:"zone_affinity"`
	Bandwidth    int       `json:"bandwidth_mbit"`
	Whitelist    []string  `json:"whitelist"`
	Connections  int       `json:"connections"`

	PrivateName *PrivateName `json:"private_dns_name,omitempty"`
}

// Endpoint is one endpoint and its connection.
type Endpoint struct {
	Name           string    `json:"name"`
	ID             string    `json:"id"`
	Account        string    `json:"account"`
	AccountID      string    `json:"account_id"`
	VPC            string    `json:"vpc"`
	VPCID          string    `json:"vpc_id"`
	Service        string    `json:"service"`
	EndpointState  string    `json:"endpoint_state"` // of the endpoint itself
	State          string    `json:"state"`          // of its connection, in the words of the cloud
	Since          time.Time `json:"since"`
	Modified       time.Time `json:"modified"` // when anything of the connection was changed
	Actions        []string  `json:"actions"`  // what the provider can do to the connection now
	Description    string    `json:"description"`
	Domain         string    `json:"domain"`
	Bandwidth      int       `json:"bandwidth_mbit"`
	SecurityGroups []string  `json:"security_groups"`
	Zones          []Zone    `json:"zones"`

	ZoneAffinity bool   `json:"zone_affinity"`
	PrivateName  string `json:"private_dns_name,omitempty"` // that its VPC knows it by now
}

// PrivateName is the private DNS name of a service, with the record that
// verifies it.
type PrivateName struct {
	Name     string `json:"name"`
	State    string `json:"state"` // in the words of the cloud
	TXTName  string `json:"txt_name"`
	TXTValue string `json:"txt_value"`
}

// Zone is one zone of an endpoint.
type Zone struct {
	Zone         string     `json:"zone"`
	State        string     `json:"state"`
	Subnet       string     `json:"subnet"`
	ENI          string     `json:"eni"`
	IP           netip.Addr `json:"ip"`
	IPv6         netip.Addr `json:"ipv6,omitzero"`
	Domain       string     `json:"domain"`
	LoadBalancer string     `json:"load_balancer,omitempty"`
	// Replaced is the load balancer that old sessions still go through.
	Replaced string `json:"replaced,omitempty"`
}

// LoadBalancer is one load balancer.
type LoadBalancer struct {
	Name      string     `json:"name"`
	ID        string     `json:"id"`
	Type      string     `json:"type"`
	VPC       string     `json:"vpc"`
	Nodes     []Node     `json:"nodes"`
	Listeners []Listener `json:"listeners"`
}

// Node is a load balancer's node in one zone.
type Node struct {
	Zone   string       `json:"zone"`
	IP     netip.Addr   `json:"ip"`
	IPv6   netip.Addr   `json:"ipv6,omitzero"`
	NATIPs []netip.Addr `json:"nat_ips"`
}

// Listener is one listener.
type Listener struct {
	Protocol    string `json:"protocol"`
	Port        uint16 `json:"port"`
	ServerGroup string `json:"server_group"`
}

// NATGateway is one NAT gateway with its FullNAT table.
type NATGateway struct {
	Name     string         `json:"name"`
	ID       string         `json:"id"`
	TableID  string         `json:"full_nat_table_id"`
	Type     string         `json:"type"`
	State    string         `json:"state"`
	Modified time.Time      `json:"modified"`
	Account  string         `json:"account"`
	VPC      string         `json:"vpc"`
	Subnet   string         `json:"subnet"`
	Zone     string         `json:"zone"`
	ENI      string         `json:"eni"`
	IP       netip.Addr     `json:"ip"`
	CIDR     netip.Prefix   `json:"nat_cidr"`
	NATIPs   []NATIP        `json:"nat_ips"` // the default one, its own address, first
	Entries  []FullNATEntry `json:"full_nat"`
}

// NATIP is one NAT IP of a gateway.
type NATIP struct {
	ID      string     `json:"id"`
	IP      netip.Addr `json:"ip"`
	State   string     `json:"state"`
	Default bool       `json:"default"`
	Entries int        `json:"entries"` // that use it
}

// FullNATEntry is one entry of a FullNAT table.
type FullNATEntry struct {
	Name     string         `json:"name"`
	ID       string         `json:"id"`
	State    string         `json:"state"`
	Modified time.Time      `json:"modified"`
	Protocol string         `json:"protocol"`
	NAT      netip.AddrPort `json:"nat"`    // where the provider's instances connect to
	Access   netip.AddrPort `json:"access"` // the user's server
	Endpoint string         `json:"endpoint"`
	ENI      string         `json:"eni"`     // ep1@zone
	SeenAs   netip.Addr     `json:"seen_as"` // its address, which is what the server sees
	Domain   string         `json:"domain,omitempty"`
}

// ServerGroup is one server group with the health of its servers.
type ServerGroup struct {
	Name    string   `json:"name"`
	Servers []Server `json:"servers"`
}

// Server is one server of a group.
type Server struct {
	Instance string         `json:"instance"`
	Address  netip.AddrPort `json:"address"`
	Weight   int            `json:"weight"`
	Healthy  bool           `json:"healthy"`               // takes sessions as far as its health goes
	State    string         `json:"state"`                 // in the words of the cloud
	Code     string         `json:"reason_code,omitempty"` // the same
	Reason   string         `json:"reason,omitempty"`
	Sessions int            `json:"sessions"` // that have begun through this group and not ended
	Since    time.Time      `json:"since"`
}

// Link counts what passed one listener through one ENI, or one FullNAT
// entry.
type Link struct {
	Name              string            `json:"name"` // ep1@zone tcp/80, or ngw1/mysql1
	Sessions          int               `json:"sessions"`
	SessionsOpened    uint64            `json:"sessions_opened"`
	PacketsToProvider uint64            `json:"packets_to_provider"`
	BytesToProvider   uint64            `json:"bytes_to_provider"`
	PacketsToConsumer uint64            `json:"packets_to_consumer"`
	BytesToConsumer   uint64            `json:"bytes_to_consumer"`
	Superframes       uint64            `json:"superframes"`
	Segments          uint64            `json:"segments"`
	Verdicts          map[string]uint64 `json:"verdicts"`
}

// Worker counts what one worker of the data plane did.
type Worker struct {
	Sessions   int    `json:"sessions"`
	FramesRead uint64 `json:"frames_read"`
	FramesSent uint64 `json:"frames_sent"`
	RingDrops  uint64 `json:"ring_drops"`
	CopyDrops  uint64 `json:"copy_drops"`
	Crowded    uint64 `json:"crowded"` // frames of senders of whom too many were waiting
	SendErrors uint64 `json:"send_errors"`
	// Frames that another worker's session was of, and those of them that it
	// had no room for.
	HandedOver      uint64 `json:"handed_over"`
	HandedOverDrops uint64 `json:"handed_over_drops"`
}

// Dataplane counts what the whole lab's data plane did, on all hosts that answered.
type Dataplane struct {
	Sessions    int               `json:"sessions"`
	MaxSessions int               `json:"max_sessions"`
	Verdicts    map[string]uint64 `json:"verdicts"`
	FramesRead  uint64            `json:"frames_read"`
	FramesSent  uint64            `json:"frames_sent"`
	Superframes uint64            `json:"superframes_read"`
	RingDrops   uint64            `json:"ring_drops"`
	CopyDrops   uint64            `json:"copy_drops"`
	Crowded     uint64            `json:"crowded"` // frames of senders of whom too many were waiting
	SendErrors  uint64            `json:"send_errors"`
	Workers     []Worker          `json:"workers"`              // of the host that is asked, where there are several
	FlowCache   *FlowCache        `json:"flow_cache,omitempty"` // missing where there can be none
}

// FlowCache is what the kernel forwards without the data plane's program. Its
// packets are in all other counters but those of frames read and sent.
type FlowCache struct {
	Mode        string `json:"mode"`              // auto or off
	Hook        string `json:"hook,omitempty"`    // tcx or clsact, while sessions are cached
	Problem     string `json:"problem,omitempty"` // why it does not
	Sessions    int    `json:"sessions"`
	MaxSessions int    `json:"max_sessions"` // 0 where there is no cache
	Added       uint64 `json:"sessions_added"`
	Refused     uint64 `json:"sessions_refused"` // for want of room
	Frames      uint64 `json:"frames"`
	Bytes       uint64 `json:"bytes"`
}

// Session is one session with both sides of its translation.
type Session struct {
	Link              string         `json:"link"`
	Protocol          string         `json:"protocol"`
	State             string         `json:"state"`
	Consumer          netip.AddrPort `json:"consumer"` // before: consumer > endpoint; of a FullNAT entry, provider > NAT IP
	Endpoint          netip.AddrPort `json:"endpoint"`
	NAT               netip.AddrPort `json:"nat"` // after: nat > target
	Target            netip.AddrPort `json:"target"`
	PacketsToProvider uint64         `json:"packets_to_provider"`
	BytesToProvider   uint64         `json:"bytes_to_provider"`
	PacketsToConsumer uint64         `json:"packets_to_consumer"`
	BytesToConsumer   uint64         `json:"bytes_to_consumer"`
	Cached            bool           `json:"cached,omitempty"` // by the flow cache
	IdleSeconds       float64        `json:"idle_seconds"`
	ExpiresSeconds    float64        `json:"expires_seconds"`
}
