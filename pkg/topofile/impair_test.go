package topofile

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/topology"
)

func TestImpairmentsOfADirectionStandAboveThoseOfBothAndTheServices(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		name, service, endpoint string
		cloud                   string
		want                    topology.Impairments
	}{
		{name: "an NLB scales where nothing is said", want: topology.Impairments{}},
		{name: "an NLB has more than a CLB can have", service: "bandwidth: 50000, ", want: topology.Impairments{
			ToProvider: topology.Impairment{Bandwidth: 50e9}, ToConsumer: topology.Impairment{Bandwidth: 50e9},
		}},
		{name: "the profile has no limit", cloud: "rfc", want: topology.Impairments{}},
		{name: "the service has no limit", service: "bandwidth: none, ", want: topology.Impairments{}},
		{name: "the endpoint has no limit", endpoint: "impairments: {bandwidth: none}, ", want: topology.Impairments{}},
		{name: "both directions", service: "bandwidth: 100, ",
			endpoint: "impairments: {delay: 10ms, jitter: 2ms, loss: 1%, reorder: 2%, duplicate: 0.5%, corrupt: 0.25%, seed: 7}, ",
			want: topology.Impairments{
				ToProvider: topology.Impairment{Bandwidth: 100e6, Delay: 10 * ms, Jitter: 2 * ms, Loss: 0.01, Reorder: 0.02, Duplicate: 0.005, Corrupt: 0.0025},
				ToConsumer: topology.Impairment{Bandwidth: 100e6, Delay: 10 * ms, Jitter: 2 * ms, Loss: 0.01, Reorder: 0.02, Duplicate: 0.005, Corrupt: 0.0025},
				Seed:       7,
			}},
		{name: "one direction", service: "bandwidth: 100, ",
			endpoint: "impairments: {delay: 10ms, loss: 1%, to_consumer: {loss: 0, delay: 5ms, bandwidth: 2.5Gbit}}, ",
			want: topology.Impairments{
				ToProvider: topology.Impairment{Bandwidth: 100e6, Delay: 10 * ms, Loss: 0.01},
				ToConsumer: topology.Impairment{Bandwidth: 2.5e9, Delay: 5 * ms},
			}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.Replace(small, "svc1: {", "svc1: {"+tt.service, 1)
			text = strings.Replace(text, "ep1: {", "ep1: {"+tt.endpoint, 1)
			if tt.cloud != "" {
				text = strings.Replace(text, "cloud: alibaba", "cloud: "+tt.cloud, 1)
			}
			plan, err := Parse("topology.yaml", []byte(text))
			require.NoError(t, err)
			require.Equal(t, tt.want, plan.Endpoints[0].Impairments)
		})
	}
}

func TestABandwidthFollowsTheTypeOfTheLoadBalancer(t *testing.T) {
	for _, tt := range []struct {
		cloud, kind, bandwidth string
		want                   int
		problem                string
	}{
		{cloud: "alibaba", kind: "nlb", want: 0},
		{cloud: "alibaba", kind: "clb", want: 3072},
		{cloud: "alibaba", kind: "clb", bandwidth: "bandwidth: 10240, ", want: 10240},
		{cloud: "alibaba", kind: "clb", bandwidth: "bandwidth: 10241, ",
			problem: `endpoint service "svc1": a connection to a clb has at most 10240 Mbit/s`},
		{cloud: "aws", kind: "nlb", want: 10000},
	} {
		text := strings.Replace(small, "svc1: {", "svc1: {"+tt.bandwidth, 1)
		text = strings.Replace(text, "cloud: alibaba", "cloud: "+tt.cloud, 1)
		text = strings.Replace(text, "type: nlb", "type: "+tt.kind, 1)
		plan, err := Parse("topology.yaml", []byte(text))
		if tt.problem != "" {
			require.ErrorContains(t, err, tt.problem)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, tt.want, plan.Services[0].Bandwidth, "%s %s", tt.cloud, tt.kind)
	}
}
