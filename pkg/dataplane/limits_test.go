package dataplane

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/topology"
)

// limiterOf notes what it is asked, and refuses some interfaces.
type limiterOf struct {
	rates   map[packet.ENI][2]int64
	refuses packet.ENI
	calls   int
}

func (l *limiterOf) Limit(eni packet.ENI, toProvider, toConsumer RateLimit) error {
	l.calls++
	if eni == l.refuses {
		return errors.New("no")
	}
	l.rates[eni] = [2]int64{toProvider.Rate, toConsumer.Rate}
	return nil
}

func (l *limiterOf) Counts(enis []packet.ENI) ([]LimitCounts, error) {
	counts := make([]LimitCounts, len(enis))
	for i, eni := range enis {
		counts[i] = LimitCounts{LimitCount{Dropped: uint64(eni)}, LimitCount{Dropped: 2 * uint64(eni), Delayed: 7}}
	}
	return counts, nil
}

func TestTheKernelLimitsWhatIsNothingButABandwidthOfOneInterface(t *testing.T) {
	l := &limiterOf{rates: map[packet.ENI][2]int64{}, refuses: 9}
	queued := map[packet.ENI]bool{}
	k := limits{
		limiter: l, queued: func(eni packet.ENI) { queued[eni] = true },
		inForce: map[packet.ENI][2]RateLimit{}, refused: map[packet.ENI]bool{},
	}
	rate := topology.Impairment{Bandwidth: 1e9}
	link := func(name string, toProvider, toConsumer topology.Impairment, enis ...packet.ENI) ShapedLink {
		return ShapedLink{Name: name, ENIs: enis, ToProvider: toProvider, ToConsumer: toConsumer}
	}
	var stats EngineStats
	follow := func(links ...ShapedLink) (inKernel []string) {
		cfg := Shaping{Links: links}
		k.follow(&cfg)
		stats.Shaped = ShapingStats{Links: make([]ShapedLinkStats, len(links))}
		k.count(&stats.Shaped, cfg.Links)
		for _, l := range cfg.Links {
			if l.inKernel {
				inKernel = append(inKernel, l.Name)
			}
		}
		return inKernel
	}
	late := rate
	late.Delay = time.Millisecond
	require.Equal(t, []string{"both", "one"}, follow(
		link("slow", topology.Impairment{Bandwidth: 1e6}, rate, 4),
		link("both", rate, rate, 1),
		link("one", topology.Impairment{}, rate, 2),
		link("late", late, rate, 3),
		link("zones", rate, rate, 5, 6),
		link("free", topology.Impairment{}, topology.Impairment{}, 7),
		link("refused", rate, rate, 9),
	))
	require.Equal(t, map[packet.ENI][2]int64{1: {1e9, 1e9}, 2: {0, 1e9}}, l.rates)
	require.Equal(t, map[packet.ENI]bool{1: true, 2: true}, queued)
	require.EqualValues(t, 1, stats.Shaped.Links[1].ToProvider.QueueFull)
	require.EqualValues(t, 4, stats.Shaped.Links[2].ToConsumer.QueueFull)
	require.EqualValues(t, 7, stats.Shaped.Links[2].ToConsumer.Delayed)

	calls := l.calls
	require.Equal(t, []string{"both"}, follow(link("both", rate, rate, 1), link("one", late, rate, 2), link("refused", rate, rate, 9)))
	require.Equal(t, calls+1, l.calls, "what stays is not asked for again")
	require.Equal(t, [2]int64{}, l.rates[2])
	require.Empty(t, follow())
	require.Equal(t, [2]int64{}, l.rates[1])
}
