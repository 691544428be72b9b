package dataplane

import (
	"fmt"
	"net/netip"

	"github.com/plinksim/plinksim/pkg/packet"
)

// Owned is what an ENI has: the addresses for which it answers ARP and neighbour
// solicitations, all with one MAC. Frames for another MAC, and packets from one of
// its own addresses, or from the last one of its subnet, are dropped.
type Owned struct {
	ENI    packet.ENI
	MAC    packet.MAC
	Addrs  []netip.Addr
	Subnet netip.Prefix // of IPv4; may be left out
}

// ARPStats counts ARP frames, and neighbour solicitations, which are the same
// for IPv6.
type ARPStats struct {
	Answered uint64 // requests for an owned address
	Ignored  uint64 // everything else: other addresses, replies, announcements, malformed frames
}

// responder answers ARP requests and neighbour solicitations. It has nothing to
// learn, and announcements of others change nothing.
type responder struct {
	owned map[ownedAddr]packet.MAC
	stats ARPStats

	asked packet.ENI // the ENI of the frame that is being answered
	// told are the advertisements of the burst: they are longer than what they
	// answer, so they cannot be made in its place.
	told [Burst][packet.AdvertisementSize]byte
	used int
}

type ownedAddr struct {
	eni  packet.ENI
	addr netip.Addr
}

// newOwned checks and indexes owned.
func newOwned(owned []Owned) (map[ownedAddr]packet.MAC, error) {
	index := make(map[ownedAddr]packet.MAC, 2*len(owned))
	for _, o := range owned {
		for _, addr := range o.Addrs {
			if !addr.IsValid() || addr.Zone() != "" {
				return nil, fmt.Errorf("ENI %d cannot own the address %q: give it a plain IP address", o.ENI, addr)
			}
			index[ownedAddr{o.ENI, addr.Unmap()}] = o.MAC
		}
	}
	return index, nil
}

// answer turns a frame that asks into the reply to it, or returns false if there
// is nothing to say, or it is not for us. The reply goes out where the request came
// from.
func (r *responder) answer(f *packet.Frame, forUs bool) bool {
	if !forUs {
		r.stats.Ignored++
		return false
	}
	r.asked = f.ENI
	reply, ok := packet.ARPReply(f.Data, r.owner)
	if packet.IsNeighbourSolicitation(f.Data) {
		reply = r.told[r.used][:]
		if ok = packet.Advertise(reply, f.Data, r.owner); ok {
			r.used++
		}
	}
	if !ok {
		r.stats.Ignored++
		return false
	}
	r.stats.Answered++
	f.Data, f.Offload = reply, packet.Offload{}
	return true
}

func (r *responder) owner(addr netip.Addr) (packet.MAC, bool) {
	mac, ok := r.owned[ownedAddr{r.asked, addr}]
	return mac, ok
}
