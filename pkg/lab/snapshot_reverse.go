package lab

import (
	"net/netip"
	"slices"

	"github.com/plinksim/plinksim/pkg/fullnat"
	"github.com/plinksim/plinksim/pkg/topology"
)

func gatewayStatus(plan *topology.Plan, gw topology.NATGateway) NATGatewayStatus {
	out := NATGatewayStatus{
		Name: gw.Name, ID: gw.ID, TableID: gw.TableID, Type: gw.Type, Account: gw.Account,
		VPC: gw.VPC, Subnet: gw.Subnet, Zone: gw.ENI.Zone, ENI: gw.ENI.ID, IP: gw.ENI.IP, CIDR: gw.CIDR,
		NATIPs: []NATIPStatus{}, Entries: []FullNATEntryStatus{},
	}
	for _, ip := range gw.NATIPs {
		status := NATIPStatus{ID: ip.ID, IP: ip.IP, Default: ip.IP == gw.ENI.IP}
		for _, e := range gw.Entries {
			if e.NATIP == ip.IP {
				status.Entries++
			}
		}
		out.NATIPs = append(out.NATIPs, status)
	}
	for _, e := range gw.Entries {
		status := FullNATEntryStatus{
			Name: e.Name, ID: e.ID, Protocol: e.Protocol,
			NAT: netip.AddrPortFrom(e.NATIP, e.NATPort), Access: netip.AddrPortFrom(e.AccessIP, e.AccessPort),
			Endpoint: e.Endpoint, ENI: e.Endpoint + "@" + e.Zone, Domain: e.Domain,
		}
		if eni, err := plan.ENI(status.ENI); err == nil {
			status.SeenAs = eni.IP
		}
		out.Entries = append(out.Entries, status)
	}
	return out
}

// reverseLinks are the links whose clients are at the provider.
func reverseLinks(plan *topology.Plan) map[string]bool {
	out := map[string]bool{}
	for _, gw := range plan.NATGateways {
		for _, e := range gw.Entries {
			out[reverseLinkName(gw, e)] = true
		}
	}
	return out
}

// turned are the counters of links with directions that name who gets the
// packets. To the core, whoever opens a session is the consumer and its target
// the provider; of reverse links it is the other way round.
func turned(plan *topology.Plan, links []fullnat.LinkStats) []fullnat.LinkStats {
	reverse := reverseLinks(plan)
	out := slices.Clone(links)
	for i := range out {
		if l := &out[i]; reverse[l.Name] {
			l.PacketsToProvider, l.PacketsToConsumer = l.PacketsToConsumer, l.PacketsToProvider
			l.BytesToProvider, l.BytesToConsumer = l.BytesToConsumer, l.BytesToProvider
		}
	}
	return out
}
