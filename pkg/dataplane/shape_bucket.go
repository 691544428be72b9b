package dataplane

import (
	"math/bits"
	"time"

	"github.com/plinksim/plinksim/pkg/packet"
)

// bucketDepth is how long a link that was silent may send without waiting,
// measured by its own rate. A frame leaves while there is any credit and may
// take more than there is, so that a superframe never waits for a bucket that
// cannot hold it.
const bucketDepth = 2 * time.Millisecond

// bucket limits a rate. It keeps no tokens but the time at which they are all
// paid for, the "theoretical arrival time" of the virtual scheduling algorithm
// (ITU-T I.371, annex A), which needs no refill and rounds nothing off.
type bucket struct {
	rate     int64         // bit/s; 0: no limit
	longest  time.Duration // that a frame may wait
	paid     time.Duration // when everything that was taken is paid for
	fraction uint64        // of a nanosecond, in 1/rate, beyond paid
}

// setRate changes the rate. Debts stay, counted in time.
func (b *bucket) setRate(rate int64) {
	if rate == b.rate {
		return
	}
	b.rate, b.fraction = rate, 0
	if rate == 0 {
		b.paid = 0
		return
	}
	queue := min(max(bytesIn(queueTime, rate), minQueue), maxQueue)
	b.longest = timeOf(queue, rate)
}

// full says whether so much waits already that the next frame is dropped.
func (b *bucket) full(now time.Duration) bool {
	return b.rate > 0 && b.paid-bucketDepth-now > b.longest
}

// take pays for a frame and returns when it may leave.
func (b *bucket) take(now time.Duration, bytes int) time.Duration {
	if b.rate == 0 {
		return now
	}
	leaves := max(now, b.paid-bucketDepth)
	if b.paid < leaves {
		b.paid, b.fraction = leaves, 0
	}
	// bytes*8 bits at rate bit/s, in nanoseconds, with the rest of last time.
	cost := uint64(bytes)*8*uint64(time.Second) + b.fraction
	b.paid += time.Duration(cost / uint64(b.rate))
	b.fraction = cost % uint64(b.rate)
	return leaves
}

func bytesIn(d time.Duration, rate int64) int64 {
	high, low := bits.Mul64(uint64(d), uint64(rate))
	quotient, _ := bits.Div64(high, low, 8*uint64(time.Second))
	return int64(quotient)
}

func timeOf(bytes, rate int64) time.Duration {
	high, low := bits.Mul64(uint64(bytes)*8, uint64(time.Second))
	quotient, _ := bits.Div64(high, low, uint64(rate))
	return time.Duration(quotient)
}

// wireLength is how many bytes a frame has on a wire: a superframe is cut into
// segments, and each of them has the headers.
func wireLength(f *packet.Frame) int {
	if f.Offload.GSOSize == 0 {
		return len(f.Data)
	}
	var p packet.Packet
	switch packet.Parse(f.Data, &p) {
	case packet.TCP, packet.UDP:
	default:
		return len(f.Data)
	}
	segments := (p.PayloadLength() + int(f.Offload.GSOSize) - 1) / int(f.Offload.GSOSize)
	return len(f.Data) + max(segments-1, 0)*int(p.Payload)
}
