package replay_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/replay"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topofile"
)

// replayFile sends the packets of a file of testdata to the endpoint of a topology.
func replayFile(t *testing.T, topology, file string, opts replay.Options) status.Replay {
	t.Helper()
	plan, err := topofile.Load(filepath.Join("testdata", topology))
	require.NoError(t, err)
	opts.Inputs = []replay.Input{{ENI: "ep", File: filepath.Join("testdata", file)}}
	opts.Dir, opts.Seed = t.TempDir(), 1
	summary, err := replay.Run(t.Context(), plan, opts)
	require.NoError(t, err)
	return summary
}

// Each file has a SYN that no host would have given to its IP, or no router passed on.
func TestWhatAnInterfaceDoesNotTakeOpensNoSession(t *testing.T) {
	for _, tt := range []struct{ name, file, verdict string }{
		{"nat 58: the checksum of the IPv4 header is wrong", "ipsum.pcap", "BadHeader"},
		{"it is for everybody on the link", "bcastmac.pcap", "WrongMAC"},
		{"it is for another interface, and the bridge floods it", "othermac.pcap", "WrongMAC"},
		{"its source is the endpoint's own address", "own.pcap", "Martian"},
		{"its source is the broadcast address of the subnet", "subnetb.pcap", "Martian"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			summary := replayFile(t, "arrival.yaml", tt.file, replay.Options{})
			require.Equal(t, map[string]uint64{tt.verdict: 1}, summary.Verdict)
			require.Zero(t, summary.SessionCount)
		})
	}
}

func TestPacketsCapturedElsewhereAreTakenWithAnyMAC(t *testing.T) {
	summary := replayFile(t, "arrival.yaml", "othermac.pcap", replay.Options{AnyMAC: true})
	require.Equal(t, map[string]uint64{"Forwarded": 1}, summary.Verdict)
}

func TestEveryFragmentOfADatagramHasOneVerdict(t *testing.T) {
	summary := replayFile(t, "fragments.yaml", "fragments-reverse.pcap", replay.Options{})
	require.EqualValues(t, 3, summary.Inputs[0].Packets)
	require.Equal(t, map[string]uint64{"Forwarded": 3}, summary.Verdict, "two were held for the first one")
}

// A file without Ethernet headers, as a capture in a tunnel is.
func TestPacketsWithoutEthernetAreForTheInterfaceThatTheyAreGivenTo(t *testing.T) {
	file, err := os.ReadFile(filepath.Join("testdata", "othermac.pcap"))
	require.NoError(t, err)
	const header, record, ethernet = 24, 16, 14
	ip := file[header+record+ethernet:]
	raw := bytes.Clone(file[:header+record])
	raw[20] = 101 // LINKTYPE_RAW
	raw[header+8], raw[header+12] = byte(len(ip)), byte(len(ip))
	in := filepath.Join(t.TempDir(), "raw.pcap")
	require.NoError(t, os.WriteFile(in, append(raw, ip...), 0o600))
	plan, err := topofile.Load(filepath.Join("testdata", "arrival.yaml"))
	require.NoError(t, err)
	summary, err := replay.Run(t.Context(), plan, replay.Options{
		Inputs: []replay.Input{{ENI: "ep", File: in}}, Dir: t.TempDir(), Seed: 1,
	})
	require.NoError(t, err)
	require.Equal(t, map[string]uint64{"Forwarded": 1}, summary.Verdict)
}
