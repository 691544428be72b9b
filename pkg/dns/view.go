// Package dns answers the DNS queries of a VPC. What it answers may depend on
// who asks: a name with zone affinity gives the asker the address in its own
// zone.
//
// A View does no I/O. Make a new one whenever the lab changes and swap it into
// the Server, which speaks UDP and TCP on sockets that it is
// given; bind each of them to one address, so that replies leave from where
// the question went.
//
//	view, err := dns.NewView(config)
//	server.SetView(view)
//	err = server.Serve(ctx, packetConn, listener)
//
// A name below one of our zones is answered with authority, any other is
// refused. View.Explain says how an answer came about.
package dns

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
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
	// Hides are domains below which nothing of the Public names that the View is
	// made with can be asked for.
	Hides []string
}

// Subnet says which zone its addresses are in.
type Subnet struct {
	Prefix netip.Prefix
	Zone   string
}

// Name is a name with its records.
type Name struct {
	// FQDN is without a final dot. With "*" as its first label it stands for
	// all names in its place that are not there themselves (RFC 4592).
	FQDN string
	// Affinity gives an asker the address of its own zone alone while that is
	// up. Without it everybody gets all addresses that are up, in turns.
	Affinity bool
	TTL      time.Duration // 0: Config.TTL
	Addrs    []Address
	// CNAME is another name that this one stands for, without a final dot. A
	// name that has it has no other records.
	CNAME string
	TXT   []string // the text of each record; cut into strings of 255 bytes on the wire
	SRV   []SRV
	// Alias is a name by which its addresses are not known: none of them has
	// it as its reverse name.
	Alias bool
}

// SRV is where a service is to be found (RFC 2782).
type SRV struct {
	Priority, Weight, Port uint16
	Target                 string // without a final dot
}

// Address is one address of a name.
type Address struct {
	IP   netip.Addr
	Zone string // "" where it is in none
	// Up is whether it may be given out. Where no address of a name is up,
	// those that are only Unhealthy are given, and without such ones all, so
	// that a name resolves before its endpoint is accepted.
	Up bool
	// Unhealthy is an address that is not Up because of the health of what is
	// behind it alone.
	Unhealthy bool
	// Why says why it is not Up, for people.
	Why string
}

// View answers questions. All that it ever changes is whose turn it is. It may
// be asked from any goroutine. The zero value refuses every name.
type View struct {
	ttl     uint32
	host    string
	subnets []Subnet // longest prefix first
	own     layer
	hides   []string // canonical
	public  *Public  // nil where there is none
}

// layer is names by which questions are answered.
type layer struct {
	zones   map[string]bool        // by canonical name
	names   map[string]*known      // by canonical name
	parents map[string]bool        // names that only have names below them
	reverse map[netip.Addr][]*Name // those that an address is known by, the best first
}

func newLayer() layer {
	return layer{map[string]bool{}, map[string]*known{}, map[string]bool{}, map[netip.Addr][]*Name{}}
}

// known is a name as it is answered.
type known struct {
	Name
	four, six family
}

// family are the addresses of a name of one family, with a turn of their own:
// clients ask for both, and would get the same order every time otherwise.
type family struct {
	all, up []Address
	turn    atomic.Uint32
}

func newKnown(n Name) *known {
	k := &known{Name: n}
	for _, a := range n.Addrs {
		f := &k.six
		if a.IP.Unmap().Is4() {
			f = &k.four
		}
		f.all = append(f.all, a)
		if a.Up {
			f.up = append(f.up, a)
		}
	}
	return k
}

// Equal says whether views of both configurations answer alike.
func (c Config) Equal(o Config) bool {
	return c.TTL == o.TTL && c.Host == o.Host && slices.Equal(c.Subnets, o.Subnets) &&
		slices.Equal(c.Zones, o.Zones) && slices.Equal(c.Hides, o.Hides) &&
		slices.EqualFunc(c.Names, o.Names, Name.equal)
}

func (n Name) equal(o Name) bool {
	return n.FQDN == o.FQDN && n.Affinity == o.Affinity && n.TTL == o.TTL && slices.Equal(n.Addrs, o.Addrs) &&
		n.CNAME == o.CNAME && slices.Equal(n.TXT, o.TXT) && slices.Equal(n.SRV, o.SRV) && n.Alias == o.Alias
}

// NewView checks cfg and makes a view of it. The lists of cfg are not to be
// changed any more.
func NewView(cfg Config) (*View, error) { return NewViewWith(nil, cfg) }

// NewViewWith is NewView of the names of cfg and, behind those, of public ones.
func NewViewWith(public *Public, cfg Config) (*View, error) {
	v := &View{
		ttl:     seconds(cfg.TTL),
		host:    cfg.Host,
		subnets: slices.Clone(cfg.Subnets),
		own:     newLayer(),
		public:  public,
	}
	for _, domain := range cfg.Hides {
		v.hides = append(v.hides, dns.CanonicalName(domain))
	}
	if err := v.addZones(cfg.Zones); err != nil {
		return nil, err
	}
	for i := range cfg.Names {
		if err := v.addName(cfg.Names[i], cfg.TTL, nil); err != nil {
			return nil, err
		}
	}
	if err := v.clash(); err != nil {
		return nil, err
	}
	slices.SortStableFunc(v.subnets, func(a, b Subnet) int { return b.Prefix.Bits() - a.Prefix.Bits() })
	return v, nil
}

func (v *View) addZones(zones []string) error {
	for _, zone := range zones {
		if !isName(zone) {
			return fmt.Errorf("zone %q is not a domain name", zone)
		}
		v.own.zones[dns.CanonicalName(zone)] = true
	}
	for zone := range v.own.zones {
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
		v.own.parents[parent] = true
	}
}

// closestZone is the longest of our zones that a canonical name is in, or "".
// It takes as long as the name is deep, however many zones there are.
func (v *View) closestZone(name string) string {
	for ; name != "."; name = parentOf(name) {
		if v.isZone(name) {
			return name
		}
	}
	return ""
}

// addName takes what was known of the name before, if it is the same.
func (v *View) addName(n Name, ttl time.Duration, before map[string]*known) error {
	if !isName(n.FQDN) {
		return fmt.Errorf("%q is not a domain name", n.FQDN)
	}
	key := dns.CanonicalName(n.FQDN)
	if v.own.names[key] != nil {
		return errTwice(n.FQDN)
	}
	if n.TTL == 0 {
		n.TTL = ttl
	}
	if err := v.checkRecords(&n, key); err != nil {
		return err
	}
	k := before[key]
	if k == nil || !k.Name.equal(n) {
		k = newKnown(n)
	}
	v.own.names[key] = k
	v.addParents(key, v.closestZone(key))
	for _, a := range n.Addrs {
		if !a.IP.IsValid() {
			return fmt.Errorf("name %q has an invalid address", n.FQDN)
		}
		ip := a.IP.Unmap()
		if n.Alias {
			continue
		}
		all := v.own.reverse[ip]
		at := slices.IndexFunc(all, func(other *Name) bool { return len(n.Addrs) < len(other.Addrs) })
		if at < 0 {
			at = len(all)
		}
		v.own.reverse[ip] = slices.Insert(all, at, &k.Name)
	}
	return nil
}

func errTwice(name string) error { return fmt.Errorf("name %q is there twice", name) }

// checkRecords refuses what may not stand beside a CNAME (RFC 1034, 3.6.2), and
// invalid names.
func (v *View) checkRecords(n *Name, key string) error {
	for _, s := range n.SRV {
		if !isName(s.Target) {
			return fmt.Errorf("name %q: the target %q of an SRV record is not a domain name", n.FQDN, s.Target)
		}
	}
	switch {
	case n.CNAME == "":
		return nil
	case !isName(n.CNAME):
		return fmt.Errorf("name %q: its CNAME %q is not a domain name", n.FQDN, n.CNAME)
	case len(n.Addrs)+len(n.TXT)+len(n.SRV) > 0:
		return fmt.Errorf("name %q has a CNAME and other records", n.FQDN)
	case v.isZone(key):
		return fmt.Errorf("name %q is a zone and cannot have a CNAME", n.FQDN)
	}
	return nil
}

// lookup finds a canonical name in its zone. Exists is true as well for names
// that only have others below them; wildcard is the name that stands for it
// where it is not there itself.
func (v *View) lookup(key, zone string) (name *known, exists bool, wildcard string) {
	if name := v.name(key); name != nil {
		return name, true, ""
	}
	if key == zone || v.isParent(key) {
		return nil, true, ""
	}
	if zone == "" {
		return nil, false, ""
	}
	// The closest name above that exists decides (RFC 4592, 3.3.1).
	for above := parentOf(key); ; above = parentOf(above) {
		if wild := v.name("*." + above); wild != nil && dns.IsSubDomain(zone, above) {
			return wild, true, wild.FQDN
		}
		if above == zone || above == "." || v.name(above) != nil || v.isParent(above) {
			return nil, false, ""
		}
	}
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
	if v.name(name) != nil {
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
