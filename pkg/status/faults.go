package status

// FaultChange changes the impairments of one endpoint's connection while the
// lab runs. What it does not name stays as it is.
type FaultChange struct {
	Endpoint string `json:"endpoint"`
	// To is the direction, provider or consumer; both where it is empty.
	To string `json:"to,omitempty"`
	// Set has values as a topology file writes them, by their keys there:
	// bandwidth, delay, jitter, loss, reorder, duplicate, corrupt.
	Set map[string]string `json:"set,omitempty"`
	// Seed starts everything that is random again.
	Seed *uint64 `json:"seed,omitempty"`
}

// The directions of a FaultChange.
const (
	ToProvider = "provider"
	ToConsumer = "consumer"
)

// Faults is everything that goes wrong on purpose.
type Faults struct {
	Schema    string     `json:"schema"`
	Links     []Shaped   `json:"links"`
	ZonesDown []string   `json:"zones_down"`
	ENIs      []ENIFault `json:"enis"` // those with a fault of their own
	// Frames from and to interfaces with a fault, which no verdict tells of.
	DroppedDown       uint64 `json:"dropped_down"`
	DroppedBlackholed uint64 `json:"dropped_blackholed"`
	HeldBytes         int    `json:"held_bytes"` // memory of frames that wait
}

// ENIFault is an interface with a fault.
type ENIFault struct {
	Name  string `json:"name"`
	Fault string `json:"fault"` // down or blackhole; in a Lab also zone down, or that its host does not answer
}

// Shaped is what is done to the packets of one connection; at AWS to
// those of one zone of it.
type Shaped struct {
	Name       string     `json:"name"`
	Seed       uint64     `json:"seed"`
	Live       bool       `json:"live"` // not, or not only, what the file says
	ToProvider Impairment `json:"to_provider"`
	ToConsumer Impairment `json:"to_consumer"`
}

// Impairment is one direction with its counters. Shares are from 0 to 1.
type Impairment struct {
	BandwidthMbit float64 `json:"bandwidth_mbit"` // 0: not limited
	DelayMs       float64 `json:"delay_ms"`
	JitterMs      float64 `json:"jitter_ms"`
	Loss          float64 `json:"loss"`
	Reorder       float64 `json:"reorder"`
	Duplicate     float64 `json:"duplicate"`
	Corrupt       float64 `json:"corrupt"`
	Text          string  `json:"text"` // the same for people

	Frames ShapedFrames `json:"frames"`
}

// ShapedFrames counts frames. A superframe is one, or its packets where loss,
// corruption, duplication or reordering is asked for. Those that were dropped
// have the verdict Forwarded.
type ShapedFrames struct {
	Passed     uint64 `json:"passed"`
	Delayed    uint64 `json:"delayed"`
	Waiting    int    `json:"waiting"` // now
	Reordered  uint64 `json:"reordered"`
	Duplicated uint64 `json:"duplicated"`
	Corrupted  uint64 `json:"corrupted"`

	Lost      uint64 `json:"dropped_lost"`
	QueueFull uint64 `json:"dropped_queue_full"`
	NoRoom    uint64 `json:"dropped_no_room"`
	Cut       uint64 `json:"dropped_cut"` // the interface went down while they waited
}
