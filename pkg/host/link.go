package host

import (
	"fmt"

	"github.com/plinksim/plinksim/pkg/packet"
)

// LinkUp is the step that sets a device up.
type LinkUp struct {
	Namespace, Device string
}

func (u LinkUp) String() string {
	return fmt.Sprintf("ip -n %s link set %s up", u.Namespace, u.Device)
}

func (u LinkUp) replaces() string { return "" }

// Bridge is the step that makes a subnet's bridge. It does not speak the
// spanning tree protocol, so its ports forward at once, and it treats
// multicast as broadcast, as there is nobody who would query for listeners. Its
// MTU is set when it is there: one that it is made with is lost with its last
// port (Linux, net/bridge/br_if.c: br_mtu_auto_adjust).
type Bridge struct {
	Namespace, Device string
	MAC               packet.MAC
	MTU               int
}

func (b Bridge) String() string {
	return lines(
		fmt.Sprintf("ip -n %s link add %s address %s up type bridge stp_state 0 mcast_snooping 0",
			b.Namespace, b.Device, b.MAC),
		fmt.Sprintf("ip -n %s link set %s mtu %d", b.Namespace, b.Device, b.MTU))
}

func (b Bridge) replaces() string { return "" }

// Veth is the step that makes a veth pair: Port on a bridge in one namespace,
// Peer in another. Each end is made where it belongs: an end that is made
// elsewhere and moved costs ten times as much, and a crash in between leaves
// it behind.
type Veth struct {
	Namespace, Port string
	PortMAC         packet.MAC
	Bridge          string // in Namespace; "" where Port is on none
	MTU             int
	PeerNamespace   string
	Peer            string
	PeerMAC         packet.MAC
}

func (v Veth) String() string {
	master := ""
	if v.Bridge != "" {
		master = " master " + v.Bridge
	}
	return lines(
		fmt.Sprintf("ip -n %s link add %s address %s mtu %d numtxqueues 1 numrxqueues 1%s up"+
			" type veth peer name %s netns %s address %s mtu %d numtxqueues 1 numrxqueues 1",
			v.Namespace, v.Port, v.PortMAC, v.MTU, master, v.Peer, v.PeerNamespace, v.PeerMAC, v.MTU),
		LinkUp{v.PeerNamespace, v.Peer}.String(),
	)
}

func (v Veth) replaces() string { return "" }
