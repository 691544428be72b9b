package compile_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/topology"
)

func TestExplainKnowsALBs(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(topologies, "alibaba-alb-zonal.yaml"))
	require.NoError(t, err)
	text = bytes.Replace(text, []byte("protocol: http\n    scheduler"), []byte("protocol: http\n    fail_open: false\n    scheduler"), 1)
	accept := func(t *testing.T, plane *control.Plane) {
		_, err := plane.Do(topology.Operation{Verb: "accept", Service: "svc1", Endpoint: "ep1"})
		require.NoError(t, err)
		plane.Report(plane.Revision())
	}
	for _, tt := range []struct {
		name, from, to string
		unhealthy      []string
		stops, verdict string
		says           string // of the station that stops, or of the last one
	}{
		{name: "through the endpoint", from: "ecs01", to: "http://ep1@cn-hangzhou-h/", says: "ecs03: no security group filters it"},
		{
			name: "the session is open, and its requests have no server", from: "ecs01", to: "ep1@cn-hangzhou-h", unhealthy: []string{"vpc2/ecs03"},
			stops: "servers", verdict: "503 Service Unavailable", says: "ecs03 is unhealthy (it does not answer); ecs04 is in another zone",
		},
		{name: "from the ALB's own VPC", from: "ecs04", to: "http://alb1.ip/", says: "ecs03: no security group filters it"},
		{name: "at a port without a listener", from: "ecs04", to: "alb1.ip:81", stops: "listener", says: "load balancer alb1 does not listen on tcp 81"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := situationOf(t, text, accept, tt.unhealthy)
			e, err := s.Explain(tt.from, tt.to)
			require.NoError(t, err)
			require.Len(t, e.Ways, 1)
			way := e.Ways[0]
			last := way.Stations[len(way.Stations)-1]
			if stop := way.Stops(); tt.stops == "" {
				require.Nil(t, stop)
			} else {
				require.NotNil(t, stop)
				require.Equal(t, tt.stops, stop.Name)
				require.Equal(t, tt.verdict, stop.Verdict)
				last = *stop
			}
			require.Contains(t, last.Text, tt.says)
		})
	}
}
