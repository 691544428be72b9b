package control

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// savedVersion grows when what is saved changes its meaning. Version 0 had no
// number, and nothing but connections.
const savedVersion = 1

// saved is what survives a restart: which connections were accepted, where
// every zone goes, and the live overrides. What the plan says is not in it.
type saved struct {
	Version      int                     `json:"version"`
	Seq          uint64                  `json:"seq"` // of the last event
	Services     map[string]*service     `json:"services,omitempty"`
	Endpoints    map[string]*endpoint    `json:"endpoints,omitempty"`
	NATGateways  map[string]*gateway     `json:"nat_gateways,omitempty"`
	ServerGroups map[string]*serverGroup `json:"server_groups,omitempty"`
	Connections  []savedConnection       `json:"connections"`
}

type savedConnection struct {
	Service   string      `json:"service"`
	Endpoint  string      `json:"endpoint"`
	Account   string      `json:"account"`
	VPC       string      `json:"vpc"`
	State     State       `json:"state"`
	Since     time.Time   `json:"since"`
	Modified  time.Time   `json:"modified"`
	Bandwidth *int        `json:"bandwidth,omitempty"` // Mbit/s, where it is not the service's
	Zones     []savedZone `json:"zones"`
}

type savedZone struct {
	Zone         string `json:"zone"`
	State        State  `json:"state"`
	LoadBalancer string `json:"load_balancer,omitempty"`
	Replaced     string `json:"replaced,omitempty"`
}

// Save gives the state as JSON for Restore. It is worth saving after each
// value of Changed.
func (p *Plane) Save() ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return json.MarshalIndent(p.state.save(p.history.last), "", "  ")
}

func (st *state) save(seq uint64) saved {
	out := saved{
		Version: savedVersion, Seq: seq, Services: st.live.services, Endpoints: st.live.endpoints,
		NATGateways: st.live.gateways, ServerGroups: st.live.groups, Connections: []savedConnection{},
	}
	for _, c := range st.connections {
		s := savedConnection{
			Service: c.Service, Endpoint: c.Endpoint, Account: c.Account, VPC: c.vpc,
			State: c.State, Since: c.Since, Modified: c.Modified, Bandwidth: c.limit,
		}
		for _, z := range c.Zones {
			s.Zones = append(s.Zones, savedZone{Zone: z.Zone, State: z.State, LoadBalancer: z.LoadBalancer,
				Replaced: z.Replaced})
		}
		out.Connections = append(out.Connections, s)
	}
	return out
}

// Restore takes over what Save gave before a restart. It is for a new plane
// that nobody reads yet: events are numbered on from the saved ones. What the
// plan no longer has is left out, and what it has newly stays as it starts. An
// error changes nothing.
func (p *Plane) Restore(text []byte) error {
	var in saved
	if err := json.Unmarshal(text, &in); err != nil {
		return fmt.Errorf("read the saved state: %w", err)
	}
	if err := in.check(); err != nil {
		return fmt.Errorf("read the saved state: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.state.restoreLive(in); err != nil {
		return fmt.Errorf("read the saved state: %w", err)
	}
	started := p.history.events
	p.history.events, p.history.last = nil, in.Seq
	var events []Event
	known := map[string]bool{}
	for _, s := range in.Connections {
		known[connectionName(s.Service, s.Endpoint)] = true
		c := p.state.find(s.Service, s.Endpoint)
		if c == nil || c.vpc != s.VPC || c.Account != s.Account {
			continue
		}
		p.state.restoreConnection(c, s)
		events = append(events, c.event(Restore, "", "", c.Status))
	}
	for _, e := range started {
		if !known[e.Name] && slices.ContainsFunc(p.state.connections,
			func(c *connection) bool { return c.name() == e.Name }) {
			events = append(events, e)
		}
	}
	p.state.overlay()
	p.commitLocked(events...)
	return nil
}

// restoreLive takes over what was changed, and makes a place for every
// connection that was there: it need not be on a whitelist any more.
func (st *state) restoreLive(in saved) error {
	started := st.connections
	for _, s := range in.Connections {
		if st.find(s.Service, s.Endpoint) == nil {
			c := &connection{Connection: Connection{Service: s.Service, Endpoint: s.Endpoint, Account: s.Account,
				State: s.State}, cloud: st.plan.Cloud, vpc: s.VPC}
			st.connections = append(st.connections, c)
		}
	}
	was := overrides{services: in.Services, endpoints: in.Endpoints, gateways: in.NATGateways, groups: in.ServerGroups}
	if _, err := st.adopt(st.plan, was.fitted(st.plan, st.plan.Cloud, st.now())); err != nil {
		st.connections = started
		return err
	}
	// To a reader of the state they are as new as everything else.
	for _, s := range st.live.services {
		s.revision = st.revision + 1
	}
	for _, e := range st.live.endpoints {
		e.revision = st.revision + 1
	}
	for _, g := range st.live.gateways {
		g.revise(st.revision + 1)
	}
	return nil
}

func (s saved) check() error {
	if s.Version > savedVersion {
		return fmt.Errorf("its version is %d, and this plinksim knows %d", s.Version, savedVersion)
	}
	for name, o := range s.Services {
		if o == nil || !objectLife.has(o.State) {
			return fmt.Errorf("endpoint service %q has no state that is known", name)
		}
	}
	for name, o := range s.Endpoints {
		if o == nil || !objectLife.has(o.State) {
			return fmt.Errorf("endpoint %q has no state that is known", name)
		}
	}
	for _, c := range s.Connections {
		if !connectionLife.has(c.State) {
			return fmt.Errorf("connection %q has no state %q", connectionName(c.Service, c.Endpoint), c.State)
		}
		for _, z := range c.Zones {
			if !zoneLife.has(z.State) {
				return fmt.Errorf("zone %q of connection %q has no state %q", z.Zone,
					connectionName(c.Service, c.Endpoint), z.State)
			}
		}
	}
	return nil
}

// restoreConnection sets c to what was saved. A zone that is new since then starts
// as one that joins.
func (st *state) restoreConnection(c *connection, s savedConnection) {
	c.enter(s.State)
	c.Since, c.Modified, c.limit, c.revision = s.Since, s.Modified, s.Bandwidth, st.revision+1
	if c.Modified.IsZero() {
		c.Modified = c.Since
	}
	for i := range c.Zones {
		z := &c.Zones[i]
		at := slices.IndexFunc(s.Zones, func(sz savedZone) bool { return sz.Zone == z.Zone })
		switch {
		case at >= 0:
			z.LoadBalancer, z.Replaced = s.Zones[at].LoadBalancer, s.Zones[at].Replaced
			z.enter(c.cloud, s.Zones[at].State)
		case c.State.Open():
			z.enter(c.cloud, Connecting)
		default:
			z.enter(c.cloud, Wait)
		}
	}
	if service := findService(st.merged, c.Service); service != nil {
		c.pin(st.plan.Name, service)
	}
}
