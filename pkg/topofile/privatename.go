package topofile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/plinksim/plinksim/internal/derive"
	"github.com/plinksim/plinksim/pkg/topology"
)

// privateNameBuilder builds the private names of endpoint services, and says
// which endpoints can use them.
type privateNameBuilder struct{ *draft }

// privateName is the service's, still to be verified.
func (b privateNameBuilder) privateName(who string, v value[string], service string) *topology.PrivateName {
	if !v.given() {
		return nil
	}
	if !b.can.PrivateDNS {
		b.problem(v.Node, "write a private zone with a cname to the endpoint",
			"%s: endpoint services of %s have no private DNS name", who, b.plan.Cloud)
		return nil
	}
	p := &topology.PrivateName{Name: v.V, State: topology.PendingVerification}
	if !topology.IsDomain(p.Domain()) || !strings.Contains(p.Domain(), ".") {
		b.problem(v.Node, "write a name such as db.example.com or *.example.com",
			"%s: private_dns_name %q is not a domain name", who, v.V)
		return nil
	}
	// By the service alone: the file that holds the proof may get another name.
	p.TXTName = "_" + derive.Text("private-dns-name/"+service+"/"+p.Domain(), 20, derive.Alphanumeric) + "." + p.Domain()
	p.TXTValue = "vpce:" + derive.Text("private-dns-value/"+service+"/"+p.Domain(), 20,
		derive.Alphanumeric+"ABCDEFGHIJKLMNOPQRSTUVWXYZ")
	return p
}

// build verifies what services have and checks what endpoints want of
// it. It comes after the public zones, where the proof is.
func (b privateNameBuilder) build() {
	for i := range b.plan.Services {
		if p := b.plan.Services[i].PrivateName; p != nil {
			p.State = b.verify(p)
			if p.State != topology.Verified {
				b.warn(b.raw.Services.Entries[i].Value.PrivateDNSName.Node,
					fmt.Sprintf("to verify it, give a public zone the TXT record %s with the text %s",
						p.TXTName, p.TXTValue),
					"endpoint service %q: its private DNS name %s is %s", b.plan.Services[i].Name, p.Name, p.State)
			}
		}
	}
	for i := range b.plan.Endpoints {
		if ep := &b.plan.Endpoints[i]; ep.PrivateDNS {
			b.use(ep, b.raw.Endpoints.Entries[i].Value.PrivateDNS)
		}
	}
}

// verify looks for the record at the name, or, where the registrar takes no
// underscore, at the domain; a domain that is verified covers those below it.
func (b privateNameBuilder) verify(p *topology.PrivateName) string {
	label, domain, _ := strings.Cut(p.TXTName, ".")
	state := topology.PendingVerification
	for ; strings.Contains(domain, "."); _, domain, _ = strings.Cut(domain, ".") {
		if slices.Contains(b.texts(label+"."+domain), p.TXTValue) || slices.Contains(b.texts(domain), p.TXTValue) {
			return topology.Verified
		}
		if len(b.texts(label+"."+domain)) > 0 {
			state = topology.VerificationFailed // it is there, and says something else
		}
	}
	return state
}

func (b privateNameBuilder) texts(name string) (texts []string) {
	for _, zone := range b.plan.DNSZones {
		for _, r := range zone.Records {
			if zone.Public && r.Name == name {
				texts = append(texts, r.TXT...)
			}
		}
	}
	return texts
}

// use has what EC2 says to CreateVpcEndpoint with
// PrivateDnsEnabled.
func (b privateNameBuilder) use(ep *topology.Endpoint, v value[bool]) {
	service, err := b.plan.Service(ep.Service)
	if err != nil || b.bad["endpoint service "+ep.Service] {
		return
	}
	who := fmt.Sprintf("endpoint %q", ep.Name)
	p := service.PrivateName
	if vpc, err := b.plan.VPC(ep.VPC); err == nil && !vpc.PrivateDNS() && !b.bad["vpc "+vpc.Name] {
		b.problem(v.Node, fmt.Sprintf("write dns_hostnames: true in vpc %s, and no dns_support: false", vpc.Name),
			"%s: enabling private DNS requires both enableDnsSupport and enableDnsHostnames of vpc %q to be true",
			who, vpc.Name)
		return
	}
	switch {
	case p == nil:
		b.problem(v.Node, fmt.Sprintf("add private_dns_name: to endpoint service %q, or remove it here", service.Name),
			"%s: private DNS can't be enabled because endpoint service %q does not provide a private DNS name",
			who, service.Name)
		return
	case p.State != topology.Verified:
		b.problem(v.Node, fmt.Sprintf("give a public zone the TXT record %s with the text %s", p.TXTName, p.TXTValue),
			"%s: private DNS can't be enabled because endpoint service %q has not verified the private DNS name %s",
			who, service.Name, p.Name)
		return
	}
	for _, zone := range b.plan.DNSZones {
		if zone.Domain == p.Domain() && slices.Contains(zone.VPCs, ep.VPC) {
			b.problem(v.Node, "remove one of them",
				"%s: private DNS can't be enabled because private zone %q is %s in vpc %q already",
				who, zone.Name, zone.Domain, ep.VPC)
		}
	}
	for i := range b.plan.Endpoints {
		other := &b.plan.Endpoints[i]
		if other == ep {
			break
		}
		if s, err := b.plan.Service(other.Service); err == nil && other.PrivateDNS && other.VPC == ep.VPC &&
			s.PrivateName != nil && s.PrivateName.Domain() == p.Domain() {
			b.problem(v.Node, "enable it for one of them",
				"%s: private DNS can't be enabled because endpoint %q has the domain %s in vpc %q already",
				who, other.Name, p.Domain(), ep.VPC)
		}
	}
}
