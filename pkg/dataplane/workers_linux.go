package dataplane

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/plinksim/plinksim/pkg/flowcache"
	"github.com/plinksim/plinksim/pkg/fullnat"
	"github.com/plinksim/plinksim/pkg/packet"
)

// RingWorkers are Workers over rings of one network namespace.
type RingWorkers struct {
	*Workers
	rings []*Ring
}

// OpenWorkers makes n workers, a power of two, each with a Ring of its own. As
// OpenRing, it opens them in the network namespace of the calling thread. The
// Driver of engine is not used. Where sessions were kept there are as many workers
// as there were, whatever n is: each has a share of the NAT ports.
func OpenWorkers(ring RingConfig, engine EngineConfig, n int) (*RingWorkers, error) {
	if engine.Kept != nil && engine.Kept.Shards() > 0 {
		n = engine.Kept.Shards()
	}
	if err := CheckWorkers(n); err != nil {
		return nil, err
	}
	w := &RingWorkers{}
	closeAll := func(err error) error {
		for _, r := range w.rings {
			err = errors.Join(err, r.Close())
		}
		return err
	}
	var drivers []Driver
	if ring.shared = openSharedCache(ring.FlowCache, n); engine.Kept != nil && !ring.shared.isThere() {
		if err := flowcache.DetachLeft(); err != nil {
			return nil, err
		}
	}
	for i := range n {
		ring.worker = i
		r, err := OpenRing(ring)
		if err != nil {
			return nil, closeAll(err)
		}
		w.rings, drivers = append(w.rings, r), append(drivers, r)
		if n == 1 {
			continue
		}
		if err := r.joinFanout(); err != nil {
			return nil, closeAll(err)
		}
	}
	steer := w.steerInKernel
	if n == 1 {
		steer = nil
	}
	var err error
	if w.Workers, err = newWorkers(engine, drivers, steer); err != nil {
		return nil, closeAll(err)
	}
	if ring.Limiter != nil && ring.shared.isThere() {
		w.limits = limits{
			limiter: ring.Limiter, queued: ring.shared.cache.Queued,
			inForce: map[packet.ENI][2]RateLimit{}, refused: map[packet.ENI]bool{},
		}
	}
	w.flowCache, w.settleCache = ring.shared.stats, ring.shared.settle
	return w, nil
}

// SetENIs is as that of a Ring.
func (w *RingWorkers) SetENIs(enis map[int]packet.ENI) error {
	for _, r := range w.rings {
		if err := r.SetENIs(enis); err != nil {
			return err
		}
	}
	return nil
}

// steerInKernel gives the fanout group the program for cfg.
func (w *RingWorkers) steerInKernel(cfg *fullnat.Config) error {
	ingress, egress := map[packet.ENI]bool{}, map[packet.ENI]bool{}
	for i := range cfg.Links {
		ingress[cfg.Links[i].Ingress], egress[cfg.Links[i].Egress] = true, true
	}
	enis := w.rings[0].enis.Load()
	var replies []uint32 // the interfaces at which nothing but replies arrives
	for eni := range egress {
		if index := enis.ifindex(eni); index != 0 && !ingress[eni] {
			replies = append(replies, uint32(index))
		}
	}
	slices.Sort(replies)
	program, err := assemble(steeringProgram(replies, len(w.rings)))
	if err != nil {
		return fmt.Errorf("assemble the workers' program: %w", err)
	}
	fprog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if err := unix.SetsockoptSockFprog(w.rings[0].fd, unix.SOL_PACKET, unix.PACKET_FANOUT_DATA, &fprog); err != nil {
		return fmt.Errorf("give the workers' sockets their program: %w", err)
	}
	return nil
}

func assemble(program []bpf.Instruction) ([]unix.SockFilter, error) {
	raw, err := bpf.Assemble(program)
	if err != nil {
		return nil, err
	}
	filter := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		filter[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	return filter, nil
}

// fanoutGroup is the number of the group. Nobody else has packet sockets in a
// data plane namespace.
const fanoutGroup = 1

// The group decides about outgoing frames, not its sockets (linux:
// include/uapi/linux/if_packet.h, since 5.18).
const fanoutIgnoreOutgoing = 0x4000

func (r *Ring) joinFanout() error {
	group := fanoutGroup | (unix.PACKET_FANOUT_CBPF|fanoutIgnoreOutgoing)<<16
	err := unix.SetsockoptInt(r.fd, unix.SOL_PACKET, unix.PACKET_FANOUT, group)
	if errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("join the workers' sockets: %w: several workers need Linux 5.18 or newer", err)
	}
	if err != nil {
		return fmt.Errorf("join the workers' sockets: %w", err)
	}
	return nil
}
