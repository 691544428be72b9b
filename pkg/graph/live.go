package graph

import (
	"net/netip"

	"github.com/plinksim/plinksim/pkg/status"
)

// LiveOf is what the status of a lab says of states.
func LiveOf(s status.Lab) Live {
	live := Live{Zones: map[string]Zone{}, Servers: map[netip.AddrPort]bool{}, Faults: map[string]string{}}
	open := map[string]bool{"Connected": true, "available": true}
	for _, ep := range s.Endpoints {
		for _, z := range ep.Zones {
			live.Zones[ep.Name+"@"+z.Zone] = Zone{Word: z.State, Open: open[z.State]}
		}
	}
	for _, group := range s.ServerGroups {
		for _, server := range group.Servers {
			live.Servers[server.Address] = server.Healthy
		}
	}
	for _, f := range s.ENIFaults {
		live.Faults[f.Name] = f.Fault
	}
	return live
}
