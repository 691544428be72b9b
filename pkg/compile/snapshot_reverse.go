package compile

import (
	"net/netip"
	"slices"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/fullnat"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
)

func gatewayStatus(plan *topology.Plan, gw control.NATGateway) status.NATGateway {
	planned := gw.Planned
	out := status.NATGateway{
		Name: gw.Name, ID: planned.ID, TableID: planned.TableID, Type: planned.Type, Account: planned.Account,
		State: gw.Status, Modified: gw.Modified,
		VPC: planned.VPC, Subnet: planned.Subnet, Zone: planned.ENI.Zone, ENI: planned.ENI.ID, IP: planned.ENI.IP,
		CIDR:   planned.CIDR,
		NATIPs: []status.NATIP{}, Entries: []status.FullNATEntry{},
	}
	for _, ip := range gw.NATIPs {
		status := status.NATIP{ID: ip.ID, IP: ip.IP, State: ip.Status, Default: ip.IP == planned.ENI.IP}
		for _, e := range gw.Entries {
			if e.Spec.NATIP == ip.IP {
				status.Entries++
			}
		}
		out.NATIPs = append(out.NATIPs, status)
	}
	for _, e := range gw.Entries {
		out.Entries = append(out.Entries, entryStatus(plan, e))
	}
	return out
}

func entryStatus(plan *topology.Plan, e control.FullNATEntry) status.FullNATEntry {
	spec := e.Spec
	out := status.FullNATEntry{
		Name: e.Name, ID: spec.ID, State: e.Status, Modified: e.Modified, Protocol: string(spec.Protocol),
		NAT: netip.AddrPortFrom(spec.NATIP, spec.NATPort), Access: netip.AddrPortFrom(spec.AccessIP, spec.AccessPort),
		Endpoint: spec.Endpoint, ENI: spec.Endpoint + "@" + spec.Zone, Domain: spec.Domain,
	}
	if eni, err := plan.ENI(out.ENI); err == nil {
		out.SeenAs = eni.IP
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

// ByReceiver are the counters of links with directions that name who gets the
// packets. To the core, the side that opens a session is the consumer and its target
// the provider; of reverse links it is the other way round.
func ByReceiver(plan *topology.Plan, links []fullnat.LinkStats) []fullnat.LinkStats {
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
