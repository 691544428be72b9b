package plinktest

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Drops says what has kept packets from passing since the lab began, in the words of
// its counters: the verdicts of the data plane and the links that they are of, the
// security groups of instances, and faults. docs/nat.md explains the verdicts.
func (l *Lab) Drops() string {
	now := l.Status()
	parts := verdictsOf(now)
	for _, vpc := range now.VPCs {
		for _, in := range vpc.Instances {
			if in.Denied > 0 {
				parts = append(parts, fmt.Sprintf("security groups of %s %d", in.Name, in.Denied))
			}
		}
	}
	faults := l.lab.Faults()
	for _, fault := range []struct {
		what string
		n    uint64
	}{{"interfaces that are down", faults.DroppedDown}, {"black holes", faults.DroppedBlackholed}, {"loss", lost(now)}} {
		if fault.n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", fault.what, fault.n))
		}
	}
	if len(parts) == 0 {
		return "nothing has dropped a packet"
	}
	return "packets were dropped by: " + strings.Join(parts, ", ")
}

// verdictsOf are the verdicts that are not good, each with its links.
func verdictsOf(now status.Lab) (parts []string) {
	for _, verdict := range slices.Sorted(maps.Keys(now.Dataplane.Verdicts)) {
		n := now.Dataplane.Verdicts[verdict]
		if n == 0 || verdict == "Forwarded" || verdict == "Held" {
			continue
		}
		var links []string
		for _, link := range now.Links {
			if link.Verdicts[verdict] > 0 {
				links = append(links, link.Name)
			}
		}
		text := fmt.Sprintf("%s %d", verdict, n)
		if len(links) > 0 {
			text += " (" + strings.Join(links, ", ") + ")"
		}
		parts = append(parts, text)
	}
	return parts
}

func lost(now status.Lab) (n uint64) {
	for _, s := range now.Shaping {
		n += s.ToProvider.Frames.Lost + s.ToConsumer.Frames.Lost
	}
	return n
}

// why says what would stop a packet from an instance to a place, and what would let
// it pass.
func (l *Lab) why(from, to string) string {
	e, err := l.lab.Explain(from, to)
	if err != nil {
		return l.Drops()
	}
	var lines []string
	for _, s := range stations(e) {
		line := "it stops at: " + s.Name + ": " + s.Text
		if s.Verdict != "" {
			line += " (counted as " + s.Verdict + ")"
		}
		if advice := topology.Advice(s.Remedy, s.Remedies, topology.Remedy.String); advice != "" {
			line += "; to let it pass: " + advice
		}
		lines = append(lines, line)
	}
	if len(lines) == 0 {
		lines = append(lines, "nothing of the lab stops its first packet now")
	}
	lines = append(lines, l.unhealthy()...)
	return strings.Join(append(lines, l.Drops()), "\n")
}

// unhealthy are the servers that health checks do not pass, and why.
func (l *Lab) unhealthy() (lines []string) {
	for _, group := range l.Status().ServerGroups {
		for _, server := range group.Servers {
			if !server.Healthy {
				lines = append(lines, fmt.Sprintf("server %s (%s) of %s is %s: %s",
					server.Instance, server.Address, group.Name, server.State, server.Reason))
			}
		}
	}
	return lines
}

// stations are those at which the routes of an explanation end.
func stations(e *status.Explanation) (out []*status.Station) {
	if !e.Name.Passes {
		out = append(out, &e.Name)
	}
	for i := range e.Ways {
		if stop := e.Ways[i].Stops(); stop != nil {
			out = append(out, stop)
		}
	}
	return out
}
