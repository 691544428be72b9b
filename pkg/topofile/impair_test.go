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
		{name: "nothing is said", want: topology.Impairments{
			ToProvider: topology.Impairment{Bandwidth: 1024e6}, ToConsumer: topology.Impairment{Bandwidth: 1024e6},
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
