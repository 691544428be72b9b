package status

import "time"

// Replay is what came of a replay. It says nothing about how long it
// took, so the same replay gives the same summary.
type Replay struct {
	Schema string `json:"schema"`
	Lab    string `json:"lab"`
	Seed   uint64 `json:"seed"`
	// Start is the time of the first packet, Seconds what follows until the
	// last one.
	Start   time.Time         `json:"start"`
	Seconds float64           `json:"seconds"`
	Inputs  []ReplayFile      `json:"inputs"`
	Outputs []ReplayFile      `json:"outputs"`
	ARP     ReplayARP         `json:"arp"`
	Verdict map[string]uint64 `json:"verdicts"`
	Links   []Link            `json:"links"`
	// Sessions are those that live at the end, the first thousand of them.
	Sessions     []Session `json:"sessions"`
	SessionCount int       `json:"session_count"`
}

// ReplayFile counts what came from or went to one file.
type ReplayFile struct {
	ENI     string `json:"eni"`
	File    string `json:"file"`
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
	// OutOfOrder are packets of an input whose time is before that of one before
	// them: they were sent at the time of that one.
	OutOfOrder uint64 `json:"out_of_order,omitempty"`
}

// ReplayARP counts what was done with ARP frames.
type ReplayARP struct {
	Answered uint64 `json:"answered"`
	Ignored  uint64 `json:"ignored"`
}
