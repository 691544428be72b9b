package status

// Head is at the beginning of whatever a command prints as JSON. Everything that is
// printed is an object with it, and a list is the value of a key that says what it lists.
// Of commands that go on, each line is such an object.
type Head struct {
	// Schema is the version of the shape: plinksim/v1. It changes when a field is removed or
	// changes its meaning; fields may be added to a version.
	Schema string `json:"schema"`
}

// NewHead is the Head of what this program prints.
func NewHead() Head { return Head{Schema} }

// EndpointServices are endpoint services as "service list" prints them.
type EndpointServices struct {
	Head
	Services []EndpointService `json:"endpoint_services"`
}

// OneEndpointService is an endpoint service as "service show" prints it.
type OneEndpointService struct {
	Head
	EndpointService
}

// Whitelist has the accounts that may create endpoints for a service, "*" for all.
type Whitelist struct {
	Head
	Whitelist []string `json:"whitelist"`
}

// Endpoints are endpoints as "endpoint list" prints them.
type Endpoints struct {
	Head
	Endpoints []Endpoint `json:"endpoints"`
}

// OneEndpoint is an endpoint as "endpoint show" prints it.
type OneEndpoint struct {
	Head
	Endpoint
}

// Connections are connections, each by its endpoint, as "connection list" prints them.
type Connections struct {
	Head
	Connections []Endpoint `json:"connections"`
}

// ServerGroups are server groups as "server list" prints them.
type ServerGroups struct {
	Head
	ServerGroups []ServerGroup `json:"server_groups"`
}

// NATGateways are NAT gateways as "nat gateway list" prints them.
type NATGateways struct {
	Head
	NATGateways []NATGateway `json:"nat_gateways"`
}

// OneNATGateway is a NAT gateway as "nat gateway show" prints it.
type OneNATGateway struct {
	Head
	NATGateway
}

// NATIPs are NAT IPs as "nat ip list" prints them.
type NATIPs struct {
	Head
	NATIPs []NATIPOf `json:"nat_ips"`
}

// NATIPOf is a NAT IP with the name of its gateway.
type NATIPOf struct {
	NATGateway string `json:"nat_gateway"`
	NATIP
}

// FullNAT are FullNAT entries as "nat entry list" prints them.
type FullNAT struct {
	Head
	Entries []FullNATEntryOf `json:"full_nat"`
}

// FullNATEntryOf is a FullNAT entry with the name of its gateway.
type FullNATEntryOf struct {
	NATGateway string `json:"nat_gateway"`
	FullNATEntry
}

// Sessions are the sessions of a lab as "sessions" prints them.
type Sessions struct {
	Head
	Sessions []Session `json:"sessions"`
}

// Checks are the results of a topology's checks, in their order.
type Checks struct {
	Head
	Checks []Check `json:"checks"`
}

// Version is the program's version.
type Version struct {
	Head
	Version string `json:"version"`
	Go      string `json:"go"` // the version that built it, and for which system
}
