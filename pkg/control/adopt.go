package control

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/plinksim/plinksim/pkg/topology"
)

// A lab over several hosts has a plane on each. One of them decides, and the others become
// what it has saved.

// Adopt makes a plan and what Save gave of another plane the state of this one, while it
// is read: then it is what a new plane of the plan is after Restore. told are the events
// that led from the state that the plane has to that one; without any, it tells itself
// what is different. The events are numbered here, and returned so. An error changes nothing.
func (p *Plane) Adopt(plan *topology.Plan, text []byte, told ...Event) ([]Event, error) {
	p.mu.Lock()
	now := p.state.now
	p.mu.Unlock()
	next, err := NewPlane(plan, now)
	if err == nil {
		err = next.Restore(text)
	}
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(told) == 0 {
		told = p.state.differences(next.state)
	}
	next.state.revision = p.state.revision
	*p.state = *next.state
	p.state.renew(p.state.revision + 1)
	first := p.history.last + 1
	p.commitLocked(told...)
	return p.history.since(first - 1), nil
}

// Applied is Report of a plane of which another one moves the states: it moves nothing.
func (p *Plane) Applied(revision uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.applied = max(p.applied, min(revision, p.state.revision))
	p.signalLocked()
}

// renew makes everything as new as a revision.
func (st *state) renew(revision uint64) {
	for _, c := range st.connections {
		c.revision = revision
	}
	for _, s := range st.live.services {
		s.revision = revision
	}
	for _, e := range st.live.endpoints {
		e.revision = revision
	}
	for _, g := range st.live.gateways {
		g.revise(revision)
	}
}

// differences are events that tell what is different in another state.
func (st *state) differences(next *state) []Event {
	var events []Event
	before, after := st.things(), next.things()
	keys := maps.Clone(before)
	maps.Copy(keys, after)
	for _, key := range slices.SortedFunc(maps.Keys(keys), thingKey.compare) {
		was, is := before[key], after[key]
		e := Event{Kind: key.kind, Name: key.name, Verb: Adopt, From: was.status, To: is.status}
		name := was.name
		if is.name != "" {
			name = is.name
		}
		switch {
		case is.name == "":
			e.Text = name + " is gone"
		case was.name == "":
			e.Text = fmt.Sprintf("%s is there, and %s", name, is.status)
		case was.status != is.status:
			e.Text = fmt.Sprintf("%s is %s", name, is.status)
		case !reflect.DeepEqual(was.value, is.value):
			e.Text = name + " was changed"
		default:
			continue
		}
		events = append(events, e)
	}
	return events
}

// thing is what an event can tell of, and thingKey its name there.
type (
	thing struct {
		name   string // in sentences; "" where there is none
		status string // in the words of the cloud, "" where it has no state
		value  any    // everything else that operations change
	}
	thingKey struct {
		kind Kind
		name string
	}
)

func (k thingKey) compare(o thingKey) int {
	if k.kind != o.kind {
		return strings.Compare(string(k.kind), string(o.kind))
	}
	return strings.Compare(k.name, o.name)
}

// things are all that the state has, by name.
func (st *state) things() map[thingKey]thing {
	all := map[thingKey]thing{}
	object := func(kind Kind, name string, o *object, value any) {
		all[thingKey{kind, name}] = thing{fmt.Sprintf("%s %q", kind.noun(), name), Word(st.plan.Cloud, kind, o.State), value}
	}
	for _, s := range st.merged.Services {
		object(KindService, s.Name, &st.live.services[s.Name].object, s)
	}
	for _, e := range st.merged.Endpoints {
		object(KindEndpoint, e.Name, &st.live.endpoints[e.Name].object, e)
	}
	for _, g := range st.gatewayViews() {
		held := st.live.gateways[g.Name]
		object(KindGateway, g.Name, &held.object, nil)
		for _, ip := range g.NATIPs {
			object(KindNATIP, g.Name+"/"+ip.Name, &held.NATIPs[ip.Name].object, ip.NATIP)
		}
		for _, e := range g.Entries {
			object(KindEntry, g.Name+"/"+e.Name, &held.Entries[e.Name].object, e.Spec)
		}
	}
	for _, g := range st.merged.ServerGroups {
		for _, s := range g.Servers {
			name := g.Name + "/" + serverKey(s)
			all[thingKey{KindServer, name}] = thing{fmt.Sprintf("server %q", name), "registered", s}
		}
	}
	for _, c := range st.connections {
		all[thingKey{KindConnection, c.name()}] = thing{c.String(), c.Status, c.Bandwidth}
		for _, z := range c.Zones {
			all[thingKey{KindZone, c.name() + "@" + z.Zone}] = thing{
				fmt.Sprintf("zone %q of %s", z.Zone, c), z.Status, [2]string{z.LoadBalancer, z.Replaced}}
		}
	}
	return all
}

// DeletedOfGateways are the NAT gateways, and the entries of others, that operations have
// deleted, and that the plan still has.
func (p *Plane) DeletedOfGateways() (gateways []string, entries [][2]string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.state.plan.NATGateways {
		planned := &p.state.plan.NATGateways[i]
		g := p.state.live.gateways[planned.Name]
		if g.wasDeleted() {
			gateways = append(gateways, planned.Name)
			continue
		}
		for _, e := range planned.Entries {
			if g.Entries[e.Name].wasDeleted() {
				entries = append(entries, [2]string{planned.Name, e.Name})
			}
		}
	}
	return gateways, entries
}
