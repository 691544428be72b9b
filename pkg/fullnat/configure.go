package fullnat

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/plinksim/plinksim/internal/memo"
	"github.com/plinksim/plinksim/pkg/fullnat/internal/store"
	"github.com/plinksim/plinksim/pkg/packet"
)

// Configure puts cfg in force, whole and at once, in a time that does not
// depend on the number of sessions. Links that are the same to the bit as before, functions
// and all, are not looked at again. Sessions go on if their link's Name is
// still there between the same interfaces and Connected; a new Idle holds for
// them too. All that is wrong with cfg is reported together, and then nothing
// has changed. The table keeps what cfg refers to, so do not change it after.
func (t *Table) Configure(cfg *Config, now time.Duration) error {
	t.clock.Advance(now)
	r, order, err := compile(cfg, &t.addrs, t.links.byName)
	if err != nil {
		t.addrs.Release(r.numbers...)
		return err
	}
	t.replaceLinks(r, order)
	before := t.routes.numbers
	t.routes = *r
	t.addrs.Release(before...)
	t.inherit()
	return nil
}

// replaceLinks gives the links of a new configuration the sessions and
// counters of those that they continue.
func (b *book) replaceLinks(r *routes, order []*link) {
	byName := make(map[string]*link, len(order))
	renamed := map[*link]bool{}
	for n := range b.links.all {
		b.shut(store.LinkID(n))
	}
	for _, l := range order {
		if l.Was == "" {
			continue
		}
		was := b.links.byName[l.Was]
		if b.links.byName[l.Name] == nil && was != nil && l.continues(was) {
			b.links.succeed(l, was)
			l.stats.Name = l.Name
			renamed[was] = true
			byName[l.Name] = l
		}
	}
	for _, l := range order {
		if byName[l.Name] == l {
			l.toProviderHop.Link, l.toConsumerHop.Link = l.number, l.number
			continue
		}
		old := b.links.byName[l.Name]
		switch {
		case old == l:
		case old == nil || renamed[old]:
			l.stats = &linkStats{LinkStats: LinkStats{Name: l.Name}}
			b.links.add(l)
		case l.continues(old):
			b.links.succeed(l, old)
		default:
			l.stats = old.stats
			b.links.retire(old)
			b.links.add(l)
		}
		l.toProviderHop.Link, l.toConsumerHop.Link = l.number, l.number
		byName[l.Name] = l
	}
	for name, old := range b.links.byName {
		if byName[name] == nil && !renamed[old] {
			b.links.retire(old)
		}
	}
	b.links.byName, b.links.order = byName, order
}

// continues says whether the sessions of old are l's.
func (l *link) continues(old *link) bool {
	return l.Connected && sameRoute(l.toProviderHop, old.toProviderHop) && sameRoute(l.toConsumerHop, old.toConsumerHop)
}

func sameRoute(a, b store.HopKey) bool {
	return a.ENI == b.ENI && a.Src == b.Src
}

// compile checks cfg and builds what packets are judged by. The routes hold
// numbers of addresses, also where there is an error.
// before are the links of the configuration before, by name: those that are the same are used again.
func compile(cfg *Config, addrs *store.Addrs, before map[string]*link) (*routes, []*link, error) {
	c := compiler{
		addrs:  addrs,
		enis:   make(map[packet.ENI]*Interface, len(cfg.ENIs)),
		names:  make(map[string]bool, len(cfg.Links)),
		before: before,
		routes: &routes{
			links:  make(map[match]*link, len(cfg.Links)),
			owned:  make(map[address]owner, len(cfg.Links)),
			resets: map[address]bool{},
			limit:  cfg.PortsPerTarget,
		},
	}
	switch {
	case cfg.PortsPerTarget == 0:
		c.routes.limit = store.DefaultPortsPerTarget
	case cfg.PortsPerTarget < 0 || cfg.PortsPerTarget > store.NumNATPorts:
		c.errorf("%d ports per target: want 1 to %d, or 0 for %d",
			cfg.PortsPerTarget, store.NumNATPorts, store.DefaultPortsPerTarget)
	}
	if cfg.PortRest < 0 || cfg.PortRest > store.PoolRest {
		c.errorf("NAT ports rest for %s: want at most %s, or 0 for %s",
			cfg.PortRest, store.PoolRest, store.DefaultPortRest)
	}
	c.routes.rest = store.TicksOf(cmp.Or(cfg.PortRest, store.DefaultPortRest))
	for i := range cfg.ENIs {
		c.addInterface(&cfg.ENIs[i])
	}
	order := make([]*link, 0, len(cfg.Links))
	for i := range cfg.Links {
		if was := cfg.Links[i].Was; was != "" { // its sessions are another's now
			c.leaving = append(c.leaving, was)
		}
	}
	for i := range cfg.Links {
		order = append(order, c.addLink(&cfg.Links[i]))
	}
	return c.routes, order, errors.Join(c.errs...)
}

type compiler struct {
	addrs   *store.Addrs
	enis    map[packet.ENI]*Interface
	names   map[string]bool
	before  map[string]*link
	leaving []string // names of links whose sessions may go to draining ones
	routes  *routes
	errs    []error
}

func (c *compiler) errorf(format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf(format, args...))
}

func (c *compiler) addInterface(i *Interface) {
	switch {
	case i.ENI == 0:
		c.errorf("an interface has no ENI number: number them from 1")
	case c.enis[i.ENI] != nil:
		c.errorf("ENI %d is listed twice", i.ENI)
	case i.NextHop == nil:
		c.errorf("ENI %d has no NextHop", i.ENI)
	}
	c.enis[i.ENI] = i
}

func (c *compiler) addLink(spec *Link) *link {
	l := c.again(spec)
	if l == nil {
		before := len(c.errs)
		c.checkLink(spec)
		if len(c.errs) > before {
			return nil
		}
		l = c.newLink(spec)
	}
	c.route(l)
	return l
}

// again is the link of before where that is the same between the same interfaces, else nil.
func (c *compiler) again(spec *Link) *link {
	l := c.before[spec.Name]
	if l == nil || c.names[spec.Name] || !memo.Identical(&l.Link, spec) || slices.Contains(c.leaving, spec.Name) {
		return nil
	}
	ingress, egress := c.enis[spec.Ingress], c.enis[spec.Egress]
	if ingress == nil || egress == nil || !memo.Identical(l.ingress, ingress) || !memo.Identical(l.egress, egress) {
		return nil
	}
	c.names[spec.Name] = true
	l.ingress, l.egress = ingress, egress // those of the configuration before need not be kept
	c.number(spec.Match.Addr())
	for _, addr := range spec.Local {
		c.number(addr)
	}
	return l
}

// newLink makes a link of which nothing is wrong.
func (c *compiler) newLink(spec *Link) *link {
	l := &link{Link: *spec, live: spec.Connected, ingress: c.enis[spec.Ingress], egress: c.enis[spec.Egress]}
	l.idle = store.TicksOf(spec.Idle)
	l.timers, _ = spec.Behaviour.check()
	l.match = c.number(spec.Match.Addr())
	l.mtu = [2]uint32{store.ToProvider: l.egress.mtu(), store.ToConsumer: l.ingress.mtu()}
	if spec.MTU > 0 {
		for d := range l.mtu {
			l.mtu[d] = min(l.mtu[d], uint32(spec.MTU))
		}
	}
	l.mss = uint16(max(0, int(min(l.mtu[store.ToProvider], l.mtu[store.ToConsumer]))-headersOfMSS))
	l.toProviderHop = store.HopKey{ENI: spec.Egress, Src: l.egress.MAC, Direction: store.ToProvider}
	l.mark = markOf(l, l.Name)
	l.toConsumerHop = store.HopKey{ENI: spec.Ingress, Src: l.ingress.MAC, Direction: store.ToConsumer}
	for _, addr := range spec.Local {
		local := c.number(addr)
		l.local[version(local)] = append(l.local[version(local)], local)
	}
	return l
}

// route lets packets find a link whose addresses have numbers.
func (c *compiler) route(l *link) {
	for _, locals := range l.local {
		for _, local := range locals {
			c.own(l.Egress, local, natIP)
			if at := (address{local, l.Egress}); l.Behaviour.ResetStray && !c.routes.resets[at] {
				c.routes.resets[at] = true
			}
		}
	}
	c.own(l.Ingress, l.match, matched)
	m := match{address{l.match, l.Ingress}, l.Match.Port(), l.Protocol}
	if l.Protocol == packet.ProtocolICMP {
		m.port = 0
	}
	if l.Draining {
		return
	}
	if other := c.routes.links[m]; other != nil {
		c.errorf("link %q matches %s on ENI %d, and so does link %q", l.Name, l.Match, l.Ingress, other.Name)
	}
	c.routes.links[m] = l
}

func (c *compiler) own(eni packet.ENI, addr uint32, as owner) {
	a := address{addr, eni}
	if known, ok := c.routes.owned[a]; !ok || known < as {
		c.routes.owned[a] = as
	}
}

func (c *compiler) checkLink(l *Link) {
	wrong := func(format string, args ...any) {
		c.errorf("link %q: %w", l.Name, fmt.Errorf(format, args...))
	}
	if l.Name == "" {
		c.errorf("the link that matches %s has no name", l.Match)
	} else if c.names[l.Name] {
		wrong("the name is used twice")
	}
	c.names[l.Name] = true
	if c.enis[l.Ingress] == nil {
		wrong("its ingress, ENI %d, is not among the interfaces", l.Ingress)
	}
	if c.enis[l.Egress] == nil {
		wrong("its egress, ENI %d, is not among the interfaces", l.Egress)
	}
	if !packet.IsHost(l.Match.Addr()) || l.Match.Port() == 0 && l.Protocol != packet.ProtocolICMP {
		wrong("it matches %s: want the address of a host and a port", l.Match)
	}
	switch l.Protocol {
	case packet.ProtocolTCP, packet.ProtocolUDP, packet.ProtocolICMP:
	default:
		wrong("protocol %d: want TCP (%d), UDP (%d) or ICMP (%d)", l.Protocol,
			packet.ProtocolTCP, packet.ProtocolUDP, packet.ProtocolICMP)
	}
	if len(l.Local) == 0 {
		wrong("it has no NAT IP")
	}
	for _, addr := range l.Local {
		if !packet.IsHost(addr) {
			wrong("NAT IP %s: want the address of a host", addr)
		}
	}
	if l.Pick == nil {
		wrong("it has no Pick")
	}
	if l.Idle <= 0 || l.Idle > store.MaxTimeout {
		wrong("it is idle after %s: want more than 0 and at most %s", l.Idle, store.MaxTimeout)
	}
	if err := l.Identity.check(l.Protocol, l.Match.Addr().Is6()); err != nil {
		wrong("%w", err)
	}
	if _, err := l.Behaviour.check(); err != nil {
		wrong("%w", err)
	}
}

// number is what packets are compared by.
func (c *compiler) number(addr netip.Addr) uint32 {
	n, ok := c.addrs.Acquire(addr)
	if !ok {
		c.errorf("%s is one address too many", addr)
		return store.Unknown
	}
	if store.IsIPv6(n) {
		c.routes.numbers = append(c.routes.numbers, n)
	}
	return n
}
