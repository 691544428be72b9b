package dataplane

// Frames that wait are copied into buffers of these sizes: an ordinary frame,
// a jumbo frame, a superframe.
var bufferSizes = [...]int{2 << 10, 16 << 10, longestFrame}

// longestFrame holds the longest IPv4 packet, its Ethernet header, and what a
// translation may have inserted.
const longestFrame = 65536 + 512

// maxIdleBytes is how much of each size is kept for the next frame.
const maxIdleBytes = 2 << 20

// bufferPool keeps buffers for the next frames, up to maxIdleBytes of each
// size. How many are out is for its user to bound.
type bufferPool struct {
	idle [len(bufferSizes)][][]byte
}

// bufferSize is the size of the buffer for a frame of so many bytes.
func bufferSize(bytes int) int {
	for _, size := range bufferSizes {
		if bytes <= size {
			return size
		}
	}
	return bytes
}

// get returns an empty buffer with room for size bytes, which is a value of
// bufferSize.
func (p *bufferPool) get(size int) []byte {
	for class, s := range bufferSizes {
		if s != size {
			continue
		}
		if last := len(p.idle[class]) - 1; last >= 0 {
			b := p.idle[class][last]
			p.idle[class] = p.idle[class][:last]
			return b
		}
	}
	return make([]byte, 0, size)
}

// put takes a buffer back.
func (p *bufferPool) put(b []byte) {
	for class, s := range bufferSizes {
		if s == cap(b) && len(p.idle[class]) < maxIdleBytes/s {
			p.idle[class] = append(p.idle[class], b[:0])
		}
	}
}
