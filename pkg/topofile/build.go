package topofile

import (
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/plinksim/plinksim/internal/spell"
	"github.com/plinksim/plinksim/pkg/topology"
)

// draft is a plan while it is made, with the file that it is made of and what
// was found wrong with it. The builders share one: there is a type for each
// kind of object, which can be read and tested by itself. Objects with problems
// are in the plan too, so that references to them are not problems again.
type draft struct {
	*source
	raw  *rawTopology
	plan *topology.Plan
	can  topology.Profile
	ids  topology.IDs

	bad        map[string]bool                      // objects that something was said about: "subnet vpc1/vsw1"
	balancerOf map[string]topology.LoadBalancerType // by server group: the type of load balancer that uses it
}

func newDraft(src *source, raw *rawTopology) *draft {
	// Where the cloud is not known, the least strict one keeps quiet.
	cloud := topology.Cloud(raw.Cloud.or(string(topology.RFC)))
	plan := &topology.Plan{
		Name:    raw.Name.V,
		Cloud:   cloud,
		Profile: cloud.Profile(),
		Region:  raw.Region.V,

		MaxSessions: raw.MaxSessions.V,
		Dataplane:   "_dataplane",
	}
	return &draft{
		source:     src,
		raw:        raw,
		plan:       plan,
		can:        plan.Profile,
		ids:        topology.IDs{Cloud: cloud, Lab: plan.Name, Region: plan.Region},
		bad:        map[string]bool{},
		balancerOf: map[string]topology.LoadBalancerType{},
	}
}

// build makes the plan, which is of use where no problem was found.
func (d *draft) build() *topology.Plan {
	for _, v := range []value[string]{d.raw.Name, d.raw.Region} {
		if v.given() {
			d.name(v.Node, "", topology.MaxName)
		}
	}
	d.plan.Transition = d.span("the topology", "transition", d.raw.Transition, 0, 0, time.Minute)
	a := &addresses{draft: d, taken: map[string]map[netip.Addr]string{}}
	quotaBuilder{d}.read()
	accountBuilder{d}.build()
	vpcBuilder{a}.build()
	peeringBuilder{d}.build()
	serverGroupBuilder{d}.build()
	loadBalancerBuilder{a}.build()
	serverGroupBuilder{d}.targetALBs()
	natGatewayBuilder{a}.build()
	serviceBuilder{d}.build()
	endpointBuilder{a}.build()
	fullNATBuilder{d}.build()
	quotaBuilder{d}.build()
	hostBuilder{a}.build()
	idBuilder{draft: d}.build()
	if len(d.problems) == 0 {
		a.choose()
		deviceBuilder{d}.build()
		loadBalancerBuilder{a}.certificateNames()
	}
	zoneBuilder{d}.build()
	privateNameBuilder{d}.build()
	checkBuilder{d}.build()
	return d.plan
}

// pairs are the entries of a file with what was planned of each. Every builder
// plans one object for an entry, with problems or without.
func pairs[R, P any](raw []entry[R], planned []P) iter.Seq2[*entry[R], *P] {
	return func(yield func(*entry[R], *P) bool) {
		for i := range raw {
			if !yield(&raw[i], &planned[i]) {
				return
			}
		}
	}
}

// each builds every entry of a kind and remembers of which of them something
// was wrong: "endpoint ep1", or "instance vpc1/ecs1" of the kind "instance vpc1/".
func each[T any](d *draft, kind string, entries []entry[T], build func(*entry[T])) {
	if !strings.HasSuffix(kind, "/") {
		kind += " "
	}
	for i := range entries {
		before := len(d.problems)
		build(&entries[i])
		d.bad[kind+entries[i].Name] = len(d.problems) > before
	}
}

// refer looks a reference up and notes where it leads nowhere. It returns nil
// for that and for a reference that was not given.
func refer[T any](b *draft, who string, ref value[string], lookup func(string) (*T, error)) *T {
	if !ref.given() {
		return nil
	}
	found, err := lookup(ref.V)
	if err == nil {
		return found
	}
	if missing, ok := err.(*topology.NotFoundError); ok {
		b.missing(ref.Node, who, "", missing)
	} else {
		b.problem(ref.Node, "", "%s: %s", who, err)
	}
	return nil
}

// owner is the account of an object, which may be left out where there is one, or one that
// is called default.
func (b *draft) owner(who string, ref value[string], node *yaml.Node) string {
	if a := refer(b, who, ref, b.plan.Account); a != nil {
		return a.Name
	}
	if ref.given() || ref.Bad {
		return ""
	}
	if len(b.plan.Accounts) == 1 {
		return b.plan.Accounts[0].Name
	}
	if _, err := b.plan.Account(defaultAccount); err != nil {
		known := spell.Names(b.plan.Accounts, func(a *topology.Account) string { return a.Name })
		b.problem(node, "add account: "+spell.Either(known), "%s has no account, and there are several", who)
		return ""
	}
	return defaultAccount
}

// network is the block that a user wrote, without host bits, which it notes.
func (b *draft) network(who, key string, v value[netip.Prefix]) netip.Prefix {
	if !v.given() {
		return netip.Prefix{}
	}
	if block := v.V.Masked(); block != v.V {
		b.problem(v.Node, fmt.Sprintf("did you mean %s?", block),
			"%s: %s %s has host bits set", who, key, v.V)
	}
	return v.V.Masked()
}

func (b *draft) description(who string, v value[string]) string {
	if err := b.plan.Profile.CheckDescription(v.V); err != nil && v.given() {
		b.problem(v.Node, "", "%s: %v", who, err)
	}
	return v.V
}

func (b *draft) mask(who string, node *yaml.Node, cidr netip.Prefix, widest, narrowest int) bool {
	if cidr.Bits() < widest || cidr.Bits() > narrowest {
		b.problem(node, fmt.Sprintf("use a mask from /%d to /%d", widest, narrowest),
			"%s: cidr %s has a mask that %s does not take", who, cidr, b.plan.Cloud)
		return false
	}
	return true
}

// groups are the names of security groups of a VPC.
func (b *draft) groups(who string, vpc *topology.VPC, refs sequence[value[string]]) []string {
	var out []string
	for _, ref := range refs.Items {
		group := refer(b, who, ref, vpc.SecurityGroup)
		switch {
		case group == nil:
		case slices.Contains(out, group.Name):
			b.problem(ref.Node, "remove it", "%s: security group %q is named twice", who, group.Name)
		default:
			out = append(out, group.Name)
		}
	}
	return out
}

// membership is groups for what is in the VPC's default group where it names none.
func (b *draft) membership(who string, vpc *topology.VPC, refs sequence[value[string]]) []string {
	if b.can.DefaultGroup && len(refs.Items) == 0 {
		return []string{topology.DefaultGroup}
	}
	return b.groups(who, vpc, refs)
}

// span is a duration within bounds, or the default where none was given.
func (b *draft) span(who, key string, v value[time.Duration], otherwise, least, most time.Duration) time.Duration {
	if v.given() && (v.V < least || v.V > most) {
		b.problem(v.Node, fmt.Sprintf("write a duration from %s to %s", short(least), short(most)),
			"%s: %s %s is outside %s to %s", who, key, short(v.V), short(least), short(most))
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
