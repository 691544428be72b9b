package dataplane

import (
	"sync"
	"sync/atomic"

	"github.com/plinksim/plinksim/pkg/packet"
)

// counters is DriverStats while it is counted: added to once for a burst, read
// from any goroutine.
type counters struct {
	framesRead, framesWritten atomic.Uint64
	bytesRead, bytesWritten   atomic.Uint64
	superframesRead           atomic.Uint64
	ringDrops, copyDrops      atomic.Uint64
	sendErrors, foreign       atomic.Uint64
	crowded                   atomic.Uint64

	mu        sync.Mutex
	crowdedAt map[packet.ENI]uint64 // since somebody asked
}

func (c *counters) read(frames []packet.Frame) {
	if len(frames) == 0 {
		return
	}
	var bytes, super uint64
	for i := range frames {
		bytes += uint64(len(frames[i].Data))
		if frames[i].Offload.GSOSize > 0 {
			super++
		}
	}
	c.framesRead.Add(uint64(len(frames)))
	c.bytesRead.Add(bytes)
	if super > 0 {
		c.superframesRead.Add(super)
	}
}

// crowd counts a frame of an ENI of which too many were waiting.
func (c *counters) crowd(eni packet.ENI) {
	c.crowded.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.crowdedAt == nil {
		c.crowdedAt = map[packet.ENI]uint64{}
	}
	c.crowdedAt[eni]++
}

func (c *counters) takeCrowded(tell func(packet.ENI, uint64)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for eni, n := range c.crowdedAt {
		tell(eni, n)
	}
	clear(c.crowdedAt)
}

// lostFrames counts frames that one Read did not understand.
type lostFrames struct{ foreign, copies uint64 }

func (c *counters) lost(n *lostFrames) {
	if *n != (lostFrames{}) {
		c.foreign.Add(n.foreign)
		c.copyDrops.Add(n.copies)
	}
}

func (c *counters) wrote(frames, bytes uint64) {
	c.framesWritten.Add(frames)
	c.bytesWritten.Add(bytes)
}

func (c *counters) stats() DriverStats {
	return DriverStats{
		FramesRead:      c.framesRead.Load(),
		FramesWritten:   c.framesWritten.Load(),
		BytesRead:       c.bytesRead.Load(),
		BytesWritten:    c.bytesWritten.Load(),
		SuperframesRead: c.superframesRead.Load(),
		RingDrops:       c.ringDrops.Load(),
		CopyDrops:       c.copyDrops.Load(),
		SendErrors:      c.sendErrors.Load(),
		Foreign:         c.foreign.Load(),
		Crowded:         c.crowded.Load(),
	}
}
