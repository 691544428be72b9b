package host

import (
	"slices"

	"github.com/plinksim/plinksim/pkg/topology"
)

// difference is what makes the lab of a plan out of that of an old one.
type difference struct {
	undo []Step  // in this order
	do   []group // as of groups: the first comes before the others
}

// differenceOf looks only into VPCs in which the plans differ. What is undone may
// take other things in its VPC along, so that all of that is done again, and with
// it what lies between VPCs; after something there, all VPCs that differ.
func differenceOf(old, plan *topology.Plan) difference {
	before, after := differing(old, plan)
	known, wanted := stepsOf(before), stepsOf(after)
	var d difference
	touched := map[string]bool{} // the VPCs in which something is undone
	for _, g := range before {
		for _, t := range g.group {
			if !wanted.has(t.Step) && !wanted.replaced[t.replaces()] {
				d.undo = append(d.undo, t.Step)
				touched[g.vpc] = true
			}
		}
	}
	slices.Reverse(d.undo)
	for _, g := range after {
		if !touched[g.vpc] && !touched[ofNone] && !(g.vpc == ofNone && len(d.undo) > 0) {
			g.group = slices.DeleteFunc(g.group, func(t task) bool { return known.has(t.Step) })
		}
		d.do = append(d.do, g.group)
	}
	return d
}

// placed is the group of a VPC.
type placed struct {
	vpc string
	group
}

// ofNone is in the place of the VPC of the group that is of none.
const ofNone = ""

// differing are the groups of two plans that may differ, and the first of each.
func differing(old, plan *topology.Plan) (before, after []placed) {
	var vpcs map[string]bool // all
	if old.Dataplane == plan.Dataplane {
		vpcs = topology.DifferingVPCs(old, plan)
	}
	parts := old.Parts(vpcs)
	was := make(map[string]*topology.Part, len(parts))
	for _, part := range parts {
		was[part.VPC.Name] = part
	}
	before, after = []placed{{ofNone, dataplaneGroup(old)}}, []placed{{ofNone, dataplaneGroup(plan)}}
	same := make(map[string]bool, len(parts))
	for _, part := range plan.Parts(vpcs) {
		name := part.VPC.Name
		if known := was[name]; old.Dataplane == plan.Dataplane && known != nil && known.Equal(part) {
			same[name] = true
			continue
		}
		after = append(after, placed{name, vpcGroup(plan, part)})
	}
	for _, part := range parts {
		if name := part.VPC.Name; !same[name] {
			before = append(before, placed{name, vpcGroup(old, part)})
		}
	}
	return before, after
}

// steps are those of groups. Steps are plain values: equal ones are the same.
type steps struct {
	plain     map[Step]bool
	firewalls map[string]Firewall // by namespace: they have lists
	replaced  map[string]bool     // what they replace
}

func stepsOf(groups []placed) steps {
	out := steps{map[Step]bool{}, map[string]Firewall{}, map[string]bool{}}
	for _, g := range groups {
		for _, t := range g.group {
			if f, ok := t.Step.(Firewall); ok {
				out.firewalls[f.Namespace] = f
			} else {
				out.plain[t.Step] = true
			}
			out.replaced[t.replaces()] = true
		}
	}
	delete(out.replaced, "")
	return out
}

func (s steps) has(step Step) bool {
	f, ok := step.(Firewall)
	if !ok {
		return s.plain[step]
	}
	known, ok := s.firewalls[f.Namespace]
	return ok && f.equal(known)
}
