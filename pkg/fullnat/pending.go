package fullnat

import "github.com/plinksim/plinksim/pkg/packet"

// maxPending bounds what the table may want to send between two calls of
// Pending: a flood of packets that each ask for an answer must not become a
// flood of memory. What is beyond it is dropped and counted.
const (
	maxPendingFrames = 256
	maxPendingBytes  = 512 << 10
)

// pending is what the table itself wants to send: it was asked for by packets
// or by time, and is not one of the frames of a burst.
type pending struct {
	frames  []packet.Frame
	sources []packet.ENI // of frames, one each
	came    packet.ENI   // where the packet that is judged came from
	bytes   []byte       // what the latest frames are made of
	used    int          // bytes of all frames
	taken   bool         // Pending has given the frames away: the next one starts anew
	refused uint64       // frames that had no room
}

// Pending takes the frames that the table itself wants to send, the oldest
// first. Ask after every Forward and Expire, and send them before the frames
// of the burst. The frames and their data are the table's: they are valid
// until its next Forward or Expire.
func (t *Table) Pending() []packet.Frame {
	p := &t.pending
	if p.taken {
		return nil
	}
	p.taken = true
	return p.frames
}

// PendingSources are the interfaces from which came what made the table send
// each of the frames that Pending gave last. A frame that leaves by the same
// one is an answer. They are valid as long as the frames are.
func (t *Table) PendingSources() []packet.ENI { return t.pending.sources }

// add makes room for a frame of size bytes that leaves by eni and returns its
// data, all zero, for the caller to fill; nil where there is no room.
func (p *pending) add(eni packet.ENI, size int) []byte { return p.addFrom(p.came, eni, size) }

// addFrom is add for a frame that belongs to what came from source, whatever
// packet is being judged.
func (p *pending) addFrom(source, eni packet.ENI, size int) []byte {
	if p.taken {
		p.sources = p.sources[:0]
		p.frames, p.bytes, p.used, p.taken = p.frames[:0], p.bytes[:0], 0, false
	}
	if len(p.frames) == maxPendingFrames || p.used+size > maxPendingBytes {
		p.refused++
		return nil
	}
	start := len(p.bytes)
	if start+size > cap(p.bytes) {
		// Earlier frames keep the memory that they are in.
		p.bytes, start = make([]byte, 0, max(2*cap(p.bytes), size, 16<<10)), 0
	}
	p.bytes, p.used = p.bytes[:start+size], p.used+size
	data := p.bytes[start : start+size : start+size]
	clear(data)
	p.sources = append(p.sources, source)
	p.frames = append(p.frames, packet.Frame{ENI: eni, Data: data})
	return data
}
