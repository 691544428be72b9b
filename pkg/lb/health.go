package lb

import (
	"net/netip"
	"time"

	"github.com/plinksim/plinksim/pkg/topology"
)

// ServerHealth is a copy of what a group knows of one server.
type ServerHealth struct {
	Server   netip.AddrPort
	Instance string
	Weight   int
	Healthy  bool
	Since    time.Time // of Healthy; zero until the first check
	Reason   string    // why, for people; of a healthy server "" or what was wrong with its latest checks
	Checks   uint64    // ended, ever
	Failures uint64    // of them
}

// health is where a server stands between its thresholds.
type health struct {
	healthy  bool
	since    time.Time
	reason   string
	checks   uint64
	failures uint64
	streak   int  // of results that contradict healthy
	served   bool // it was healthy before
}

func newHealth(check topology.HealthCheck) health {
	if check.Protocol == "none" {
		return health{healthy: true, served: true}
	}
	return health{reason: "not checked yet"}
}

// judge takes one result into account. A change of health needs as many results
// in a row as the check says, but a server that never was healthy serves after
// its first success: it has no past that a threshold could protect. So it is at
// AWS ("After your target is registered, it must pass one health check to
// be considered healthy", Elastic Load Balancing, "Health checks for
// Application Load Balancer target groups").
func (h *health) judge(check topology.HealthCheck, result error, now time.Time) (changed bool) {
	passed := result == nil
	h.checks++
	if !passed {
		h.failures++
	}
	if passed == h.healthy {
		h.streak = 0
	} else {
		h.streak++
		changed = h.streak >= h.threshold(check)
	}
	if changed {
		h.healthy, h.streak, h.served = passed, 0, true
	}
	if changed || h.since.IsZero() {
		h.since = now
	}
	if !passed || h.healthy {
		h.reason = text(result)
	}
	return changed
}

func text(result error) string {
	if result == nil {
		return ""
	}
	return result.Error()
}

// threshold is how many results in a row end the present health; at least 1,
// so that a check without thresholds works too.
func (h *health) threshold(check topology.HealthCheck) int {
	switch {
	case h.healthy:
		return max(1, check.Unhealthy)
	case h.served:
		return max(1, check.Healthy)
	}
	return 1
}
