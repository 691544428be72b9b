package anyedit

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/plinksim/plinksim/pkg/topology"
)

// value draws what may stand at a key of the object at a path.
func (n *draw) value(path []string, key string, is *schema) string {
	if is == nil {
		return "{}"
	}
	if text, known := n.word(path, key); known && !is.is("object") {
		if is.is("array") && (!is.is("string") || n.chance(0.3)) {
			return n.list(func() string { text, _ := n.word(path, key); return text })
		}
		return text
	}
	switch {
	case len(is.Enum) > 0:
		return fmt.Sprint(one(n.Drawer, is.Enum...))
	case len(is.OneOf) > 0:
		return n.value(path, key, one(n.Drawer, is.OneOf...))
	case len(is.AnyOf) > 0:
		return one(n.Drawer, "none", "0", "1%", "20%", "100Mbit", "200", "2Gbit")
	case is.is("boolean"):
		return fmt.Sprint(n.chance(0.5))
	case is.is("integer"):
		return fmt.Sprint(n.number(key, is))
	case is.is("array"):
		return n.list(func() string { return n.value(path, key, is.Items) })
	case is.is("object") && is.AdditionalProperties.schema != nil:
		return fmt.Sprintf("{%s: %s}", n.fresh("x"), n.value(path, key, is.AdditionalProperties.schema))
	case is.is("object"):
		return n.object(path, is)
	}
	return n.text(is)
}

func (n *draw) list(element func() string) string {
	var all []string
	for range one(n.Drawer, 0, 1, 1, 1, 2, 3) {
		all = append(all, element())
	}
	return "[" + strings.Join(all, ", ") + "]"
}

// object has what it must, and of the rest a little.
func (n *draw) object(path []string, is *schema) string {
	var all []string
	for _, key := range is.keys() {
		if slices.Contains(is.Required, key) || n.chance(0.3) {
			all = append(all, key+": "+n.value(path, key, is.Properties[key]))
		}
	}
	return "{" + strings.Join(all, ", ") + "}"
}

func (n *draw) number(key string, is *schema) int {
	low, high := 0, 100
	if is.Minimum != nil {
		low, high = int(*is.Minimum), int(*is.Maximum)
	}
	switch {
	case n.chance(0.05):
		return one(n.Drawer, low-1, high+1)
	case strings.Contains(key, "quota") || strings.Contains(key, "_per_"):
		return one(n.Drawer, 0, 1, 20, 50)
	case high == 65535:
		return one(n.Drawer, 80, 81, 443, 3306, 8080, 1400, 8500)
	}
	return low + n.rng.IntN(min(high-low, 120)+1)
}

func (n *draw) text(is *schema) string {
	switch {
	case strings.Contains(is.Pattern, "(ns|us|ms|s|m|h)"):
		return one(n.Drawer, "0s", "1s", "2s", "5s", "10s", "30s", "60s", "300s", "900s", "1h", "5")
	case strings.Contains(is.Pattern, "[1-5]xx"):
		return one(n.Drawer, "200", "200-399", "http_2xx", "600")
	}
	return one(n.Drawer, "hello", `"{client}"`, "/health", "/*", "db.example.com", "text with blanks", `""`)
}

// word draws the value of a key that names something, or that must fit what
// there is; false of other keys.
func (n *draw) word(path []string, key string) (text string, known bool) {
	vpc := n.vpcOf(path)
	switch key {
	case "vpc", "vpcs":
		return n.name(names(n.plan.VPCs), "v"), true
	case "account", "accounts", "as", "whitelist":
		return n.name(append(names(n.plan.Accounts), `"*"`), "account"), true
	case "subnet", "subnets":
		return n.name(names(vpc.Subnets), "s"), true
	case "security_groups", "security_group":
		return n.name(names(vpc.SecurityGroups), "g"), true
	case "source", "destination":
		return n.name(append(names(vpc.SecurityGroups), "0.0.0.0/0", "10.0.0.0/8", vpc.CIDR.String()), "g"), true
	case "instance":
		return n.name(names(vpc.Instances), "i"), true
	case "server_group":
		return n.name(names(n.plan.ServerGroups), "sg"), true
	case "load_balancer":
		return n.name(names(n.plan.LoadBalancers), "lb"), true
	case "resources", "resource":
		return n.name(append(names(n.plan.LoadBalancers), names(n.plan.NATGateways)...), "lb"), true
	case "service":
		return n.name(names(n.plan.Services), "svc"), true
	case "endpoint":
		return n.name(names(n.plan.Endpoints), "ep"), true
	case "zone":
		return n.zone(), true
	case "ip", "nat_ip", "nat_ips", "access_ip", "a":
		return n.address(vpc), true
	case "dns_upstreams":
		return one(n.Drawer, n.address(vpc), "192.0.2.53"), true
	case "cidr", "secondary_cidrs", "nat_cidr":
		return n.block(vpc), true
	case "ipv6_cidr":
		return one(n.Drawer, "2001:db8:1::/56", "2001:db8:1::/64", "2001:db8:1:1::/64", "2001:db8:2::/56"), true
	case "ipv6", "aaaa":
		return one(n.Drawer, `"2001:db8:1::10"`, `"2001:db8:1:1::20"`), true
	case "ports":
		return one(n.Drawer, "80", "443", "8000-8080", "1-65535", "9-8"), true
	case "domain", "private_dns_name", "cname", "host", "hosts", "target":
		return one(n.Drawer, "example.com", "db.example.com", `"*.example.com"`, "shop.internal", "a..b"), true
	case "command":
		return "[sleep, \"60\"]", true
	case "region", "service_region":
		return one(n.Drawer, n.plan.Region, "us-east-1"), true
	case "path", "paths":
		return one(n.Drawer, "/", "/health", "/api/*"), true
	case "forwarded":
		return one(n.Drawer, "proto", "port", "client_port"), true
	case "certificate", "key":
		return "/nowhere.pem", true
	}
	return "", false
}

// vpcOf is the VPC that what is at a path is in, or any.
func (n *draw) vpcOf(path []string) *topology.VPC {
	name := ""
	if len(path) > 1 {
		switch path[0] {
		case "vpcs":
			name = path[1]
		case "server_groups":
			if g, err := n.plan.ServerGroup(path[1]); err == nil {
				name = g.VPC
			}
		case "load_balancers":
			if b, err := n.plan.LoadBalancer(path[1]); err == nil {
				name = b.VPC
			}
		case "endpoints":
			if e, err := n.plan.Endpoint(path[1]); err == nil {
				name = e.VPC
			}
		case "nat_gateways":
			if g, err := n.plan.NATGateway(path[1]); err == nil {
				name = g.VPC
			}
		}
	}
	if vpc, err := n.plan.VPC(name); err == nil {
		return vpc
	}
	if len(n.plan.VPCs) == 0 {
		return &topology.VPC{Name: "v0", CIDR: netip.MustParsePrefix("10.0.0.0/16")}
	}
	return &n.plan.VPCs[n.rng.IntN(len(n.plan.VPCs))]
}

func (n *draw) zone() string { return n.plan.Region + one(n.Drawer, "a", "b") }

// address is one of a VPC, mostly in one of its subnets.
func (n *draw) address(vpc *topology.VPC) string {
	in := vpc.CIDR
	if len(vpc.Subnets) > 0 && n.chance(0.9) {
		in = vpc.Subnets[n.rng.IntN(len(vpc.Subnets))].CIDR
	}
	at := in.Addr().As4()
	at[3] += byte(4 + n.rng.IntN(24))
	return netip.AddrFrom4(at).String()
}

// block is one of a VPC, or one that a VPC can have.
func (n *draw) block(vpc *topology.VPC) string {
	if n.chance(0.6) {
		at := vpc.CIDR.Addr().As4()
		at[2] += byte(n.rng.IntN(6))
		return netip.PrefixFrom(netip.AddrFrom4(at), 24).String()
	}
	return one(n.Drawer, blocks...)
}

var blocks = []string{"10.0.0.0/16", "10.0.0.0/16", "10.1.0.0/16", "10.2.0.0/16", "192.168.0.0/16", "172.16.0.0/12"}

// names are those of objects, in the order of the plan.
func names[T any](objects []T) (all []string) {
	for _, o := range objects {
		all = append(all, reflect.ValueOf(o).FieldByName("Name").String())
	}
	return all
}
