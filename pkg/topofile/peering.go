package topofile

import (
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/plinksim/plinksim/internal/spell"
	"github.com/plinksim/plinksim/pkg/topology"
)

type rawPeering struct {
	VPCs  sequence[value[string]] `yaml:"vpcs,required" doc:"two VPCs whose addresses do not overlap"`
	Node  *yaml.Node
	Count counted `yaml:"count" doc:"how many of these there are, NAME-1 and so on, with $n for the number in"`
	_     more    `doc:"their values; one where it is missing"`
}

// peeringBuilder builds peerings of VPCs.
type peeringBuilder struct{ *draft }

func (b peeringBuilder) build() {
	each(b.draft, "peering", b.raw.Peerings.Entries, b.peering)
}

func (b peeringBuilder) peering(e *entry[rawPeering]) {
	who := fmt.Sprintf("peering %q", e.Name)
	peering := topology.Peering{Name: e.Name}
	var vpcs []*topology.VPC
	for _, ref := range e.Value.VPCs.Items {
		if vpc := refer(b.draft, who, ref, b.plan.VPC); vpc != nil {
			vpcs = append(vpcs, vpc)
		}
	}
	if n := e.Value.VPCs.Node; n != nil && len(e.Value.VPCs.Items) != 2 {
		b.problem(n, "name two", "%s is between %s", who, spell.Count(len(e.Value.VPCs.Items), "VPC"))
		return
	}
	if len(vpcs) != 2 {
		return
	}
	one, other := vpcs[0], vpcs[1]
	peering.VPCs = [2]string{one.Name, other.Name}
	switch second := e.Value.VPCs.Items[1].Node; {
	case one == other:
		b.problem(second, "name another vpc", "%s: vpc %q is its own peer", who, one.Name)
	case slices.ContainsFunc(one.CIDRs(), other.Overlaps):
		// Amazon VPC Peering guide, "VPC peering limitations"; at Alibaba Cloud
		// no route can tell which of them is meant.
		b.problem(second, "give one of them other addresses, or use an endpoint",
			"%s: vpc %q (%s) overlaps vpc %q (%s)", who, other.Name, other.Blocks(), one.Name, one.Blocks())
	case slices.ContainsFunc(b.plan.Peerings, func(p topology.Peering) bool {
		return slices.Contains(p.VPCs[:], one.Name) && slices.Contains(p.VPCs[:], other.Name)
	}):
		b.problem(e.Key, "remove one of them", "%s: vpcs %q and %q have a peering already", who, one.Name, other.Name)
	}
	b.routes(who, e.Value.VPCs.Items[1].Node, one, other)
	b.routes(who, e.Value.VPCs.Items[0].Node, other, one)
	b.plan.Peerings = append(b.plan.Peerings, peering)
}

// routes notes where a VPC would have two peers with one address.
func (b peeringBuilder) routes(who string, node *yaml.Node, vpc, peer *topology.VPC) {
	for _, known := range b.plan.Peers(vpc.Name) {
		if known != peer && slices.ContainsFunc(known.CIDRs(), peer.Overlaps) {
			b.problem(node, "give one of them other addresses",
				"%s: vpc %q has a peering with vpc %q, whose addresses (%s) overlap those of vpc %q (%s)",
				who, vpc.Name, known.Name, known.Blocks(), peer.Name, peer.Blocks())
		}
	}
}
