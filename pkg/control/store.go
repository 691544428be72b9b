package control

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// saved is what survives a restart: who was accepted, and where every zone
// goes. What the plan says is not in it.
type saved struct {
	Seq         uint64            `json:"seq"` // of the last event
	Connections []savedConnection `json:"connections"`
}

type savedConnection struct {
	Service  string      `json:"service"`
	Endpoint string      `json:"endpoint"`
	Account  string      `json:"account"`
	VPC      string      `json:"vpc"`
	State    State       `json:"state"`
	Since    time.Time   `json:"since"`
	Zones    []savedZone `json:"zones"`
}

type savedZone struct {
	Zone         string `json:"zone"`
	State        State  `json:"state"`
	LoadBalancer string `json:"load_balancer,omitempty"`
}

// Save gives the state as JSON for Restore. It is worth saving after each
// value of Changed.
func (p *Plane) Save() ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := saved{Seq: p.lastSeq, Connections: []savedConnection{}}
	for _, c := range p.connections {
		s := savedConnection{Service: c.Service, Endpoint: c.Endpoint, Account: c.Account, VPC: c.vpc, State: c.State, Since: c.Since}
		for _, z := range c.Zones {
			s.Zones = append(s.Zones, savedZone{Zone: z.Zone, State: z.State, LoadBalancer: z.LoadBalancer})
		}
		out.Connections = append(out.Connections, s)
	}
	return json.MarshalIndent(out, "", "  ")
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
	started := p.history
	p.history, p.lastSeq = nil, in.Seq
	var events []Event
	for _, s := range in.Connections {
		c := p.findLocked(s.Service, s.Endpoint)
		if c == nil || c.vpc != s.VPC || c.Account != s.Account {
			continue
		}
		p.restoreLocked(c, s)
		started = slices.DeleteFunc(started, func(e Event) bool { return e.Name == c.name() })
		events = append(events, c.event(Restore, "", "", c.Status))
	}
	p.commitLocked(append(events, started...)...)
	return nil
}

func (s saved) check() error {
	for _, c := range s.Connections {
		if !slices.Contains(states, c.State) {
			return fmt.Errorf("connection %q has no state %q", connectionName(c.Service, c.Endpoint), c.State)
		}
		for _, z := range c.Zones {
			if !slices.Contains(states, z.State) {
				return fmt.Errorf("zone %q of connection %q has no state %q", z.Zone, connectionName(c.Service, c.Endpoint), z.State)
			}
		}
	}
	return nil
}

// restoreLocked sets c to what was saved. A zone that is new since then starts
// as one that joins.
func (p *Plane) restoreLocked(c *connection, s savedConnection) {
	c.enter(s.State)
	c.Since, c.revision = s.Since, p.revision+1
	for i := range c.Zones {
		z := &c.Zones[i]
		at := slices.IndexFunc(s.Zones, func(sz savedZone) bool { return sz.Zone == z.Zone })
		switch {
		case at >= 0:
			z.enter(c.cloud, s.Zones[at].State)
			z.LoadBalancer = s.Zones[at].LoadBalancer
		case c.State.Open():
			z.enter(c.cloud, Connecting)
		default:
			z.enter(c.cloud, Wait)
		}
	}
	c.pin(findService(p.plan, c.Service), p.connections)
}
