package control

import (
	"fmt"
	"slices"

	"github.com/plinksim/plinksim/pkg/topology"
)

// What moves services, endpoints, connections and their zones along the tables
// of their lives, by operations and by reports of the lab.

// settle moves what changed up to a revision to where it rests: the data plane
// does now what the state of that revision asks for. It says whether the data plane
// has to do something else now: what it carries when it is connecting, it carries in
// the same way when it is connected.
func (st *state) settle(revision uint64) (events []Event, again bool) {
	due := map[*connection]bool{}
	for _, c := range st.connections {
		due[c] = c.revision <= revision
	}
	for _, c := range st.connections {
		if !due[c] {
			continue
		}
		if moved := st.settleConnection(c); len(moved) > 0 {
			events, again = append(events, moved...), again || !c.isOpen()
		}
	}
	gateways, gone := st.settleGateways(revision)
	objects, left := st.settleObjects(revision, due)
	again = again || gone || left || len(gateways) > 0
	return slices.Concat(events, gateways, objects), again
}

// isOpen says whether the connection and all of its zones are open. From an open state
// a report leads to another one.
func (c *connection) isOpen() bool {
	return c.State.Open() && !slices.ContainsFunc(c.Zones, func(z Zone) bool { return !z.State.Open() })
}

// settleConnection moves a connection and its zones to where they rest.
func (st *state) settleConnection(c *connection) (events []Event) {
	if c.State == Deleting {
		return nil // it goes with its endpoint
	}
	if _, ok := c.next(Report); ok {
		return []Event{st.move(c, Report, "")}
	}
	for i := range c.Zones {
		z := &c.Zones[i]
		to, ok := zoneLife.next[z.State][Report]
		if !ok || to == Gone {
			continue
		}
		from := z.Status
		z.enter(c.cloud, to)
		c.Modified, c.revision = st.now(), st.revision+1
		events = append(events, c.zoneEvent(Report, *z, from, z.Status))
	}
	return events
}

// settleObjects moves services and endpoints to where they rest, and
// forgets those that are gone. It says whether there were any.
func (st *state) settleObjects(revision uint64, due map[*connection]bool) (events []Event, gone bool) {
	leaving := map[ends][]string{} // zones
	for c := range due {
		for _, z := range c.Zones {
			if due[c] && z.State == Deleting {
				leaving[c.ends()] = append(leaving[c.ends()], z.Zone)
			}
		}
	}
	for _, planned := range st.plan.Services {
		s := st.live.services[planned.Name]
		events = append(events, st.settleObject(&s.object, revision, KindService, planned.Name, &gone)...)
	}
	for _, planned := range st.plan.Endpoints {
		e := st.live.endpoints[planned.Name]
		events = append(events, st.settleObject(&e.object, revision, KindEndpoint, planned.Name, &gone)...)
		for _, zone := range leaving[ends{planned.Service, planned.Name}] {
			set(&e.Zones, zone, false)
			gone = true
		}
	}
	if !gone {
		return events, false
	}
	left, err := st.adopt(st.plan, st.live)
	if err != nil {
		panic("removing an object made the rest invalid: " + err.Text)
	}
	return append(events, left...), true
}

func (st *state) settleObject(o *object, revision uint64, kind Kind, name string, gone *bool) []Event {
	to, ok := objectLife.next[o.State][Report]
	if !ok || o.revision > revision {
		return nil
	}
	from := Word(st.plan.Cloud, kind, o.State)
	st.enter(o, to)
	if to == Gone {
		o.Exists, *gone = ptr(false), true
	}
	word := Word(st.plan.Cloud, kind, to)
	if from == word {
		return nil
	}
	text := fmt.Sprintf("%s %q is %s", kind.noun(), name, word)
	if to == Gone {
		text = fmt.Sprintf("%s %q is gone", kind.noun(), name)
	}
	return []Event{objectEvent(kind, name, Report, "", from, word, text)}
}

// settleGateways moves gateways, NAT IPs and entries to where they rest. It says whether
// any of them are gone.
func (st *state) settleGateways(revision uint64) (events []Event, gone bool) {
	for i := range st.plan.NATGateways {
		planned := &st.plan.NATGateways[i]
		g := st.live.gateways[planned.Name]
		for _, e := range g.entries(planned) {
			held := g.Entries[e.Name]
			events = append(events, st.settleObject(&held.object, revision, KindEntry, planned.Name+"/"+e.Name,
				&gone)...)
		}
		for _, ip := range g.ips(planned) {
			held := g.NATIPs[ip.IP.String()]
			events = append(events, st.settleObject(&held.object, revision, KindNATIP,
				planned.Name+"/"+ip.IP.String(), &gone)...)
		}
		events = append(events, st.settleObject(&g.object, revision, KindGateway, planned.Name, &gone)...)
		g.forget(planned)
	}
	if gone {
		st.overlay()
	}
	return events, gone
}

func (st *state) enter(o *object, s State) {
	o.State, o.Modified, o.revision = s, st.now(), st.revision+1
}

// move does what the caller found to be allowed and gives the event.
func (st *state) move(c *connection, verb Verb, account string) Event {
	from := c.Status
	c.enter(connectionLife.next[c.State][verb])
	c.follow(verb)
	c.Since, c.Modified, c.revision = st.now(), st.now(), st.revision+1
	return c.event(verb, account, from, c.Status)
}

// moveZone does what the caller found to be allowed.
func (st *state) moveZone(c *connection, z *Zone, verb Verb, account, did string) Event {
	from := z.Status
	z.enter(c.cloud, zoneLife.next[z.State][verb])
	c.Modified, c.revision = st.now(), st.revision+1
	e := c.zoneEvent(verb, *z, from, z.Status)
	e.Account = account
	e.Text = fmt.Sprintf("account %q %s zone %q of %s", account, did, z.Zone, c)
	return e
}

// change notes that an object was changed, and tells of it.
func (st *state) change(o *object, kind Kind, name, account, text string) Event {
	from := Word(st.plan.Cloud, kind, o.State)
	st.enter(o, objectLife.next[o.State][Change])
	return objectEvent(kind, name, Change, account, from, Word(st.plan.Cloud, kind, o.State), text)
}

func (st *state) creating(o *object, kind Kind, name, account string) Event {
	st.enter(o, objectLife.next[Gone][Create])
	return objectEvent(kind, name, Create, account, "", Word(st.plan.Cloud, kind, o.State),
		fmt.Sprintf("account %q created %s %q", account, kind.noun(), name))
}

func (st *state) deleting(o *object, kind Kind, name, account string) Event {
	from := Word(st.plan.Cloud, kind, o.State)
	st.enter(o, objectLife.next[o.State][Delete])
	return objectEvent(kind, name, Delete, account, from, Word(st.plan.Cloud, kind, o.State),
		fmt.Sprintf("account %q deletes %s %q", account, kind.noun(), name))
}

// rests refuses a verb that an object's state does not allow.
func (st *state) rests(o *object, kind Kind, name string, verb Verb) *Error {
	if _, ok := objectLife.next[o.State][verb]; ok {
		return nil
	}
	return &Error{Code: topology.WrongState, Kind: kind.noun(), Name: name,
		Text: fmt.Sprintf("%s %q cannot be %s while it is %s", kind.noun(), name, pastTense[verb],
			Word(st.plan.Cloud, kind, o.State)),
		Hint: objectLife.way(o.State, verb, func(s State) string { return Word(st.plan.Cloud, kind, s) })}
}

// rests reports whether c is where somebody waits for it to be. To a cloud
// with one word for both, a connection that waits is disconnected too.
func (c *connection) rests(want State) bool {
	if c.State == Wait && want == Disconnected {
		return c.word(Wait) == c.word(Disconnected)
	}
	return c.State == want
}

func objectEvent(kind Kind, name string, verb Verb, account, from, to, text string) Event {
	return Event{Kind: kind, Name: name, Verb: verb, Account: account, From: from, To: to, Text: text}
}
