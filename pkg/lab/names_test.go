package lab_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/dns"
	"github.com/plinksim/plinksim/pkg/lab"
)

// Each row is what has happened to an endpoint in zones a and b, and the
// addresses that its name leads to then: a + is up, a - is not, with the
// reason.
func TestNamesFollowConnectionsZonesAndHealth(t *testing.T) {
	for _, tt := range []struct {
		name      string
		edit      string // "old=>new" in the topology's text
		state     func(*testing.T, *control.Plane)
		unhealthy []string
		down      string // a zone
		want      string
	}{
		{name: "nobody has accepted", want: "a- its connection is pendingAcceptance in this zone, b- its connection is pendingAcceptance in this zone"},
		{name: "all is well", state: accepted, want: "a+, b+"},
		{name: "a zone is down", state: accepted, down: "eu-central-1a", want: "a- zone eu-central-1a is down, b+"},
		{
			name: "the servers of a zone are unhealthy", state: accepted, unhealthy: []string{"provider/api-a"},
			want: "a- unhealthy: load balancer nlb has no healthy server in zone eu-central-1a for tcp/443, b+",
		},
		{
			name: "the only server of a zone has weight 0", edit: "instance: api-b, port: 443=>instance: api-b, port: 443, weight: 0", state: accepted,
			want: "a+, b- unhealthy: load balancer nlb has no healthy server in zone eu-central-1b for tcp/443",
		},
		{
			name: "zones share their servers", edit: "type: nlb,=>type: nlb, cross_zone: true,", state: accepted,
			unhealthy: []string{"provider/api-a"}, want: "a+, b+",
		},
		{
			name: "zones share their servers, and all are unhealthy", edit: "type: nlb,=>type: nlb, cross_zone: true,", state: accepted,
			unhealthy: []string{"provider/api-a", "provider/api-b"},
			want:      "a- unhealthy: load balancer nlb has no healthy server for tcp/443, b- unhealthy: load balancer nlb has no healthy server for tcp/443",
		},
		{
			name: "one server group without a healthy server is enough", state: accepted, unhealthy: []string{"provider/api-a"},
			edit: "listeners: [=>listeners: [{protocol: tcp, port: 80, server_group: always}, ",
			want: "a- unhealthy: load balancer nlb has no healthy server in zone eu-central-1a for tcp/443, b+",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("testdata", "two-zones.yaml"))
			require.NoError(t, err)
			if before, after, ok := strings.Cut(tt.edit, "=>"); ok {
				require.Contains(t, string(text), before)
				text = []byte(strings.Replace(string(text), before, after, 1))
			}
			text = []byte(strings.Replace(string(text), "server_groups:\n", "server_groups:\n  always: {vpc: provider, health_check: {protocol: none}, servers: [{instance: api-a, port: 443}, {instance: api-b, port: 443}]}\n", 1))
			s := situationOf(t, text, tt.state, tt.unhealthy)
			s.ZonesDown = map[string]bool{tt.down: true}
			name := nameOf(t, lab.CompileNames(s.Plan, s.State, s.Health)["consumer"], s.Plan.Endpoints[0].Domain)
			var got []string
			for _, a := range name.Addrs {
				text := strings.TrimPrefix(a.Zone, "eu-central-1")
				switch {
				case a.Up:
					text += "+"
				case a.Unhealthy:
					text += "- unhealthy: " + a.Why
				default:
					text += "- " + a.Why
				}
				got = append(got, text)
			}
			require.Equal(t, tt.want, strings.Join(got, ", "))
		})
	}
}

func accepted(t *testing.T, plane *control.Plane) {
	require.NoError(t, plane.Accept("", "api", "to-api"))
	plane.Report(plane.Revision())
}

func nameOf(t *testing.T, cfg dns.Config, fqdn string) dns.Name {
	t.Helper()
	for _, n := range cfg.Names {
		if n.FQDN == fqdn {
			return n
		}
	}
	t.Fatalf("%s has no name", fqdn)
	return dns.Name{}
}
