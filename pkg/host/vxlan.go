package host

import (
	"fmt"
	"net/netip"

	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/topology"
)

// VXLAN is the step that makes the device by which a VPC reaches other hosts. Its UDP
// socket is in the namespace that the lab's process is in, which is the only thing of a
// lab that is there. The device is made in the VPC's namespace at once: one that is moved
// there would be left behind by a crash in between. A packet with DF has it in the underlay
// too: where that carries less than it should, the packet is lost, as it is in a cloud, and
// not cut into fragments, which is slow and which nobody sees.
type VXLAN struct {
	Namespace, Device string
	VNI               int
	Local             netip.Addr // of this host, in the underlay
	Port              uint16
	MAC               packet.MAC
	MTU               int
}

func (v VXLAN) String() string {
	return fmt.Sprintf("ip link add %s netns %s address %s mtu %d up type vxlan id %d local %s dstport %d nolearning udpcsum df inherit",
		v.Device, v.Namespace, v.MAC, v.MTU, v.VNI, v.Local, v.Port)
}

func (v VXLAN) replaces() string { return "" }

// Peer is the step that tells a VXLAN device where another host is. Nothing has to ask for
// it: there is no flooding, and no ARP.
type Peer struct {
	Namespace, Device string
	IP                netip.Addr // of the device on the other host
	IPv6              netip.Addr // may be left out
	MAC               packet.MAC
	Address           netip.Addr // of the other host, in the underlay
}

func (p Peer) String() string {
	text := []string{fmt.Sprintf("bridge -n %s fdb add %s dev %s dst %s self permanent", p.Namespace, p.MAC, p.Device, p.Address)}
	for _, ip := range p.addresses() {
		text = append(text, fmt.Sprintf("ip -n %s neigh add %s lladdr %s dev %s nud permanent", p.Namespace, ip, p.MAC, p.Device))
	}
	return lines(text...)
}

func (p Peer) addresses() []netip.Addr {
	if p.IPv6.IsValid() {
		return []netip.Addr{p.IP, p.IPv6}
	}
	return []netip.Addr{p.IP}
}

func (p Peer) replaces() string { return "" }

// addTransit makes the VXLAN device of a VPC, and routes to what it has on other hosts. The
// router itself, which answers traceroute, sends from an address of its subnets.
func addTransit(g *group, vpc *topology.VPC) {
	t := vpc.Transit
	if t == nil {
		return
	}
	what := fmt.Sprintf("VPC %s on other hosts", vpc.Name)
	g.add(what,
		VXLAN{vpc.Namespace, t.Device, t.VNI, t.Local, t.Port, t.MAC, vpc.MTU},
		Address{vpc.Namespace, t.Device, host(t.IP)},
	)
	for _, peer := range t.Peers {
		g.add(what, Peer{vpc.Namespace, t.Device, peer.IP, peer.IPv6, peer.MAC, peer.Address})
		for _, dst := range peer.Routes {
			via, source := peer.IP, t.Source
			if dst.Addr().Is6() {
				via, source = peer.IPv6, t.IPv6Source
			}
			g.add(what, Route{vpc.Namespace, t.Device, dst, via, source})
		}
	}
}
