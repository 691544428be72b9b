package compile_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/compile"
	"github.com/plinksim/plinksim/pkg/topology"
)

func TestCountersOfLinksSayWhatTheyAreOf(t *testing.T) {
	labels := compile.LabelsOfLinks(&topology.Plan{
		Endpoints: []topology.Endpoint{{Name: "ep1"}},
		NATGateways: []topology.NATGateway{{Name: "ngw1", Entries: []topology.FullNATEntry{
			{Name: "mysql1", Endpoint: "ep2", Zone: "z", Protocol: topology.TCP, NATPort: 3307},
		}}},
	})
	for name, want := range map[string]compile.LinkLabels{
		"ep1@eu-central-1b tcp/80":              {Endpoint: "ep1", Zone: "eu-central-1b", Protocol: "tcp", Port: "80"},
		"ep1@eu-central-1b tcp/80 ipv6":         {Endpoint: "ep1", Zone: "eu-central-1b", Protocol: "tcp", Port: "80"},
		"ep1@eu-central-1b tcp/80 ipv6 by clb2": {Endpoint: "ep1", Zone: "eu-central-1b", Protocol: "tcp", Port: "80"},
		"ep1@eu-central-1b icmp":                {Endpoint: "ep1", Zone: "eu-central-1b", Protocol: "icmp"},
		"clb1@eu-central-1b udp/53":             {Zone: "eu-central-1b", Protocol: "udp", Port: "53"},
		"ngw1/mysql1":                           {Endpoint: "ep2", Zone: "z", Protocol: "tcp", Port: "3307"},
		"":                                      {},
	} {
		require.Equal(t, want, labels(name), name)
	}
}
