package topofile

import (
	"net/netip"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/plinksim/plinksim/pkg/topology"
)

type rawOperation struct {
	Verb          value[string]           `yaml:"verb,required" doc:"what is done" enum:"accept|reject|bandwidth|zone-enable|zone-disable|replace|release|service-show|service-set|service-create|service-delete|whitelist-add|whitelist-remove|attach|detach|endpoint-create|endpoint-delete|endpoint-set|zone-add|zone-remove|group-add|group-remove|gateway-create|gateway-delete|nat-ip-create|nat-ip-delete|entry-create|entry-modify|entry-delete|server-register|server-deregister|server-weight"`
	As            value[string]           `yaml:"as" doc:"the account that does it; the one that may where it is missing"`
	Service       value[string]           `yaml:"service" doc:"the endpoint service"`
	Endpoint      value[string]           `yaml:"endpoint" doc:"the endpoint"`
	Zone          value[string]           `yaml:"zone" doc:"the zone"`
	Account       value[string]           `yaml:"account" doc:"the account that comes on the whitelist or leaves it"`
	Resource      value[string]           `yaml:"resource" doc:"a load balancer: to attach or detach, or the new one of a zone"`
	Resources     sequence[value[string]] `yaml:"resources" doc:"load balancers chosen by hand, such as clb1@eu-central-1b, one for a zone"`
	SecurityGroup value[string]           `yaml:"security_group" doc:"a group of the endpoint's VPC"`
	Bandwidth     value[megabits]         `yaml:"bandwidth" doc:"Mbit/s of a connection in each direction, or none for no limit"`
	Force         value[bool]             `yaml:"force" doc:"replace at once: sessions through the old load balancer end"`
	Description   value[string]           `yaml:"description" doc:"a text for people"`
	AutoAccept    value[bool]             `yaml:"auto_accept" doc:"connect endpoints without asking the owner"`
	ZoneAffinity  value[bool]             `yaml:"zone_affinity" doc:"an endpoint's name leads to the asker's zone first"`
	PrivateDNS    value[bool]             `yaml:"private_dns" doc:"the endpoint's VPC knows it by the private DNS name of its service"`
	NATGateway    value[string]           `yaml:"nat_gateway" doc:"the NAT gateway"`
	Entry         value[string]           `yaml:"entry" doc:"a FullNAT entry of the gateway"`
	NATIP         value[netip.Addr]       `yaml:"nat_ip" doc:"a NAT IP of the gateway; one that is free where none is named for nat-ip-create"`
	NATPort       value[int]              `yaml:"nat_port" doc:"the port of the NAT IP; a free one where none is named" range:"1..65535"`
	Protocol      value[string]           `yaml:"protocol" doc:"tcp where it is missing" enum:"tcp|udp"`
	AccessIP      value[netip.Addr]       `yaml:"access_ip" doc:"the address of the user's server"`
	AccessPort    value[int]              `yaml:"access_port" doc:"the port of the user's server" range:"1..65535"`
	Domain        value[string]           `yaml:"domain" doc:"a name for the NAT IP in /etc/hosts of the provider's instances"`
	ServerGroup   value[string]           `yaml:"server_group" doc:"the server group"`
	Server        value[string]           `yaml:"server" doc:"an instance of the group's VPC with the port that it serves on, such as ecs2:80"`
	Weight        value[int]              `yaml:"weight" doc:"its share of the sessions, 0 takes no new ones" range:"0..100"`
	Node          *yaml.Node
}

// operation reads what a check does to the control plane. Where it is to be
// refused, what it names need not exist: that may be the point.
func (b *builder) operation(who string, raw *rawOperation, refused bool) *topology.Operation {
	o := &topology.Operation{
		Verb: raw.Verb.V, As: raw.As.V, Service: raw.Service.V, Endpoint: raw.Endpoint.V, Zone: raw.Zone.V,
		Account: raw.Account.V, Resource: raw.Resource.V, SecurityGroup: raw.SecurityGroup.V, Force: raw.Force.V,
		Bandwidth: (*int)(pointer(raw.Bandwidth)), Description: pointer(raw.Description),
		AutoAccept: pointer(raw.AutoAccept), ZoneAffinity: pointer(raw.ZoneAffinity),
		PrivateDNS: pointer(raw.PrivateDNS),
		NATGateway: raw.NATGateway.V, Entry: raw.Entry.V, NATIP: raw.NATIP.V, NATPort: uint16(raw.NATPort.V),
		Protocol: raw.Protocol.V, AccessIP: raw.AccessIP.V, AccessPort: uint16(raw.AccessPort.V), Domain: pointer(raw.Domain),
		ServerGroup: raw.ServerGroup.V, Server: raw.Server.V, Weight: pointer(raw.Weight),
	}
	for _, ref := range raw.Resources.Items {
		r, err := topology.ParseResource(ref.V)
		if err != nil && ref.given() {
			b.problem(ref.Node, "write it like clb1@eu-central-1b", "%s: %v", who, err)
		}
		o.Resources = append(o.Resources, r)
	}
	b.operationKeys(who, raw)
	if !refused {
		b.operationNames(who, raw)
	}
	return o
}

// pointer is nil for a value that was not given.
func pointer[T any](v value[T]) *T {
	if !v.given() {
		return nil
	}
	return &v.V
}

func (b *builder) operationKeys(who string, raw *rawOperation) {
	keys, known := topology.OperationKeys[raw.Verb.V]
	if !known {
		return
	}
	for _, k := range []struct {
		name string
		node *yaml.Node
		bad  bool
	}{
		{"service", raw.Service.Node, raw.Service.Bad}, {"endpoint", raw.Endpoint.Node, raw.Endpoint.Bad},
		{"zone", raw.Zone.Node, raw.Zone.Bad}, {"account", raw.Account.Node, raw.Account.Bad},
		{"resource", raw.Resource.Node, raw.Resource.Bad}, {"resources", raw.Resources.Node, false},
		{"security_group", raw.SecurityGroup.Node, raw.SecurityGroup.Bad}, {"bandwidth", raw.Bandwidth.Node, raw.Bandwidth.Bad},
		{"force", raw.Force.Node, raw.Force.Bad}, {"description", raw.Description.Node, raw.Description.Bad},
		{"auto_accept", raw.AutoAccept.Node, raw.AutoAccept.Bad}, {"zone_affinity", raw.ZoneAffinity.Node, raw.ZoneAffinity.Bad},
		{"private_dns", raw.PrivateDNS.Node, raw.PrivateDNS.Bad},
		{"nat_gateway", raw.NATGateway.Node, raw.NATGateway.Bad}, {"entry", raw.Entry.Node, raw.Entry.Bad},
		{"nat_ip", raw.NATIP.Node, raw.NATIP.Bad}, {"nat_port", raw.NATPort.Node, raw.NATPort.Bad}, {"protocol", raw.Protocol.Node, raw.Protocol.Bad},
		{"access_ip", raw.AccessIP.Node, raw.AccessIP.Bad}, {"access_port", raw.AccessPort.Node, raw.AccessPort.Bad}, {"domain", raw.Domain.Node, raw.Domain.Bad},
		{"server_group", raw.ServerGroup.Node, raw.ServerGroup.Bad}, {"server", raw.Server.Node, raw.Server.Bad},
		{"weight", raw.Weight.Node, raw.Weight.Bad},
	} {
		needed := slices.Contains(keys.Needs, k.name)
		switch {
		case k.node == nil && !k.bad && needed:
			b.problem(raw.Node, "add "+k.name, "%s: %s needs %s", who, raw.Verb.V, k.name)
		case k.node != nil && !needed && !slices.Contains(keys.May, k.name):
			b.problem(k.node, "remove it", "%s: %s has no %s", who, raw.Verb.V, k.name)
		}
	}
}

func (b *builder) operationNames(who string, raw *rawOperation) {
	refer(b, who, raw.As, b.plan.Account)
	if raw.Account.V != topology.Everybody {
		refer(b, who, raw.Account, b.plan.Account)
	}
	refer(b, who, raw.NATGateway, b.plan.NATGateway)
	refer(b, who, raw.Resource, b.plan.Offer)
	refer(b, who, raw.ServerGroup, b.plan.ServerGroup)
	service := refer(b, who, raw.Service, b.plan.Service)
	endpoint := refer(b, who, raw.Endpoint, b.plan.Endpoint)
	if endpoint == nil || b.bad["endpoint "+endpoint.Name] {
		return
	}
	if service != nil && endpoint.Service != service.Name {
		b.problem(raw.Endpoint.Node, "write service: "+endpoint.Service, "%s: endpoint %q leads to endpoint service %q, not %q", who, endpoint.Name, endpoint.Service, service.Name)
	}
	refer(b, who, raw.Zone, endpoint.Zone)
	if vpc, err := b.plan.VPC(endpoint.VPC); err == nil {
		refer(b, who, raw.SecurityGroup, vpc.SecurityGroup)
	}
}
