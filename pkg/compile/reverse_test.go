package compile_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/plinksim/plinksim/pkg/compile"
	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/fullnat"
	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/topofile"
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
			plan, err := topofile.Parse("reverse.yaml", []byte(edited))
			require.NoError(t, err)
			plane, err := control.NewPlane(plan, func() time.Time { return morning })
			require.NoError(t, err)
			link := compile.Plan(plan, plane.State(), compile.Numbers{}, nil).Dataplane.NAT.Links[0]
			require.Equal(t, "ngw1/mysql1", link.Name)
			first := packet.FiveTuple{Src: netip.MustParseAddrPort("172.16.0.9:40000"), Dst: link.Match, Protocol: packet.ProtocolTCP}
			require.Equal(t, tt.want, link.Admit(first))
		})
	}
}

// Whatever is done to a gateway, in whatever order, with whatever file: what is
// compiled is what a session table takes, and the control plane's view of it
// has what the table was told.
func TestTheTableTakesWhateverIsDoneToAGateway(t *testing.T) {
	file, err := os.ReadFile(filepath.Join(topologies, "alibaba-reverse.yaml"))
	require.NoError(t, err)
	head, _, _ := strings.Cut(string(file), "\nchecks:")
	var plans []*topology.Plan
	for _, edit := range [][2]string{
		{"", ""},
		{"nat_ip: 172.16.0.7, nat_port: 3306", "nat_ip: 172.16.0.5, nat_port: 33"},
		{"172.16.0.7]", "172.16.0.7, 172.16.0.8]"},
		{"      mysql2: {nat_ip: 172.16.0.7,", "      other: {nat_ip: 172.16.0.7,"},
	} {
		plan, err := topofile.Parse("reverse.yaml", []byte(strings.Replace(head, edit[0], edit[1], 1)))
		require.NoError(t, err)
		plans = append(plans, plan)
	}
	addrs := []string{"172.16.0.5", "172.16.0.7", "172.16.0.8"}
	rapid.Check(t, func(t *rapid.T) {
		file := func() *topology.Plan { return plans[rapid.IntRange(0, len(plans)-1).Draw(t, "file")] }
		plane, err := control.NewPlane(plans[0], func() time.Time { return morning })
		require.NoError(t, err)
		table, err := fullnat.New(fullnat.Options{Seed: 1})
		require.NoError(t, err)
		defer func() { require.NoError(t, table.Close()) }()
		pick := func(label string, from ...string) string { return rapid.SampledFrom(from).Draw(t, label) }
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			o := topology.Operation{Verb: topology.Verb(pick("verb", "entry-create", "entry-modify", "entry-delete", "nat-ip-create", "nat-ip-delete", "report", "apply", "reset", "restart")), NATGateway: "ngw1"}
			switch o.Verb {
			case "report":
				plane.Report(plane.Revision())
			case "reset":
				plane.Reset()
			case "apply":
				require.NoError(t, plane.Apply(file()))
			case "restart":
				saved, err := plane.Save()
				require.NoError(t, err)
				plane, err = control.NewPlane(file(), func() time.Time { return morning })
				require.NoError(t, err)
				require.NoError(t, plane.Restore(saved))
			default:
				o.NATIP = netip.MustParseAddr(pick("nat ip", addrs...))
				if strings.HasPrefix(string(o.Verb), "entry") {
					o.Entry, o.Endpoint = pick("entry", "mysql1", "mysql2", "third"), "ep1"
					o.NATPort = uint16(rapid.SampledFrom([]int{0, 33, 3306}).Draw(t, "port"))
					o.AccessIP, o.AccessPort = netip.MustParseAddr("192.168.0.86"), 3306
				}
				_, _ = plane.Do(o) // refused or not
			}
			state, numbers := plane.State(), compile.Numbers{}
			for _, eni := range state.Plan.ENIs() {
				numbers[eni.Device] = packet.ENI(len(numbers) + 1)
			}
			desired := compile.Plan(state.Plan, state, numbers, nil)
			require.NoError(t, table.Configure(desired.Dataplane.NAT, 0))
			there := 0
			for _, e := range state.NATGateways[0].Entries {
				if e.State != control.Deleting {
					there++
				}
			}
			require.Len(t, desired.Dataplane.NAT.Links, there)
		}
	})
}
