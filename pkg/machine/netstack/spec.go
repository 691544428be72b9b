package netstack

import (
	"net/netip"

	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/topology"
)

// spec is what a stack is made from. Stacks with equal specs are equal.
type spec struct {
	name     string
	forwards bool
	loopback []netip.Prefix
	devices  []deviceSpec
	routes   []routeSpec
	rules    *rules // of the security groups; nil where nothing is filtered
}

// deviceSpec is a device on the switch of a subnet.
type deviceSpec struct {
	subnet    string // the key of the subnet
	mac       packet.MAC
	mtu       int
	addresses []netip.Prefix
}

// routeSpec leads to a device, by number, or to a gateway behind it.
type routeSpec struct {
	to     netip.Prefix
	via    netip.Addr // zero: what is there is on the device's subnet
	device int
}

// subnetKey names the switch of a subnet.
func subnetKey(vpc *topology.VPC, subnet string) string { return vpc.Namespace + "/" + subnet }

// specsOf are the stacks of a plan.
func specsOf(plan *topology.Plan) []spec {
	var specs []spec
	for i := range plan.VPCs {
		vpc := &plan.VPCs[i]
		specs = append(specs, routerSpec(plan, vpc))
		for j := range vpc.Instances {
			if in := &vpc.Instances[j]; !in.Stopped {
				specs = append(specs, instanceSpec(plan, vpc, in))
			}
		}
	}
	for i := range plan.LoadBalancers {
		balancer := &plan.LoadBalancers[i]
		for j := range balancer.Nodes {
			if node := &balancer.Nodes[j]; node.Proxy != nil {
				specs = append(specs, proxySpec(plan, balancer, node))
			}
		}
	}
	return specs
}

// loopback is what every stack has.
var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/8"), netip.MustParsePrefix("::1/128")}

// routerSpec is that of a VPC, which routes between its subnets and has the
// addresses of its resolver.
//
// A kernel answers ARP for all that it has at every device, a stack at the device
// that has the address. And nobody forwards what is for a link-local address (RFC
// 3927, 2.7), not even to itself. So these addresses are where they are asked for.
func routerSpec(plan *topology.Plan, vpc *topology.VPC) spec {
	s := spec{name: vpc.Namespace, forwards: true, loopback: append([]netip.Prefix{}, loopback...)}
	for i := range vpc.Subnets {
		sub := &vpc.Subnets[i]
		d := deviceSpec{subnet: subnetKey(vpc, sub.Name), mac: sub.MAC, mtu: vpc.MTU}
		d.add(sub.Gateway, sub.CIDR)
		d.add(sub.IPv6Gateway, sub.IPv6CIDR)
		for _, block := range plan.NATBlocks(vpc, sub) {
			s.routes = append(s.routes, routeSpec{to: block, device: i})
		}
		s.devices = append(s.devices, d)
	}
	for _, addr := range plan.OwnAddresses(vpc) {
		s.addOwn(vpc, addr)
	}
	s.onLink()
	return s
}

func (s *spec) addOwn(vpc *topology.VPC, addr netip.Addr) {
	alone := netip.PrefixFrom(addr, addr.BitLen())
	everywhere, somewhere := addr.IsLinkLocalUnicast(), false
	for i := range vpc.Subnets {
		sub, d := &vpc.Subnets[i], &s.devices[i]
		switch {
		case addr == sub.Gateway || addr == sub.IPv6Gateway:
			somewhere = true
		case everywhere || sub.CIDR.Contains(addr) || sub.IPv6CIDR.Contains(addr):
			d.addresses = append(d.addresses, alone)
			somewhere = true
		}
	}
	if !somewhere {
		s.loopback = append(s.loopback, alone)
	}
}

func instanceSpec(plan *topology.Plan, vpc *topology.VPC, in *topology.Instance) spec {
	s := hostSpec(vpc, vpc.MustSubnet(in.Subnet), in.Namespace, in.MAC, in.IP, in.IPv6)
	for _, block := range plan.NATBlocks(vpc, vpc.MustSubnet(in.Subnet)) {
		s.routes = append(s.routes, routeSpec{to: block})
	}
	s.rules = rulesOf(plan, vpc, in.SecurityGroups)
	return s
}

// proxySpec is that of an ALB's node.
func proxySpec(plan *topology.Plan, balancer *topology.LoadBalancer, node *topology.Node) spec {
	vpc := plan.MustVPC(balancer.VPC)
	sub, p := vpc.MustSubnet(node.Subnet), node.Proxy
	s := hostSpec(vpc, sub, p.Namespace, p.MAC, p.IP, netip.Addr{})
	for _, block := range node.Consumers(sub) {
		s.routes = append(s.routes, routeSpec{to: block})
	}
	s.rules = rulesOf(plan, vpc, balancer.SecurityGroups)
	return s
}

// hostSpec is what a host in a subnet is, of whatever kind.
func hostSpec(vpc *topology.VPC, sub *topology.Subnet, name string, mac packet.MAC, ip, ipv6 netip.Addr) spec {
	d := deviceSpec{subnet: subnetKey(vpc, sub.Name), mac: mac, mtu: vpc.MTU}
	d.add(ip, sub.CIDR)
	s := spec{name: name, loopback: loopback}
	s.routes = append(s.routes, routeSpec{to: netip.PrefixFrom(netip.IPv4Unspecified(), 0), via: sub.Gateway})
	if ipv6.IsValid() {
		d.add(ipv6, sub.IPv6CIDR)
		s.routes = append(s.routes, routeSpec{to: netip.PrefixFrom(netip.IPv6Unspecified(), 0), via: sub.IPv6Gateway})
	}
	s.devices = []deviceSpec{d}
	s.onLink()
	return s
}

// add gives a device an address of a subnet, where there is one.
func (d *deviceSpec) add(addr netip.Addr, subnet netip.Prefix) {
	if addr.IsValid() {
		d.addresses = append(d.addresses, netip.PrefixFrom(addr, subnet.Bits()))
	}
}

// onLink adds routes to the subnets of the devices.
func (s *spec) onLink() {
	for i, d := range s.devices {
		for _, a := range d.addresses {
			if !a.IsSingleIP() {
				s.routes = append(s.routes, routeSpec{to: a.Masked(), device: i})
			}
		}
	}
}
