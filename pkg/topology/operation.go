package topology

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Operation is something that an account does to the control plane of a
// running lab, as data: commands, checks and tests say it in the same way.
// Which fields a verb needs, operations says; the others are empty.
type Operation struct {
	Verb string `json:"verb"`
	As   string `json:"as,omitempty"` // the calling account; "" stands for the one that may do it

	Service       string     `json:"service,omitempty"`
	Endpoint      string     `json:"endpoint,omitempty"`
	Zone          string     `json:"zone,omitempty"`
	Account       string     `json:"account,omitempty"`  // whom a whitelist is about
	Resource      string     `json:"resource,omitempty"` // a load balancer
	SecurityGroup string     `json:"security_group,omitempty"`
	Resources     []Resource `json:"resources,omitempty"` // chosen by hand, a zone each
	Bandwidth     *int       `json:"bandwidth,omitempty"` // Mbit/s; 0: not limited
	Force         bool       `json:"force,omitempty"`
	Description   *string    `json:"description,omitempty"`
	AutoAccept    *bool      `json:"auto_accept,omitempty"`
	ZoneAffinity  *bool      `json:"zone_affinity,omitempty"`
	PrivateDNS    *bool      `json:"private_dns,omitempty"`

	NATGateway  string     `json:"nat_gateway,omitempty"`
	Entry       string     `json:"entry,omitempty"` // of the gateway's FullNAT table; its endpoint and zone are above
	NATIP       netip.Addr `json:"nat_ip,omitzero"`
	NATPort     uint16     `json:"nat_port,omitempty"`
	Protocol    string     `json:"protocol,omitempty"`
	AccessIP    netip.Addr `json:"access_ip,omitzero"`
	AccessPort  uint16     `json:"access_port,omitempty"`
	Domain      *string    `json:"domain,omitempty"`
	ServerGroup string     `json:"server_group,omitempty"`
	Server      string     `json:"server,omitempty"` // an instance of the group's VPC and its port, ecs2:80, or vpc2/ecs2:80
	Weight      *int       `json:"weight,omitempty"`

	// What is created, where the file does not have it: see Addition.
	VPC            string   `json:"vpc,omitempty"`
	Subnets        []string `json:"subnets,omitempty"`
	SecurityGroups []string `json:"security_groups,omitempty"`
	LoadBalancers  []string `json:"load_balancers,omitempty"`
}

// operationKeys are the verbs, with the keys that each needs and may have
// beside verb and as.
var operationKeys = map[string]struct{ needs, may []string }{
	"service-show":      {needs: []string{"service"}},
	"service-set":       {needs: []string{"service"}, may: []string{"description", "auto_accept", "zone_affinity", "bandwidth"}},
	"service-create":    {needs: []string{"service"}},
	"service-delete":    {needs: []string{"service"}},
	"whitelist-add":     {needs: []string{"service", "account"}},
	"whitelist-remove":  {needs: []string{"service", "account"}},
	"attach":            {needs: []string{"service", "resource"}, may: []string{"zone"}},
	"detach":            {needs: []string{"service", "resource"}, may: []string{"zone"}},
	"endpoint-create":   {needs: []string{"endpoint"}},
	"endpoint-delete":   {needs: []string{"endpoint"}},
	"endpoint-set":      {needs: []string{"endpoint"}, may: []string{"description", "zone_affinity", "private_dns"}},
	"zone-add":          {needs: []string{"endpoint", "zone"}},
	"zone-remove":       {needs: []string{"endpoint", "zone"}},
	"group-add":         {needs: []string{"endpoint", "security_group"}},
	"group-remove":      {needs: []string{"endpoint", "security_group"}},
	"accept":            {needs: []string{"service", "endpoint"}, may: []string{"bandwidth", "resources"}},
	"reject":            {needs: []string{"service", "endpoint"}},
	"bandwidth":         {needs: []string{"service", "endpoint", "bandwidth"}},
	"zone-enable":       {needs: []string{"service", "endpoint", "zone"}},
	"zone-disable":      {needs: []string{"service", "endpoint", "zone"}},
	"replace":           {needs: []string{"service", "endpoint", "zone"}, may: []string{"resource", "force"}},
	"release":           {needs: []string{"service", "endpoint", "zone"}},
	"gateway-create":    {needs: []string{"nat_gateway"}},
	"gateway-delete":    {needs: []string{"nat_gateway"}},
	"nat-ip-create":     {needs: []string{"nat_gateway"}, may: []string{"nat_ip"}},
	"nat-ip-delete":     {needs: []string{"nat_gateway", "nat_ip"}},
	"entry-create":      {needs: []string{"nat_gateway", "entry", "nat_ip", "endpoint", "access_ip", "access_port"}, may: []string{"zone", "nat_port", "protocol", "domain"}},
	"entry-modify":      {needs: []string{"nat_gateway", "entry"}, may: []string{"nat_ip", "nat_port", "protocol", "endpoint", "zone", "access_ip", "access_port", "domain"}},
	"entry-delete":      {needs: []string{"nat_gateway", "entry"}},
	"server-register":   {needs: []string{"server_group", "server"}, may: []string{"weight"}},
	"server-deregister": {needs: []string{"server_group", "server"}},
	"server-weight":     {needs: []string{"server_group", "server", "weight"}},
}

// Verbs are those of operations, in alphabetical order.
func Verbs() []string {
	var out []string
	for verb := range operationKeys {
		out = append(out, verb)
	}
	slices.Sort(out)
	return out
}

// Refusals are the ways in which an operation may be refused, as a check's
// expect.error names them.
var Refusals = []string{"not-found", "not-owner", "not-whitelisted", "wrong-state", "in-use", "invalid", "quota", "unsupported"}

// String is the operation as a sentence's end: "zone-disable svc1 ep1 zone-a".
func (o Operation) String() string {
	parts := []string{o.Verb}
	for _, text := range []string{o.NATGateway, o.Entry, addressText(o.NATIP), o.Service, o.Endpoint, o.Zone, o.Account, o.Resource, o.SecurityGroup, o.ServerGroup, o.Server} {
		if text != "" {
			parts = append(parts, text)
		}
	}
	for _, r := range o.Resources {
		parts = append(parts, r.String())
	}
	if o.Bandwidth != nil {
		parts = append(parts, FormatRate(int64(*o.Bandwidth)*1e6))
	}
	if o.Weight != nil {
		parts = append(parts, strconv.Itoa(*o.Weight))
	}
	if o.Force {
		parts = append(parts, "by force")
	}
	if o.As != "" {
		parts = append(parts, "as "+o.As)
	}
	return strings.Join(parts, " ")
}

// ParseResource reads LOAD_BALANCER@ZONE.
func ParseResource(text string) (Resource, error) {
	balancer, zone, ok := strings.Cut(text, "@")
	if !ok || balancer == "" || zone == "" {
		return Resource{}, fmt.Errorf("%q is not LOAD_BALANCER@ZONE", text)
	}
	return Resource{LoadBalancer: balancer, Zone: zone}, nil
}

// Resource is what a text names: LOAD_BALANCER@ZONE, or NAT_GATEWAY@ZONE.
func (p *Plan) Resource(text string) (Resource, error) {
	r, err := ParseResource(text)
	if err != nil {
		return r, err
	}
	offer, err := p.offerOf(r.LoadBalancer)
	if err != nil {
		return r, err
	}
	for _, known := range offer.resources {
		if known.Zone == r.Zone {
			return known, nil
		}
	}
	return r, fmt.Errorf("%s %q is not in zone %q", offer.kind, offer.name, r.Zone)
}

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
func (b *builder) operation(who string, raw *rawOperation, refused bool) *Operation {
	o := &Operation{
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
		r, err := ParseResource(ref.V)
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
	keys, known := operationKeys[raw.Verb.V]
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
		needed := slices.Contains(keys.needs, k.name)
		switch {
		case k.node == nil && !k.bad && needed:
			b.problem(raw.Node, "add "+k.name, "%s: %s needs %s", who, raw.Verb.V, k.name)
		case k.node != nil && !needed && !slices.Contains(keys.may, k.name):
			b.problem(k.node, "remove it", "%s: %s has no %s", who, raw.Verb.V, k.name)
		}
	}
}

func (b *builder) operationNames(who string, raw *rawOperation) {
	refer(b, who, raw.As, b.plan.Account)
	if raw.Account.V != Everybody {
		refer(b, who, raw.Account, b.plan.Account)
	}
	refer(b, who, raw.NATGateway, b.plan.NATGateway)
	refer(b, who, raw.Resource, b.plan.offerOf)
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
