package topofile

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/golden"
)

// small is a topology without a fault, for tests that put one in.
const small = `name: small
cloud: alibaba
region: cn-hangzhou
accounts: [a, b]
vpcs:
  vpc1:
    account: a
    cidr: 10.0.0.0/16
    subnets:
      h1: {zone: cn-hangzhou-h, cidr: 10.0.0.0/24}
      i1: {zone: cn-hangzhou-i, cidr: 10.0.1.0/24}
    security_groups:
      web: {ingress: [{protocol: tcp, ports: 80, source: 0.0.0.0/0}]}
    instances:
      ecs1: {subnet: h1, ip: 10.0.0.10}
  vpc2:
    account: b
    cidr: 192.168.0.0/16
    subnets:
      h2: {zone: cn-hangzhou-h, cidr: 192.168.0.0/24}
      i2: {zone: cn-hangzhou-i, cidr: 192.168.1.0/24}
    instances:
      ecs2: {subnet: h2, ip: 192.168.0.20, services: [{http: 80}]}
      ecs3: {subnet: i2, ip: 192.168.1.30, services: [{http: 80}]}
server_groups:
  rs1: {vpc: vpc2, servers: [{instance: ecs2, port: 80}, {instance: ecs3, port: 80}]}
load_balancers:
  nlb1: {type: nlb, vpc: vpc2, subnets: [h2], listeners: [{protocol: tcp, port: 80, server_group: rs1}]}
endpoint_services:
  svc1: {resources: [nlb1], whitelist: [a]}
endpoints:
  ep1: {service: svc1, vpc: vpc1, subnets: [h1], security_groups: [web]}
checks:
  - {name: ecs1 gets an answer, from: ecs1, get: "http://${ep1}/"}
`

// zone is the small topology's beginning of checks with a private zone before.
func zone(text string) string { return "private_zones:\n  z1: {" + text + "}\nchecks:" }

// smallReverse is the like with reverse access: a user's server behind a NAT
// gateway of its provider.
const smallReverse = `name: small
cloud: alibaba
region: cn-beijing
accounts: [a, b]
vpcs:
  vpc1:
    account: a
    cidr: 172.16.0.0/16
    subnets: {h1: {zone: cn-beijing-h, cidr: 172.16.0.0/24}}
    instances:
      ecs1: {subnet: h1, ip: 172.16.0.9}
  vpc2:
    account: b
    cidr: 192.168.0.0/16
    subnets:
      h2: {zone: cn-beijing-h, cidr: 192.168.0.0/24}
      i2: {zone: cn-beijing-i, cidr: 192.168.1.0/24}
    instances:
      db1: {subnet: h2, ip: 192.168.0.86}
nat_gateways:
  ngw1:
    type: FullNat
    vpc: vpc1
    subnet: h1
    nat_ips: [172.16.0.5, 172.16.0.7]
    full_nat:
      db1: {nat_ip: 172.16.0.5, nat_port: 3306, endpoint: ep1, access_ip: 192.168.0.86, access_port: 3306, domain: db1.com}
endpoint_services:
  svc1: {resources: [ngw1], auto_accept: true, whitelist: [b]}
endpoints:
  ep1: {service: svc1, vpc: vpc2, subnets: [h2]}
`

func TestTheSmallTopologiesHaveNoFault(t *testing.T) {
	for _, text := range []string{small, smallReverse} {
		plan, err := Parse("small.yaml", []byte(text))
		require.NoError(t, err)
		require.Empty(t, plan.Warnings)
	}
}

// Whatever stands in the place of a word of the small topologies, and whatever
// line is missing: it is planned or refused.
func TestNoWordMakesParsePanic(t *testing.T) {
	word := regexp.MustCompile(`[a-z_0-9.]+`)
	for _, text := range []string{small, smallReverse} {
		lines := strings.Split(text, "\n")
		for i := range lines {
			_, _ = Parse("x", []byte(strings.Join(slices.Concat(lines[:i], lines[i+1:]), "\n")))
		}
		for _, at := range word.FindAllStringIndex(text, -1) {
			for _, other := range []string{"", "x", "1", "[]", "{}", "10.0.0.1", "null"} {
				_, _ = Parse("x", []byte(text[:at[0]]+other+text[at[1]:]))
			}
		}
	}
}

// TestMessages puts faults into a small topology, one in each row, and keeps
// what is said about them in a golden file. A row may expect another number of
// problems than one only where the user has made that many mistakes.
func TestMessages(t *testing.T) {
	var catalogue strings.Builder
	catalogue.WriteString("What is said about faults in a topology file: the fault, then the text.\n")
	for _, tt := range []struct {
		name      string
		old, new  string // what is replaced in the small topology; old "" replaces all
		reverse   bool   // the small topology with reverse access
		aws       bool   // instead of alibaba
		hostnames bool   // of VPC vpc1
		problems  int    // 0 means 1
	}{
		// The form of the file.
		{name: "the file is empty"},
		{name: "the file has a comment alone", new: "# nothing yet\n"},
		{name: "the file is not YAML", old: "accounts: [a, b]", new: "accounts: [a, b"},
		{name: "tabs indent a line", old: "  vpc1:\n", new: "\tvpc1:\n"},
		{name: "a colon is missing", old: "  vpc1:\n", new: "  vpc1\n"},
		{name: "a list stands where the topology should", new: "- name: small\n"},
		{name: "a second document follows", old: "checks:", new: "---\nchecks:"},
		{name: "a key is misspelled", old: "    subnets:\n      h1", new: "    subents:\n      h1"},
		{name: "a key is not known at all", old: "accounts:", new: "giraffes: 3\naccounts:"},
		{name: "a key is given twice", old: "accounts:", new: "region: cn-beijing\naccounts:"},
		{name: "a name is given twice", old: "      i1: {zone", new: "      h1: {zone"},
		{name: "a required key is missing", old: "zone: cn-hangzhou-h, cidr: 10.0.0.0/24", new: "cidr: 10.0.0.0/24"},
		{name: "a key has no value", old: "region: cn-hangzhou", new: "region:"},
		{name: "text stands where a number should", old: "port: 80, server_group", new: `port: "80", server_group`},
		{name: "a port is too large", old: "port: 80, server_group", new: "port: 80000, server_group"},
		{name: "a listener puts the PROXY header nowhere", old: "port: 80, server_group", new: "port: 80, proxy_protocol: last, server_group"},
		{name: "a weight is too large", old: "{instance: ecs2, port: 80}", new: "{instance: ecs2, port: 80, weight: 101}"},
		{name: "a word stands where true or false should", old: "resources: [nlb1],", new: "resources: [nlb1], auto_accept: maybe,"},
		{name: "a VPC carries less than any link", old: "cidr: 10.0.0.0/16\n", new: "cidr: 10.0.0.0/16\n    mtu: 500\n"},
		{name: "a VPC with IPv6 carries less than IPv6 needs", old: "cidr: 10.0.0.0/16\n",
			new: "cidr: 10.0.0.0/16\n    ipv6_cidr: 2001:db8:1::/56\n    mtu: 1000\n"},
		{name: "a list stands where a mapping should", old: "{ingress: [{protocol: tcp, ports: 80, source: 0.0.0.0/0}]}", new: "[80]"},
		{name: "a word stands where a list should", old: "resources: [nlb1]", new: "resources: nlb1"},
		{name: "a mapping stands where a value should", old: "region: cn-hangzhou", new: "region: {is: cn-hangzhou}"},
		{name: "a duration has no unit", old: "server_group: rs1}", new: "server_group: rs1, idle_timeout: 900}"},
		{name: "a cloud is not known", old: "cloud: alibaba", new: "cloud: alibab"},
		{name: "a merge names no mapping", old: "{subnet: h1, ip: 10.0.0.10}", new: "{subnet: h1, ip: 10.0.0.10, <<: 3}"},
		{name: "a number is huge", old: "protocol: tcp, port: 80, server", new: "protocol: tcp, port: 99999999999999999999, server"},
		{name: "a number is hexadecimal", old: "protocol: tcp, port: 80, server", new: "protocol: tcp, port: 0x50, server"},
		{name: "a number begins with 0", old: "protocol: tcp, port: 80, server", new: "protocol: tcp, port: 0100, server"},
		{name: "a listener has a range of ports", old: "protocol: tcp, port: 80, server", new: "protocol: tcp, port: 8000-8080, server"},
		{name: "a listener is for TCP and UDP", old: "protocol: tcp, port: 80, server", new: "protocol: tcp_udp, port: 80, server"},
		{name: "a rule has a list of ports", old: "ports: 80, source", new: "ports: [80, 443], source"},
		{name: "a rule has ports with commas", old: "ports: 80, source", new: `ports: "80,443", source`},
		{name: "a rule has a range as the console writes it", old: "ports: 80, source", new: "ports: 80/90, source"},
		{name: "the source of a rule is a group that is not there", old: "source: 0.0.0.0/0", new: "source: webb"},
		{name: "a rule has two blocks in one word", old: "source: 0.0.0.0/0", new: "source: '10.0.0.0/8, 192.168.0.0/16'"},
		{name: "a key is followed by a non-breaking space", old: "account: a\n", new: "account:\u00a0a\n"},
		{name: "a key in braces is followed by one", old: "{subnet: h1, ip: 10.0.0.10}", new: "{subnet:\u00a0h1, ip: 10.0.0.10}"},
		{name: "a file is Latin-1", old: "resources: [nlb1]", new: "resources: [nlb1], description: \"Gr\xfc\xdfe\""},
		{name: "a file has a NUL", old: "name: small", new: "name: sm\x00all"},
		{name: "a command has a quote without an end", old: "ecs1: {subnet: h1,", new: `ecs1: {services: [{command: "sh -c 'echo"}], subnet: h1,`},
		{name: "a command wants a shell", old: "ecs1: {subnet: h1,", new: `ecs1: {services: [{command: "echo $HOME"}], subnet: h1,`},
		{name: "a command has a NUL", old: "ecs1: {subnet: h1,", new: `ecs1: {services: [{command: [echo, "a\0b"]}], subnet: h1,`},
		{name: "a service has no bandwidth", old: "resources: [nlb1]", new: "resources: [nlb1], bandwidth: 0"},
		{name: "an AAAA record is an IPv4 address", old: "checks:", new: zone(`domain: corp.example, vpcs: [vpc1], records: [{name: v6, aaaa: ["::ffff:192.0.2.1"]}]`)},
		{name: "a mapping has two merges", old: "{subnet: h1, ip: 10.0.0.10}", new: "{<<: {subnet: h1}, <<: {ip: 10.0.0.10}}"},
		{name: "a list is a word", old: "whitelist: [a]", new: "whitelist: a"},
		{name: "subnets are a word", old: "subnets: [h2], listeners", new: "subnets: h2, listeners"},
		{name: "an anchor is merged into itself", old: "{subnet: h1, ip: 10.0.0.10}", new: "&x {subnet: h1, ip: 10.0.0.10, <<: *x}"},
		{name: "a fault behind an anchor is said once", problems: 1,
			old: "ecs2: {subnet: h2, ip: 192.168.0.20, services: [{http: 80}]}\n      ecs3: {subnet: i2, ip: 192.168.1.30, services: [{http: 80}]}",
			new: "ecs2: {subnet: h2, services: &web [{htp: 80}]}\n      ecs3: {subnet: i2, services: *web}"},

		// Names and accounts.
		{name: "the lab has capitals in its name", old: "name: small", new: "name: Small"},
		{name: "a name has an underscore", old: "      ecs1:", new: "      ecs_1:", problems: 2},
		{name: "a name is too long", old: "accounts: [a, b]", new: "accounts: [a, b, an-account-with-a-name-of-forty-letters]"},
		{name: "a zone is too long for a domain name", old: "zone: cn-hangzhou-i, cidr: 10.0.1.0/24", new: "zone: cn-hangzhou-availability-i, cidr: 10.0.1.0/24"},
		{name: "an account is named twice", old: "accounts: [a, b]", new: "accounts: [a, b, a]"},
		{name: "an account is left out where there are several", old: "    account: a\n", new: ""},
		{name: "an account is not known", old: "    account: a\n", new: "    account: c\n"},

		// Addresses.
		{name: "a vpc's block has host bits", old: "cidr: 10.0.0.0/16", new: "cidr: 10.0.5.0/16"},
		{name: "a block has no mask", old: "cidr: 10.0.0.0/16", new: "cidr: 10.0.0.0"},
		{name: "a mask is too long", old: "cidr: 10.0.0.0/16", new: "cidr: 10.0.0.0/33"},
		{name: "a vpc is too narrow", old: "cidr: 10.0.0.0/16", new: "cidr: 10.0.0.0/29"},
		{name: "a vpc takes the shared block", old: "cidr: 192.168.0.0/16", new: "cidr: 100.64.0.0/10"},
		{name: "a vpc has IPv6 addresses", old: "cidr: 10.0.0.0/16", new: "cidr: fd00::/16"},
		{name: "a subnet is outside its vpc", old: "cidr: 10.0.1.0/24", new: "cidr: 10.1.1.0/24"},
		{name: "two subnets overlap", old: "cidr: 10.0.1.0/24", new: "cidr: 10.0.0.128/25"},
		{name: "a subnet is too small", old: "cidr: 10.0.1.0/24", new: "cidr: 10.0.1.0/30"},
		{name: "an instance is outside its vpc", old: "ip: 10.0.0.10", new: "ip: 192.168.0.20"},
		{name: "an instance is outside its subnet", old: "ip: 10.0.0.10", new: "ip: 10.0.1.10"},
		{name: "an instance has a reserved address", old: "ip: 10.0.0.10", new: "ip: 10.0.0.254"},
		{name: "an instance has the gateway's address", old: "ip: 10.0.0.10", new: "ip: 10.0.0.253"},
		{name: "two instances have one address", old: "ecs1: {", new: "ecs0: {subnet: h1, ip: 10.0.0.10}\n      ecs1: {"},
		{name: "an endpoint takes an instance's address", old: "subnets: [h1], security", new: "subnets: {h1: {ip: 10.0.0.10}}, security"},
		{name: "a vpc's IPv6 block is not for networks", old: "cidr: 10.0.0.0/16", new: "cidr: 10.0.0.0/16\n    ipv6_cidr: fe80::/56"},
		{name: "a vpc's IPv6 block is narrow", old: "cidr: 10.0.0.0/16", new: "cidr: 10.0.0.0/16\n    ipv6_cidr: 2001:db8::/64"},
		{name: "an IPv6 block is of IPv4", old: "cidr: 10.0.0.0/16", new: "cidr: 10.0.0.0/16\n    ipv6_cidr: 10.0.0.0/16"},
		{name: "a subnet has IPv6 and its vpc has none", old: "cidr: 10.0.0.0/24}", new: "cidr: 10.0.0.0/24, ipv6_cidr: 2001:db8:1::/64}"},
		{name: "a subnet's IPv6 block is outside its vpc's", old: "cidr: 10.0.0.0/16\n    subnets:\n      h1: {", new: "cidr: 10.0.0.0/16\n    ipv6_cidr: 2001:db8::/56\n    subnets:\n      h1: {ipv6_cidr: 2001:db8:1::/64, "},
		{name: "an instance has an IPv6 address where its subnet has none", old: "ip: 10.0.0.10", new: `ip: 10.0.0.10, ipv6: "2001:db8::10"`},
		{name: "an IPv6 address is none", old: "ip: 10.0.0.10", new: `ip: 10.0.0.10, ipv6: 10.0.0.11`},
		{name: "an endpoint is dualstack where nothing is", old: "security_groups: [web]}", new: "security_groups: [web], ip_address_type: dualstack}", problems: 2},
		{name: "an endpoint has an IPv6 address and is not dualstack", old: "subnets: [h1], security_groups: [web]}", new: "subnets: {h1: {ipv6: 2001:db8::7}}}", problems: 2},
		{name: "servers of a group have no IPv6", old: "rs1: {vpc: vpc2, ", new: "rs1: {vpc: vpc2, ip_address_type: ipv6, ", problems: 2},
		{name: "an endpoint has IPv6 alone", old: "security_groups: [web]}", new: "security_groups: [web], ip_address_type: ipv6}"},
		{name: "an address is IPv6", old: "ip: 10.0.0.10", new: `ip: "fd00::1"`},
		{name: "an address is none", old: "ip: 10.0.0.10", new: "ip: 10.0.0.300"},
		{name: "a subnet is full", old: "ecs1: {subnet: h1, ip: 10.0.0.10}\n  vpc2:", new: "ecs1: {subnet: h1, ip: 10.0.0.10}\n" +
			"  vpc3:\n    account: a\n    cidr: 10.0.0.0/16\n    subnets: {t: {zone: cn-hangzhou-h, cidr: 10.0.0.0/29}}\n" +
			"    instances: {t1: {subnet: t}, t2: {subnet: t}, t3: {subnet: t}, t4: {subnet: t}, t5: {subnet: t}}\n  vpc2:"},
		{name: "a subnet is not known", old: "ecs1: {subnet: h1,", new: "ecs1: {subnet: h2,"},

		// Security groups and services of instances.
		{name: "a rule's source has host bits", old: "source: 0.0.0.0/0", new: "source: 10.0.0.10/16"},
		{name: "a rule's ports end before they start", old: "ports: 80,", new: "ports: 90-80,"},
		{name: "a rule's port is a word", old: "ports: 80,", new: "ports: http,"},
		{name: "a rule for icmp has ports", old: "protocol: tcp, ports: 80, source", new: "protocol: icmp, ports: 80, source"},
		{name: "a security group is not known", old: "security_groups: [web]", new: "security_groups: [wep]"},
		{name: "a security group is of another vpc", old: "services: [{http: 80}]}\n      ecs3", new: "security_groups: [web]}\n      ecs3"},
		{name: "a service has two kinds", old: "services: [{http: 80}]}\n      ecs3", new: "services: [{http: 80, tcp: 81}]}\n      ecs3"},
		{name: "a service has no kind", old: "services: [{http: 80}]}\n      ecs3", new: "services: [{body: hello}]}\n      ecs3"},
		{name: "two services want one port", old: "services: [{http: 80}]}\n      ecs3", new: "services: [{http: 80}, {echo: 80}]}\n      ecs3"},
		{name: "a variable has no value", old: "ecs1: {subnet: h1,", new: "ecs1: {env: [MODE], subnet: h1,"},
		{name: "the name of a variable has a blank", old: "ecs1: {subnet: h1,", new: "ecs1: {env: [a b=c], subnet: h1,"},
		{name: "a variable is there twice", old: "ecs1: {subnet: h1,", new: "ecs1: {env: [MODE=a, MODE=b], subnet: h1,"},
		{name: "a variable is plinksim's own", old: "ecs1: {subnet: h1,", new: "ecs1: {env: [PLINKSIM_LAB=a], subnet: h1,"},
		{name: "a built-in service is to be restarted", old: "services: [{http: 80}]}\n      ecs3", new: "services: [{http: 80, restart: always}]}\n      ecs3"},
		{name: "a command is restarted on a condition", old: "ecs1: {subnet: h1,", new: "ecs1: {services: [{command: nginx, restart: unless-stopped}], subnet: h1,"},
		{name: "a command reads a PROXY header", old: "services: [{http: 80}]}\n      ecs3", new: "services: [{command: nginx, proxy_protocol: true}]}\n      ecs3"},
		{name: "a datagram says nothing", old: `get: "http://${ep1}/"`, new: `udp: "${ep1}:53"`},
		{name: "a silence follows nothing", old: `get: "http://${ep1}/"`, new: `connect: "${ep1}:80", idle: 60s`},
		{name: "a check of names sends a line", old: `get: "http://${ep1}/"`, new: `resolve: "${ep1}", send: hello`},
		{name: "a command has a body", old: "services: [{http: 80}]}\n      ecs3", new: "services: [{command: nginx, body: hello}]}\n      ecs3"},

		// Load balancers.
		{name: "a server is not known", old: "{instance: ecs2,", new: "{instance: ecs9,"},
		{name: "a server is in another vpc", old: "{instance: ecs2,", new: "{instance: vpc1/ecs1,"},
		{name: "a server is named twice", old: "{instance: ecs3,", new: "{instance: ecs2,"},
		{name: "a scheduler is not supported", old: "rs1: {vpc: vpc2,", new: "rs1: {vpc: vpc2, scheduler: qch,"},
		{name: "a gwlb is not supported", old: "type: nlb", new: "type: gwlb"},
		{name: "a listener's protocol is not supported", old: "{protocol: tcp, port: 80, server_group", new: "{protocol: quic, port: 80, server_group"},
		{name: "a listener of an nlb speaks http", old: "{protocol: tcp, port: 80, server_group", new: "{protocol: http, port: 80, server_group"},
		{name: "a listener's protocol is not its group's", old: "{protocol: tcp, port: 80, server_group", new: "{protocol: udp, port: 80, server_group"},
		{name: "two listeners have one port", old: "listeners: [", new: "listeners: [{protocol: tcp, port: 80, server_group: rs1}, "},
		{name: "a server group is not known", old: "server_group: rs1", new: "server_group: rs2"},
		{name: "a server group is in another vpc", old: "vpc: vpc2, subnets: [h2]", new: "vpc: vpc1, subnets: [h1]", problems: 1},
		{name: "a clb is in two zones", old: "type: nlb, vpc: vpc2, subnets: [h2]", new: "type: clb, vpc: vpc2, subnets: [h2, i2]"},
		{name: "two subnets are in one zone", old: "subnets: [h2]", new: "subnets: [h2, h2]"},
		{name: "a load balancer is in no subnet", old: "subnets: [h2]", new: "subnets: []"},
		{name: "a health check's path does not begin with a slash", old: "rs1: {vpc: vpc2,", new: "rs1: {vpc: vpc2, health_check: {protocol: http, path: health},"},
		{name: "a health check's host is an address with a path", old: "rs1: {vpc: vpc2,", new: "rs1: {vpc: vpc2, health_check: {protocol: http, host: a.example/x},"},
		{name: "a health check's codes are no statuses", old: "rs1: {vpc: vpc2,", new: "rs1: {vpc: vpc2, health_check: {protocol: http, codes: [http_2xx, 600]},"},
		{name: "a health check by tcp asks for a path", old: "rs1: {vpc: vpc2,", new: "rs1: {vpc: vpc2, health_check: {path: /health},"},
		{name: "a health check by http sends a datagram", old: "rs1: {vpc: vpc2,", new: "rs1: {vpc: vpc2, health_check: {protocol: http, request: hello},"},
		{name: "a health check's protocol is not supported", old: "rs1: {vpc: vpc2,", new: "rs1: {vpc: vpc2, health_check: {protocol: https},"},
		{name: "a health check waits for too long", old: "rs1: {vpc: vpc2,", new: "rs1: {vpc: vpc2, health_check: {timeout: 1h},"},
		{name: "an idle timeout is too short", old: "server_group: rs1}", new: "server_group: rs1, idle_timeout: 1ms}"},

		// What AWS does not have.
		{name: "aws has no clb", aws: true, old: "type: nlb", new: "type: clb"},
		{name: "aws has no health checks by udp", aws: true, old: "rs1: {vpc: vpc2,", new: "rs1: {vpc: vpc2, health_check: {protocol: udp},"},
		{name: "aws has no zone affinity", aws: true, old: "resources: [nlb1]", new: "resources: [nlb1], zone_affinity: true"},
		{name: "aws has no rule that denies", aws: true, old: "protocol: tcp, ports: 80, source", new: "action: deny, protocol: tcp, ports: 80, source"},
		{name: "aws has no priorities", aws: true, old: "protocol: tcp, ports: 80, source", new: "priority: 2, protocol: tcp, ports: 80, source"},
		{name: "aws keeps the first four addresses", aws: true, old: "ip: 10.0.0.10", new: "ip: 10.0.0.3"},
		{name: "aws has its gateway at the second address", aws: true, old: "ip: 10.0.0.10", new: "ip: 10.0.0.1"},
		{name: "aws has no vpc wider than /16", aws: true, old: "cidr: 10.0.0.0/16", new: "cidr: 10.0.0.0/15"},

		// Endpoint services and endpoints.
		{name: "a load balancer is not known", old: "resources: [nlb1]", new: "resources: [nbl1]"},
		{name: "a load balancer is offered twice", old: "resources: [nlb1]", new: "resources: [nlb1, nlb1]"},
		{name: "a service has no resources, and nobody owns it", old: "resources: [nlb1]", new: "resources: []"},
		{name: "a service offers what another account owns", old: "resources: [nlb1]", new: "account: a, resources: [nlb1]"},
		{name: "a bandwidth is too small", old: "resources: [nlb1]", new: "bandwidth: 10, resources: [nlb1]"},
		{name: "a bandwidth is a word", old: "resources: [nlb1]", new: "bandwidth: lots, resources: [nlb1]"},
		{name: "a connection's bandwidth has no unit", old: "vpc: vpc1, subnets: [h1]", new: "impairments: {bandwidth: 100}, vpc: vpc1, subnets: [h1]"},
		{name: "a connection's bandwidth is too small", old: "vpc: vpc1, subnets: [h1]", new: "impairments: {bandwidth: 1kbit}, vpc: vpc1, subnets: [h1]"},
		{name: "a loss is no percentage", old: "vpc: vpc1, subnets: [h1]", new: "impairments: {loss: 0.5}, vpc: vpc1, subnets: [h1]"},
		{name: "a loss is more than everything", old: "vpc: vpc1, subnets: [h1]", new: "impairments: {to_provider: {loss: 101%}}, vpc: vpc1, subnets: [h1]"},
		{name: "a jitter is more than its delay", old: "vpc: vpc1, subnets: [h1]", new: "impairments: {delay: 1ms, to_consumer: {jitter: 2ms}}, vpc: vpc1, subnets: [h1]"},
		{name: "a delay is too long", old: "vpc: vpc1, subnets: [h1]", new: "impairments: {delay: 1m}, vpc: vpc1, subnets: [h1]"},
		{name: "an impairment is misspelled", old: "vpc: vpc1, subnets: [h1]", new: "impairments: {los: 1%}, vpc: vpc1, subnets: [h1]"},
		{name: "an account is whitelisted twice", old: "whitelist: [a]", new: "whitelist: [a, a]"},
		{name: "an account that is not whitelisted sees no service", old: ", whitelist: [a]", new: ""},
		{name: "a service is not known", old: "service: svc1,", new: "service: svc,"},
		{name: "an endpoint asks for a zone that is not offered", old: "subnets: [h1], security", new: "subnets: [h1, i1], security"},
		{name: "an endpoint has the name of a load balancer", old: "  ep1: {", new: "  nlb1: {", problems: 2},
		{name: "a vpc is not known", old: "service: svc1, vpc: vpc1", new: "service: svc1, vpc: vpc3"},

		// Names of one's own.
		{name: "a private zone has no domain name", old: "checks:", new: zone("domain: Corp.Example, vpcs: [vpc1]")},
		{name: "a private zone is where the instances are", old: "checks:", new: zone("domain: vpc1.internal, vpcs: [vpc1]")},
		{name: "a private zone is in an unknown vpc", old: "checks:", new: zone("domain: corp.example, vpcs: [vpc9]")},
		{name: "two private zones are one domain in one vpc", old: "checks:", new: zone("domain: corp.example, vpcs: [vpc1]}\n  z2: {domain: corp.example, vpcs: [vpc2, vpc1]")},
		{name: "a record has nothing", old: "checks:", new: zone("domain: corp.example, vpcs: [vpc1], records: [{name: db}]")},
		{name: "a record is a cname and has an address", old: "checks:", new: zone(`domain: corp.example, vpcs: [vpc1], records: [{name: db, cname: "${ep1}", a: [10.0.0.1]}]`)},
		{name: "the domain itself is a cname", old: "checks:", new: zone(`domain: corp.example, vpcs: [vpc1], records: [{cname: "${ep1}"}]`)},
		{name: "a name has two records", old: "checks:", new: zone("domain: corp.example, vpcs: [vpc1], records: [{name: db, a: [10.0.0.1]}, {name: db, txt: [x]}]")},
		{name: "a record has the whole name with a dot", old: "checks:", new: zone("domain: corp.example, vpcs: [vpc1], records: [{name: db.corp.example., a: [10.0.0.1]}]")},
		{name: "a wildcard is not the first label", old: "checks:", new: zone("domain: corp.example, vpcs: [vpc1], records: [{name: a.*, a: [10.0.0.1]}]")},
		{name: "an address is a name", old: "checks:", new: zone(`domain: corp.example, vpcs: [vpc1], records: [{name: db, a: ["${ep1}"]}]`)},
		{name: "an IPv6 address stands among the others", old: "checks:", new: zone("domain: corp.example, vpcs: [vpc1], records: [{name: db, a: [\"2001:db8::1\"]}]")},
		{name: "a cname refers to an unknown endpoint", old: "checks:", new: zone(`domain: corp.example, vpcs: [vpc1], records: [{name: db, cname: "${ep2}"}]`)},
		{name: "a cname is no name", old: "checks:", new: zone("domain: corp.example, vpcs: [vpc1], records: [{name: db, cname: a b}]")},
		{name: "an srv record has no port", old: "checks:", new: zone("domain: corp.example, vpcs: [vpc1], records: [{name: _x._tcp, srv: [{target: a.b}]}]")},
		{name: "cnames lead in a circle", old: "checks:", new: zone("domain: corp.example, vpcs: [vpc1], records: [{name: a, cname: b.corp.example}, {name: b, cname: c.corp.example}, {name: c, cname: a.corp.example}]")},
		{name: "two blocks of a vpc overlap", old: "    account: a\n", new: "    account: a\n    secondary_cidrs: [10.1.0.0/16, 10.0.128.0/17]\n"},
		{name: "two further blocks of a vpc overlap", old: "    account: a\n", new: "    account: a\n    secondary_cidrs: [10.1.0.0/16, 10.1.2.0/24]\n"},
		{name: "a further block has host bits", old: "    account: a\n", new: "    account: a\n    secondary_cidrs: [10.1.0.1/16]\n"},
		{name: "a further block is one that no vpc has", old: "    account: a\n", new: "    account: a\n    secondary_cidrs: [127.0.0.0/16]\n"},
		{name: "a vpc has too many blocks", old: "    account: a\n", new: "    account: a\n    secondary_cidrs: [10.1.0.0/16, 10.2.0.0/16, 10.3.0.0/16, 10.4.0.0/16, 10.5.0.0/16, 10.6.0.0/16]\n"},
		{name: "a vpc has too many blocks for aws", aws: true, old: "    account: a\n", new: "    account: a\n    secondary_cidrs: [10.1.0.0/16, 10.2.0.0/16, 10.3.0.0/16, 10.4.0.0/16, 10.5.0.0/16]\n"},
		{name: "a subnet is in none of two blocks", old: "    cidr: 10.0.0.0/16\n    subnets:\n      h1: {zone: cn-hangzhou-h, cidr: 10.0.0.0/24}", new: "    cidr: 10.0.0.0/16\n    secondary_cidrs: [10.1.0.0/16]\n    subnets:\n      h1: {zone: cn-hangzhou-h, cidr: 10.0.0.0/24}\n      h3: {zone: cn-hangzhou-h, cidr: 10.2.0.0/24}"},
		{name: "a peer has an address of a further block", old: "server_groups:", new: "  vpc3:\n    account: a\n    cidr: 172.16.0.0/16\n    secondary_cidrs: [10.0.64.0/24]\n    subnets: {h1: {zone: cn-hangzhou-h, cidr: 172.16.0.0/24}}\npeerings: {p: {vpcs: [vpc1, vpc3]}}\nserver_groups:"},
		{name: "an upstream is outside", old: "    account: a\n", new: "    account: a\n    dns_upstreams: [8.8.8.8]\n"},
		{name: "an upstream is the resolver", old: "    account: a\n", new: "    account: a\n    dns_upstreams: [100.100.2.136]\n"},
		{name: "only aws has private DNS names", old: "resources: [nlb1]", new: "resources: [nlb1], private_dns_name: db.example.com"},
		{name: "a private DNS name is no domain name", aws: true, old: "resources: [nlb1]", new: "resources: [nlb1], private_dns_name: db"},
		{name: "an endpoint wants a private DNS name that its service has not", aws: true, hostnames: true, old: "vpc: vpc1, subnets: [h1]", new: "private_dns: true, vpc: vpc1, subnets: [h1]"},
		// NAT gateways and their entries.
		{name: "a NAT gateway is of a type that is not supported", reverse: true, old: "type: FullNat", new: "type: Geneve"},
		{name: "a reverse endpoint answers pings", reverse: true, old: "subnets: [h2]}", new: "subnets: [h2], answer_ping: true}"},
		{name: "a NAT gateway is of no type", reverse: true, old: "    type: FullNat\n", new: ""},
		{name: "a NAT gateway is in an unknown subnet", reverse: true, old: "subnet: h1\n", new: "subnet: h2\n"},
		{name: "a NAT gateway has an instance's address", reverse: true, old: "nat_ips: [", new: "ip: 172.16.0.9\n    nat_ips: ["},
		{name: "a NAT gateway has the name of a load balancer", reverse: true, old: "nat_gateways:", new: "server_groups: {rs1: {vpc: vpc1, servers: [{instance: ecs1, port: 80}]}}\n" +
			"load_balancers: {ngw1: {type: clb, vpc: vpc1, subnets: [h1], listeners: [{protocol: tcp, port: 80, server_group: rs1}]}}\nnat_gateways:"},
		{name: "a service offers a NAT gateway and a load balancer", old: "endpoint_services:", new: "nat_gateways: {ngw1: {type: FullNat, vpc: vpc2, subnet: h2}}\nendpoint_services:\n" +
			"  svc2: {resources: [nlb1, ngw1]}"},
		{name: "aws has no NAT gateways of that type", aws: true, reverse: true, old: "nat_ips: [172.16.0.5, 172.16.0.7]", new: "nat_ips: [172.16.0.5, 172.16.0.8]"},
		{name: "a service offers an unknown resource", reverse: true, old: "resources: [ngw1]", new: "resources: [ngw2]"},
		{name: "a NAT CIDR has host bits", reverse: true, old: "nat_ips: [172", new: "nat_cidr: 172.16.0.1/24\n    nat_ips: [172"},
		{name: "a NAT CIDR is another part of the vpc", reverse: true, old: "nat_ips: [172.16.0.5, 172.16.0.7]", new: "nat_cidr: 172.16.1.0/24\n    nat_ips: [172.16.1.5, 172.16.0.7]", problems: 2},
		{name: "a NAT CIDR is in a further block of the vpc", reverse: true, old: "nat_gateways:\n", new: "  vpc3: {account: a, cidr: 172.16.0.0/16, secondary_cidrs: [10.9.0.0/16], subnets: {h1: {zone: cn-beijing-h, cidr: 172.16.0.0/24}}}\n" +
			"nat_gateways:\n  ngw2: {type: FullNat, vpc: vpc3, subnet: h1, nat_cidr: 10.9.1.0/24}\n"},
		{name: "two NAT gateways have one NAT CIDR", reverse: true, old: "nat_gateways:\n", new: "nat_gateways:\n" +
			"  ngw2: {type: FullNat, vpc: vpc1, subnet: h1, nat_cidr: 10.9.0.0/16}\n  ngw3: {type: FullNat, vpc: vpc1, subnet: h1, nat_cidr: 10.9.1.0/24}\n"},
		{name: "a NAT CIDR is public", reverse: true, old: "nat_ips: [172.16.0.5, 172.16.0.7]", new: "nat_cidr: 8.8.8.0/24\n    nat_ips: [8.8.8.5]"},
		{name: "a NAT IP is outside of the NAT CIDR", reverse: true, old: "172.16.0.7]", new: "172.16.1.7]"},
		{name: "a NAT IP is reserved", reverse: true, old: "172.16.0.7]", new: "172.16.0.254]"},
		{name: "a NAT IP is an instance's address", reverse: true, old: "172.16.0.7]", new: "172.16.0.9]"},
		{name: "a NAT IP is named twice", reverse: true, old: "172.16.0.7]", new: "172.16.0.5]"},
		{name: "AccessPort is misspelled", reverse: true, old: "access_port:", new: "acess_port:"},
		{name: "AccessPort is written as in the cloud", reverse: true, old: "access_port: 3306", new: "AccessPort: 3306"},
		{name: "AccessIp is missing", reverse: true, old: "access_ip: 192.168.0.86, ", new: ""},
		{name: "AccessIp is in no subnet of the user", reverse: true, old: "access_ip: 192.168.0.86", new: "access_ip: 172.16.0.9"},
		{name: "AccessDomain is no name", reverse: true, old: "domain: db1.com", new: "domain: DB1_com"},
		{name: "AccessDomain leads to two NAT IPs", reverse: true, old: "domain: db1.com}", new: "domain: db1.com}\n" +
			"      db2: {nat_ip: 172.16.0.7, nat_port: 3306, endpoint: ep1, access_ip: 192.168.0.86, access_port: 3306, domain: db1.com}"},
		{name: "an entry's address is no NAT IP", reverse: true, old: "nat_ip: 172.16.0.5", new: "nat_ip: 172.16.0.6"},
		{name: "an entry's port is that of another", reverse: true, old: "domain: db1.com}", new: "domain: db1.com}\n" +
			"      db2: {nat_ip: 172.16.0.5, nat_port: 3306, endpoint: ep1, access_ip: 192.168.0.86, access_port: 3307}"},
		{name: "an entry's endpoint is not known", reverse: true, old: "endpoint: ep1,", new: "endpoint: ep2,"},
		{name: "an entry's endpoint has several ENIs", reverse: true, old: "subnets: [h2]", new: "subnets: [h2, i2]"},
		{name: "an entry's endpoint is not in the zone", reverse: true, old: "endpoint: ep1,", new: "endpoint: ep1@cn-beijing-i,"},
		{name: "an entry's endpoint leads elsewhere", reverse: true, old: "nat_gateways:\n", new: "nat_gateways:\n" +
			"  ngw2: {type: FullNat, vpc: vpc1, subnet: h1, nat_ips: [172.16.0.8],\n" +
			"    full_nat: {db1: {nat_ip: 172.16.0.8, endpoint: ep1, access_ip: 192.168.0.86, access_port: 3306}}}\n"},

		// Checks.
		{name: "a check does nothing", old: `from: ecs1, get: "http://${ep1}/"`, new: "from: ecs1"},
		{name: "a check does two things", old: "from: ecs1, get", new: "from: ecs1, resolve: x, get"},
		{name: "a check says not from where", old: "from: ecs1, get", new: "get"},
		{name: "a check is from an unknown instance", old: "from: ecs1, get", new: "from: ecs4, get"},
		{name: "a check refers to an unknown endpoint", old: "${ep1}", new: "${ep2}"},
		{name: "a check refers to an unknown zone", old: "${ep1}", new: "${ep1@cn-hangzhou-i}"},
		{name: "a reference does not end", old: "${ep1}/", new: "${ep1"},
		{name: "a check has no URL", old: "http://${ep1}/", new: "${ep1}"},
		{name: "a check speaks ftp", old: "http://${ep1}/", new: "ftp://${ep1}/"},
		{name: "a check connects without a port", old: `get: "http://${ep1}/"`, new: `connect: "${ep1}"`},
		{name: "a check expects a status of a name", old: `get: "http://${ep1}/"`, new: `resolve: "${ep1}", expect: {status: 200}`},
		{name: "a check expects an error and an answer", old: `/"}`, new: `/", expect: {error: timeout, status: 200}}`},
		{name: "a check expects more bodies than it has tries", old: `/"}`, new: `/", expect: {bodies: [ecs2, ecs3]}}`},
		{name: "a check expects an address that is none", old: `get: "http://${ep1}/"`, new: `resolve: "${ep1}", expect: {addresses: [here]}`},
		{name: "an accept has an instance", old: `get: "http://${ep1}/"`, new: "accept: {service: svc1, endpoint: ep1}"},
		{name: "an operation has no verb", old: `from: ecs1, get: "http://${ep1}/"`, new: "do: {service: svc1}"},
		{name: "an operation is not known", old: `from: ecs1, get: "http://${ep1}/"`, new: "do: {verb: whitelist, service: svc1}"},
		{name: "an operation lacks a name", old: `from: ecs1, get: "http://${ep1}/"`, new: "do: {verb: whitelist-add, service: svc1}"},
		{name: "an operation has a name too many", old: `from: ecs1, get: "http://${ep1}/"`, new: "do: {verb: reject, service: svc1, endpoint: ep1, zone: cn-hangzhou-h}"},
		{name: "an operation names an unknown zone", old: `from: ecs1, get: "http://${ep1}/"`, new: "do: {verb: zone-disable, service: svc1, endpoint: ep1, zone: cn-hangzhou-i}"},
		{name: "an operation names a resource without its zone", old: `from: ecs1, get: "http://${ep1}/"`, new: "do: {verb: accept, service: svc1, endpoint: ep1, resources: [nlb1]}"},
		{name: "an operation ends as a packet does", old: `from: ecs1, get: "http://${ep1}/"`, new: "do: {verb: reject, service: svc1, endpoint: ep1}, expect: {error: timeout}"},
		{name: "a packet ends as an operation does", old: `get: "http://${ep1}/"`, new: `get: "http://${ep1}/", expect: {error: not-owner}`},
		{name: "an operation has an instance", old: `get: "http://${ep1}/"`, new: "do: {verb: reject, service: svc1, endpoint: ep1}"},
		{name: "a description is an address", old: "resources: [nlb1]", new: "resources: [nlb1], description: https://example.com"},
		{name: "an endpoint exists before its service", old: "resources: [nlb1]", new: "resources: [nlb1], exists: false"},
		{name: "a vpc has more endpoints than its quota", old: "[h1], security_groups: [web]}\n", new: "[h1], security_groups: [web]}\n  ep2: {service: svc1, vpc: vpc1, subnets: [h1]}\nquotas: {endpoints_per_vpc: 1}\n"},
		{name: "an account has more services than its quota", old: "whitelist: [a]}\n", new: "whitelist: [a]}\n  svc2: {resources: [nlb1]}\nquotas: {services_per_account: 1}\n"},
		{name: "a check accepts an unknown endpoint", old: `from: ecs1, get: "http://${ep1}/"`, new: "accept: {service: svc1, endpoint: ep}"},
		{name: "a check waits for too long", old: `/"}`, new: `/", timeout: 1h}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := tt.new
			if tt.old != "" {
				base := small
				if tt.reverse {
					base = smallReverse
				}
				require.Equal(t, 1, strings.Count(base, tt.old), "the row must say clearly what it replaces")
				text = strings.Replace(base, tt.old, tt.new, 1)
			}
			if tt.aws {
				text = strings.Replace(text, "cloud: alibaba", "cloud: aws", 1)
			}
			if tt.hostnames {
				text = strings.Replace(text, "    account: a\n", "    account: a\n    dns_hostnames: true\n", 1)
			}
			addProblems(t, &catalogue, tt.name, text, max(tt.problems, 1))
		})
	}
	if !t.Failed() {
		golden.Equal(t, "testdata/messages.txt", catalogue.String())
	}
}

// addProblems reads a file that has so many problems, and adds them to a
// catalogue under a name.
func addProblems(t *testing.T, catalogue *strings.Builder, name, text string, want int) {
	t.Helper()
	_, err := Parse("topology.yaml", []byte(text))
	var problems Problems
	require.ErrorAs(t, err, &problems)
	require.Len(t, problems, want, "%s", err)
	fmt.Fprintf(catalogue, "\n== %s\n", name)
	for _, p := range problems {
		fmt.Fprintln(catalogue, p.String())
	}
}
