package kernel

import (
	"fmt"
	"sync"

	"github.com/plinksim/plinksim/pkg/compile"
	"github.com/plinksim/plinksim/pkg/dataplane"
	"github.com/plinksim/plinksim/pkg/host"
	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/topology"
)

// limiter implements dataplane.Limiter. An ENI is a pair of devices: what comes from
// it leaves its subnet's bridge by one end, and what goes to it leaves the data plane
// by the other.
type limiter struct {
	mu      sync.Mutex
	dir     string
	plan    *topology.Plan
	numbers compile.Numbers
	enis    map[packet.ENI]ends // of plan; nil where nobody has asked for them
}

// ends are the two devices of an ENI.
type ends struct{ bridge, plane host.Rate }

func (l *limiter) know(dir string, plan *topology.Plan, numbers compile.Numbers) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dir, l.plan, l.numbers, l.enis = dir, plan, numbers, nil
}

// endsOfLocked are the devices of an ENI.
func (l *limiter) endsOfLocked(eni packet.ENI) (ends, bool) {
	if l.enis == nil && l.plan != nil {
		namespaces := map[string]string{}
		for i := range l.plan.VPCs {
			namespaces[l.plan.VPCs[i].Name] = l.plan.VPCs[i].Namespace
		}
		l.enis = map[packet.ENI]ends{}
		for _, eni := range l.plan.ENIs() {
			l.enis[l.numbers[eni.Device]] = ends{
				bridge: host.Rate{Namespace: namespaces[eni.VPC], Device: eni.Port},
				plane:  host.Rate{Namespace: l.plan.Dataplane, Device: eni.Device},
			}
		}
	}
	e, ok := l.enis[eni]
	return e, ok
}

// Limit implements dataplane.Limiter.
func (l *limiter) Limit(eni packet.ENI, toProvider, toConsumer dataplane.RateLimit) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.endsOfLocked(eni)
	if !ok {
		return fmt.Errorf("limit the rate of ENI %d: it has no device", eni)
	}
	set := func(r *host.Rate, to dataplane.RateLimit) { r.Bits, r.Burst, r.Queue = to.Rate, to.Burst, to.Queue }
	set(&e.bridge, toProvider)
	set(&e.plane, toConsumer)
	return host.LimitRates(l.dir, e.bridge, e.plane)
}

// Counts implements dataplane.Limiter.
func (l *limiter) Counts(enis []packet.ENI) ([]dataplane.LimitCounts, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var devices []host.Rate
	for _, eni := range enis {
		e, _ := l.endsOfLocked(eni)
		devices = append(devices, e.bridge, e.plane)
	}
	counts, err := host.RateCounts(l.dir, devices...)
	if err != nil {
		return nil, err
	}
	out := make([]dataplane.LimitCounts, len(enis))
	for i := range out {
		out[i] = dataplane.LimitCounts{
			ToProvider: dataplane.LimitCount(counts[2*i]), ToConsumer: dataplane.LimitCount(counts[2*i+1]),
		}
	}
	return out, nil
}
