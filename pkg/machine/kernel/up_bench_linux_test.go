package kernel_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/compile"
	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/dns"
	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/labdir"
	"github.com/plinksim/plinksim/pkg/lb"
	"github.com/plinksim/plinksim/pkg/machine/kernel"
	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

// big is a topology of many VPCs with the same addresses, every other one a
// provider, and endpoints from consumers to providers in turn.
func big(t testing.TB, vpcs, instances, endpoints int) *topology.Plan {
	t.Helper()
	var b strings.Builder
	b.WriteString("name: big\ncloud: alibaba\nregion: eu-central-1\naccounts: [a]\nvpcs:\n")
	for v := range vpcs {
		fmt.Fprintf(&b, "  v%d:\n    cidr: 10.0.0.0/16\n    subnets: {s: {zone: eu-central-1b, cidr: 10.0.0.0/20}}\n    instances:\n", v)
		for i := range instances {
			service := ""
			if v%2 == 1 && i == 0 {
				service = ", services: [{http: 80, body: hello}]"
			}
			fmt.Fprintf(&b, "      i%d-%d: {subnet: s, ip: 10.0.%d.%d%s}\n", v, i, i/200, 10+i%200, service)
		}
	}
	section := func(name, format string) {
		fmt.Fprintln(&b, name)
		for v := 1; v < vpcs; v += 2 {
			fmt.Fprintf(&b, format, v)
		}
	}
	section("server_groups:", "  g%[1]d: {vpc: v%[1]d, protocol: tcp, servers: [{instance: i%[1]d-0, port: 80}]}\n")
	section("load_balancers:", "  lb%[1]d: {type: clb, vpc: v%[1]d, subnets: [s], listeners: [{protocol: tcp, port: 80, server_group: g%[1]d}]}\n")
	section("endpoint_services:", "  svc%[1]d: {resources: [lb%[1]d], auto_accept: true}\n")
	b.WriteString("endpoints:\n")
	for e := range endpoints {
		pair := e % (vpcs / 2)
		consumer := (pair + e/(vpcs/2)) % (vpcs / 2)
		fmt.Fprintf(&b, "  ep%d: {service: svc%d, vpc: v%d, subnets: [s]}\n", e, 2*pair+1, 2*consumer)
	}
	plan, err := topofile.Parse("big.yaml", []byte(b.String()))
	require.NoError(t, err)
	return plan
}

// BenchmarkPutInForce is what every change of the control plane costs.
func BenchmarkPutInForce(b *testing.B) {
	plan := big(b, 100, 10, 200)
	plane, err := control.NewPlane(plan, time.Now)
	require.NoError(b, err)
	numbers := compile.Numbers{}
	for i, eni := range plan.ENIs() {
		numbers[eni.Device] = packet.ENI(i + 1)
	}
	pick := func(string, string, string) compile.Chooser { return compile.Chooser{} }
	health := compile.Health{Servers: func(string) []lb.ServerHealth { return nil }}
	b.Run("step=compile", func(b *testing.B) {
		for b.Loop() {
			compile.Plan(plan, plane.State(), numbers, pick)
		}
	})
	b.Run("step=views", func(b *testing.B) {
		for b.Loop() {
			names := compile.Names(plan, plane.State(), health)
			public, err := dns.NewPublic(names.Public, nil)
			require.NoError(b, err)
			for _, cfg := range names.VPCs {
				_, err := dns.NewViewWith(public, cfg)
				require.NoError(b, err)
			}
		}
	})
}

// BenchmarkUp is the whole way up and down. The kernel goes on removing
// namespaces after that, which the next round has to wait for.
func BenchmarkUp(b *testing.B) {
	testenv.NeedRoot(b)
	for _, size := range []struct{ vpcs, instances, endpoints int }{{2, 2, 1}, {100, 10, 200}} {
		plan := big(b, size.vpcs, size.instances, size.endpoints)
		b.Run(fmt.Sprintf("vpcs=%d/instances=%d/endpoints=%d", size.vpcs, size.vpcs*size.instances, size.endpoints), func(b *testing.B) {
			var down time.Duration
			for b.Loop() {
				dir := labdir.Dir(b.TempDir() + "/big")
				require.NoError(b, os.Mkdir(string(dir), 0o700))
				running, err := lab.Start(b.Context(), lab.Config{Plan: plan, Machine: kernel.New(dir), Store: dir})
				require.NoError(b, err)
				start := time.Now()
				require.NoError(b, running.Close(context.Background()))
				down += time.Since(start)
			}
			b.ReportMetric(down.Seconds()/float64(b.N), "s-down/op")
		})
	}
}
