package bench

import (
	"fmt"
	"strings"

	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

// topologyOf is the file of both topologies. The addresses of the two VPCs
// differ, so that a router can do what the core does.
func topologyOf(name string, clients, sessions int) (*topology.Plan, error) {
	var instances []string
	for i := range clients {
		instances = append(instances, fmt.Sprintf("%s: {subnet: left, ip: 10.1.0.%d}", clientName(i), 10+i))
	}
	limit := ""
	if sessions > usualSessions {
		limit = fmt.Sprintf("max_sessions: %d\n", sessions+usualSessions)
	}
	var groups, listeners strings.Builder
	listen := func(protocol string, port int) {
		fmt.Fprintf(&groups, "  %s-%d: {vpc: provider, protocol: %s, health_check: {protocol: none}, servers: [{instance: server, port: %d}]}\n", protocol, port, protocol, port)
		fmt.Fprintf(&listeners, "      - {protocol: %s, port: %d, server_group: %s-%d}\n",
			protocol, port, protocol, port)
	}
	for _, port := range tcpPorts() {
		listen("tcp", port)
	}
	listen("udp", countPort)
	for i := range flowPorts {
		listen("udp", firstFlowPort+i)
		listen("tcp", firstFlowPort+i)
	}
	text := fmt.Sprintf(`name: %s
cloud: alibaba
region: bench
accounts: [a]
%svpcs:
  consumer:
    cidr: 10.1.0.0/16
    subnets: {left: {zone: z1, cidr: 10.1.0.0/24}}
    instances: {%s}
  provider:
    cidr: 10.2.0.0/16
    subnets: {right: {zone: z1, cidr: 10.2.0.0/24}}
    instances: {server: {subnet: right, ip: 10.2.0.10}}
server_groups:
%sload_balancers:
  clb:
    type: clb
    vpc: provider
    subnets: [right]
    listeners:
%sendpoint_services:
  service: {resources: [clb], auto_accept: true, bandwidth: none}
endpoints:
  endpoint: {service: service, vpc: consumer, subnets: [left]}
`, name, limit, strings.Join(instances, ", "), groups.String(), listeners.String())
	plan, err := topofile.Parse(name+".yaml", []byte(text))
	if err != nil {
		return nil, fmt.Errorf("the topology of the benchmark: %w", err)
	}
	return plan, nil
}

// usualSessions is how many sessions a load may have without a word on it in the file; the
// default of max_sessions is more.
const usualSessions = 200_000

// clientName is the name of an instance that loads.
func clientName(i int) string {
	switch i {
	case 0:
		return "client"
	case 1:
		return "second"
	}
	return fmt.Sprintf("client%d", i+1)
}
