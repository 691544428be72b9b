package topofile

import (
	"fmt"
	"net/netip"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/plinksim/plinksim/internal/spell"
	"github.com/plinksim/plinksim/pkg/topology"
)

func (b *builder) serverGroups() {
	// What a group is called and how it is probed by default depends on who
	// uses it.
	for _, lb := range b.raw.LoadBalancers.Entries {
		for _, l := range lb.Value.Listeners.Items {
			used := []string{l.ServerGroup.V}
			for _, rule := range l.Rules.Items {
				used = append(used, rule.ServerGroup.V)
			}
			for _, group := range used {
				if b.balancerOf[group] == "" {
					b.balancerOf[group] = topology.LoadBalancerType(lb.Value.Type.V)
				}
			}
		}
	}
	for i := range b.raw.ServerGroups.Entries {
		e := &b.raw.ServerGroups.Entries[i]
		b.object("server group", e.Name, func() { b.serverGroup(e) })
	}
}

func (b *builder) serverGroup(e *entry[rawServerGroup]) {
	who := fmt.Sprintf("server group %q", e.Name)
	group := topology.ServerGroup{
		Name:      e.Name,
		ID:        b.ids.ServerGroup(e.Name, b.balancerOf[e.Name]),
		VPC:       e.Value.VPC.V,
		Protocol:  topology.Protocol(e.Value.Protocol.or(string(topology.TCP))),
		Scheduler: topology.Scheduler(e.Value.Scheduler.V),
		FailOpen:  e.Value.FailOpen.or(b.can.FailOpen[b.balancerOf[e.Name]]),
		SlowStart: b.span(who, "slow_start", e.Value.SlowStart, 0, 0, 15*time.Minute),
		IPv6:      e.Value.IPAddressType.V == "ipv6",
	}
	if group.Scheduler == "" {
		group.Scheduler = b.usualScheduler(group.Protocol)
	}
	group.Deregistration, group.Unhealthy = b.leaving(who, group.Protocol, e.Value)
	group.HealthCheck = b.healthCheck(who, group, e.Value.HealthCheck)
	b.httpGroup(who, &group, e.Value)
	weights := 0
	vpc := refer(b, who, e.Value.VPC, b.plan.VPC)
	for _, raw := range e.Value.Servers.Items {
		server := topology.Server{Port: uint16(raw.Port.V), Weight: raw.Weight.or(100)}
		weights += server.Weight
		in := b.serverInstance(who, vpc, raw.Instance)
		if in == nil {
			continue
		}
		server.Instance, server.Zone = in.Ref(), in.Zone
		if subnet, err := vpc.Subnet(in.Subnet); err == nil && group.IPv6 && !subnet.IPv6CIDR.IsValid() {
			b.problem(raw.Instance.Node, "write an ipv6_cidr in subnet "+subnet.Name, "%s: server %s has no IPv6 address", who, raw.Instance.V)
		}
		for _, other := range group.Servers {
			if other.Instance == server.Instance && other.Port == server.Port && raw.Port.given() {
				b.problem(raw.Node, "remove one of them", "%s: server %s port %d is named twice", who, raw.Instance.V, server.Port)
				break
			}
		}
		group.Servers = append(group.Servers, server)
	}
	if n := e.Value.Servers.Node; n != nil && n.Kind == yaml.SequenceNode && (len(n.Content) == 0 || weights == 0) {
		b.warn(n, "add a server with a weight above 0", "%s: no server takes new sessions", who)
	}
	b.plan.ServerGroups = append(b.plan.ServerGroups, group)
}

// usualScheduler is the cloud's; of layer 7 all begin with the same one.
func (b *builder) usualScheduler(protocol topology.Protocol) topology.Scheduler {
	if protocol.IsHTTP() {
		return topology.WeightedRoundRobin
	}
	return b.can.Scheduler
}

// leaving is what becomes of sessions whose server takes no new ones.
func (b *builder) leaving(
	who string, protocol topology.Protocol, raw rawServerGroup,
) (deregistration, unhealthy topology.Leaving) {
	usual := b.can.Deregistration
	if protocol == topology.UDP {
		usual = b.can.UDPDeregistration
	}
	read := func(key string, r rawLeaving, otherwise topology.Leaving) topology.Leaving {
		if b.can.DelayEndsSessions {
			otherwise.Terminate = r.Delay.given()
		}
		return topology.Leaving{
			Delay:     b.span(who, key+" delay", r.Delay, otherwise.Delay, 0, 100*time.Hour),
			Terminate: r.Terminate.or(otherwise.Terminate),
		}
	}
	return read("deregistration", raw.Deregistration, usual), read("unhealthy", raw.Unhealthy, b.can.Unhealthy)
}

// serverInstance finds a server's instance, which must be in the group's VPC:
// a name alone means the one there.
func (b *builder) serverInstance(who string, vpc *topology.VPC, ref value[string]) *topology.Instance {
	if vpc == nil || !ref.given() {
		return nil
	}
	for i := range vpc.Instances {
		if in := &vpc.Instances[i]; in.Name == ref.V || in.Ref() == ref.V {
			return in
		}
	}
	if in, err := b.plan.Instance(ref.V); err == nil {
		b.problem(ref.Node, "servers are in the vpc of their group", "%s: server %s is in vpc %q, and the group in vpc %q", who, ref.V, in.VPC, vpc.Name)
		return nil
	}
	known := spell.Names(vpc.Instances, func(i *topology.Instance) string { return i.Name })
	b.problem(ref.Node, spell.Suggest(ref.V, known), "%s: vpc %q has no instance %q", who, vpc.Name, ref.V)
	return nil
}

// span is a duration within bounds, or the default where none was given.
func (b *builder) span(who, key string, v value[time.Duration], otherwise, least, most time.Duration) time.Duration {
	if v.given() && (v.V < least || v.V > most) {
		b.problem(v.Node, fmt.Sprintf("write a duration from %s to %s", short(least), short(most)), "%s: %s %s is outside %s to %s", who, key, short(v.V), short(least), short(most))
	}
	return v.or(otherwise)
}

// short writes a duration without the zero units that Go adds: 15m, not 15m0s.
func short(d time.Duration) string {
	switch {
	case d >= time.Hour && d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d >= time.Minute && d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return d.String()
}

func (b *builder) loadBalancers() {
	for i := range b.raw.LoadBalancers.Entries {
		e := &b.raw.LoadBalancers.Entries[i]
		b.object("load balancer", e.Name, func() { b.loadBalancer(e) })
	}
}

func (b *builder) loadBalancer(e *entry[rawLoadBalancer]) {
	who := fmt.Sprintf("load balancer %q", e.Name)
	lb := topology.LoadBalancer{
		Name: e.Name,
		ID:   b.ids.LoadBalancer(e.Name, topology.LoadBalancerType(e.Value.Type.V)),
		Type: topology.LoadBalancerType(e.Value.Type.V),
		VPC:  e.Value.VPC.V,
	}
	// Application Load Balancer API 2020-06-16, CreateServerGroup,
	// CrossZoneEnabled; at AWS an ALB's is always on.
	lb.CrossZone = e.Value.CrossZone.or(lb.Type == topology.ALB)
	if lb.Type == topology.CLB && !b.can.CLB {
		b.problem(e.Value.Type.Node, "write type: nlb", "%s: cloud %s has no clb", who, b.plan.Cloud)
	}
	if lb.Type != topology.NLB && e.Value.IPAddressType.V == "dualstack" {
		b.problem(e.Value.IPAddressType.Node, "use an nlb", "%s is of type %s, and only an nlb is dualstack", who, lb.Type)
	}
	if vpc := refer(b, who, e.Value.VPC, b.plan.VPC); vpc != nil {
		places := b.placed(who, e.Key, vpc, e.Value.Subnets)
		lb.DualStack = b.dualStack(who, e.Value.IPAddressType, e.Value.Subnets, places)
		for _, p := range places {
			lb.Nodes = append(lb.Nodes, topology.Node{
				Zone:   p.subnet.Zone,
				Subnet: p.subnet.Name,
				ENI:    b.eni("node", e.Name, vpc, p),
			})
			if lb.Type == topology.ALB {
				proxyNode(&lb, &lb.Nodes[len(lb.Nodes)-1])
			}
		}
		if items := e.Value.Subnets.Items; lb.Type == topology.CLB && len(items) > 1 {
			b.problem(items[1].Subnet.Node, "keep one subnet, or write type: nlb", "%s: a clb is in one zone, and this is its second subnet", who)
		}
		b.albZones(who, e, &lb)
	}
	for _, raw := range e.Value.Listeners.Items {
		b.listener(who, &lb, raw)
	}
	if n := e.Value.Listeners.Node; n != nil && len(e.Value.Listeners.Items) == 0 && n.Kind != yaml.MappingNode {
		b.warn(n, "add one: {protocol: tcp, port: 80, server_group: ...}", "%s has no listeners and accepts nothing", who)
	}
	b.plan.LoadBalancers = append(b.plan.LoadBalancers, lb)
}

func (b *builder) listener(who string, lb *topology.LoadBalancer, raw rawListener) {
	if raw.Node == nil {
		return
	}
	l := topology.Listener{Protocol: topology.Protocol(raw.Protocol.V), Port: uint16(raw.Port.V), ServerGroup: raw.ServerGroup.V, ProxyProtocol: raw.ProxyProtocol.V}
	if l.ProxyProtocol != "" && lb.Type != topology.NLB {
		b.problem(raw.ProxyProtocol.Node, "use an nlb", "%s is a %s, and only an nlb can tell servers who the consumer is", who, lb.Type)
	}
	fits := b.listenerFits(who, lb, raw)
	if l.Protocol.IsHTTP() {
		b.httpListener(who, lb, &l, raw)
	} else {
		l.IdleTimeout = b.idleTimeout(who, l.Protocol, raw.IdleTimeout)
		b.notHTTP(who, raw)
	}
	for _, other := range lb.Listeners {
		if raw.Port.given() && raw.Protocol.given() && other.Protocol.Transport() == l.Protocol.Transport() && other.Port == l.Port {
			b.problem(raw.Node, "give one of them another port", "%s: two listeners on %s port %d", who, l.Protocol, l.Port)
		}
	}
	lb.Listeners = append(lb.Listeners, l)
	if fits {
		b.listenerGroup(who, lb, &l, raw.ServerGroup)
	} else {
		refer(b, who, raw.ServerGroup, b.plan.ServerGroup)
	}
}

// idleTimeout takes any timeout from a second on, so that a test need not wait
// for what the cloud would at least ask for, and warns.
func (b *builder) idleTimeout(who string, protocol topology.Protocol, v value[time.Duration]) time.Duration {
	otherwise := b.can.TCPIdle
	if protocol == topology.UDP {
		otherwise = b.can.UDPIdle
	}
	idle := b.span(who, "idle_timeout", v, otherwise, time.Second, 24*time.Hour)
	least, most := b.can.Limits.TCPIdleMin, b.can.Limits.TCPIdleMax
	if v.given() && protocol == topology.TCP && most > 0 && (idle < least || idle > most) {
		b.warn(v.Node, "it is used as it is", "%s: idle_timeout %s is outside what %s takes, %s to %s", who, short(idle), b.plan.Cloud, short(least), short(most))
	}
	return idle
}

// place is a subnet to put an ENI in, and its address if one was given.
type place struct {
	subnet   *topology.Subnet
	ip, ipv6 netip.Addr
}

// placed finds the subnets that someone wants to be in: each once, and no two
// in one zone.
func (b *builder) placed(who string, key *yaml.Node, vpc *topology.VPC, want placements) []place {
	var out []place
	if want.Node != nil && len(want.Items) == 0 && (isNull(want.Node) || len(want.Node.Content) == 0) {
		b.problem(key, "name a subnet of vpc "+vpc.Name, "%s is in no subnet", who)
	}
	for _, p := range want.Items {
		subnet := refer(b, who, p.Subnet, vpc.Subnet)
		if subnet == nil {
			continue
		}
		if clash := sameZone(out, subnet); clash != "" {
			b.problem(p.Subnet.Node, "name one subnet for each zone", "%s: subnets %q and %q are both in zone %s", who, clash, subnet.Name, subnet.Zone)
			continue
		}
		b.address(who, p.IP, vpc, subnet)
		out = append(out, place{subnet, p.IP.V, b.givenIPv6(who, p.IPv6, vpc, subnet)})
	}
	return out
}

func sameZone(places []place, subnet *topology.Subnet) string {
	for _, p := range places {
		if p.subnet.Zone == subnet.Zone && subnet.Zone != "" {
			return p.subnet.Name
		}
	}
	return ""
}

// eni is an interface whose address may not be known yet.
func (b *builder) eni(kind, owner string, vpc *topology.VPC, p place) topology.ENI {
	return topology.ENI{
		Name:   owner + "@" + p.subnet.Zone,
		ID:     b.ids.ID("eni", kind+"/"+owner+"/"+p.subnet.Zone),
		VPC:    vpc.Name,
		Subnet: p.subnet.Name,
		Zone:   p.subnet.Zone,
		IP:     p.ip,
		IPv6:   p.ipv6,
	}
}
