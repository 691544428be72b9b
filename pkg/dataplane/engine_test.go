package dataplane

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/plinksim/plinksim/pkg/fullnat"
	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/stretchr/testify/require"
)

// One endpoint in front of one backend, in two VPCs with the same addresses:
// the consumer and the backend are both 10.0.1.10.
const (
	endpointENI packet.ENI = 1
	nodeENI     packet.ENI = 2
	syn                    = 0x02
	synAck                 = 0x12
)

var (
	consumer = netip.MustParseAddrPort("10.0.1.10:40000")
	endpoint = netip.MustParseAddrPort("10.0.1.200:5432")
	natIP    = netip.MustParseAddr("10.0.9.11")
	backend  = netip.MustParseAddrPort("10.0.1.10:5432")
)

func oneEndpoint() Config {
	link := func(name string, port uint16, protocol uint8) fullnat.Link {
		return fullnat.Link{
			Name: name, Ingress: endpointENI, Match: netip.AddrPortFrom(endpoint.Addr(), port), Protocol: protocol,
			Egress: nodeENI, Local: []netip.Addr{natIP}, Connected: true, Idle: time.Minute,
			Pick: func(packet.FiveTuple, uint32) (netip.AddrPort, bool) {
				return netip.AddrPortFrom(backend.Addr(), port), true
			},
		}
	}
	return Config{
		NAT: &fullnat.Config{
			ENIs: []fullnat.Interface{
				{ENI: endpointENI, MAC: packet.MACOf(endpoint.Addr()), MTU: 1500, NextHop: packet.MACOf},
				{ENI: nodeENI, MAC: packet.MACOf(natIP), MTU: 1500, NextHop: packet.MACOf},
			},
			Links: []fullnat.Link{link("ep-db tcp/5432", 5432, protoTCP), link("ep-db udp/5432", 5432, protoUDP)},
		},
		Owned: []Owned{
			{ENI: endpointENI, MAC: packet.MACOf(endpoint.Addr()), Addrs: []netip.Addr{endpoint.Addr()},
				Subnet: netip.MustParsePrefix("10.0.1.0/24")},
			{ENI: nodeENI, MAC: packet.MACOf(natIP), Addrs: []netip.Addr{natIP}},
		},
	}
}

// start runs an engine on a memory driver until the test ends.
func start(t *testing.T, cfg EngineConfig) (*Engine, *Memory) {
	t.Helper()
	m := NewMemory()
	cfg.Driver = m
	e, err := NewEngine(cfg)
	require.NoError(t, err)
	require.NoError(t, e.Configure(oneEndpoint()))
	done := make(chan error, 1)
	go func() { done <- e.Run(context.Background()) }()
	t.Cleanup(func() {
		require.NoError(t, e.Close())
		require.NoError(t, <-done)
	})
	return e, m
}

func receive(t *testing.T, m *Memory) packet.Frame {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	f, err := m.Receive(ctx)
	require.NoError(t, err)
	return f
}

func parse(t *testing.T, f packet.Frame) (src, dst netip.AddrPort) {
	t.Helper()
	require.GreaterOrEqual(t, len(f.Data), ethernetLen+ipv4Len+8)
	ip, l4 := f.Data[ethernetLen:], f.Data[ethernetLen+ipv4Len:]
	port := func(b []byte) uint16 { return uint16(b[0])<<8 | uint16(b[1]) }
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(ip[12:])), port(l4)),
		netip.AddrPortFrom(netip.AddrFrom4([4]byte(ip[16:])), port(l4[2:]))
}

func TestEngineTakesASessionThereAndBack(t *testing.T) {
	e, m := start(t, EngineConfig{})
	m.Inject(packet.Frame{ENI: endpointENI, Data: tcpFrame(consumer, endpoint, syn, nil)})
	there := receive(t, m)
	require.Equal(t, nodeENI, there.ENI)
	local, target := parse(t, there)
	require.Equal(t, natIP, local.Addr())
	require.Equal(t, backend, target)
	require.Equal(t, tcpFrame(local, backend, syn, nil)[ethernetLen+ipv4Len:], there.Data[ethernetLen+ipv4Len:],
		"ports and checksum")

	m.Inject(packet.Frame{ENI: nodeENI, Data: tcpFrame(backend, local, synAck, nil)})
	back := receive(t, m)
	require.Equal(t, endpointENI, back.ENI)
	from, to := parse(t, back)
	require.Equal(t, endpoint, from)
	require.Equal(t, consumer, to)

	sessions := e.Sessions()
	require.Len(t, sessions, 1)
	require.Equal(t, "ep-db tcp/5432", sessions[0].Link)
	require.Equal(t, consumer, sessions[0].Consumer)
	require.Equal(t, local, sessions[0].Local)
	stats := e.Stats()
	require.EqualValues(t, 2, stats.Table.Verdicts[fullnat.Forwarded])
	require.EqualValues(t, 2, stats.Driver.FramesRead)
	require.EqualValues(t, 2, stats.Driver.FramesWritten)
}

func TestEngineAnswersARPForWhatItOwns(t *testing.T) {
	e, m := start(t, EngineConfig{})
	asker := consumer.Addr()
	for _, tt := range []struct {
		name  string
		eni   packet.ENI
		frame []byte
		owner netip.Addr // who answers; invalid: nobody
	}{
		{"the endpoint's address", endpointENI, arpRequest(asker, endpoint.Addr()), endpoint.Addr()},
		{"a NAT IP", nodeENI, arpRequest(asker, natIP), natIP},
		{"the endpoint's address in the other VPC", nodeENI, arpRequest(asker, endpoint.Addr()), netip.Addr{}},
		{"somebody else's address", endpointENI, arpRequest(asker, backend.Addr().Next()), netip.Addr{}},
		{"an announcement", endpointENI, arpRequest(asker, asker), netip.Addr{}},
		{"a request that the bridge floods, for another MAC", endpointENI,
			append([]byte{2, 0, 10, 0, 1, 99}, arpRequest(consumer.Addr(), endpoint.Addr())[6:]...), netip.Addr{}},
		{"an announcement of our own address by somebody else", endpointENI,
			arpRequest(endpoint.Addr(), endpoint.Addr()), netip.Addr{}},
		{"half a request", endpointENI, arpRequest(asker, endpoint.Addr())[:30], netip.Addr{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := e.Stats().ARP
			// A packet behind it shows when the request has been dealt with.
			m.Inject(packet.Frame{ENI: tt.eni, Data: tt.frame},
				packet.Frame{ENI: endpointENI, Data: udpFrame(consumer, endpoint, nil)})
			if !tt.owner.IsValid() {
				require.Equal(t, nodeENI, receive(t, m).ENI, "the packet, not a reply")
				require.Equal(t, ARPStats{Answered: before.Answered, Ignored: before.Ignored + 1}, e.Stats().ARP)
				return
			}
			reply := receive(t, m)
			receive(t, m)
			require.Equal(t, tt.eni, reply.ENI)
			mac, to := packet.MACOf(tt.owner), packet.MACOf(asker)
			require.Equal(t, to[:], reply.Data[:6])
			require.Equal(t, mac[:], reply.Data[6:12])
			require.Equal(t, mac[:], reply.Data[22:28])
			require.Equal(t, tt.owner.AsSlice(), reply.Data[28:32])
			require.Equal(t, ARPStats{Answered: before.Answered + 1, Ignored: before.Ignored}, e.Stats().ARP)
		})
	}
	require.Zero(t, e.Stats().Table.Verdicts[fullnat.NotIP], "ARP does not reach the table")
}

// TestEngineAdvertisesWhatItOwns asks for an address several times in a burst:
// each answer has memory of its own.
func TestEngineAdvertisesWhatItOwns(t *testing.T) {
	e, m := start(t, EngineConfig{})
	owned, foreign := netip.MustParseAddr("2001:db8:1::200"), netip.MustParseAddr("2001:db8:1::201")
	require.NoError(t, e.Configure(Config{
		NAT:   &fullnat.Config{},
		Owned: []Owned{{ENI: endpointENI, MAC: packet.MACOf(owned), Addrs: []netip.Addr{owned}}},
	}))
	first, second := netip.MustParseAddr("2001:db8:1::10"), netip.MustParseAddr("2001:db8:1::11")
	m.Inject(
		packet.Frame{ENI: endpointENI, Data: solicitation(first, owned)},
		packet.Frame{ENI: endpointENI, Data: solicitation(first, foreign)},
		packet.Frame{ENI: nodeENI, Data: solicitation(first, owned)},
		packet.Frame{ENI: endpointENI, Data: solicitation(second, owned)},
	)
	for _, asker := range []netip.Addr{first, second} {
		reply := receive(t, m)
		require.Equal(t, endpointENI, reply.ENI)
		mac, to := packet.MACOf(owned), packet.MACOf(asker)
		require.Equal(t, to[:], reply.Data[:6])
		require.Equal(t, mac[:], reply.Data[6:12])
		require.Equal(t, asker.AsSlice(), reply.Data[38:54])
		require.Equal(t, owned.AsSlice(), reply.Data[62:78])
	}
	require.Equal(t, ARPStats{Answered: 2, Ignored: 2}, e.Stats().ARP)
	require.Zero(t, e.Stats().Table.Verdicts[fullnat.NotOurs], "it does not reach the table")
}

// solicitation asks who has an IPv6 address (RFC 4861, 4.3).
func solicitation(asker, target netip.Addr) []byte {
	mac := packet.MACOf(asker)
	data := make([]byte, 86)
	copy(data, []byte{0x33, 0x33, 0xff})
	copy(data[6:], mac[:])
	copy(data[12:], []byte{0x86, 0xdd, 0x60, 0, 0, 0, 0, 32, 58, 255})
	copy(data[22:], asker.AsSlice())
	group := [16]byte{0: 0xff, 1: 0x02, 11: 1, 12: 0xff}
	copy(group[13:], target.AsSlice()[13:])
	copy(data[38:], group[:])
	data[54] = 135
	copy(data[62:], target.AsSlice())
	copy(data[78:], append([]byte{1, 1}, mac[:]...))
	binary.BigEndian.PutUint16(data[56:], ^sum(pseudo(asker, netip.AddrFrom16(group), 58, 32), data[54:]))
	return data
}

func TestEngineDropsWhatTheTableDrops(t *testing.T) {
	e, m := start(t, EngineConfig{})
	noListener := netip.AddrPortFrom(endpoint.Addr(), 81)
	m.Inject(
		packet.Frame{ENI: endpointENI, Data: tcpFrame(consumer, noListener, syn, nil)},
		packet.Frame{ENI: endpointENI, Data: []byte("short")},
		packet.Frame{ENI: nodeENI, Data: tcpFrame(backend, netip.AddrPortFrom(natIP, 2000), syn, nil)},
		packet.Frame{ENI: endpointENI, Data: tcpFrame(consumer, endpoint, syn, nil)},
	)
	require.Equal(t, nodeENI, receive(t, m).ENI)
	require.Empty(t, m.Sent())
	verdicts := e.Stats().Table.Verdicts
	require.EqualValues(t, 1, verdicts[fullnat.NoListener])
	require.EqualValues(t, 1, verdicts[fullnat.NoSession])
	require.EqualValues(t, 1, verdicts[fullnat.Forwarded])
}

func TestEngineConfigurationHoldsWhenConfigureReturns(t *testing.T) {
	e, m := start(t, EngineConfig{})
	ping := packet.Frame{ENI: endpointENI, Data: udpFrame(consumer, endpoint, nil)}
	m.Inject(ping)
	receive(t, m)

	off := oneEndpoint()
	for i := range off.NAT.Links {
		off.NAT.Links[i].Connected = false
	}
	off.Owned = off.Owned[1:]
	require.NoError(t, e.Configure(off))
	require.Empty(t, e.Sessions())
	m.Inject(ping,
		packet.Frame{ENI: endpointENI, Data: arpRequest(consumer.Addr(), endpoint.Addr())},
		packet.Frame{ENI: nodeENI, Data: arpRequest(backend.Addr(), natIP)})
	require.Equal(t, nodeENI, receive(t, m).ENI, "the reply of the node alone")
	require.EqualValues(t, 1, e.Stats().Table.Verdicts[fullnat.NotConnected])

	t.Run("an error changes nothing", func(t *testing.T) {
		bad := oneEndpoint()
		bad.NAT.Links = append(bad.NAT.Links, bad.NAT.Links[0])
		require.ErrorContains(t, e.Configure(bad), "ep-db tcp/5432")
		bad = oneEndpoint()
		bad.Owned = append(bad.Owned, Owned{ENI: 3, Addrs: []netip.Addr{{}}})
		require.EqualError(t, e.Configure(bad), `ENI 3 cannot own the address "invalid IP": give it a plain IP address`)
		require.Error(t, e.Configure(Config{}))
		m.Inject(ping, packet.Frame{ENI: nodeENI, Data: arpRequest(backend.Addr(), natIP)})
		require.Equal(t, nodeENI, receive(t, m).ENI)
		require.EqualValues(t, 2, e.Stats().Table.Verdicts[fullnat.NotConnected])
	})
}

func TestEngineEndsSessionsWhileNothingComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, m := start(t, EngineConfig{})
		m.Inject(packet.Frame{ENI: endpointENI, Data: udpFrame(consumer, endpoint, nil)})
		receive(t, m)
		time.Sleep(59 * time.Second)
		synctest.Wait()
		require.Len(t, e.Sessions(), 1)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		require.Zero(t, e.Stats().Table.Sessions)
	})
}

func TestEngineRunEndsWithItsContext(t *testing.T) {
	m := NewMemory()
	e, err := NewEngine(EngineConfig{Driver: m})
	require.NoError(t, err)
	for range 2 { // and can be run again
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- e.Run(ctx) }()
		cancel()
		require.NoError(t, <-done)
	}
	require.NoError(t, e.Close())
	require.NoError(t, e.Close())
	require.ErrorIs(t, e.Configure(oneEndpoint()), os.ErrClosed)
	require.Empty(t, e.Sessions())
	require.Zero(t, e.Stats().Table)
	require.NoError(t, e.Run(t.Context()), "a closed engine has nothing to do")
}

// broken is a driver whose kernel has gone mad.
type broken struct{ *Memory }

var errBroken = errors.New("no such thing")

func (broken) Read([]packet.Frame) (int, error) { return 0, errBroken }

func TestEngineRunSaysWhyTheDriverFailed(t *testing.T) {
	e, err := NewEngine(EngineConfig{Driver: broken{NewMemory()}})
	require.NoError(t, err)
	defer e.Close()
	require.ErrorIs(t, e.Run(t.Context()), errBroken)

	m := NewMemory()
	e, err = NewEngine(EngineConfig{Driver: m})
	require.NoError(t, err)
	defer e.Close()
	require.NoError(t, m.Close())
	require.ErrorIs(t, e.Run(t.Context()), os.ErrClosed, "somebody else closed the driver")
}

func TestEngineMayBeAskedFromAnywhere(t *testing.T) {
	e, m := start(t, EngineConfig{Tick: time.Millisecond})
	done := make(chan struct{})
	for range 2 {
		go func() {
			defer func() { done <- struct{}{} }()
			for range 50 {
				_ = e.Configure(oneEndpoint())
				e.Stats()
				e.Sessions()
			}
		}()
	}
	const count = 500
	for i := range count {
		from := netip.AddrPortFrom(consumer.Addr(), uint16(1024+i))
		m.Inject(packet.Frame{ENI: endpointENI, Data: udpFrame(from, endpoint, nil)})
	}
	<-done
	<-done
	for range count {
		receive(t, m)
	}
	require.Len(t, e.Sessions(), count)
}

func TestEngineDoesNotAllocatePerPacket(t *testing.T) {
	m := NewMemory()
	e, err := NewEngine(EngineConfig{Driver: m})
	require.NoError(t, err)
	defer e.Close()
	require.NoError(t, e.Configure(oneEndpoint()))
	var data [Burst][]byte
	for i := range data {
		data[i] = udpFrame(consumer, endpoint, []byte{byte(i)})
	}
	original := append([]byte(nil), data[0]...)
	var frames [Burst]packet.Frame
	require.Zero(t, testing.AllocsPerRun(100, func() {
		for i := range frames {
			copy(data[i], original)
			frames[i] = packet.Frame{ENI: endpointENI, Data: data[i]}
		}
		if out, _ := e.translate(frames[:], time.Second); len(out) != Burst {
			panic("not all of them were forwarded")
		}
	}))
}
