package topofile

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/plinksim/plinksim/internal/derive"
	"github.com/plinksim/plinksim/pkg/topology"
)

// vpcs builds the VPCs. Addresses of different VPCs are never compared: that
// they may overlap is what endpoints are for.
func (b *builder) vpcs() {
	if b.raw.VPCs.Node != nil && len(b.raw.VPCs.Entries) == 0 && b.raw.VPCs.Node.Kind != yaml.SequenceNode {
		b.problem(b.raw.VPCs.Node, "add one: vpc1: {cidr: 10.0.0.0/16, subnets: {...}}", "there are no vpcs")
	}
	// Instances last, so that a hint can name subnets of VPCs further down.
	for i := range b.raw.VPCs.Entries {
		e := &b.raw.VPCs.Entries[i]
		b.object("vpc", e.Name, func() { b.vpc(e) })
	}
	for i := range b.raw.VPCs.Entries {
		vpc, e := &b.plan.VPCs[i], &b.raw.VPCs.Entries[i]
		for j := range e.Value.Instances.Entries {
			in := &e.Value.Instances.Entries[j]
			b.object("instance", vpc.Name+"/"+in.Name, func() { b.instance(vpc, in) })
		}
	}
}

func (b *builder) vpc(e *entry[rawVPC]) {
	who := fmt.Sprintf("vpc %q", e.Name)
	cidr := b.network(who, "cidr", e.Value.CIDR)
	vpc := topology.VPC{
		Name:      e.Name,
		ID:        b.ids.ID("vpc", e.Name),
		Account:   b.owner(who, e.Value.Account, e.Key),
		CIDR:      cidr,
		Namespace: e.Name,
		MTU:       b.can.MTU,
	}
	vpc.IPv6CIDR = b.vpcIPv6(who, e.Value.IPv6CIDR)
	if cidr.IsValid() {
		vpc.Resolvers = b.can.ResolversOf(cidr)
		if !b.vpcBlock(who, e.Value.CIDR.Node, cidr) {
			// What is inside the block need not be moved twice.
			vpc.CIDR = netip.Prefix{}
		}
	}
	b.upstreams(who, &vpc, e.Value.DNSUpstreams)
	if n := e.Value.Subnets.Node; n != nil && isNull(n) || n != nil && n.Kind == yaml.MappingNode && len(n.Content) == 0 {
		b.problem(n, "add one: vsw1: {zone: "+b.plan.Region+"a, cidr: 10.0.0.0/24}", "%s has no subnets", who)
	}
	for i := range e.Value.Subnets.Entries {
		s := &e.Value.Subnets.Entries[i]
		b.object("subnet", e.Name+"/"+s.Name, func() { b.subnet(&vpc, s) })
	}
	for i := range e.Value.SecurityGroups.Entries {
		g := &e.Value.SecurityGroups.Entries[i]
		b.object("security group", e.Name+"/"+g.Name, func() { b.securityGroup(&vpc, g) })
	}
	b.plan.VPCs = append(b.plan.VPCs, vpc)
}

// vpcBlock applies the cloud's rules for a VPC's addresses.
func (b *builder) vpcBlock(who string, node *yaml.Node, cidr netip.Prefix) bool {
	for _, f := range b.can.Limits.Forbidden {
		if f.Overlaps(cidr) {
			b.problem(node, "use a block of 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16", "%s: cidr %s overlaps %s, which a vpc cannot have", who, cidr, f)
			return false
		}
	}
	if !b.mask(who, node, cidr, b.can.Limits.VPCWidest, b.can.Limits.VPCNarrowest) {
		return false
	}
	if cidr.Bits() < b.can.Limits.VPCUsual {
		b.warn(node, fmt.Sprintf("a mask from /%d to /%d is what %s recommends", b.can.Limits.VPCUsual, b.can.Limits.VPCNarrowest, b.plan.Cloud),
			"%s: cidr %s is wider than usual", who, cidr)
	}
	return true
}

func (b *builder) mask(who string, node *yaml.Node, cidr netip.Prefix, widest, narrowest int) bool {
	if cidr.Bits() < widest || cidr.Bits() > narrowest {
		b.problem(node, fmt.Sprintf("use a mask from /%d to /%d", widest, narrowest), "%s: cidr %s has a mask that %s does not take", who, cidr, b.plan.Cloud)
		return false
	}
	return true
}

func (b *builder) subnet(vpc *topology.VPC, e *entry[rawSubnet]) {
	who := fmt.Sprintf("subnet %q", e.Name)
	cidr := b.network(who, "cidr", e.Value.CIDR)
	subnet := topology.Subnet{
		Name: e.Name,
		ID:   b.ids.Subnet(vpc.Name + "/" + e.Name),
		Zone: e.Value.Zone.V,
		CIDR: cidr,
	}
	if e.Value.Zone.given() {
		b.zone(who, e.Value.Zone)
	}
	if cidr.IsValid() {
		b.subnetBlock(who, e.Value.CIDR.Node, vpc, cidr)
		subnet.Gateway = derive.Nth(cidr, b.can.Gateway)
	}
	b.subnetIPv6(who, vpc, &subnet, e.Value.IPv6CIDR)
	vpc.Subnets = append(vpc.Subnets, subnet)
}

// zone notes a zone that cannot be part of a domain name, and warns of one
// that seems to be in another region.
func (b *builder) zone(who string, zone value[string]) {
	b.name(zone.Node, who, topology.MaxZone)
	if b.can.RegionalZone && b.plan.Region != "" && !strings.HasPrefix(zone.V, b.plan.Region) {
		b.warn(zone.Node, "zones of a region begin with its name", "%s: zone %s does not look like one of region %s", who, zone.V, b.plan.Region)
	}
}

// subnetBlock applies the cloud's rules for a subnet's addresses.
func (b *builder) subnetBlock(who string, node *yaml.Node, vpc *topology.VPC, cidr netip.Prefix) {
	b.mask(who, node, cidr, b.can.Limits.SubnetWidest, b.can.Limits.SubnetNarrowest)
	if vpc.CIDR.IsValid() && !derive.Contains(vpc.CIDR, cidr) {
		b.problem(node, fmt.Sprintf("give the subnet a part of %s, or the vpc a block that holds %s", vpc.CIDR, cidr),
			"%s: cidr %s is not inside vpc %q (%s)", who, cidr, vpc.Name, vpc.CIDR)
	}
	for _, other := range vpc.Subnets {
		if other.CIDR.IsValid() && other.CIDR.Overlaps(cidr) {
			b.problem(node, "subnets of one vpc must not overlap", "%s: cidr %s overlaps subnet %q (%s)", who, cidr, other.Name, other.CIDR)
			return
		}
	}
}

func (b *builder) securityGroup(vpc *topology.VPC, e *entry[rawSecurityGroup]) {
	group := topology.SecurityGroup{Name: e.Name, ID: b.ids.ID("sg", vpc.Name+"/"+e.Name)}
	who := fmt.Sprintf("security group %q", e.Name)
	for _, r := range e.Value.Ingress.Items {
		group.Ingress = append(group.Ingress, b.rule(who, "source", rawRule{r.Protocol, r.Ports, prefix(r.Source), r.Action, r.Priority}))
	}
	if e.Value.Egress.Node != nil {
		group.Egress = []topology.Rule{}
	}
	for _, r := range e.Value.Egress.Items {
		group.Egress = append(group.Egress, b.rule(who, "destination", rawRule{r.Protocol, r.Ports, prefix(r.Destination), r.Action, r.Priority}))
	}
	vpc.SecurityGroups = append(vpc.SecurityGroups, group)
}

// rawRule is a rule of either direction.
type rawRule struct {
	Protocol value[string]
	Ports    value[ports]
	Peer     value[netip.Prefix]
	Action   value[string]
	Priority value[int]
}

func (b *builder) rule(who, peer string, r rawRule) topology.Rule {
	span, protocol := r.Ports.or(ports{0, 65535}), topology.Protocol(r.Protocol.V)
	if r.Ports.given() && (protocol == topology.ICMP || protocol == topology.AllProtocols) {
		b.problem(r.Ports.Node, "remove ports, or write protocol: tcp or udp", "%s: a rule for %s has no ports", who, r.Protocol.V)
	}
	if !b.can.DenyRules && r.Action.V == "deny" {
		b.problem(r.Action.Node, "leave the rule out: what no rule allows is denied", "%s: security groups of %s cannot deny", who, b.plan.Cloud)
	}
	if !b.can.DenyRules && r.Priority.given() {
		b.problem(r.Priority.Node, "remove it: every rule is asked", "%s: rules of %s have no priority", who, b.plan.Cloud)
	}
	return topology.Rule{
		Deny:      r.Action.V == "deny",
		Priority:  r.Priority.or(1),
		Protocol:  protocol,
		FirstPort: span.First,
		LastPort:  span.Last,
		Peer:      b.network(who, peer, r.Peer),
	}
}

func (b *builder) instance(vpc *topology.VPC, e *entry[rawInstance]) {
	who := fmt.Sprintf("instance %q", e.Name)
	in := topology.Instance{
		Name:      e.Name,
		ID:        b.ids.ID("i", vpc.Name+"/"+e.Name),
		VPC:       vpc.Name,
		Subnet:    e.Value.Subnet.V,
		IP:        e.Value.IP.V,
		Namespace: vpc.Namespace + "." + e.Name,
		Device:    "eth0",
		DNSName:   e.Name + "." + vpc.Name + ".internal",
	}
	subnet := refer(b, who, e.Value.Subnet, vpc.Subnet)
	if subnet != nil {
		in.Zone = subnet.Zone
	}
	b.address(who, e.Value.IP, vpc, subnet)
	in.IPv6 = b.givenIPv6(who, e.Value.IPv6, vpc, subnet)
	in.SecurityGroups = b.groups(who, vpc, e.Value.SecurityGroups)
	for _, s := range e.Value.Services.Items {
		b.instanceService(who, &in, s)
	}
	vpc.Instances = append(vpc.Instances, in)
}

// groups are the names of security groups of a VPC.
func (b *builder) groups(who string, vpc *topology.VPC, refs sequence[value[string]]) []string {
	var out []string
	for _, ref := range refs.Items {
		group := refer(b, who, ref, vpc.SecurityGroup)
		switch {
		case group == nil:
		case slices.Contains(out, group.Name):
			b.problem(ref.Node, "remove it", "%s: security group %q is named twice", who, group.Name)
		default:
			out = append(out, group.Name)
		}
	}
	return out
}

// listening are the protocols on which a kind of service has its port.
var listening = map[string][]string{"http": {"tcp"}, "echo": {"tcp", "udp"}, "tcp": {"tcp"}, "udp": {"udp"}}

func (b *builder) instanceService(who string, in *topology.Instance, raw rawInstanceService) {
	if raw.Node == nil {
		return
	}
	s := topology.InstanceService{Body: raw.Body.or(in.Name)}
	kinds := 0
	for _, k := range []struct {
		kind string
		port value[int]
	}{{"http", raw.HTTP}, {"echo", raw.Echo}, {"tcp", raw.TCP}, {"udp", raw.UDP}} {
		if k.port.given() || k.port.Bad {
			s.Kind, s.Port = k.kind, uint16(k.port.V)
			kinds++
		}
	}
	if raw.Command.given() || raw.Command.Bad {
		s.Kind, s.Argv = "command", raw.Command.V
		kinds++
	}
	if kinds != 1 {
		b.problem(raw.Node, "write one of http, echo, tcp, udp and command for each service", "%s: a service has %d kinds", who, kinds)
		return
	}
	if s.Kind == "command" || s.Kind == "echo" {
		s.Body = ""
		if raw.Body.given() {
			b.problem(raw.Body.Node, "remove it", "%s: a service of kind %s has no body", who, s.Kind)
		}
	}
	if s.Kind == "command" && raw.Command.given() && len(s.Argv) == 0 {
		b.problem(raw.Command.Node, "name a program", "%s: the command is empty", who)
	}
	if other := sharedPort(in.Services, s); other != "" {
		b.problem(raw.Node, "give one of them another port", "%s: services %s and %s want the same port %d", who, other, s.Kind, s.Port)
	}
	in.Services = append(in.Services, s)
}

// sharedPort is the kind of a service that listens where s would.
func sharedPort(all []topology.InstanceService, s topology.InstanceService) string {
	for _, other := range all {
		if s.Port == 0 || other.Port != s.Port {
			continue
		}
		for _, protocol := range listening[s.Kind] {
			if slices.Contains(listening[other.Kind], protocol) {
				return other.Kind
			}
		}
	}
	return ""
}
