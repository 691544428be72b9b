package topofile

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/plinksim/plinksim/internal/derive"
	"github.com/plinksim/plinksim/internal/spell"
	"github.com/plinksim/plinksim/pkg/topology"
)

type rawHost struct {
	Address value[underlayAddr]     `yaml:"address,required" doc:"its address in the underlay, such as 198.18.0.1"`
	Zones   sequence[value[string]] `yaml:"zones,required" doc:"the zones whose subnets are on it"`
	Node    *yaml.Node
	Count   counted `yaml:"count" doc:"how many of these there are, NAME-1 and so on, with $n for the number in"`
	_       more    `doc:"their values; one where it is missing"`
}

type rawUnderlay struct {
	MTU  value[int] `yaml:"mtu" doc:"the longest IP packet that it carries; 1500 where it is missing" range:"576..65535"`
	Port value[int] `yaml:"port" doc:"the UDP port of VXLAN on every host; 14789 where it is" range:"1..65535"`
	_    more       `doc:"missing"`
	Node *yaml.Node
}

// underlayAddr is an address of either version.
type underlayAddr netip.Addr

func parseUnderlayAddr(text string, v *underlayAddr) (hint string, err error) {
	addr, err := netip.ParseAddr(text)
	switch {
	case err != nil:
		return "write an address such as 198.18.0.1", fmt.Errorf("is %q, not an IP address", text)
	case addr.Zone() != "" || addr.Is4In6() || addr.IsUnspecified() || addr.IsLoopback() || addr.IsMulticast():
		return "write the address at which other hosts reach it", fmt.Errorf("is %s, at which no other host reaches it", addr)
	}
	*v = underlayAddr(addr)
	return "", nil
}

// What an underlay is where the file does not say it: Ethernet, and a port that clouds
// do not block, as they may do with VXLAN's own 4789 (srl-labs/containerlab, pull request
// 1532).
const underlayMTU, underlayPort = 1500, 14789

// hostBuilder builds the hosts of a lab that is spread over several.
type hostBuilder struct{ *addresses }

func (b hostBuilder) build() {
	raw := b.raw.Hosts
	if raw.Node == nil {
		if u := b.raw.Underlay; u != nil && u.Node != nil {
			b.problem(u.Node, "add hosts, or remove it", "there is an underlay, and there are no hosts")
		}
		return
	}
	b.plan.Underlay = topology.Underlay{MTU: underlayMTU, Port: underlayPort}
	if u := b.raw.Underlay; u != nil {
		b.plan.Underlay = topology.Underlay{MTU: u.MTU.or(underlayMTU), Port: uint16(u.Port.or(underlayPort))}
	}
	switch n := len(raw.Entries); {
	case n == 0 && raw.Node.Kind != yaml.MappingNode && !isNull(raw.Node):
		return // which was said
	case n == 0:
		b.problem(raw.Node, "add one: a: {address: 198.18.0.1, zones: [ZONE]}, or remove the key",
			"there are no hosts")
		return
	case n > topology.MaxHosts:
		b.problem(raw.Node, fmt.Sprintf("leave %d", topology.MaxHosts), "there are %d hosts", n)
		return
	}
	each(b.draft, "host", raw.Entries, b.host)
	before := len(b.problems)
	b.zones()
	b.packets()
	if len(b.problems) == before {
		b.gateways()
		b.bandwidths()
	}
}

func (b hostBuilder) host(e *entry[rawHost]) {
	who := fmt.Sprintf("host %q", e.Name)
	h := topology.Host{Name: e.Name, Address: netip.Addr(e.Value.Address.V)}
	if v := e.Value.Address; v.given() {
		b.where(who, v.Node, h.Address)
	}
	for _, v := range e.Value.Zones.Items {
		if !v.given() {
			continue
		}
		switch other := b.plan.HostOf(v.V); {
		case slices.Contains(h.Zones, v.V):
			b.problem(v.Node, "remove it", "%s: zone %s is named twice", who, v.V)
		case other != nil:
			b.problem(v.Node, "leave it to one of them", "%s: zone %s is on host %q already", who, v.V, other.Name)
		default:
			h.Zones = append(h.Zones, v.V)
		}
	}
	b.plan.Hosts = append(b.plan.Hosts, h)
}

// where notes an address that does not fit those of the hosts before.
func (b hostBuilder) where(who string, node *yaml.Node, addr netip.Addr) {
	for _, other := range b.plan.Hosts {
		switch {
		case !other.Address.IsValid():
		case other.Address == addr:
			b.problem(node, "give one of them another address", "%s has the address of host %q, %s", who, other.Name, addr)
		case other.Address.Is4() != addr.Is4():
			b.problem(node, "write addresses of one version",
				"%s has the address %s, and host %q has %s", who, addr, other.Name, other.Address)
		}
	}
}

// zones notes subnets that are on no host, and zones without subnets.
func (b hostBuilder) zones() {
	used := map[string]bool{}
	for e, vpc := range pairs(b.raw.VPCs.Entries, b.plan.VPCs) {
		for s, sub := range pairs(e.Value.Subnets.Entries, vpc.Subnets) {
			if sub.Zone != "" && !used[sub.Zone] && b.plan.HostOf(sub.Zone) == nil {
				b.problem(s.Value.Zone.Node, "add it to the zones of host "+spell.Either(b.plan.NamesOfHosts()),
					"zone %s of subnet %q is on no host", sub.Zone, sub.Name)
			}
			used[sub.Zone] = true
		}
	}
	for e, h := range pairs(b.raw.Hosts.Entries, b.plan.Hosts) {
		for _, zone := range h.Zones {
			if !used[zone] {
				b.warn(e.Key, "correct its name, or leave it for later", "host %q has zone %s, in which there is no subnet", h.Name, zone)
			}
		}
	}
}

// packets notes VPCs whose packets the underlay does not carry.
func (b hostBuilder) packets() {
	over := topology.VXLANOverhead(b.plan.Hosts[0].Address)
	for e, vpc := range pairs(b.raw.VPCs.Entries, b.plan.VPCs) {
		node := e.Value.MTU.Node
		if node == nil {
			node = e.Key
		}
		if most := b.plan.Underlay.MTU - over; vpc.MTU > most {
			b.problem(node, fmt.Sprintf("write mtu: %d in the vpc, or underlay: {mtu: %d} where all cards and switches "+
				"between the hosts carry that", most, vpc.MTU+over),
				"vpc %q has packets of %d bytes, VXLAN adds %d, and the underlay carries %d",
				vpc.Name, vpc.MTU, over, b.plan.Underlay.MTU)
		}
	}
}

// gateways notes reverse endpoints on other hosts than their gateways: the sessions of one
// data plane leave by its own ENIs.
func (b hostBuilder) gateways() {
	for e, gw := range pairs(b.raw.NATGateways.Entries, b.plan.NATGateways) {
		for f, entry := range pairs(e.Value.FullNAT.Entries, gw.Entries) {
			from, to := b.plan.HostOf(gw.ENI.Zone), b.plan.HostOf(entry.Zone)
			if from != nil && to != nil && from.Name != to.Name {
				b.problem(f.Value.Endpoint.Node, fmt.Sprintf("put zones %s and %s on one host", gw.ENI.Zone, entry.Zone),
					"FullNAT entry %q leads from NAT gateway %q in zone %s, on host %q, to endpoint %q in zone %s, on host %q",
					entry.Name, gw.Name, gw.ENI.Zone, from.Name, entry.Endpoint, entry.Zone, to.Name)
			}
		}
	}
}

// bandwidths warns of connections with one bandwidth for all zones that are on several hosts.
func (b hostBuilder) bandwidths() {
	if b.can.BandwidthPerZone {
		return
	}
	for e, ep := range pairs(b.raw.Endpoints.Entries, b.plan.Endpoints) {
		if i := ep.Impairments; i.ToProvider.Bandwidth == 0 && i.ToConsumer.Bandwidth == 0 {
			continue
		}
		var on []string
		for _, z := range ep.Zones {
			if h := b.plan.HostOf(z.Zone); h != nil && !slices.Contains(on, h.Name) {
				on = append(on, h.Name)
			}
		}
		if len(on) > 1 {
			b.warn(e.Key, "", "endpoint %q has one bandwidth for all its zones, and gets it on each of the hosts %s",
				ep.Name, strings.Join(on, " and "))
		}
	}
}

// choose decides the numbers of VXLANs, and where health checks come from on each host.
// The first host with subnets of a VPC has the address that the VPC would have on one machine.
func (b hostBuilder) choose() {
	if len(b.plan.Hosts) == 0 {
		return
	}
	taken := map[int]bool{0: true}
	for i := range b.plan.VPCs {
		vpc := &b.plan.VPCs[i]
		vpc.VNI = int(derive.Hash(b.plan.Name+"/vni/"+vpc.Name) & (1<<24 - 1))
		for taken[vpc.VNI] {
			vpc.VNI = (vpc.VNI + 1) & (1<<24 - 1)
		}
		taken[vpc.VNI] = true
		for j := range b.plan.Hosts {
			vpc.HealthSources = append(vpc.HealthSources, b.healthSource(vpc, j))
		}
	}
}

func (b hostBuilder) healthSource(vpc *topology.VPC, host int) netip.Addr {
	if b.can.SharedBlock.IsValid() {
		if host == 0 {
			return vpc.HealthSource
		}
		return b.fromShared(vpc, "health/"+vpc.Name+"/"+b.plan.Hosts[host].Name)
	}
	for _, sub := range vpc.Subnets {
		if slices.Contains(b.plan.Hosts[host].Zones, sub.Zone) {
			return sub.Gateway
		}
	}
	return netip.Addr{}
}
