package replay_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/pcap"
	"github.com/plinksim/plinksim/pkg/replay"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/stretchr/testify/require"
)

// A consumer with IPv6 leaves as one with IPv4 where the server has that.
func TestReplayOfIPv6(t *testing.T) {
	plan, err := topofile.Load(filepath.Join(topologies, "aws-dualstack.yaml"))
	require.NoError(t, err)
	eni, consumer := plan.Endpoints[0].Zones[0].ENI, netip.MustParseAddr("2001:db8:1::10")
	syn := packet.Segment{
		Envelope: packet.Envelope{
			DstMAC: eni.MAC, IPv6: true, Ends: packet.Ends{Src: consumer.As16(), Dst: eni.IPv6.As16()},
		},
		SrcPort: 40000, DstPort: 80, Flags: packet.FlagSYN,
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
	_, err = replay.Run(t.Context(), plan, replay.Options{Inputs: []replay.Input{{"ep1", in}}, Dir: dir, Seed: 1})
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
