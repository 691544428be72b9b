package lab

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	mdns "github.com/miekg/dns"

	"github.com/plinksim/plinksim/pkg/dns"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Query asks for a name as a program on the instance would: the hosts file, then
// the resolver of its VPC, along the search list. The name may be a reference,
// for example ep1 or ep1@zone, for whose whole name the resolver is asked, and
// an address stands for its reverse name. No packet is sent, but a name that is
// not the resolver's goes to its upstreams.
func (l *Lab) Query(ctx context.Context, from, name, qtype string) (*status.NameAnswer, error) {
	plan := l.Plan()
	instance, err := plan.Running(from)
	if err != nil {
		return nil, err
	}
	vpc := plan.MustVPC(instance.VPC)
	names, err := l.hosts.resolver(vpc, instance, nil)
	if err != nil {
		return nil, err
	}
	candidates, qtype, whole, err := queryOf(plan, names, name, qtype)
	if err != nil {
		return nil, err
	}
	out := &status.NameAnswer{
		Schema: status.Schema, Type: qtype, From: plan.ShortName(*instance), IP: instance.IP, Zone: instance.Zone,
		VPC: vpc.Name, Records: []string{}, Steps: []status.NameStep{},
	}
	if hosts := inHosts(names, name, qtype); !whole && len(hosts) > 0 {
		out.Name, out.Code, out.Source, out.Records = strings.TrimSuffix(name, "."), "NOERROR", "hosts", hosts
		out.Steps = append(out.Steps, status.NameStep{
			Name: out.Name, Outcome: "in the hosts file of the instance", Addresses: []status.NameAddress{},
		})
		return out, nil
	}
	server := l.resolvers.of(vpc)
	if server == nil {
		if len(vpc.Resolvers) == 0 {
			return nil, fmt.Errorf("VPC %q has no resolver: its dns_support is false", vpc.Name)
		}
		return nil, fmt.Errorf("the resolver of VPC %q does not run", vpc.Name)
	}
	reply, e, source := firstAnswer(ctx, server, instance.IP, candidates, mdns.StringToType[qtype])
	out.Name, out.Zone = strings.TrimSuffix(reply.Question[0].Name, "."), e.AskerZone
	out.Code, out.Source = mdns.RcodeToString[reply.Rcode], source
	for _, rr := range reply.Answer {
		out.Records = append(out.Records, strings.ReplaceAll(rr.String(), "\t", " "))
	}
	for _, s := range e.Steps {
		out.Steps = append(out.Steps, nameStep(s))
	}
	return out, nil
}

// firstAnswer is the answer for the first candidate that has one, otherwise
// that for the first candidate.
func firstAnswer(ctx context.Context, server *dns.Server, asker netip.Addr, candidates []string, qtype uint16) (
	reply *mdns.Msg, e dns.Explanation, source string,
) {
	for i, candidate := range candidates {
		m, explained, from := server.Explain(ctx, new(mdns.Msg).SetQuestion(candidate, qtype), asker)
		if i == 0 || len(m.Answer) > 0 {
			reply, e, source = m, explained, from
		}
		if len(m.Answer) > 0 {
			break
		}
	}
	return reply, e, source
}

// inHosts are the records that a name would have if its lines in the hosts file
// were some.
func inHosts(names *dns.Resolver, name, qtype string) (records []string) {
	for _, addr := range names.InHosts(name) {
		if kind := map[bool]string{true: "A", false: "AAAA"}[addr.Is4()]; kind == qtype {
			records = append(records, fmt.Sprintf("%s 0 IN %s %s", mdns.Fqdn(name), kind, addr))
		}
	}
	return records
}

func nameStep(s dns.Step) status.NameStep {
	out := status.NameStep{
		Name: strings.TrimSuffix(s.Name, "."), Outcome: string(s.Outcome),
		Authority: strings.TrimSuffix(s.Authority, "."),
		Wildcard:  s.Wildcard, Affinity: s.Affinity, Addresses: []status.NameAddress{},
	}
	for _, c := range s.Choices {
		out.Addresses = append(out.Addresses,
			status.NameAddress{IP: c.IP, Zone: c.Zone, Given: c.Given, Reason: c.Reason})
	}
	return out
}

// queryOf makes whole names, in the order in which they are asked for, and a
// type of what a person wrote. A reference and an address stand for a whole name.
func queryOf(plan *topology.Plan, names *dns.Resolver, name, qtype string) (
	candidates []string, ofType string, whole bool, err error,
) {
	if addr, err := netip.ParseAddr(name); err == nil {
		reverse, err := mdns.ReverseAddr(addr.String())
		if qtype == "" {
			qtype = "PTR"
		}
		return []string{reverse}, qtype, true, err
	}
	qtype = strings.ToUpper(qtype)
	if qtype == "" {
		qtype = "A"
	}
	if !slices.Contains(status.QueryTypes(), qtype) {
		return nil, "", false, fmt.Errorf("there is no record type %q: want one of %s",
			qtype, strings.Join(status.QueryTypes(), ", "))
	}
	if value, err := plan.Lookup(name); err == nil && !strings.HasSuffix(name, ".ip") {
		return []string{mdns.Fqdn(value)}, qtype, true, nil
	}
	candidates = dns.Candidates(name, names.Search, names.Ndots)
	if _, ok := mdns.IsDomainName(name); !ok {
		return nil, "", false, fmt.Errorf("%q is not a domain name", name)
	}
	return candidates, qtype, false, nil
}

// WatchQueries calls each for every question to the resolvers, of one instance
// or of all where from is empty, until ctx ends. each is called from several
// goroutines, where questions are answered, and must not block. It returns
// when each is not called any more.
func (l *Lab) WatchQueries(ctx context.Context, from string, each func(status.NameQuery)) error {
	plan := l.Plan()
	var only *topology.Instance
	if from != "" {
		instance, err := plan.Instance(from)
		if err != nil {
			return err
		}
		only = instance
	}
	short := plan.ShortNames()
	for _, vpc := range plan.VPCs {
		server := l.resolvers.of(&vpc)
		if server == nil || only != nil && only.VPC != vpc.Name {
			continue
		}
		names := map[netip.Addr]string{}
		for _, instance := range vpc.Instances {
			names[instance.IP] = short(instance)
		}
		stop := server.Watch(func(q dns.Query) {
			if only == nil || only.IP == q.Asker.Addr() {
				each(nameQuery(vpc.Name, names[q.Asker.Addr()], q))
			}
		})
		defer stop()
	}
	<-ctx.Done()
	return nil
}

func nameQuery(vpc, from string, q dns.Query) status.NameQuery {
	out := status.NameQuery{
		Time: q.Time, VPC: vpc, From: from, Asker: q.Asker, Transport: "udp", Name: strings.TrimSuffix(q.Name, "."),
		Type: q.Type,
		Code: q.Code, Source: q.Source, Data: append([]string{}, q.Data...), Bytes: q.Size,
		Micros: q.Took.Microseconds(),
	}
	if q.TCP {
		out.Transport = "tcp"
	}
	return out
}
