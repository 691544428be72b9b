package dataplane

import (
	"slices"

	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Limiter limits the bandwidth of an interface in the kernel, for frames that come to
// the data plane and for those that do not. Its methods are called by one goroutine
// at a time.
type Limiter interface {
	// Limit says how fast frames may come from an interface, and leave by it. A
	// Limit of an interface that had another one loses no frame.
	Limit(eni packet.ENI, toProvider, toConsumer RateLimit) error
	// Counts are what it has done to the frames of interfaces.
	Counts(enis []packet.ENI) ([]LimitCounts, error)
}

// RateLimit is a token bucket; the zero value does not limit.
type RateLimit struct {
	Rate  int64 // bit/s
	Burst int64 // bytes
	Queue int64 // bytes that wait at most
}

// LimitCounts are those of one interface.
type LimitCounts struct{ ToProvider, ToConsumer LimitCount }

// LimitCount counts frames that found the queue full, and how often it had to wait.
type LimitCount struct{ Dropped, Delayed uint64 }

// limits moves bandwidths into the kernel, where sessions in the flow cache are held
// to them too. The zero value does nothing.
type limits struct {
	limiter Limiter
	queued  func(packet.ENI) // tells the flow cache that an interface has a queue
	inForce map[packet.ENI][2]RateLimit
	refused map[packet.ENI]bool
}

// leastLimit is the smallest bandwidth that is limited in the kernel: with less no
// session carries so much that it would be cached.
const leastLimit = 20e6

// follow puts the bandwidths of links that have one interface and nothing else that
// happens to frames in force in the kernel, and takes away those that it does not
// limit any more. It marks the links.
func (k *limits) follow(cfg *Shaping) {
	if k.limiter == nil {
		return
	}
	links := slices.Clone(cfg.Links)
	seen := map[packet.ENI]bool{}
	for i := range links {
		l := &links[i]
		if len(l.ENIs) != 1 || !isRate(l.ToProvider) || !isRate(l.ToConsumer) {
			continue
		}
		eni := l.ENIs[0]
		want := [2]RateLimit{limitOf(l.ToProvider.Bandwidth), limitOf(l.ToConsumer.Bandwidth)}
		if want == ([2]RateLimit{}) || k.refused[eni] || !k.put(eni, want) {
			continue
		}
		l.inKernel = true
		seen[eni] = true
	}
	for eni := range k.inForce {
		if !seen[eni] {
			k.put(eni, [2]RateLimit{})
			delete(k.inForce, eni)
		}
	}
	cfg.Links = links
}

func (k *limits) put(eni packet.ENI, want [2]RateLimit) bool {
	if k.inForce[eni] == want {
		return true
	}
	if err := k.limiter.Limit(eni, want[0], want[1]); err != nil {
		// A kernel without such a queue, or the interface is just going.
		k.refused[eni] = true
		return false
	}
	k.queued(eni)
	k.inForce[eni] = want
	return true
}

// isRate says whether an impairment is a bandwidth that the kernel can limit, or
// nothing.
func isRate(i topology.Impairment) bool {
	return i == topology.Impairment{Bandwidth: i.Bandwidth} && (i.Bandwidth == 0 || i.Bandwidth >= leastLimit)
}

// limitOf is what bucket does, for a kernel.
func limitOf(rate int64) RateLimit {
	if rate == 0 {
		return RateLimit{}
	}
	const superframe = 64 << 10
	return RateLimit{
		Rate: rate, Burst: max(bytesIn(bucketDepth, rate), 2*superframe),
		Queue: min(max(bytesIn(queueTime, rate), minQueue), maxQueue),
	}
}

// count adds what the kernel has done to what links count.
func (k *limits) count(stats *ShapingStats, links []ShapedLink) {
	if len(k.inForce) == 0 {
		return
	}
	var enis []packet.ENI
	var at []*ShapedLinkStats
	for i := range links {
		if i < len(stats.Links) && links[i].inKernel {
			enis, at = append(enis, links[i].ENIs[0]), append(at, &stats.Links[i])
		}
	}
	counts, err := k.limiter.Counts(enis)
	if err != nil {
		return // an interface is just going
	}
	for i, c := range counts {
		at[i].ToProvider.add(c.ToProvider)
		at[i].ToConsumer.add(c.ToConsumer)
	}
}

func (s *ShapedStats) add(c LimitCount) {
	s.QueueFull += c.Dropped
	s.Delayed += c.Delayed
}
