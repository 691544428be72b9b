package dataplane

import "github.com/plinksim/plinksim/pkg/packet"

// Burst is how many frames are read and written at once.
const Burst = 64

// Driver moves frames between the engine and every ENI of a lab. Read and
// Write may run at the same time, each from one goroutine.
type Driver interface {
	// Read blocks until a frame is there or Wake is called, fills frames and
	// returns how many, 0 after Wake. The data belongs to the driver and is
	// valid until the next Read; it may be edited in place. After Close it
	// returns an error that is os.ErrClosed.
	Read(frames []packet.Frame) (n int, err error)
	// Write sends frames and has finished with them when it returns. A frame
	// that cannot be sent alone (its ENI is down or gone, it is too long, the
	// kernel has no memory) is counted in SendErrors and passed over. If
	// n < len(frames), err says why, and the rest was not sent.
	Write(frames []packet.Frame) (n int, err error)
	// Wake lets a blocked Read, or else the next one that finds no frame,
	// return at once. It may be called from any goroutine.
	Wake()
	// Stats is a copy of the driver's counters, from any goroutine.
	Stats() DriverStats
	// Close ends a blocked Read and gives all memory back, the data of the
	// last Read too: nobody may be looking at it. A second Close does nothing.
	Close() error
}

// DriverStats counts what a driver moved and lost.
type DriverStats struct {
	FramesRead, FramesWritten uint64
	BytesRead, BytesWritten   uint64
	SuperframesRead           uint64 // frames with GSOSize > 0
	RingDrops                 uint64 // frames that the kernel had no slot for
	CopyDrops                 uint64 // superframes whose whole copy did not arrive
	SendErrors                uint64 // frames that could not be sent
	Crowded                   uint64 // frames of a sender of whom too many were waiting already
	Foreign                   uint64 // frames from interfaces that are no ENI, or with a VLAN tag
}

// add makes s the counters of two drivers together.
func (s *DriverStats) add(other *DriverStats) {
	s.FramesRead += other.FramesRead
	s.FramesWritten += other.FramesWritten
	s.BytesRead += other.BytesRead
	s.BytesWritten += other.BytesWritten
	s.SuperframesRead += other.SuperframesRead
	s.RingDrops += other.RingDrops
	s.CopyDrops += other.CopyDrops
	s.SendErrors += other.SendErrors
	s.Crowded += other.Crowded
	s.Foreign += other.Foreign
}
