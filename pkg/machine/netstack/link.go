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

	unresolved atomic.Int32 // packets of a router that wait for a neighbour

	mu         sync.RWMutex
	dispatcher stack.NetworkDispatcher
}

// is says whether a spec is that of the device.
func (l *link) is(d deviceSpec, switches map[string]*bridge) bool {
	return l.bridge == switches[d.subnet] && l.mac == d.mac && l.mtu == uint32(d.mtu)
}

// receive implements port. What a bridge floods may be for another host.
func (l *link) receive(frame []byte) {
	if to := packet.MAC(frame[:6]); to == l.mac || isGroup(to) {
		l.space.arrive(arrival{l, frame})
	}
}

// deliver hands a frame to the stack. The pump calls it.
func (l *link) deliver(frame []byte) {
	if r := l.space.router.Load(); r != nil && r.take(l, frame) {
		return
	}
	l.mu.RLock()
	dispatcher := l.dispatcher
	l.mu.RUnlock()
	if dispatcher == nil || !l.space.filter.passes(frame, ingress) {
		return
	}
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(frame)})
	defer pkt.DecRef()
	dispatcher.DeliverNetworkPacket(0, pkt) // the layer above reads the type
}

// WritePackets implements stack.LinkEndpoint.
func (l *link) WritePackets(list stack.PacketBufferList) (int, tcpip.Error) {
	for _, pkt := range list.AsSlice() {
		whole := pkt.ToBuffer()
		frame := whole.Flatten()
		whole.Release()
		if !l.unplugged.Load() && l.space.filter.passes(frame, egress) {
			l.bridge.forward(l, frame)
		}
	}
	return list.Len(), nil
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
