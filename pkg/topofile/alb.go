package topofile

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/plinksim/plinksim/internal/spell"
	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/topology"
)

// The raw structs of what only layer 7 has; raw.go says how they are read.

type rawPersistence struct {
	Mode    value[string]        `yaml:"mode" doc:"insert, where it is missing: the load balancer sets a cookie; rewrite: it changes the one that the server sets" enum:"insert|rewrite"`
	Cookie  value[string]        `yaml:"cookie" doc:"the name of the server's cookie; of rewrite alone"`
	Timeout value[time.Duration] `yaml:"timeout" doc:"how long the client keeps an inserted cookie, such as 1000s"`
	Node    *yaml.Node
}

type rawCertificate struct {
	Certificate value[string] `yaml:"certificate,required" doc:"a PEM file with the certificate and those of its issuers; beside the topology file where the name is relative"`
	Key         value[string] `yaml:"key,required" doc:"a PEM file with its private key"`
}

type rawListenerRule struct {
	Priority      value[int]              `yaml:"priority,required" doc:"the rule with the lowest number is asked first" range:"1..50000"`
	Hosts         sequence[value[string]] `yaml:"hosts" doc:"Host headers that it is for; * is any characters, ? is one"`
	Paths         sequence[value[string]] `yaml:"paths" doc:"paths that it is for; * is any characters, ? is one"`
	ServerGroup   value[string]           `yaml:"server_group" doc:"where such requests go"`
	FixedResponse *rawFixedResponse       `yaml:"fixed_response" doc:"how the load balancer answers them by itself"`
	Redirect      *rawRedirect            `yaml:"redirect" doc:"where clients are sent; what is missing stays as it was asked for"`
	Node          *yaml.Node
}

type rawFixedResponse struct {
	Status      value[int]    `yaml:"status,required" doc:"the HTTP status" range:"200..599"`
	ContentType value[string] `yaml:"content_type" doc:"text/plain where it is missing" enum:"text/plain|text/css|text/html|application/javascript|application/json"`
	Body        value[string] `yaml:"body" doc:"at most 1024 bytes"`
	Node        *yaml.Node
}

type rawRedirect struct {
	Status   value[int]    `yaml:"status" doc:"301, 302, 303, 307 or 308; 301 where it is missing" range:"301..308"`
	Protocol value[string] `yaml:"protocol" doc:"another protocol" enum:"http|https"`
	Host     value[string] `yaml:"host" doc:"another host"`
	Port     value[int]    `yaml:"port" doc:"another port" range:"1..65535"`
	Path     value[string] `yaml:"path" doc:"another path"`
	Query    value[string] `yaml:"query" doc:"another query, without the question mark"`
	Node     *yaml.Node
}

// albZones holds an alb to its least number of zones.
func (b *builder) albZones(who string, e *entry[rawLoadBalancer], lb *topology.LoadBalancer) {
	least := b.can.HTTP.Limits.Zones
	if n := len(e.Value.Subnets.Items); lb.Type != topology.ALB || n == 0 || n >= least || len(lb.Nodes) < n {
		return
	}
	b.problem(e.Value.Subnets.Node, "add a subnet in another zone", "%s: an alb is in at least two zones, and this one is in %s alone", who, lb.Nodes[0].Zone)
}

// listenerFits says whether a load balancer takes a listener's protocol, and
// notes where it does not.
func (b *builder) listenerFits(who string, lb *topology.LoadBalancer, raw rawListener) bool {
	if !raw.Protocol.given() {
		return false
	}
	if lb.Type == "" || topology.Protocol(raw.Protocol.V).IsHTTP() == (lb.Type == topology.ALB) {
		return true
	}
	if lb.Type == topology.ALB {
		b.problem(raw.Protocol.Node, "write protocol: http or https, or type: nlb", "%s: an alb takes http and https, not %s", who, raw.Protocol.V)
		return false
	}
	b.problem(raw.Protocol.Node, "write type: alb, or protocol: tcp", "%s: a listener for %s is an alb's, and its type is %s", who, raw.Protocol.V, lb.Type)
	return false
}

// notHTTP notes what only a listener of layer 7 has.
func (b *builder) notHTTP(who string, raw rawListener) {
	for _, key := range []struct {
		name string
		node *yaml.Node
	}{
		{"request_timeout", raw.RequestTimeout.Node}, {"rules", raw.Rules.Node},
		{"forwarded", raw.Forwarded.Node}, {"certificates", raw.Certificates.Node},
	} {
		if key.node != nil && raw.Protocol.given() {
			b.problem(key.node, "remove "+key.name, "%s: %s is for http and https listeners, and this one is for %s", who, key.name, raw.Protocol.V)
		}
	}
}

// httpListener is what a listener of layer 7 has beyond the others.
func (b *builder) httpListener(who string, lb *topology.LoadBalancer, l *topology.Listener, raw rawListener) {
	if n := raw.Certificates.Node; n != nil && l.Protocol == topology.HTTP {
		b.problem(n, "write protocol: https, or remove certificates", "%s: certificates are for https listeners, and this one is for http", who)
	}
	l.HTTP = &topology.HTTPListener{Forwarded: b.can.HTTP.Forwarded}
	b.httpTimeouts(who, l, raw)
	if raw.Forwarded.Node != nil {
		l.HTTP.Forwarded = b.forwarded(who, raw)
	}
	for _, c := range raw.Certificates.Items {
		l.HTTP.Certificates = append(l.HTTP.Certificates, topology.CertificateFiles{Certificate: c.Certificate.V, Key: c.Key.V})
	}
	for _, r := range raw.Rules.Items {
		b.listenerRule(who, lb, l, r)
	}
	slices.SortStableFunc(l.HTTP.Rules, func(a, b topology.ListenerRule) int { return cmp.Compare(a.Priority, b.Priority) })
}

// httpTimeouts takes any timeout from a second on, as idleTimeout does. AWS has
// one for both sides.
func (b *builder) httpTimeouts(who string, l *topology.Listener, raw rawListener) {
	profile, most := b.can.HTTP, b.can.HTTP.Limits
	l.IdleTimeout = b.httpTimeout(who, "idle_timeout", raw.IdleTimeout, profile.Idle, most.Idle)
	request := profile.Request
	if profile.OneTimeout {
		request = l.IdleTimeout
	}
	l.HTTP.RequestTimeout = b.httpTimeout(who, "request_timeout", raw.RequestTimeout, request, most.Request)
}

func (b *builder) httpTimeout(who, key string, v value[time.Duration], otherwise, most time.Duration) time.Duration {
	d := b.span(who, key, v, otherwise, time.Second, 24*time.Hour)
	if most > 0 && d > most {
		b.warn(v.Node, "it is used as it is", "%s: %s %s is outside what %s takes, 1s to %s", who, key, short(d), b.plan.Cloud, short(most))
	}
	return d
}

func (b *builder) forwarded(who string, raw rawListener) []string {
	known := []string{"proto", "port", "client_port", "slb_id"}
	out := []string{}
	for _, v := range raw.Forwarded.Items {
		switch {
		case !v.given():
		case !slices.Contains(known, v.V):
			b.problem(v.Node, spell.Suggest(v.V, known), "%s: forwarded: there is no %q; there are %s", who, v.V, spell.List(known))
		case slices.Contains(out, v.V):
			b.problem(v.Node, "remove it", "%s: forwarded: %s is named twice", who, v.V)
		default:
			out = append(out, v.V)
		}
	}
	return out
}

func (b *builder) listenerRule(who string, lb *topology.LoadBalancer, l *topology.Listener, raw rawListenerRule) {
	if raw.Node == nil {
		return
	}
	who = fmt.Sprintf("%s: rule %d of %s port %d", who, raw.Priority.V, l.Protocol, l.Port)
	bounds := b.can.HTTP.Limits
	if raw.Priority.V > bounds.Priority {
		b.problem(raw.Priority.Node, fmt.Sprintf("write a number from 1 to %d", bounds.Priority), "%s: priority %d is more than %s takes", who, raw.Priority.V, b.plan.Cloud)
	}
	for _, other := range l.HTTP.Rules {
		if raw.Priority.given() && other.Priority == raw.Priority.V {
			b.problem(raw.Priority.Node, "give one of them another priority", "%s: another rule has the same priority", who)
		}
	}
	rule := topology.ListenerRule{
		Priority: raw.Priority.V,
		Hosts:    b.patterns(who, "host", raw.Hosts),
		Paths:    b.patterns(who, "path", raw.Paths),
	}
	if raw.Hosts.Node == nil && raw.Paths.Node == nil {
		b.problem(raw.Node, "add hosts: [...] or paths: [...]; what no rule is for goes to the listener's server group", "%s is for no host and no path", who)
	}
	b.ruleAction(who, lb, l, &rule, raw)
	l.HTTP.Rules = append(l.HTTP.Rules, rule)
}

func (b *builder) patterns(who, what string, raw sequence[value[string]]) []string {
	var out []string
	for _, v := range raw.Items {
		switch {
		case !v.given():
		case v.V == "" || strings.ContainsAny(v.V, " \t\r\n"):
			b.problem(v.Node, "write it without blanks", "%s: %s %q has blanks or is empty", who, what, v.V)
		case what == "path" && !strings.HasPrefix(v.V, "/") && !strings.HasPrefix(v.V, "*"):
			b.problem(v.Node, fmt.Sprintf("write %q", "/"+v.V), "%s: path %q does not begin with / or *", who, v.V)
		case what == "host" && strings.ContainsAny(v.V, "/:"):
			b.problem(v.Node, "write a host name alone", "%s: host %q is more than a name", who, v.V)
		case what == "host":
			out = append(out, strings.ToLower(v.V))
		default:
			out = append(out, v.V)
		}
	}
	if raw.Node != nil && len(raw.Items) == 0 && raw.Node.Kind == yaml.SequenceNode {
		b.problem(raw.Node, "name one, or leave the key out", "%s: the list of %ss is empty", who, what)
	}
	return out
}

func (b *builder) ruleAction(who string, lb *topology.LoadBalancer, l *topology.Listener, rule *topology.ListenerRule, raw rawListenerRule) {
	var actions []string
	if raw.ServerGroup.given() {
		actions = append(actions, "server_group")
		rule.ServerGroup = raw.ServerGroup.V
		b.listenerGroup(who, lb, l, raw.ServerGroup)
	}
	if f := raw.FixedResponse; f != nil {
		actions = append(actions, "fixed_response")
		rule.FixedResponse = &topology.FixedResponse{Status: f.Status.V, ContentType: f.ContentType.or("text/plain"), Body: f.Body.V}
		if f.Status.V/100 == 3 {
			b.problem(f.Status.Node, "use redirect", "%s: fixed_response status %d is a redirect", who, f.Status.V)
		}
		if most := b.can.HTTP.Limits.FixedResponseBody; len(f.Body.V) > most {
			b.problem(f.Body.Node, "write less", "%s: fixed_response body has %d bytes, and %d are possible", who, len(f.Body.V), most)
		}
	}
	if raw.Redirect != nil {
		actions = append(actions, "redirect")
		rule.Redirect = b.redirect(who, raw.Redirect)
	}
	if len(actions) != 1 && !raw.ServerGroup.Bad {
		what := "nothing"
		if len(actions) > 1 {
			what = "several things: " + spell.List(actions)
		}
		b.problem(raw.Node, "write one of server_group, fixed_response and redirect", "%s does %s", who, what)
	}
}

func (b *builder) redirect(who string, raw *rawRedirect) *topology.Redirect {
	r := &topology.Redirect{
		Status: raw.Status.or(301), Protocol: topology.Protocol(raw.Protocol.V), Host: raw.Host.V, Port: uint16(raw.Port.V), Path: raw.Path.V, Query: raw.Query.V,
	}
	if !slices.Contains([]int{301, 302, 303, 307, 308}, r.Status) {
		b.problem(raw.Status.Node, "write 301, 302, 303, 307 or 308", "%s: status %d is no redirect", who, r.Status)
	}
	if raw.Path.given() && !strings.HasPrefix(r.Path, "/") {
		b.problem(raw.Path.Node, fmt.Sprintf("write %q", "/"+r.Path), "%s: redirect path %q does not begin with /", who, r.Path)
	}
	if *r == (topology.Redirect{Status: r.Status}) && raw.Node != nil {
		b.problem(raw.Node, "write another protocol, host, port, path or query", "%s: the redirect leads to where it comes from", who)
	}
	return r
}

// listenerGroup checks that a listener can lead to a group. An HTTP group may
// be behind https too, where the load balancer ends TLS.
func (b *builder) listenerGroup(who string, lb *topology.LoadBalancer, l *topology.Listener, ref value[string]) {
	group := refer(b, who, ref, b.plan.ServerGroup)
	if group == nil || b.bad["server group "+group.Name] {
		return
	}
	want := []string{string(l.Protocol)}
	if l.Protocol.IsHTTP() && (l.Protocol == topology.HTTPS || b.can.HTTP.HTTPSBehindHTTP) {
		want = []string{string(topology.HTTP), string(topology.HTTPS)}
	}
	if l.Protocol != "" && !slices.Contains(want, string(group.Protocol)) {
		b.problem(ref.Node, fmt.Sprintf("use a server group with protocol: %s", spell.Either(want)),
			"%s: listener %s port %d leads to server group %q, which is for %s", who, l.Protocol, l.Port, group.Name, group.Protocol)
	}
	b.reachable(who, lb, *l, group, ref.Node)
	if lb.VPC != "" && group.VPC != lb.VPC {
		b.problem(ref.Node, "a load balancer serves its own vpc", "%s is in vpc %q, and server group %q in vpc %q", who, lb.VPC, group.Name, group.VPC)
	}
	if group.Persistence != nil && lb.Type == topology.ALB && !lb.CrossZone && !b.can.HTTP.Limits.PersistenceInZones {
		b.problem(ref.Node, "write cross_zone: true, or remove the group's persistence", "%s: server group %q has persistence, which %s does not have where nodes keep to the servers of their zones", who, group.Name, b.plan.Cloud)
	}
}

// httpGroup is what a server group of layer 7 has beyond the others.
func (b *builder) httpGroup(who string, group *topology.ServerGroup, raw rawServerGroup) {
	if !group.Protocol.IsHTTP() {
		for _, key := range []struct {
			name string
			node *yaml.Node
		}{{"persistence", nodeOf(raw.Persistence)}, {"keepalive", raw.Keepalive.Node}} {
			if key.node != nil {
				b.problem(key.node, "write protocol: http, or remove "+key.name, "%s: %s is for http and https groups, and this one is for %s", who, key.name, group.Protocol)
			}
		}
		return
	}
	group.Keepalive = raw.Keepalive.or(b.can.HTTP.Keepalive)
	if raw.Persistence != nil {
		group.Persistence = b.persistence(who, raw.Persistence)
	}
}

func nodeOf(p *rawPersistence) *yaml.Node {
	if p == nil {
		return nil
	}
	return p.Node
}

func (b *builder) persistence(who string, raw *rawPersistence) *topology.Persistence {
	bounds := b.can.HTTP.Limits
	p := b.can.HTTP.Persistence
	p.Mode = raw.Mode.or("insert")
	if p.Mode == "insert" {
		p.Timeout = b.span(who, "persistence timeout", raw.Timeout, p.Timeout, time.Second, bounds.Persistence)
		if raw.Cookie.given() {
			b.problem(raw.Cookie.Node, "remove it, or write mode: rewrite", "%s: the cookie that is inserted is called %s", who, p.Cookie)
		}
		return &p
	}
	if !bounds.Rewrite {
		b.problem(raw.Mode.Node, "write mode: insert", "%s: %s has no persistence that rewrites a cookie", who, b.plan.Cloud)
	}
	p.Cookie, p.Timeout, p.Renew = raw.Cookie.V, 0, false
	if !isToken(p.Cookie) && !raw.Cookie.Bad {
		b.problem(cmp.Or(raw.Cookie.Node, raw.Node), "write cookie: NAME, the cookie that the servers set", "%s: persistence by rewriting needs the name of a cookie", who)
	}
	if raw.Timeout.given() {
		b.problem(raw.Timeout.Node, "remove it: the server says how long its cookie lives", "%s: the timeout is of an inserted cookie", who)
	}
	return &p
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

// proxyNode makes an alb's node of one whose ENI has the address that the user
// gave, if any: that is the proxy's.
func proxyNode(lb *topology.LoadBalancer, node *topology.Node) {
	node.Proxy = &topology.Proxy{IP: node.ENI.IP, Namespace: lb.VPC + "." + node.ENI.Name, Device: "eth0"}
	node.ENI.IP = netip.Addr{}
}

// proxyAddresses gives an alb's node its addresses. Sessions that come through
// an endpoint reach the proxy from the ENI's address. It cannot be the
// consumer's, which may exist in the provider's VPC too, and no public document
// says what it is: Alibaba Cloud lets only an NLB tell who the consumer is ("Get
// real client information"). It is taken from the block that CLB has it from.
func (b *builder) proxyAddresses(lb *topology.LoadBalancer, node *topology.Node, vpc *topology.VPC, key *yaml.Node) {
	node.Proxy.IP = b.chosen(vpc, node.Subnet, node.Proxy.IP, "load balancer", lb.Name+"/"+node.Zone, key)
	node.Proxy.MAC = packet.MACOf(node.Proxy.IP)
	if b.can.SharedBlock.IsValid() {
		node.ENI.IP = b.fromShared(vpc, "nat/"+lb.Name+"/"+node.Zone)
	} else {
		node.ENI.IP = b.chosen(vpc, node.Subnet, netip.Addr{}, "load balancer", lb.Name+"/"+node.Zone+"/nat", key)
	}
	node.ENI.MAC = packet.MACOf(node.ENI.IP)
	node.Local = []netip.Addr{node.ENI.IP}
}

// certificateNames are what the certificates that the lab makes are for: the
// names and addresses by which clients reach the listener.
func (b *builder) certificateNames() {
	for i := range b.plan.LoadBalancers {
		lb := &b.plan.LoadBalancers[i]
		for _, l := range lb.Listeners {
			if l.Protocol == topology.HTTPS && len(l.HTTP.Certificates) == 0 {
				l.HTTP.CertificateNames = b.namesOf(lb, l)
			}
		}
	}
}

func (b *builder) namesOf(lb *topology.LoadBalancer, l topology.Listener) []string {
	var names []string
	add := func(name string) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, ep := range b.plan.Endpoints {
		service, err := b.plan.Service(ep.Service)
		if err != nil || !slices.ContainsFunc(service.Resources, func(r topology.Resource) bool { return r.LoadBalancer == lb.Name }) {
			continue
		}
		add(ep.Domain)
		for _, zone := range ep.Zones {
			add(zone.Domain)
			add(zone.ENI.IP.String())
		}
	}
	for i := range lb.Nodes {
		add(lb.Nodes[i].IP().String())
	}
	for _, rule := range l.HTTP.Rules {
		for _, host := range rule.Hosts {
			// X.509 knows a star as the whole first label alone (RFC 6125, 6.4.3).
			if !strings.ContainsAny(strings.TrimPrefix(host, "*."), "*?") {
				add(host)
			}
		}
	}
	return names
}
