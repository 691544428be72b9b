package topofile

import (
	"net/netip"
	"time"

	"go.yaml.in/yaml/v3"
)

// The raw structs mirror the file, key by key, and drive both the reader and
// the JSON Schema. They share no type with the Plan: the file may change its
// look while the Plan keeps its shape, and the other way round.
//
// Tags: yaml is the key, "required" where it must be there; doc is the text of
// the schema and of hints; enum are the only values; later are values that the
// clouds know and plinksim refuses; range bounds a number. A field _ of the type more
// goes on with the doc of the one above.

type rawTopology struct {
	Name          value[string]             `yaml:"name,required" doc:"the name of the lab"`
	Cloud         value[string]             `yaml:"cloud,required" doc:"whose names, defaults" enum:"alibaba|aws|rfc"`
	_             more                      `doc:"and behaviour"`
	Region        value[string]             `yaml:"region,required" doc:"the region that all of it is in, such as"`
	_             more                      `doc:"eu-central-1"`
	Accounts      sequence[value[string]]   `yaml:"accounts" doc:"the accounts that own what is below; one where none"`
	_             more                      `doc:"is named"`
	VPCs          named[rawVPC]             `yaml:"vpcs,required" doc:"virtual private clouds by name; their addresses"`
	_             more                      `doc:"may overlap"`
	Peerings      named[rawPeering]         `yaml:"peerings" doc:"ways between the addresses of two VPCs, by name"`
	ServerGroups  named[rawServerGroup]     `yaml:"server_groups" doc:"backends by name of the group (target groups at"`
	_             more                      `doc:"AWS)"`
	LoadBalancers named[rawLoadBalancer]    `yaml:"load_balancers" doc:"load balancers by name"`
	NATGateways   named[rawNATGateway]      `yaml:"nat_gateways" doc:"NAT gateways by name: from a provider's VPC to"`
	_             more                      `doc:"servers of its users"`
	Services      named[rawEndpointService] `yaml:"endpoint_services" doc:"endpoint services by name: load balancers"`
	_             more                      `doc:"or a NAT gateway offered to endpoints"`
	Endpoints     named[rawEndpoint]        `yaml:"endpoints" doc:"endpoints by name: ways from a VPC to a service"`
	PrivateZones  named[rawPrivateZone]     `yaml:"private_zones" doc:"domains that some VPCs know, by name of the"`
	_             more                      `doc:"zone"`
	PublicZones   named[rawPublicZone]      `yaml:"public_zones" doc:"domains that every VPC knows, by name of the"`
	_             more                      `doc:"zone"`
	Transition    value[time.Duration]      `yaml:"transition" doc:"how long states on the way, such as Connecting,"`
	_             more                      `doc:"last, so that they can be seen, such as 2s; up to 1m, 0s where it"`
	_             more                      `doc:"is missing"`
	MaxSessions   value[int]                `yaml:"max_sessions" doc:"how many sessions there may be at a time, 245 bytes" range:"1..536870912"`
	_             more                      `doc:"for each that is there; 262144 where it is missing"`
	Quotas        rawQuotas                 `yaml:"quotas" doc:"how many of something there may be; the cloud's where"`
	_             more                      `doc:"a key is missing, 0 for no limit"`
	Hosts         named[rawHost]            `yaml:"hosts" doc:"the machines that the lab is spread over, by name;"`
	_             more                      `doc:"one where the key is missing"`
	Underlay      *rawUnderlay              `yaml:"underlay" doc:"the network between the hosts"`
	Checks        sequence[rawCheck]        `yaml:"checks" doc:"verification steps, done in this order"`
}

type rawVPC struct {
	Account value[string]       `yaml:"account" doc:"its owner; may be left out where there is one account, or one called default"`
	CIDR    value[netip.Prefix] `yaml:"cidr,required" doc:"the VPC's addresses, such as 10.0.0.0/16"`
	// AssociateVpcCidrBlock of both clouds.
	SecondaryCIDRs sequence[value[netip.Prefix]] `yaml:"secondary_cidrs" doc:"more blocks of addresses in which subnets can be,"`
	_              more                          `doc:"such as 10.1.0.0/16"`
	IPv6CIDR       value[ipv6Block]              `yaml:"ipv6_cidr" doc:"its IPv6 addresses, such as 2001:db8:1::/56; none"`
	_              more                          `doc:"where it is missing"`
	MTU            value[int]                    `yaml:"mtu" doc:"the longest IP packet that its links carry; the cloud's" range:"576..65535"`
	_              more                          `doc:"where it is missing"`
	Subnets        named[rawSubnet]              `yaml:"subnets" doc:"subnets by name (vSwitches at Alibaba Cloud)"`
	SecurityGroups named[rawSecurityGroup]       `yaml:"security_groups" doc:"security groups by name"`
	Instances      named[rawInstance]            `yaml:"instances" doc:"servers by name"`
	// EC2's attributes enableDnsSupport and enableDnsHostnames of a VPC.
	DNSSupport   value[bool] `yaml:"dns_support" doc:"the VPC has a resolver; aws only, true where it is missing"`
	DNSHostnames value[bool] `yaml:"dns_hostnames" doc:"its endpoints can have private DNS names; aws only, false"`
	_            more        `doc:"where it is missing"`
	// Route 53 Resolver and Alibaba Cloud PrivateZone call it forwarding rules.
	DNSUpstreams sequence[value[netip.Addr]] `yaml:"dns_upstreams" doc:"addresses of DNS servers in the VPC, such as"`
	_            more                        `doc:"an instance's, that its resolver asks for names that are not the"`
	_            more                        `doc:"lab's; it refuses them where there is none"`
	Tags         tagSet                      `yaml:"tags" doc:"what users say of it, by key; commands take the value of Name for its name"`
	Node         *yaml.Node
	Count        counted `yaml:"count" doc:"how many of these there are, NAME-1 and so on, with $n for the number in"`
	_            more    `doc:"their values; one where it is missing"`
}

type rawSubnet struct {
	Zone value[string]       `yaml:"zone,required" doc:"the zone it is in, such as eu-central-1b"`
	CIDR value[netip.Prefix] `yaml:"cidr,required" doc:"its part of the VPC's addresses, such as 10.0.0.0/24"`

	IPv6CIDR value[ipv6Block] `yaml:"ipv6_cidr" doc:"its part of the VPC's IPv6 addresses, such as 2001:db8:1::/64;"`
	_        more             `doc:"what is in it has IPv6 then"`
	Tags     tagSet           `yaml:"tags" doc:"what users say of it, by key; commands take the value of Name for its name"`
	Count    counted          `yaml:"count" doc:"how many of these there are, NAME-1 and so on, with $n for the number in"`
	_        more             `doc:"their values; one where it is missing"`
}

type rawSecurityGroup struct {
	Ingress sequence[rawIngressRule] `yaml:"ingress" doc:"what may come to the members; nothing where it is empty"`
	Egress  sequence[rawEgressRule]  `yaml:"egress" doc:"what members may send; everything where the key is missing"`
	Tags    tagSet                   `yaml:"tags" doc:"what users say of it, by key; commands take the value of Name for its name"`
	Count   counted                  `yaml:"count" doc:"how many of these there are, NAME-1 and so on, with $n for the number in"`
	_       more                     `doc:"their values; one where it is missing"`
}

type rawIngressRule struct {
	Protocol value[string] `yaml:"protocol,required" doc:"what the rule is about" enum:"tcp|udp|icmp|all"`
	Ports    value[ports]  `yaml:"ports" doc:"a destination port such as 80 or a range such as 8000-8080; all where"`
	_        more          `doc:"it is missing"`
	Source   peers         `yaml:"source,required" doc:"where it comes from: blocks such as 10.0.0.0/16 or ::/0,"`
	_        more          `doc:"or a security group of the VPC, whose members are meant; one or a list"`
	Action   value[string] `yaml:"action" doc:"allow where it is missing" enum:"allow|deny"`
	Priority value[int]    `yaml:"priority" doc:"rules with 1 are asked first; 1 where it is missing" range:"1..100"`
	Node     *yaml.Node
}

type rawEgressRule struct {
	Protocol    value[string] `yaml:"protocol,required" doc:"what the rule is about" enum:"tcp|udp|icmp|all"`
	Ports       value[ports]  `yaml:"ports" doc:"a destination port such as 80 or a range such as 8000-8080; all"`
	_           more          `doc:"where it is missing"`
	Destination peers         `yaml:"destination,required" doc:"where it goes: blocks such as 10.0.0.0/16 or ::/0,"`
	_           more          `doc:"or a security group of the VPC, whose members are meant; one or a list"`
	Action      value[string] `yaml:"action" doc:"allow where it is missing" enum:"allow|deny"`
	Priority    value[int]    `yaml:"priority" doc:"rules with 1 are asked first; 1 where it is" range:"1..100"`
	_           more          `doc:"missing"`
	Node        *yaml.Node
}

type rawInstance struct {
	Subnet         value[string]                `yaml:"subnet,required" doc:"the subnet it is in"`
	IP             value[netip.Addr]            `yaml:"ip" doc:"its address in the subnet; chosen where it is missing"`
	IPv6           value[ipv6Addr]              `yaml:"ipv6" doc:"its IPv6 address, where the subnet has an ipv6_cidr;"`
	_              more                         `doc:"chosen where it is missing"`
	SecurityGroups sequence[value[string]]      `yaml:"security_groups" doc:"groups of its VPC; without one, its"`
	_              more                         `doc:"default group at aws, and elsewhere nothing is filtered"`
	Services       sequence[rawInstanceService] `yaml:"services" doc:"what answers on it"`
	Env            sequence[value[string]]      `yaml:"env" doc:"variables of its programs, each as NAME=VALUE:"`
	_              more                         `doc:"of those of command, and of exec"`

	State value[string] `yaml:"state" doc:"stopped is switched off: it keeps its addresses and nothing runs on it; running where it is missing" enum:"running|stopped"`

	SourceDestCheck value[bool] `yaml:"source_dest_check" doc:"it may send from its own addresses and MAC only; what the cloud does where it is missing"`
	Tags            tagSet      `yaml:"tags" doc:"what users say of it, by key; commands take the value of Name for its name"`
	Count           counted     `yaml:"count" doc:"how many of these there are, NAME-1 and so on, with $n for the number in"`
	_               more        `doc:"their values; one where it is missing"`
}

type rawInstanceService struct {
	HTTP    value[int]    `yaml:"http" doc:"port of a web server that answers every request with the" range:"1..65535"`
	_       more          `doc:"body"`
	Echo    value[int]    `yaml:"echo" doc:"port, TCP and UDP, that sends back what it receives" range:"1..65535"`
	TCP     value[int]    `yaml:"tcp" doc:"port that sends the body to whoever connects" range:"1..65535"`
	UDP     value[int]    `yaml:"udp" doc:"port that answers every datagram with the body" range:"1..65535"`
	Command command       `yaml:"command" doc:"a program to run in the instance, with its arguments: a list, or a text that is split as a shell does"`
	Restart value[string] `yaml:"restart" doc:"when a command that has ended is started again by itself, five times in" enum:"no|on-failure|always"`
	_       more          `doc:"a row at most, after 1, 2, 4, 8 and 16 s; no where it is missing"`
	Body    value[string] `yaml:"body" doc:"what http, tcp and udp answer, with the client's address where {client}"`
	_       more          `doc:"stands; the instance's name where it is missing. With proxy_protocol,"`
	_       more          `doc:"{client} is the source in the header, {endpoint} the identifier of the"`
	_       more          `doc:"endpoint, and {proxy} source and destination, or none"`

	ProxyProtocol value[bool] `yaml:"proxy_protocol" doc:"http, tcp and echo want a PROXY protocol header at the beginning of each"`
	_             more        `doc:"connection; tcp waits for it, and echo sends a line with what it says"`

	Node *yaml.Node
}

type rawServerGroup struct {
	VPC       value[string] `yaml:"vpc,required" doc:"the VPC of its servers"`
	Protocol  value[string] `yaml:"protocol" doc:"tcp where it is missing; http and https are for an alb, tcp_udp for a listener of both at aws" enum:"tcp|udp|tcp_udp|http|https" later:"tls|tcpssl|grpc|quic|geneve"`
	Scheduler value[string] `yaml:"scheduler" doc:"whose turn it is:" enum:"wrr|rr|wlc|sch|tch" later:"qch"`
	_         more          `doc:"by weight in a smooth order (wrr), one after the other (rr), the fewest"`
	_         more          `doc:"sessions for its weight (wlc), the same for each source address (sch) or"`
	_         more          `doc:"for each source and destination with their ports (tch); wrr where it is"`
	_         more          `doc:"missing, tch at aws"`
	// proxy_protocol_v2.enabled and its header_placement are attributes of target
	// groups.
	ProxyProtocol  value[string]        `yaml:"proxy_protocol" doc:"at aws: what proxy_protocol of a listener says, for" enum:"on_first_ack_with_payload|on_first_ack"`
	_              more                 `doc:"all listeners that lead to it"`
	IPAddressType  value[string]        `yaml:"ip_address_type" doc:"which addresses of the servers" enum:"ipv4|ipv6"`
	_              more                 `doc:"are used; ipv4 where it is missing"`
	Servers        sequence[rawServer]  `yaml:"servers,required" doc:"the backends"`
	CrossZone      value[bool]          `yaml:"cross_zone" doc:"a node may pick servers of other zones; what the load"`
	_              more                 `doc:"balancer says where it is missing; not of a clb, and at alibaba of an"`
	_              more                 `doc:"alb alone"`
	HealthCheck    rawHealthCheck       `yaml:"health_check" doc:"how servers are probed; the cloud's defaults where"`
	_              more                 `doc:"it is missing"`
	FailOpen       value[bool]          `yaml:"fail_open" doc:"where no server is healthy, all of them take sessions;"`
	_              more                 `doc:"what the cloud does where it is missing"`
	SlowStart      value[time.Duration] `yaml:"slow_start" doc:"how long the weight of a server grows that became"`
	_              more                 `doc:"healthy beside others, such as 30s; not at all where it is missing"`
	Deregistration rawLeaving           `yaml:"deregistration" doc:"what becomes of the sessions of a server that is"`
	_              more                 `doc:"taken out of the group; what the cloud does where it is missing"`
	Unhealthy      rawLeaving           `yaml:"unhealthy" doc:"what becomes of the sessions of a server that has"`
	_              more                 `doc:"become unhealthy; what the cloud does where it is missing"`
	Persistence    *rawPersistence      `yaml:"persistence" doc:"of http and https: keep a client at its server by a"`
	_              more                 `doc:"cookie"`
	Keepalive      value[bool]          `yaml:"keepalive" doc:"of http and https: connections to servers outlive a"`
	_              more                 `doc:"request; the cloud's default where it is missing"`
	Tags           tagSet               `yaml:"tags" doc:"what users say of it, by key; commands take the value of Name for its name"`
	Count          counted              `yaml:"count" doc:"how many of these there are, NAME-1 and so on, with $n for the number in"`
	_              more                 `doc:"their values; one where it is missing"`
}

type rawLeaving struct {
	Delay     value[time.Duration] `yaml:"delay" doc:"how long they go on in any case, such as 300s"`
	Terminate value[bool]          `yaml:"terminate" doc:"remove them then; else they go on until they end"`
}

type rawServer struct {
	Instance     value[string]     `yaml:"instance" doc:"an instance of the group's VPC"`
	IP           value[netip.Addr] `yaml:"ip" doc:"an address in a subnet of the group's VPC, instead of an instance"`
	LoadBalancer value[string]     `yaml:"load_balancer" doc:"an alb of the group's VPC, instead of an instance; the"`
	_            more              `doc:"only server of an nlb's group, not at alibaba"`
	Port         value[int]        `yaml:"port,required" doc:"the port that it serves on; of an alb" range:"1..65535"`
	_            more              `doc:"that of one of its listeners"`
	Weight       value[int]        `yaml:"weight" doc:"its share of the sessions; 100 where it is" range:"0..100"`
	_            more              `doc:"missing, 0 takes no new ones"`
	Node         *yaml.Node
}

type rawHealthCheck struct {
	Protocol  value[string]        `yaml:"protocol" doc:"tcp connects, http asks for a page, udp sends a datagram and takes silence for health; none counts every server as healthy" enum:"tcp|http|udp|none" later:"https|grpc"`
	Port      value[int]           `yaml:"port" doc:"the port to probe; the server's where it is" range:"1..65535"`
	_         more                 `doc:"missing"`
	Interval  value[time.Duration] `yaml:"interval" doc:"time between two probes, such as 2s"`
	Timeout   value[time.Duration] `yaml:"timeout" doc:"how long a probe waits, such as 5s"`
	Healthy   value[int]           `yaml:"healthy" doc:"successes in a row that make a server healthy" range:"1..10"`
	_         more                 `doc:"again"`
	Unhealthy value[int]           `yaml:"unhealthy" doc:"failures in a row that make it unhealthy" range:"1..10"`
	Method    value[string]        `yaml:"method" doc:"of http: how it asks" enum:"GET|HEAD"`
	Path      value[string]        `yaml:"path" doc:"of http: what it asks for, such as /health; / where it is missing"`
	Host      value[string]        `yaml:"host" doc:"of http: the Host header; the server's address where it is"`
	_         more                 `doc:"missing"`
	Codes     codes                `yaml:"codes" doc:"of http: the answers that are successes, such as 200-399 or"`
	_         more                 `doc:"http_2xx; the cloud's default where it is missing"`
	Request   value[string]        `yaml:"request" doc:"of udp: what is sent"`
	Response  value[string]        `yaml:"response" doc:"of udp: the only answer that is a success; any, and silence"`
	_         more                 `doc:"too, where it is missing"`
}

type rawLoadBalancer struct {
	Type          value[string]         `yaml:"type,required" doc:"clb is in one zone," enum:"clb|nlb|alb" later:"gwlb"`
	_             more                  `doc:"nlb in one or more, both of layer 4; alb is in two or more, of layer 7"`
	VPC           value[string]         `yaml:"vpc,required" doc:"the VPC that it is in"`
	Subnets       placements            `yaml:"subnets,required" doc:"a subnet for each of its zones"`
	Listeners     sequence[rawListener] `yaml:"listeners,required" doc:"the ports that it accepts sessions on"`
	IPAddressType value[string]         `yaml:"ip_address_type" doc:"dualstack has IPv6" enum:"ipv4|dualstack"`
	_             more                  `doc:"addresses too, for which its subnets need an ipv6_cidr; ipv4 where it is"`
	_             more                  `doc:"missing; nlb only"`
	// What SetSecurityGroups has at AWS.
	SecurityGroups sequence[value[string]] `yaml:"security_groups" doc:"at aws: groups of its VPC that judge what"`
	_              more                    `doc:"comes to it, by the client's address; an alb's judge what its nodes send too. Nothing is filtered where there is none"`
	Enforce        value[string]           `yaml:"enforce_security_groups_on_private_link" doc:"of an nlb: whether they judge" enum:"on|off"`
	_              more                    `doc:"what comes through endpoints too; on where it is missing"`
	CrossZone      value[bool]             `yaml:"cross_zone" doc:"a node may pick servers of other zones; where it is"`
	_              more                    `doc:"missing true of an alb, else false"`
	SecondaryIPs   value[int]              `yaml:"secondary_ips" doc:"IPv4 addresses of each node beside its" range:"0..7"`
	_              more                    `doc:"own, from which servers see sessions too, each with"`
	_              more                    `doc:"NAT ports of its own; of an nlb, not at alibaba"`
	Tags           tagSet                  `yaml:"tags" doc:"what users say of it, by key; commands take the value of Name for its name"`
	Count          counted                 `yaml:"count" doc:"how many of these there are, NAME-1 and so on, with $n for the number in"`
	_              more                    `doc:"their values; one where it is missing"`
}

type rawListener struct {
	Protocol    value[string]        `yaml:"protocol,required" doc:"what it accepts" enum:"tcp|udp|tcp_udp|http|https" later:"quic|tls|tcpssl"`
	Port        value[int]           `yaml:"port,required" doc:"the port" range:"1..65535"`
	ServerGroup value[string]        `yaml:"server_group" doc:"where sessions go, and requests that no rule"`
	_           more                 `doc:"is for; http and https can have split, fixed_response or redirect instead"`
	IdleTimeout value[time.Duration] `yaml:"idle_timeout" doc:"how long a session may be silent, such as 900s; the"`
	_           more                 `doc:"cloud's default where it is missing"`
	// The names of the places are the values of an attribute of AWS target
	// groups: proxy_protocol_v2.client_to_server.header_placement.
	ProxyProtocol value[string] `yaml:"proxy_protocol" doc:"tell servers who the consumer is, in a PROXY protocol v2 header: with the first bytes that the consumer sends, or at once; nlb only; no header where it is missing" enum:"on_first_ack_with_payload|on_first_ack"`
	TOA           value[bool]   `yaml:"toa" doc:"of tcp: tell servers who the consumer is, in a TCP option of the first segments"`
	// The rest is of http and https; alb.go has what it is made of.
	RequestTimeout value[time.Duration]      `yaml:"request_timeout" doc:"of http and https: how long a server may be"`
	_              more                      `doc:"silent before the client is told 504, such as 60s; the cloud's"`
	_              more                      `doc:"default where it is missing"`
	Rules          sequence[rawListenerRule] `yaml:"rules" doc:"of http and https: requests that do not go to the"`
	_              more                      `doc:"server group"`
	Split          sequence[rawShare]        `yaml:"split" doc:"of http and https: server groups that share those"`
	_              more                      `doc:"requests by weights"`
	FixedResponse  *rawFixedResponse         `yaml:"fixed_response" doc:"of http and https: how the load balancer"`
	_              more                      `doc:"answers them by itself"`
	Redirect       *rawRedirect              `yaml:"redirect" doc:"of http and https: where their clients are sent;"`
	_              more                      `doc:"what is missing stays as it was asked for"`
	Forwarded      sequence[value[string]]   `yaml:"forwarded" doc:"of http and https: what servers are told in"`
	_              more                      `doc:"headers beside X-Forwarded-For: proto, port, client_port, slb_id;"`
	_              more                      `doc:"the cloud's default where it is missing"`
	Certificates   sequence[rawCertificate]  `yaml:"certificates" doc:"of https: the first is for clients that name no"`
	_              more                      `doc:"host; the lab makes one where the key is missing"`
	Node           *yaml.Node
}

type rawNATGateway struct {
	Type    value[string]               `yaml:"type,required" doc:"how it serves" enum:"FullNat" later:"Geneve"`
	_       more                        `doc:"endpoints: FullNat leads to the addresses that full_nat lists"`
	VPC     value[string]               `yaml:"vpc,required" doc:"the VPC that it is in, the provider's; its account"`
	_       more                        `doc:"owns the gateway"`
	Subnet  value[string]               `yaml:"subnet,required" doc:"the subnet that it is in"`
	IP      value[netip.Addr]           `yaml:"ip" doc:"its own address in the subnet, which is a NAT IP too; chosen"`
	_       more                        `doc:"where it is missing"`
	NATCIDR value[netip.Prefix]         `yaml:"nat_cidr" doc:"the block of its NAT IPs; that of the subnet where it is"`
	_       more                        `doc:"missing"`
	NATIPs  sequence[value[netip.Addr]] `yaml:"nat_ips" doc:"addresses that the provider's instances connect to, such"`
	_       more                        `doc:"as [172.16.0.5]"`
	FullNAT named[rawFullNATEntry]      `yaml:"full_nat" doc:"FullNAT entries by name: where each NAT IP and port"`
	_       more                        `doc:"leads"`
	Tags    tagSet                      `yaml:"tags" doc:"what users say of it, by key; commands take the value of Name for its name"`
	Count   counted                     `yaml:"count" doc:"how many of these there are, NAME-1 and so on, with $n for the number in"`
	_       more                        `doc:"their values; one where it is missing"`
}

type rawFullNATEntry struct {
	NATIP      value[netip.Addr] `yaml:"nat_ip,required" doc:"the NAT IP that the provider's instances connect to"`
	NATPort    value[int]        `yaml:"nat_port" doc:"and the port; a free one is chosen where it is" range:"1..65535"`
	_          more              `doc:"missing"`
	Protocol   value[string]     `yaml:"protocol" doc:"tcp where it is missing" enum:"tcp|udp"`
	Endpoint   value[string]     `yaml:"endpoint,required" doc:"the reverse endpoint in the user's VPC: ep1, or"`
	_          more              `doc:"ep1@ZONE where it is in several zones"`
	AccessIP   value[netip.Addr] `yaml:"access_ip,required" doc:"the address of the user's server (AccessIp)"`
	AccessPort value[int]        `yaml:"access_port,required" doc:"the port of the user's server" range:"1..65535"`
	_          more              `doc:"(AccessPort)"`
	Domain     value[string]     `yaml:"domain" doc:"a name for the NAT IP in /etc/hosts of the provider's instances,"`
	_          more              `doc:"such as mysql1.com (AccessDomain)"`
}

type rawEndpointService struct {
	Account   value[string]           `yaml:"account" doc:"its owner; that of its resources where it is missing"`
	Resources sequence[value[string]] `yaml:"resources" doc:"the load balancers that it offers, or the NAT"`
	_         more                    `doc:"gateways"`
	// ServiceResourceType of CreateVpcEndpointService.
	ResourceType value[string]           `yaml:"resource_type" doc:"the type of all that it ever offers; that of its" enum:"clb|nlb|alb|nat_gateway"`
	_            more                    `doc:"resources where it is missing"`
	AutoAccept   value[bool]             `yaml:"auto_accept" doc:"connect endpoints without asking the owner; false"`
	_            more                    `doc:"where it is missing"`
	ZoneAffinity value[bool]             `yaml:"zone_affinity" doc:"an endpoint's name leads to the asker's zone"`
	_            more                    `doc:"first; false where it is missing"`
	Bandwidth    value[megabits]         `yaml:"bandwidth" doc:"Mbit/s of a connection in each direction, or none for"`
	_            more                    `doc:"no limit; the cloud's default where it is missing"`
	Whitelist    sequence[value[string]] `yaml:"whitelist" doc:"accounts that may make endpoints, or * for all; the"`
	_            more                    `doc:"owner always may"`
	Description  value[string]           `yaml:"description" doc:"a text for people"`
	Payer        value[string]           `yaml:"payer" doc:"who pays for its endpoints;" enum:"consumer|provider"`
	_            more                    `doc:"consumer where it is missing"`
	Exists       value[bool]             `yaml:"exists" doc:"false: it is not there until somebody creates it, with"`
	_            more                    `doc:"plinksim service create; true where it is missing"`
	// The key is PrivateDnsName in the EC2 API.
	PrivateDNSName value[string] `yaml:"private_dns_name" doc:"a name of its own for endpoints to use, such as"`
	_              more          `doc:"db.example.com or *.example.com; aws only"`
	Tags           tagSet        `yaml:"tags" doc:"what users say of it, by key; commands take the value of Name for its name"`
	Node           *yaml.Node
	Count          counted `yaml:"count" doc:"how many of these there are, NAME-1 and so on, with $n for the number in"`
	_              more    `doc:"their values; one where it is missing"`
}

type rawEndpoint struct {
	Type          value[string] `yaml:"type" doc:"interface where it is missing" enum:"interface" later:"gateway|gateway_load_balancer|resource|service_network|tunnel"`
	ServiceRegion value[string] `yaml:"service_region" doc:"the lab's region: endpoints do not lead to others"`

	Service        value[string]           `yaml:"service,required" doc:"the endpoint service that it leads to"`
	VPC            value[string]           `yaml:"vpc,required" doc:"the VPC that it is in; its account owns the"`
	_              more                    `doc:"endpoint"`
	Subnets        placements              `yaml:"subnets" doc:"a subnet for each of its zones"`
	IPAddressType  value[string]           `yaml:"ip_address_type" doc:"dualstack has IPv6 addresses too, for which its subnets need an ipv6_cidr and its service dualstack load balancers; ipv4 where it is missing" enum:"ipv4|dualstack" later:"ipv6"`
	SecurityGroups sequence[value[string]] `yaml:"security_groups" doc:"groups of its VPC; without one, its default"`
	_              more                    `doc:"group at aws, and elsewhere nothing is filtered"`
	ZoneAffinity   value[bool]             `yaml:"zone_affinity" doc:"its name leads to the asker's zone first; what"`
	_              more                    `doc:"its service says where it is missing"`
	PrivateDNS     value[bool]             `yaml:"private_dns" doc:"its VPC knows it by the private DNS name of its"`
	_              more                    `doc:"service, once it is accepted; aws only, false where it is missing"`
	MTU            value[int]              `yaml:"mtu" doc:"the longest IP packet that its connection carries; the" range:"576..65535"`
	_              more                    `doc:"cloud's where it is missing"`
	AnswerPing     value[bool]             `yaml:"answer_ping" doc:"a server behind it answers pings; false where"`
	_              more                    `doc:"it is missing"`
	Impairments    rawImpairments          `yaml:"impairments" doc:"what goes wrong between it and its service, in"`
	_              more                    `doc:"both directions"`
	Description    value[string]           `yaml:"description" doc:"a text for people"`
	Exists         value[bool]             `yaml:"exists" doc:"false: it is not there until somebody creates it, with"`
	_              more                    `doc:"plinksim endpoint create; true where it is missing"`
	Tags           tagSet                  `yaml:"tags" doc:"what users say of it, by key; commands take the value of Name for its name"`
	Count          counted                 `yaml:"count" doc:"how many of these there are, NAME-1 and so on, with $n for the number in"`
	_              more                    `doc:"their values; one where it is missing"`
}

type rawImpairments struct {
	Bandwidth  value[rate]          `yaml:"bandwidth" doc:"how much passes in each direction, such as 100Mbit, or"`
	_          more                 `doc:"none; the service's where it is missing"`
	Delay      value[time.Duration] `yaml:"delay" doc:"how much later packets leave, such as 10ms"`
	Jitter     value[time.Duration] `yaml:"jitter" doc:"how much more or less than the delay, such as 2ms; packets"`
	_          more                 `doc:"stay in order"`
	Loss       value[share]         `yaml:"loss" doc:"the share that vanishes, such as 1%"`
	Reorder    value[share]         `yaml:"reorder" doc:"the share that others overtake, such as 1%"`
	Duplicate  value[share]         `yaml:"duplicate" doc:"the share that comes twice, such as 1%"`
	Corrupt    value[share]         `yaml:"corrupt" doc:"the share that comes with a flipped bit, such as 1%"`
	ToProvider *rawOneWay           `yaml:"to_provider" doc:"what is different on the way to the provider"`
	ToConsumer *rawOneWay           `yaml:"to_consumer" doc:"what is different on the way to the consumer"`
	Seed       value[int]           `yaml:"seed" doc:"makes what is random another sequence, the same in every run; 0"`
	_          more                 `doc:"where it is missing"`
	Node       *yaml.Node
}

type rawOneWay struct {
	Bandwidth value[rate]          `yaml:"bandwidth" doc:"how much passes, such as 100Mbit, or none"`
	Delay     value[time.Duration] `yaml:"delay" doc:"how much later packets leave, such as 10ms"`
	Jitter    value[time.Duration] `yaml:"jitter" doc:"how much more or less than the delay, such as 2ms; packets stay"`
	_         more                 `doc:"in order"`
	Loss      value[share]         `yaml:"loss" doc:"the share that vanishes, such as 1%"`
	Reorder   value[share]         `yaml:"reorder" doc:"the share that others overtake, such as 1%"`
	Duplicate value[share]         `yaml:"duplicate" doc:"the share that comes twice, such as 1%"`
	Corrupt   value[share]         `yaml:"corrupt" doc:"the share that comes with a flipped bit, such as 1%"`
	Node      *yaml.Node
}

type rawCheck struct {
	Name       value[string]        `yaml:"name,required" doc:"a sentence that says what must be true"`
	From       value[string]        `yaml:"from" doc:"the instance that does it: ecs1, or vpc1/ecs1"`
	Get        value[string]        `yaml:"get" doc:"an http or https URL to fetch; the lab's own certificates are"`
	_          more                 `doc:"trusted"`
	Connect    value[string]        `yaml:"connect" doc:"a HOST:PORT to connect to by TCP"`
	UDP        value[string]        `yaml:"udp" doc:"a HOST:PORT to send a datagram to, which must be answered"`
	Send       value[string]        `yaml:"send" doc:"of connect and udp: a line to begin with; the answer is a line or a datagram"`
	Idle       value[time.Duration] `yaml:"idle" doc:"with send: after so long a silence the line is sent again, and its answer"`
	_          more                 `doc:"counts; divided by the time scale of the lab"`
	ServerName value[string]        `yaml:"server_name" doc:"of get and connect: the name that TLS asks for and verifies, and the Host"`
	_          more                 `doc:"of get; connect speaks TLS where it is given"`
	Parallel   value[int]           `yaml:"parallel" doc:"how many tries at a time; 1 where it is missing" range:"1..1000"`
	Resolve    value[string]        `yaml:"resolve" doc:"a name to ask the VPC's DNS server for"`
	Accept     *rawConnection       `yaml:"accept" doc:"the owner of the service accepts this connection: short for do"`
	Reject     *rawConnection       `yaml:"reject" doc:"the owner of the service rejects this connection: short for do"`
	Do         *rawOperation        `yaml:"do" doc:"an operation of the control plane, such as {verb: whitelist-add,"`
	_          more                 `doc:"service: svc1, account: a}"`
	Times      value[int]           `yaml:"times" doc:"how often; 1 where it is missing" range:"1..10000"`
	Timeout    value[time.Duration] `yaml:"timeout" doc:"of one try; 5s where it is missing"`
	Expect     rawExpect            `yaml:"expect" doc:"what must come out; success where it is missing"`
	Node       *yaml.Node
}

type rawConnection struct {
	Service  value[string] `yaml:"service,required" doc:"the endpoint service"`
	Endpoint value[string] `yaml:"endpoint,required" doc:"the endpoint"`
	Node     *yaml.Node
}

type rawExpect struct {
	Status    value[int]              `yaml:"status" doc:"the HTTP status of every answer" range:"100..599"`
	Bodies    sequence[value[string]] `yaml:"bodies" doc:"each answer is one of these, and each of these comes at"`
	_         more                    `doc:"least once; of connect, the server's first line"`
	Error     value[string]           `yaml:"error" doc:"the way in which every" enum:"timeout|refused|reset|certificate|any|$refusals"`
	_         more                    `doc:"try must fail; of do, the reason why it must be refused"`
	Addresses sequence[value[string]] `yaml:"addresses" doc:"exactly these addresses, in any order"`
	Within    value[time.Duration]    `yaml:"within" doc:"how long each try takes at most, without idle"`
	After     value[time.Duration]    `yaml:"after" doc:"how long each try takes at least, without idle"`
	Node      *yaml.Node
}
