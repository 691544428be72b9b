package topofile

import (
	"fmt"
	"net/netip"

	"go.yaml.in/yaml/v3"

	"github.com/plinksim/plinksim/internal/derive"
	"github.com/plinksim/plinksim/internal/spell"
	"github.com/plinksim/plinksim/pkg/topology"
)

// builder makes a Plan of a file that was read. Objects with problems are in
// the plan too, so that references to them are not problems again.
type builder struct {
	*source
	raw  *rawTopology
	plan *topology.Plan
	can  topology.Profile
	ids  topology.IDs

	bad        map[string]bool                      // objects that something was said about: "subnet vpc1/vsw1"
	taken      map[string]map[netip.Addr]string     // by VPC: who has an address
	balancerOf map[string]topology.LoadBalancerType // by server group: the type of load balancer that uses it
}

func newBuilder(src *source, raw *rawTopology) *builder {
	// Where the cloud is not known, the least strict one keeps quiet.
	cloud := topology.Cloud(raw.Cloud.or(string(topology.RFC)))
	plan := &topology.Plan{
		Name:      raw.Name.V,
		Cloud:     cloud,
		Profile:   cloud.Profile(),
		Region:    raw.Region.V,
		Dataplane: "_dataplane",
	}
	return &builder{
		source:     src,
		raw:        raw,
		plan:       plan,
		can:        plan.Profile,
		ids:        topology.IDs{Cloud: cloud, Lab: plan.Name, Region: plan.Region},
		bad:        map[string]bool{},
		taken:      map[string]map[netip.Addr]string{},
		balancerOf: map[string]topology.LoadBalancerType{},
	}
}

func (b *builder) build() {
	for _, v := range []value[string]{b.raw.Name, b.raw.Region} {
		if v.given() {
			b.name(v.Node, "", topology.MaxName)
		}
	}
	b.quotas()
	b.accounts()
	b.vpcs()
	b.serverGroups()
	b.loadBalancers()
	b.natGateways()
	b.services()
	b.endpoints()
	b.fullNAT()
	b.withinQuotas()
	if len(b.problems) == 0 {
		b.addresses()
		b.devices()
		b.certificateNames()
	}
	b.dnsZones()
	b.checks()
}

// object runs build for an object and remembers whether something was wrong.
func (b *builder) object(kind, name string, build func()) {
	before := len(b.problems)
	build()
	b.bad[kind+" "+name] = len(b.problems) > before
}

// refer looks a reference up and notes where it leads nowhere. It returns nil
// for that and for a reference that was not given.
func refer[T any](b *builder, who string, ref value[string], lookup func(string) (*T, error)) *T {
	if !ref.given() {
		return nil
	}
	found, err := lookup(ref.V)
	if err == nil {
		return found
	}
	if missing, ok := err.(*topology.NotFoundError); ok {
		b.problem(ref.Node, spell.Suggest(missing.Name, missing.Known), "%s: there is no %s %q", who, missing.Kind, missing.Name)
	} else {
		b.problem(ref.Node, "", "%s: %s", who, err)
	}
	return nil
}

func (b *builder) accounts() {
	for _, name := range b.raw.Accounts.Items {
		if !name.given() {
			continue
		}
		b.name(name.Node, "accounts", topology.MaxName)
		if _, err := b.plan.Account(name.V); err == nil {
			b.problem(name.Node, "remove it", "account %q is named twice", name.V)
			continue
		}
		b.addAccount(name.V)
	}
	if len(b.raw.Accounts.Items) == 0 {
		b.addAccount("default")
	}
}

func (b *builder) addAccount(name string) {
	b.plan.Accounts = append(b.plan.Accounts, topology.Account{Name: name, ID: b.ids.Account(name)})
}

// owner is the account of an object, which may be left out where there is one.
func (b *builder) owner(who string, ref value[string], node *yaml.Node) string {
	if a := refer(b, who, ref, b.plan.Account); a != nil {
		return a.Name
	}
	if ref.given() || ref.Bad {
		return ""
	}
	if len(b.plan.Accounts) != 1 {
		known := spell.Names(b.plan.Accounts, func(a *topology.Account) string { return a.Name })
		b.problem(node, "add account: "+spell.Either(known), "%s has no account, and there are several", who)
		return ""
	}
	return b.plan.Accounts[0].Name
}

// network is the block that a user wrote, without host bits, which it notes.
func (b *builder) network(who, key string, v value[netip.Prefix]) netip.Prefix {
	if !v.given() {
		return netip.Prefix{}
	}
	if block := v.V.Masked(); block != v.V {
		b.problem(v.Node, fmt.Sprintf("did you mean %s?", block),
			"%s: %s %s has host bits set", who, key, v.V)
	}
	return v.V.Masked()
}

// address checks an address that a user gave to something in a subnet, and
// takes it.
func (b *builder) address(who string, ip value[netip.Addr], vpc *topology.VPC, subnet *topology.Subnet) {
	if !ip.given() {
		return
	}
	addr := ip.V
	switch {
	case vpc.CIDR.IsValid() && !vpc.CIDR.Contains(addr):
		b.problem(ip.Node, b.whereIs(addr, vpc, subnet), "%s: ip %s is not in vpc %q (%s)", who, addr, vpc.Name, vpc.CIDR)
		return
	case subnet == nil || !subnet.CIDR.IsValid():
		return
	case !subnet.CIDR.Contains(addr):
		b.problem(ip.Node, b.whereIs(addr, vpc, subnet), "%s: ip %s is not in subnet %q (%s)", who, addr, subnet.Name, subnet.CIDR)
		return
	case addr == subnet.Gateway:
		b.problem(ip.Node, b.usable(subnet), "%s: ip %s is the gateway of subnet %q", who, addr, subnet.Name)
		return
	case b.reserved(subnet, addr):
		b.problem(ip.Node, b.usable(subnet), "%s: ip %s is reserved in subnet %q (%s)", who, addr, subnet.Name, subnet.CIDR)
		return
	}
	if other := b.taken[vpc.Name][addr]; other != "" {
		b.problem(ip.Node, "give one of them another address, or none: then one is chosen", "%s: ip %s is already that of %s", who, addr, other)
		return
	}
	b.take(vpc.Name, addr, who)
}

func (b *builder) take(vpc string, addr netip.Addr, who string) {
	if b.taken[vpc] == nil {
		b.taken[vpc] = map[netip.Addr]string{}
	}
	b.taken[vpc][addr] = who
}

// reserved says whether the cloud keeps an address of the subnet for itself.
func (b *builder) reserved(subnet *topology.Subnet, addr netip.Addr) bool {
	at := derive.Position(subnet.CIDR, addr)
	return at < b.can.LowReserve || at >= derive.Size(subnet.CIDR)-b.can.TopReserve
}

func (b *builder) usable(subnet *topology.Subnet) string {
	first, last := derive.Nth(subnet.CIDR, b.can.LowReserve), derive.Nth(subnet.CIDR, -1-b.can.TopReserve)
	return fmt.Sprintf("%s to %s can be used", first, last)
}

// whereIs helps with an address that is outside: it names the subnet that the
// address is in, if there is one, and the addresses that would do.
func (b *builder) whereIs(addr netip.Addr, vpc *topology.VPC, subnet *topology.Subnet) string {
	var hint string
	if subnet != nil && subnet.CIDR.IsValid() && vpc.CIDR.IsValid() && derive.Contains(vpc.CIDR, subnet.CIDR) {
		hint = fmt.Sprintf("in subnet %q, %s", subnet.Name, b.usable(subnet))
	}
	for i := range b.plan.VPCs {
		for _, s := range b.plan.VPCs[i].Subnets {
			if s.CIDR.IsValid() && s.CIDR.Contains(addr) {
				where := fmt.Sprintf("%s is in subnet %q of vpc %q", addr, s.Name, b.plan.VPCs[i].Name)
				if hint == "" {
					return where
				}
				return where + "; " + hint
			}
		}
	}
	return hint
}
