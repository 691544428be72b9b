package anyedit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/plinksim/plinksim/pkg/topology"
)

// made draws an edit that makes an object of some kind, with what it must have
// to fit what there is.
func (n *draw) made() topology.Edit {
	if len(n.plan.VPCs) == 0 {
		return n.newVPC()
	}
	kinds := []func() topology.Edit{
		n.newVPC, n.newSubnet, n.newSubnet, n.newGroup, n.newRule, n.newInstance, n.newInstance, n.newService, n.newPeering,
		n.newServerGroup, n.newServerGroup, n.newServer, n.newBalancer, n.newBalancer, n.newListener, n.newGateway, n.newEntry,
		n.newEndpointService, n.newEndpointService, n.newEndpoint, n.newEndpoint, n.newEndpoint, n.newZone, n.newRecord,
	}
	e := one(n.Drawer, kinds...)()
	if kept(topology.SplitPath(e.Path)) {
		return n.newVPC()
	}
	e.New = e.New || n.chance(0.3)
	return e
}

func edit(value string, path ...string) topology.Edit {
	return topology.Edit{Path: topology.JoinPath(path...), Value: value}
}

// some is text in one of several cases, and nothing in the others.
func (n *draw) some(p float64, format string, args ...any) string {
	if !n.chance(p) {
		return ""
	}
	return ", " + fmt.Sprintf(format, args...)
}

func (n *draw) anyVPC() *topology.VPC { return &n.plan.VPCs[n.rng.IntN(len(n.plan.VPCs))] }

func (n *draw) newVPC() topology.Edit {
	block := one(n.Drawer, blocks[:5]...)
	third := strings.TrimSuffix(block, ".0.0/16")
	subnets := n.some(0.8, "subnets: {s0: {zone: %s, cidr: %s.0.0/24}%s}", n.zone(), third,
		n.some(0.5, "s1: {zone: %s, cidr: %s.1.0/24}", n.zone(), third))
	account := ""
	if len(n.plan.Accounts) > 0 {
		account = n.some(0.9, "account: %s", n.name(names(n.plan.Accounts), "account"))
	}
	open := "{ingress: [{protocol: all, source: 0.0.0.0/0}]}"
	return edit(fmt.Sprintf("{cidr: %s%s%s%s}", block, subnets, account,
		n.some(0.4, "security_groups: {g0: %s%s}", open, n.some(0.5, "default: %s", open))), "vpcs", n.fresh("v"))
}

func (n *draw) newSubnet() topology.Edit {
	vpc := n.anyVPC()
	ipv6 := n.some(0.1, "ipv6_cidr: 2001:db8:1:%d::/64", n.rng.IntN(4))
	return edit(fmt.Sprintf("{zone: %s, cidr: %s%s}", n.zone(), n.block(vpc), ipv6), "vpcs", vpc.Name, "subnets", n.fresh("s"))
}

func (n *draw) rule(vpc *topology.VPC, peer string) string {
	text, _ := n.word([]string{"vpcs", vpc.Name}, peer)
	protocol := one(n.Drawer, "tcp", "udp", "all", "icmp")
	ports := ""
	if protocol == "tcp" || protocol == "udp" {
		ports = n.some(0.6, "ports: %s", one(n.Drawer, "80", "443", "1-65535"))
	}
	return fmt.Sprintf("{protocol: %s, %s: %s%s%s}", protocol, peer, text, ports, n.some(0.1, "priority: %d", 1+n.rng.IntN(3)))
}

func (n *draw) newGroup() topology.Edit {
	vpc := n.anyVPC()
	rules := n.list(func() string { return n.rule(vpc, "source") })
	egress := n.some(0.2, "egress: %s", n.list(func() string { return n.rule(vpc, "destination") }))
	return edit(fmt.Sprintf("{ingress: %s%s}", rules, egress), "vpcs", vpc.Name, "security_groups", n.fresh("g"))
}

func (n *draw) newRule() topology.Edit {
	vpc := n.anyVPC()
	path := []string{"vpcs", vpc.Name, "security_groups", n.name(names(vpc.SecurityGroups), "g")}
	if n.chance(0.3) {
		return edit(n.rule(vpc, "destination"), append(path, "egress", topology.AtEnd)...)
	}
	return edit(n.rule(vpc, "source"), append(path, "ingress", topology.AtEnd)...)
}

func (n *draw) service() string {
	port := one(n.Drawer, 80, 81, 443, 8080)
	return fmt.Sprintf("{%s: %d%s}", one(n.Drawer, "http", "http", "tcp", "udp", "echo"), port, n.some(0, ""))
}

func (n *draw) newInstance() topology.Edit {
	vpc := n.anyVPC()
	value := fmt.Sprintf("{subnet: %s%s%s%s}", n.name(names(vpc.Subnets), "s"),
		n.some(0.5, "services: [%s]", n.service()),
		n.some(0.3, "ip: %s", n.address(vpc)),
		n.some(0.3, "security_groups: [%s]", n.name(names(vpc.SecurityGroups), "g")))
	return edit(value, "vpcs", vpc.Name, "instances", n.fresh("i"))
}

func (n *draw) newService() topology.Edit {
	vpc := n.anyVPC()
	return edit(n.service(), "vpcs", vpc.Name, "instances", n.name(names(vpc.Instances), "i"), "services", topology.AtEnd)
}

func (n *draw) newPeering() topology.Edit {
	return edit(fmt.Sprintf("{vpcs: [%s, %s]}", n.anyVPC().Name, n.anyVPC().Name), "peerings", n.fresh("p"))
}

func (n *draw) server(vpc *topology.VPC) string {
	weight := n.some(0.3, "weight: %d", n.rng.IntN(101))
	port := one(n.Drawer, 80, 81, 443, 8080)
	if len(vpc.Instances) == 0 || n.chance(0.2) {
		if n.chance(0.2) {
			vpc = n.anyVPC() // which may have a peering with it
		}
		return fmt.Sprintf("{ip: %s, port: %d%s}", n.address(vpc), port, weight)
	}
	return fmt.Sprintf("{instance: %s, port: %d%s}", n.name(names(vpc.Instances), "i"), port, weight)
}

func (n *draw) newServerGroup() topology.Edit {
	vpc := n.anyVPC()
	protocol := one(n.Drawer, "tcp", "tcp", "tcp", "http", "udp")
	check := one(n.Drawer, "{protocol: none}", "{protocol: tcp, interval: 5s}", "{protocol: http, path: /}", "{}")
	value := fmt.Sprintf("{vpc: %s, protocol: %s, servers: [%s%s]%s%s%s}", vpc.Name, protocol, n.server(vpc),
		n.some(0.5, "%s", n.server(vpc)), n.some(0.7, "health_check: %s", check),
		n.some(0.2, "scheduler: %s", one(n.Drawer, "wrr", "rr", "sch", "tch", "wlc")),
		n.some(0.1, "deregistration: {delay: %s, terminate: %t}", one(n.Drawer, "0s", "10s"), n.chance(0.5)))
	return edit(value, "server_groups", n.fresh("sg"))
}

func (n *draw) newServer() topology.Edit {
	group := n.name(names(n.plan.ServerGroups), "sg")
	vpc := n.vpcOf([]string{"server_groups", group})
	return edit(n.server(vpc), "server_groups", group, "servers", topology.AtEnd)
}

func (n *draw) listener(vpc, balancer string) string {
	var groups []string
	for _, g := range n.plan.ServerGroups {
		alb := g.Protocol == topology.HTTP || g.Protocol == topology.HTTPS
		if g.VPC == vpc && alb == (balancer == "alb") {
			groups = append(groups, g.Name)
		}
	}
	group := n.name(groups, "sg")
	protocol := "tcp"
	if g, err := n.plan.ServerGroup(group); err == nil && n.chance(0.9) {
		protocol = string(g.Protocol)
	}
	rest := n.some(0.2, "idle_timeout: %s", one(n.Drawer, "60s", "900s", "350s"))
	if balancer == "alb" {
		rest = n.some(0.3, "rules: [{priority: %d, paths: [\"/a/*\"], server_group: %s}]", 1+n.rng.IntN(5), n.name(groups, "sg"))
	}
	return fmt.Sprintf("{protocol: %s, port: %d, server_group: %s%s}", protocol, one(n.Drawer, 80, 81, 443, 8080), group, rest)
}

// subnetsIn are subnets of a VPC, one of each of some zones; of all where there
// are none named.
func (n *draw) subnetsIn(vpc *topology.VPC, zones ...string) string {
	var all, seen []string
	for _, s := range vpc.Subnets {
		if !slices.Contains(seen, s.Zone) && (len(zones) == 0 || slices.Contains(zones, s.Zone)) {
			all, seen = append(all, s.Name), append(seen, s.Zone)
		}
	}
	if len(all) == 0 || n.chance(0.05) {
		all = []string{n.fresh("s")}
	}
	return "[" + strings.Join(all, ", ") + "]"
}

func (n *draw) newBalancer() topology.Edit {
	vpc := n.anyVPC()
	kind := one(n.Drawer, "clb", "nlb", "nlb", "nlb", "alb")
	subnets := n.subnetsIn(vpc)
	if first, _, more := strings.Cut(subnets, ","); more && kind == "clb" {
		subnets = first + "]"
	}
	listeners := "[]"
	if n.chance(0.8) {
		listeners = "[" + n.listener(vpc.Name, kind) + "]"
	}
	return edit(fmt.Sprintf("{type: %s, vpc: %s, subnets: %s, listeners: %s%s}", kind, vpc.Name, subnets, listeners,
		n.some(0.2, "cross_zone: %t", n.chance(0.5))), "load_balancers", n.fresh("lb"))
}

func (n *draw) newListener() topology.Edit {
	name := n.name(names(n.plan.LoadBalancers), "lb")
	vpc, kind := "v0", "nlb"
	if b, err := n.plan.LoadBalancer(name); err == nil {
		vpc, kind = b.VPC, string(b.Type)
	}
	return edit(n.listener(vpc, kind), "load_balancers", name, "listeners", topology.AtEnd)
}

func (n *draw) newGateway() topology.Edit {
	vpc := n.anyVPC()
	value := fmt.Sprintf("{type: FullNat, vpc: %s, subnet: %s%s}", vpc.Name, n.name(names(vpc.Subnets), "s"),
		n.some(0.5, "nat_ips: [%s]", n.address(vpc)))
	return edit(value, "nat_gateways", n.fresh("ngw"))
}

func (n *draw) newEntry() topology.Edit {
	name := n.name(names(n.plan.NATGateways), "ngw")
	from := n.address(n.vpcOf([]string{"nat_gateways", name}))
	if g, err := n.plan.NATGateway(name); err == nil && len(g.NATIPs) > 0 {
		from = one(n.Drawer, g.NATIPs...).IP.String()
	}
	var reverse []string
	for _, e := range n.plan.Endpoints {
		if s, err := n.plan.Service(e.Service); err == nil && s.Reverse {
			reverse = append(reverse, e.Name)
		}
	}
	endpoint := n.name(reverse, "ep")
	value := fmt.Sprintf("{nat_ip: %s, endpoint: %s, access_ip: %s, access_port: %d%s%s}", from, endpoint,
		n.address(n.vpcOf([]string{"endpoints", endpoint})), one(n.Drawer, 80, 3306),
		n.some(0.5, "nat_port: %d", one(n.Drawer, 80, 3306)), n.some(0.3, "domain: db.example.com"))
	return edit(value, "nat_gateways", name, "full_nat", n.fresh("e"))
}

func (n *draw) newEndpointService() topology.Edit {
	offers := append(names(n.plan.LoadBalancers), names(n.plan.NATGateways)...)
	if n.chance(0.8) { // at AWS one service alone can offer it
		for _, s := range n.plan.Services {
			offers = slices.DeleteFunc(offers, func(name string) bool {
				return slices.ContainsFunc(s.Resources, func(r topology.Resource) bool { return r.LoadBalancer == name })
			})
		}
	}
	value := fmt.Sprintf("{resources: [%s], auto_accept: %t%s%s}", n.name(offers, "lb"), n.chance(0.6),
		n.some(0.6, `whitelist: ["*"]`), n.some(0.2, "zone_affinity: true"))
	return edit(value, "endpoint_services", n.fresh("svc"))
}

func (n *draw) newEndpoint() topology.Edit {
	vpc := n.anyVPC()
	service := n.name(names(n.plan.Services), "svc")
	var zones []string
	if s, err := n.plan.Service(service); err == nil {
		for _, r := range s.Resources {
			zones = append(zones, r.Zone)
		}
	}
	value := fmt.Sprintf("{service: %s, vpc: %s, subnets: %s%s%s}", service, vpc.Name, n.subnetsIn(vpc, zones...),
		n.some(0.2, "security_groups: [%s]", n.name(names(vpc.SecurityGroups), "g")), n.some(0.1, "exists: false"))
	return edit(value, "endpoints", n.fresh("ep"))
}

func (n *draw) record() string {
	value := one(n.Drawer, "a: [10.0.0.9]", "cname: other.example.com", "txt: [hello]")
	return fmt.Sprintf("{name: %s, %s}", one(n.Drawer, "www", "db", `"@"`, `"*"`), value)
}

func (n *draw) newZone() topology.Edit {
	domain := one(n.Drawer, "example.com", "shop.internal", "db.example.com")
	records := n.list(n.record)
	if n.chance(0.3) {
		return edit(fmt.Sprintf("{domain: %s, records: %s}", domain, records), "public_zones", n.fresh("z"))
	}
	return edit(fmt.Sprintf("{domain: %s, vpcs: [%s], records: %s}", domain, n.anyVPC().Name, records), "private_zones", n.fresh("z"))
}

func (n *draw) newRecord() topology.Edit {
	section := one(n.Drawer, "private_zones", "private_zones", "public_zones")
	zones := slices.DeleteFunc(n.objects(), func(p place) bool { return p.path[0] != section })
	name := n.fresh("z")
	if len(zones) > 0 {
		name = one(n.Drawer, zones...).path[1]
	}
	return edit(n.record(), section, name, "records", topology.AtEnd)
}

// operation draws what an account does, to what there is for the most part.
func (n *draw) operation() topology.Operation {
	spec := one(n.Drawer, topology.Specs...)
	if n.chance(0.3) {
		spec = *topology.Operation{Verb: topology.VerbAccept}.Spec()
	}
	keys := spec.Needs.List()
	for _, key := range append(spec.May.List(), spec.Creates.List()...) {
		if n.chance(0.3) {
			keys = append(keys, key)
		}
	}
	for {
		o := topology.Operation{Verb: spec.Verb}
		for _, key := range keys {
			// What does not fit is left out, and then the operation is refused.
			_ = o.Set(key, strings.Trim(n.argument(&o, key), `"`))
		}
		if !slices.ContainsFunc([]string{o.Service, o.Endpoint, o.NATGateway, o.ServerGroup}, func(name string) bool {
			return strings.HasPrefix(name, Kept)
		}) {
			return o
		}
	}
}

// argument draws the value of an operation's key, which fits those that it has.
func (n *draw) argument(o *topology.Operation, key string) string {
	endpoint, err := n.plan.Endpoint(o.Endpoint)
	switch key {
	case "endpoint":
		var led []string
		for _, e := range n.plan.Endpoints {
			if e.Service == o.Service || o.Service == "" {
				led = append(led, e.Name)
			}
		}
		return n.name(led, "ep")
	case "zone":
		if err == nil && len(endpoint.Zones) > 0 {
			return one(n.Drawer, endpoint.Zones...).Zone
		}
	case "resource", "resources":
		return n.name(names(n.plan.LoadBalancers), "lb") + "@" + n.zone()
	case "nat_gateway":
		return n.name(names(n.plan.NATGateways), "ngw")
	case "entry":
		if g, err := n.plan.NATGateway(o.NATGateway); err == nil {
			return n.name(names(g.Entries), "e")
		}
		return n.fresh("e")
	case "server":
		return n.name(names(n.vpcOf([]string{"server_groups", o.ServerGroup}).Instances), "i") + ":" + one(n.Drawer, "80", "81")
	case "bandwidth":
		return one(n.Drawer, "100", "200", "none")
	case "security_group":
		return n.name(names(n.vpcOf([]string{"endpoints", o.Endpoint}).SecurityGroups), "g")
	case "load_balancers":
		return n.name(names(n.plan.LoadBalancers), "lb")
	case "security_groups", "subnets":
		text, _ := n.word([]string{"vpcs", o.VPC}, key)
		return text
	case "protocol":
		return "tcp"
	case "nat_port", "access_port", "weight":
		return one(n.Drawer, "80", "3306", "50")
	case "auto_accept", "zone_affinity", "private_dns", "force":
		return fmt.Sprint(n.chance(0.5))
	}
	if text, known := n.word(nil, key); known {
		return text
	}
	return "text"
}
