package lab_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/pcap"
	"github.com/plinksim/plinksim/pkg/topofile"
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
		{name: "an instance has one too", from: "app", to: "[2001:db8:1:1::a00:10a]:22", ways: 1, says: "no security group filters it"},
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

// A consumer with IPv6 leaves as one with IPv4 where the server has that.
func TestReplayOfIPv6(t *testing.T) {
	plan, err := topofile.Load(filepath.Join(topologies, "aws-dualstack.yaml"))
	require.NoError(t, err)
	endpoint, consumer := plan.Endpoints[0].Zones[0].ENI.IPv6, netip.MustParseAddr("2001:db8:1::10")
	syn := packet.Segment{
		Envelope: packet.Envelope{SrcMAC: packet.MACOf(consumer), DstMAC: packet.MACOf(endpoint), IPv6: true, Ends: packet.Ends{Src: consumer.As16(), Dst: endpoint.As16()}},
		SrcPort:  40000, DstPort: 80, Flags: packet.FlagSYN,
	}
	frame := make([]byte, packet.ResetSizeIPv6)
	syn.Build(frame)
	dir := t.TempDir()
	in := filepath.Join(dir, "in.pcap")
	f, err := os.Create(in)
	require.NoError(t, err)
	w, err := pcap.NewWriter(f)
	require.NoError(t, err)
	require.NoError(t, w.Write(morning.UnixNano(), frame))
	require.NoError(t, w.Flush())
	require.NoError(t, f.Close())
	_, err = lab.Replay(t.Context(), plan, lab.ReplayOptions{Inputs: []lab.ReplayInput{{"ep1", in}}, Dir: dir, Seed: 1})
	require.NoError(t, err)

	out, err := os.Open(filepath.Join(dir, "nlb1@eu-central-1a.pcap"))
	require.NoError(t, err)
	defer out.Close()
	r, err := pcap.NewReader(out)
	require.NoError(t, err)
	var p pcap.Packet
	require.NoError(t, r.Next(&p))
	var parsed packet.Packet
	require.Equal(t, packet.TCP, packet.Parse(p.Data, &parsed))
	src, dst := parsed.Addrs(p.Data)
	require.Equal(t, "10.0.0.77 10.0.0.20", src.String()+" "+dst.String())
	require.True(t, packet.IntactTCP(&packet.Frame{Data: p.Data}, &parsed))
}
