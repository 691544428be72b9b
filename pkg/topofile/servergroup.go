package topofile

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/plinksim/plinksim/internal/spell"
	"github.com/plinksim/plinksim/pkg/topology"
)

// serverGroupBuilder builds server groups.
type serverGroupBuilder struct{ *draft }

func (b serverGroupBuilder) build() {
	// What a group is called and how it is probed by default depends on who
	// uses it.
	for _, lb := range b.raw.LoadBalancers.Entries {
		for _, l := range lb.Value.Listeners.Items {
			used := sharers(l.ServerGroup, l.Split)
			for _, rule := range l.Rules.Items {
				used = append(used, sharers(rule.ServerGroup, rule.Split)...)
			}
			for _, group := range used {
				if b.balancerOf[group] == "" {
					b.balancerOf[group] = topology.LoadBalancerType(lb.Value.Type.V)
				}
			}
		}
	}
	each(b.draft, "server group", b.raw.ServerGroups.Entries, b.group)
}

// sharers are the groups that an action leads to.
func sharers(one value[string], split sequence[rawShare]) []string {
	out := []string{one.V}
	for _, s := range split.Items {
		out = append(out, s.ServerGroup.V)
	}
	return out
}

func (b serverGroupBuilder) group(e *entry[rawServerGroup]) {
	who := fmt.Sprintf("server group %q", e.Name)
	group := topology.ServerGroup{
		Name:      e.Name,
		ID:        b.ids.ServerGroup(e.Name, b.balancerOf[e.Name]),
		VPC:       e.Value.VPC.V,
		Tags:      e.Value.Tags.V,
		Protocol:  topology.Protocol(e.Value.Protocol.or(string(topology.TCP))),
		Scheduler: topology.Scheduler(e.Value.Scheduler.V),
		FailOpen:  e.Value.FailOpen.or(b.can.FailOpen[b.balancerOf[e.Name]]),
		SlowStart: b.span(who, "slow_start", e.Value.SlowStart, 0, 0, 15*time.Minute),
		IPv6:      e.Value.IPAddressType.V == "ipv6",
	}
	group.ProxyProtocol = topology.HeaderPlace(e.Value.ProxyProtocol.V)
	if group.ProxyProtocol != "" && !b.can.HeaderInChecks {
		b.problem(e.Value.ProxyProtocol.Node, "write it in the listeners",
			"%s: at %s proxy_protocol is of listeners", who, b.plan.Cloud)
	}
	if group.Scheduler == "" {
		group.Scheduler = b.usualScheduler(group.Protocol)
	}
	group.Deregistration, group.Unhealthy = b.leaving(who, group.Protocol, e.Value)
	group.HealthCheck = healthCheckBuilder(b).check(who, group, e.Value)
	b.http(who, &group, e.Value)
	b.crossZone(who, &group, e.Value.CrossZone)
	weights := 0
	vpc := refer(b.draft, who, e.Value.VPC, b.plan.VPC)
	for _, raw := range e.Value.Servers.Items {
		weights += raw.Weight.or(100)
		server := b.target(who, &group, vpc, raw)
		if server == nil {
			continue
		}
		for _, other := range group.Servers {
			if other.Name() == server.Name() && other.Port == server.Port && raw.Port.given() {
				b.problem(raw.Node, "remove one of them",
					"%s: server %s port %d is named twice", who, server.Short(), server.Port)
				break
			}
		}
		group.Servers = append(group.Servers, *server)
	}
	if n := e.Value.Servers.Node; n != nil && n.Kind == yaml.SequenceNode && (len(n.Content) == 0 || weights == 0) {
		b.warn(n, "add a server with a weight above 0", "%s: no server takes new sessions", who)
	}
	b.plan.ServerGroups = append(b.plan.ServerGroups, group)
}

// usualScheduler is the cloud's; of layer 7 all begin with the same one.
func (b serverGroupBuilder) usualScheduler(protocol topology.Protocol) topology.Scheduler {
	if protocol.IsHTTP() {
		return topology.WeightedRoundRobin
	}
	return b.can.Scheduler
}

// leaving is what becomes of sessions whose server takes no new ones.
func (b serverGroupBuilder) leaving(
	who string, protocol topology.Protocol, raw rawServerGroup,
) (deregistration, unhealthy topology.Leaving) {
	usual := b.can.Deregistration
	if protocol == topology.UDP || protocol == topology.TCPUDP {
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

// instance finds a server's instance, which must be in the group's VPC:
// a name alone means the one there.
func (b serverGroupBuilder) instance(who string, vpc *topology.VPC, ref value[string]) *topology.Instance {
	if vpc == nil || !ref.given() {
		return nil
	}
	for i := range vpc.Instances {
		if in := &vpc.Instances[i]; in.Name == ref.V || in.Ref() == ref.V {
			return in
		}
	}
	if in, err := b.plan.Instance(ref.V); err == nil {
		b.problem(ref.Node, "servers are in the vpc of their group",
			"%s: server %s is in vpc %q, and the group in vpc %q", who, ref.V, in.VPC, vpc.Name)
		b.isMissing(who, &topology.NotFoundError{Kind: "instance", Name: ref.V})
		return nil
	}
	known := spell.Names(vpc.Instances, func(i *topology.Instance) string { return i.Name })
	b.problem(ref.Node, spell.Suggest(ref.V, known), "%s: vpc %q has no instance %q", who, vpc.Name, ref.V)
	b.isMissing(who, &topology.NotFoundError{Kind: "instance", Name: ref.V})
	return nil
}

// http is what a server group of layer 7 has beyond the others.
func (b serverGroupBuilder) http(who string, group *topology.ServerGroup, raw rawServerGroup) {
	if !group.Protocol.IsHTTP() {
		for _, key := range []struct {
			name string
			node *yaml.Node
		}{{"persistence", nodeOf(raw.Persistence)}, {"keepalive", raw.Keepalive.Node}} {
			if key.node != nil {
				b.problem(key.node, "write protocol: http, or remove "+key.name,
					"%s: %s is for http and https groups, and this one is for %s", who, key.name, group.Protocol)
			}
		}
		return
	}
	group.Keepalive = raw.Keepalive.or(b.can.HTTP.Keepalive)
	if raw.Persistence != nil {
		group.Persistence = b.persistence(who, raw.Persistence)
	}
}

// crossZone is a group's own setting, where its load balancer's type has one.
func (b serverGroupBuilder) crossZone(who string, group *topology.ServerGroup, raw value[bool]) {
	if !raw.given() {
		return
	}
	group.CrossZone = &raw.V
	if user := b.balancerOf[group.Name]; user != "" && !b.can.GroupCrossZone[user] {
		b.problem(raw.Node, "write cross_zone in the load balancer",
			"%s: at %s groups of an %s have no cross_zone of their own", who, b.plan.Cloud, user)
	}
}

func (b serverGroupBuilder) persistence(who string, raw *rawPersistence) *topology.Persistence {
	bounds := b.can.HTTP.Limits
	p := b.can.HTTP.Persistence
	p.Mode = raw.Mode.or("insert")
	if p.Mode == "insert" {
		p.Timeout = b.span(who, "persistence timeout", raw.Timeout, p.Timeout, time.Second, bounds.Persistence)
		if raw.Cookie.given() {
			b.problem(raw.Cookie.Node, "remove it, or write mode: rewrite",
				"%s: the cookie that is inserted is called %s", who, p.Cookie)
		}
		return &p
	}
	if !bounds.Rewrite {
		b.problem(raw.Mode.Node, "write mode: insert",
			"%s: %s has no persistence that rewrites a cookie", who, b.plan.Cloud)
	}
	p.Cookie, p.Timeout, p.Renew = raw.Cookie.V, 0, false
	if !isToken(p.Cookie) && !raw.Cookie.Bad {
		b.problem(cmp.Or(raw.Cookie.Node, raw.Node), "write cookie: NAME, the cookie that the servers set",
			"%s: persistence by rewriting needs the name of a cookie", who)
	}
	if raw.Timeout.given() {
		b.problem(raw.Timeout.Node, "remove it: the server says how long its cookie lives",
			"%s: the timeout is of an inserted cookie", who)
	}
	return &p
}

// choose gives servers the addresses of their instances and nodes.
func (b serverGroupBuilder) choose() {
	for i := range b.plan.ServerGroups {
		group := &b.plan.ServerGroups[i]
		for j := range group.Servers {
			switch s := &group.Servers[j]; {
			case s.Balancer != "":
				node, _ := b.plan.MustLoadBalancer(s.Balancer).Node(s.Zone)
				s.IP = node.IP()
			case s.Instance != "" && group.IPv6:
				s.IP = b.plan.MustInstance(s.Instance).IPv6
			case s.Instance != "":
				s.IP = b.plan.MustInstance(s.Instance).IP
			}
		}
	}
}

func nodeOf(p *rawPersistence) *yaml.Node {
	if p == nil {
		return nil
	}
	return p.Node
}

// isToken is what may be the name of a cookie (RFC 6265, 4.1.1).
func isToken(s string) bool {
	for _, r := range s {
		if r <= ' ' || r >= 0x7f || strings.ContainsRune(`()<>@,;:\"/[]?={}`, r) {
			return false
		}
	}
	return s != ""
}
