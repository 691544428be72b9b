package topofile

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/plinksim/plinksim/pkg/topology"
)

type rawPrivateZone struct {
	Domain  value[string]           `yaml:"domain,required" doc:"the domain that it is, such as corp.example"`
	VPCs    sequence[value[string]] `yaml:"vpcs,required" doc:"the VPCs in which it is known; it hides what is public"`
	_       more                    `doc:"below its domain there"`
	TTL     value[time.Duration]    `yaml:"ttl" doc:"of its records, such as 5m; the cloud's 60s where it is missing"`
	Records sequence[rawRecord]     `yaml:"records" doc:"its names"`
}

type rawPublicZone struct {
	Domain  value[string]        `yaml:"domain,required" doc:"the domain that it is, such as example.com"`
	TTL     value[time.Duration] `yaml:"ttl" doc:"of its records, such as 5m; the cloud's 60s where it is missing"`
	Records sequence[rawRecord]  `yaml:"records" doc:"its names"`
}

type rawRecord struct {
	Name  value[string]           `yaml:"name" doc:"a name below the domain such as db, *.apps or _mysql._tcp; @,"`
	_     more                    `doc:"where it is missing, is the domain itself"`
	A     sequence[value[string]] `yaml:"a" doc:"IPv4 addresses, or references such as ${ep1.ip}"`
	AAAA  sequence[value[string]] `yaml:"aaaa" doc:"IPv6 addresses"`
	CNAME value[string]           `yaml:"cname" doc:"another name that it stands for, or a reference such as ${ep1};"`
	_     more                    `doc:"then it has nothing else"`
	TXT   sequence[value[string]] `yaml:"txt" doc:"texts"`
	SRV   sequence[rawSRV]        `yaml:"srv" doc:"where a service is to be found"`
	Node  *yaml.Node
}

type rawSRV struct {
	Priority value[int]    `yaml:"priority" doc:"the lowest is tried first; 0 where it is missing" range:"0..65535"`
	Weight   value[int]    `yaml:"weight" doc:"the share among those of one priority; 0 where it is" range:"0..65535"`
	_        more          `doc:"missing"`
	Port     value[int]    `yaml:"port,required" doc:"the port" range:"0..65535"`
	Target   value[string] `yaml:"target,required" doc:"the name of the host, or a reference such as ${ep1}"`
	Node     *yaml.Node
}

// zoneBuilder builds DNS zones. It comes when everything else has its addresses
// and names.
type zoneBuilder struct{ *draft }

func (b zoneBuilder) build() {
	for i := range b.raw.PublicZones.Entries {
		e := &b.raw.PublicZones.Entries[i]
		zone := topology.DNSZone{Name: e.Name, Public: true, TTL: e.Value.TTL.V}
		b.zone(fmt.Sprintf("public zone %q", e.Name), zone, e.Value.Domain, e.Value.Records)
	}
	for i := range b.raw.PrivateZones.Entries {
		e := &b.raw.PrivateZones.Entries[i]
		who := fmt.Sprintf("private zone %q", e.Name)
		zone := topology.DNSZone{Name: e.Name, TTL: e.Value.TTL.V}
		for _, ref := range e.Value.VPCs.Items {
			if vpc := refer(b.draft, who, ref, b.plan.VPC); vpc != nil && !slices.Contains(zone.VPCs, vpc.Name) {
				zone.VPCs = append(zone.VPCs, vpc.Name)
			}
		}
		b.zone(who, zone, e.Value.Domain, e.Value.Records)
	}
	b.aliasCircles()
}

func (b zoneBuilder) zone(who string, zone topology.DNSZone, domain value[string], records sequence[rawRecord]) {
	zone.Domain = domain.V
	if domain.given() {
		b.domain(who, zone, domain.Node)
	}
	for _, raw := range records.Items {
		if raw.Node == nil {
			continue
		}
		record := recordBuilder(b).record(who, zone.Domain, raw)
		if slices.ContainsFunc(zone.Records, func(r topology.Record) bool { return r.Name == record.Name }) {
			b.problem(raw.Node, "write all that a name has into one record",
				"%s: name %q is there twice", who, raw.Name.or("@"))
		}
		zone.Records = append(zone.Records, record)
	}
	b.plan.DNSZones = append(b.plan.DNSZones, zone)
}

func (b zoneBuilder) domain(who string, zone topology.DNSZone, node *yaml.Node) {
	if !topology.IsDomain(zone.Domain) {
		hint := "write a name such as corp.example"
		if better := strings.ToLower(strings.TrimSuffix(zone.Domain, ".")); topology.IsDomain(better) {
			hint = "write " + better
		}
		b.problem(node, hint, "%s: %q is not a domain name", who, zone.Domain)
		return
	}
	if topology.Within(zone.Domain, "internal") {
		b.problem(node, "choose another, such as corp.example",
			"%s: domain %q is that of the instances", who, zone.Domain)
	}
	for _, s := range b.plan.Services {
		if s.Domain != "" && topology.Within(zone.Domain, s.Domain) {
			b.problem(node, "choose another, such as corp.example",
				"%s: domain %q is that of endpoint service %q", who, zone.Domain, s.Name)
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
				b.problem(node, "keep one of them",
					"%s: private zone %q is %s in vpc %q, too", who, other.Name, zone.Domain, vpc)
			}
		}
	}
}

// aliasCircles notes CNAMEs that lead back to themselves, wildcards aside.
func (b zoneBuilder) aliasCircles() {
	for _, zone := range b.plan.DNSZones {
		for _, r := range zone.Records {
			seen := []string{r.Name}
			for next := r.CNAME; next != ""; next = b.aliasOf(zone, next) {
				if next == r.Name {
					b.problem(b.node(zone), "let one of them have an address",
						"record %q leads back to itself: %s", r.Name, strings.Join(append(seen, next), " to "))
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
func (b zoneBuilder) aliasOf(zone topology.DNSZone, name string) string {
	for _, other := range b.plan.DNSZones {
		shared := func(vpc string) bool { return slices.Contains(other.VPCs, vpc) }
		together := zone.Public == other.Public && (zone.Public || slices.ContainsFunc(zone.VPCs, shared))
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

func (b zoneBuilder) node(zone topology.DNSZone) *yaml.Node {
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
