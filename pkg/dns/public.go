package dns

import (
	"maps"
	"net/netip"
	"slices"
	"sync/atomic"

	"github.com/miekg/dns"

	"github.com/plinksim/plinksim/internal/memo"
)

// Public are names and zones that many views have in common, as those of a region's
// endpoints. A view that hides some of them has the others. It does not change, and
// may be used from any goroutine.
type Public struct {
	view   *View
	config Config
	twice  []string        // names that are there more than once: only one of them is known
	above  map[string]bool // what is above its names and zones

	number, of uint64   // its own, and that of the one that it has more names than, 0 where there is none
	more       []string // canonical: the names that it has more
}

var lastPublic atomic.Uint64

// NewPublic checks a configuration's names and zones and indexes them. It takes over
// what it can from one that was made before, which may be nil. The lists of cfg are
// not to be changed any more.
func NewPublic(cfg Config, before *Public) (*Public, error) {
	if more, ok := before.added(cfg); ok {
		return before.with(cfg, more)
	}
	p := &Public{
		view: &View{ttl: seconds(cfg.TTL), host: cfg.Host, own: newLayer()}, config: cfg, above: map[string]bool{},
		number: lastPublic.Add(1),
	}
	if err := p.view.addZones(cfg.Zones); err != nil {
		return nil, err
	}
	for zone := range p.view.own.zones {
		p.addAbove(zone)
	}
	var known map[string]*known
	if before != nil {
		known = before.view.own.names
	}
	for _, n := range cfg.Names {
		if p.view.own.names[dns.CanonicalName(n.FQDN)] != nil {
			p.twice = append(p.twice, n.FQDN)
			continue
		}
		if err := p.view.addName(n, cfg.TTL, known); err != nil {
			return nil, err
		}
		p.addAbove(dns.CanonicalName(n.FQDN))
	}
	return p, nil
}

// added are the names that a configuration has more; false where that is not all that is
// different, or where it matters where they stand.
func (p *Public) added(cfg Config) ([]Name, bool) {
	if p == nil || len(p.twice) > 0 || cfg.TTL != p.config.TTL || cfg.Host != p.config.Host ||
		!slices.Equal(cfg.Zones, p.config.Zones) {
		return nil, false
	}
	old, now := p.config.Names, cfg.Names
	for len(old) > 0 && len(now) > 0 && sameName(&old[0], &now[0]) {
		old, now = old[1:], now[1:]
	}
	last := true // nothing stands behind them
	for ; len(old) > 0 && len(now) > 0 && sameName(&old[len(old)-1], &now[len(now)-1]); last = false {
		old, now = old[:len(old)-1], now[:len(now)-1]
	}
	if len(old) > 0 {
		return nil, false
	}
	for i := range now {
		if p.view.own.names[dns.CanonicalName(now[i].FQDN)] != nil {
			return nil, false
		}
		for _, a := range now[i].Addrs {
			if !last && len(p.view.own.reverse[a.IP.Unmap()]) > 0 {
				return nil, false
			}
		}
	}
	return now, true
}

func sameName(a, b *Name) bool { return memo.Identical(a, b) || a.equal(*b) }

// with is a copy with more names.
func (p *Public) with(cfg Config, more []Name) (*Public, error) {
	own := p.view.own
	own.names, own.parents, own.reverse = maps.Clone(own.names), maps.Clone(own.parents), maps.Clone(own.reverse)
	out := &Public{
		view: &View{ttl: p.view.ttl, host: p.view.host, own: own}, config: cfg, above: maps.Clone(p.above),
		number: lastPublic.Add(1), of: p.number,
	}
	for _, n := range more {
		key := dns.CanonicalName(n.FQDN)
		if own.names[key] != nil {
			out.twice = append(out.twice, n.FQDN)
			continue
		}
		for _, a := range n.Addrs {
			if ip := a.IP.Unmap(); own.reverse[ip] != nil {
				own.reverse[ip] = slices.Clip(own.reverse[ip]) // the rest is the other's
			}
		}
		if err := out.view.addName(n, cfg.TTL, nil); err != nil {
			return nil, err
		}
		out.addAbove(key)
		out.more = append(out.more, key)
	}
	return out, nil
}

func (p *Public) addAbove(key string) {
	for key = parentOf(key); key != "." && !p.above[key]; key = parentOf(key) {
		p.above[key] = true
	}
}

// Is says whether it is made of a configuration.
func (p *Public) Is(cfg Config) bool { return p != nil && p.config.Equal(cfg) }

// SameZones says whether the zones of both are the same: then With is enough for
// views of the one to become those of the other.
func (p *Public) SameZones(other *Public) bool {
	return p != nil && other != nil && slices.Equal(p.config.Zones, other.config.Zones)
}

// With is the view with other public names of the same zones.
func (v *View) With(public *Public) (*View, error) {
	out := *v
	out.public = public
	if v.public == nil || public.of != v.public.number || len(public.twice) > 0 {
		return &out, out.clash()
	}
	for _, key := range public.more {
		if k := v.own.names[key]; k != nil && !v.hidden(key) {
			return &out, errTwice(k.FQDN)
		}
	}
	return &out, nil
}

// clash notes a name that the view would have twice.
func (v *View) clash() error {
	if v.public == nil {
		return nil
	}
	for _, name := range v.public.twice {
		if !v.hidden(dns.CanonicalName(name)) {
			return errTwice(name)
		}
	}
	for key, k := range v.own.names {
		if v.public.view.own.names[key] != nil && !v.hidden(key) {
			return errTwice(k.FQDN)
		}
	}
	return nil
}

// hidden says whether a canonical name is below a domain that hides public ones.
func (v *View) hidden(key string) bool {
	return slices.ContainsFunc(v.hides, func(domain string) bool { return dns.IsSubDomain(domain, key) })
}

// name is what is known of a canonical name, nil where nothing is.
func (v *View) name(key string) *known {
	if k := v.own.names[key]; k != nil || v.public == nil {
		return k
	}
	if k := v.public.view.own.names[key]; k != nil && !v.hidden(key) {
		return k
	}
	return nil
}

func (v *View) isZone(key string) bool {
	return v.own.zones[key] || v.public != nil && v.public.view.own.zones[key] && !v.hidden(key)
}

// isParent says whether a name is there though it has no records: it is in a zone,
// and above something. Where only a hidden name is below it, so is the zone that
// hides that.
func (v *View) isParent(key string) bool {
	return v.own.parents[key] || v.public != nil && v.public.above[key] && !v.hidden(key) && v.closestZone(key) != ""
}

// knownBy is the name that an address is known by, nil where it has none.
func (v *View) knownBy(addr netip.Addr) *Name {
	var best *Name
	if own := v.own.reverse[addr]; len(own) > 0 {
		best = own[0]
	}
	if v.public == nil {
		return best
	}
	for _, n := range v.public.view.own.reverse[addr] {
		if v.hidden(dns.CanonicalName(n.FQDN)) {
			continue
		}
		if best == nil || len(n.Addrs) < len(best.Addrs) {
			best = n
		}
		break
	}
	return best
}
