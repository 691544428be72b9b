package compile_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/compile"
	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

const live = `
name: live
cloud: alibaba
region: eu-central-1
vpcs:
  vpc1:
    cidr: 10.0.0.0/16
    subnets: {vsw1: {zone: eu-central-1b, cidr: 10.0.0.0/24}}
    security_groups:
      web: {ingress: [{protocol: tcp, ports: 80, source: 0.0.0.0/0}]}
      none: {ingress: []}
  vpc2:
    cidr: 10.0.0.0/16
    subnets: {vsw2: {zone: eu-central-1b, cidr: 10.0.0.0/24}}
    instances: {ecs2: {subnet: vsw2}}
server_groups:
  rs1: {vpc: vpc2, servers: [{instance: ecs2, port: 80}]}
load_balancers:
  clb1: {type: clb, vpc: vpc2, subnets: [vsw2], listeners: [{protocol: tcp, port: 80, server_group: rs1}]}
  clb2: {type: clb, vpc: vpc2, subnets: [vsw2], listeners: [{protocol: tcp, port: 80, server_group: rs1}]}
endpoint_services:
  svc1: {resources: [clb1, clb2], auto_accept: true}
endpoints:
  ep1: {service: svc1, vpc: vpc1, subnets: [vsw1], security_groups: [web]}
`

// What operations change is what the data plane is told, one row for each.
func TestOperationsAreCompiled(t *testing.T) {
	const name = "ep1@eu-central-1b tcp/80"
	zone := topology.Operation{Service: "svc1", Endpoint: "ep1", Zone: "eu-central-1b"}
	with := func(o topology.Operation, verb topology.Verb, change func(*topology.Operation)) topology.Operation {
		o.Verb = verb
		if change != nil {
			change(&o)
		}
		return o
	}
	for _, tt := range []struct {
		name string
		do   []topology.Operation
		want []string // the links, and what is true of them
	}{
		{"nothing", nil, []string{name + ", to the old one: connected admits"}},
		{"a zone is disabled", []topology.Operation{with(zone, "zone-disable", nil)}, []string{name + ", to the old one: admits"}},
		{"a zone gets another load balancer", []topology.Operation{with(zone, "replace", nil)},
			[]string{name + ", to the new one: connected admits", name + " by OLD, to the old one: connected draining admits"}},
		{"by force", []topology.Operation{with(zone, "replace", func(o *topology.Operation) { o.Force = true })},
			[]string{name + ", to the new one: connected admits"}},
		{"and the old one is released", []topology.Operation{with(zone, "replace", nil), with(zone, "release", nil)},
			[]string{name + ", to the new one: connected admits"}},
		{"the group that lets it in is gone", []topology.Operation{
			{Verb: "group-add", Endpoint: "ep1", SecurityGroup: "none"}, {Verb: "group-remove", Endpoint: "ep1", SecurityGroup: "web"}},
			[]string{name + ", to the old one: connected"}},
		{"there is no group", []topology.Operation{{Verb: "group-remove", Endpoint: "ep1", SecurityGroup: "web"}},
			[]string{name + ", to the old one: connected admits"}},
		{"the endpoint is gone", []topology.Operation{
			{Verb: "zone-remove", Endpoint: "ep1", Zone: "eu-central-1b"}, {Verb: "endpoint-delete", Endpoint: "ep1"}}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			plan, err := topofile.Parse("live.yaml", []byte(live))
			require.NoError(t, err)
			plane, err := control.NewPlane(plan, func() time.Time { return morning })
			require.NoError(t, err)
			plane.Report(plane.Revision())
			first := plane.State().Connections[0].Zones[0].LoadBalancer
			for _, o := range tt.do {
				_, err := plane.Do(o)
				require.NoError(t, err)
				plane.Report(plane.Revision())
			}
			state := plane.State()
			require.Equal(t, tt.want, links(t, state, first))
		})
	}
}

// links writes down the links that are compiled; the load balancer that lot
// has chosen first is the old one.
func links(t *testing.T, state control.Snapshot, first string) (out []string) {
	numbers, which := compile.Numbers{}, map[packet.ENI]string{}
	for _, eni := range state.Plan.ENIs() {
		numbers[eni.Device] = packet.ENI(len(numbers) + 1)
		which[numbers[eni.Device]] = "new"
		if strings.HasPrefix(eni.Name, first+"@") {
			which[numbers[eni.Device]] = "old"
		}
	}
	flow := packet.FiveTuple{Src: netip.MustParseAddrPort("10.0.0.9:1"), Dst: netip.MustParseAddrPort("10.0.0.8:80"), Protocol: packet.ProtocolTCP}
	nobody := func(_, _, _ string) compile.Chooser { return compile.Chooser{} }
	for _, l := range compile.Plan(state.Plan, state, numbers, nobody).Dataplane.NAT.Links {
		if l.Ingress == l.Egress {
			continue // for clients of the load balancer's own VPC
		}
		text := strings.ReplaceAll(l.Name, "by "+first, "by OLD") + ", to the " + which[l.Egress] + " one:"
		if l.Connected {
			text += " connected"
		}
		if l.Draining {
			text += " draining"
			require.Equal(t, "ep1@eu-central-1b tcp/80", l.Was)
		}
		if l.Admit == nil || l.Admit(flow) {
			text += " admits"
		}
		out = append(out, text)
	}
	return out
}
