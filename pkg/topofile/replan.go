package topofile

import (
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/plinksim/plinksim/pkg/topology"
)

// An edit of a large topology is planned at the cost of what it can change. The parts
// of a file meet in VPCs: addresses and devices are chosen within one, and a load
// balancer serves its own. So the VPCs of what was edited, with all that is in them,
// are planned again by the builders that plan a whole file, from a document that has
// these parts, and those that they refer to. Everything else is taken from the plan of
// before; what they refer to has to come out as it was there. Where that is not so, where
// anything is wrong, or where an edit may reach further than this, the whole is
// planned: see Document.Plan, which is what every plan is held to by a test.

// replanned are the sections of which an edit can be planned by itself. Any other part
// of the file may matter to all.
var replanned = []string{"vpcs", "server_groups", "load_balancers", "endpoint_services", "endpoints"}

// last are the sections that refer to everything, and to which nothing refers.
var last = []string{"private_zones", "public_zones", "checks"}

// planAfter plans an edited document from its predecessor's plan. It is false where
// the whole has to be planned.
func (d *Document) planAfter(before *Document) (*topology.Plan, bool) {
	old := before.plan
	if d.shares || old == nil || d.size > MaxSize || !separable(old) {
		return nil, false
	}
	r := replan{
		was: before.sections, old: old, balancers: map[string]bool{},
		dirty: map[string]bool{}, changed: map[string]bool{}, context: map[string]bool{}, services: map[string]bool{},
	}
	if r.was == nil {
		r.was = sectionsOf(before.root, nil)
	}
	if before.names != nil {
		r.names = *before.names
	} else {
		r.names = old.Index()
	}
	r.now = sectionsOf(d.root, r.was)
	if !r.onlySections() {
		return nil, false
	}
	r.mark()
	part, ok := r.build(d)
	if !ok || !r.keeps(part) {
		return nil, false
	}
	d.sections = r.now
	plan, ok := r.merged(d, before.distinct, part)
	if ok {
		names := r.names.Of(plan, old)
		d.names, d.distinct = &names, true
	}
	return plan, ok
}

// separable says whether the objects of a plan depend on others outside of their VPCs
// in no way but by their services and peerings.
func separable(p *topology.Plan) bool {
	if len(p.NATGateways) > 0 {
		return false // entries refer to endpoints
	}
	if len(p.Hosts) > 0 {
		return false // a zone is on one host for all VPCs
	}
	for i := range p.Services {
		if p.Services[i].PrivateName != nil {
			return false // zones verify it
		}
	}
	for i := range p.LoadBalancers {
		for _, l := range p.LoadBalancers[i].Listeners {
			if l.Protocol == topology.HTTPS && len(l.HTTP.Certificates) == 0 {
				return false // its certificate names endpoints
			}
		}
	}
	return true
}

// sections are the values of a document's sections by name.
type sections map[string]section

type section struct {
	node    *yaml.Node
	entries map[string]*yaml.Node // of a mapping
}

// sectionsOf finds the sections of a document. Those that are as they were before are
// the same ones.
func sectionsOf(root *yaml.Node, before sections) sections {
	out := sections{}
	for i := 0; i+1 < len(root.Content); i += 2 {
		s := section{node: root.Content[i+1]}
		if was := before[root.Content[i].Value]; was.node == s.node {
			s = was
		} else if s.node.Kind == yaml.MappingNode {
			s.entries = make(map[string]*yaml.Node, len(s.node.Content)/2)
			for j := 0; j+1 < len(s.node.Content); j += 2 {
				s.entries[s.node.Content[j].Value] = s.node.Content[j+1]
			}
		}
		out[root.Content[i].Value] = s
	}
	return out
}

// replan is one planAfter.
type replan struct {
	was, now sections
	old      *topology.Plan
	names    topology.Index

	dirty    map[string]bool // VPCs that are planned again with all that is in them
	changed  map[string]bool // services that are planned again
	context  map[string]bool // VPCs that are planned again as others refer to them
	services map[string]bool // services for the same reason

	balancers map[string]bool // load balancers that are or were in a dirty VPC
}

// same says whether a section is as it was.
func (r *replan) same(section string) bool { return r.was[section].node == r.now[section].node }

// onlySections says whether all that differs is in the sections that can be planned by
// themselves.
func (r *replan) onlySections() bool {
	other := map[string]bool{}
	for name := range r.was {
		other[name] = true
	}
	for name := range r.now {
		other[name] = true
	}
	for _, name := range slices.Concat(replanned, last) {
		delete(other, name)
		if n := r.now[name].node; n != nil && n.Kind != yaml.MappingNode && name != "checks" {
			return false
		}
	}
	for name := range other {
		if r.was[name].node != r.now[name].node && !strings.HasPrefix(name, "x-") {
			return false
		}
	}
	return true
}

// differing are the entries of a section that are not what they were.
func (r *replan) differing(name string) (out []string) {
	was, now := r.was[name].entries, r.now[name].entries
	if r.was[name].node == r.now[name].node {
		return nil
	}
	for entry, node := range now {
		if was[entry] != node {
			out = append(out, entry)
		}
	}
	for entry := range was {
		if now[entry] == nil {
			out = append(out, entry)
		}
	}
	return out
}

// text is what an entry has at a key, "" where that is no single value.
func text(entry *yaml.Node, key string) string {
	if v := valueAt(entry, key); v != nil && v.Kind == yaml.ScalarNode {
		return v.Value
	}
	return ""
}

// texts are the single values of a list.
func texts(entry *yaml.Node, key string) (out []string) {
	if v := valueAt(entry, key); v != nil && v.Kind == yaml.SequenceNode {
		for _, e := range v.Content {
			out = append(out, e.Value)
		}
	}
	return out
}

func valueAt(entry *yaml.Node, key string) *yaml.Node {
	if entry == nil || entry.Kind != yaml.MappingNode {
		return nil
	}
	return lookUp(entry, key)
}

// mark finds what has to be planned again.
func (r *replan) mark() {
	for _, name := range r.differing("vpcs") {
		r.dirty[name] = true
	}
	for _, section := range []string{"server_groups", "load_balancers", "endpoints"} {
		for _, name := range r.differing(section) {
			if section == "load_balancers" {
				r.balancers[name] = true
			}
			r.dirty[text(r.was[section].entries[name], "vpc")] = true
			r.dirty[text(r.now[section].entries[name], "vpc")] = true
		}
	}
	for _, name := range r.differing("endpoint_services") {
		r.changed[name], r.services[name] = true, true
	}
	// What an endpoint is called depends on its service.
	for i := range r.old.Endpoints {
		if e := &r.old.Endpoints[i]; r.changed[e.Service] {
			r.dirty[e.VPC] = true
		}
	}
	r.markServices()
	for vpc := range r.dirty {
		r.context[vpc] = true
	}
	r.markPeers()
}

// markServices finds the services that have to be there: those of endpoints that are
// planned again, and those that offer something that may be another now, or that a
// service which changed offers, too. With them come the VPCs of all that they offer.
func (r *replan) markServices() {
	for i := range r.old.LoadBalancers {
		if l := &r.old.LoadBalancers[i]; r.dirty[l.VPC] {
			r.balancers[l.Name] = true
		}
	}
	if r.same("endpoints") {
		for i := range r.old.Endpoints {
			if e := &r.old.Endpoints[i]; r.dirty[e.VPC] {
				r.services[e.Service] = true
			}
		}
	} else {
		for name, node := range r.now["endpoints"].entries {
			if r.dirty[r.vpcOf("endpoints", name, node)] {
				r.services[text(node, "service")] = true
			}
		}
	}
	offered := map[string]bool{}
	for name := range r.changed {
		for _, balancer := range texts(r.now["endpoint_services"].entries[name], "resources") {
			offered[balancer] = true
		}
	}
	for name, node := range r.now["endpoint_services"].entries {
		for _, balancer := range texts(node, "resources") {
			if offered[balancer] || r.balancers[balancer] {
				r.services[name] = true
			}
		}
	}
	for name := range r.services {
		for _, balancer := range texts(r.now["endpoint_services"].entries[name], "resources") {
			r.context[r.balancerVPC(r.now, balancer)] = true
		}
	}
}

func (r *replan) balancerVPC(in sections, name string) string {
	return text(in["load_balancers"].entries[name], "vpc")
}

// vpcOf is the VPC of an entry that is as it was or another one.
func (r *replan) vpcOf(section, name string, node *yaml.Node) string {
	if r.was[section].entries[name] == node {
		switch section {
		case "endpoints":
			return r.names.Endpoints[name].VPC
		case "load_balancers":
			return r.names.LoadBalancers[name].VPC
		case "server_groups":
			return r.names.ServerGroups[name].VPC
		}
	}
	return text(node, "vpc")
}

// vpcsOf has a vpcOf for each section, which is given the place of the entry in it, too: in
// a section that is as it was, the plan of before has it there.
func (r *replan) vpcsOf() map[string]func(i int, name string, node *yaml.Node) string {
	out := map[string]func(i int, name string, node *yaml.Node) string{}
	for section, at := range map[string]func(int) (name, vpc string){
		"endpoints":      placed(r.old.Endpoints, func(e *topology.Endpoint) (string, string) { return e.Name, e.VPC }),
		"load_balancers": placed(r.old.LoadBalancers, func(l *topology.LoadBalancer) (string, string) { return l.Name, l.VPC }),
		"server_groups":  placed(r.old.ServerGroups, func(g *topology.ServerGroup) (string, string) { return g.Name, g.VPC }),
	} {
		same := r.same(section)
		out[section] = func(i int, name string, node *yaml.Node) string {
			if same {
				if was, vpc := at(i); was == name {
					return vpc
				}
			}
			return r.vpcOf(section, name, node)
		}
	}
	return out
}

// placed gives the name and the VPC of what has a place in a list.
func placed[T any](all []T, of func(*T) (name, vpc string)) func(int) (name, vpc string) {
	return func(i int) (string, string) {
		if i >= len(all) {
			return "", ""
		}
		return of(&all[i])
	}
}

// markPeers adds all VPCs that peerings connect with those that are there.
func (r *replan) markPeers() {
	for more := true; more; {
		more = false
		for _, p := range r.old.Peerings {
			if r.context[p.VPCs[0]] != r.context[p.VPCs[1]] {
				r.context[p.VPCs[0]], r.context[p.VPCs[1]] = true, true
				more = true
			}
		}
	}
}

// build plans the part of the document that is planned again.
func (r *replan) build(d *Document) (*topology.Plan, bool) {
	var raw rawTopology
	src := &source{file: d.name}
	root := r.reduced(d.root)
	read := reader{source: src, most: nodesBelow(root) + maxUnfolded}
	read.read(root, &raw, tag{})
	if len(src.problems) > 0 {
		return nil, false
	}
	plan := newDraft(src, &raw).build()
	return plan, len(src.problems) == 0
}

// reduced is the document with the entries that are planned again, in their order.
func (r *replan) reduced(root *yaml.Node) *yaml.Node {
	vpcs := r.vpcsOf()
	keeps := map[string]func(i int, name string, node *yaml.Node) bool{
		"vpcs":              func(_ int, name string, _ *yaml.Node) bool { return r.context[name] },
		"endpoint_services": func(_ int, name string, _ *yaml.Node) bool { return r.services[name] },
		"endpoints": func(i int, name string, node *yaml.Node) bool {
			return r.dirty[vpcs["endpoints"](i, name, node)]
		},
		"peerings": func(_ int, _ string, node *yaml.Node) bool {
			vpcs := texts(node, "vpcs")
			return len(vpcs) == 2 && r.context[vpcs[0]]
		},
	}
	for _, section := range []string{"load_balancers", "server_groups"} {
		vpcOf := vpcs[section]
		keeps[section] = func(i int, name string, node *yaml.Node) bool { return r.context[vpcOf(i, name, node)] }
	}
	out := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		keep := keeps[key.Value]
		if slices.Contains(last, key.Value) {
			continue
		}
		if keep != nil && value.Kind == yaml.MappingNode {
			part := *value
			part.Content = nil
			for j := 0; j+1 < len(value.Content); j += 2 {
				if keep(j/2, value.Content[j].Value, value.Content[j+1]) {
					part.Content = append(part.Content, value.Content[j], value.Content[j+1])
				}
			}
			value = &part
		}
		out.Content = append(out.Content, key, value)
	}
	return out
}

// keeps says whether all that was planned again for others' sake came out as it was.
func (r *replan) keeps(part *topology.Plan) bool {
	for i := range part.VPCs {
		if v := &part.VPCs[i]; !r.dirty[v.Name] && !reflect.DeepEqual(v, r.names.VPCs[v.Name]) {
			return false
		}
	}
	for i := range part.ServerGroups {
		if g := &part.ServerGroups[i]; !r.dirty[g.VPC] && !reflect.DeepEqual(g, r.names.ServerGroups[g.Name]) {
			return false
		}
	}
	for i := range part.LoadBalancers {
		if l := &part.LoadBalancers[i]; !r.dirty[l.VPC] && !reflect.DeepEqual(l, r.names.LoadBalancers[l.Name]) {
			return false
		}
	}
	for i := range part.Services {
		if s := &part.Services[i]; !r.changed[s.Name] && !reflect.DeepEqual(s, r.names.Services[s.Name]) {
			return false
		}
	}
	peerings := map[string]topology.Peering{}
	for _, p := range r.old.Peerings {
		peerings[p.Name] = p
	}
	for _, p := range part.Peerings {
		if !reflect.DeepEqual(p, peerings[p.Name]) {
			return false
		}
	}
	return separable(part)
}

// merged is the plan of before with the part that was planned again. It is false where
// what is new may matter to something else after all.
func (r *replan) merged(d *Document, wasDistinct bool, part *topology.Plan) (*topology.Plan, bool) {
	plan, fresh := *r.old, part.Index()
	plan.Source, plan.Warnings, plan.Origin = nil, nil, nil
	plan.VPCs = mergedList(r.now["vpcs"], fresh.VPCs, r.old.VPCs, r.names.VPCs,
		func(v *topology.VPC) string { return v.Name }, func(v *topology.VPC) bool { return r.dirty[v.Name] })
	plan.ServerGroups = mergedList(r.now["server_groups"], fresh.ServerGroups, r.old.ServerGroups, r.names.ServerGroups,
		func(g *topology.ServerGroup) string { return g.Name }, func(g *topology.ServerGroup) bool { return r.dirty[g.VPC] })
	plan.LoadBalancers = mergedList(r.now["load_balancers"], fresh.LoadBalancers, r.old.LoadBalancers, r.names.LoadBalancers,
		func(l *topology.LoadBalancer) string { return l.Name }, func(l *topology.LoadBalancer) bool { return r.dirty[l.VPC] })
	plan.Services = mergedList(r.now["endpoint_services"], fresh.Services, r.old.Services, r.names.Services,
		func(s *topology.EndpointService) string { return s.Name }, func(s *topology.EndpointService) bool { return r.changed[s.Name] })
	plan.Endpoints = mergedList(r.now["endpoints"], fresh.Endpoints, r.old.Endpoints, r.names.Endpoints,
		func(e *topology.Endpoint) string { return e.Name }, func(e *topology.Endpoint) bool { return r.dirty[e.VPC] })
	if !(wasDistinct && sameDevices(r.old, &plan)) && !distinct(&plan) || tooManyServices(&plan) || mayShareIDs(&plan) {
		return nil, false
	}
	return &plan, r.last(d, &plan)
}

// mergedList has the objects of a section in its order. What came out as it was is the
// old one, and where all did, the list is the old one: whoever compares plans is spared
// a look into them. again says whether an object was
// planned again for its own sake.
func mergedList[T any](s section, fresh map[string]*T, old []T, byName map[string]*T,
	nameOf func(*T) string, again func(*T) bool) (out []T) {
	if s.node == nil {
		return nil
	}
	n := len(s.node.Content) / 2
	for i := range n {
		name := s.node.Content[2*i].Value
		var now *T
		if i < len(old) && nameOf(&old[i]) == name { // as a rule
			now = &old[i]
		} else {
			now = byName[name]
		}
		if f := fresh[name]; f != nil {
			if again(f) && (now == nil || !reflect.DeepEqual(f, now)) {
				now = f
			}
		}
		if out == nil && (i >= len(old) || now != &old[i]) {
			out = append(make([]T, 0, n), old[:i]...)
		}
		if out != nil {
			out = append(out, *now)
		}
	}
	if out == nil {
		return slices.Clip(old[:n])
	}
	return out
}

// distinct says whether all names that have to differ in the whole lab do so at once: no
// endpoint is called like a load balancer, and every device of the data plane has
// the name that it would have if it were alone.
func distinct(p *topology.Plan) bool {
	taken := map[string]bool{}
	for i := range p.LoadBalancers {
		taken[p.LoadBalancers[i].Name] = true
	}
	for i := range p.Endpoints {
		if taken[p.Endpoints[i].Name] {
			return false
		}
	}
	devices, b := newDevices(), deviceBuilder{&draft{plan: p}}
	alone := func(owner string, eni *topology.ENI) bool {
		return eni.Device == devices.name(owner+"-"+b.shortZone(eni.Zone)) && !devices.crowded
	}
	for i := range p.LoadBalancers {
		l := &p.LoadBalancers[i]
		for j := range l.Nodes {
			if !alone(l.Name, &l.Nodes[j].ENI) {
				return false
			}
		}
	}
	for i := range p.Endpoints {
		e := &p.Endpoints[i]
		for j := range e.Zones {
			if !alone(e.Name, &e.Zones[j].ENI) {
				return false
			}
		}
	}
	return true
}

// sameDevices says whether two plans have load balancers and endpoints of the same names with
// the same devices.
func sameDevices(a, b *topology.Plan) bool {
	device := func(x, y *topology.ENI) bool { return x.Device == y.Device && x.Zone == y.Zone }
	return slices.EqualFunc(a.LoadBalancers, b.LoadBalancers, func(x, y topology.LoadBalancer) bool {
		return x.Name == y.Name && slices.EqualFunc(x.Nodes, y.Nodes, func(n, m topology.Node) bool { return device(&n.ENI, &m.ENI) })
	}) && (len(a.Endpoints) == len(b.Endpoints) && (len(a.Endpoints) == 0 || &a.Endpoints[0] == &b.Endpoints[0]) ||
		slices.EqualFunc(a.Endpoints, b.Endpoints, func(x, y topology.Endpoint) bool {
			return x.Name == y.Name && slices.EqualFunc(x.Zones, y.Zones, func(n, m topology.EndpointZone) bool { return device(&n.ENI, &m.ENI) })
		}))
}

// tooManyServices says whether there may be more than an account's quota, which counts
// those of the whole lab.
func tooManyServices(p *topology.Plan) bool {
	of := map[string]int{}
	for i := range p.Services {
		if s := &p.Services[i]; !s.Absent {
			of[s.Account]++
			if p.Quotas.ServicesPerAccount > 0 && of[s.Account] > p.Quotas.ServicesPerAccount {
				return true
			}
		}
	}
	return false
}

// last plans the sections to which nothing refers.
func (r *replan) last(d *Document, plan *topology.Plan) bool {
	empty := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	root, given := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}, false
	for i := 0; i+1 < len(d.root.Content); i += 2 {
		key, value := d.root.Content[i], d.root.Content[i+1]
		switch {
		case slices.Contains(last, key.Value):
			given = true
		case key.Value == "vpcs":
			value = empty
		case slices.Contains(replanned, key.Value), key.Value == "peerings":
			continue
		}
		root.Content = append(root.Content, key, value)
	}
	if !given {
		plan.DNSZones, plan.Checks = nil, nil
		return true
	}
	var raw rawTopology
	src := &source{file: d.name}
	read := reader{source: src, most: nodesBelow(root) + maxUnfolded}
	read.read(root, &raw, tag{})
	draft := newDraft(src, &raw)
	zones, checks := plan.DNSZones, plan.Checks
	draft.plan, plan.DNSZones, plan.Checks = plan, nil, nil
	zoneBuilder{draft}.build()
	checkBuilder{draft}.build()
	if reflect.DeepEqual(plan.DNSZones, zones) {
		plan.DNSZones = zones
	}
	if reflect.DeepEqual(plan.Checks, checks) {
		plan.Checks = checks
	}
	return len(src.problems) == 0
}

// growth is how many bytes the text of a document grows by an edit at most: its value
// stands in one line, below keys that may have to be written.
func growth(e topology.Edit) int {
	parts := topology.SplitPath(e.Path)
	return 4*len(e.Value) + len(e.Path) + len(parts)*(2*len(parts)+4)
}
