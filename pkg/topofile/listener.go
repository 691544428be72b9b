package topofile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/plinksim/plinksim/internal/spell"
	"github.com/plinksim/plinksim/pkg/topology"
)

// listenerBuilder builds the listeners of load balancers.
type listenerBuilder struct{ *draft }

func (b listenerBuilder) listener(who string, lb *topology.LoadBalancer, raw rawListener) {
	if raw.Node == nil {
		return
	}
	l := topology.Listener{
		Protocol: topology.Protocol(raw.Protocol.V), Port: uint16(raw.Port.V),
		ServerGroup: raw.ServerGroup.V, ProxyProtocol: topology.HeaderPlace(raw.ProxyProtocol.V),
		TOA: raw.TOA.V,
	}
	if group, err := b.plan.ServerGroup(l.ServerGroup); err == nil && l.ProxyProtocol == "" {
		l.ProxyProtocol = group.ProxyProtocol
	}
	if l.TOA && l.Protocol != topology.TCP && raw.Protocol.given() {
		b.problem(raw.TOA.Node, "remove toa, or write protocol: tcp",
			"%s has a listener of %s, and toa is a TCP option", who, l.Protocol)
	}
	if l.ProxyProtocol != "" && lb.Type != topology.NLB {
		b.problem(cmp.Or(raw.ProxyProtocol.Node, raw.Node), "use an nlb",
			"%s is a %s, and only an nlb can tell servers who the consumer is", who, lb.Type)
	}
	fits := b.fits(who, lb, raw)
	if l.Protocol.IsHTTP() {
		b.http(who, lb, &l, raw)
	} else {
		l.IdleTimeout = b.idleTimeout(who, l.Protocol, raw.IdleTimeout)
		b.notHTTP(who, raw)
	}
	for _, other := range lb.Listeners {
		switch {
		case !raw.Port.given() || !raw.Protocol.given() || other.Port != l.Port:
		case other.Protocol.Transport() == l.Protocol.Transport():
			b.problem(raw.Node, "give one of them another port",
				"%s: two listeners on %s port %d", who, l.Protocol, l.Port)
		case b.can.JointListeners && !other.Joint:
			b.problem(raw.Node, "write one listener with protocol: tcp_udp and a server group of that protocol",
				"%s: two listeners on port %d, which %s refuses as DuplicateListener", who, l.Port, b.plan.Cloud)
		}
	}
	lb.Listeners = append(lb.Listeners, b.joint(l)...)
	if !fits || l.HTTP != nil {
		refer(b.draft, who, raw.ServerGroup, b.plan.ServerGroup)
		return
	}
	if !raw.ServerGroup.given() && !raw.ServerGroup.Bad {
		b.problem(raw.Node, "add server_group: NAME", "%s: listener %s port %d leads to no server group", who,
			l.Protocol, l.Port)
	}
	b.group(who, lb, &l, raw.ServerGroup)
}

// joint are the listeners of a load balancer that one of a file is: one for each
// protocol of layer 4.
func (b listenerBuilder) joint(l topology.Listener) []topology.Listener {
	if l.Protocol != topology.TCPUDP {
		return []topology.Listener{l}
	}
	tcp, udp := l, l
	tcp.Protocol, tcp.Joint = topology.TCP, true
	udp.Protocol, udp.Joint, udp.IdleTimeout = topology.UDP, true, b.can.UDPIdle
	return []topology.Listener{tcp, udp}
}

// fits says whether a load balancer takes a listener's protocol, and
// notes where it does not.
func (b listenerBuilder) fits(who string, lb *topology.LoadBalancer, raw rawListener) bool {
	if !raw.Protocol.given() {
		return false
	}
	if topology.Protocol(raw.Protocol.V) == topology.TCPUDP && !b.can.JointListeners {
		b.problem(raw.Protocol.Node, "write a listener for tcp and another for udp",
			"%s: load balancers of %s have no listener for both protocols", who, b.plan.Cloud)
		return false
	}
	if lb.Type == "" || topology.Protocol(raw.Protocol.V).IsHTTP() == (lb.Type == topology.ALB) {
		return true
	}
	if lb.Type == topology.ALB {
		b.problem(raw.Protocol.Node, "write protocol: http or https, or type: nlb",
			"%s: an alb takes http and https, not %s", who, raw.Protocol.V)
		return false
	}
	b.problem(raw.Protocol.Node, "write type: alb, or protocol: tcp",
		"%s: a listener for %s is an alb's, and its type is %s", who, raw.Protocol.V, lb.Type)
	return false
}

// idleTimeout takes any timeout from a second on, so that a test need not wait
// for what the cloud would at least ask for, and warns.
func (b listenerBuilder) idleTimeout(who string, protocol topology.Protocol, v value[time.Duration]) time.Duration {
	otherwise := b.can.TCPIdle
	if protocol == topology.UDP {
		otherwise = b.can.UDPIdle
	}
	idle := b.span(who, "idle_timeout", v, otherwise, time.Second, 24*time.Hour)
	least, most := b.can.Limits.TCPIdleMin, b.can.Limits.TCPIdleMax
	if v.given() && protocol != topology.UDP && most > 0 && (idle < least || idle > most) {
		b.warn(v.Node, "it is used as it is",
			"%s: idle_timeout %s is outside what %s takes, %s to %s",
			who, short(idle), b.plan.Cloud, short(least), short(most))
	}
	return idle
}

// notHTTP notes what only a listener of layer 7 has.
func (b listenerBuilder) notHTTP(who string, raw rawListener) {
	for _, key := range []struct {
		name string
		node *yaml.Node
	}{
		{"request_timeout", raw.RequestTimeout.Node}, {"rules", raw.Rules.Node},
		{"forwarded", raw.Forwarded.Node}, {"certificates", raw.Certificates.Node},
		{"split", raw.Split.Node}, {"fixed_response", raw.FixedResponse.node()}, {"redirect", raw.Redirect.node()},
	} {
		if key.node != nil && raw.Protocol.given() {
			b.problem(key.node, "remove "+key.name,
				"%s: %s is for http and https listeners, and this one is for %s", who, key.name, raw.Protocol.V)
		}
	}
}

// http is what a listener of layer 7 has beyond the others.
func (b listenerBuilder) http(who string, lb *topology.LoadBalancer, l *topology.Listener, raw rawListener) {
	if n := raw.Certificates.Node; n != nil && l.Protocol == topology.HTTP {
		b.problem(n, "write protocol: https, or remove certificates",
			"%s: certificates are for https listeners, and this one is for http", who)
	}
	l.HTTP = &topology.HTTPListener{Forwarded: b.can.HTTP.Forwarded}
	b.timeouts(who, l, raw)
	if raw.Forwarded.Node != nil {
		l.HTTP.Forwarded = b.forwarded(who, raw)
	}
	for _, c := range raw.Certificates.Items {
		l.HTTP.Certificates = append(l.HTTP.Certificates, b.certificate(who, c))
	}
	does := ruleBuilder(b).action(who, fmt.Sprintf("%s: listener %s port %d", who, l.Protocol, l.Port), lb, l,
		rawAction{raw.ServerGroup, raw.Split, raw.FixedResponse, raw.Redirect, raw.Node})
	if does.ServerGroup == "" {
		l.HTTP.Otherwise = &does
	}
	for _, r := range raw.Rules.Items {
		ruleBuilder(b).rule(who, lb, l, r)
	}
	slices.SortStableFunc(l.HTTP.Rules,
		func(a, b topology.ListenerRule) int { return cmp.Compare(a.Priority, b.Priority) })
}

// certificate is two files, or one that the lab makes for names.
func (b listenerBuilder) certificate(who string, raw rawCertificate) topology.Certificate {
	out := topology.Certificate{Certificate: raw.Certificate.V, Key: raw.Key.V}
	for _, v := range raw.Names.Items {
		if v.given() && !isHostPattern(v.V) {
			b.problem(v.Node, "write a name such as www.shop.example or *.shop.example",
				"%s: certificates: %q is not a name", who, v.V)
		}
		out.Names = append(out.Names, v.V)
	}
	files := raw.Certificate.given() || raw.Key.given()
	if files == (len(out.Names) > 0) || files && (!raw.Certificate.given() || !raw.Key.given()) {
		b.problem(raw.Node, "write certificate and key, or names", "%s: a certificate is two files, or one for names", who)
	}
	return out
}

// isHostPattern says whether a certificate can be for a name: X.509 knows a star as the
// whole first label alone (RFC 6125, 6.4.3).
func isHostPattern(name string) bool {
	rest := strings.TrimPrefix(name, "*.")
	return rest != "" && !strings.ContainsAny(rest, "*?/: \t")
}

// timeouts takes any timeout from a second on, as idleTimeout does. AWS has
// one for both sides.
func (b listenerBuilder) timeouts(who string, l *topology.Listener, raw rawListener) {
	profile, most := b.can.HTTP, b.can.HTTP.Limits
	l.IdleTimeout = b.timeout(who, "idle_timeout", raw.IdleTimeout, profile.Idle, most.Idle)
	request := profile.Request
	if profile.OneTimeout {
		request = l.IdleTimeout
	}
	l.HTTP.RequestTimeout = b.timeout(who, "request_timeout", raw.RequestTimeout, request, most.Request)
}

func (b listenerBuilder) timeout(who, key string, v value[time.Duration], otherwise, most time.Duration) time.Duration {
	d := b.span(who, key, v, otherwise, time.Second, 24*time.Hour)
	if most > 0 && d > most {
		b.warn(v.Node, "it is used as it is",
			"%s: %s %s is outside what %s takes, 1s to %s", who, key, short(d), b.plan.Cloud, short(most))
	}
	return d
}

func (b listenerBuilder) forwarded(who string, raw rawListener) []string {
	known := []string{"proto", "port", "client_port", "slb_id"}
	out := []string{}
	for _, v := range raw.Forwarded.Items {
		switch {
		case !v.given():
		case !slices.Contains(known, v.V):
			b.problem(v.Node, spell.Suggest(v.V, known),
				"%s: forwarded: there is no %q; there are %s", who, v.V, spell.List(known))
		case slices.Contains(out, v.V):
			b.problem(v.Node, "remove it", "%s: forwarded: %s is named twice", who, v.V)
		default:
			out = append(out, v.V)
		}
	}
	return out
}

// group checks that a listener can lead to a group. An HTTP group may
// be behind https too, where the load balancer ends TLS.
func (b listenerBuilder) group(who string, lb *topology.LoadBalancer, l *topology.Listener, ref value[string]) {
	group := refer(b.draft, who, ref, b.plan.ServerGroup)
	misfit := lb.Type != "" && l.Protocol.IsHTTP() != (lb.Type == topology.ALB) // which is noted already
	if group == nil || misfit || b.bad["server group "+group.Name] {
		return
	}
	want := []string{string(l.Protocol)}
	if l.Protocol.IsHTTP() && (l.Protocol == topology.HTTPS || b.can.HTTP.HTTPSBehindHTTP) {
		want = []string{string(topology.HTTP), string(topology.HTTPS)}
	}
	if l.Protocol != "" && !slices.Contains(want, string(group.Protocol)) {
		b.problem(ref.Node, fmt.Sprintf("use a server group with protocol: %s", spell.Either(want)),
			"%s: listener %s port %d leads to server group %q, which is for %s",
			who, l.Protocol, l.Port, group.Name, group.Protocol)
	}
	b.reachable(who, lb, *l, group, ref.Node)
	if lb.VPC != "" && group.VPC != lb.VPC {
		b.problem(ref.Node, "a load balancer serves its own vpc",
			"%s is in vpc %q, and server group %q in vpc %q", who, lb.VPC, group.Name, group.VPC)
	}
	keeps := lb.Type == topology.ALB && !lb.PicksEverywhere(group)
	if group.Persistence != nil && keeps && !b.can.HTTP.Limits.PersistenceInZones {
		b.problem(ref.Node, "write cross_zone: true, or remove the group's persistence",
			"%s: server group %q has persistence, which %s does not have where nodes keep to the servers of "+
				"their zones", who, group.Name, b.plan.Cloud)
	}
}

// reachable notes servers that a load balancer has no NAT IP to reach.
func (b listenerBuilder) reachable(
	who string, lb *topology.LoadBalancer, l topology.Listener, group *topology.ServerGroup, node *yaml.Node,
) {
	switch {
	case group.IPv6 && !lb.DualStack:
		b.problem(node, "write ip_address_type: dualstack in it",
			"%s leads to server group %q, whose servers have IPv6, and is not dualstack", who, group.Name)
	case lb.DualStack && !group.IPv6 && b.can.IPv6ServersOfUDP &&
		(l.Protocol == topology.UDP || l.Protocol == topology.TCPUDP):
		b.problem(node, "use a server group with ip_address_type: ipv6",
			"%s is dualstack, and a udp listener of it needs servers with IPv6", who)
	}
}
