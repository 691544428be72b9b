package compile_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/compile"
	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/topofile"
)

// A group of which a rule names the members, as the default group of a VPC does at AWS,
// changes with each endpoint in it. What that costs follows how many there are, and not
// each of them times all others.
func TestAGroupThatNamesItsMembersIsCompiledOnce(t *testing.T) {
	cost := func(endpoints int) float64 {
		plan, err := topofile.Parse("members.yaml", endpointsOfOneGroup(endpoints))
		require.NoError(t, err)
		plane, err := control.NewPlane(plan, time.Now)
		require.NoError(t, err)
		require.Len(t, plan.Groups(plan.MustVPC("c"), []string{"all"})[0].Ingress, endpoints)
		numbers := compile.Numbers{}
		for _, eni := range plan.ENIs() {
			numbers[eni.Device] = packet.ENI(len(numbers) + 1)
		}
		state := plane.State()
		return testing.AllocsPerRun(3, func() {
			compile.Plan(plan, state, numbers, func(string, string, string) compile.Chooser { return compile.Chooser{} })
		})
	}
	few, many := cost(40), cost(160)
	require.Less(t, many, 5*few, "four times as many endpoints")
}

func endpointsOfOneGroup(n int) []byte {
	var b strings.Builder
	b.WriteString(`
name: members
cloud: alibaba
region: eu-central-1
quotas: {endpoints_per_vpc: 0}
vpcs:
  p:
    cidr: 10.0.0.0/16
    subnets: {p: {zone: eu-central-1b, cidr: 10.0.0.0/24}}
    instances: {server: {subnet: p}}
  c:
    cidr: 10.0.0.0/16
    subnets: {c: {zone: eu-central-1b, cidr: 10.0.0.0/20}}
    security_groups: {all: {ingress: [{protocol: all, source: all}]}}
server_groups: {rs1: {vpc: p, servers: [{instance: server, port: 80}]}}
load_balancers:
  clb1: {type: clb, vpc: p, subnets: [p], listeners: [{protocol: tcp, port: 80, server_group: rs1}]}
endpoint_services: {svc1: {resources: [clb1], auto_accept: true}}
endpoints:
`)
	for i := range n {
		fmt.Fprintf(&b, "  ep%d: {service: svc1, vpc: c, subnets: [c], security_groups: [all]}\n", i)
	}
	return []byte(b.String())
}
