package compile_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/fullnat"
)

// Each row is a question about reverse access; the answer is where the packet
// stops, and the session table, given the real packet, says the same.
func TestExplainReverseAccess(t *testing.T) {
	connect := func(t *testing.T, plane *control.Plane) { plane.Report(plane.Revision()) }
	for _, tt := range []struct {
		name     string
		edit     string // "old=>new" in the topology's text
		from, to string
		stops    string // "" where it passes
		verdict  fullnat.Verdict
		says     string // of the station that stops, or of the last one
	}{
		{name: "by the name in the hosts file", from: "reverse-vpc", to: "mysql1.com", says: `mysql1: security group "mysql": allow tcp 3306 from 192.168.0.0/16`},
		{name: "by the NAT IP", from: "reverse-vpc", to: "172.16.0.7:3306", says: "mysql2:"},
		{name: "a port without an entry", from: "reverse-vpc", to: "172.16.0.5:22", stops: "entry", verdict: fullnat.NoListener, says: "no FullNAT entry of NAT gateway ngw1 leads from 172.16.0.5 tcp 22"},
		{name: "the gateway's own address", from: "reverse-vpc", to: "ngw1.ip:3306", stops: "entry", verdict: fullnat.NotOurs, says: "no FullNAT entry"},
		{name: "nobody has accepted", edit: "auto_accept: true=>auto_accept: false", from: "reverse-vpc", to: "mysql1.com", stops: "connection", verdict: fullnat.NotConnected, says: "its provider has not accepted it"},
		{name: "the endpoint's group is closed", edit: "all: {ingress: [{protocol: all, source: 0.0.0.0/0}]}=>all: {ingress: []}", from: "reverse-vpc", to: "mysql1.com", stops: "security group", verdict: fullnat.Denied, says: "ep1: "},
		{name: "the server's group is without the port", edit: "mysql: {ingress: [{protocol: tcp, ports: 3306,=>mysql: {ingress: [{protocol: tcp, ports: 3307,", from: "reverse-vpc", to: "mysql1.com", stops: "server", verdict: fullnat.Forwarded, says: "it comes from 192.168.0."},
		{name: "an address that no instance has", edit: "access_ip: 192.168.0.86=>access_ip: 192.168.0.99", from: "reverse-vpc", to: "mysql1.com", stops: "server", verdict: fullnat.Forwarded, says: "nobody in VPC user has the address 192.168.0.99"},
		{name: "the user to the reverse endpoint", from: "mysql1", to: "ep1.ip:22", stops: "address", verdict: fullnat.NoSession, says: "connections come out of it, and nobody can open one to it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file, err := os.ReadFile(filepath.Join(topologies, "alibaba-reverse.yaml"))
			require.NoError(t, err)
			text := string(file)
			if before, after, ok := strings.Cut(tt.edit, "=>"); ok {
				require.Contains(t, text, before)
				text = strings.Replace(text, before, after, 1)
			}
			s := situationOf(t, []byte(text), connect, nil)
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
				last = *stop
			}
			require.Contains(t, last.Text, tt.says)
			if tt.verdict != fullnat.Forwarded {
				require.Equal(t, tt.verdict.String(), last.Verdict)
			}
			require.Equal(t, tt.verdict, verdictOf(t, s, e, way.Address))
		})
	}
}
