package replay_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/golden"
	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/pcap"
	"github.com/plinksim/plinksim/pkg/replay"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

const (
	topologies = "../../testdata/topologies"
	packets    = "../../testdata/packets"
)

var morning = time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)

// segment is one TCP packet as people write it down.
type segment struct {
	at       time.Duration // since morning
	src, dst string
	flags    string
	payload  string
}

func (s segment) frame(t *testing.T) []byte {
	t.Helper()
	src, dst := netip.MustParseAddrPort(s.src), netip.MustParseAddrPort(s.dst)
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: src.Addr().AsSlice(), DstIP: dst.Addr().AsSlice(), Flags: layers.IPv4DontFragment}
	tcp := &layers.TCP{SrcPort: layers.TCPPort(src.Port()), DstPort: layers.TCPPort(dst.Port()), Seq: 1, Window: 65535}
	for _, flag := range s.flags {
		switch flag {
		case 'S':
			tcp.SYN = true
		case 'A':
			tcp.ACK = true
		case 'F':
			tcp.FIN = true
		}
	}
	require.NoError(t, tcp.SetNetworkLayerForChecksum(ip))
	return serialize(t, src.Addr(), dst.Addr(), ip, tcp, gopacket.Payload(s.payload))
}

// macOf is the MAC of whoever has an address: an ENI has one for all of its own.
func macOf(t *testing.T, addr netip.Addr) packet.MAC {
	for _, balancer := range plan(t).LoadBalancers {
		for _, node := range balancer.Nodes {
			if slices.Contains(node.Local, addr) {
				return node.ENI.MAC
			}
		}
	}
	return packet.MACOf(addr)
}

func serialize(t *testing.T, src, dst netip.Addr, ip *layers.IPv4, above ...gopacket.SerializableLayer) []byte {
	t.Helper()
	from, to := packet.MACOf(src), macOf(t, dst)
	eth := &layers.Ethernet{SrcMAC: net.HardwareAddr(from[:]), DstMAC: net.HardwareAddr(to[:]), EthernetType: layers.EthernetTypeIPv4}
	b := gopacket.NewSerializeBuffer()
	frame := append([]gopacket.SerializableLayer{eth, ip}, above...)
	require.NoError(t, gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, frame...))
	return b.Bytes()
}

func writeFile(t *testing.T, path string, segments ...segment) {
	t.Helper()
	f, err := os.Create(path)
	require.NoError(t, err)
	defer f.Close()
	w, err := pcap.NewWriter(f)
	require.NoError(t, err)
	for _, s := range segments {
		require.NoError(t, w.Write(morning.Add(s.at).UnixNano(), s.frame(t)))
	}
	require.NoError(t, w.Flush())
}

func readFile(t *testing.T, path string) (lines []string) {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	r, err := pcap.NewReader(f)
	require.NoError(t, err)
	for {
		var p pcap.Packet
		err := r.Next(&p)
		if errors.Is(err, io.EOF) {
			return lines
		}
		require.NoError(t, err)
		lines = append(lines, line(t, &p))
	}
}

// line is a packet as people read it.
func line(t *testing.T, p *pcap.Packet) string {
	t.Helper()
	parsed := gopacket.NewPacket(p.Data, layers.LayerTypeEthernet, gopacket.Default)
	ip, _ := parsed.NetworkLayer().(*layers.IPv4)
	tcp, _ := parsed.TransportLayer().(*layers.TCP)
	require.NotNil(t, tcp)
	flags := ""
	for _, f := range []struct {
		set  bool
		name string
	}{{tcp.SYN, "S"}, {tcp.FIN, "F"}, {tcp.ACK, "A"}} {
		if f.set {
			flags += f.name
		}
	}
	return fmt.Sprintf("%s %s:%d > %s:%d %s %q", time.Unix(0, p.Time).Sub(morning), ip.SrcIP, tcp.SrcPort, ip.DstIP, tcp.DstPort, flags, tcp.Payload)
}

func plan(t *testing.T) *topology.Plan {
	t.Helper()
	p, err := topofile.Load(filepath.Join(topologies, "alibaba-clb.yaml"))
	require.NoError(t, err)
	return p
}

// addresses are those of the topology that the packets need.
func addresses(t *testing.T) (endpoint, nat string) {
	t.Helper()
	p := plan(t)
	ip, err := p.Lookup("ep1.ip")
	require.NoError(t, err)
	return ip + ":80", p.LoadBalancers[0].Nodes[0].Local[0].String()
}

// consumer calls twice, asks on a port that has no listener, and says once more
// something when its first session has long timed out.
func consumer(t *testing.T) []segment {
	endpoint, _ := addresses(t)
	strange := netip.MustParseAddrPort(endpoint).Addr().String() + ":81"
	return []segment{
		{0, "10.0.0.182:40000", endpoint, "S", ""},
		{2 * time.Millisecond, "10.0.0.182:40000", endpoint, "A", "GET / HTTP/1.0\r\n\r\n"},
		{time.Second, "10.0.0.182:40001", endpoint, "S", ""},
		{2 * time.Second, "10.0.0.182:40002", strange, "S", ""},
		{time.Hour, "10.0.0.182:40000", endpoint, "A", "still there?"},
	}
}

// provider are the answers to what leaves the load balancer.
func provider(t *testing.T, port uint16) []segment {
	_, nat := addresses(t)
	client := fmt.Sprintf("%s:%d", nat, port)
	return []segment{
		{time.Millisecond, "192.168.24.200:80", client, "SA", ""},
		{3 * time.Millisecond, "192.168.24.200:80", client, "A", "HTTP/1.0 200 OK\r\n\r\necs2"},
	}
}

// firstPort is the NAT port of the first session of a replay.
func firstPort(t *testing.T, file string) uint16 {
	f, err := os.Open(file)
	require.NoError(t, err)
	defer f.Close()
	r, err := pcap.NewReader(f)
	require.NoError(t, err)
	var p pcap.Packet
	require.NoError(t, r.Next(&p))
	var parsed packet.Packet
	packet.Parse(p.Data, &parsed)
	return parsed.SrcPort
}

// The packet files in testdata/packets are what consumer and provider write.
func TestThePacketFilesAreUpToDate(t *testing.T) {
	dir := t.TempDir()
	in := filepath.Join(dir, "alibaba-clb-consumer.pcap")
	writeFile(t, in, consumer(t)...)
	_, err := replay.Run(t.Context(), plan(t), replay.Options{Inputs: []replay.Input{{"ep1", in}}, Dir: dir, Seed: 1})
	require.NoError(t, err)
	writeFile(t, filepath.Join(dir, "alibaba-clb-provider.pcap"), provider(t, firstPort(t, filepath.Join(dir, "clb1@eu-central-1b.pcap")))...)
	for _, name := range []string{"alibaba-clb-consumer.pcap", "alibaba-clb-provider.pcap"} {
		want, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		golden.EqualBytes(t, filepath.Join(packets, name), want)
	}
}

func replayExample(t *testing.T, dir string, opts replay.Options) status.Replay {
	t.Helper()
	opts.Inputs = []replay.Input{
		{"ep1", filepath.Join(packets, "alibaba-clb-consumer.pcap")},
		{"clb1@eu-central-1b", filepath.Join(packets, "alibaba-clb-provider.pcap")},
	}
	opts.Dir = dir
	if opts.Seed == 0 {
		opts.Seed = 1
	}
	summary, err := replay.Run(t.Context(), plan(t), opts)
	require.NoError(t, err)
	return summary
}

func TestReplayTranslatesThereAndBack(t *testing.T) {
	dir := t.TempDir()
	summary := replayExample(t, dir, replay.Options{})
	endpoint, nat := addresses(t)
	port := firstPort(t, filepath.Join(dir, "clb1@eu-central-1b.pcap"))
	require.Equal(t, []string{
		fmt.Sprintf("0s %s:%d > 192.168.24.200:80 S %q", nat, port, ""),
		fmt.Sprintf("2ms %s:%d > 192.168.24.200:80 A %q", nat, port, "GET / HTTP/1.0\r\n\r\n"),
	}, readFile(t, filepath.Join(dir, "clb1@eu-central-1b.pcap"))[:2])
	require.Equal(t, []string{
		fmt.Sprintf("1ms %s > 10.0.0.182:40000 SA %q", endpoint, ""),
		fmt.Sprintf("3ms %s > 10.0.0.182:40000 A %q", endpoint, "HTTP/1.0 200 OK\r\n\r\necs2"),
	}, readFile(t, filepath.Join(dir, "ep1@eu-central-1b.pcap"))[:2])
	require.EqualValues(t, 5, summary.Verdict["Forwarded"])
	require.EqualValues(t, 1, summary.Verdict["NoListener"])
	require.EqualValues(t, 1, summary.Verdict["NoSession"], "the session timed out long before the hour was over")
	require.Equal(t, 3600.0, summary.Seconds)
	require.Equal(t, morning, summary.Start)
	require.Zero(t, summary.SessionCount)
}

func TestReplayTwiceIsTheSameToTheByte(t *testing.T) {
	read := func(seed uint64) map[string]string {
		dir := filepath.Join(t.TempDir(), "out")
		summary := replayExample(t, dir, replay.Options{Seed: seed})
		for i := range summary.Outputs {
			summary.Outputs[i].File = ""
		}
		text, err := json.Marshal(summary)
		require.NoError(t, err)
		files := map[string]string{"summary": string(text)}
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		for _, e := range entries {
			data, err := os.ReadFile(filepath.Join(dir, e.Name()))
			require.NoError(t, err)
			files[e.Name()] = string(data)
		}
		require.Len(t, files, 3)
		return files
	}
	require.Equal(t, read(7), read(7))
	require.NotEqual(t, read(7)["clb1@eu-central-1b.pcap"], read(8)["clb1@eu-central-1b.pcap"], "another seed chooses other ports")
}

func TestReplayOfAConnectionThatIsNotAccepted(t *testing.T) {
	dir := t.TempDir()
	summary := replayExample(t, dir, replay.Options{NotConnected: []string{"svc1/ep1"}})
	require.Zero(t, summary.Verdict["Forwarded"])
	require.NotZero(t, summary.Verdict["NotConnected"])
	require.Empty(t, readFile(t, filepath.Join(dir, "clb1@eu-central-1b.pcap")))
}

func TestReplayRefuses(t *testing.T) {
	good := filepath.Join(packets, "alibaba-clb-consumer.pcap")
	text := filepath.Join(t.TempDir(), "text.pcap")
	require.NoError(t, os.WriteFile(text, []byte("this is no capture"), 0o666))
	own := t.TempDir()
	writeFile(t, filepath.Join(own, "ep1@eu-central-1b.pcap"), consumer(t)...)
	for _, tt := range []struct {
		name string
		opts replay.Options
		want string
	}{
		{"an ENI that is not there", replay.Options{Inputs: []replay.Input{{"ep2", good}}}, `there is no ENI "ep2": known: ep1@eu-central-1b, clb1@eu-central-1b`},
		{"a file that is not there", replay.Options{Inputs: []replay.Input{{"ep1", "no.pcap"}}}, "open no.pcap: no such file"},
		{"a file that is none", replay.Options{Inputs: []replay.Input{{"ep1", text}}}, "text.pcap: is no packet file"},
		{"a connection that is not there", replay.Options{NotConnected: []string{"ep1"}}, `there is no connection "ep1": name it SERVICE/ENDPOINT, known: svc1/ep1`},
		{"to overwrite what it reads", replay.Options{Inputs: []replay.Input{{"ep1", filepath.Join(own, "ep1@eu-central-1b.pcap")}}, Dir: own}, "choose another directory"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.opts.Seed = 1
			if tt.opts.Dir == "" {
				tt.opts.Dir = t.TempDir()
			}
			_, err := replay.Run(t.Context(), plan(t), tt.opts)
			require.ErrorContains(t, err, tt.want)
		})
	}
	require.NotEmpty(t, readFile(t, filepath.Join(own, "ep1@eu-central-1b.pcap")), "the input is as it was")
}

// tshark finds no wrong checksum in what a replay writes.
func TestWiresharkFindsNothingWrongInAReplay(t *testing.T) {
	testenv.NeedPrograms(t, "tshark")
	dir := t.TempDir()
	replayExample(t, dir, replay.Options{})
	for _, name := range []string{"clb1@eu-central-1b.pcap", "ep1@eu-central-1b.pcap"} {
		var stderr bytes.Buffer
		cmd := exec.Command("tshark", "-r", filepath.Join(dir, name), "-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE",
			"-T", "fields", "-e", "ip.checksum.status", "-e", "tcp.checksum.status")
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		require.NoError(t, err, "%s", stderr.String())
		require.NotContains(t, stderr.String(), name)
		for _, status := range bytes.Fields(out) {
			require.Equal(t, "1", string(status), "1 is good")
		}
		require.NotEmpty(t, out)
	}
}
