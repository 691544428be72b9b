package host

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Steps lists everything that a lab is in the kernel, in the order of making.
// The same plan gives the same steps on every machine.
func Steps(plan *topology.Plan) []Step {
	var steps []Step
	for _, t := range tasks(plan) {
		steps = append(steps, t.Step)
	}
	return steps
}

// Script writes the steps down as a shell script, for people to read. On a
// machine with iproute2, nftables and procps it makes the same namespaces by
// hand.
func Script(plan *topology.Plan) string {
	var b strings.Builder
	b.WriteString("#!/bin/sh -e\n")
	what := ""
	for _, t := range tasks(plan) {
		if t.what != what {
			what = t.what
			fmt.Fprintf(&b, "\n# %s\n", what)
		}
		fmt.Fprintln(&b, t.Step)
	}
	return b.String()
}

// task is a step with what it is for, in the user's words.
type task struct {
	what string
	Step
}

// group is a list of tasks in the order of making. The first group of a lab
// comes before the others, which do not depend on each other.
type group []task

func (g *group) add(what string, steps ...Step) {
	for _, s := range steps {
		*g = append(*g, task{what, s})
	}
}

func tasks(plan *topology.Plan) []task {
	return slices.Concat(groups(plan)...)
}

func groups(plan *topology.Plan) []group {
	gs := []group{dataplaneGroup(plan)}
	for _, part := range plan.Parts(nil) {
		gs = append(gs, vpcGroup(plan, part))
	}
	return gs
}

// withoutIPv6 comes before any device is up, so that none gets an address. It
// holds for the devices to come, too (Linux, ip-sysctl: conf/all/disable_ipv6).
const withoutIPv6 = "net.ipv6.conf.all.disable_ipv6=1"

// A new namespace inherits the host's IPv4 parameters, whatever they are, so
// every one that matters is set.
const (
	// The frames that arrive are for the packet socket alone: the kernel
	// answers no ARP and forwards nothing.
	dataplaneSettings = "net.ipv4.ip_forward=0 net.ipv4.conf.all.arp_ignore=8 " + withoutIPv6
	// The VPC is the router between its subnets. Reverse path filters would
	// drop what a load balancer's node sends from its NAT IPs.
	vpcSettings = "net.ipv4.ip_forward=1" +
		" net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.default.send_redirects=0" +
		" net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 " + withoutIPv6 +
		" net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-arptables=0"
	instanceSettings = "net.ipv4.ip_forward=0 " + withoutIPv6

	// Addresses and routes of IPv6 are given, and nobody announces others. They
	// are known to be free, so that nobody has to wait for a probe.
	withIPv6 = "net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.default.disable_ipv6=0" +
		" net.ipv6.conf.all.accept_ra=0 net.ipv6.conf.default.accept_ra=0" +
		" net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0"
	forwardsIPv6 = withIPv6 + " net.ipv6.conf.all.forwarding=1"
)

func dataplaneGroup(plan *topology.Plan) group {
	var g group
	g.add("the data plane, where every ENI ends",
		Netns{plan.Dataplane},
		Sysctl{plan.Dataplane, dataplaneSettings},
	)
	for i := range plan.VPCs {
		if len(plan.Peers(plan.VPCs[i].Name)) > 0 {
			addVPC(&g, plan, &plan.VPCs[i])
		}
	}
	for i := range plan.Peerings {
		addPeering(&g, plan, i)
	}
	return g
}

// addPeering makes a pair of devices between two VPCs, each of which routes the
// other's addresses over it, and the address that its health checks come from.
// The ends have addresses of 169.254.240.0/20, which no VPC has.
func addPeering(g *group, plan *topology.Plan, number int) {
	p := plan.Peerings[number]
	one, other := plan.MustVPC(p.VPCs[0]), plan.MustVPC(p.VPCs[1])
	ends := [2]netip.Addr{}
	for i := range ends {
		at := 4*number + 1 + i
		ends[i] = netip.AddrFrom4([4]byte{169, 254, 240 + byte(at>>8), byte(at)})
	}
	what := fmt.Sprintf("peering %s of VPCs %s and %s", p.Name, one.Name, other.Name)
	g.add(what, Veth{
		Namespace: one.Namespace, Port: p.Devices[0], PortMAC: packet.MACOf(ends[0]), MTU: min(one.MTU, other.MTU),
		PeerNamespace: other.Namespace, Peer: p.Devices[1], PeerMAC: packet.MACOf(ends[1]),
	})
	for i, vpc := range []*topology.VPC{one, other} {
		peer := []*topology.VPC{other, one}[i]
		g.add(what,
			Address{vpc.Namespace, p.Devices[i], netip.PrefixFrom(ends[i], 30)},
		)
		for _, block := range peer.CIDRs() {
			g.add(what, Route{Namespace: vpc.Namespace, Device: p.Devices[i], Dst: block, Via: ends[1-i]})
		}
		for _, source := range peer.Probers() {
			if !peer.Contains(source) {
				g.add(what, Route{Namespace: vpc.Namespace, Device: p.Devices[i], Dst: host(source), Via: ends[1-i]})
			}
		}
	}
}

func vpcGroup(plan *topology.Plan, part *topology.Part) group {
	var g group
	vpc := part.VPC
	if len(part.Peers) == 0 {
		addVPC(&g, plan, vpc)
	}
	for i := range vpc.Subnets {
		addSubnet(&g, vpc, &vpc.Subnets[i], plan.NATBlocks(vpc, &vpc.Subnets[i]))
	}
	addTransit(&g, vpc)
	common := newInstances(plan, vpc)
	for i := range vpc.Instances {
		if in := &vpc.Instances[i]; !in.Stopped {
			common.add(&g, in)
		}
	}
	for _, eni := range part.ENIs() {
		addENI(&g, plan, vpc, eni)
	}
	for _, lb := range part.LoadBalancers {
		for i := range lb.Nodes {
			if lb.Nodes[i].Proxy != nil {
				common.addProxy(&g, lb, &lb.Nodes[i])
			}
		}
	}
	return g
}

// settings are with those of IPv6, if there is any, instead of switching it off.
func settings(all string, hasIPv6 bool, ipv6 string) string {
	if !hasIPv6 {
		return all
	}
	return strings.Replace(all, withoutIPv6, ipv6, 1)
}

func addVPC(g *group, plan *topology.Plan, vpc *topology.VPC) {
	ns := vpc.Namespace
	what := fmt.Sprintf("VPC %s", vpc.Name)
	g.add(what,
		Netns{ns},
		Sysctl{ns, settings(vpcSettings, vpc.IPv6CIDR.IsValid(), forwardsIPv6)},
		LinkUp{ns, "lo"},
	)
	for _, addr := range plan.OwnAddresses(vpc) {
		g.add(what, Address{ns, "lo", host(addr)})
	}
}

func addSubnet(g *group, vpc *topology.VPC, sub *topology.Subnet, nat []netip.Prefix) {
	ns := vpc.Namespace
	what := fmt.Sprintf("subnet %s of VPC %s", sub.Name, vpc.Name)
	g.add(what,
		Bridge{ns, sub.Bridge, sub.MAC, vpc.MTU},
		Address{ns, sub.Bridge, netip.PrefixFrom(sub.Gateway, sub.CIDR.Bits())},
	)
	if sub.IPv6CIDR.IsValid() {
		g.add(what, Address{ns, sub.Bridge, netip.PrefixFrom(sub.IPv6Gateway, sub.IPv6CIDR.Bits())})
	}
	// Whoever answers a session from a NAT IP must find the node behind it, and
	// whoever connects to one the gateway.
	for _, block := range nat {
		g.add(what, Route{Namespace: ns, Device: sub.Bridge, Dst: block})
	}
}

// instances are those of a VPC and the proxies of its albs, with what several of them
// have in common.
type instances struct {
	plan      *topology.Plan
	vpc       *topology.VPC
	names     []topology.HostName
	nat       map[string][]netip.Prefix // by subnet
	firewalls map[string]Firewall       // by the names of the security groups
}

func newInstances(plan *topology.Plan, vpc *topology.VPC) *instances {
	return &instances{plan, vpc, plan.HostNames(vpc.Name), map[string][]netip.Prefix{}, map[string]Firewall{}}
}

func (i *instances) natBlocks(sub *topology.Subnet) []netip.Prefix {
	blocks, known := i.nat[sub.Name]
	if !known {
		blocks = i.plan.NATBlocks(i.vpc, sub)
		i.nat[sub.Name] = blocks
	}
	return blocks
}

// firewall is what members of security groups are behind, in their namespace.
func (i *instances) firewall(groups []string, namespace string, ipv6 bool) Firewall {
	key := strings.Join(groups, " ")
	f, known := i.firewalls[key]
	if !known {
		f = firewallOf(i.plan, i.vpc, groups)
		i.firewalls[key] = f
	}
	f.Namespace, f.IPv6 = namespace, ipv6
	return f
}

func (i *instances) add(g *group, inst *topology.Instance) {
	vpc, sub := i.vpc, i.vpc.MustSubnet(inst.Subnet)
	ns, dev := inst.Namespace, inst.Device
	what := fmt.Sprintf("instance %s of VPC %s", inst.Name, vpc.Name)
	g.add(what,
		Netns{ns},
		Sysctl{ns, settings(instanceSettings, inst.IPv6.IsValid(), withIPv6)},
		LinkUp{ns, "lo"},
		Veth{
			Namespace: vpc.Namespace, Port: inst.Port, PortMAC: portMAC(inst.MAC), Bridge: sub.Bridge, MTU: vpc.MTU,
			PeerNamespace: ns, Peer: dev, PeerMAC: inst.MAC,
		},
		Address{ns, dev, netip.PrefixFrom(inst.IP, sub.CIDR.Bits())},
		Route{Namespace: ns, Device: dev, Dst: netip.PrefixFrom(netip.IPv4Unspecified(), 0), Via: sub.Gateway},
	)
	if inst.IPv6.IsValid() {
		g.add(what,
			Address{ns, dev, netip.PrefixFrom(inst.IPv6, sub.IPv6CIDR.Bits())},
			Route{Namespace: ns, Device: dev, Dst: netip.PrefixFrom(netip.IPv6Unspecified(), 0), Via: sub.IPv6Gateway},
		)
	}
	// Straight to a node or a gateway in the same subnet, without the router.
	for _, block := range i.natBlocks(sub) {
		g.add(what, Route{Namespace: ns, Device: dev, Dst: block})
	}
	g.add(what,
		File{ns, "resolv.conf", topology.ResolvConf(vpc)},
		File{ns, "hosts", topology.HostsFile(inst, i.names)},
		File{ns, "nsswitch.conf", nsswitch},
	)
	if len(inst.SecurityGroups) > 0 {
		g.add(what, i.firewall(inst.SecurityGroups, ns, inst.IPv6.IsValid()))
	}
	if inst.SourceCheck {
		g.add(what,
			PortGuard{vpc.Namespace, inst.Port, inst.MAC, inst.IP, inst.IPv6},
			ReceiverGuard{ns, dev, inst.IP, inst.IPv6})
	}
}

func addENI(g *group, plan *topology.Plan, vpc *topology.VPC, eni *topology.ENI) {
	g.add(fmt.Sprintf("ENI %s in VPC %s", eni.Name, vpc.Name), Veth{
		Namespace: vpc.Namespace, Port: eni.Port, PortMAC: portMAC(eni.MAC),
		Bridge: vpc.MustSubnet(eni.Subnet).Bridge, MTU: vpc.MTU,
		PeerNamespace: plan.Dataplane, Peer: eni.Device, PeerMAC: deviceMAC(eni.MAC),
	})
}

// addProxy makes the namespace of an alb's node, which is in its subnet as an
// instance is, and has a way to the NAT IP that consumers' sessions come from.
func (i *instances) addProxy(g *group, balancer *topology.LoadBalancer, node *topology.Node) {
	vpc, proxy, sub := i.vpc, node.Proxy, i.vpc.MustSubnet(node.Subnet)
	ns, dev := proxy.Namespace, proxy.Device
	what := fmt.Sprintf("proxy of load balancer node %s in VPC %s", node.ENI.Name, vpc.Name)
	g.add(what,
		Netns{ns},
		Sysctl{ns, instanceSettings},
		LinkUp{ns, "lo"},
		Veth{
			Namespace: vpc.Namespace, Port: proxy.Port, PortMAC: portMAC(proxy.MAC), Bridge: sub.Bridge, MTU: vpc.MTU,
			PeerNamespace: ns, Peer: dev, PeerMAC: proxy.MAC,
		},
		Address{ns, dev, netip.PrefixFrom(proxy.IP, sub.CIDR.Bits())},
		Route{Namespace: ns, Device: dev, Dst: netip.PrefixFrom(netip.IPv4Unspecified(), 0), Via: sub.Gateway},
	)
	for _, block := range node.Consumers(sub) {
		g.add("its way back to consumers", Route{Namespace: ns, Device: dev, Dst: block})
	}
	if len(balancer.SecurityGroups) > 0 {
		g.add(what, i.firewall(balancer.SecurityGroups, ns, false))
	}
}

// deviceMAC is the address of an ENI's device. It differs from the ENI's own,
// so that the kernel takes every frame for another host's and leaves it alone.
func deviceMAC(eni packet.MAC) packet.MAC {
	eni[0] |= 4
	return eni
}

// portMAC is the address of a veth's end on the bridge, of its own as every
// address on a bridge must be. Nothing is ever sent to it.
func portMAC(owner packet.MAC) packet.MAC {
	owner[0] |= 8
	return owner
}

// nsswitch keeps name service modules of the host, which may ask outside of
// the lab, away from the names of hosts.
const nsswitch = "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n"
