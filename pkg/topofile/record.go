package topofile

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/plinksim/plinksim/pkg/topology"
)

// recordBuilder builds the records of DNS zones.
type recordBuilder struct{ *draft }

func (b recordBuilder) record(who, domain string, raw rawRecord) topology.Record {
	name := raw.Name.or("@")
	who = fmt.Sprintf("%s: record %q", who, name)
	r := topology.Record{Name: domain}
	if name != "@" {
		r.Name = name + "." + domain
		rest := strings.TrimPrefix(name, "*.")
		if name != "*" && !topology.IsDomain(rest) || len(r.Name) > topology.MaxDomain {
			b.problem(raw.Name.Node,
				"write a name such as db, *.apps or _mysql._tcp, without the domain, or @ for the domain itself",
				"%s is not a name below a domain", who)
		}
	}
	for _, v := range raw.A.Items {
		b.address(who, &r, v, true)
	}
	for _, v := range raw.AAAA.Items {
		b.address(who, &r, v, false)
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
				Target: b.target(who, "srv target", s.Target),
			})
		}
	}
	r.CNAME = b.target(who, "cname", raw.CNAME)
	others := len(raw.A.Items) + len(raw.AAAA.Items) + len(raw.TXT.Items) + len(raw.SRV.Items)
	switch {
	case raw.CNAME.given() && others > 0:
		b.problem(raw.CNAME.Node, "a name is either another one or has records of its own (RFC 1034, 3.6.2)",
			"%s has a cname and other records", who)
	case raw.CNAME.given() && r.Name == domain:
		b.problem(raw.CNAME.Node,
			"give the domain itself an address: it has SOA and NS records already (RFC 1034, 3.6.2)",
			"%s has a cname", who)
	case !raw.CNAME.given() && !raw.CNAME.Bad && others == 0:
		b.problem(raw.Node, "add a:, aaaa:, cname:, txt: or srv:", "%s has nothing", who)
	}
	return r
}

func (b recordBuilder) address(who string, r *topology.Record, v value[string], four bool) {
	text, ok := b.resolved(who, v)
	if !ok {
		return
	}
	addr, err := netip.ParseAddr(text)
	switch {
	case err != nil:
		b.problem(v.Node, "write an address, or a reference to one such as ${ep1.ip}",
			"%s: %q is not an IP address", who, v.V)
	case addr.Is4In6():
		b.problem(v.Node, "write "+addr.Unmap().String()+" in a:",
			"%s: %s is an IPv4 address as IPv6 sockets see it, which no record has (RFC 4291, 2.5.5.2)", who, addr)
	case addr.Is4() != four:
		b.problem(v.Node, "IPv4 addresses stand in a:, IPv6 addresses in aaaa:",
			"%s: %s is of the other family", who, addr)
	default:
		r.Addrs = append(r.Addrs, addr)
	}
}

func (b recordBuilder) target(who, key string, v value[string]) string {
	text, ok := b.resolved(who, v)
	if !ok {
		return ""
	}
	text = strings.ToLower(strings.TrimSuffix(text, "."))
	if !topology.IsDomain(text) {
		b.problem(v.Node, "write a whole name such as db.corp.example, or a reference such as ${ep1}",
			"%s: %s %q is not a domain name", who, key, v.V)
	}
	return text
}
