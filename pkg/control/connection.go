package control

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/plinksim/plinksim/pkg/topology"
)

// Snapshot is the state at one revision, a copy that the caller may keep.
type Snapshot struct {
	Revision uint64
	// Plan is the plan as it is now: the services and endpoints that exist,
	// with what was changed while the lab runs. Nobody changes it.
	Plan        *topology.Plan
	Services    []Object     // in the order of Plan.Services
	Endpoints   []Object     // in the order of Plan.Endpoints
	NATGateways []NATGateway // in the order of the file, also those that are being deleted
	Connections []Connection // in the order of Plan.Endpoints
}

// Object is where a service or an endpoint is in its life.
type Object struct {
	Name     string
	State    State
	Status   string // State in the words of the lab's cloud
	Modified time.Time
}

// Connection finds the connection of an endpoint to a service.
func (s Snapshot) Connection(service, endpoint string) (Connection, bool) {
	for _, c := range s.Connections {
		if c.Service == service && c.Endpoint == endpoint {
			return c, true
		}
	}
	return Connection{}, false
}

// Connection is what an endpoint has with the service it asked for. It has no
// name of its own: service and endpoint together are its key.
type Connection struct {
	Service  string
	Endpoint string
	Account  string // of the endpoint
	State    State
	Status   string    // State in the words of the lab's cloud
	Since    time.Time // when it came into State
	Modified time.Time // when anything of it was changed
	// Bandwidth is in Mbit/s, for each direction; 0: not limited.
	Bandwidth int
	Zones     []Zone // in the order of the endpoint's
	// Actions are what the provider can do to the whole connection now.
	Actions []Verb
}

// Zone is a connection's part in one zone, with a state of its own.
type Zone struct {
	Zone   string
	State  State
	Status string // State in the words of the lab's cloud
	// LoadBalancer is the resource that the zone is pinned to, "" until the
	// connection is first accepted. Every new session of the zone goes there.
	LoadBalancer string
	// Replaced is the resource that it had before, while sessions still go
	// there.
	Replaced string
}

// connection is a Connection as the plane holds it.
type connection struct {
	Connection
	cloud    topology.Cloud
	vpc      string // the endpoint's
	limit    *int   // Mbit/s, of this connection alone
	revision uint64 // of the newest change to it
	named    string // its name, once somebody has asked for it
}

func connectionName(service, endpoint string) string { return service + "/" + endpoint }

func (c *connection) name() string {
	if c.named == "" {
		c.named = connectionName(c.Service, c.Endpoint)
	}
	return c.named
}

// String is how sentences name it.
func (c *connection) String() string {
	return fmt.Sprintf("the connection of endpoint %q to endpoint service %q", c.Endpoint, c.Service)
}

func (c *connection) word(s State) string { return Word(c.cloud, KindConnection, s) }

// actions are what the provider can do to a whole connection in a state.
func (c *connection) actions() []Verb {
	out := []Verb{}
	for _, verb := range []Verb{Accept, Reject, Bandwidth} {
		if _, ok := c.next(verb); ok && (c.cloud.Profile().TuneConnections || tuning[verb].hint == "") {
			out = append(out, verb)
		}
	}
	return slices.Clip(out)
}

// copies are the connections as a reader may keep them.
func copies(connections []*connection) []Connection {
	type inState struct {
		cloud topology.Cloud
		state State
	}
	actions, zones := map[inState][]Verb{}, 0
	for _, c := range connections {
		zones += len(c.Zones)
	}
	out, all := make([]Connection, len(connections)), make([]Zone, 0, zones) // none is empty, and not nil, for JSON
	for i, c := range connections {
		key, first := inState{c.cloud, c.State}, len(all)
		if actions[key] == nil {
			actions[key] = c.actions()
		}
		all = append(all, c.Zones...)
		out[i] = c.Connection
		out[i].Zones, out[i].Actions = all[first:len(all):len(all)], actions[key]
	}
	return out
}

func (c *connection) clone() *connection {
	out := *c
	out.Zones = slices.Clone(c.Zones)
	return &out
}

func newConnection(plan *topology.Plan, e *topology.Endpoint, now time.Time) *connection {
	c := &connection{
		Connection: Connection{Service: e.Service, Endpoint: e.Name, Account: e.Account, Since: now, Modified: now},
		cloud:      plan.Cloud,
		vpc:        e.VPC,
	}
	c.enter(Wait)
	return c
}

// next gives the state to which verb leads, false where it is refused. A verb
// that would not change the word that people see is refused as well.
func (c *connection) next(verb Verb) (State, bool) {
	to, ok := connectionLife.next[c.State][verb]
	if ok && (verb == Accept || verb == Reject) && c.word(to) == c.word(c.State) {
		return "", false
	}
	return to, ok
}

// follow moves every zone that the table lets follow the verb. One that is
// being deleted goes with its endpoint's other zones.
func (c *connection) follow(verb Verb) (moved bool) {
	for i := range c.Zones {
		if to, ok := zoneLife.next[c.Zones[i].State][verb]; ok && to != Gone {
			c.Zones[i].enter(c.cloud, to)
			moved = true
		}
	}
	return moved
}

func (c *connection) enter(s State) {
	c.State, c.Status = s, c.word(s)
}

func (z *Zone) enter(cloud topology.Cloud, s State) {
	z.State, z.Status = s, Word(cloud, KindZone, s)
	if s != Migrating && s != Migrated {
		z.Replaced = ""
	}
}

// setZones makes the zones those of the endpoint: the ones that stay keep
// their state, and new ones of an open connection connect.
func (c *connection) setZones(e *topology.Endpoint) (events []Event) {
	before := c.Zones
	if slices.EqualFunc(before, e.Zones, func(z Zone, ez topology.EndpointZone) bool { return z.Zone == ez.Zone }) {
		return nil
	}
	c.Zones = make([]Zone, 0, len(e.Zones))
	for _, ez := range e.Zones {
		if i := zoneIndex(before, ez.Zone); i >= 0 {
			c.Zones = append(c.Zones, before[i])
			continue
		}
		z := Zone{Zone: ez.Zone}
		z.enter(c.cloud, Wait)
		if c.State.Open() {
			z.enter(c.cloud, Connecting)
		}
		c.Zones = append(c.Zones, z)
		events = append(events, c.zoneEvent(Create, z, "", z.Status))
	}
	for _, z := range before {
		if zoneIndex(c.Zones, z.Zone) < 0 {
			events = append(events, c.zoneEvent(Delete, z, z.Status, ""))
		}
	}
	return events
}

func zoneIndex(zones []Zone, name string) int {
	return slices.IndexFunc(zones, func(z Zone) bool { return z.Zone == name })
}

// zone finds a zone of the connection, nil where it has none of that name.
func (c *connection) zone(name string) *Zone {
	if i := zoneIndex(c.Zones, name); i >= 0 {
		return &c.Zones[i]
	}
	return nil
}

// pin gives every zone that is open a resource of the service in that zone. A
// zone keeps the one it has while the service offers it.
func (c *connection) pin(lab string, service *topology.EndpointService) {
	for i := range c.Zones {
		z := &c.Zones[i]
		held := topology.Resource{LoadBalancer: z.LoadBalancer, Zone: z.Zone}
		if z.State.Open() && !slices.Contains(service.Resources, held) {
			z.LoadBalancer, z.Replaced = c.allocate(lab, service, z.Zone, ""), ""
		}
	}
}

// allocate chooses a resource in a zone, other than the one to leave, or "".
// Clouds take one at random and keep it (PrivateLink API 2020-04-15,
// EnableVpcEndpointConnection; AWS PrivateLink guide, "Share your services":
// one load balancer of the zone, at random). Here the names of lab, endpoint
// and zone decide, so that the same file gives the same lab, and it does not
// matter who is accepted first.
func (c *connection) allocate(lab string, service *topology.EndpointService, zone, leave string) string {
	var offered []string
	for _, r := range service.Resources {
		if r.Zone == zone && r.LoadBalancer != "" && r.LoadBalancer != leave {
			offered = append(offered, r.LoadBalancer)
		}
	}
	if len(offered) == 0 {
		return ""
	}
	h := fnv.New64a()
	fmt.Fprintf(h, "%s/%s/%s/%s", lab, c.Service, c.Endpoint, zone)
	return offered[rand.New(rand.NewPCG(h.Sum64(), 0)).IntN(len(offered))]
}
