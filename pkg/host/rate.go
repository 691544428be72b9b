package host

// Rate is how fast frames leave a device of a lab.
type Rate struct {
	Namespace, Device string
	Bits              int64 // a second; 0: without a limit
	Burst             int64 // bytes that leave at once after a silence
	Queue             int64 // bytes that wait at most
}

// RateCount is what a Rate has done to frames.
type RateCount struct {
	Dropped uint64 // found the queue full
	Delayed uint64 // times that the queue had to wait
}
