package host

import (
	"fmt"
	"net/netip"

	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/topology"
)

// twoVPCs is a consumer and a provider with the same addresses, and between
// them an endpoint and a load balancer with one node.
func twoVPCs() *topology.Plan {
	consumer := testVPC("vpc1", "vsw1", "10.10.2.0/24", "ecs1", "10.10.2.1")
	provider := testVPC("vpc2", "vsw2", "10.10.2.0/24", "ecs2", "10.10.2.1")
	addSubnetTo(&provider, "vsw3", "10.10.3.0/24")
	addInstanceTo(&provider, "vsw3", "ecs3", "10.10.3.1")
	return &topology.Plan{
		Name: "two-vpcs", Cloud: "alibaba", Dataplane: "dataplane",
		VPCs: []topology.VPC{consumer, provider},
		LoadBalancers: []topology.LoadBalancer{{
			Name: "clb1", Type: "clb", VPC: "vpc2",
			Nodes: []topology.Node{{
				Zone: "b", Subnet: "vsw2", ENI: testENI("clb1@b", "vpc2", "vsw2", "10.10.2.240", "eni2"),
				Local: []netip.Addr{netip.MustParseAddr("100.64.0.16")},
			}},
		}},
		NATGateways: []topology.NATGateway{{
			Name: "ngw1", VPC: "vpc2", Subnet: "vsw3", ENI: testENI("ngw1@b", "vpc2", "vsw3", "10.10.3.240", "eni3"),
			CIDR: netip.MustParsePrefix("10.99.0.0/24"),
			Entries: []topology.FullNATEntry{
				{NATIP: netip.MustParseAddr("10.99.0.5"), NATPort: 3306, Domain: "mysql1.com"},
				{NATIP: netip.MustParseAddr("10.99.0.5"), NATPort: 3307, Domain: "mysql1.com"},
				{NATIP: netip.MustParseAddr("10.99.0.7"), NATPort: 3306},
			},
		}},
		Endpoints: []topology.Endpoint{{
			Name: "ep1", VPC: "vpc1",
			Zones: []topology.EndpointZone{{Zone: "b", Subnet: "vsw1", ENI: testENI("ep1@b", "vpc1", "vsw1", "10.10.2.240", "eni1")}},
		}},
	}
}

func testVPC(name, subnet, cidr, instance, ip string) topology.VPC {
	vpc := topology.VPC{
		Name: name, Namespace: name, MTU: 1500,
		CIDR:         netip.MustParsePrefix("10.10.0.0/16"),
		Resolvers:    []netip.Addr{netip.MustParseAddr("100.100.2.136"), netip.MustParseAddr("100.100.2.138")},
		HealthSource: netip.MustParseAddr("100.64.0.1"),
	}
	addSubnetTo(&vpc, subnet, cidr)
	addInstanceTo(&vpc, subnet, instance, ip)
	return vpc
}

// addSubnetTo makes the last address but two the gateway.
func addSubnetTo(vpc *topology.VPC, name, cidr string) {
	prefix := netip.MustParsePrefix(cidr)
	a := prefix.Addr().As4()
	a[3] = 253
	gateway := netip.AddrFrom4(a)
	vpc.Subnets = append(vpc.Subnets, topology.Subnet{
		Name: name, Zone: "b", CIDR: prefix, Gateway: gateway, MAC: packet.MACOf(gateway), Bridge: "br-" + name,
	})
}

func addInstanceTo(vpc *topology.VPC, subnet, name, ip string) *topology.Instance {
	addr := netip.MustParseAddr(ip)
	vpc.Instances = append(vpc.Instances, topology.Instance{
		Name: name, VPC: vpc.Name, Subnet: subnet, Zone: "b", IP: addr, MAC: packet.MACOf(addr),
		Namespace: vpc.Name + "." + name, Device: "eth0", Port: name,
		DNSName: fmt.Sprintf("%s.%s.internal", name, vpc.Name),
	})
	return &vpc.Instances[len(vpc.Instances)-1]
}

func testENI(name, vpc, subnet, ip, device string) topology.ENI {
	addr := netip.MustParseAddr(ip)
	return topology.ENI{
		Name: name, VPC: vpc, Subnet: subnet, Zone: "b", IP: addr, MAC: packet.MACOf(addr), Device: device, Port: device,
	}
}

func rule(protocol topology.Protocol, first, last uint16, peer string) topology.Rule {
	return topology.Rule{Priority: 1, Protocol: protocol, FirstPort: first, LastPort: last, Peer: netip.MustParsePrefix(peer)}
}

// large has vpcs VPCs with the instances and endpoints shared out evenly.
func large(vpcs, instances, endpoints int) *topology.Plan {
	plan := &topology.Plan{Name: "large", Dataplane: "dataplane"}
	for v := range vpcs {
		vpc := topology.VPC{
			Name: fmt.Sprintf("vpc%d", v), Namespace: fmt.Sprintf("vpc%d", v), MTU: 1500,
			CIDR:         netip.MustParsePrefix("10.10.0.0/16"),
			Resolvers:    []netip.Addr{netip.MustParseAddr("100.100.2.136"), netip.MustParseAddr("100.100.2.138")},
			HealthSource: netip.MustParseAddr("100.64.0.1"),
		}
		addSubnetTo(&vpc, "vsw1", "10.10.2.0/24")
		for i := range instances / vpcs {
			addInstanceTo(&vpc, "vsw1", fmt.Sprintf("ecs%d", i), fmt.Sprintf("10.10.2.%d", i+1))
		}
		for e := range endpoints / vpcs {
			device := fmt.Sprintf("eni%d-%d", v, e)
			name := fmt.Sprintf("ep%d-%d", v, e)
			plan.Endpoints = append(plan.Endpoints, topology.Endpoint{Name: name, VPC: vpc.Name, Zones: []topology.EndpointZone{{
				Zone: "b", Subnet: "vsw1", ENI: testENI(name+"@b", vpc.Name, "vsw1", fmt.Sprintf("10.10.2.%d", 200+e), device),
			}}})
		}
		plan.VPCs = append(plan.VPCs, vpc)
	}
	return plan
}
