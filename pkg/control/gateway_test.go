package control_test

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

// reverse has a NAT gateway of account a with two NAT IPs and an entry, and a
// reverse endpoint of account b in two zones.
const reverse = `name: reverse
cloud: alibaba
region: cn-beijing
accounts: [a, b, c]
vpcs:
  vpc1:
    account: a
    cidr: 172.16.0.0/16
    subnets: {h1: {zone: zone-h, cidr: 172.16.0.0/28}}
    instances: {ecs1: {subnet: h1, ip: 172.16.0.9}}
  vpc2:
    account: b
    cidr: 192.168.0.0/16
    subnets: {h2: {zone: zone-h, cidr: 192.168.0.0/24}, i2: {zone: zone-i, cidr: 192.168.1.0/24}}
    instances: {db1: {subnet: h2, ip: 192.168.0.86}, db2: {subnet: i2, ip: 192.168.1.87}}
server_groups:
  rs1: {vpc: vpc1, servers: [{instance: ecs1, port: 80}]}
load_balancers:
  clb1: {type: clb, vpc: vpc1, subnets: {h1: {ip: 172.16.0.2}}, listeners: [{protocol: tcp, port: 80, server_group: rs1}]}
nat_gateways:
  ngw1:
    type: FullNat
    vpc: vpc1
    subnet: h1
    ip: 172.16.0.4
    nat_ips: [172.16.0.5, 172.16.0.7]
    full_nat:
      db1: {nat_ip: 172.16.0.5, nat_port: 3306, endpoint: ep1@zone-h, access_ip: 192.168.0.86, access_port: 3306, domain: db1.com}
  ngw2: {type: FullNat, vpc: vpc1, subnet: h1, ip: 172.16.0.3}
endpoint_services:
  svc1: {resources: [ngw1], auto_accept: true, whitelist: [b]}
  svc2: {resources: [clb1], whitelist: [b]}
endpoints:
  ep1: {service: svc1, vpc: vpc2, subnets: [h2, i2]}
  ep2: {service: svc2, vpc: vpc2, subnets: [h2]}
`

func reversePlane(t testing.TB, text string) *control.Plane {
	t.Helper()
	plan, err := topofile.Parse("reverse.yaml", []byte(text))
	require.NoError(t, err)
	p := newPlane(t, plan)
	p.Report(p.Revision())
	return p
}

// natOp reads an operation on NAT gateways as the tables below write it:
//
//	entry-create ngw1 db2 nat=172.16.0.7:3306/tcp to=192.168.1.87:3306 ep=ep1@zone-i domain=db2.com as=a
//	nat-ip-create ngw1 172.16.0.6
func natOp(t testing.TB, text string) topology.Operation {
	t.Helper()
	words := strings.Fields(text)
	o := topology.Operation{Verb: topology.Verb(words[0])}
	for i, w := range words[1:] {
		key, value, named := strings.Cut(w, "=")
		addr, err := netip.ParseAddr(w)
		switch {
		case !named && err == nil:
			o.NATIP = addr
		case !named && strings.HasPrefix(w, "svc"):
			o.Service = w
		case !named && i == 0:
			o.NATGateway = w
		case !named:
			o.Entry = w
		case key == "as":
			o.As = value
		case key == "lb":
			o.Resource = value
		case key == "domain":
			o.Domain = &value
		case key == "ep":
			o.Endpoint, o.Zone, _ = strings.Cut(value, "@")
		case key == "to":
			to := netip.MustParseAddrPort(value)
			o.AccessIP, o.AccessPort = to.Addr(), to.Port()
		case key == "nat":
			at, protocol, _ := strings.Cut(value, "/")
			host, port, _ := strings.Cut(at, ":")
			o.Protocol = protocol
			o.NATIP, err = netip.ParseAddr(host)
			require.NoError(t, err)
			n, _ := strconv.Atoi(port)
			o.NATPort = uint16(n)
		default:
			require.Fail(t, "no such word", w)
		}
	}
	return o
}

func doNAT(t testing.TB, p *control.Plane, ops ...string) {
	t.Helper()
	for _, text := range ops {
		_, err := p.Do(natOp(t, text))
		require.NoError(t, err, text)
		p.Report(p.Revision())
	}
}

// gateways is what the control plane says of every gateway, a line each.
func gateways(p *control.Plane) string {
	var b strings.Builder
	for _, g := range p.State().NATGateways {
		fmt.Fprintf(&b, "%s %s:", g.Name, g.Status)
		for _, ip := range g.NATIPs {
			fmt.Fprintf(&b, " %s %s,", ip.IP, ip.Status)
		}
		for _, e := range g.Entries {
			fmt.Fprintf(&b, " %s %s %s %s:%d > %s@%s > %s:%d %s;", e.Name, e.Status, e.Spec.Protocol, e.Spec.NATIP, e.Spec.NATPort, e.Spec.Endpoint, e.Spec.Zone, e.Spec.AccessIP, e.Spec.AccessPort, e.Spec.Domain)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// carried is what the data plane is told, in the same words.
func carried(p *control.Plane) string {
	var b strings.Builder
	for _, g := range p.State().Plan.NATGateways {
		fmt.Fprintf(&b, "%s:", g.Name)
		for _, ip := range g.NATIPs {
			fmt.Fprintf(&b, " %s,", ip.IP)
		}
		for _, e := range g.Entries {
			fmt.Fprintf(&b, " %s %s:%d > %s:%d;", e.Name, e.NATIP, e.NATPort, e.AccessIP, e.AccessPort)
		}
		b.WriteString("\n")
	}
	return b.String()
}

const (
	asPlanned = "ngw1 Available: 172.16.0.4 Available, 172.16.0.5 Available, 172.16.0.7 Available, db1 Available tcp 172.16.0.5:3306 > ep1@zone-h > 192.168.0.86:3306 db1.com;\n" +
		"ngw2 Available: 172.16.0.3 Available,\n"
	planned = "ngw1: 172.16.0.4, 172.16.0.5, 172.16.0.7, db1 172.16.0.5:3306 > 192.168.0.86:3306;\nngw2: 172.16.0.3,\n"
)

// Each row is what is done, what is seen on the way, what the data plane is
// told then, and what is seen when it has followed.
func TestOperationsOnNATGateways(t *testing.T) {
	for _, tt := range []struct {
		name   string
		before []string
		do     string
		onWay  string // of ngw1 after its address
		told   string
		then   string
		event  string
	}{
		{"an entry is created", nil, "entry-create ngw1 db2 nat=172.16.0.7:3306 to=192.168.1.87:3306 ep=ep1@zone-i domain=db2.com",
			"db2 Creating tcp 172.16.0.7:3306 > ep1@zone-i > 192.168.1.87:3306 db2.com;", "db2 172.16.0.7:3306 > 192.168.1.87:3306;", "db2 Available tcp",
			`account "a" created FullNAT entry "ngw1/db2"`},
		{"one that was deleted is created as it shall be now", []string{"entry-delete ngw1 db1"}, "entry-create ngw1 db1 nat=172.16.0.5:33 to=192.168.0.86:44 ep=ep1@zone-h",
			"db1 Creating tcp 172.16.0.5:33 > ep1@zone-h > 192.168.0.86:44 ;", "db1 172.16.0.5:33 > 192.168.0.86:44;", "db1 Available tcp 172.16.0.5:33",
			`account "a" created FullNAT entry "ngw1/db1"`},
		{"udp may share a port with tcp", nil, "entry-create ngw1 dns nat=172.16.0.5:3306/udp to=192.168.0.86:53 ep=ep1@zone-h",
			"dns Creating udp 172.16.0.5:3306", "dns 172.16.0.5:3306 > 192.168.0.86:53;", "dns Available udp", `account "a" created FullNAT entry "ngw1/dns"`},
		{"an entry is changed", nil, "entry-modify ngw1 db1 to=192.168.1.87:3307",
			"db1 Modifying tcp 172.16.0.5:3306 > ep1@zone-h > 192.168.1.87:3307 db1.com;", "db1 172.16.0.5:3306 > 192.168.1.87:3307;", "db1 Available tcp",
			`account "a" changed FullNAT entry "ngw1/db1": it leads from 172.16.0.5:3306 to 192.168.1.87:3307`},
		{"an entry is changed to what it is", nil, "entry-modify ngw1 db1 nat=172.16.0.5:3306/tcp to=192.168.0.86:3306 ep=ep1@zone-h",
			"db1 Modifying tcp 172.16.0.5:3306 > ep1@zone-h > 192.168.0.86:3306 db1.com;", "db1 172.16.0.5:3306 > 192.168.0.86:3306;", "db1 Available",
			`account "a" changed FullNAT entry "ngw1/db1": it leads from 172.16.0.5:3306 to 192.168.0.86:3306`},
		{"an entry loses its name", nil, "entry-modify ngw1 db1 domain=", "db1 Modifying tcp 172.16.0.5:3306 > ep1@zone-h > 192.168.0.86:3306 ;", "db1 172", "db1 Available",
			`account "a" changed FullNAT entry "ngw1/db1"`},
		{"an entry is deleted", nil, "entry-delete ngw1 db1", "db1 Deleting tcp 172.16.0.5:3306", "172.16.0.7,\nngw2", "172.16.0.7 Available,\nngw2",
			`account "a" deletes FullNAT entry "ngw1/db1"`},
		{"a NAT IP is created", nil, "nat-ip-create ngw1 172.16.0.6", "172.16.0.6 Creating,", "172.16.0.6,", "172.16.0.6 Available,", `account "a" created NAT IP "ngw1/172.16.0.6"`},
		{"a NAT IP is deleted", nil, "nat-ip-delete ngw1 172.16.0.7", "172.16.0.7 Deleting,", "ngw1: 172.16.0.4, 172.16.0.5, db1", "ngw1 Available: 172.16.0.4 Available, 172.16.0.5 Available, db1", `account "a" deletes NAT IP "ngw1/172.16.0.7"`},
		{"a NAT IP is created again", []string{"nat-ip-delete ngw1 172.16.0.7"}, "nat-ip-create ngw1 172.16.0.7", "172.16.0.7 Creating,", "172.16.0.7,", "172.16.0.7 Available,", `account "a" created NAT IP "ngw1/172.16.0.7"`},
		{"a gateway goes with its NAT IPs", []string{"entry-delete ngw1 db1", "detach svc1 lb=ngw1"}, "gateway-delete ngw1",
			"ngw1 Deleting: 172.16.0.4 Deleting, 172.16.0.5 Deleting, 172.16.0.7 Deleting,", "ngw2: 172", "ngw2 Available", `account "a" deletes NAT gateway "ngw1"`},
		{"a gateway comes back with nothing but its address", []string{"entry-delete ngw1 db1", "detach svc1 lb=ngw1", "gateway-delete ngw1"}, "gateway-create ngw1",
			"ngw1 Creating: 172.16.0.4 Available,\n", "ngw1: 172.16.0.4,\n", "ngw1 Available: 172.16.0.4 Available,\n", `account "a" created NAT gateway "ngw1"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := reversePlane(t, reverse)
			if strings.Contains(strings.Join(tt.before, " "), "detach") {
				require.NoError(t, decide(p, control.Reject, "", "svc1", "ep1"))
				p.Report(p.Revision())
			}
			doNAT(t, p, tt.before...)
			event, err := p.Do(natOp(t, tt.do))
			require.NoError(t, err)
			require.Contains(t, event.Text, tt.event)
			require.Equal(t, "a", event.Account)
			require.Contains(t, gateways(p), tt.onWay)
			require.Contains(t, carried(p), tt.told)
			p.Report(p.Revision())
			require.Contains(t, gateways(p), tt.then)
			for _, word := range []string{"Creating", "Modifying", "Deleting"} {
				require.NotContains(t, gateways(p), word)
			}
		})
	}
}

// Every way to be refused: what was done before, what is asked for, and what
// is said. Nothing may have changed.
func TestEveryRefusalOfNATGateways(t *testing.T) {
	const create = "entry-create ngw1 db2 "
	for _, tt := range []struct {
		name   string
		before []string
		do     string
		code   topology.Refusal
		word   string
		text   string
		hint   string
	}{
		{name: "the gateway does not exist", do: "nat-ip-create ngw9", code: topology.NotFound, word: "InvalidNatGatewayId.NotFound",
			text: `NAT gateway "ngw9" does not exist`, hint: `there is "ngw1", "ngw2"`},
		{name: "another account's gateway", do: "entry-delete ngw1 db1 as=b", code: topology.NotOwner,
			text: `account "b" may not manage NAT gateway "ngw1"`, hint: `"ngw1" belongs to account "a", and only its owner may`},
		{name: "the gateway is there already", do: "gateway-create ngw1", code: topology.WrongState, word: "IncorrectStatus.NatGateway",
			text: `NAT gateway "ngw1" exists already`, hint: "there is nothing to do"},
		{name: "the file has no such gateway", do: "gateway-create ngw9", code: topology.NotFound, word: "InvalidNatGatewayId.NotFound",
			text: `the topology file has no NAT gateway "ngw9"`, hint: "add it to the file"},
		{name: "the gateway's table is not empty", do: "gateway-delete ngw1", code: topology.InUse, word: "DependencyViolation.FullNatEntry",
			text: `NAT gateway "ngw1" cannot be deleted: it still has FullNAT entry "db1"`, hint: "delete them first: entry-delete ngw1 db1"},
		{name: "the gateway is a resource", before: []string{"entry-delete ngw1 db1"}, do: "gateway-delete ngw1", code: topology.InUse, word: "DependencyViolation.VpcEndpointService",
			text: `NAT gateway "ngw1" cannot be deleted: endpoint service "svc1" has it as a resource`, hint: "detach it first: detach svc1 ngw1"},
		{name: "the resource has a connection", before: []string{"entry-delete ngw1 db1"}, do: "detach svc1 lb=ngw1", code: topology.InUse, word: "EndpointServiceConnectionDependence",
			text: `endpoint service "svc1" cannot give up ngw1@zone-h: endpoint "ep1" is connected to it`, hint: "reject it first: reject svc1 ep1"},
		{name: "a service still has its gateway", before: []string{"reject svc1 ep=ep1"}, do: "service-delete svc1",
			code: topology.WrongState, word: "EndpointServiceOperationDenied",
			text: `endpoint service "svc1" cannot be deleted: it still has ngw1@zone-h`, hint: "detach them first: detach svc1 ngw1"},
		{name: "the resource is there already", do: "attach svc1 lb=ngw1", code: topology.WrongState, word: "EndpointServiceOperationDenied",
			text: `NAT gateway "ngw1" is attached to endpoint service "svc1" already`, hint: "there is nothing to do"},
		{name: "what is not attached", do: "detach svc1 lb=ngw2", code: topology.NotFound,
			text: `NAT gateway "ngw2" is not attached to endpoint service "svc1"`, hint: `there is "ngw1@zone-h"`},

		{name: "a NAT IP is there already", do: "nat-ip-create ngw2 172.16.0.5", code: topology.WrongState, word: "IncorrectStatus.NatIp",
			text: `172.16.0.5 already is a NAT IP of NAT gateway "ngw1"`, hint: "name another address, or none: then one is chosen"},
		{name: "a NAT IP outside of the block", do: "nat-ip-create ngw1 172.16.1.5", code: topology.Invalid,
			text: `172.16.1.5 is not in the NAT CIDR of NAT gateway "ngw1" (172.16.0.0/28)`, hint: "name another address, or none: then one is chosen"},
		{name: "a NAT IP that is reserved", do: "nat-ip-create ngw1 172.16.0.15", code: topology.Invalid,
			text: "172.16.0.15 is reserved in 172.16.0.0/28", hint: "name another address, or none: then one is chosen"},
		{name: "a NAT IP that an instance has", do: "nat-ip-create ngw1 172.16.0.9", code: topology.Invalid,
			text: `172.16.0.9 is already that of instance "ecs1"`, hint: "name another address, or none: then one is chosen"},
		{name: "no NAT IP is left", before: []string{"nat-ip-create ngw1", "nat-ip-create ngw1", "nat-ip-create ngw1", "nat-ip-create ngw1", "nat-ip-create ngw2", "nat-ip-create ngw1"},
			do: "nat-ip-create ngw1", code: topology.Quota, text: `the NAT CIDR of NAT gateway "ngw1" (172.16.0.0/28) has no free address`, hint: "delete a NAT IP first"},
		{name: "the default NAT IP stays", do: "nat-ip-delete ngw1 172.16.0.4", code: topology.Invalid, word: "OperationFailed.DefaultNatIp",
			text: `172.16.0.4 is the default NAT IP of NAT gateway "ngw1" and cannot be deleted`, hint: "it goes with the gateway"},
		{name: "an entry uses the NAT IP", do: "nat-ip-delete ngw1 172.16.0.5", code: topology.InUse, word: "DependencyViolation.NatIp",
			text: `NAT IP 172.16.0.5 cannot be deleted: FullNAT entry "db1" uses it`, hint: "delete it first: entry-delete ngw1 db1"},
		{name: "a NAT IP that is not there", do: "nat-ip-delete ngw1 172.16.0.6", code: topology.NotFound,
			text: `172.16.0.6 is not a NAT IP of NAT gateway "ngw1"`, hint: `there is "172.16.0.4", "172.16.0.5", "172.16.0.7"`},

		{name: "an entry is there already", do: "entry-create ngw1 db1 nat=172.16.0.7:1 to=192.168.0.86:1 ep=ep1@zone-h", code: topology.WrongState, word: "IncorrectStatus.FullNatEntry",
			text: `FullNAT entry "ngw1/db1" exists already`, hint: "there is nothing to do"},
		{name: "an entry without a name for scripts", do: "entry-create ngw1 DB_2 nat=172.16.0.7:1 to=192.168.0.86:1 ep=ep1@zone-h", code: topology.Invalid,
			text: `"DB_2" cannot be the name of a FullNAT entry`, hint: "choose a name like mysql1"},
		{name: "an address that is no NAT IP", do: create + "nat=172.16.0.6:1 to=192.168.0.86:1 ep=ep1@zone-h", code: topology.Invalid,
			text: `FullNAT entry "ngw1/db2": 172.16.0.6 is not a NAT IP of NAT gateway "ngw1"`, hint: "make it one: nat-ip-create ngw1 172.16.0.6"},
		{name: "no NAT IP at all", do: create + "to=192.168.0.86:1 ep=ep1@zone-h", code: topology.Invalid,
			text: `FullNAT entry "ngw1/db2": it has no NAT IP`, hint: "name one of the gateway's"},
		{name: "a port that another entry has", do: create + "nat=172.16.0.5:3306 to=192.168.1.87:1 ep=ep1@zone-h", code: topology.Invalid,
			text: `FullNAT entry "ngw1/db2": tcp port 3306 of 172.16.0.5 already is that of FullNAT entry "db1"`, hint: "name another port, or none: then one is chosen"},
		{name: "a domain that leads elsewhere", do: create + "nat=172.16.0.7:1 to=192.168.0.86:1 ep=ep1@zone-h domain=db1.com", code: topology.Invalid,
			text: `FullNAT entry "ngw1/db2": db1.com already leads to 172.16.0.5, by FullNAT entry "ngw1/db1"`, hint: "use another domain"},
		{name: "a domain that is not valid", do: create + "nat=172.16.0.7:1 to=192.168.0.86:1 ep=ep1@zone-h domain=DB", code: topology.Invalid,
			text: `FullNAT entry "ngw1/db2": "DB" is not a domain name`, hint: "use a name like mysql1.com"},
		{name: "a protocol that is not valid", do: create + "nat=172.16.0.7:1/icmp to=192.168.0.86:1 ep=ep1@zone-h", code: topology.Invalid,
			text: `FullNAT entry "ngw1/db2": there is no protocol "icmp"`, hint: "use tcp or udp"},
		{name: "no server", do: create + "nat=172.16.0.7:1 ep=ep1@zone-h", code: topology.Invalid,
			text: `FullNAT entry "ngw1/db2": it leads to no port`, hint: "name a port from 1 to 65535"},
		{name: "a server outside of the user's VPC", do: create + "nat=172.16.0.7:1 to=172.16.0.9:1 ep=ep1@zone-h", code: topology.Invalid,
			text: `FullNAT entry "ngw1/db2": 172.16.0.9 is in no subnet of vpc "vpc2", where endpoint "ep1" is`, hint: `name an address of vpc "vpc2" (192.168.0.0/16)`},
		{name: "an endpoint that does not exist", do: create + "nat=172.16.0.7:1 to=192.168.0.86:1 ep=ep9", code: topology.NotFound, word: "EndpointNotFound",
			text: `endpoint "ep9" does not exist`, hint: `there is "ep1", "ep2"`},
		{name: "an endpoint of another service", do: create + "nat=172.16.0.7:1 to=192.168.0.86:1 ep=ep2", code: topology.Invalid,
			text: `FullNAT entry "ngw1/db2": endpoint "ep2" leads to endpoint service "svc2", not to NAT gateway "ngw1"`, hint: "name an endpoint of a service that has the gateway"},
		{name: "an endpoint in several zones", do: create + "nat=172.16.0.7:1 to=192.168.0.86:1 ep=ep1", code: topology.Invalid,
			text: `FullNAT entry "ngw1/db2": endpoint "ep1" is not in zone ""`, hint: "it is in zone-h and zone-i"},
		{name: "a zone that the endpoint is not in", do: create + "nat=172.16.0.7:1 to=192.168.0.86:1 ep=ep1@zone-j", code: topology.Invalid,
			text: `FullNAT entry "ngw1/db2": endpoint "ep1" is not in zone "zone-j"`, hint: "it is in zone-h and zone-i"},
		{name: "an entry that is not there is not changed", do: "entry-modify ngw1 db9 to=192.168.0.86:1", code: topology.NotFound, word: "ResourceNotFound.FullNatEntry",
			text: `NAT gateway "ngw1" has no FullNAT entry "db9"`, hint: `there is "db1"`},
		{name: "nor deleted", do: "entry-delete ngw2 db1", code: topology.NotFound, word: "ResourceNotFound.FullNatEntry",
			text: `NAT gateway "ngw2" has no FullNAT entry "db1"`, hint: "it has none"},
		{name: "an entry is changed to what another has", before: []string{create + "nat=172.16.0.7:1 to=192.168.0.86:1 ep=ep1@zone-h"},
			do: "entry-modify ngw1 db2 nat=172.16.0.5:3306", code: topology.Invalid,
			text: `FullNAT entry "ngw1/db2": tcp port 3306 of 172.16.0.5 already is that of FullNAT entry "db1"`, hint: "name another port, or none: then one is chosen"},
		{name: "what is being deleted is not deleted again", before: []string{"! entry-delete ngw1 db1"}, do: "entry-delete ngw1 db1", code: topology.WrongState, word: "IncorrectStatus.FullNatEntry",
			text: `FullNAT entry "ngw1/db1" cannot be deleted while it is Deleting`, hint: "it must be Available or Modifying"},
		{name: "what is being deleted is not changed", before: []string{"! entry-delete ngw1 db1"}, do: "entry-modify ngw1 db1 to=192.168.0.86:1", code: topology.WrongState, word: "IncorrectStatus.FullNatEntry",
			text: `FullNAT entry "ngw1/db1" cannot be changed while it is Deleting`, hint: "it must be Creating or Available or Modifying"},
		{name: "what is being deleted still has its port", before: []string{"! entry-delete ngw1 db1"}, do: create + "nat=172.16.0.5:3306 to=192.168.0.86:1 ep=ep1@zone-h", code: topology.Invalid,
			text: `FullNAT entry "ngw1/db2": tcp port 3306 of 172.16.0.5 already is that of FullNAT entry "db1"`, hint: "name another port, or none: then one is chosen"},
		{name: "what is being created is not deleted", before: []string{"! " + create + "nat=172.16.0.7:1 to=192.168.0.86:1 ep=ep1@zone-h"}, do: "entry-delete ngw1 db2", code: topology.WrongState, word: "IncorrectStatus.FullNatEntry",
			text: `FullNAT entry "ngw1/db2" cannot be deleted while it is Creating`, hint: "wait until it is Available"},
		{name: "a NAT IP that is being deleted", before: []string{"! nat-ip-delete ngw1 172.16.0.7"}, do: "nat-ip-delete ngw1 172.16.0.7", code: topology.WrongState, word: "IncorrectStatus.NatIp",
			text: `NAT IP "ngw1/172.16.0.7" cannot be deleted while it is Deleting`, hint: "it must be Available or Modifying"},
		{name: "a gateway that is being deleted", before: []string{"! gateway-delete ngw2"}, do: "nat-ip-create ngw2", code: topology.WrongState, word: "IncorrectStatus.NatGateway",
			text: `NAT gateway "ngw2" is being deleted`, hint: "wait until it is gone"},
		{name: "a gateway that is gone", before: []string{"gateway-delete ngw2"}, do: "nat-ip-create ngw2", code: topology.NotFound, word: "InvalidNatGatewayId.NotFound",
			text: `NAT gateway "ngw2" does not exist`, hint: `there is "ngw1"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := reversePlane(t, reverse)
			for _, text := range tt.before {
				if text, waits := strings.CutPrefix(text, "! "); waits {
					_, err := p.Do(natOp(t, text))
					require.NoError(t, err)
					continue
				}
				doNAT(t, p, text)
			}
			before, revision := gateways(p), p.Revision()
			_, err := p.Do(natOp(t, tt.do))
			var refused *control.Error
			require.ErrorAs(t, err, &refused)
			require.Equal(t, tt.code, refused.Code)
			require.Equal(t, tt.word, refused.Word)
			require.Equal(t, tt.text, refused.Text)
			require.Contains(t, refused.Advice(), tt.hint)
			require.Equal(t, before, gateways(p), "nothing half-made")
			require.Equal(t, revision, p.Revision())
		})
	}
}

// The order in which reverse access is taken down: what something else still
// depends on stays.
func TestReverseAccessIsTakenDownInItsOrder(t *testing.T) {
	p := reversePlane(t, reverse)
	report := func() { p.Report(p.Revision()) }
	refused := func(o topology.Operation) {
		t.Helper()
		_, err := p.Do(o)
		require.Error(t, err, o.String())
	}
	allowed := func(o topology.Operation) {
		t.Helper()
		_, err := p.Do(o)
		require.NoError(t, err, o.String())
		report()
	}
	entry, ip := natOp(t, "entry-delete ngw1 db1"), natOp(t, "nat-ip-delete ngw1 172.16.0.5")
	zones := []topology.Operation{{Verb: "zone-remove", Endpoint: "ep1", Zone: "zone-h"}, {Verb: "zone-remove", Endpoint: "ep1", Zone: "zone-i"}}
	endpoint := topology.Operation{Verb: "endpoint-delete", Endpoint: "ep1"}
	resource := natOp(t, "detach svc1 lb=ngw1")
	service := topology.Operation{Verb: "service-delete", Service: "svc1"}
	gateway := natOp(t, "gateway-delete ngw1")

	refused(ip)
	refused(gateway)
	allowed(entry)
	allowed(ip)
	refused(endpoint)
	refused(resource)
	allowed(zones[0])
	allowed(zones[1])
	allowed(endpoint)
	refused(service)
	refused(gateway)
	allowed(resource)
	allowed(service)
	allowed(gateway)
	require.Equal(t, "ngw2 Available: 172.16.0.3 Available,\n", gateways(p))

	require.True(t, p.Reset() > 0)
	report()
	require.Equal(t, asPlanned, gateways(p), "a reset brings back what the file says")
}

// What was made, changed and deleted survives a restart, and a change of the
// file where it goes with it.
func TestNATGatewaysAreRestored(t *testing.T) {
	change := func(p *control.Plane) {
		doNAT(t, p, "nat-ip-create ngw1 172.16.0.6", "nat-ip-delete ngw1 172.16.0.7",
			"entry-create ngw1 db2 nat=172.16.0.6:3306 to=192.168.1.87:3306 ep=ep1@zone-i domain=db2.com", "entry-modify ngw1 db1 to=192.168.0.86:3307")
	}
	const changed = "ngw1 Available: 172.16.0.4 Available, 172.16.0.5 Available, 172.16.0.6 Available," +
		" db1 Available tcp 172.16.0.5:3306 > ep1@zone-h > 192.168.0.86:3307 db1.com;" +
		" db2 Available tcp 172.16.0.6:3306 > ep1@zone-i > 192.168.1.87:3306 db2.com;\nngw2 Available: 172.16.0.3 Available,\n"
	for _, tt := range []struct {
		name     string
		old, new string // of the file
		want     string
	}{
		{"the same file", "", "", changed},
		{"a file with one more NAT IP", "172.16.0.7]", "172.16.0.7, 172.16.0.8]",
			strings.Replace(changed, "172.16.0.5 Available,", "172.16.0.5 Available, 172.16.0.8 Available,", 1)},
		{"a file that has what was made", "172.16.0.7]", "172.16.0.7, 172.16.0.6]", changed},
		{"a file without the entry that was changed", "      db1: {nat_ip: 172.16.0.5, nat_port: 3306, endpoint: ep1@zone-h, access_ip: 192.168.0.86, access_port: 3306, domain: db1.com}\n", "      {}\n",
			strings.Replace(changed, " db1 Available tcp 172.16.0.5:3306 > ep1@zone-h > 192.168.0.86:3307 db1.com;", "", 1)},
		{"a file in which the endpoint has left a zone", "subnets: [h2, i2]}", "subnets: [h2]}",
			strings.Replace(changed, " db2 Available tcp 172.16.0.6:3306 > ep1@zone-i > 192.168.1.87:3306 db2.com;", "", 1)},
		{"a file in which the other gateway has the address", "ip: 172.16.0.3}", "ip: 172.16.0.3, nat_ips: [172.16.0.6]}",
			strings.Replace(strings.Replace(strings.Replace(changed, " 172.16.0.6 Available,", "", 1), " db2 Available tcp 172.16.0.6:3306 > ep1@zone-i > 192.168.1.87:3306 db2.com;", "", 1),
				"172.16.0.3 Available,", "172.16.0.3 Available, 172.16.0.6 Available,", 1)},
		{"a file in which an instance has the address", "ecs1: {subnet: h1, ip: 172.16.0.9}", "ecs1: {subnet: h1, ip: 172.16.0.6}",
			strings.Replace(strings.Replace(changed, " 172.16.0.6 Available,", "", 1), " db2 Available tcp 172.16.0.6:3306 > ep1@zone-i > 192.168.1.87:3306 db2.com;", "", 1)},
		{"a file in which the gateway has gone to another subnet", "subnets: {h1: {zone: zone-h, cidr: 172.16.0.0/28}}", "subnets: {h1: {zone: zone-h, cidr: 172.16.0.0/27}}", asPlanned},
	} {
		for _, how := range []string{"restart", "apply"} {
			t.Run(tt.name+", "+how, func(t *testing.T) {
				p := reversePlane(t, reverse)
				change(p)
				require.Equal(t, changed, gateways(p))
				text := reverse
				if tt.old != "" {
					require.Equal(t, 1, strings.Count(reverse, tt.old))
					text = strings.Replace(reverse, tt.old, tt.new, 1)
				}
				plan, err := topofile.Parse("reverse.yaml", []byte(text))
				require.NoError(t, err)
				if how == "apply" {
					require.NoError(t, p.Apply(plan))
				} else {
					saved, err := p.Save()
					require.NoError(t, err)
					p = newPlane(t, plan)
					require.NoError(t, p.Restore(saved))
				}
				p.Report(p.Revision())
				require.Equal(t, tt.want, gateways(p))
			})
		}
	}
}

func TestAnEntryWithoutAPortGetsOneThatIsFree(t *testing.T) {
	p := reversePlane(t, reverse)
	doNAT(t, p, "entry-create ngw1 db2 nat=172.16.0.5 to=192.168.0.86:3306 ep=ep1@zone-h", "entry-create ngw1 db3 nat=172.16.0.5 to=192.168.0.86:3306 ep=ep1@zone-h")
	entries := p.State().NATGateways[0].Entries
	require.Len(t, entries, 3)
	require.GreaterOrEqual(t, entries[1].Spec.NATPort, uint16(1024))
	require.NotEqual(t, entries[1].Spec.NATPort, entries[2].Spec.NATPort)
	require.Regexp(t, `^fullnat-2ze[0-9a-z]{17}$`, entries[1].Spec.ID)
	require.Equal(t, planned, strings.ReplaceAll(carried(reversePlane(t, reverse)), "\r", ""))
}

// A reset that has nothing but a gateway to bring back is a change too.
func TestAResetBringsBackWhatTheFileSaysOfGateways(t *testing.T) {
	for _, text := range []string{
		"entry-delete ngw1 db1", "entry-modify ngw1 db1 to=192.168.0.86:1", "nat-ip-delete ngw1 172.16.0.7", "nat-ip-create ngw1 172.16.0.6", "gateway-delete ngw2",
	} {
		t.Run(text, func(t *testing.T) {
			p := reversePlane(t, reverse)
			doNAT(t, p, text)
			require.NotEqual(t, asPlanned, gateways(p))
			before := p.Revision()
			require.Greater(t, p.Reset(), before)
			p.Report(p.Revision())
			require.Equal(t, asPlanned, gateways(p))
			at := p.Revision()
			require.Equal(t, at, p.Reset(), "there is nothing to bring back")
		})
	}
}
