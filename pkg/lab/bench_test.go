package lab_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

// largeLab is a topology of one service and many clients.
func largeLab(vpcs, instances, endpoints int) []byte {
	var b strings.Builder
	b.WriteString("name: big\ncloud: alibaba\nregion: eu-central-1\nvpcs:\n")
	b.WriteString("  p: {cidr: 192.168.0.0/16, subnets: {s: {zone: eu-central-1b, cidr: 192.168.0.0/24}}, instances: {ecs: {subnet: s}}}\n")
	for v := range vpcs {
		fmt.Fprintf(&b, "  v%d:\n    cidr: 10.0.0.0/16\n    subnets: {s: {zone: eu-central-1b, cidr: 10.0.0.0/24}}\n    security_groups: {web: {ingress: [{protocol: tcp, source: 0.0.0.0/0}]}}\n    instances:\n", v)
		for i := range instances / vpcs {
			fmt.Fprintf(&b, "      i%d: {subnet: s}\n", i)
		}
	}
	b.WriteString("server_groups: {rs1: {vpc: p, servers: [{instance: ecs, port: 80}], health_check: {protocol: none}}}\n")
	b.WriteString("load_balancers: {clb1: {type: clb, vpc: p, subnets: [s], listeners: [{protocol: tcp, port: 80, server_group: rs1}]}, more: {type: clb, vpc: p, subnets: [s], listeners: []}}\n")
	b.WriteString("endpoint_services: {svc1: {resources: [clb1], auto_accept: true}}\nquotas: {endpoints_per_vpc: 0}\nendpoints:\n")
	for e := range endpoints {
		fmt.Fprintf(&b, "  ep%d: {service: svc1, vpc: v%d, subnets: [s]}\n", e, e%vpcs)
	}
	return []byte(b.String())
}

// BenchmarkEdit is one edit of a large lab without the kernel's part: an
// endpoint, whose name every resolver learns, and a rule of a security group.
func BenchmarkEdit(b *testing.B) {
	for _, size := range []struct{ vpcs, instances, endpoints int }{{2, 10, 2}, {100, 1000, 200}} {
		plan, err := topofile.Parse("big.yaml", largeLab(size.vpcs, size.instances, size.endpoints))
		require.NoError(b, err)
		for _, edit := range []topology.Edit{
			{Path: "endpoints/new%d", Value: "{service: svc1, vpc: v1, subnets: [s]}"},
			{Path: "vpcs/v1/security_groups/new%d", Value: "{ingress: [{protocol: tcp, source: 0.0.0.0/0}]}"},
			{Path: "load_balancers/new%d", Value: "{type: clb, vpc: p, subnets: [s], listeners: [{protocol: tcp, port: 80, server_group: rs1}]}"},
			{Path: "vpcs/v1/instances/new%d", Value: "{subnet: s}"},
			{Path: "load_balancers/more/listeners/-", Value: "{protocol: tcp, port: %d, server_group: rs1}"},
		} {
			b.Run(fmt.Sprintf("%d instances/%s", size.instances, strings.Join(topology.SplitPath(edit.Path), "-")), func(b *testing.B) {
				l, err := lab.Start(b.Context(), lab.Config{Plan: plan, Machine: newFakeMachine()})
				require.NoError(b, err)
				n := 0
				for b.Loop() {
					n++
					one := topology.Edit{Path: edit.Path, Value: edit.Value}
					if strings.Contains(edit.Path, "%d") {
						one.Path = fmt.Sprintf(edit.Path, n)
					} else {
						one.Value = fmt.Sprintf(edit.Value, 10000+n)
					}
					_, err := l.Edit(b.Context(), []topology.Edit{one}, 10*time.Second)
					require.NoError(b, err)
				}
				require.NoError(b, l.Close(context.Background()))
			})
		}
	}
}
