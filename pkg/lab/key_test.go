package lab

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/topology"
)

// Programs that outlive a daemon are known by their keys, also to one of another version.
func TestKeysOfServicesStay(t *testing.T) {
	for _, s := range []serviceSpec{
		{topology.Instance{Namespace: "v.i", IP: netip.MustParseAddr("10.0.0.1")}, topology.InstanceService{Kind: topology.HTTPService, Port: 80, Body: "a \"b\"\n"}},
		{topology.Instance{Namespace: "v.i", IP: netip.MustParseAddr("10.0.0.1")}, topology.InstanceService{Kind: topology.CommandService, Argv: []string{"sh", "-c", "x y"}}},
	} {
		require.Equal(t, fmt.Sprintf("%s %s %s %d %q %q", s.instance.Namespace, s.instance.IP, s.Kind, s.Port, s.Body, s.Argv), s.key())
	}
}
