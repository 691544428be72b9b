package bench

import (
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/packet"
)

func segmentArrived(s segment, payload []byte) *arrived {
	f := clientFlow(client, endpoint, packet.MAC{2, 0, 0, 0, 0, 2}, 41)
	frame := (&maker{mac: packet.MAC{2, 0, 0, 0, 0, 1}}).tcp(make([]byte, maxFrame), &f, s, payload)
	return &arrived{proto: protoTCP, frame: frame, l4: frame[l4At:], payload: frame[l4At+tcpHeader:]}
}

// The server keeps nothing, so each answer follows from the segment alone.
func TestAServerOfSessionsAnswers(t *testing.T) {
	for _, tt := range []struct {
		name    string
		segment segment
		payload string
		want    segment
	}{
		{"a SYN with SYN and ACK", segment{tcpSYN, 1000, 0}, "", segment{tcpSYN | tcpACK, 10002 << 12, 1001}},
		{"a request with as much", segment{tcpACK | tcpPSH, 1001, 77}, "hello", segment{tcpACK | tcpPSH, 77, 1006}},
		{"the end with the end", segment{tcpACK | tcpFIN, 1006, 82}, "", segment{tcpACK | tcpFIN, 82, 1007}},
		{"an acknowledgement with nothing", segment{tcpACK, 1001, 77}, "", segment{}},
		{"a reset with nothing", segment{tcpACK | tcpRST, 1001, 77}, "", segment{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := &outgoing{}
			answerSegment(&wire{maker: maker{mac: packet.MAC{2, 0, 0, 0, 0, 2}}}, out, segmentArrived(tt.segment, []byte(tt.payload)))
			if tt.want == (segment{}) {
				require.Zero(t, out.n)
				return
			}
			require.Equal(t, 1, out.n)
			frame := out.buffer[0][vnetHeader:][:l4At+tcpHeader+len(tt.payload)]
			p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
			require.Nil(t, p.ErrorLayer())
			tcp := p.TransportLayer().(*layers.TCP)
			require.Equal(t, tt.want, segmentOf(frame[l4At:]))
			require.Equal(t, layers.TCPPort(20001), tcp.SrcPort)
			require.Equal(t, layers.TCPPort(10002), tcp.DstPort)
			require.Equal(t, tt.payload, string(tcp.Payload))
			require.Equal(t, "02:00:00:00:00:01", p.LinkLayer().LinkFlow().Dst().String())
			f := flow{from: endpoint.As4(), to: client.As4()}
			require.Zero(t, checksum(&f, protoTCP, len(frame)-l4At, append(frame[l4At:], make([]byte, len(frame)%2)...)))
		})
	}
}

func TestSessionsThatCannotBeAreRefused(t *testing.T) {
	for _, tt := range []struct {
		name     string
		sessions Sessions
		want     string
	}{
		{"none", Sessions{0, 1, point{}}, "0 sessions"},
		{"more than five-tuples", Sessions{MaxFlows + 1, 1, point{}}, "1000001 sessions"},
		{"none at a time", Sessions{1, 0, point{}}, "0 sessions at a time"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.ErrorContains(t, Options{Sessions: []Sessions{tt.sessions}}.Check(), tt.want)
		})
	}
}

// All sessions open and are used, twice: the second round has the five-tuples of the first.
func TestSessionsPassEveryPath(t *testing.T) {
	needLab(t)
	sweep := SessionSweep([]int{1, 500}, 16)
	report, err := Run(t.Context(), Options{Rounds: 2, Seconds: 0.05, Sessions: sweep, Paths: Paths})
	require.NoError(t, err)
	for _, path := range Paths {
		for _, metric := range []string{"open", "answered"} {
			f := report.find("500 TCP sessions", metric)
			require.Equal(t, []float64{500, 500}, f.Of(path).Values, "%s through the %s", metric, path)
			require.Equal(t, []float64{1, 1}, report.find("1 TCP session", metric).Of(path).Values)
		}
		require.Positive(t, report.find("500 TCP sessions", "request p50").Of(path).Value.Median)
	}
	require.Len(t, report.Curves(), len(sweep[0].workload().metrics))
	require.Contains(t, report.Curves()[0].Plot(), "<polyline")
}
