package compile

import (
	"strconv"
	"strings"

	"github.com/plinksim/plinksim/pkg/topology"
)

// LinkLabels says what a link carries, for whoever groups counters by it. What
// does not apply is "": a link for clients in the load balancer's own VPC has no
// endpoint, one for pings no port.
type LinkLabels struct {
	Endpoint, Zone string
	Protocol       string // tcp, udp, http and so on, as the listener has it
	Port           string // that clients connect to
}

// BeginOf is where a link begins, by its name: an endpoint, a load balancer in its own VPC,
// or an entry of a NAT gateway.
func BeginOf(link string) string {
	begin, _, _ := strings.Cut(link, "@")
	return begin
}

// LabelsOfLinks gives the labels of a link by its name. The function keeps plan,
// which must not change.
func LabelsOfLinks(plan *topology.Plan) func(name string) LinkLabels {
	reverse := map[string]LinkLabels{}
	for _, gw := range plan.NATGateways {
		for _, e := range gw.Entries {
			reverse[reverseLinkName(gw, e)] = LinkLabels{
				e.Endpoint, e.Zone, string(e.Protocol), strconv.Itoa(int(e.NATPort)),
			}
		}
	}
	endpoints := map[string]bool{}
	for _, ep := range plan.Endpoints {
		endpoints[ep.Name] = true
	}
	return func(name string) LinkLabels {
		if labels, ok := reverse[name]; ok {
			return labels
		}
		// linkName, and what follows it after a blank: "ipv6", "by" a load balancer.
		eni, rest, _ := strings.Cut(name, " ")
		listener, _, _ := strings.Cut(rest, " ")
		var l LinkLabels
		l.Endpoint, l.Zone, _ = strings.Cut(eni, "@")
		if !endpoints[l.Endpoint] {
			l.Endpoint = ""
		}
		l.Protocol, l.Port, _ = strings.Cut(listener, "/")
		return l
	}
}
