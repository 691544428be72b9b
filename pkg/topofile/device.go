package topofile

import (
	"fmt"
	"strings"

	"github.com/plinksim/plinksim/internal/derive"
	"github.com/plinksim/plinksim/pkg/topology"
)

// deviceBuilder names every interface: bridges and the ends on them in each
// VPC's namespace, and the far ends of ENIs in the data plane's.
type deviceBuilder struct{ *draft }

func (b deviceBuilder) build() {
	dataplane := newDevices()
	inVPC := map[string]*devices{}
	for i := range b.plan.VPCs {
		vpc := &b.plan.VPCs[i]
		here := newDevices()
		inVPC[vpc.Name] = here
		for j := range vpc.Subnets {
			vpc.Subnets[j].Bridge = here.name("br-" + vpc.Subnets[j].Name)
		}
		for j := range vpc.Instances {
			vpc.Instances[j].Port = here.name(vpc.Instances[j].Name)
		}
	}
	name := func(eni *topology.ENI, owner string) {
		wish := owner + "-" + b.shortZone(eni.Zone)
		eni.Device = dataplane.name(wish)
		eni.Port = inVPC[eni.VPC].name(wish)
	}
	for i := range b.plan.LoadBalancers {
		lb := &b.plan.LoadBalancers[i]
		for j := range lb.Nodes {
			name(&lb.Nodes[j].ENI, lb.Name)
			if proxy := lb.Nodes[j].Proxy; proxy != nil {
				proxy.Port = inVPC[lb.VPC].name(lb.Name + "-" + b.shortZone(lb.Nodes[j].Zone) + "-node")
			}
		}
	}
	for i := range b.plan.Peerings {
		p := &b.plan.Peerings[i]
		for j, vpc := range p.VPCs {
			p.Devices[j] = inVPC[vpc].name("pcx-" + p.Name)
		}
	}
	for i := range b.plan.NATGateways {
		name(&b.plan.NATGateways[i].ENI, b.plan.NATGateways[i].Name)
	}
	for i := range b.plan.Endpoints {
		ep := &b.plan.Endpoints[i]
		for j := range ep.Zones {
			name(&ep.Zones[j].ENI, ep.Name)
		}
	}
	b.countPorts()
}

// maxPorts is how many interfaces a Linux bridge takes: BR_MAX_PORTS, without
// port 0 (torvalds/linux:net/bridge/br_private.h, br_if.c).
const maxPorts = 1023

// countPorts notes subnets with more interfaces than their bridges take.
func (b deviceBuilder) countPorts() {
	ports := map[[2]string]int{} // of a VPC and a subnet
	for _, eni := range b.plan.ENIs() {
		ports[[2]string{eni.VPC, eni.Subnet}]++
	}
	for _, lb := range b.plan.LoadBalancers {
		for _, node := range lb.Nodes {
			if node.Proxy != nil {
				ports[[2]string{lb.VPC, node.Subnet}]++
			}
		}
	}
	for e, vpc := range pairs(b.raw.VPCs.Entries, b.plan.VPCs) {
		for _, in := range vpc.Instances {
			ports[[2]string{vpc.Name, in.Subnet}]++
		}
		for _, subnet := range e.Value.Subnets.Entries {
			if n := ports[[2]string{vpc.Name, subnet.Name}]; n > maxPorts {
				b.problem(subnet.Key, "put some of them into another subnet",
					"subnet %q has %d instances and ENIs, and %d are possible", subnet.Name, n, maxPorts)
			}
		}
	}
}

// shortZone is what tells a zone from others of the region: b for
// eu-central-1b.
func (b deviceBuilder) shortZone(zone string) string {
	rest := strings.TrimPrefix(strings.TrimPrefix(zone, b.plan.Region), "-")
	if rest == "" {
		return zone
	}
	return rest
}

// maxDevice is what Linux takes as the name of an interface: IFNAMSIZ is 16,
// with a NUL at the end (linux/if.h).
const maxDevice = 15

// devices hands out the interface names of one network namespace.
type devices struct {
	taken   map[string]bool
	crowded bool // one did not get the name that it would have got alone
}

// newDevices keeps the names that the kernel has for itself in every
// namespace: the loopback, and "all" and "default" of net.ipv4.conf.
func newDevices() *devices {
	return &devices{taken: map[string]bool{"lo": true, "all": true, "default": true}}
}

// name is the wish itself where it is short enough and free, otherwise its
// beginning and a part of a hash.
func (d *devices) name(wish string) string {
	name := wish
	for try := 0; d.taken[name] || len(name) > maxDevice; try++ {
		d.crowded = d.crowded || len(wish) <= maxDevice || try > 0
		suffix := fmt.Sprintf("-%04x", derive.Hash(wish+strings.Repeat("#", try))&0xffff)
		name = strings.TrimRight(wish[:min(len(wish), maxDevice-len(suffix))], "-") + suffix
	}
	d.taken[name] = true
	return name
}
