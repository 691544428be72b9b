package plinktest

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Topology is one that a test makes in Go, with the model of a topology file: every
// call stands for a part of the file that String prints, and Set says whatever else a
// file can say. It is not for several goroutines.
//
//	net := plinktest.NewTopology("aws", "eu-west-1")
//	db := net.VPC("data", "10.0.0.0/16").AllowFrom("10.0.0.0/16").Instance("db", "eu-west-1a").Echo(5432)
//	nlb := db.VPC().LoadBalancer("nlb", "nlb")
//	nlb.Listen("tcp", 5432, db.At(5432))
//	shop := net.VPC("shop", "10.0.0.0/16")
//	shop.Instance("web", "eu-west-1a")
//	shop.Endpoint("ep", net.Service("data", nlb).AutoAccept())
//	lab := net.Up(t, plinktest.InProcess())
//	conn := lab.Instance("web").Dial("tcp", "ep:5432")
type Topology struct {
	cloud, region string
	edits         []topology.Edit
	accounts      []string
	err           error
}

// NewTopology is a topology without VPCs. The cloud is aws, alibaba or rfc.
func NewTopology(cloud, region string) *Topology { return &Topology{cloud: cloud, region: region} }

// Set sets what a path of the file leads to, as docs/live.md says, for example
// Set("nat_gateways/ngw1/nat_ips", []string{"172.16.0.5"}). The value is whatever YAML
// can say.
func (t *Topology) Set(path string, value any) {
	text, err := marshal(value)
	if err != nil {
		t.err = errors.Join(t.err, fmt.Errorf("%s: %w", path, err))
	}
	t.edits = append(t.edits, topology.Edit{Path: path, Value: text})
}

// VPC adds a VPC.
func (t *Topology) VPC(name, cidr string) *VPCSpec {
	v := &VPCSpec{part: part{t, topology.JoinPath("vpcs", name)}, name: name, cidr: cidr, subnets: map[string]string{}}
	v.top.Set(v.path, map[string]any{"cidr": cidr, "subnets": map[string]any{}})
	return v
}

// Service adds an endpoint service that offers load balancers.
func (t *Topology) Service(name string, offers ...*LoadBalancerSpec) *ServiceSpec {
	s := &ServiceSpec{part: part{t, topology.JoinPath("endpoint_services", name)}, name: name}
	var names []string
	for _, lb := range offers {
		names = append(names, lb.name)
		for _, zone := range lb.zones {
			if !slices.Contains(s.zones, zone) {
				s.zones = append(s.zones, zone)
			}
		}
	}
	t.Set(s.path, map[string]any{"resources": names})
	return s
}

// Plan checks the topology. The error shows it, with numbers of lines.
func (t *Topology) Plan() (*topology.Plan, error) {
	text, err := t.text()
	if err != nil {
		return nil, err
	}
	plan, err := topofile.Parse("topology", text)
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, numbered(string(text)))
	}
	return plan, nil
}

// String is the topology as a file, for example for "plinksim up".
func (t *Topology) String() string {
	text, err := t.text()
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func (t *Topology) text() ([]byte, error) {
	if t.err != nil {
		return nil, t.err
	}
	empty := fmt.Appendf(nil, "name: test\ncloud: %q\nregion: %q\n", t.cloud, t.region)
	doc, err := topofile.DocumentOf(&topology.Plan{File: "topology", Source: empty})
	if err == nil {
		doc, err = doc.With(t.edits...)
	}
	if err != nil {
		return nil, err
	}
	return doc.Text()
}

// Up runs the topology until the test ends, as plinktest.Up runs a file.
func (t *Topology) Up(tb testing.TB, options ...Option) *Lab {
	tb.Helper()
	plan, err := t.Plan()
	if err != nil {
		tb.Fatal(err)
	}
	return start(tb, plan, options)
}

// numbered is a text with the numbers of its lines.
func numbered(text string) string {
	var b strings.Builder
	n := 0
	for line := range strings.Lines(text) {
		n++
		fmt.Fprintf(&b, "%4d  %s", n, line)
	}
	return b.String()
}

// part is a part of a topology.
type part struct {
	top  *Topology
	path string
}

// Set sets a key of this part of the file: Set("ip", "10.0.1.20").
func (p part) Set(key string, value any) { p.top.Set(p.path+"/"+key, value) }

// VPCSpec is a VPC of a Topology.
type VPCSpec struct {
	part
	name, cidr string
	subnets    map[string]string // by zone
	zones      []string          // that instances are in
}

// Owner makes the VPC an account's. Without it all is of one account.
func (v *VPCSpec) Owner(account string) *VPCSpec {
	if !slices.Contains(v.top.accounts, account) {
		v.top.accounts = append(v.top.accounts, account)
		v.top.Set("accounts", v.top.accounts)
	}
	v.Set("account", account)
	return v
}

// AllowFrom lets instances that name no security group get everything that comes from
// blocks of addresses. The addresses of load balancers are in their VPC.
func (v *VPCSpec) AllowFrom(blocks ...string) *VPCSpec {
	rule := map[string]any{"protocol": "all", "source": blocks}
	v.Set("security_groups/default", map[string]any{"ingress": []any{rule}})
	return v
}

// Subnet adds the subnet of a zone. Without it, a subnet is made for every zone in which
// something is, with the next free 1/256 of the VPC's addresses.
func (v *VPCSpec) Subnet(zone, cidr string) *VPCSpec {
	v.subnets[zone] = zone
	v.Set(topology.JoinPath("subnets", zone), map[string]string{"zone": zone, "cidr": cidr})
	return v
}

// subnet is that of a zone.
func (v *VPCSpec) subnet(zone string) string {
	if name := v.subnets[zone]; name != "" {
		return name
	}
	block, err := netip.ParsePrefix(v.cidr)
	if err != nil {
		return v.Subnet(zone, v.cidr).subnets[zone] // the check of the file says what is wrong
	}
	bits := min(block.Bits()+8, 28)
	addr := block.Masked().Addr().As4()
	n := uint32(addr[0])<<24 | uint32(addr[1])<<16 | uint32(addr[2])<<8 | uint32(addr[3])
	n += uint32(len(v.subnets)) << (32 - bits)
	next := netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
	return v.Subnet(zone, netip.PrefixFrom(next, bits).String()).subnets[zone]
}

func (v *VPCSpec) subnetsOf(zones []string) (names []string) {
	for _, zone := range zones {
		names = append(names, v.subnet(zone))
	}
	return names
}

// Instance adds an instance in a zone.
func (v *VPCSpec) Instance(name, zone string) *InstanceSpec {
	in := &InstanceSpec{part: part{v.top, v.path + "/" + topology.JoinPath("instances", name)}, vpc: v, name: name}
	v.top.Set(in.path, map[string]any{"subnet": v.subnet(zone)})
	if !slices.Contains(v.zones, zone) {
		v.zones = append(v.zones, zone)
	}
	return in
}

// LoadBalancer adds a load balancer, of type nlb, clb or alb, in zones: those of the
// VPC's instances so far where none is named.
func (v *VPCSpec) LoadBalancer(name, kind string, zones ...string) *LoadBalancerSpec {
	if len(zones) == 0 {
		zones = slices.Clone(v.zones)
	}
	lb := &LoadBalancerSpec{part: part{v.top, topology.JoinPath("load_balancers", name)}, vpc: v, name: name, zones: zones}
	v.top.Set(lb.path, map[string]any{"type": kind, "vpc": v.name, "subnets": v.subnetsOf(zones), "listeners": []any{}})
	return lb
}

// Endpoint adds an endpoint that leads to a service, in zones: all of the service's where
// none is named.
func (v *VPCSpec) Endpoint(name string, to *ServiceSpec, zones ...string) *EndpointSpec {
	if len(zones) == 0 {
		zones = to.zones
	}
	e := &EndpointSpec{part{v.top, topology.JoinPath("endpoints", name)}}
	v.top.Set(e.path, map[string]any{"service": to.name, "vpc": v.name, "subnets": v.subnetsOf(zones)})
	return e
}

// InstanceSpec is an instance of a Topology.
type InstanceSpec struct {
	part
	vpc  *VPCSpec
	name string
}

// VPC is the instance's.
func (i *InstanceSpec) VPC() *VPCSpec { return i.vpc }

func (i *InstanceSpec) service(value map[string]any) *InstanceSpec {
	i.Set("services/-", value)
	return i
}

// HTTP adds a web server that answers with a body, in which {client} stands for the
// client's address.
func (i *InstanceSpec) HTTP(port uint16, body string) *InstanceSpec {
	return i.service(map[string]any{"http": port, "body": body})
}

// Echo adds a server that sends back what it gets, by TCP and UDP.
func (i *InstanceSpec) Echo(port uint16) *InstanceSpec {
	return i.service(map[string]any{"echo": port})
}

// Command adds a program of this machine. That needs a lab in the kernel.
func (i *InstanceSpec) Command(argv ...string) *InstanceSpec {
	return i.service(map[string]any{"command": argv})
}

// At is a port of the instance as a target of a listener.
func (i *InstanceSpec) At(port uint16) TargetSpec { return TargetSpec{i.name, port} }

// TargetSpec is where a listener leads.
type TargetSpec struct {
	instance string
	port     uint16
}

// LoadBalancerSpec is a load balancer of a Topology.
type LoadBalancerSpec struct {
	part
	vpc   *VPCSpec
	name  string
	zones []string
}

// Listen adds a listener, and a server group for it. The protocol is tcp, udp or
// tcp_udp, and http or https of an alb.
func (l *LoadBalancerSpec) Listen(protocol string, port uint16, to ...TargetSpec) *ListenerSpec {
	number := strconv.Itoa(int(port))
	group := l.name + "-" + strings.ReplaceAll(protocol, "_", "-") + "-" + number
	servers := []any{}
	for _, target := range to {
		servers = append(servers, map[string]any{"instance": target.instance, "port": target.port})
	}
	behind := protocol
	if protocol == "https" {
		behind = "http" // as is usual: the load balancer decrypts
	}
	l.top.Set(topology.JoinPath("server_groups", group),
		map[string]any{"vpc": l.vpc.name, "protocol": behind, "servers": servers})
	l.Set("listeners/-", map[string]any{"protocol": protocol, "port": port, "server_group": group})
	at := "/listeners/protocol=" + protocol + ",port=" + number
	return &ListenerSpec{
		part: part{l.top, l.path + at}, group: part{l.top, topology.JoinPath("server_groups", group)}, name: group,
	}
}

// ListenerSpec is a listener of a Topology.
type ListenerSpec struct {
	part
	group part
	name  string
}

// SetGroup sets a key of the listener's server group: SetGroup("health_check/interval",
// "5s").
func (l *ListenerSpec) SetGroup(key string, value any) { l.group.Set(key, value) }

// Group is the name of the listener's server group.
func (l *ListenerSpec) Group() string { return l.name }

// ServiceSpec is an endpoint service of a Topology.
type ServiceSpec struct {
	part
	name  string
	zones []string
}

// AutoAccept connects endpoints without asking the owner.
func (s *ServiceSpec) AutoAccept() *ServiceSpec {
	s.Set("auto_accept", true)
	return s
}

// Allow lets other accounts make endpoints.
func (s *ServiceSpec) Allow(accounts ...string) *ServiceSpec {
	s.Set("whitelist", accounts)
	return s
}

// EndpointSpec is an endpoint of a Topology.
type EndpointSpec struct{ part }

// marshal writes a value in YAML, of which JSON is a part.
func marshal(value any) (string, error) {
	text, err := yaml.Marshal(value)
	return strings.TrimSpace(string(text)), err
}

func yamlOf(t testing.TB, value any) string {
	t.Helper()
	text, err := marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
