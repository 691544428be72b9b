package compile

import (
	"strings"

	"github.com/plinksim/plinksim/internal/memo"
	"github.com/plinksim/plinksim/pkg/secgroup"
	"github.com/plinksim/plinksim/pkg/topology"
)

// groupSets are the security groups that a configuration asks. Many endpoints of a VPC are
// in the same ones, of which a rule may name all members: so each list of groups is
// looked up, compared and compiled once for a configuration, whoever is in it.
type groupSets struct {
	stamps memo.Stamps[[]topology.SecurityGroup]
	now    map[string]*groupSet // those of this configuration
}

// groupSet are groups with the members that they have now.
type groupSet struct {
	stamp  uint64 // of groups
	groups []topology.SecurityGroup
	set    *secgroup.Set // nil until somebody asks it
}

// begin begins a configuration.
func (g *groupSets) begin() {
	g.stamps.Begin()
	g.now = make(map[string]*groupSet, len(g.now))
}

func (g *groupSets) get(plan *topology.Plan, vpc *topology.VPC, names []string) *groupSet {
	key := vpc.Name + " " + strings.Join(names, " ")
	s := g.now[key]
	if s == nil {
		s = &groupSet{groups: plan.Groups(vpc, names)}
		s.stamp = g.stamps.Of(key, &s.groups)
		g.now[key] = s
	}
	return s
}

// compiled is what the groups let in and out.
func (s *groupSet) compiled() *secgroup.Set {
	if s.set == nil {
		s.set = secgroup.Compile(s.groups)
	}
	return s.set
}
