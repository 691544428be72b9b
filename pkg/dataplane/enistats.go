package dataplane

import "github.com/plinksim/plinksim/pkg/packet"

// ENIStats counts what came and went at one ENI. A superframe is one frame.
type ENIStats struct {
	ENI                           packet.ENI
	FramesReceived, BytesReceived uint64
	FramesSent, BytesSent         uint64
	// FramesCrowded are those that were not received, as too many of the ENI, or of
	// their source, were waiting.
	FramesCrowded uint64
}

// crowdedDriver is a Driver at which ENIs take turns.
type crowdedDriver interface {
	// takeCrowded tells how many frames of which ENIs it has refused since it did
	// so last, from any goroutine.
	takeCrowded(tell func(packet.ENI, uint64))
}

// eniStats are by number, of which a lab uses the lowest. The engine's mutex
// guards them.
type eniStats []ENIStats

func (s *eniStats) at(eni packet.ENI) *ENIStats {
	if int(eni) >= len(*s) {
		s.grow(eni)
	}
	return &(*s)[eni]
}

func (s *eniStats) grow(eni packet.ENI) {
	for n := len(*s); n <= int(eni); n++ {
		*s = append(*s, ENIStats{ENI: packet.ENI(n)})
	}
}

// forget takes back what was counted at ENIs that were known before and are not now:
// another one may get the number.
func (s eniStats) forget(before, now []*arrival) {
	for n := range min(len(before), len(s)) {
		if before[n] != nil && (n >= len(now) || now[n] == nil) {
			s[n] = ENIStats{ENI: packet.ENI(n)}
		}
	}
}

func (s *eniStats) received(frames []packet.Frame) {
	for i := range frames {
		e := s.at(frames[i].ENI)
		e.FramesReceived++
		e.BytesReceived += uint64(len(frames[i].Data))
	}
}

// refused asks the driver what it did not let in.
func (s *eniStats) refused(driver Driver) {
	if d, ok := driver.(crowdedDriver); ok {
		d.takeCrowded(func(eni packet.ENI, n uint64) { s.at(eni).FramesCrowded += n })
	}
}

func (s *eniStats) sent(frames []packet.Frame) {
	for i := range frames {
		e := s.at(frames[i].ENI)
		e.FramesSent++
		e.BytesSent += uint64(len(frames[i].Data))
	}
}

// used is a copy of those at which anything happened.
func (s eniStats) used() []ENIStats {
	var out []ENIStats
	for _, e := range s {
		if e.FramesReceived > 0 || e.FramesSent > 0 || e.FramesCrowded > 0 {
			out = append(out, e)
		}
	}
	return out
}
