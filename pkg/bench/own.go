package bench

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Own is a user's topology that is measured instead of the benchmark's: from its instances,
// through its endpoints, to the servers behind them, with the bandwidths, impairments and security
// groups of its file.
type Own struct {
	source *topology.Plan
	routes []route
}

// route is from an instance through an endpoint to one of its ports.
type route struct {
	from     string // vpc/instance
	endpoint string
	to       netip.AddrPort
	protocol topology.Protocol
	servers  []topology.Server
}

func (w *route) name() string {
	_, short, _ := strings.Cut(w.from, "/")
	return fmt.Sprintf("%s to %s:%d", short, w.endpoint, w.to.Port())
}

// ownPaths are those of a user's topology: what is not plinksim knows nothing of its settings.
var ownPaths = []string{viaCore, viaCache}

// NewOwn finds what there is to measure in a plan of a file. from names instances that
// load; without any, each endpoint is loaded by the first one of its VPC that is in one of its zones, or else
// by the first. to names endpoints, with a port (ep1:443) or without; without any it is
// all endpoints. Without a port it is the first TCP and the first UDP listener.
func NewOwn(plan *topology.Plan, from, to []string) (*Own, error) {
	if len(plan.Hosts) > 0 {
		return nil, errors.New("a topology with hosts: cannot be measured on one machine: leave them out of the file")
	}
	o := &Own{source: plan}
	ports := map[string][]uint16{}
	for _, text := range to {
		name, port, hasPort := strings.Cut(text, ":")
		if _, err := plan.Endpoint(name); err != nil {
			return nil, err
		}
		if hasPort {
			n, err := strconv.ParseUint(port, 10, 16)
			if err != nil || n == 0 {
				return nil, fmt.Errorf("%q: want an endpoint and a port, for example ep1:443", text)
			}
			ports[name] = append(ports[name], uint16(n))
		} else if _, ok := ports[name]; !ok {
			ports[name] = nil
		}
	}
	why := "it has no endpoint"
	for i := range plan.Endpoints {
		e := &plan.Endpoints[i]
		wanted, named := ports[e.Name]
		if len(to) > 0 && !named {
			continue
		}
		if err := o.add(e, from, wanted); err != nil {
			if named || len(from) > 0 {
				return nil, err
			}
			why = err.Error()
		}
	}
	if len(o.routes) == 0 {
		return nil, fmt.Errorf("there is nothing to measure: %s", why)
	}
	return o, nil
}

// add finds the routes through an endpoint.
func (o *Own) add(e *topology.Endpoint, from []string, ports []uint16) error {
	if e.Absent || e.Reverse || len(e.Zones) == 0 {
		return fmt.Errorf("endpoint %q cannot be measured: want one that exists, is not reverse, and has a zone", e.Name)
	}
	clients, err := o.clients(e, from)
	if err != nil {
		return err
	}
	service, err := o.source.Service(e.Service)
	if err != nil {
		return err
	}
	found := false
	for _, l := range o.listeners(service) {
		if len(ports) > 0 && !slices.Contains(ports, l.port) {
			continue
		}
		if len(ports) == 0 && o.has(e.Name, l.protocol) {
			continue
		}
		found = true
		for _, c := range clients {
			at := e.Zones[0].ENI.IP
			for _, z := range e.Zones {
				if z.Zone == c.Zone {
					at = z.ENI.IP
				}
			}
			o.routes = append(o.routes, route{from: c.VPC + "/" + c.Name, endpoint: e.Name,
				to: netip.AddrPortFrom(at, l.port), protocol: l.protocol, servers: l.servers})
		}
	}
	if !found {
		return fmt.Errorf("endpoint %q cannot be measured: there is no TCP or UDP listener on such a port that leads to "+
			"instances with IPv4 alone", e.Name)
	}
	return nil
}

// has says whether there is a route through an endpoint with a protocol.
func (o *Own) has(endpoint string, protocol topology.Protocol) bool {
	return slices.ContainsFunc(o.routes, func(r route) bool { return r.endpoint == endpoint && r.protocol == protocol })
}

// clients are the instances that load an endpoint.
func (o *Own) clients(e *topology.Endpoint, from []string) (all []*topology.Instance, err error) {
	for _, name := range from {
		in, err := o.source.Instance(name)
		if err != nil {
			return nil, err
		}
		all = append(all, in)
	}
	if len(all) > 0 {
		return all, nil
	}
	vpc := o.source.MustVPC(e.VPC)
	for i := range vpc.Instances {
		in := &vpc.Instances[i]
		if in.Stopped {
			continue
		}
		if slices.ContainsFunc(e.Zones, func(z topology.EndpointZone) bool { return z.Zone == in.Zone }) {
			return []*topology.Instance{in}, nil
		}
		all = append(all, in)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("endpoint %q cannot be measured: VPC %q has no instance that runs: name one of another VPC",
			e.Name, e.VPC)
	}
	return all[:1], nil
}

// servedPort is a port of a service with the instances behind it.
type servedPort struct {
	protocol topology.Protocol
	port     uint16
	servers  []topology.Server
}

// listeners are the ports of a service that can be measured, each once: its load balancers have the same.
func (o *Own) listeners(service *topology.EndpointService) (all []servedPort) {
	at := map[servedPortKey]int{}
	for _, r := range service.Resources {
		lb, err := o.source.LoadBalancer(r.LoadBalancer)
		if err != nil {
			continue // it is a NAT gateway
		}
		for _, l := range lb.Listeners {
			group, err := o.source.ServerGroup(l.ServerGroup)
			if err != nil || l.HTTP != nil || group.IPv6 {
				continue
			}
			if l.Protocol != topology.TCP && l.Protocol != topology.UDP {
				continue
			}
			var servers []topology.Server
			for _, s := range group.Servers {
				if s.Instance != "" && s.Weight > 0 {
					servers = append(servers, s)
				}
			}
			if len(servers) == 0 || len(servers) < len(group.Servers) {
				continue
			}
			key := servedPortKey{l.Protocol, l.Port}
			if n, ok := at[key]; ok {
				all[n].servers = append(all[n].servers, servers...)
				continue
			}
			at[key] = len(all)
			all = append(all, servedPort{l.Protocol, l.Port, servers})
		}
	}
	return all
}

type servedPortKey struct {
	protocol topology.Protocol
	port     uint16
}

// plan is the topology for one path: nobody has to accept, the benchmark's generators take the
// place of the programs on instances, and no health check judges them.
func (o *Own) plan(name string) (*topology.Plan, error) {
	plan, err := topofile.Parse(o.source.File, o.source.Source)
	if err != nil {
		return nil, err
	}
	plan.Name, plan.Checks, plan.Transition = name, nil, 0
	for i := range plan.Services {
		plan.Services[i].AutoAccept = true
	}
	for i := range plan.ServerGroups {
		plan.ServerGroups[i].HealthCheck.Protocol = topology.NoProtocol
	}
	for i := range plan.VPCs {
		for n := range plan.VPCs[i].Instances {
			plan.VPCs[i].Instances[n].Services = nil
		}
	}
	return plan, nil
}

// workloads are the loads of all routes.
func (o *Own) workloads() (all []workload) {
	for i := range o.routes {
		w := &o.routes[i]
		loads := ownTCP
		if w.protocol == topology.UDP {
			loads = ownUDP
		}
		for _, load := range loads() {
			load.name = w.name() + ", " + load.name
			load.route, load.order.Port = w, int(w.to.Port())
			all = append(all, load)
		}
	}
	return all
}

// carried is how fast bytes went, for people who have bandwidths in mind, and what they cost.
func carried(bytes func(*measurement) float64) []metric {
	return []metric{
		{name: "throughput", unit: "Mbit/s",
			value: func(m *measurement) float64 { return m.perSecond(bytes(m)) * 8 / 1e6 }},
		{name: "CPU time", unit: "s/GB", lower: true,
			value: func(m *measurement) float64 { return cpuPer(m, bytes(m)/1e9) / 1e6 }},
	}
}

// ownTCP and ownUDP leave the time of CPUs out where little passes: it is that of
// whatever else the machine does.
func ownTCP() []workload {
	arrived := func(m *measurement) float64 { return m.bytes }
	downloaded := func(m *measurement) float64 {
		return float64(m.client.Bytes) / m.client.Elapsed.Seconds() * m.elapsed.Seconds()
	}
	return append([]workload{
		{
			name: "TCP upload, 1 stream", doc: "one TCP connection that sends as fast as it goes",
			order: order{Do: "bulk", Streams: 1}, metrics: carried(arrived),
		},
		{
			name: "TCP upload, 4 streams", doc: "four TCP connections at once",
			order: order{Do: "bulk", Streams: 4}, metrics: carried(arrived),
		},
		{
			name: "TCP download, 1 stream", doc: "one TCP connection on which the server sends as fast as it goes",
			order: order{Do: "download"}, metrics: carried(downloaded),
		},
	}, withoutCPU("request", "connect")...)
}

func ownUDP() []workload { return withoutCPU("small") }

// withoutCPU are the usual workloads of one client with some orders.
func withoutCPU(orders ...string) (all []workload) {
	for _, w := range workloads() {
		if slices.Contains(orders, w.order.Do) && !w.both {
			w.metrics = slices.DeleteFunc(w.metrics, func(m metric) bool { return m.name == "CPU time" })
			all = append(all, w)
		}
	}
	return all
}

// startOwn starts the generators of a user's topology.
func (p *path) startOwn() error {
	p.senders = map[string]*process{}
	ports := map[string]*order{}
	for i := range p.own.routes {
		w := &p.own.routes[i]
		if p.senders[w.from] == nil {
			vpc, instance, _ := strings.Cut(w.from, "/")
			g, err := p.generator(vpc, instance)
			if err != nil {
				return err
			}
			p.senders[w.from] = g
		}
		for _, s := range w.servers {
			o := ports[s.Instance]
			if o == nil {
				o = &order{Do: "serve ports"}
				ports[s.Instance] = o
			}
			to := &o.TCP
			if w.protocol == topology.UDP {
				to = &o.UDP
			}
			if !slices.Contains(*to, int(s.Port)) {
				*to = append(*to, int(s.Port))
			}
		}
	}
	for name, o := range ports {
		vpc, instance, _ := strings.Cut(name, "/")
		g, err := p.generator(vpc, instance)
		if err != nil {
			return err
		}
		if _, err := g.do(context.Background(), *o); err != nil {
			return fmt.Errorf("on %s: %w", name, err)
		}
		p.servers = append(p.servers, g)
	}
	return nil
}

// ownReachable waits until something arrives by each route.
func (p *path) ownReachable(ctx context.Context) error {
	for i := range p.own.routes {
		w := &p.own.routes[i]
		try := func() error {
			o := order{Do: "request", To: w.to.Addr(), Port: int(w.to.Port()), For: time.Millisecond}
			if w.protocol != topology.UDP {
				_, err := p.senders[w.from].do(ctx, o)
				return err
			}
			before, err := p.count(ctx)
			if err != nil {
				return err
			}
			o.Do = "small"
			if _, err := p.senders[w.from].do(ctx, o); err != nil {
				return err
			}
			if err := sleep(ctx, 100*time.Millisecond); err != nil {
				return err
			}
			after, err := p.count(ctx)
			if err == nil && after.Packets == before.Packets {
				err = errors.New("no datagram arrived")
			}
			return err
		}
		if err := await(ctx, try); err != nil {
			return fmt.Errorf("nothing gets from %s: %w: with the file up, \"plinksim explain %s %s:%d\" says why",
				w.name(), err, w.from, w.endpoint, w.to.Port())
		}
	}
	return nil
}
