package compile_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// A dual-stack endpoint has a way by each of its addresses, and who has no
// IPv6 takes the other.
func TestExplainByIPv6(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(topologies, "aws-dualstack.yaml"))
	require.NoError(t, err)
	s := situationOf(t, text, nil, nil)
	for _, tt := range []struct {
		name, from, to string
		ways           int
		stops          string // at the last way; "" where it passes
		says           string
	}{
		{name: "a name has an address of each kind", from: "app", to: "ep1:80", ways: 2, says: "allow tcp 80 from 10.0.0.0/24"},
		{name: "a server with IPv6 is asked by IPv6", from: "app", to: "ep1:8080", ways: 2, says: "allow tcp 80 from 2001:db8:1::/64"},
		{name: "the endpoint's group sees the IPv6 address", from: "other", to: "ep1:80", ways: 2, stops: "security group", says: `no rule of security group "web" allows it`},
		{name: "an instance has one too", from: "app", to: "[2001:db8:1:1::a00:10a]:22", ways: 1, says: `security group "inside": allow all from 2001:db8:1::/56`},
		{name: "nobody has the address", from: "app", to: "[2001:db8:1::99]:80", ways: 1, stops: "address", says: "nobody in VPC vpc1 has the address"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, err := s.Explain(tt.from, tt.to)
			require.NoError(t, err)
			require.Len(t, e.Ways, tt.ways)
			way := e.Ways[tt.ways-1]
			last := way.Stations[len(way.Stations)-1]
			if stop := way.Stops(); tt.stops != "" {
				require.NotNil(t, stop)
				require.Equal(t, tt.stops, stop.Name)
				last = *stop
			} else {
				require.Nil(t, stop)
			}
			require.Contains(t, last.Text, tt.says)
		})
	}
}
