package fullnat

import (
	"cmp"
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
	c := compile(cfg, &t.addrs, &t.links)
	if err := t.routes.follow(c); err != nil {
		return err
	}
	t.replaceLinks(c)
	for _, l := range c.gone {
		t.addrs.Release(l.numbers...)
	}
	t.inherit()
	return nil
}

// replaceLinks gives the links of a new configuration the sessions and
// counters of those that they continue.
func (b *book) replaceLinks(c *compiler) {
	renamed := map[*link]bool{}
	for n := range b.links.all {
		b.shut(store.LinkID(n))
	}
	for _, l := range c.fresh {
		if l.Was == "" {
			continue
		}
		was := b.links.byName[l.Was]
		if b.links.byName[l.Name] == nil && was != nil && l.continues(was) {
			b.links.succeed(l, was)
			l.stats.Name = l.Name
			renamed[was] = true
		}
	}
	for _, l := range c.fresh {
		old := b.links.byName[l.Name]
		switch {
		case l.stats != nil: // it was renamed
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
	}
	for _, old := range c.gone {
		if c.byName[old.Name] == nil && !renamed[old] {
			b.links.retire(old)
		}
	}
	b.links.follow(c)
}

// continues says whether the sessions of old are l's.
func (l *link) continues(old *link) bool {
	return l.Connected && sameRoute(l.toProviderHop, old.toProviderHop) && sameRoute(l.toConsumerHop, old.toConsumerHop)
}

func sameRoute(a, b store.HopKey) bool {
	return a.ENI == b.ENI && a.Src == b.Src
}

// compile checks cfg and makes the links of it that are not among those of the configuration
// before. What it finds wrong is in errs. Links that it has made hold numbers of addresses.
func compile(cfg *Config, addrs *store.Addrs, before *links) *compiler {
	before.round++
	c := &compiler{
		addrs: addrs, before: before, byName: map[string]*link{}, order: make([]*link, 0, len(cfg.Links)),
		limit: cmp.Or(cfg.PortsPerTarget, store.DefaultPortsPerTarget),
		rest:  store.TicksOf(cmp.Or(cfg.PortRest, store.DefaultPortRest)),
	}
	if cfg.PortsPerTarget < 0 || cfg.PortsPerTarget > store.NumNATPorts {
		c.errorf("%d ports per target: want 1 to %d, or 0 for %d",
			cfg.PortsPerTarget, store.NumNATPorts, store.DefaultPortsPerTarget)
	}
	if cfg.PortRest < 0 || cfg.PortRest > store.PoolRest {
		c.errorf("NAT ports rest for %s: want at most %s, or 0 for %s",
			cfg.PortRest, store.PoolRest, store.DefaultPortRest)
	}
	c.addInterfaces(cfg.ENIs)
	for i := range cfg.Links {
		if was := cfg.Links[i].Was; was != "" { // its sessions are another's now
			c.leaving = append(c.leaving, was)
		}
	}
	for i := range cfg.Links {
		c.addLink(&cfg.Links[i])
	}
	for _, l := range before.order {
		if l.round != before.round {
			c.gone = append(c.gone, l)
		}
	}
	return c
}

// compiler has what a configuration is, and how it differs from the one before.
type compiler struct {
	addrs   *store.Addrs
	before  *links
	enis    []*Interface // by number
	leaving []string     // names of links whose sessions may go to draining ones

	order       []*link          // all
	fresh, gone []*link          // those that are made, and those of before that are not used again
	byName      map[string]*link // fresh
	limit       int
	rest        store.Tick
	errs        []error
}

func (c *compiler) errorf(format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf(format, args...))
}

func (c *compiler) addInterfaces(all []Interface) {
	var last packet.ENI
	for i := range all {
		last = max(last, all[i].ENI)
	}
	c.enis = make([]*Interface, int(last)+1)
	for i := range all {
		eni := &all[i]
		switch {
		case eni.ENI == 0:
			c.errorf("an interface has no ENI number: number them from 1")
		case c.enis[eni.ENI] != nil:
			c.errorf("ENI %d is listed twice", eni.ENI)
		case eni.NextHop == nil:
			c.errorf("ENI %d has no NextHop", eni.ENI)
		}
		c.enis[eni.ENI] = eni
	}
}

// eni is an interface, nil where there is none of the number.
func (c *compiler) eni(n packet.ENI) *Interface {
	if int(n) >= len(c.enis) {
		return nil
	}
	return c.enis[n]
}

func (c *compiler) addLink(spec *Link) {
	l := c.again(spec)
	if l == nil {
		before := len(c.errs)
		c.checkLink(spec)
		if len(c.errs) > before {
			return
		}
		l = c.newLink(spec)
		c.fresh = append(c.fresh, l)
		c.byName[l.Name] = l
	}
	l.round = c.before.round
	c.order = append(c.order, l)
}

// again is the link of before where that is the same between the same interfaces, else nil.
func (c *compiler) again(spec *Link) *link {
	l := c.before.byName[spec.Name]
	if l == nil || c.isNamed(spec.Name) || !memo.Identical(&l.Link, spec) || slices.Contains(c.leaving, spec.Name) {
		return nil
	}
	ingress, egress := c.eni(spec.Ingress), c.eni(spec.Egress)
	if ingress == nil || egress == nil || !memo.Identical(l.ingress, ingress) || !memo.Identical(l.egress, egress) {
		return nil
	}
	l.ingress, l.egress = ingress, egress // those of the configuration before need not be kept
	return l
}

// isNamed says whether the configuration has a link of a name already.
func (c *compiler) isNamed(name string) bool {
	l := c.before.byName[name]
	return c.byName[name] != nil || l != nil && l.round == c.before.round
}

// newLink makes a link of which nothing is wrong.
func (c *compiler) newLink(spec *Link) *link {
	l := &link{Link: *spec, live: spec.Connected, ingress: c.eni(spec.Ingress), egress: c.eni(spec.Egress)}
	l.idle = store.TicksOf(spec.Idle)
	l.timers, _ = spec.Behaviour.check()
	l.match = c.number(l, spec.Match.Addr())
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
		local := c.number(l, addr)
		l.local[version(local)] = append(l.local[version(local)], local)
	}
	return l
}

func (c *compiler) checkLink(l *Link) {
	wrong := func(format string, args ...any) {
		c.errorf("link %q: %w", l.Name, fmt.Errorf(format, args...))
	}
	if l.Name == "" {
		c.errorf("the link that matches %s has no name", l.Match)
	} else if c.isNamed(l.Name) {
		wrong("the name is used twice")
	}
	if c.eni(l.Ingress) == nil {
		wrong("its ingress, ENI %d, is not among the interfaces", l.Ingress)
	}
	if c.eni(l.Egress) == nil {
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

// number is what packets are compared by; the link holds it.
func (c *compiler) number(l *link, addr netip.Addr) uint32 {
	n, ok := c.addrs.Acquire(addr)
	if !ok {
		c.errorf("%s is one address too many", addr)
		return store.Unknown
	}
	if store.IsIPv6(n) {
		l.numbers = append(l.numbers, n)
	}
	return n
}
