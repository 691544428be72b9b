package host

import (
	"fmt"
	"slices"

	"github.com/plinksim/plinksim/pkg/topology"
)

// difference is what makes the lab of a plan out of that of an old one.
type difference struct {
	undo []Step  // in this order
	do   []group // as of groups: the first comes before the others
}

// differenceOf looks only into VPCs in which the plans differ. What is undone may
// take other things along, which are done again: see lost. After something that is of
// no VPC, that is all of the VPCs that differ; and what lies between VPCs is done again
// after everything.
func differenceOf(old, plan *topology.Plan) difference {
	before, after := differing(old, plan)
	known, wanted := stepsOf(before), stepsOf(after)
	var d difference
	gone := lost{vpcs: map[string]bool{}, namespaces: map[string]bool{}, ports: map[Veth]bool{}}
	for _, g := range before {
		for _, t := range g.group {
			if !wanted.has(t.Step) && !wanted.replaced[t.replaces()] {
				d.undo = append(d.undo, t.Step)
				gone.without(t.Step, g.vpc)
			}
		}
	}
	delete(gone.namespaces, old.Dataplane) // a device there is alone
	slices.Reverse(d.undo)
	for _, g := range after {
		if !gone.vpcs[g.vpc] && !gone.vpcs[ofNone] && !(g.vpc == ofNone && len(d.undo) > 0) {
			g.group = slices.DeleteFunc(g.group, func(t task) bool { return !gone.has(t.Step) && known.has(t.Step) })
		}
		d.do = append(d.do, g.group)
	}
	return d
}

// lost is what steps that are undone may take along. A bridge takes all that is in its
// VPC; what goes in a namespace, others there; and a namespace the ports of its devices.
// A port of a bridge takes nothing of other ports.
type lost struct {
	vpcs, namespaces map[string]bool
	ports            map[Veth]bool // their Namespace and Port alone
}

// without notes that a step of a VPC is undone.
func (l *lost) without(step Step, vpc string) {
	switch s := step.(type) {
	case Bridge:
		l.vpcs[vpc] = true
	case File, Firewall, PortGuard, ReceiverGuard: // nothing depends on it
		return
	case Veth:
		l.namespaces[s.Namespace] = true
	}
	l.namespaces[namespaceOf(step)] = true
	if vpc == ofNone {
		l.vpcs[vpc] = true
	}
}

// has says whether a step may be lost. A port's guard is asked for after its port.
func (l *lost) has(step Step) bool {
	switch s := step.(type) {
	case PortGuard:
		return l.ports[Veth{Namespace: s.Namespace, Port: s.Port}]
	case Veth:
		l.ports[Veth{Namespace: s.Namespace, Port: s.Port}] = l.namespaces[s.PeerNamespace]
	}
	return l.namespaces[namespaceOf(step)]
}

// namespaceOf is where a step is: of a pair of devices, the end that is no port.
func namespaceOf(step Step) string {
	switch s := step.(type) {
	case Netns:
		return s.Name
	case Sysctl:
		return s.Namespace
	case LinkUp:
		return s.Namespace
	case Bridge:
		return s.Namespace
	case Veth:
		return s.PeerNamespace
	case Address:
		return s.Namespace
	case Route:
		return s.Namespace
	case File:
		return s.Namespace
	case Firewall:
		return s.Namespace
	case PortGuard:
		return s.Namespace
	case ReceiverGuard:
		return s.Namespace
	case VXLAN:
		return s.Namespace
	case Peer:
		return s.Namespace
	}
	panic(fmt.Sprintf("a step is nowhere: %T", step))
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
