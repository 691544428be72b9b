package lab

import (
	"net/netip"
	"time"

	"github.com/plinksim/plinksim/pkg/compile"
	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/dataplane"
	"github.com/plinksim/plinksim/pkg/dns"
	"github.com/plinksim/plinksim/pkg/lb"
	"github.com/plinksim/plinksim/pkg/packet"
)

// Metrics is a copy of every counter of a lab. Unlike Status it asks nothing of
// the kernel, so it may be taken often.
type Metrics struct {
	Lab, Cloud, Region string
	Started            time.Time
	Engine             dataplane.EngineStats
	Links              map[string]compile.LinkLabels // by name, of those that Engine counts
	ENIs               map[string]dataplane.ENIStats // by name, all that there are
	Workers            []dataplane.WorkerStats
	FlowCache          dataplane.FlowCacheStats
	NATPorts           []NATPortUse // the fullest pools
	Connections        []control.Connection
	Groups             map[string][]lb.ServerHealth
	Resolvers          map[string]dns.Stats // by VPC
	Proxies            []ProxyStats
	Paths              []PathStats // to the other hosts
	Problems           []string    // as status.Lab has them
}

// NATPortUse is how many of its ports towards a target a NAT IP uses.
type NATPortUse struct {
	ENI      string // by name
	Protocol string
	NATIP    netip.Addr
	Target   netip.AddrPort
	InUse    int
	Limit    int
}

// maxNATPortUse bounds how many pools Metrics tells of: there is one for each
// NAT IP and target.
const maxNATPortUse = 100

// Problems are sentences about what is wrong with the lab itself, as its status has them.
func (l *Lab) Problems() []string { return l.saved.problems() }

// Metrics reads the counters.
func (l *Lab) Metrics() Metrics {
	plan, engine, ports := l.Plan(), l.engine.Stats(), l.engine.PortUse(maxNATPortUse)
	engine.Table.Links = compile.ByReceiver(l.plane.State().Plan, engine.Table.Links)
	m := Metrics{
		Lab: plan.Name, Cloud: string(plan.Cloud), Region: plan.Region, Started: l.started,
		Engine: engine, Workers: l.engine.Each(), FlowCache: l.engine.FlowCache(), ENIs: map[string]dataplane.ENIStats{},
		Connections: l.plane.State().Connections,
		Groups:      map[string][]lb.ServerHealth{}, Resolvers: map[string]dns.Stats{},
		Links: map[string]compile.LinkLabels{},
	}
	labels := compile.LabelsOfLinks(plan)
	for _, link := range engine.Table.Links {
		m.Links[link.Name] = labels(link.Name)
	}
	m.Problems, m.Paths = l.Problems(), l.paths.stats()
	m.Proxies = l.proxies.stats(l.pace.of(l.here.of(plan)))
	used := map[packet.ENI]dataplane.ENIStats{}
	for _, s := range engine.ENIs {
		used[s.ENI] = s
	}
	names := l.numbers.names(l.here.of(plan))
	for number, name := range names {
		m.ENIs[name] = used[number]
	}
	for _, use := range ports {
		m.NATPorts = append(m.NATPorts, NATPortUse{
			names[use.ENI], compile.ProtocolName(use.Protocol), use.Local, use.Target, use.InUse, use.Limit,
		})
	}
	for _, sg := range plan.ServerGroups {
		if group := l.groups.group(sg.Name); group != nil {
			m.Groups[sg.Name] = group.Health()
		}
	}
	for _, vpc := range plan.VPCs {
		if server := l.resolvers.of(&vpc); server != nil {
			m.Resolvers[vpc.Name] = server.Stats()
		}
	}
	return m
}
