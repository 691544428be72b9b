// Package anyedit draws edits of a topology and operations on it at random, for
// tests in which whatever happens to a lab must leave it what a new lab would
// be. Some of what it draws fits the topology and some does not. A seed gives
// the same steps for the same topologies in every run.
//
// What a topology file can say is read from its schema, so a new key is drawn
// without a change here; what makes an object that fits the others is in new.go.
package anyedit

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Step is what somebody asks of a lab: edits, which are made together, or an
// operation where there are none.
type Step struct {
	Edits []topology.Edit
	Do    topology.Operation
}

// String is the step in words for the output of a test.
func (s Step) String() string {
	if len(s.Edits) == 0 {
		return s.Do.String()
	}
	var all []string
	for _, e := range s.Edits {
		all = append(all, strings.TrimSpace("edit "+e.Path+" "+e.Value))
	}
	return strings.Join(all, "; ")
}

// Drawer draws steps. It belongs to one goroutine.
type Drawer struct {
	// Most is how many objects a topology may have before more of them are
	// deleted than created; 0 stands for 30.
	Most int
	// Calm leaves out what changes all that is there: the region and the cloud.
	Calm bool

	rng    *rand.Rand
	schema *schema
}

// New makes a Drawer of a seed.
func New(seed uint64) *Drawer {
	text, err := topofile.Schema()
	if err != nil {
		panic("the schema of topology files can be written: " + err.Error())
	}
	d := &Drawer{Most: 30, rng: rand.New(rand.NewPCG(seed, 0)), schema: &schema{}}
	if err := json.Unmarshal(text, d.schema); err != nil {
		panic("the schema of topology files can be read: " + err.Error())
	}
	return d
}

// schema is as much of a JSON Schema as is needed to draw a value.
type schema struct {
	Type                 json.RawMessage
	Properties           map[string]*schema
	Required             []string
	AdditionalProperties values
	Items                *schema
	Enum                 []any
	Pattern              string
	Minimum, Maximum     *float64
	OneOf, AnyOf         []*schema
}

// values is the schema of what a mapping of any names has; nil where it has none.
type values struct{ *schema }

func (v *values) UnmarshalJSON(text []byte) error {
	if string(text) == "false" || strings.HasPrefix(string(text), `{"not"`) {
		return nil
	}
	v.schema = &schema{}
	return json.Unmarshal(text, v.schema)
}

func (s *schema) is(typ string) bool { return strings.Contains(string(s.Type), `"`+typ+`"`) }

// keys are those that the schema has, in alphabetical order.
func (s *schema) keys() (all []string) {
	for key := range s.Properties {
		all = append(all, key)
	}
	slices.Sort(all)
	return all
}

// draw is one step in the making.
type draw struct {
	*Drawer
	plan *topology.Plan
	root *yaml.Node
}

// place is something in a topology file, with what the schema says of it.
type place struct {
	path []string
	node *yaml.Node
	is   *schema
}

// Next draws a step for a lab that has a plan.
func (d *Drawer) Next(plan *topology.Plan) Step {
	n := draw{Drawer: d, plan: plan}
	n.parse()
	if d.chance(0.2) {
		return Step{Do: n.operation()}
	}
	s := Step{Edits: []topology.Edit{n.edit()}}
	for d.chance(0.15) {
		s.Edits = append(s.Edits, n.edit())
	}
	return s
}

func (n *draw) parse() {
	var file yaml.Node
	text, err := topofile.TextOf(n.plan)
	if err == nil {
		err = yaml.Unmarshal(text, &file)
	}
	if err != nil {
		panic("the source of a plan can be read: " + err.Error())
	}
	n.root = file.Content[0]
}

func (d *Drawer) chance(p float64) bool { return d.rng.Float64() < p }

// one is one of a list, which has some.
func one[T any](d *Drawer, list ...T) T { return list[d.rng.IntN(len(list))] }

// name is one of those that are there, or one that may be.
func (d *Drawer) name(there []string, prefix string) string {
	if len(there) > 0 && d.chance(0.95) {
		return one(d, there...)
	}
	return d.fresh(prefix)
}

// fresh is a name that the same object has each time that it is made, so that
// objects come back after they have gone.
func (d *Drawer) fresh(prefix string) string { return fmt.Sprint(prefix, d.rng.IntN(6)) }

// edit draws one edit.
func (n *draw) edit() topology.Edit {
	full := len(n.objects()) >= max(n.Most, 1)
	switch p := n.rng.Float64(); {
	case p < 0.05:
		return n.nonsense()
	case full && p < 0.55, p < 0.2:
		return n.gone()
	case p < 0.4 || full:
		return n.changed()
	}
	return n.made()
}

// places is all that is in the file and that may change.
func (n *draw) places() (all []place) {
	var in func(p place)
	in = func(p place) {
		for p.node.Kind == yaml.AliasNode {
			p.node = p.node.Alias
		}
		if len(p.path) > 0 && !kept(p.path) {
			all = append(all, p)
		}
		below := func(name string, node *yaml.Node, is *schema) {
			if is != nil {
				in(place{append(slices.Clip(p.path), name), node, is})
			}
		}
		switch p.node.Kind {
		case yaml.MappingNode:
			for i := 0; i+1 < len(p.node.Content); i += 2 {
				key, value := p.node.Content[i].Value, p.node.Content[i+1]
				switch is := p.is.Properties[key]; {
				case is != nil:
					below(key, value, is)
				default:
					below(key, value, p.is.AdditionalProperties.schema)
				}
			}
		case yaml.SequenceNode:
			for i, e := range p.node.Content {
				below(fmt.Sprint(i), e, p.is.Items)
			}
		}
	}
	in(place{nil, n.root, n.schema})
	return all
}

// Kept is what the names of objects begin with that no edit touches. What is
// made beside them may use them.
const Kept = "keep"

// kept says whether a place is of an object that stays as it is. Parts of a VPC
// may come and go beside its own that are kept.
func kept(path []string) bool {
	if path[0] == "vpcs" && len(path) > 3 && slices.Contains(partsOfVPCs, path[2]) {
		return strings.HasPrefix(path[3], Kept)
	}
	return len(path) > 1 && strings.HasPrefix(path[1], Kept)
}

// hasKept says whether something in a mapping is kept.
func hasKept(node *yaml.Node) bool {
	return node.Kind == yaml.MappingNode && slices.ContainsFunc(node.Content, func(key *yaml.Node) bool {
		return strings.HasPrefix(key.Value, Kept)
	})
}

var partsOfVPCs = []string{"subnets", "security_groups", "instances"}

// objects are the places of what has a name.
func (n *draw) objects() (all []place) {
	for _, p := range n.places() {
		if len(p.path) == 2 && n.schema.Properties[p.path[0]].AdditionalProperties.schema != nil ||
			len(p.path) == 4 && slices.Contains(partsOfVPCs, p.path[2]) {
			all = append(all, p)
		}
	}
	return all
}

// gone deletes something: an object, or anything else.
func (n *draw) gone() topology.Edit {
	from := n.objects()
	if n.chance(0.3) {
		from = n.places()
	}
	from = slices.DeleteFunc(from, func(p place) bool { return n.spared(p.path[0]) || len(p.path) == 1 && hasKept(p.node) })
	if len(from) == 0 {
		return n.made()
	}
	return topology.Edit{Path: topology.JoinPath(one(n.Drawer, from...).path...)}
}

// spared says whether a key of the file is left alone.
func (n *draw) spared(key string) bool {
	switch key {
	case "checks", "transition", "name":
		return true
	case "region", "cloud":
		return n.Calm || !n.chance(0.02)
	}
	return false
}

// changed gives a key of something a value, adds to a list or changes what is in
// one.
func (n *draw) changed() topology.Edit {
	from := slices.DeleteFunc(n.places(), func(p place) bool { return n.spared(p.path[0]) })
	if len(from) == 0 {
		return n.made()
	}
	p := one(n.Drawer, from...)
	path := func(below ...string) string { return topology.JoinPath(append(slices.Clip(p.path), below...)...) }
	switch keys := p.is.keys(); {
	case p.node.Kind == yaml.MappingNode && len(keys) > 0:
		key := one(n.Drawer, keys...)
		return topology.Edit{Path: path(key), Value: n.value(p.path, key, p.is.Properties[key])}
	case p.node.Kind == yaml.MappingNode && len(p.node.Content) > 0 && p.is.AdditionalProperties.schema != nil:
		return topology.Edit{Path: path(n.fresh("x")), Value: flow(p.node.Content[1]), New: n.chance(0.5)}
	case p.node.Kind == yaml.SequenceNode:
		return topology.Edit{Path: path(topology.AtEnd), Value: n.value(p.path, p.path[len(p.path)-1], p.is.Items)}
	}
	key := p.path[len(p.path)-1]
	if _, err := strconv.Atoi(key); err == nil && len(p.path) > 1 {
		key = p.path[len(p.path)-2]
	}
	return topology.Edit{Path: path(), Value: n.value(p.path, key, p.is)}
}

// flow is a node as the value of an edit.
func flow(node *yaml.Node) string {
	var value any
	if err := node.Decode(&value); err != nil {
		panic("what a plan was made of has a value: " + err.Error())
	}
	text, err := json.Marshal(value)
	if err != nil {
		return "{}" // a key is no text
	}
	return string(text)
}

// nonsense is an edit that no topology takes.
func (n *draw) nonsense() topology.Edit {
	path := one(n.Drawer, "vpcs", "vpcs/v0", "vpcs/v0/cidr", "vpcs/v9/subnets/a", "endpoints/ep0/subnets/-", "endpoint", "",
		"vpcs/v0/cidr/bits", "server_groups/sg0/servers/port=80", "load_balancers/lb0/listeners/9", "name", "x-mine", "x-mine/a/-",
		"vpcs/V/subnets", "endpoints//service", "accounts/=nobody", "quotas/endpoints_per_vpc", "vpcs/v0/instances/~")
	return topology.Edit{Path: path, Value: one(n.Drawer, "", "{}", "[]", "null", "a: [", "&a 1", "{subnet: {}}", "nonsense", "-1", `"\x00"`,
		"{cidr: 10.0.0.0/16, cidr: 10.0.0.0/16}", "1\n---\n2", "{<<: {cidr: 10.0.0.0/16}}", "!!binary aGVsbG8=", "0x10")}
}
