// Package dns answers the DNS queries of a VPC. What it answers may depend on
// who asks: a name with zone affinity gives the asker the address in its own
// zone.
//
// A View is immutable and pure. Make a new one whenever the lab changes and
// swap it into the Server, which speaks UDP and TCP on sockets that it is
// given; bind each of them to one address, so that replies leave from where
// the question went.
//
//	view, err := dns.NewView(config)
//	server.SetView(view)
//	err = server.Serve(ctx, packetConn, listener)
//
// Nothing is ever forwarded. A name below one of our zones is answered with
// authority, one that is elsewhere is refused.
package dns

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Config is what a View answers from.
type Config struct {
	// Subnets tell the zone of an asker. Reverse names of their addresses are
	// answered with authority too.
	Subnets []Subnet
	// Names are what can be asked for. Where several share an address, the
	// one with the fewest addresses is its reverse name, of those the first;
	// so list the names of the asking VPC first.
	Names []Name
	// Zones are the suffixes that we are authoritative for, without a final
	// dot. A name outside of them is a zone of its own.
	Zones []string
	// TTL of names that have none of their own and of negative answers.
	TTL time.Duration
	// Host is the name of the server in SOA and NS records, without a final
	// dot; ns.<zone> where it is empty.
	Host string
}

// Subnet says which zone its addresses are in.
type Subnet struct {
	Prefix netip.Prefix
	Zone   string
}

// Name is a name with its addresses.
type Name struct {
	FQDN string // without a final dot
	// Affinity gives an asker the address of its own zone alone while that is
	// up. Without it everybody gets all addresses that are up, in turns.
	Affinity bool
	TTL      time.Duration // 0: Config.TTL
	Addrs    []Address
}

// Address is one address of a name.
type Address struct {
	IP   netip.Addr
	Zone string // "" where it is in none
	// Up is whether it may be given out. Where no address of a name is up,
	// all are given, so that a name resolves before its endpoint is accepted.
	Up bool
}

// View answers questions. It is immutable and may be asked from any goroutine.
// The zero value refuses every name.
type View struct {
	ttl     uint32
	host    string
	subnets []Subnet             // longest prefix first
	zones   map[string]bool      // by canonical name
	names   map[string]*Name     // by canonical name
	parents map[string]bool      // names that only have names below them
	reverse map[netip.Addr]*Name // the name that an address is known by
}

// NewView checks cfg and makes a view of it. The lists of cfg are not to be
// changed any more.
func NewView(cfg Config) (*View, error) {
	v := &View{
		ttl:     seconds(cfg.TTL),
		host:    cfg.Host,
		subnets: slices.Clone(cfg.Subnets),
		zones:   map[string]bool{},
		names:   map[string]*Name{},
		parents: map[string]bool{},
		reverse: map[netip.Addr]*Name{},
	}
	if err := v.addZones(cfg.Zones); err != nil {
		return nil, err
	}
	for i := range cfg.Names {
		if err := v.addName(cfg.Names[i], cfg.TTL); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(v.subnets, func(a, b Subnet) int { return b.Prefix.Bits() - a.Prefix.Bits() })
	return v, nil
}

func (v *View) addZones(zones []string) error {
	for _, zone := range zones {
		if !isName(zone) {
			return fmt.Errorf("zone %q is not a domain name", zone)
		}
		v.zones[dns.CanonicalName(zone)] = true
	}
	for zone := range v.zones {
		v.addParents(zone, v.closestZone(parentOf(zone)))
	}
	return nil
}

// addParents notes the names between a name and the zone that is closest above
// it, if there is one: they exist, though they have no records (RFC 8020, 2).
func (v *View) addParents(name, zone string) {
	if zone == "" || name == zone {
		return
	}
	for parent := parentOf(name); parent != zone; parent = parentOf(parent) {
		v.parents[parent] = true
	}
}

// closestZone is the longest of our zones that a canonical name is in, or "".
// It takes as long as the name is deep, however many zones there are.
func (v *View) closestZone(name string) string {
	for ; name != "."; name = parentOf(name) {
		if v.zones[name] {
			return name
		}
	}
	return ""
}

func (v *View) addName(n Name, ttl time.Duration) error {
	if !isName(n.FQDN) {
		return fmt.Errorf("%q is not a domain name", n.FQDN)
	}
	key := dns.CanonicalName(n.FQDN)
	if v.names[key] != nil {
		return fmt.Errorf("name %q is there twice", n.FQDN)
	}
	if n.TTL == 0 {
		n.TTL = ttl
	}
	v.names[key] = &n
	v.addParents(key, v.closestZone(key))
	for _, a := range n.Addrs {
		if !a.IP.IsValid() {
			return fmt.Errorf("name %q has an address that is none", n.FQDN)
		}
		ip := a.IP.Unmap()
		if known := v.reverse[ip]; known == nil || len(n.Addrs) < len(known.Addrs) {
			v.reverse[ip] = &n
		}
	}
	return nil
}

// isName leaves out what would need an escape: our names are host names.
func isName(s string) bool {
	_, ok := dns.IsDomainName(s)
	return ok && s != "" && !strings.ContainsAny(s, "\\ \"\t\n") && !strings.HasSuffix(s, ".")
}

// zoneOf gives the zone that has authority over a canonical name: the longest
// of ours, or the name itself where it is one that was configured outside of
// them; "" where it is foreign.
func (v *View) zoneOf(name string) string {
	if zone := v.closestZone(name); zone != "" {
		return zone
	}
	if v.names[name] != nil {
		return name
	}
	return ""
}

// zoneOfAsker gives the zone of the subnet that an address is in.
func (v *View) zoneOfAsker(asker netip.Addr) string {
	for _, s := range v.subnets {
		if s.Prefix.Contains(asker) {
			return s.Zone
		}
	}
	return ""
}

func parentOf(name string) string {
	next, end := dns.NextLabel(name, 0)
	if end {
		return "."
	}
	return name[next:]
}

func seconds(d time.Duration) uint32 {
	return uint32(min(max(0, d/time.Second), 1<<31-1)) // RFC 2181, 8: 31 bits
}
