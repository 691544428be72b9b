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

// Query asks the resolver of an instance's VPC as the instance would. The name
// may be a reference such as ep1 or ep1@zone, and an address stands for its
// reverse name. No packet is sent, but a name that is not the resolver's goes
// to its upstreams.
func (l *Lab) Query(ctx context.Context, from, name, qtype string) (*status.NameAnswer, error) {
	plan := l.Plan()
	instance, err := plan.Instance(from)
	if err != nil {
		return nil, err
	}
	name, qtype, err = queryOf(plan, *instance, name, qtype)
	if err != nil {
		return nil, err
	}
	vpc, err := plan.VPC(instance.VPC)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	running := l.resolvers[resolverKey(*vpc)]
	l.mu.Unlock()
	if running == nil {
		return nil, fmt.Errorf("the resolver of VPC %q does not run", vpc.Name)
	}
	req := new(mdns.Msg).SetQuestion(mdns.Fqdn(name), mdns.StringToType[qtype])
	reply, e, source := running.server.Explain(ctx, req, instance.IP)
	out := &status.NameAnswer{
		Schema: status.Schema, Name: strings.TrimSuffix(req.Question[0].Name, "."), Type: qtype,
		From: plan.ShortName(*instance), IP: instance.IP, Zone: e.AskerZone, VPC: vpc.Name,
		Code: mdns.RcodeToString[reply.Rcode], Source: source, Records: []string{}, Steps: []status.NameStep{},
	}
	for _, rr := range reply.Answer {
		out.Records = append(out.Records, strings.ReplaceAll(rr.String(), "\t", " "))
	}
	for _, s := range e.Steps {
		out.Steps = append(out.Steps, nameStep(s))
	}
	return out, nil
}

func nameStep(s dns.Step) status.NameStep {
	out := status.NameStep{
		Name: strings.TrimSuffix(s.Name, "."), Outcome: string(s.Outcome), Authority: strings.TrimSuffix(s.Authority, "."),
		Wildcard: s.Wildcard, Affinity: s.Affinity, Addresses: []status.NameAddress{},
	}
	for _, c := range s.Choices {
		out.Addresses = append(out.Addresses, status.NameAddress{IP: c.IP, Zone: c.Zone, Given: c.Given, Reason: c.Reason})
	}
	return out
}

// queryOf makes a whole name and a type of what a person wrote.
func queryOf(plan *topology.Plan, instance topology.Instance, name, qtype string) (string, string, error) {
	if addr, err := netip.ParseAddr(name); err == nil {
		reverse, err := mdns.ReverseAddr(addr.String())
		if qtype == "" {
			qtype = "PTR"
		}
		return reverse, qtype, err
	}
	qtype = strings.ToUpper(qtype)
	if qtype == "" {
		qtype = "A"
	}
	if !slices.Contains(status.QueryTypes(), qtype) {
		return "", "", fmt.Errorf("there is no record type %q: want one of %s", qtype, strings.Join(status.QueryTypes(), ", "))
	}
	value, err := plan.Lookup(name)
	switch {
	case err == nil && !strings.HasSuffix(name, ".ip"):
		name = value
	case !strings.Contains(name, "."):
		_, domain, _ := strings.Cut(instance.DNSName, ".")
		name += "." + domain // as resolv.conf says
	}
	if _, ok := mdns.IsDomainName(name); !ok {
		return "", "", fmt.Errorf("%q is not a domain name", name)
	}
	return name, qtype, nil
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
	for _, vpc := range plan.VPCs {
		l.mu.Lock()
		running := l.resolvers[resolverKey(vpc)]
		l.mu.Unlock()
		if running == nil || only != nil && only.VPC != vpc.Name {
			continue
		}
		names := map[netip.Addr]string{}
		for _, instance := range vpc.Instances {
			names[instance.IP] = plan.ShortName(instance)
		}
		stop := running.server.Watch(func(q dns.Query) {
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
		Time: q.Time, VPC: vpc, From: from, Asker: q.Asker, Transport: "udp", Name: strings.TrimSuffix(q.Name, "."), Type: q.Type,
		Code: q.Code, Source: q.Source, Data: append([]string{}, q.Data...), Bytes: q.Size, Micros: q.Took.Microseconds(),
	}
	if q.TCP {
		out.Transport = "tcp"
	}
	return out
}
