package lab

import (
	"maps"
	"slices"

	"github.com/plinksim/plinksim/pkg/dataplane"
	"github.com/plinksim/plinksim/pkg/topology"
)

// FaultStatus is everything that goes wrong on purpose.
type FaultStatus struct {
	Schema    string           `json:"schema"`
	Links     []ShapedStatus   `json:"links"`
	ZonesDown []string         `json:"zones_down"`
	ENIs      []ENIFaultStatus `json:"enis"` // those with a fault of their own
	// Frames from and to interfaces with a fault, which no verdict tells of.
	DroppedDown       uint64 `json:"dropped_down"`
	DroppedBlackholed uint64 `json:"dropped_blackholed"`
	HeldBytes         int    `json:"held_bytes"` // memory of frames that wait
}

// ENIFaultStatus is an interface with a fault.
type ENIFaultStatus struct {
	Name  string `json:"name"`
	Fault string `json:"fault"` // down or blackhole
}

// ShapedStatus is what is done to the packets of one connection; at AWS to
// those of one zone of it.
type ShapedStatus struct {
	Name       string           `json:"name"`
	Seed       uint64           `json:"seed"`
	Live       bool             `json:"live"` // not, or not only, what the file says
	ToProvider ImpairmentStatus `json:"to_provider"`
	ToConsumer ImpairmentStatus `json:"to_consumer"`
}

// ImpairmentStatus is one direction with its counters. Shares are from 0 to 1.
type ImpairmentStatus struct {
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

// Faults says what is wrong on purpose and what that did.
func (l *Lab) Faults() FaultStatus {
	stats := l.engine.Stats().Shaped
	out := FaultStatus{
		Schema: Schema, ZonesDown: []string{}, ENIs: []ENIFaultStatus{},
		DroppedDown: stats.Down, DroppedBlackholed: stats.Blackholed, HeldBytes: stats.HeldBytes,
	}
	out.Links = l.shapedStatus(stats)
	l.mu.Lock()
	defer l.mu.Unlock()
	out.ZonesDown = append(out.ZonesDown, slices.Sorted(maps.Keys(l.faults.zones))...)
	for _, name := range slices.Sorted(maps.Keys(l.faults.enis)) {
		out.ENIs = append(out.ENIs, ENIFaultStatus{name, faultNames[l.faults.enis[name]]})
	}
	return out
}

// shapedStatus is what is done to the packets of every connection, and what
// that did.
func (l *Lab) shapedStatus(stats dataplane.ShapingStats) []ShapedStatus {
	out := []ShapedStatus{}
	counted := map[string]dataplane.ShapedLinkStats{}
	for _, s := range stats.Links {
		counted[s.Name] = s
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	plan := l.plane.Plan()
	for _, ep := range plan.Endpoints {
		for _, link := range l.faults.shapedLinks(plan.Cloud, ep, l.numbers) {
			c := counted[link.Name]
			out = append(out, ShapedStatus{
				Name: link.Name, Seed: link.Seed, Live: l.faults.ways[ep.Name] != nil,
				ToProvider: impairmentStatus(link.ToProvider, c.ToProvider),
				ToConsumer: impairmentStatus(link.ToConsumer, c.ToConsumer),
			})
		}
	}
	return out
}

func impairmentStatus(i topology.Impairment, s dataplane.ShapedStats) ImpairmentStatus {
	return ImpairmentStatus{
		BandwidthMbit: float64(i.Bandwidth) / 1e6,
		DelayMs:       i.Delay.Seconds() * 1e3, JitterMs: i.Jitter.Seconds() * 1e3,
		Loss: i.Loss, Reorder: i.Reorder, Duplicate: i.Duplicate, Corrupt: i.Corrupt,
		Text: i.String(),
		Frames: ShapedFrames{
			Passed: s.Passed, Delayed: s.Delayed, Waiting: s.Waiting, Reordered: s.Reordered, Duplicated: s.Duplicated,
			Corrupted: s.Corrupted, Lost: s.Lost, QueueFull: s.QueueFull, NoRoom: s.NoRoom, Cut: s.Cut,
		},
	}
}
