package lab_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/fullnat"
	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/topology"
)

// What a gateway sends to a server comes from the provider's instance, and it
// is the server's port that counts. Which rules are asked is a cloud's choice.
func TestTheGroupsOfAReverseEndpoint(t *testing.T) {
	const source, server = "source: 172.16.0.9/32", "destination: 192.168.0.86/32"
	for _, tt := range []struct {
		name  string
		cloud string
		rules string
		want  bool
	}{
		{"alibaba asks the ingress rules", "alibaba", "ingress: [{protocol: tcp, ports: 3306, " + source + "}], egress: []", true},
		{"alibaba asks for the server's port, not for that of the NAT IP", "alibaba", "ingress: [{protocol: tcp, ports: 13306, " + source + "}]", false},
		{"rfc asks the egress rules", "rfc", "ingress: [], egress: [{protocol: tcp, ports: 3306, " + server + "}]", true},
		{"rfc has all egress open where no rule is given", "rfc", "ingress: []", true},
		{"rfc does not ask the ingress rules", "rfc", "ingress: [{protocol: all, source: 0.0.0.0/0}], egress: []", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(topologies, "alibaba-reverse.yaml"))
			require.NoError(t, err)
			edited := strings.NewReplacer(
				"cloud: alibaba", "cloud: "+tt.cloud,
				"nat_ip: 172.16.0.5, nat_port: 3306", "nat_ip: 172.16.0.5, nat_port: 13306",
				"all: {ingress: [{protocol: all, source: 0.0.0.0/0}]}", "all: {"+tt.rules+"}",
			).Replace(string(text))
			plan, err := topology.Parse("reverse.yaml", []byte(edited))
			require.NoError(t, err)
			plane, err := control.NewPlane(plan, func() time.Time { return morning })
			require.NoError(t, err)
			link := lab.Compile(plan, plane.State(), lab.Numbers{}, nil).Dataplane.NAT.Links[0]
			require.Equal(t, "ngw1/mysql1", link.Name)
			first := fullnat.Tuple{Src: netip.MustParseAddrPort("172.16.0.9:40000"), Dst: link.Match, Protocol: unix.IPPROTO_TCP}
			require.Equal(t, tt.want, link.Admit(first))
		})
	}
}
