package dataplane

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/pcap"
	"github.com/stretchr/testify/require"
)

func nameOf(eni packet.ENI) string {
	return map[packet.ENI]string{endpointENI: "ep-db", nodeENI: "lb-db"}[eni]
}

func capture(t *testing.T, e *Engine, cfg CaptureConfig) *Capture {
	t.Helper()
	cfg.Name = nameOf
	c, err := e.Capture(cfg)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// seen is what a capture has: the next count frames, as people read them.
func seen(t *testing.T, c *Capture, count int) (lines []string) {
	t.Helper()
	reader := newTap() // which knows the ports of the fragments that it has seen
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for range count {
		f, err := c.Next(ctx)
		require.NoError(t, err)
		arrow := "<"
		if f.Direction == pcap.Sent {
			arrow = ">"
		}
		what := "arp"
		if s := reader.sideOf(f.ENI, f.Data); s.eni != 0 {
			what = s.String()
		}
		lines = append(lines, fmt.Sprintf("%s %s %s  %s", f.Interface, arrow, what, f.Comment))
	}
	require.False(t, c.Waiting(), "and no more")
	return lines
}

func TestCaptureSeesBothSidesAndSaysTheOther(t *testing.T) {
	e, m := start(t, EngineConfig{})
	require.NoError(t, e.Configure(oneEndpoint()))
	c := capture(t, e, CaptureConfig{ENIs: []packet.ENI{endpointENI, nodeENI}})
	m.Inject(packet.Frame{ENI: endpointENI, Data: tcpFrame(consumer, endpoint, syn, nil)})
	receive(t, m)
	m.Inject(packet.Frame{ENI: endpointENI, Data: tcpFrame(consumer, netip.AddrPortFrom(endpoint.Addr(), 1), syn, nil)})
	m.Inject(packet.Frame{ENI: endpointENI, Data: arpRequest(consumer.Addr(), endpoint.Addr())})
	receive(t, m)
	nat := netip.AddrPortFrom(natIP, e.Sessions()[0].Local.Port())
	require.Equal(t, []string{
		fmt.Sprintf("ep-db < tcp %s > %s  leaves lb-db as tcp %s > %s", consumer, endpoint, nat, backend),
		fmt.Sprintf("lb-db > tcp %s > %s  came to ep-db as tcp %s > %s", nat, backend, consumer, endpoint),
		fmt.Sprintf("ep-db < tcp %s > %s:1  dropped: NoListener", consumer, endpoint.Addr()),
		"ep-db < arp  ",
		"ep-db > arp  ",
	}, seen(t, c, 5))
}

func TestCaptureFiltersByENIHostAndPortOfEitherSide(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  CaptureConfig
		want int
	}{
		{"one ENI", CaptureConfig{ENIs: []packet.ENI{nodeENI}}, 1},
		{"no ENI", CaptureConfig{}, 0},
		{"a host of this side", CaptureConfig{ENIs: []packet.ENI{endpointENI}, Host: endpoint.Addr()}, 1},
		{"a host of the other side", CaptureConfig{ENIs: []packet.ENI{endpointENI, nodeENI}, Host: natIP}, 2},
		{"a host that is not there", CaptureConfig{ENIs: []packet.ENI{endpointENI, nodeENI},
			Host: netip.MustParseAddr("192.0.2.1")}, 0},
		{"the consumer's port", CaptureConfig{ENIs: []packet.ENI{endpointENI, nodeENI}, Port: consumer.Port()}, 2},
		{"host and port must be of one side", CaptureConfig{ENIs: []packet.ENI{endpointENI, nodeENI}, Host: natIP,
			Port: consumer.Port()}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, m := start(t, EngineConfig{})
			require.NoError(t, e.Configure(oneEndpoint()))
			c := capture(t, e, tt.cfg)
			m.Inject(packet.Frame{ENI: endpointENI, Data: tcpFrame(consumer, endpoint, syn, nil)})
			receive(t, m)
			seen(t, c, tt.want)
		})
	}
}

func TestCaptureCountsWhatASlowReaderMisses(t *testing.T) {
	e, m := start(t, EngineConfig{})
	require.NoError(t, e.Configure(oneEndpoint()))
	c := capture(t, e, CaptureConfig{ENIs: []packet.ENI{endpointENI}, Queue: 3})
	for i := range 10 {
		m.Inject(packet.Frame{ENI: endpointENI, Data: udpFrame(netip.AddrPortFrom(consumer.Addr(), uint16(1+i)),
			endpoint, nil)})
		receive(t, m)
	}
	total, dropped := c.Counts(0)
	require.EqualValues(t, 10, total)
	require.EqualValues(t, 7, dropped)
	seen(t, c, 3)
}

func TestCaptureKeepsSuperframesWholeAndFinishesThem(t *testing.T) {
	e, m := start(t, EngineConfig{})
	require.NoError(t, e.Configure(oneEndpoint()))
	m.Inject(packet.Frame{ENI: endpointENI, Data: tcpFrame(consumer, endpoint, syn, nil)})
	synSent := receive(t, m)
	src, dst := parse(t, synSent)
	m.Inject(packet.Frame{ENI: nodeENI, Data: tcpFrame(dst, src, synAck, nil)})
	receive(t, m)
	c := capture(t, e, CaptureConfig{ENIs: []packet.ENI{endpointENI, nodeENI}})
	super := tcpSuperframe(consumer, endpoint, 1448, make([]byte, 60000))
	super.ENI = endpointENI
	m.Inject(super)
	require.True(t, receive(t, m).Offload.NeedsCsum, "what is sent is as before")
	for range 2 {
		f, err := c.Next(t.Context())
		require.NoError(t, err)
		var p packet.Packet
		require.Equal(t, packet.TCP, packet.Parse(f.Data, &p))
		require.Equal(t, 60000, p.PayloadLength())
		l4 := f.Data[p.L4:p.End]
		require.EqualValues(t, 0xffff, packet.Fold(uint32(packet.Sum(l4))+uint32(packet.PseudoSum(p.Src, p.Dst,
			p.Protocol, uint16(len(l4))))))
	}
}

func TestCaptureEnds(t *testing.T) {
	e, m := start(t, EngineConfig{})
	require.NoError(t, e.Configure(oneEndpoint()))
	closed, kept := capture(t, e, CaptureConfig{ENIs: []packet.ENI{endpointENI}}), capture(t, e,
		CaptureConfig{ENIs: []packet.ENI{endpointENI}})
	closed.Close()
	closed.Close()
	_, err := closed.Next(t.Context())
	require.ErrorIs(t, err, os.ErrClosed)
	m.Inject(packet.Frame{ENI: endpointENI, Data: tcpFrame(consumer, endpoint, syn, nil)})
	receive(t, m)
	seen(t, kept, 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = kept.Next(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, e.Close())
	_, err = kept.Next(t.Context())
	require.ErrorIs(t, err, os.ErrClosed)
	_, err = e.Capture(CaptureConfig{})
	require.ErrorIs(t, err, os.ErrClosed)
}

// fragmentsOf cuts a datagram from the consumer into three.
func fragmentsOf(t *testing.T, id byte) (all []packet.Frame) {
	t.Helper()
	whole := udpFrame(consumer, endpoint, make([]byte, 3600))
	whole[ethernetLen+6], whole[ethernetLen+4] = 0, id
	var p packet.Packet
	require.Equal(t, packet.UDP, packet.Parse(whole, &p))
	last := packet.Split(whole, &p, 1400, func(size int) []byte {
		all = append(all, packet.Frame{ENI: endpointENI, Data: make([]byte, size)})
		return all[len(all)-1].Data
	})
	return append(all, packet.Frame{ENI: endpointENI, Data: last})
}

// A fragment has the ports of its datagram, on both sides and in the filter, and one
// that waits for the first is not dropped.
func TestCaptureShowsFragmentsWithThePortsOfTheirDatagram(t *testing.T) {
	for _, tt := range []struct {
		name  string
		order []int
	}{
		{"in order", []int{0, 1, 2}},
		{"the first one last", []int{2, 1, 0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, m := start(t, EngineConfig{})
			c := capture(t, e, CaptureConfig{ENIs: []packet.ENI{endpointENI, nodeENI}, Port: consumer.Port()})
			all := fragmentsOf(t, 7)
			m.Inject(all[tt.order[0]], all[tt.order[1]], all[tt.order[2]])
			for range all {
				receive(t, m)
			}
			nat := netip.AddrPortFrom(natIP, e.Sessions()[0].Local.Port())
			came := fmt.Sprintf("lb-db > udp %s > %s  came to ep-db as udp %s > %s", nat, backend, consumer, endpoint)
			leaves := fmt.Sprintf("ep-db < udp %s > %s  leaves lb-db as udp %s > %s", consumer, endpoint, nat, backend)
			held := fmt.Sprintf("ep-db < udp %s > %s  held until its first fragment comes", consumer.Addr(), endpoint.Addr())
			want := []string{leaves, leaves, leaves, came, came, came}
			if tt.order[0] != 0 {
				want = []string{held, held, leaves, came, came, came}
			}
			require.Equal(t, want, seen(t, c, 6))
		})
	}
}

// An ICMP error belongs to the session whose packet it quotes.
func TestCaptureShowsAnICMPErrorWithThePortsThatItIsAbout(t *testing.T) {
	e, m := start(t, EngineConfig{})
	m.Inject(packet.Frame{ENI: endpointENI, Data: udpFrame(consumer, endpoint, []byte("hello"))})
	there := receive(t, m)
	var p packet.Packet
	require.Equal(t, packet.UDP, packet.Parse(there.Data, &p))
	c := capture(t, e, CaptureConfig{ENIs: []packet.ENI{endpointENI, nodeENI}, Port: endpoint.Port()})
	unreachable := make([]byte, packet.ICMPErrorSize(&p))
	packet.ICMPError{Type: packet.ICMPUnreachable, Code: 3}.Build(unreachable, there.Data, &p)
	m.Inject(packet.Frame{ENI: nodeENI, Data: unreachable})
	receive(t, m)
	nat := netip.AddrPortFrom(natIP, e.Sessions()[0].Local.Port())
	here := fmt.Sprintf("icmp %s > %s about udp %s > %s", backend.Addr(), natIP, nat, backend)
	other := fmt.Sprintf("icmp %s > %s about udp %s > %s", endpoint.Addr(), consumer.Addr(), consumer, endpoint)
	require.Equal(t, []string{
		"lb-db < " + here + "  leaves ep-db as " + other,
		"ep-db > " + other + "  came to lb-db as " + here,
	}, seen(t, c, 2))
}
