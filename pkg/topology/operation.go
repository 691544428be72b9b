package topology

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Addition is a service or an endpoint that a lab got while it runs, beside
// those of its file.
type Addition struct {
	Key   string `json:"key"` // of the file: endpoints or endpoint_services
	Name  string `json:"name"`
	Value string `json:"value"` // YAML, as it could stand in the file
}

// Operation is something that an account does to the control plane of a
// running lab, as data: commands, checks and tests say it in the same way.
// Which fields a verb needs, OperationKeys says; the others are empty.
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

// OperationKeys are the verbs, with the keys that each needs and may have
// beside verb and as.
var OperationKeys = map[string]struct{ Needs, May []string }{
	"service-show":      {Needs: []string{"service"}},
	"service-set":       {Needs: []string{"service"}, May: []string{"description", "auto_accept", "zone_affinity", "bandwidth"}},
	"service-create":    {Needs: []string{"service"}},
	"service-delete":    {Needs: []string{"service"}},
	"whitelist-add":     {Needs: []string{"service", "account"}},
	"whitelist-remove":  {Needs: []string{"service", "account"}},
	"attach":            {Needs: []string{"service", "resource"}, May: []string{"zone"}},
	"detach":            {Needs: []string{"service", "resource"}, May: []string{"zone"}},
	"endpoint-create":   {Needs: []string{"endpoint"}},
	"endpoint-delete":   {Needs: []string{"endpoint"}},
	"endpoint-set":      {Needs: []string{"endpoint"}, May: []string{"description", "zone_affinity", "private_dns"}},
	"zone-add":          {Needs: []string{"endpoint", "zone"}},
	"zone-remove":       {Needs: []string{"endpoint", "zone"}},
	"group-add":         {Needs: []string{"endpoint", "security_group"}},
	"group-remove":      {Needs: []string{"endpoint", "security_group"}},
	"accept":            {Needs: []string{"service", "endpoint"}, May: []string{"bandwidth", "resources"}},
	"reject":            {Needs: []string{"service", "endpoint"}},
	"bandwidth":         {Needs: []string{"service", "endpoint", "bandwidth"}},
	"zone-enable":       {Needs: []string{"service", "endpoint", "zone"}},
	"zone-disable":      {Needs: []string{"service", "endpoint", "zone"}},
	"replace":           {Needs: []string{"service", "endpoint", "zone"}, May: []string{"resource", "force"}},
	"release":           {Needs: []string{"service", "endpoint", "zone"}},
	"gateway-create":    {Needs: []string{"nat_gateway"}},
	"gateway-delete":    {Needs: []string{"nat_gateway"}},
	"nat-ip-create":     {Needs: []string{"nat_gateway"}, May: []string{"nat_ip"}},
	"nat-ip-delete":     {Needs: []string{"nat_gateway", "nat_ip"}},
	"entry-create":      {Needs: []string{"nat_gateway", "entry", "nat_ip", "endpoint", "access_ip", "access_port"}, May: []string{"zone", "nat_port", "protocol", "domain"}},
	"entry-modify":      {Needs: []string{"nat_gateway", "entry"}, May: []string{"nat_ip", "nat_port", "protocol", "endpoint", "zone", "access_ip", "access_port", "domain"}},
	"entry-delete":      {Needs: []string{"nat_gateway", "entry"}},
	"server-register":   {Needs: []string{"server_group", "server"}, May: []string{"weight"}},
	"server-deregister": {Needs: []string{"server_group", "server"}},
	"server-weight":     {Needs: []string{"server_group", "server", "weight"}},
}

// Verbs are those of operations, in alphabetical order.
func Verbs() []string {
	var out []string
	for verb := range OperationKeys {
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
	offer, err := p.Offer(r.LoadBalancer)
	if err != nil {
		return r, err
	}
	for _, known := range offer.Resources {
		if known.Zone == r.Zone {
			return known, nil
		}
	}
	return r, fmt.Errorf("%s %q is not in zone %q", offer.Kind, offer.Name, r.Zone)
}
