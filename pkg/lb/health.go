package lb

import (
	"net/netip"
	"time"

	"github.com/plinksim/plinksim/pkg/topology"
)

// State is what a group thinks of a server. Words gives the clouds' words.
type State uint8

const (
	Initial   State = iota // neither its first success nor as many failures as the check says
	Healthy                // takes sessions
	Unhealthy              // takes none
	Unchecked              // the group has no health check: takes sessions
	Removed                // not in the group any more: takes none
)

// String is the state's name in lower case.
func (s State) String() string {
	return [...]string{"initial", "healthy", "unhealthy", "unchecked", "removed"}[s]
}

// ServerHealth is a copy of what a group knows of one server.
type ServerHealth struct {
	Server   netip.AddrPort
	Instance string
	Weight   int
	Sessions int // that began through this group and have not ended
	State    State
	Draining bool      // its sessions go on for a while, and may then be removed
	Healthy  bool      // it is Healthy or Unchecked
	Away     bool      // nothing reaches it, and State is Unhealthy: see SetAway
	Since    time.Time // of State; zero until the first check
	Cause    Cause     // of what was wrong with its latest checks
	Reason   string    // the same for people; of a healthy server "" or what was wrong with its latest checks
	Checks   uint64    // ended, ever
	Failures uint64    // of them
}

// health is where a server stands between its thresholds.
type health struct {
	state    State
	since    time.Time
	cause    Cause
	reason   string
	checks   uint64
	failures uint64
	streak   int  // of results that contradict state
	served   bool // it was healthy before
}

func newHealth(check topology.HealthCheck) health {
	if check.Protocol == topology.NoProtocol {
		return health{state: Unchecked, served: true}
	}
	return health{reason: "not checked yet"}
}

// takes says whether the server takes sessions as far as its health goes.
func (h *health) takes() bool { return h.state == Healthy || h.state == Unchecked }

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
	if passed == h.takes() && h.state != Initial {
		h.streak = 0
	} else {
		h.streak++
		changed = h.streak >= h.threshold(check, passed)
	}
	if changed {
		h.state, h.streak = Unhealthy, 0
		if passed {
			h.state, h.served = Healthy, true
		}
	}
	if changed || h.since.IsZero() {
		h.since = now
	}
	if !passed || h.takes() {
		h.cause, h.reason = explain(result)
	}
	return changed
}

// threshold is how many results in a row, all the same, end the present state;
// at least 1, so that a check without thresholds works too.
func (h *health) threshold(check topology.HealthCheck, passed bool) int {
	switch {
	case !passed:
		return max(1, check.Unhealthy)
	case h.served:
		return max(1, check.Healthy)
	}
	return 1
}
