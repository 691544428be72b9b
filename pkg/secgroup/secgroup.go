// Package secgroup decides whether a security group lets a flow start, and
// says which rule decided.
//
// Compile the groups of an endpoint or an instance once, then ask for the
// first packet of each flow. Groups are stateful: replies belong to the flow
// and are never asked about, so whoever asks has to remember the flow.
//
//	set := secgroup.Compile(groups)
//	if d := set.Ingress(flow); !d.Allowed { … d.Reason() … }
//
// Several groups are one list of rules, and the rule with the lowest priority
// number decides; where an allow and a deny have the same, the deny does
// (Alibaba Cloud, ECS user guide, "Security group rules"). AWS has rules that
// allow and no order, which is the same list with one priority. What no rule
// names is denied, and what belongs to no group at all is not filtered.
package secgroup

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Set is what several groups together allow. It is immutable and may be asked
// from any goroutine. The zero value filters nothing.
type Set struct {
	ingress, egress list
}

// list is one direction of a set, the rule that decides first.
type list struct {
	filters bool
	rules   []rule
	none    Decision // where no rule matches
}

type rule struct {
	protocol    uint8 // 0: all
	first, last uint16
	peer        netip.Prefix
	deny        bool
	priority    int
	decision    Decision
}

// Decision is the answer to one flow. Its texts are made when the groups are
// compiled, so that an answer costs no memory.
type Decision struct {
	Allowed bool
	Group   string // that has the rule; where no rule matched, all of them
	Rule    string // as people write it: allow tcp 80 from 10.0.0.0/8 (priority 1); "" where no rule matched
}

// Reason is the decision as a sentence without an end.
func (d Decision) Reason() string {
	switch {
	case d.Rule != "":
		return fmt.Sprintf("security group %s: %s", d.Group, d.Rule)
	case d.Group != "":
		return fmt.Sprintf("no rule of security group %s allows it", d.Group)
	}
	return "no security group filters it"
}

// Compile makes one set of the groups, which may be none.
func Compile(groups []topology.SecurityGroup) *Set {
	s := &Set{}
	if len(groups) == 0 {
		return s
	}
	var names []string
	for _, g := range groups {
		names = append(names, fmt.Sprintf("%q", g.Name))
		s.ingress.add(g.Name, "from", g.Ingress)
		s.egress.add(g.Name, "to", g.Egress)
		if g.Egress == nil {
			s.egress.add(g.Name, "to", anything)
		}
	}
	all := strings.Join(names, ", ")
	s.ingress.finish(all)
	s.egress.finish(all)
	return s
}

// anything is what a group without egress rules lets out. It is asked after
// every rule of the other groups.
var anything = []topology.Rule{
	{Priority: lowest, Protocol: topology.AllProtocols, LastPort: 65535, Peer: netip.MustParsePrefix("0.0.0.0/0")},
	{Priority: lowest, Protocol: topology.AllProtocols, LastPort: 65535, Peer: netip.MustParsePrefix("::/0")},
}

// lowest is a priority behind all that users can write.
const lowest = 1 << 16

// Ingress decides on a flow that comes to a member: its source is the peer
// that rules name, its destination port the port.
func (s *Set) Ingress(f packet.FiveTuple) Decision { return s.ingress.decide(f, f.Src.Addr()) }

// Egress decides on a flow that a member starts: its destination is the peer.
func (s *Set) Egress(f packet.FiveTuple) Decision { return s.egress.decide(f, f.Dst.Addr()) }

func (l *list) add(group, preposition string, rules []topology.Rule) {
	var decision Decision
	for i, r := range rules {
		if i == 0 || r.Group == "" || !alike(r, rules[i-1]) { // or it is of another member of the same group
			decision = Decision{Allowed: !r.Deny, Group: fmt.Sprintf("%q", group), Rule: write(r, preposition)}
		}
		l.rules = append(l.rules, rule{
			protocol: r.Protocol.Number(),
			first:    r.FirstPort,
			last:     r.LastPort,
			peer:     r.Peer.Masked(),
			deny:     r.Deny,
			priority: r.Priority,
			decision: decision,
		})
	}
}

// alike says whether rules differ in nothing but the peer.
func alike(a, b topology.Rule) bool {
	a.Peer = b.Peer
	return a == b
}

// finish orders the rules so that the first match decides. Rules that cannot
// contradict each other stay in the order of the file.
func (l *list) finish(groups string) {
	slices.SortStableFunc(l.rules, func(a, b rule) int {
		return cmp.Or(cmp.Compare(a.priority, b.priority), compareDeny(a.deny, b.deny))
	})
	l.filters, l.none = true, Decision{Group: groups}
}

func compareDeny(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

func (l *list) decide(f packet.FiveTuple, peer netip.Addr) Decision {
	if !l.filters {
		return Decision{Allowed: true}
	}
	peer = peer.Unmap()
	for i := range l.rules {
		if l.rules[i].matches(f, peer) {
			return l.rules[i].decision
		}
	}
	return l.none
}

func (r *rule) matches(f packet.FiveTuple, peer netip.Addr) bool {
	switch r.protocol {
	case 0, f.Protocol:
	case packet.ProtocolICMP:
		if f.Protocol != packet.ProtocolICMPv6 {
			return false
		}
	default:
		return false
	}
	return r.peer.Contains(peer) && (!hasPorts(f.Protocol) || r.first <= f.Dst.Port() && f.Dst.Port() <= r.last)
}

// hasPorts keeps the identifier of an ICMP echo from being taken for a port.
func hasPorts(protocol uint8) bool {
	return protocol == packet.ProtocolTCP || protocol == packet.ProtocolUDP
}

// write says a rule as people do.
func write(r topology.Rule, preposition string) string {
	action := "allow"
	if r.Deny {
		action = "deny"
	}
	ports := ""
	switch {
	case r.FirstPort == 0 && r.LastPort == 65535:
	case r.FirstPort == r.LastPort:
		ports = fmt.Sprintf(" %d", r.FirstPort)
	default:
		ports = fmt.Sprintf(" %d-%d", r.FirstPort, r.LastPort)
	}
	if r.Group != "" {
		return fmt.Sprintf("%s %s%s %s security group %q (priority %d)", action, r.Protocol, ports, preposition,
			r.Group, r.Priority)
	}
	if r.Priority == lowest {
		return fmt.Sprintf("%s %s%s %s %s (default)", action, r.Protocol, ports, preposition, r.Peer)
	}
	return fmt.Sprintf("%s %s%s %s %s (priority %d)", action, r.Protocol, ports, preposition, r.Peer, r.Priority)
}
