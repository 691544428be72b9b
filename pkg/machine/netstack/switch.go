package netstack

import (
	"slices"
	"sync"

	"github.com/plinksim/plinksim/pkg/packet"
)

// bridge is the switch of a subnet. It learns at which port an Ethernet address
// is, and floods what it does not know.
type bridge struct {
	mu    sync.RWMutex
	ports []port
	where map[packet.MAC]port
}

// port is what is plugged into a bridge. It gets frames that are its own to keep,
// and must not wait.
type port interface{ receive(frame packet.Frame) }

func newBridge() *bridge { return &bridge{where: map[packet.MAC]port{}} }

func (b *bridge) plug(p port) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ports = append(b.ports, p)
}

func (b *bridge) unplug(p port) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ports = slices.DeleteFunc(b.ports, func(other port) bool { return other == p })
	for mac, at := range b.where {
		if at == p {
			delete(b.where, mac)
		}
	}
}

// forward hands a frame on, whose memory is the bridge's from here on.
func (b *bridge) forward(from port, frame packet.Frame) {
	if len(frame.Data) < packet.L3 {
		return
	}
	to, source := packet.MAC(frame.Data[:6]), packet.MAC(frame.Data[6:12])
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.where[source] != from && !isGroup(source) {
		b.mu.RUnlock()
		b.learn(source, from)
		b.mu.RLock()
	}
	if p, known := b.where[to]; known {
		if p != from {
			p.receive(frame)
		}
		return
	}
	for _, p := range b.ports {
		if p != from {
			p.receive(packet.Frame{Data: slices.Clone(frame.Data), Offload: frame.Offload})
		}
	}
}

// learn notes where an address is, unless the port is not there any more.
func (b *bridge) learn(mac packet.MAC, at port) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if slices.Contains(b.ports, at) {
		b.where[mac] = at
	}
}

// isGroup says whether an address is that of many (IEEE 802, 8.2.2).
func isGroup(mac packet.MAC) bool { return mac[0]&1 != 0 }
