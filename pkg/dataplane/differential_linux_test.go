package dataplane

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/plinksim/plinksim/pkg/fullnat"
	"github.com/plinksim/plinksim/pkg/packet"
)

// The topology that the kernel's NAT and ours translate alike. A kernel cannot
// have the same network on both sides, so for once the VPCs do not overlap.
var (
	diffENI     = netip.MustParseAddr("10.0.1.200")
	diffNATIP   = netip.MustParseAddr("10.0.9.11")
	diffBackend = netip.MustParseAddr("10.0.9.10")
	diffRouter  = netip.MustParseAddr("10.0.9.99")
	diffClients = []netip.Addr{netip.MustParseAddr("10.0.1.10"), netip.MustParseAddr("10.0.1.11")}
)

const (
	diffConsumer = packet.ENI(1)
	diffProvider = packet.ENI(2)
	diffMarker   = 9 // the port of datagrams that always pass, on both
)

// TestTheKernelTranslatesTheSame sends the same packets, thousands of them
// made at random, through our table and through a router namespace with
// nftables' destination and source NAT, and compares what comes out at the
// other side byte by byte. Only the NAT port may differ, and it must differ in
// the same places.
func TestTheKernelTranslatesTheSame(t *testing.T) {
	kernel, ours := newKernelNAT(t), newTableNAT(t)
	for seed := range uint64(4) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			traffic := newTraffic(seed)
			passed := 0
			for step := range 1500 {
				p := traffic.next()
				want := kernel.translate(t, p.from, p.data(traffic.kernelPorts))
				got := ours.translate(p.from, p.data(traffic.ourPorts))
				name := fmt.Sprintf("step %d: %s", step, p)
				require.Equal(t, want == nil, got == nil, "%s: the kernel forwards it: %v, we do: %v", name,
					want != nil, got != nil)
				if want == nil {
					continue
				}
				passed++
				traffic.learn(p, want, got)
				require.Equal(t, comparable(t, name, want), comparable(t, name, got), name)
			}
			require.Greater(t, passed, 500, "most of the traffic is of sessions")
		})
	}
}

// kernelNAT is a namespace that routes with NAT, between two that only hold
// the rings with which frames go in and out.
type kernelNAT struct {
	router *namespace
	rings  map[packet.ENI]*Ring
	macs   map[packet.ENI]packet.MAC // of the router's devices
	mark   uint32
}

func newKernelNAT(t *testing.T) *kernelNAT {
	router := newNamespace(t)
	k := &kernelNAT{router: router, rings: map[packet.ENI]*Ring{}, macs: map[packet.ENI]packet.MAC{}}
	for _, side := range []struct {
		eni        packet.ENI
		device     string
		addr       netip.Addr
		neighbours []netip.Addr
	}{
		{diffConsumer, "consumer", diffENI, diffClients},
		{diffProvider, "provider", diffNATIP, []netip.Addr{diffBackend, diffRouter}},
	} {
		far := newNamespace(t)
		_, index := router.veth(t, side.device, far, "far")
		router.address(t, side.device, side.addr.String()+"/24")
		link, err := router.handle.LinkByName(side.device)
		require.NoError(t, err)
		var mac packet.MAC
		copy(mac[:], link.Attrs().HardwareAddr)
		k.macs[side.eni] = mac
		for _, addr := range side.neighbours {
			hw := packet.MACOf(addr)
			require.NoError(t, router.handle.NeighAdd(&netlink.Neigh{
				LinkIndex: link.Attrs().Index, IP: addr.AsSlice(), HardwareAddr: hw[:], State: netlink.NUD_PERMANENT,
			}))
		}
		ring := far.openRing(t, RingConfig{ENIs: map[int]packet.ENI{index: side.eni}})
		t.Cleanup(func() { ring.Close() })
		k.rings[side.eni] = ring
	}
	translateWithNFTables(t, router)
	router.do(t, func() error {
		for name, value := range map[string]string{
			"ipv4/ip_forward": "1",
			// A packet in the middle of a stream opens nothing, and what is
			// outside of its window passes, as ours lets it.
			"netfilter/nf_conntrack_tcp_loose":      "0",
			"netfilter/nf_conntrack_tcp_be_liberal": "1",
		} {
			if err := os.WriteFile("/proc/sys/net/"+name, []byte(value), 0); err != nil {
				return err
			}
		}
		return nil
	})
	return k
}

// translateWithNFTables does what a link does: whoever sends to the consumer
// side's address reaches the backend, which sees the provider side's address.
func translateWithNFTables(t *testing.T, router *namespace) {
	conn, err := nftables.New(nftables.WithNetNSFd(int(router.ns)))
	require.NoError(t, err)
	table := conn.AddTable(&nftables.Table{Name: "nat", Family: nftables.TableFamilyIPv4})
	rule := func(chain *nftables.Chain, device expr.MetaKey, name string, kind expr.NATType, to netip.Addr) {
		conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
			&expr.Meta{Key: device, Register: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: append([]byte(name),
				make([]byte, unix.IFNAMSIZ-len(name))...)},
			&expr.Immediate{Register: 1, Data: to.AsSlice()},
			&expr.NAT{Type: kind, Family: unix.NFPROTO_IPV4, RegAddrMin: 1},
		}})
	}
	before := conn.AddChain(&nftables.Chain{
		Name: "before", Table: table, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityNATDest,
	})
	after := conn.AddChain(&nftables.Chain{
		Name: "after", Table: table, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource,
	})
	// What the router has to say itself is not compared.
	drop := nftables.ChainPolicyDrop
	conn.AddChain(&nftables.Chain{
		Name: "own", Table: table, Type: nftables.ChainTypeFilter, Policy: &drop,
		Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityFilter,
	})
	rule(before, expr.MetaKeyIIFNAME, "consumer", expr.NATTypeDestNAT, diffBackend)
	rule(after, expr.MetaKeyOIFNAME, "provider", expr.NATTypeSourceNAT, diffNATIP)
	require.NoError(t, conn.Flush())
}

// translate sends a frame and behind it a datagram that always passes: what
// comes out before that is what became of the frame, nil if nothing.
func (k *kernelNAT) translate(t *testing.T, from packet.ENI, data []byte) []byte {
	k.mark++
	to := diffProvider
	mark := udpFrame(netip.AddrPortFrom(diffClients[0], 40000+diffMarker), netip.AddrPortFrom(diffENI, diffMarker),
		binary.BigEndian.AppendUint32(nil, k.mark))
	if from == diffProvider {
		to = diffConsumer
		mark = udpFrame(netip.AddrPortFrom(diffBackend, diffMarker), netip.AddrPortFrom(diffNATIP, 40000+diffMarker),
			binary.BigEndian.AppendUint32(nil, k.mark))
	}
	frames := []packet.Frame{{ENI: from, Data: append([]byte(nil), data...)}, {ENI: from, Data: mark}}
	mac := k.macs[from]
	for _, f := range frames {
		copy(f.Data, mac[:])
	}
	// On one processor the kernel keeps the order.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var all, one unix.CPUSet
	require.NoError(t, unix.SchedGetaffinity(0, &all))
	one.Set(firstOf(&all))
	require.NoError(t, unix.SchedSetaffinity(0, &one))
	n, err := k.rings[from].Write(frames)
	require.NoError(t, unix.SchedSetaffinity(0, &all))
	require.NoError(t, err)
	require.Equal(t, 2, n)

	var result []byte
	for {
		for _, f := range k.read(t, to) {
			switch {
			case f[12] != 8 || f[13] != 0: // not IPv4
			case isMark(f, k.mark):
				return result
			default:
				require.Nil(t, result, "one packet became two")
				result = f
			}
		}
	}
}

func firstOf(set *unix.CPUSet) int {
	cpu := 0
	for !set.IsSet(cpu) {
		cpu++
	}
	return cpu
}

func (k *kernelNAT) read(t *testing.T, at packet.ENI) [][]byte {
	frames := make([]packet.Frame, Burst)
	late := time.AfterFunc(5*time.Second, k.rings[at].Wake)
	defer late.Stop()
	n, err := k.rings[at].Read(frames)
	require.NoError(t, err)
	require.NotZero(t, n, "the datagram that always passes did not")
	var out [][]byte
	for _, f := range frames[:n] {
		out = append(out, append([]byte(nil), f.Data...))
	}
	return out
}

func isMark(frame []byte, mark uint32) bool {
	var p packet.Packet
	return packet.Parse(frame, &p) == packet.UDP && (p.SrcPort == diffMarker || p.DstPort == diffMarker) &&
		p.PayloadLength() == 4 && binary.BigEndian.Uint32(frame[p.Payload:]) == mark
}

// tableNAT is our table.
type tableNAT struct {
	table *fullnat.Table
	now   time.Duration
}

func newTableNAT(t *testing.T) *tableNAT {
	table, err := fullnat.New(fullnat.Options{Seed: 1, MaxSessions: 1 << 14})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, table.Close()) })
	require.NoError(t, table.Configure(diffLinks(), 0))
	return &tableNAT{table: table}
}

// diffLinks has a link for every port that is used.
func diffLinks() *fullnat.Config {
	cfg := &fullnat.Config{}
	for _, eni := range []packet.ENI{diffConsumer, diffProvider} {
		cfg.ENIs = append(cfg.ENIs, fullnat.Interface{ENI: eni, MTU: 1500, NextHop: packet.MACOf})
	}
	for _, l := range []struct {
		port     uint16
		protocol uint8
	}{{80, packet.ProtocolTCP}, {5432, packet.ProtocolTCP}, {53, packet.ProtocolUDP}} {
		cfg.Links = append(cfg.Links, fullnat.Link{
			Name: fmt.Sprint(l), Ingress: diffConsumer, Egress: diffProvider, Connected: true, Protocol: l.protocol,
			Match: netip.AddrPortFrom(diffENI, l.port), Local: []netip.Addr{diffNATIP}, Idle: time.Hour,
			Pick: func(packet.FiveTuple, uint32) (netip.AddrPort, bool) {
				return netip.AddrPortFrom(diffBackend, l.port), true
			},
		})
	}
	return cfg
}

func (n *tableNAT) translate(from packet.ENI, data []byte) []byte {
	n.now += time.Millisecond
	frames := []packet.Frame{{ENI: from, Data: append([]byte(nil), data...)}}
	var verdicts [1]fullnat.Verdict
	n.table.Forward(frames, verdicts[:], n.now)
	if verdicts[0] != fullnat.Forwarded {
		return nil
	}
	return frames[0].Data
}

// diffPacket is a packet before it is known which NAT port it goes to.
type diffPacket struct {
	from  packet.ENI
	flow  *diffFlow
	build func(natPort uint16) []byte
	text  string
}

func (p diffPacket) String() string { return p.text }

func (p diffPacket) data(ports func(*diffFlow) uint16) []byte { return p.build(ports(p.flow)) }

// diffFlow is one connection and the NAT ports that it was given.
type diffFlow struct {
	client      netip.AddrPort
	port        uint16 // of endpoint and backend
	tcp         bool
	kernel, our uint16
	sent, got   uint32 // sequence numbers, next in each direction
	open        int    // handshake packets seen
}

// traffic makes packets at random, mostly such as real ends send.
type traffic struct {
	*rand.Rand
	flows []*diffFlow
	next1 uint16
}

// newTraffic uses other client ports for every seed, as both NATs go on with
// the sessions of the seeds before.
func newTraffic(seed uint64) *traffic {
	return &traffic{Rand: rand.New(rand.NewPCG(seed, 7)), next1: uint16(10000 + 5000*seed)}
}

func (tr *traffic) kernelPorts(f *diffFlow) uint16 { return f.kernel }
func (tr *traffic) ourPorts(f *diffFlow) uint16    { return f.our }

// learn reads the NAT port from the first packet that reached the provider.
func (tr *traffic) learn(p diffPacket, kernel, ours []byte) {
	if p.from != diffConsumer || p.flow.kernel != 0 {
		return
	}
	p.flow.kernel = binary.BigEndian.Uint16(kernel[34:])
	p.flow.our = binary.BigEndian.Uint16(ours[34:])
}

func (tr *traffic) next() diffPacket {
	if len(tr.flows) < 3 || tr.IntN(12) == 0 {
		return tr.first()
	}
	f := tr.flows[tr.IntN(len(tr.flows))]
	switch {
	case f.kernel == 0:
		return tr.first()
	case tr.IntN(25) == 0:
		return tr.icmpError(f)
	case f.tcp:
		return tr.segment(f)
	}
	return tr.datagram(f)
}

func (tr *traffic) first() diffPacket {
	tr.next1++
	f := &diffFlow{
		client: netip.AddrPortFrom(diffClients[tr.IntN(2)], tr.next1),
		port:   []uint16{80, 5432, 53}[tr.IntN(3)], sent: tr.Uint32(), got: tr.Uint32(),
	}
	f.tcp = f.port != 53
	tr.flows = append(tr.flows, f)
	if !f.tcp {
		return tr.datagram(f)
	}
	return tr.segment(f)
}

func (f *diffFlow) ends(from packet.ENI, natPort uint16) (src, dst netip.AddrPort) {
	if from == diffConsumer {
		return f.client, netip.AddrPortFrom(diffENI, f.port)
	}
	return netip.AddrPortFrom(diffBackend, f.port), netip.AddrPortFrom(diffNATIP, natPort)
}

// side is where a packet comes from: the consumer, where no NAT port is known.
func (tr *traffic) side(f *diffFlow) packet.ENI {
	if f.kernel == 0 || tr.IntN(2) == 0 {
		return diffConsumer
	}
	return diffProvider
}

// segment goes through the handshake, and then sends anything.
func (tr *traffic) segment(f *diffFlow) diffPacket {
	from, flags, payload := tr.side(f), byte(packet.FlagACK), tr.payload()
	switch f.open {
	case 0:
		from, flags, payload = diffConsumer, packet.FlagSYN, nil
	case 1:
		from, flags, payload = diffProvider, packet.FlagSYN|packet.FlagACK, nil
	case 2:
		from, payload = diffConsumer, nil
	}
	f.open++
	seq, ack := &f.sent, &f.got
	if from == diffProvider {
		seq, ack = ack, seq
	}
	tos, ttl := byte(tr.IntN(256)), tr.ttl()
	s, a := *seq, *ack
	*seq += uint32(len(payload))
	if flags&packet.FlagSYN != 0 {
		*seq++
	}
	return diffPacket{from, f, func(natPort uint16) []byte {
		src, dst := f.ends(from, natPort)
		tcp := tcpSegment(src, dst, flags, payload)
		binary.BigEndian.PutUint32(tcp[4:], s)
		binary.BigEndian.PutUint32(tcp[8:], a)
		binary.BigEndian.PutUint16(tcp[16:], 0)
		binary.BigEndian.PutUint16(tcp[16:], ^sum(pseudo(src.Addr(), dst.Addr(), protoTCP, len(tcp)), tcp))
		return withTOS(ipv4Frame(src.Addr(), dst.Addr(), protoTCP, tcp), tos, ttl)
	}, fmt.Sprintf("tcp %d>%d from ENI %d, flags %#x, %d bytes, ttl %d",
		f.client.Port(), f.port, from, flags, len(payload), ttl)}
}

func (tr *traffic) datagram(f *diffFlow) diffPacket {
	from, payload, tos, ttl := tr.side(f), tr.payload(), byte(tr.IntN(256)), tr.ttl()
	bare := tr.IntN(4) == 0
	return diffPacket{from, f, func(natPort uint16) []byte {
		src, dst := f.ends(from, natPort)
		data := udpFrame(src, dst, payload)
		if bare { // without a checksum (RFC 768)
			data[40], data[41] = 0, 0
		}
		return withTOS(data, tos, ttl)
	}, fmt.Sprintf("udp %d>%d from ENI %d, %d bytes, ttl %d, checksum %v",
		f.client.Port(), f.port, from, len(payload), ttl, !bare)}
}

// icmpError quotes a packet of the flow that the sender of the error got.
func (tr *traffic) icmpError(f *diffFlow) diffPacket {
	from := tr.side(f)
	kinds := [][2]byte{{3, 1}, {3, 3}, {3, 4}, {11, 0}, {12, 0}}
	kind := kinds[tr.IntN(len(kinds))]
	cut := []int{8, 12, 20, 40}[tr.IntN(4)]
	reporter := []netip.Addr{diffBackend, diffRouter}[tr.IntN(2)]
	return diffPacket{from, f, func(natPort uint16) []byte {
		// What reached this side is what the other side sent, translated.
		dst, src := f.ends(from, natPort)
		reporter := reporter
		if from == diffConsumer {
			reporter = f.client.Addr()
		}
		var quoted []byte
		if f.tcp {
			quoted = tcpFrame(src, dst, packet.FlagACK, make([]byte, 20))
		} else {
			quoted = udpFrame(src, dst, make([]byte, 20))
		}
		quoted = quoted[ethernetLen:]
		quoted = quoted[:min(ipv4Len+cut, len(quoted))]
		icmp := append([]byte{kind[0], kind[1], 0, 0, 0, 0, 5, 0xdc}, quoted...)
		binary.BigEndian.PutUint16(icmp[2:], ^sum(0, icmp))
		return ipv4Frame(reporter, src.Addr(), 1, icmp)
	}, fmt.Sprintf("icmp %d/%d from ENI %d about %d>%d, %d bytes quoted",
		kind[0], kind[1], from, f.client.Port(), f.port, cut)}
}

func (tr *traffic) payload() []byte {
	b := make([]byte, tr.IntN(1400))
	for i := range b {
		b[i] = byte(tr.Uint32())
	}
	return b
}

func (tr *traffic) ttl() byte {
	if tr.IntN(20) == 0 {
		return byte(1 + tr.IntN(2))
	}
	return byte(2 + tr.IntN(254))
}

func withTOS(frame []byte, tos, ttl byte) []byte {
	ip := frame[ethernetLen : ethernetLen+ipv4Len]
	ip[1], ip[8] = tos, ttl
	ip[10], ip[11] = 0, 0
	binary.BigEndian.PutUint16(ip[10:], ^sum(0, ip))
	return frame
}

// comparable is a translated IP packet without the NAT port, which may differ,
// and without the checksums that the port is in; those must be right.
func comparable(t *testing.T, name string, frame []byte) string {
	var p packet.Packet
	kind := packet.Parse(frame, &p)
	ip := append([]byte(nil), frame[ethernetLen:p.End]...)
	require.Zero(t, ^sum(0, ip[:ipv4Len]), "%s: checksum of the IPv4 header", name)
	l4 := ip[p.L4-ethernetLen:]
	switch kind {
	case packet.TCP, packet.UDP:
		requireChecksum(t, name, p, l4)
		hideNATPort(l4, p.Src, p.Dst)
		clear(l4[map[packet.Kind]int{packet.TCP: 16, packet.UDP: 6}[kind]:][:2])
	case packet.ICMP:
		require.Zero(t, ^sum(0, l4), "%s: checksum of ICMP", name)
		clear(l4[2:4])
		quoted := l4[8:]
		require.Zero(t, ^sum(0, quoted[:ipv4Len]), "%s: checksum of the quoted IPv4 header", name)
		hideNATPort(quoted[ipv4Len:], binary.BigEndian.Uint32(quoted[12:]), binary.BigEndian.Uint32(quoted[16:]))
		hideQuotedChecksum(quoted)
	default:
		require.Fail(t, name, "%s came out", net.IP(ip[12:16]))
	}
	return fmt.Sprintf("%x", ip)
}

func requireChecksum(t *testing.T, name string, p packet.Packet, l4 []byte) {
	if p.Kind == packet.UDP && l4[6] == 0 && l4[7] == 0 {
		return
	}
	src, dst := addrOf(p.Src), addrOf(p.Dst)
	require.Zero(t, ^sum(pseudo(src, dst, p.Protocol, len(l4)), l4), "%s: L4 checksum", name)
}

func hideNATPort(l4 []byte, src, dst uint32) {
	if addrOf(src) == diffNATIP {
		clear(l4[0:2])
	}
	if addrOf(dst) == diffNATIP {
		clear(l4[2:4])
	}
}

// hideQuotedChecksum clears the L4 checksum of a quoted packet, where it is
// there: it depends on the NAT port, and a part of a packet cannot be summed.
func hideQuotedChecksum(quoted []byte) {
	at := ipv4Len + 16
	if quoted[9] == protoUDP {
		at = ipv4Len + 6
	}
	if len(quoted) >= at+2 {
		clear(quoted[at : at+2])
	}
}

func addrOf(addr uint32) netip.Addr {
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], addr)
	return netip.AddrFrom4(a)
}
