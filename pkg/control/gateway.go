package control

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/plinksim/plinksim/pkg/topology"
)

// NATGateway is a NAT gateway with all that it has, also what is just being
// deleted.
type NATGateway struct {
	Object
	Planned *topology.NATGateway // what the file says of it
	NATIPs  []NATIP              // the gateway's own address first
	Entries []FullNATEntry       // in the order of the file, then by name
}

// NATIP is where a NAT IP is in its life.
type NATIP struct {
	Object
	topology.NATIP
}

// FullNATEntry is where an entry is in its life.
type FullNATEntry struct {
	Object
	Spec topology.FullNATEntry
}

// gateway is what the plane holds of a NAT gateway beside the plan: a record
// of each of its NAT IPs and entries, those of the plan and others.
type gateway struct {
	object
	NATIPs  map[string]*natIP `json:"nat_ips,omitempty"`  // by address
	Entries map[string]*entry `json:"full_nat,omitempty"` // by name
}

type natIP struct {
	object
	Made *topology.NATIP `json:"made,omitempty"` // where the plan has it not
}

type entry struct {
	object
	Spec *topology.FullNATEntry `json:"spec,omitempty"` // where it is not the plan's
}

// there reports whether the data plane should know an object.
func (o *object) there() bool { return o.State != Gone && o.State != Deleting }

func (g gateway) clone() *gateway {
	ips, entries := map[string]*natIP{}, map[string]*entry{}
	for key, ip := range g.NATIPs {
		if ip != nil { // as null in a saved state
			copied := *ip
			ips[key] = &copied
		}
	}
	for key, e := range g.Entries {
		if e != nil {
			copied := *e
			entries[key] = &copied
		}
	}
	g.NATIPs, g.Entries = ips, entries
	return &g
}

// fit makes a record for everything of the plan, and drops what was made or
// changed and does not go with the plan.
func (g *gateway) fit(plan *topology.Plan, planned *topology.NATGateway, now time.Time) {
	kept := map[string]bool{}
	for _, ip := range planned.NATIPs {
		key := ip.IP.String()
		kept[key] = true
		if g.NATIPs[key] == nil {
			g.NATIPs[key] = &natIP{object: newObject("", false, now)}
		}
		g.NATIPs[key].Made = nil
	}
	maps.DeleteFunc(g.NATIPs, func(key string, ip *natIP) bool {
		return !kept[key] && (ip.Made == nil || plan.CheckNATIP(planned, ip.Made.IP) != nil)
	})
	clear(kept)
	for _, e := range planned.Entries {
		kept[e.Name] = true
		if g.Entries[e.Name] == nil {
			g.Entries[e.Name] = &entry{object: newObject("", false, now)}
		}
	}
	g.dropImpossible(plan, planned)
	for _, name := range slices.Sorted(maps.Keys(g.Entries)) {
		e := g.Entries[name]
		// One that was changed goes with the file's, one that was made stays.
		if made := e.Exists != nil && *e.Exists && e.Spec != nil; !kept[name] && !made {
			delete(g.Entries, name)
		}
	}
}

// dropImpossible makes entries the plan's again that cannot be as they were
// changed. One that is the plan's again may have a port that another was
// changed to, so it goes on until all that is left is possible.
func (g *gateway) dropImpossible(plan *topology.Plan, planned *topology.NATGateway) {
	for dropped := true; dropped; {
		dropped = false
		for _, e := range g.Entries {
			if e.Spec != nil && !g.possible(plan, planned, e.Spec) {
				e.Spec, dropped = nil, true
			}
		}
	}
}

// possible says whether an entry that the plan has not so goes with the plan:
// its ends are there, and no entry of the plan has its port.
func (g *gateway) possible(plan *topology.Plan, planned *topology.NATGateway, spec *topology.FullNATEntry) bool {
	for _, e := range planned.Entries {
		if held := g.Entries[e.Name]; held.Spec == nil && held.there() && e.Name != spec.Name &&
			e.NATIP == spec.NATIP && e.NATPort == spec.NATPort && e.Protocol == spec.Protocol {
			return false
		}
	}
	ep, err := plan.Endpoint(spec.Endpoint)
	if err != nil {
		return false
	}
	service, err := plan.Service(ep.Service)
	if err != nil || !service.OffersGateway(planned.Name) {
		return false
	}
	_, err = ep.Zone(spec.Zone)
	return err == nil && g.NATIPs[spec.NATIP.String()] != nil
}

// merged is the gateway as it is now. What is being deleted is not in it.
func (g *gateway) merged(planned topology.NATGateway) topology.NATGateway {
	out := planned
	out.NATIPs, out.Entries = nil, nil
	for _, ip := range g.ips(&planned) {
		if g.NATIPs[ip.IP.String()].there() {
			out.NATIPs = append(out.NATIPs, ip)
		}
	}
	for _, e := range g.entries(&planned) {
		if g.Entries[e.Name].there() {
			out.Entries = append(out.Entries, e)
		}
	}
	return out
}

// ips are the NAT IPs of the plan and then those that were made, also those
// that are gone.
func (g *gateway) ips(planned *topology.NATGateway) []topology.NATIP {
	out := slices.Clone(planned.NATIPs)
	for _, key := range slices.Sorted(maps.Keys(g.NATIPs)) {
		if made := g.NATIPs[key].Made; made != nil {
			out = append(out, *made)
		}
	}
	return out
}

// entries are those of the plan, as they are now, and then those that were
// made, also those that are gone.
func (g *gateway) entries(planned *topology.NATGateway) (out []topology.FullNATEntry) {
	known := map[string]bool{}
	for _, e := range planned.Entries {
		known[e.Name] = true
		if spec := g.Entries[e.Name].Spec; spec != nil {
			e = *spec
		}
		out = append(out, e)
	}
	for _, name := range slices.Sorted(maps.Keys(g.Entries)) {
		if !known[name] {
			out = append(out, *g.Entries[name].Spec)
		}
	}
	return out
}

// changed reports whether there are any overrides.
func (g *gateway) changed() bool {
	changed := g.Exists != nil
	for _, ip := range g.NATIPs {
		changed = changed || ip.Made != nil || ip.Exists != nil
	}
	for _, e := range g.Entries {
		changed = changed || e.Spec != nil || e.Exists != nil
	}
	return changed
}

// fittedGateways is fitted for NAT gateways.
func (l overrides) fittedGateways(plan *topology.Plan, cloud topology.Cloud, now time.Time) map[string]*gateway {
	out := map[string]*gateway{}
	for i := range plan.NATGateways {
		planned := &plan.NATGateways[i]
		owner := fmt.Sprintf("%s/%s/%s", planned.Account, planned.VPC, planned.CIDR)
		g := l.gateways[planned.Name]
		if g == nil || g.Owner != owner || cloud != plan.Cloud {
			g = &gateway{object: newObject(owner, false, now)}
		}
		g = g.clone()
		g.fit(plan, planned, now)
		out[planned.Name] = g
	}
	return out
}

// revise makes everything of a gateway as new as a revision.
func (g *gateway) revise(revision uint64) {
	g.revision = revision
	for _, ip := range g.NATIPs {
		ip.revision = revision
	}
	for _, e := range g.Entries {
		e.revision = revision
	}
}

// forget drops the records of what was made and is gone.
func (g *gateway) forget(planned *topology.NATGateway) {
	maps.DeleteFunc(g.NATIPs, func(_ string, ip *natIP) bool { return ip.Made != nil && ip.State == Gone })
	for name, e := range g.Entries {
		if e.State != Gone {
			continue
		}
		e.Spec = nil
		if !slices.ContainsFunc(planned.Entries, func(p topology.FullNATEntry) bool { return p.Name == name }) {
			delete(g.Entries, name)
		}
	}
}
