package topofile

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/plinksim/plinksim/pkg/topology"
)

type rawPrivateZone struct {
	Domain  value[string]           `yaml:"domain,required" doc:"the domain that it is, such as corp.example"`
	VPCs    sequence[value[string]] `yaml:"vpcs,required" doc:"the VPCs in which it is known; it hides what is public below its domain there"`
	TTL     value[time.Duration]    `yaml:"ttl" doc:"of its records, such as 5m; the cloud's 60s where it is missing"`
	Records sequence[rawRecord]     `yaml:"records" doc:"its names"`
}

type rawPublicZone struct {
	Domain  value[string]        `yaml:"domain,required" doc:"the domain that it is, such as example.com"`
	TTL     value[time.Duration] `yaml:"ttl" doc:"of its records, such as 5m; the cloud's 60s where it is missing"`
	Records sequence[rawRecord]  `yaml:"records" doc:"its names"`
}

type rawRecord struct {
	Name  value[string]           `yaml:"name" doc:"a name below the domain such as db, *.apps or _mysql._tcp; @, where it is missing, is the domain itself"`
	A     sequence[value[string]] `yaml:"a" doc:"IPv4 addresses, or references such as ${ep1.ip}"`
	AAAA  sequence[value[string]] `yaml:"aaaa" doc:"IPv6 addresses"`
	CNAME value[string]           `yaml:"cname" doc:"another name that it stands for, or a reference such as ${ep1}; then it has nothing else"`
	TXT   sequence[value[string]] `yaml:"txt" doc:"texts"`
	SRV   sequence[rawSRV]        `yaml:"srv" doc:"where a service is to be found"`
	Node  *yaml.Node
}

type rawSRV struct {
	Priority value[int]    `yaml:"priority" doc:"the lowest is tried first; 0 where it is missing" range:"0..65535"`
	Weight   value[int]    `yaml:"weight" doc:"the share among those of one priority; 0 where it is missing" range:"0..65535"`
	Port     value[int]    `yaml:"port,required" doc:"the port" range:"0..65535"`
	Target   value[string] `yaml:"target,required" doc:"the name of the host, or a reference such as ${ep1}"`
	Node     *yaml.Node
}

// dnsZones comes when everything else has its addresses and names.
func (b *builder) dnsZones() {
	for i := range b.raw.PublicZones.Entries {
		e := &b.raw.PublicZones.Entries[i]
		zone := topology.DNSZone{Name: e.Name, Public: true, TTL: e.Value.TTL.V}
		b.dnsZone(fmt.Sprintf("public zone %q", e.Name), zone, e.Value.Domain, e.Value.Records)
	}
	for i := range b.raw.PrivateZones.Entries {
		e := &b.raw.PrivateZones.Entries[i]
		who := fmt.Sprintf("private zone %q", e.Name)
		zone := topology.DNSZone{Name: e.Name, TTL: e.Value.TTL.V}
		for _, ref := range e.Value.VPCs.Items {
			if vpc := refer(b, who, ref, b.plan.VPC); vpc != nil && !slices.Contains(zone.VPCs, vpc.Name) {
				zone.VPCs = append(zone.VPCs, vpc.Name)
			}
		}
		b.dnsZone(who, zone, e.Value.Domain, e.Value.Records)
	}
	b.aliasCircles()
	b.privateNames()
}

func (b *builder) dnsZone(who string, zone topology.DNSZone, domain value[string], records sequence[rawRecord]) {
	zone.Domain = domain.V
	if domain.given() {
		b.domain(who, zone, domain.Node)
	}
	for _, raw := range records.Items {
		if raw.Node == nil {
			continue
		}
		record := b.record(who, zone.Domain, raw)
		if slices.ContainsFunc(zone.Records, func(r topology.Record) bool { return r.Name == record.Name }) {
			b.problem(raw.Node, "write all that a name has into one record", "%s: name %q is there twice", who, raw.Name.or("@"))
		}
		zone.Records = append(zone.Records, record)
	}
	b.plan.DNSZones = append(b.plan.DNSZones, zone)
}

func (b *builder) domain(who string, zone topology.DNSZone, node *yaml.Node) {
	if !topology.IsDomain(zone.Domain) {
		hint := "write a name such as corp.example"
		if better := strings.ToLower(strings.TrimSuffix(zone.Domain, ".")); topology.IsDomain(better) {
			hint = "write " + better
		}
		b.problem(node, hint, "%s: %q is not a domain name", who, zone.Domain)
		return
	}
	if topology.Within(zone.Domain, "internal") {
		b.problem(node, "choose another, such as corp.example", "%s: domain %q is that of the instances", who, zone.Domain)
	}
	for _, s := range b.plan.Services {
		if s.Domain != "" && topology.Within(zone.Domain, s.Domain) {
			b.problem(node, "choose another, such as corp.example", "%s: domain %q is that of endpoint service %q", who, zone.Domain, s.Name)
		}
	}
	for _, other := range b.plan.DNSZones {
		if other.Domain != zone.Domain || other.Public != zone.Public {
			continue
		}
		if zone.Public {
			b.problem(node, "keep one of them", "%s: public zone %q is %s, too", who, other.Name, zone.Domain)
		}
		for _, vpc := range zone.VPCs {
			if slices.Contains(other.VPCs, vpc) {
				b.problem(node, "keep one of them", "%s: private zone %q is %s in vpc %q, too", who, other.Name, zone.Domain, vpc)
			}
		}
	}
}

func (b *builder) record(who, domain string, raw rawRecord) topology.Record {
	name := raw.Name.or("@")
	who = fmt.Sprintf("%s: record %q", who, name)
	r := topology.Record{Name: domain}
	if name != "@" {
		r.Name = name + "." + domain
		rest := strings.TrimPrefix(name, "*.")
		if name != "*" && !topology.IsDomain(rest) || len(r.Name) > topology.MaxDomain {
			b.problem(raw.Name.Node, "write a name such as db, *.apps or _mysql._tcp, without the domain, or @ for the domain itself", "%s is not a name below a domain", who)
		}
	}
	for _, v := range raw.A.Items {
		b.recordAddress(who, &r, v, true)
	}
	for _, v := range raw.AAAA.Items {
		b.recordAddress(who, &r, v, false)
	}
	for _, v := range raw.TXT.Items {
		if v.given() {
			r.TXT = append(r.TXT, v.V)
		}
	}
	for _, s := range raw.SRV.Items {
		if s.Node != nil {
			r.SRV = append(r.SRV, topology.SRV{
				Priority: uint16(s.Priority.V), Weight: uint16(s.Weight.V), Port: uint16(s.Port.V),
				Target: b.recordName(who, "srv target", s.Target),
			})
		}
	}
	r.CNAME = b.recordName(who, "cname", raw.CNAME)
	others := len(raw.A.Items) + len(raw.AAAA.Items) + len(raw.TXT.Items) + len(raw.SRV.Items)
	switch {
	case raw.CNAME.given() && others > 0:
		b.problem(raw.CNAME.Node, "a name is either another one or has records of its own (RFC 1034, 3.6.2)", "%s has a cname and other records", who)
	case raw.CNAME.given() && r.Name == domain:
		b.problem(raw.CNAME.Node, "give the domain itself an address: it has SOA and NS records already (RFC 1034, 3.6.2)", "%s has a cname", who)
	case !raw.CNAME.given() && !raw.CNAME.Bad && others == 0:
		b.problem(raw.Node, "add a:, aaaa:, cname:, txt: or srv:", "%s has nothing", who)
	}
	return r
}

// resolved is a value with its references replaced, false where there is
// nothing to judge: a reference has no value where something else is wrong.
func (b *builder) resolved(who string, v value[string]) (string, bool) {
	text := b.expanded(who, v)
	return text, v.given() && (len(b.problems) == 0 || !strings.Contains(v.V, "${"))
}

func (b *builder) recordAddress(who string, r *topology.Record, v value[string], four bool) {
	text, ok := b.resolved(who, v)
	if !ok {
		return
	}
	addr, err := netip.ParseAddr(text)
	switch {
	case err != nil:
		b.problem(v.Node, "write an address, or a reference to one such as ${ep1.ip}", "%s: %q is not an IP address", who, v.V)
	case addr.Is4() != four:
		b.problem(v.Node, "IPv4 addresses stand in a:, IPv6 addresses in aaaa:", "%s: %s is of the other family", who, addr)
	default:
		r.Addrs = append(r.Addrs, addr)
	}
}

func (b *builder) recordName(who, key string, v value[string]) string {
	text, ok := b.resolved(who, v)
	if !ok {
		return ""
	}
	text = strings.ToLower(strings.TrimSuffix(text, "."))
	if !topology.IsDomain(text) {
		b.problem(v.Node, "write a whole name such as db.corp.example, or a reference such as ${ep1}", "%s: %s %q is not a domain name", who, key, v.V)
	}
	return text
}

// aliasCircles notes CNAMEs that lead back to themselves, wildcards aside.
func (b *builder) aliasCircles() {
	for _, zone := range b.plan.DNSZones {
		for _, r := range zone.Records {
			seen := []string{r.Name}
			for next := r.CNAME; next != ""; next = b.aliasOf(zone, next) {
				if next == r.Name {
					b.problem(b.zoneNode(zone), "let one of them have an address", "record %q leads back to itself: %s", r.Name, strings.Join(append(seen, next), " to "))
				}
				if slices.Contains(seen, next) {
					break // its own circle has a problem of its own
				}
				seen = append(seen, next)
			}
		}
	}
}

// aliasOf is the CNAME of a name that is known together with a zone.
func (b *builder) aliasOf(zone topology.DNSZone, name string) string {
	for _, other := range b.plan.DNSZones {
		together := zone.Public == other.Public && (zone.Public || slices.ContainsFunc(zone.VPCs, func(vpc string) bool { return slices.Contains(other.VPCs, vpc) }))
		if !together {
			continue
		}
		for _, r := range other.Records {
			if r.Name == name {
				return r.CNAME
			}
		}
	}
	return ""
}

func (b *builder) zoneNode(zone topology.DNSZone) *yaml.Node {
	if zone.Public {
		for _, e := range b.raw.PublicZones.Entries {
			if e.Name == zone.Name {
				return e.Key
			}
		}
	}
	for _, e := range b.raw.PrivateZones.Entries {
		if e.Name == zone.Name {
			return e.Key
		}
	}
	return &yaml.Node{}
}

// upstreams are of the VPC: there is no way out of it, but one may be an
// endpoint's address, and the server another VPC's.
func (b *builder) upstreams(who string, vpc *topology.VPC, refs sequence[value[netip.Addr]]) {
	for _, v := range refs.Items {
		switch {
		case !v.given():
		case slices.Contains(vpc.Resolvers, v.V):
			b.problem(v.Node, "name an instance that runs a DNS server", "%s: dns_upstreams: %s is the resolver itself", who, v.V)
		case vpc.CIDR.IsValid() && !vpc.CIDR.Contains(v.V):
			b.problem(v.Node, "no VPC has a way out of the lab: name an instance that runs a DNS server, or an endpoint's address", "%s: dns_upstreams: %s is not in it (%s)", who, v.V, vpc.CIDR)
		default:
			vpc.Upstreams = append(vpc.Upstreams, v.V)
		}
	}
}
