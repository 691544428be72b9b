package control

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/plinksim/plinksim/internal/memo"
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

// Same says whether both are written alike.
func (s *savedConnection) Same(o *savedConnection) bool {
	return s.Service == o.Service && s.Endpoint == o.Endpoint && s.Account == o.Account && s.VPC == o.VPC &&
		s.State == o.State && s.Since == o.Since && s.Modified == o.Modified &&
		(s.Bandwidth == o.Bandwidth || s.Bandwidth != nil && o.Bandwidth != nil && *s.Bandwidth == *o.Bandwidth) &&
		(s.Zones == nil) == (o.Zones == nil) && slices.Equal(s.Zones, o.Zones)
}

// Save gives the state as JSON for Restore, one object a line. It is worth saving after
// each value of Changed. What it costs follows what has changed since the last time.
func (p *Plane) Save() ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.texts.save(p.state, p.history.last)
}

// savedTexts remembers how the parts of a state were written.
type savedTexts struct {
	services    memo.Of[savedObject, []byte]
	endpoints   memo.Of[savedObject, []byte]
	connections memo.Of[savedConnection, []byte]
}

// savedObject is a service or an endpoint as far as it is worth remembering: those of
// which an operation has set something are written every time.
type savedObject struct {
	owner    string
	exists   int // 0 where nothing says so, 1 where it does, -1 where it does not
	state    State
	modified time.Time
}

func (o *object) remembered() savedObject {
	out := savedObject{owner: o.Owner, state: o.State, modified: o.Modified}
	if o.Exists != nil {
		out.exists = 1
		if !*o.Exists {
			out.exists = -1
		}
	}
	return out
}

// save writes what a saved has.
func (t *savedTexts) save(st *state, seq uint64) ([]byte, error) {
	t.services.Begin()
	t.endpoints.Begin()
	t.connections.Begin()
	w := savedWriter{text: fmt.Appendf(make([]byte, 0, t.size(st)), "{\n\"version\": %d,\n\"seq\": %d", savedVersion, seq)}
	w.section("services", len(st.live.services), func() {
		for i := range st.plan.Services {
			name := st.plan.Services[i].Name
			if s := st.live.services[name]; s.changed() {
				w.member(name, s)
			} else {
				w.remembered(t.services.Get(name, s.remembered(), func(savedObject) []byte { return w.memberText(name, s) }))
			}
		}
	})
	w.section("endpoints", len(st.live.endpoints), func() {
		for i := range st.plan.Endpoints {
			name := st.plan.Endpoints[i].Name
			if e := st.live.endpoints[name]; e.changed() {
				w.member(name, e)
			} else {
				w.remembered(t.endpoints.Get(name, e.remembered(), func(savedObject) []byte { return w.memberText(name, e) }))
			}
		}
	})
	w.section("nat_gateways", len(st.live.gateways), func() {
		for _, name := range slices.Sorted(maps.Keys(st.live.gateways)) {
			w.member(name, st.live.gateways[name])
		}
	})
	w.section("server_groups", len(st.live.groups), func() {
		for _, name := range slices.Sorted(maps.Keys(st.live.groups)) {
			w.member(name, st.live.groups[name])
		}
	})
	texts := make([][]byte, 0, len(st.connections))
	zones := make([]savedZone, 0, len(st.connections))
	for _, c := range st.connections {
		var s savedConnection
		s, zones = c.saved(zones)
		texts = append(texts, t.connections.Get(c.name(), s, func(s savedConnection) []byte { return w.json(s) }))
	}
	w.text = append(w.text, ",\n\"connections\": "...)
	w.text = append(memo.AppendList(w.text, texts), "\n}"...)
	return w.text, w.err
}

// size is about how long a saved state will be.
func (t *savedTexts) size(st *state) int {
	return 512*len(st.connections) + 256*(len(st.live.services)+len(st.live.endpoints)) + 4096
}

// savedWriter writes the sections of a saved.
type savedWriter struct {
	text  []byte
	first bool // nothing of the section is written yet
	err   error
}

func (w *savedWriter) section(name string, members int, write func()) {
	if members == 0 {
		return
	}
	w.text = fmt.Appendf(w.text, ",\n%q: {", name)
	w.first = true
	write()
	w.text = append(w.text, "\n}"...)
}

func (w *savedWriter) member(name string, value any) { w.remembered(w.memberText(name, value)) }

func (w *savedWriter) remembered(text []byte) {
	if !w.first {
		w.text = append(w.text, ',')
	}
	w.first = false
	w.text = append(append(w.text, '\n'), text...)
}

func (w *savedWriter) memberText(name string, value any) []byte {
	return slices.Concat(w.json(name), []byte(": "), w.json(value))
}

func (w *savedWriter) json(value any) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		w.err = err
	}
	return text
}

// saved has its zones in the memory that is given, which it returns.
func (c *connection) saved(memory []savedZone) (savedConnection, []savedZone) {
	out := savedConnection{
		Service: c.Service, Endpoint: c.Endpoint, Account: c.Account, VPC: c.vpc,
		State: c.State, Since: c.Since, Modified: c.Modified, Bandwidth: c.limit,
	}
	first := len(memory)
	for _, z := range c.Zones {
		memory = append(memory, savedZone{
			Zone: z.Zone, State: z.State, LoadBalancer: z.LoadBalancer, Replaced: z.Replaced,
		})
	}
	if len(c.Zones) > 0 {
		out.Zones = memory[first:len(memory):len(memory)]
	}
	return out, memory
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
