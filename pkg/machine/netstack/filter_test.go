package netstack

import (
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/secgroup"
	"github.com/plinksim/plinksim/pkg/topology"
)

// guarded is the filter of an instance, 10.0.0.1 or 2001:db8::1, that lets TCP 80
// in and NTP to 10.0.0.9 out.
func guarded() *filter {
	rule := func(protocol topology.Protocol, port uint16, peer string) topology.Rule {
		return topology.Rule{
			Priority: 1, Protocol: protocol, FirstPort: port, LastPort: port, Peer: netip.MustParsePrefix(peer),
		}
	}
	f := newFilter()
	f.set(&rules{
		set: secgroup.Compile([]topology.SecurityGroup{{
			Name: "web",
			Ingress: []topology.Rule{
				rule(topology.TCP, 80, "0.0.0.0/0"), rule(topology.TCP, 80, "::/0"), rule(topology.UDP, 5000, "0.0.0.0/0"),
			},
			Egress: []topology.Rule{rule(topology.UDP, 123, "10.0.0.9/32")},
		}}),
		resolvers: []netip.Addr{netip.MustParseAddr("10.0.0.2")},
		balancers: netip.MustParsePrefix("100.64.0.0/10"),
	})
	return f
}

// frame has a header of IP from one address to another, and what follows it.
func frame(t testing.TB, from, to string, fragment *layers.IPv4, above ...gopacket.SerializableLayer) []byte {
	t.Helper()
	src, dst := netip.MustParseAddr(from), netip.MustParseAddr(to)
	eth := &layers.Ethernet{
		SrcMAC: make(net.HardwareAddr, 6), DstMAC: make(net.HardwareAddr, 6), EthernetType: layers.EthernetTypeIPv4,
	}
	protocol := layers.IPProtocolTCP
	switch above[0].LayerType() {
	case layers.LayerTypeUDP:
		protocol = layers.IPProtocolUDP
	case layers.LayerTypeICMPv4:
		protocol = layers.IPProtocolICMPv4
	case layers.LayerTypeICMPv6:
		protocol = layers.IPProtocolICMPv6
	}
	var ip gopacket.SerializableLayer
	if src.Is4() {
		v4 := &layers.IPv4{Version: 4, TTL: 64, Protocol: protocol, SrcIP: src.AsSlice(), DstIP: dst.AsSlice()}
		if fragment != nil {
			v4.Id, v4.Flags, v4.FragOffset = fragment.Id, fragment.Flags, fragment.FragOffset
		}
		ip = v4
	} else {
		eth.EthernetType = layers.EthernetTypeIPv6
		ip = &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: protocol, SrcIP: src.AsSlice(), DstIP: dst.AsSlice()}
	}
	for _, layer := range above {
		if c, ok := layer.(interface {
			SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
		}); ok {
			require.NoError(t, c.SetNetworkLayerForChecksum(ip.(gopacket.NetworkLayer)))
		}
	}
	buf := gopacket.NewSerializeBuffer()
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	require.NoError(t, gopacket.SerializeLayers(buf, options, append([]gopacket.SerializableLayer{eth, ip}, above...)...))
	return buf.Bytes()
}

func syn(from, to int) *layers.TCP {
	return &layers.TCP{SrcPort: layers.TCPPort(from), DstPort: layers.TCPPort(to), SYN: true}
}

func ack(from, to int) *layers.TCP {
	return &layers.TCP{SrcPort: layers.TCPPort(from), DstPort: layers.TCPPort(to), ACK: true}
}

func datagramTo(from, to int) *layers.UDP {
	return &layers.UDP{SrcPort: layers.UDPPort(from), DstPort: layers.UDPPort(to)}
}

func TestRepliesOfAFlowPass(t *testing.T) {
	f := guarded()
	for _, ends := range [][2]string{{"10.0.0.7", "10.0.0.1"}, {"2001:db8::7", "2001:db8::1"}} {
		peer, own := ends[0], ends[1]
		require.False(t, f.passes(frame(t, own, peer, nil, ack(80, 4000)), egress), "there is no flow yet")
		require.True(t, f.passes(frame(t, peer, own, nil, syn(4000, 80)), ingress))
		require.True(t, f.passes(frame(t, own, peer, nil, ack(80, 4000)), egress))
		require.False(t, f.passes(frame(t, own, peer, nil, ack(80, 4001)), egress), "another flow")
		require.False(t, f.passes(frame(t, peer, own, nil, syn(4000, 81)), ingress))
	}
	require.EqualValues(t, 6, f.denied.Load())
}

func TestWhatNeedsNoRule(t *testing.T) {
	f := guarded()
	require.True(t, f.passes(frame(t, "10.0.0.1", "10.0.0.2", nil, datagramTo(4000, 53)), egress))
	require.True(t, f.passes(frame(t, "10.0.0.1", "10.0.0.2", nil, syn(4000, 53)), egress))
	require.False(t, f.passes(frame(t, "10.0.0.1", "10.0.0.2", nil, syn(4000, 54)), egress))
	require.False(t, f.passes(frame(t, "10.0.0.1", "10.0.0.3", nil, datagramTo(4000, 53)), egress))
	require.True(t, f.passes(frame(t, "100.64.3.4", "10.0.0.1", nil, syn(4000, 9999)), ingress))
	require.False(t, f.passes(frame(t, "100.63.3.4", "10.0.0.1", nil, syn(4000, 9999)), ingress))
	for _, message := range []uint8{layers.ICMPv6TypeNeighborSolicitation, layers.ICMPv6TypeNeighborAdvertisement} {
		asks := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(message, 0)}
		require.True(t, f.passes(frame(t, "2001:db8::7", "2001:db8::1", nil, asks, gopacket.Payload(make([]byte, 20))), ingress))
	}
	echo := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeEchoRequest, 0)}
	require.False(t, f.passes(frame(t, "2001:db8::7", "2001:db8::1", nil, echo, gopacket.Payload(make([]byte, 4))), ingress))
	f.set(nil)
	require.True(t, f.passes(frame(t, "10.0.0.1", "10.0.0.3", nil, datagramTo(4000, 53)), egress), "it is in no group")
}

// An ICMP error passes if it is about a flow (RFC 4787, REQ-9 wants as much of a
// NAT), and no other.
func TestErrorsAboutAFlowPass(t *testing.T) {
	f := guarded()
	sent := frame(t, "10.0.0.1", "10.0.0.9", nil, datagramTo(4000, 123), gopacket.Payload("what time is it?"))
	stray := frame(t, "10.0.0.1", "10.0.0.9", nil, datagramTo(4001, 123), gopacket.Payload("what time is it?"))
	about := func(sent []byte) []byte {
		var p packet.Packet
		packet.Parse(sent, &p)
		failed := make([]byte, packet.ICMPErrorSize(&p))
		packet.ICMPError{Type: packet.ICMPUnreachable, Code: 3}.Build(failed, sent, &p)
		return failed
	}
	require.False(t, f.passes(about(sent), ingress), "nothing was sent yet")
	require.True(t, f.passes(sent, egress))
	require.True(t, f.passes(about(sent), ingress))
	require.False(t, f.passes(about(stray), ingress))
}

func TestFlowsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := guarded()
		request := frame(t, "10.0.0.1", "10.0.0.9", nil, datagramTo(4000, 123))
		answer := frame(t, "10.0.0.9", "10.0.0.1", nil, datagramTo(123, 4000))
		require.True(t, f.passes(request, egress))
		time.Sleep(shortest)
		require.False(t, f.passes(answer, ingress), "nobody answered in time")
		require.True(t, f.passes(request, egress))
		require.True(t, f.passes(answer, ingress))
		time.Sleep(udpReplied - 1)
		require.True(t, f.passes(answer, ingress), "it was answered")

		open, reply := frame(t, "10.0.0.7", "10.0.0.1", nil, syn(4000, 80)), frame(t, "10.0.0.1", "10.0.0.7", nil, ack(80, 4000))
		require.True(t, f.passes(open, ingress))
		require.True(t, f.passes(reply, egress))
		time.Sleep(tcpEstablished - 1)
		require.True(t, f.passes(reply, egress), "connections may be idle for days")
		reset := ack(80, 4000)
		reset.RST = true
		require.True(t, f.passes(frame(t, "10.0.0.1", "10.0.0.7", nil, reset), egress))
		time.Sleep(tcpReset)
		require.False(t, f.passes(reply, egress))
	})
}

// The ports of a connection that has ended may be used for one that the rules do
// not allow any more.
func TestASYNBeginsAnewAfterTheEnd(t *testing.T) {
	f := guarded()
	open := frame(t, "10.0.0.7", "10.0.0.1", nil, syn(4000, 80))
	require.True(t, f.passes(open, ingress))
	end := ack(80, 4000)
	end.FIN = true
	require.True(t, f.passes(frame(t, "10.0.0.1", "10.0.0.7", nil, end), egress))
	f.set(&rules{set: secgroup.Compile([]topology.SecurityGroup{{Name: "closed", Egress: []topology.Rule{}}})})
	require.True(t, f.passes(frame(t, "10.0.0.7", "10.0.0.1", nil, ack(4000, 80)), ingress), "flows go on when rules change")
	require.False(t, f.passes(open, ingress))
}

// Later fragments have no ports, and pass if the first did.
func TestFragmentsFollowTheFirst(t *testing.T) {
	f := guarded()
	fragment := func(id, offset, port int) []byte {
		header := &layers.IPv4{Id: uint16(id), Flags: layers.IPv4MoreFragments, FragOffset: uint16(offset)}
		return frame(t, "10.0.0.7", "10.0.0.1", header, datagramTo(4000, port), gopacket.Payload(make([]byte, 16)))
	}
	require.False(t, f.passes(fragment(1, 3, 0), ingress), "before the first")
	require.True(t, f.passes(fragment(1, 0, 5000), ingress))
	require.True(t, f.passes(fragment(1, 3, 0), ingress))
	require.False(t, f.passes(fragment(2, 0, 5001), ingress))
	require.False(t, f.passes(fragment(2, 3, 0), ingress))
	for id := range 3 * mostDatagrams {
		f.passes(fragment(id, 0, 5000), ingress)
	}
	require.LessOrEqual(t, len(f.datagrams), mostDatagrams)
}

func TestTheMemoryOfFlowsIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var flows tracker
		tuple := func(n int) packet.FiveTuple {
			addr := netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
			return packet.FiveTuple{
				Protocol: packet.ProtocolUDP, Src: netip.AddrPortFrom(addr, 1), Dst: netip.MustParseAddrPort("10.0.0.1:5000"),
			}
		}
		for n := range mostFlows {
			require.True(t, flows.add(tuple(n), time.Now()))
		}
		require.False(t, flows.add(tuple(mostFlows), time.Now()), "it is full")
		time.Sleep(shortest)
		require.True(t, flows.add(tuple(mostFlows), time.Now()), "what was forgotten makes room")
		require.Len(t, flows.flows, 1)
	})
}
