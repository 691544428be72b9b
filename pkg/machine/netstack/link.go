package netstack

import (
	"net/netip"
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/plinksim/plinksim/pkg/packet"
)

// link is the device of a stack on the switch of a subnet. It implements
// stack.LinkEndpoint, below gVisor's Ethernet, and port.
type link struct {
	space     *space
	bridge    *bridge
	nic       tcpip.NICID
	mac       packet.MAC
	mtu       uint32
	addresses map[netip.Prefix]bool // guarded by the machine's mutex
	unplugged atomic.Bool

	superframes bool // TCP may hand over many segments under one header

	unresolved atomic.Int32 // packets of a router that wait for a neighbour

	mu         sync.RWMutex
	dispatcher stack.NetworkDispatcher
}

// is says whether a spec is that of the device.
func (l *link) is(d deviceSpec, switches map[string]*bridge) bool {
	return l.bridge == switches[d.subnet] && l.mac == d.mac && l.mtu == uint32(d.mtu)
}

// receive implements port. What a bridge floods may be for another host.
func (l *link) receive(frame packet.Frame) {
	if to := packet.MAC(frame.Data[:6]); to == l.mac || isGroup(to) {
		l.space.arrive(arrival{l, frame})
	}
}

// deliver hands a frame to the stack. The pump calls it. The stack checks checksums, so
// that one that was left open is finished here.
func (l *link) deliver(frame packet.Frame) {
	if r := l.space.router.Load(); r != nil && r.take(l, frame) {
		return
	}
	l.mu.RLock()
	dispatcher := l.dispatcher
	l.mu.RUnlock()
	if dispatcher == nil || !l.space.filter.passes(frame.Data, ingress) {
		return
	}
	var p packet.Packet
	if frame.Offload.NeedsCsum && packet.Parse(frame.Data, &p) != packet.Malformed && frame.Offload.Fits(&p) {
		packet.FinishChecksum(&frame, &p)
	}
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(frame.Data)})
	defer pkt.DecRef()
	dispatcher.DeliverNetworkPacket(0, pkt) // the layer above reads the type
}

// WritePackets implements stack.LinkEndpoint.
func (l *link) WritePackets(list stack.PacketBufferList) (int, tcpip.Error) {
	for _, pkt := range list.AsSlice() {
		whole := pkt.ToBuffer()
		frame := packet.Frame{Data: whole.Flatten(), Offload: offloadOf(pkt)}
		whole.Release()
		if !l.unplugged.Load() && l.space.filter.passes(frame.Data, egress) {
			l.bridge.forward(l, frame)
		}
	}
	return list.Len(), nil
}

// offloadOf is what a stack left to its device.
func offloadOf(pkt *stack.PacketBuffer) (o packet.Offload) {
	gso := pkt.GSOOptions
	if gso.NeedsCsum {
		o.NeedsCsum, o.CsumStart, o.CsumOffset = true, packet.L3+gso.L3HdrLen, gso.CsumOffset
	}
	if pkt.Data().Size() <= int(gso.MSS) {
		return o
	}
	switch gso.Type {
	case stack.GSOTCPv4:
		o.GSOType, o.GSOSize = packet.GSOTCPv4, gso.MSS
	case stack.GSOTCPv6:
		o.GSOType, o.GSOSize = packet.GSOTCPv6, gso.MSS
	}
	return o
}

// longestSuperframe leaves room for headers in the length that IPv4 can say.
const longestSuperframe = 65000

// GSOMaxSize implements stack.GSOEndpoint.
func (l *link) GSOMaxSize() uint32 { return longestSuperframe }

// SupportedGSO implements stack.GSOEndpoint.
func (l *link) SupportedGSO() stack.SupportedGSO {
	if l.superframes {
		return stack.HostGSOSupported
	}
	return stack.GSONotSupported
}

// Attach implements stack.LinkEndpoint.
func (l *link) Attach(d stack.NetworkDispatcher) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dispatcher = d
}

// IsAttached implements stack.LinkEndpoint.
func (l *link) IsAttached() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.dispatcher != nil
}

// The rest of stack.LinkEndpoint. A device does not change.

func (l *link) MTU() uint32                                  { return l.mtu }
func (l *link) SetMTU(uint32)                                {}
func (l *link) MaxHeaderLength() uint16                      { return 0 }
func (l *link) LinkAddress() tcpip.LinkAddress               { return tcpip.LinkAddress(l.mac[:]) }
func (l *link) SetLinkAddress(tcpip.LinkAddress)             {}
func (l *link) Capabilities() stack.LinkEndpointCapabilities { return 0 }
func (l *link) ARPHardwareType() header.ARPHardwareType      { return header.ARPHardwareEther }
func (l *link) AddHeader(*stack.PacketBuffer)                {}
func (l *link) ParseHeader(*stack.PacketBuffer) bool         { return true }
func (l *link) SetOnCloseAction(func())                      {}
func (l *link) Wait()                                        {}
func (l *link) Close()                                       {}
