package dataplane

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/plinksim/plinksim/pkg/fullnat"
	"github.com/plinksim/plinksim/pkg/packet"
)

// handover is the driver of a worker among several: it keeps the frames that
// are this worker's and hands the others on.
type handover struct {
	Driver
	number    int
	all       []*handover
	steering  *atomic.Pointer[fullnat.Steering]
	fragments *fragments
	inbox     inbox

	moved, refused atomic.Uint64
}

func handOver(drivers []Driver, steering *atomic.Pointer[fullnat.Steering]) []*handover {
	all := make([]*handover, len(drivers))
	common := &fragments{shards: map[datagramKey]int{}}
	for i, d := range drivers {
		all[i] = &handover{Driver: d, number: i, all: all, steering: steering, fragments: common}
	}
	return all
}

// Read implements Driver. What others handed on comes before what arrives.
func (h *handover) Read(frames []packet.Frame) (int, error) {
	if n := h.inbox.take(frames); n > 0 {
		return n, nil
	}
	n, err := h.Driver.Read(frames)
	if err != nil {
		return n, err
	}
	if n = h.sort(frames[:n]); n == 0 {
		n = h.inbox.take(frames)
	}
	return n, nil
}

// sort keeps the worker's own frames, in place, and returns how many.
func (h *handover) sort(frames []packet.Frame) (kept int) {
	steering := h.steering.Load()
	if steering == nil {
		return len(frames) // nothing is translated yet
	}
	for i := range frames {
		f := &frames[i]
		if packet.AsksNeighbour(f.Data) {
			frames[kept] = *f
			kept++
			continue
		}
		shard := steering.Shard(f)
		if p, ok := parseFragment(f.Data); ok {
			shard = h.fragments.shard(f, &p, shard)
		}
		if shard == h.number {
			frames[kept] = *f
			kept++
			continue
		}
		h.moved.Add(1)
		if !h.all[shard].inbox.put(f) {
			h.refused.Add(1)
			continue
		}
		h.all[shard].Wake()
	}
	return kept
}

// takeCrowded implements crowdedDriver.
func (h *handover) takeCrowded(tell func(packet.ENI, uint64)) {
	if d, ok := h.Driver.(crowdedDriver); ok {
		d.takeCrowded(tell)
	}
}

// maxInbox is how many frames may wait to be taken by their worker.
const maxInbox = 1024

// inbox holds copies of frames that another worker has read.
type inbox struct {
	mu     sync.Mutex
	frames []packet.Frame
}

func (b *inbox) put(f *packet.Frame) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.frames) == maxInbox {
		return false
	}
	b.frames = append(b.frames, copyOf(*f))
	return true
}

func (b *inbox) take(frames []packet.Frame) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := copy(frames, b.frames)
	rest := copy(b.frames, b.frames[n:])
	clear(b.frames[rest:])
	b.frames = b.frames[:rest]
	return n
}

// fragments remembers to which worker the first fragment of a datagram went, as the
// others have no ports. It is right for fragments that come in order, as those of
// this machine's kernels do.
type fragments struct {
	mu     sync.Mutex
	shards map[datagramKey]int
}

// datagramKey names a fragmented datagram (RFC 791, 3.2; RFC 8200, 4.5).
type datagramKey struct {
	eni      packet.ENI
	src, dst netip.Addr
	id       uint32
	protocol uint8
}

// maxFragmented bounds the memory. A fragment of a datagram that was forgotten goes
// to the wrong worker, and is dropped there when the rest does not come.
const maxFragmented = 4096

// Where the word with the offset and "more fragments" is in an IPv4 frame.
const fragWordAt = packet.L3 + 6

// parseFragment parses data if it is a fragment, without a close look at most frames.
func parseFragment(data []byte) (p packet.Packet, ok bool) {
	if len(data) < packet.L3+20 {
		return p, false
	}
	switch binary.BigEndian.Uint16(data[12:]) {
	case packet.EtherTypeIPv4:
		if binary.BigEndian.Uint16(data[fragWordAt:])&0x3fff == 0 {
			return p, false
		}
	case packet.EtherTypeIPv6:
	default:
		return p, false
	}
	return p, packet.Parse(data, &p) == packet.Fragment
}

func (p *fragments) shard(f *packet.Frame, fragment *packet.Packet, shard int) int {
	src, dst := fragment.Addrs(f.Data)
	key := datagramKey{f.ENI, src, dst, fragment.ID(f.Data), fragment.Protocol}
	isFirst := fragment.FragmentOffset() == 0
	p.mu.Lock()
	defer p.mu.Unlock()
	if isFirst {
		if len(p.shards) == maxFragmented {
			clear(p.shards)
		}
		p.shards[key] = shard
		return shard
	}
	if known, ok := p.shards[key]; ok {
		return known
	}
	return shard
}
