package topology

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/plinksim/plinksim/internal/spell"
	"github.com/plinksim/plinksim/pkg/packet"
)

// Account finds an account by name. The error is a *NotFoundError.
func (p *Plan) Account(name string) (*Account, error) {
	return find("account", name, p.Accounts, func(a *Account) string { return a.Name })
}

// VPC finds a VPC by name. The error is a *NotFoundError.
func (p *Plan) VPC(name string) (*VPC, error) {
	return find("vpc", name, p.VPCs, func(v *VPC) string { return v.Name })
}

// Subnet finds a subnet of the VPC by name. The error is a *NotFoundError.
func (v *VPC) Subnet(name string) (*Subnet, error) {
	return find("subnet", name, v.Subnets, func(s *Subnet) string { return s.Name })
}

// SecurityGroup finds a security group of the VPC by name. The error is a
// *NotFoundError.
func (v *VPC) SecurityGroup(name string) (*SecurityGroup, error) {
	return find("security group", name, v.SecurityGroups, func(g *SecurityGroup) string { return g.Name })
}

// Instance finds an instance by its name, by its ID, by VPC/NAME where several VPCs have
// one of that name, or by its tag Name where nothing else has the name. The error is a
// *NotFoundError, or says between which instances to choose.
func (p *Plan) Instance(ref string) (*Instance, error) {
	var found []*Instance
	vpc, name, whole := strings.Cut(ref, "/")
	for i := range p.VPCs {
		for j := range p.VPCs[i].Instances {
			in := &p.VPCs[i].Instances[j]
			if in.Name == ref || in.ID == ref || whole && in.Name == name && in.VPC == vpc {
				found = append(found, in)
			}
		}
	}
	switch len(found) {
	case 0:
		if vpc, name, tagged, err := p.Alias("instances", "", ref); err != nil {
			return nil, err
		} else if tagged {
			return p.Instance(vpc + "/" + name)
		}
		return nil, &NotFoundError{Kind: "instance", Name: ref, Known: p.instanceNames(strings.Contains(ref, "/"))}
	case 1:
		return found[0], nil
	}
	var refs []string
	for _, in := range found {
		refs = append(refs, in.Ref())
	}
	return nil, fmt.Errorf("there are several instances %q: write %s", ref, strings.Join(refs, " or "))
}

func (p *Plan) instanceNames(withVPC bool) []string {
	var out []string
	for i := range p.VPCs {
		for j := range p.VPCs[i].Instances {
			in := &p.VPCs[i].Instances[j]
			if withVPC {
				out = append(out, in.Ref())
			} else {
				out = append(out, in.Name)
			}
		}
	}
	return out
}

// Running finds an instance as Instance does. Where it is switched off, the error is
// a *StoppedError.
func (p *Plan) Running(ref string) (*Instance, error) {
	in, err := p.Instance(ref)
	if err == nil && in.Stopped {
		return nil, &StoppedError{p.ShortName(*in), in.Ref()}
	}
	return in, err
}

// StoppedError says that nothing runs on an instance.
type StoppedError struct {
	Name string
	Ref  string // VPC/NAME
}

func (e *StoppedError) Error() string { return fmt.Sprintf("instance %q is stopped", e.Name) }

// Hint says what to do.
func (e *StoppedError) Hint() string {
	return fmt.Sprintf("\"plinksim instance start %s\" starts it", e.Ref)
}

// CIDRs are the VPC's IPv4 blocks, the primary one first.
func (v *VPC) CIDRs() []netip.Prefix { return append([]netip.Prefix{v.CIDR}, v.SecondaryCIDRs...) }

// Blocks are the VPC's IPv4 blocks as a message has them.
func (v *VPC) Blocks() string {
	out := v.CIDR.String()
	for _, block := range v.SecondaryCIDRs {
		out += ", " + block.String()
	}
	return out
}

// Contains says whether an address is in one of the VPC's IPv4 blocks.
func (v *VPC) Contains(addr netip.Addr) bool {
	return slices.ContainsFunc(v.CIDRs(), func(block netip.Prefix) bool { return block.Contains(addr) })
}

// Overlaps says whether one of the VPC's IPv4 blocks and a prefix have an address in common.
func (v *VPC) Overlaps(p netip.Prefix) bool { return slices.ContainsFunc(v.CIDRs(), p.Overlaps) }

// SubnetOf is the subnet of the VPC that an address is in, or nil.
func (v *VPC) SubnetOf(addr netip.Addr) *Subnet {
	for i := range v.Subnets {
		if v.Subnets[i].CIDR.IsValid() && v.Subnets[i].CIDR.Contains(addr) {
			return &v.Subnets[i]
		}
	}
	return nil
}

// Ref is the instance's name with its VPC's: vpc1/ecs1. It is unique in the
// lab.
func (i *Instance) Ref() string { return i.VPC + "/" + i.Name }

// ServerGroup finds a server group by name. The error is a *NotFoundError.
func (p *Plan) ServerGroup(name string) (*ServerGroup, error) {
	return find("server group", name, p.ServerGroups, func(g *ServerGroup) string { return g.Name })
}

// InstanceOf is the instance that a server of a group is, nil of an alb's node
// and of an address that no instance has.
func (p *Plan) InstanceOf(g *ServerGroup, s Server) *Instance {
	if s.Instance != "" {
		in, _ := p.Instance(s.Instance)
		return in
	}
	for _, vpc := range append(p.Peers(g.VPC), p.MustVPC(g.VPC)) {
		i := slices.IndexFunc(vpc.Instances, func(in Instance) bool { return in.IP == s.IP })
		if i >= 0 {
			return &vpc.Instances[i]
		}
	}
	return nil
}

// LoadBalancer finds a load balancer by name. The error is a *NotFoundError.
func (p *Plan) LoadBalancer(name string) (*LoadBalancer, error) {
	return find("load balancer", name, p.LoadBalancers, func(l *LoadBalancer) string { return l.Name })
}

// Node finds the load balancer's node in a zone. The error is a
// *NotFoundError.
func (l *LoadBalancer) Node(zone string) (*Node, error) {
	return find("zone", zone, l.Nodes, func(n *Node) string { return n.Zone })
}

// NATGateway finds a NAT gateway by name. The error is a *NotFoundError.
func (p *Plan) NATGateway(name string) (*NATGateway, error) {
	return find("NAT gateway", name, p.NATGateways, func(g *NATGateway) string { return g.Name })
}

// Service finds an endpoint service by name. The error is a *NotFoundError.
func (p *Plan) Service(name string) (*EndpointService, error) {
	return find("endpoint service", name, p.Services, func(s *EndpointService) string { return s.Name })
}

// Endpoint finds an endpoint by name. The error is a *NotFoundError.
func (p *Plan) Endpoint(name string) (*Endpoint, error) {
	return find("endpoint", name, p.Endpoints, func(e *Endpoint) string { return e.Name })
}

// Zone finds the endpoint's presence in a zone. The error is a
// *NotFoundError.
func (e *Endpoint) Zone(zone string) (*EndpointZone, error) {
	return find("zone", zone, e.Zones, func(z *EndpointZone) string { return z.Zone })
}

// carrierNAT is the shared address space (RFC 6598, 7).
var carrierNAT = netip.MustParsePrefix("100.64.0.0/10")

// PrivateDNS says whether endpoints in the VPC can have private DNS names.
func (v *VPC) PrivateDNS() bool { return v.DNSHostnames && len(v.Resolvers) > 0 }

// BalancerBlock is the block from which the VPC's load balancers probe servers and,
// if they are CLBs, reach them with sessions. Security groups let all of it pass
// (Alibaba Cloud, CLB documentation, "Health check FAQ"). It is not valid where
// health checks come from an address of the VPC.
func (v *VPC) BalancerBlock() netip.Prefix {
	if carrierNAT.Contains(v.HealthSource) {
		return carrierNAT
	}
	return netip.Prefix{}
}

// IPv6HealthSource is the address from which servers see health checks come by
// IPv6: that of the first gateway, as outside of Alibaba Cloud by IPv4.
func (v *VPC) IPv6HealthSource() netip.Addr {
	for i := range v.Subnets {
		if gateway := v.Subnets[i].IPv6Gateway; gateway.IsValid() {
			return gateway
		}
	}
	return netip.Addr{}
}

// IPv6MAC is the Ethernet address of the instance that has an IPv6 address in the VPC: a
// device has one address for both versions.
func (v *VPC) IPv6MAC(addr netip.Addr) (packet.MAC, bool) {
	for i := range v.Instances {
		if v.Instances[i].IPv6 == addr {
			return v.Instances[i].MAC, true
		}
	}
	return packet.MAC{}, false
}

// NotFoundError says that a name stands for nothing in the topology.
type NotFoundError struct {
	Kind  string   // endpoint, instance, …
	Name  string   // as it was asked for
	Known []string // the names that exist, in the order of the file
}

// Error names what was asked for and what may have been meant.
func (e *NotFoundError) Error() string {
	return fmt.Sprintf("there is no %s %q: %s", e.Kind, e.Name, spell.Suggest(e.Name, e.Known))
}

// find returns the element with a name, or a NotFoundError.
func find[T any](kind, name string, all []T, nameOf func(*T) string) (*T, error) {
	for i := range all {
		if nameOf(&all[i]) == name {
			return &all[i], nil
		}
	}
	return nil, &NotFoundError{Kind: kind, Name: name, Known: spell.Names(all, nameOf)}
}
