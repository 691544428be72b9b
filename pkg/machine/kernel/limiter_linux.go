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
	mu   sync.Mutex
	dir  string
	enis map[packet.ENI]ends
}

// ends are the two devices of an ENI.
type ends struct{ bridge, plane host.Rate }

func (l *limiter) know(dir string, plan *topology.Plan, numbers compile.Numbers) {
	namespaces := map[string]string{}
	for i := range plan.VPCs {
		namespaces[plan.VPCs[i].Name] = plan.VPCs[i].Namespace
	}
	enis := map[packet.ENI]ends{}
	for _, eni := range plan.ENIs() {
		enis[numbers[eni.Device]] = ends{
			bridge: host.Rate{Namespace: namespaces[eni.VPC], Device: eni.Port},
			plane:  host.Rate{Namespace: plan.Dataplane, Device: eni.Device},
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dir, l.enis = dir, enis
}

// Limit implements dataplane.Limiter.
func (l *limiter) Limit(eni packet.ENI, toProvider, toConsumer dataplane.RateLimit) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.enis[eni]
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
		devices = append(devices, l.enis[eni].bridge, l.enis[eni].plane)
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
