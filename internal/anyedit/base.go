package anyedit

import "strings"

// Base is a topology file of a cloud to begin with. It has a consumer and a
// provider that no step touches: on the instance keep-client, the endpoint
// keep-ep leads to the server keep-server, which answers at port 80 by HTTP and
// at port 7 by TCP and port 9 by UDP as an echo server.
func Base(cloud string) string { return strings.Replace(base, "CLOUD", cloud, 1) }

const base = `# What no step touches is called keep.
x-open: &open {ingress: [{protocol: all, source: 0.0.0.0/0}]}
name: steady
cloud: CLOUD
region: r1
accounts: [a, b]
vpcs:
  keep-consumer:
    account: a
    cidr: 10.0.0.0/16
    subnets: {keep-c: {zone: r1a, cidr: 10.0.0.0/24}}
    security_groups: {keep-open: *open}
    instances: {keep-client: {subnet: keep-c, ip: 10.0.0.10, security_groups: [keep-open]}}
  keep-provider:
    account: b
    cidr: 10.0.0.0/16 # as the consumer's
    subnets: {keep-p: {zone: r1a, cidr: 10.0.0.0/24}}
    security_groups: {keep-open: *open}
    instances:
      keep-server: {subnet: keep-p, ip: 10.0.0.10, security_groups: [keep-open], services: [{http: 80, body: kept}, {echo: 7}]}
server_groups:
  keep-web: {vpc: keep-provider, servers: [{instance: keep-server, port: 80}], health_check: {protocol: none}}
  keep-echo: {vpc: keep-provider, servers: [{instance: keep-server, port: 7}], health_check: {protocol: none}}
  keep-udp: {vpc: keep-provider, protocol: udp, servers: [{instance: keep-server, port: 7}], health_check: {protocol: none}}
load_balancers:
  keep-lb:
    type: nlb
    vpc: keep-provider
    subnets: [keep-p]
    listeners:
      - {protocol: tcp, port: 80, server_group: keep-web}
      - {protocol: tcp, port: 7, server_group: keep-echo}
      - {protocol: udp, port: 9, server_group: keep-udp}
endpoint_services:
  keep-svc: {resources: [keep-lb], auto_accept: true, whitelist: ["*"]}
endpoints:
  keep-ep: {service: keep-svc, vpc: keep-consumer, subnets: [keep-c], security_groups: [keep-open]}
`
