package topofile

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/topology"
)

// instanceBuilder builds instances with the services on them.
type instanceBuilder struct{ *addresses }

func (b instanceBuilder) instance(vpc *topology.VPC, e *entry[rawInstance]) {
	who := fmt.Sprintf("instance %q", e.Name)
	in := topology.Instance{
		Name:      e.Name,
		ID:        b.ids.ID("i", vpc.Name+"/"+e.Name),
		VPC:       vpc.Name,
		Subnet:    e.Value.Subnet.V,
		IP:        e.Value.IP.V,
		Namespace: vpc.Namespace + "." + e.Name,
		Device:    "eth0",
		DNSName:   e.Name + "." + vpc.Name + ".internal",

		SourceCheck: e.Value.SourceDestCheck.or(b.can.SourceCheck),
		Stopped:     e.Value.State.V == topology.StateStopped,
		Tags:        e.Value.Tags.V,
	}
	subnet := refer(b.draft, who, e.Value.Subnet, vpc.Subnet)
	if subnet != nil {
		in.Zone = subnet.Zone
	}
	b.address(who, e.Value.IP, vpc, subnet)
	in.IPv6 = b.givenIPv6(who, e.Value.IPv6, vpc, subnet)
	in.SecurityGroups = b.membership(who, vpc, e.Value.SecurityGroups)
	in.Env = b.environment(who, e.Value.Env)
	for _, s := range e.Value.Services.Items {
		b.service(who, &in, s)
	}
	vpc.Instances = append(vpc.Instances, in)
}

func (b instanceBuilder) service(who string, in *topology.Instance, raw rawInstanceService) {
	if raw.Node == nil {
		return
	}
	s := topology.InstanceService{Body: raw.Body.or(in.Name)}
	kinds := 0
	for _, k := range []struct {
		kind topology.ServiceKind
		port value[int]
	}{
		{topology.HTTPService, raw.HTTP}, {topology.EchoService, raw.Echo},
		{topology.TCPService, raw.TCP}, {topology.UDPService, raw.UDP},
	} {
		if k.port.given() || k.port.Bad {
			s.Kind, s.Port = k.kind, uint16(k.port.V)
			kinds++
		}
	}
	if raw.Command.given() || raw.Command.Bad {
		s.Kind, s.Argv = topology.CommandService, raw.Command.V
		kinds++
	}
	if kinds != 1 {
		b.problem(raw.Node, "write one of http, echo, tcp, udp and command for each service",
			"%s: a service has %d kinds", who, kinds)
		return
	}
	if s.Kind == topology.CommandService || s.Kind == topology.EchoService {
		s.Body = ""
		if raw.Body.given() {
			b.problem(raw.Body.Node, "remove it", "%s: a service of kind %s has no body", who, s.Kind)
		}
	}
	if s.ProxyProtocol = raw.ProxyProtocol.V; s.ProxyProtocol && !slices.Contains(s.Kind.Transports(), topology.TCP) {
		b.problem(raw.ProxyProtocol.Node, "remove it", "%s: a service of kind %s reads no PROXY header", who, s.Kind)
	}
	if policy := raw.Restart; policy.given() {
		if s.Kind != topology.CommandService {
			b.problem(policy.Node, "remove it", "%s: a service of kind %s does not end by itself", who, s.Kind)
		}
		if policy.V != "no" {
			s.Restart = topology.RestartPolicy(policy.V)
		}
	}
	if s.Kind == topology.CommandService && raw.Command.given() && len(s.Argv) == 0 {
		b.problem(raw.Command.Node, "name a program", "%s: the command is empty", who)
	}
	if other := sharedPort(in.Services, s); other != "" {
		b.problem(raw.Node, "give one of them another port",
			"%s: services %s and %s want the same port %d", who, other, s.Kind, s.Port)
	}
	in.Services = append(in.Services, s)
}

// variable is a NAME=VALUE.
var variable = regexp.MustCompile(`(?s)^([A-Za-z_][A-Za-z0-9_]*)=[^\x00]*$`)

func (b instanceBuilder) environment(who string, raw sequence[value[string]]) (env []string) {
	known := map[string]bool{}
	for _, v := range raw.Items {
		if !v.given() {
			continue
		}
		switch m := variable.FindStringSubmatch(v.V); {
		case m == nil:
			b.problem(v.Node, "write a name of letters, digits and _, then =, then its value",
				"%s: %q is not of the form NAME=VALUE", who, v.V)
		case strings.HasPrefix(m[1], "PLINKSIM_"):
			b.problem(v.Node, "choose another name",
				"%s: plinksim itself has the variables whose names begin with PLINKSIM_", who)
		case known[m[1]]:
			b.problem(v.Node, "remove one of them", "%s: variable %s is there twice", who, m[1])
		default:
			known[m[1]] = true
			env = append(env, v.V)
		}
	}
	return env
}

// choose decides the addresses of a VPC's instances.
func (b instanceBuilder) choose(vpc *topology.VPC, raw []entry[rawInstance]) {
	for e, in := range pairs(raw, vpc.Instances) {
		in.IP = b.chosen(vpc, in.Subnet, in.IP, "instance", in.Ref(), e.Key)
		in.MAC = packet.MACOf(in.IP)
		in.IPv6 = b.chosenIPv6(vpc, vpc.MustSubnet(in.Subnet), in.IPv6, in.IP, "instance "+in.Ref())
	}
}

// sharedPort is the kind of a service that listens where s would.
func sharedPort(all []topology.InstanceService, s topology.InstanceService) topology.ServiceKind {
	for _, other := range all {
		if s.Port == 0 || other.Port != s.Port {
			continue
		}
		for _, protocol := range s.Kind.Transports() {
			if slices.Contains(other.Kind.Transports(), protocol) {
				return other.Kind
			}
		}
	}
	return ""
}
