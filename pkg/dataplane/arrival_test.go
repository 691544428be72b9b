package dataplane

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/fullnat"
	"github.com/plinksim/plinksim/pkg/packet"
)

func TestAnInterfaceTakesWhatAHostWould(t *testing.T) {
	from := func(src string) []byte {
		return tcpFrame(netip.AddrPortFrom(netip.MustParseAddr(src), 40000), endpoint, syn, nil)
	}
	edit := func(data []byte, at int, with ...byte) []byte {
		copy(data[at:], with)
		return data
	}
	own, everybody := netip.MustParseAddr("2001:db8:1::200"), netip.MustParseAddr("10.0.1.255")
	mac := packet.MACOf(endpoint.Addr())
	a := arrivals{byENI: newArrivals([]Owned{{
		ENI: endpointENI, MAC: mac, Addrs: []netip.Addr{endpoint.Addr(), own}, Subnet: netip.MustParsePrefix("10.0.1.0/24"),
	}}, nil)}
	ipv6 := func(src netip.Addr) []byte {
		frame := make([]byte, packet.ResetSizeIPv6)
		s := packet.Segment{Envelope: packet.Envelope{
			DstMAC: mac, IPv6: true, Ends: packet.Ends{Src: src.As16(), Dst: own.As16()},
		}}
		s.Build(frame)
		return frame
	}
	withOptions := ipv4Frame(consumer.Addr(), endpoint.Addr(), protoTCP, make([]byte, 28))
	withOptions[ethernetLen] = 0x47
	rest := withOptions[ethernetLen:]
	copy(rest[20:], []byte{7, 7, 4, 0, 0, 0, 0, 0}) // record route
	copy(rest[10:], []byte{0, 0})
	sumOfAll := ^sum(0, rest[:28])
	copy(rest[10:], []byte{byte(sumOfAll >> 8), byte(sumOfAll)})
	damaged := edit(append([]byte(nil), withOptions...), ethernetLen+24, 9)

	for _, tt := range []struct {
		name string
		eni  packet.ENI
		data []byte
		want fullnat.Verdict
	}{
		{"an ordinary packet", endpointENI, from("10.0.1.10"), fullnat.Forwarded},
		{"an ordinary packet with options", endpointENI, withOptions, fullnat.Forwarded},
		{"an ordinary packet of IPv6", endpointENI, ipv6(netip.MustParseAddr("2001:db8:1::10")), fullnat.Forwarded},
		{"nat 58: a TTL that was damaged", endpointENI, edit(from("10.0.1.10"), ethernetLen+8, 1), fullnat.BadHeader},
		{"an option that was damaged", endpointENI, damaged, fullnat.BadHeader},
		{"for everybody on the link", endpointENI,
			edit(from("10.0.1.10"), 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), fullnat.WrongMAC},
		{"for a group", endpointENI, edit(from("10.0.1.10"), 0, 1, 0, 0x5e, 0, 0, 1), fullnat.WrongMAC},
		{"nat 66: for another interface", endpointENI, edit(from("10.0.1.10"), 0, 2, 0, 10, 0, 1, 10), fullnat.WrongMAC},
		{"nat 66: from the ENI's own address", endpointENI, from(endpoint.Addr().String()), fullnat.Martian},
		{"from the ENI's own address of IPv6", endpointENI, ipv6(own), fullnat.Martian},
		{"from everybody in the subnet", endpointENI, from(everybody.String()), fullnat.Martian},
		{"from what would be everybody in another subnet", endpointENI, from("10.0.2.255"), fullnat.Forwarded},
		{"at an ENI of which nothing is known", nodeENI, edit(from("10.0.1.10"), 0, 9), fullnat.Forwarded},
		{"too short for a header", endpointENI, edit(from("10.0.1.10"), 0)[:20], fullnat.Forwarded},
		{"a header longer than the packet", endpointENI, edit(from("10.0.1.10"), ethernetLen, 0x4f)[:40], fullnat.Forwarded},
	} {
		require.Equal(t, tt.want, a.check(&packet.Frame{ENI: tt.eni, Data: tt.data}), tt.name)
	}
	require.Equal(t, fullnat.Counters{fullnat.BadHeader: 2, fullnat.WrongMAC: 3, fullnat.Martian: 3}, a.refused)
	a.anyMAC = true
	other := edit(from("10.0.1.10"), 0, 2, 0, 10, 0, 1, 10)
	require.Equal(t, fullnat.Forwarded, a.check(&packet.Frame{ENI: endpointENI, Data: other}))
}

func TestWhatAnInterfaceDoesNotTakeIsCountedAndCaptured(t *testing.T) {
	e, m := start(t, EngineConfig{})
	c := capture(t, e, CaptureConfig{ENIs: []packet.ENI{endpointENI, nodeENI}})
	flooded, good := tcpFrame(consumer, endpoint, syn, nil), udpFrame(consumer, endpoint, nil)
	flooded[5]++
	m.Inject(packet.Frame{ENI: endpointENI, Data: flooded}, packet.Frame{ENI: endpointENI, Data: good})
	receive(t, m)
	lines := seen(t, c, 3)
	require.Contains(t, lines[0], "dropped: WrongMAC")
	require.Contains(t, lines[1], "leaves lb-db as udp")
	stats := e.Stats().Table
	require.EqualValues(t, 1, stats.Verdicts[fullnat.WrongMAC])
	require.EqualValues(t, 1, stats.Verdicts[fullnat.Forwarded])
}

// An ENI has one MAC for all of its addresses, as its device has, so that two ENIs
// have different ones whatever their IPv6 addresses end with.
func TestTwoInterfacesWhoseIPv6AddressesEndAlikeHaveTheirOwnMACs(t *testing.T) {
	e, m := start(t, EngineConfig{})
	addrs := []netip.Addr{netip.MustParseAddr("2001:db8:1::1:0:100"), netip.MustParseAddr("2001:db8:1::100")}
	macs := []packet.MAC{{2, 0, 10, 1, 0, 101}, {2, 0, 10, 1, 0, 100}}
	require.NoError(t, e.Configure(Config{NAT: &fullnat.Config{}, Owned: []Owned{
		{ENI: 1, MAC: macs[0], Addrs: addrs[:1]}, {ENI: 2, MAC: macs[1], Addrs: addrs[1:]},
	}}))
	for i := range addrs {
		m.Inject(packet.Frame{ENI: packet.ENI(i + 1), Data: solicitation(netip.MustParseAddr("2001:db8:1::10"), addrs[i])})
		require.Equal(t, macs[i], packet.MAC(receive(t, m).Data[6:12]))
	}
}
