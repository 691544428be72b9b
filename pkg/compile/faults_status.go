package compile

import (
	"maps"
	"slices"

	"github.com/plinksim/plinksim/pkg/dataplane"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Status says what is wrong on purpose and what that did.
func (f *Faults) Status(plan *topology.Plan, numbers Numbers, stats dataplane.ShapingStats) status.Faults {
	out := status.Faults{
		Schema: status.Schema, Links: f.Shaped(plan, numbers, stats), ZonesDown: []string{}, ENIs: []status.ENIFault{},
		DroppedDown: stats.Down, DroppedBlackholed: stats.Blackholed, HeldBytes: stats.HeldBytes,
	}
	out.ZonesDown = append(out.ZonesDown, slices.Sorted(maps.Keys(f.zones))...)
	for _, name := range slices.Sorted(maps.Keys(f.enis)) {
		out.ENIs = append(out.ENIs, status.ENIFault{Name: name, Fault: faultNames[f.enis[name]]})
	}
	return out
}

// OfENIs names the ENIs of a plan that do not work, by a fault of their own or
// because their zone is down.
func (f *Faults) OfENIs(plan *topology.Plan) []status.ENIFault {
	out := []status.ENIFault{}
	for _, eni := range plan.ENIs() {
		fault := faultNames[f.enis[eni.Name]]
		if f.zones[eni.Zone] {
			fault = "zone down"
		}
		if fault != "" {
			out = append(out, status.ENIFault{Name: eni.Name, Fault: fault})
		}
	}
	return out
}

// Shaped is what is done to the packets of every connection, and what that
// did.
func (f *Faults) Shaped(plan *topology.Plan, numbers Numbers, stats dataplane.ShapingStats) []status.Shaped {
	out := []status.Shaped{}
	counted := map[string]dataplane.ShapedLinkStats{}
	for _, s := range stats.Links {
		counted[s.Name] = s
	}
	for _, ep := range plan.Endpoints {
		for _, link := range f.shapedLinks(plan.Profile.BandwidthPerZone, &ep, numbers) {
			c := counted[link.Name]
			out = append(out, status.Shaped{
				Name: link.Name, Seed: link.Seed, Live: f.ways[ep.Name] != nil,
				ToProvider: impairmentStatus(link.ToProvider, c.ToProvider),
				ToConsumer: impairmentStatus(link.ToConsumer, c.ToConsumer),
			})
		}
	}
	return out
}

func impairmentStatus(i topology.Impairment, s dataplane.ShapedStats) status.Impairment {
	return status.Impairment{
		BandwidthMbit: float64(i.Bandwidth) / 1e6,
		DelayMs:       i.Delay.Seconds() * 1e3, JitterMs: i.Jitter.Seconds() * 1e3,
		Loss: i.Loss, Reorder: i.Reorder, Duplicate: i.Duplicate, Corrupt: i.Corrupt,
		Text: i.String(),
		Frames: status.ShapedFrames{
			Passed: s.Passed, Delayed: s.Delayed, Waiting: s.Waiting, Reordered: s.Reordered, Duplicated: s.Duplicated,
			Corrupted: s.Corrupted, Lost: s.Lost, QueueFull: s.QueueFull, NoRoom: s.NoRoom, Cut: s.Cut,
		},
	}
}
