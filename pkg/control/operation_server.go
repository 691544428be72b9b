package control

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/plinksim/plinksim/pkg/topology"
)

// serverOperations are those on the servers of server groups.
type serverOperations struct{ rules }

var serverVerbs = map[Verb]operation{
	topology.VerbServerRegister:   on(serverOperations.register),
	topology.VerbServerDeregister: on(serverOperations.deregister),
	topology.VerbServerWeight:     on(serverOperations.weigh),
}

// KindServer is a server of a server group, in events and errors.
const KindServer Kind = "server"

// serverGroup is what the plane holds of a server group beside the plan.
type serverGroup struct {
	VPC     string             `json:"vpc"`     // by which another group of the same name is told
	Servers map[string]*member `json:"servers"` // by the server's name and port
}

// member is what was changed of a server.
type member struct {
	In     *bool `json:"in,omitempty"` // whether it is in the group
	Weight *int  `json:"weight,omitempty"`
}

// usualWeight is that of a server that is registered without one, as in a file.
const usualWeight = 100

func serverKey(s topology.Server) string { return fmt.Sprintf("%s:%d", s.Name(), s.Port) }

// merged is the server group as it is now.
func (g *serverGroup) merged(plan *topology.Plan, planned topology.ServerGroup) topology.ServerGroup {
	if g == nil {
		return planned
	}
	var servers []topology.Server
	known := map[string]bool{}
	for _, s := range planned.Servers {
		key := serverKey(s)
		known[key] = true
		m := g.Servers[key]
		if m != nil {
			override(&s.Weight, m.Weight)
		}
		if m == nil || m.In == nil || *m.In {
			servers = append(servers, s)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(g.Servers)) {
		m := g.Servers[key]
		if known[key] || m.In == nil || !*m.In {
			continue
		}
		if s, err := serverOf(plan, &planned, key); err == nil {
			override(&s.Weight, m.Weight)
			servers = append(servers, s)
		}
	}
	planned.Servers = servers
	return planned
}

// fitted is a copy without the servers that a plan has no instance or address
// for.
func (g *serverGroup) fitted(plan *topology.Plan, planned *topology.ServerGroup) *serverGroup {
	out := &serverGroup{VPC: g.VPC, Servers: map[string]*member{}}
	for key, m := range g.Servers {
		if _, err := serverOf(plan, planned, key); err == nil && m != nil {
			out.Servers[key] = m
		}
	}
	return out
}

// serverOf reads INSTANCE:PORT or ADDRESS:PORT of the group's VPC, or a server
// that the file gives the group.
func serverOf(plan *topology.Plan, g *topology.ServerGroup, text string) (topology.Server, *Error) {
	if i := slices.IndexFunc(g.Servers, func(s topology.Server) bool { return serverKey(s) == text }); i >= 0 {
		return g.Servers[i], nil
	}
	at := strings.LastIndex(text, ":")
	if at < 0 {
		return topology.Server{}, invalid(string(KindServer), text, "write it like ecs2:80", "server %q has no port",
			text)
	}
	port, err := strconv.ParseUint(text[at+1:], 10, 16)
	if err != nil || port == 0 {
		return topology.Server{}, invalid(string(KindServer), text, "write it like ecs2:80",
			"%q is no port of a server: want 1 to 65535", text[at+1:])
	}
	server := topology.Server{Port: uint16(port), Weight: usualWeight}
	if addr, err := netip.ParseAddr(text[:at]); err == nil {
		server.IP = addr
		if subnet := plan.MustVPC(g.VPC).SubnetOf(addr); subnet != nil {
			server.Zone = subnet.Zone
			return server, nil
		}
		if slices.ContainsFunc(plan.Peers(g.VPC), func(peer *topology.VPC) bool { return peer.SubnetOf(addr) != nil }) {
			return server, nil
		}
		return topology.Server{}, invalid(string(KindServer), text, "choose an address of its subnets",
			"server %q is in no subnet of vpc %q", text, g.VPC)
	}
	ref := text[:at]
	if !strings.Contains(ref, "/") {
		ref = g.VPC + "/" + ref
	}
	in, notFound := plan.Instance(ref)
	if notFound != nil {
		return topology.Server{}, unknown("instance", text[:at], instancesOf(plan, g.VPC))
	}
	if in.VPC != g.VPC {
		return topology.Server{}, invalid(string(KindServer), text,
			fmt.Sprintf("choose an instance of vpc %q",
				g.VPC), "instance %q is in vpc %q, and the server group in vpc %q", text[:at], in.VPC, g.VPC)
	}
	server.Instance, server.Zone, server.IP = in.Ref(), in.Zone, in.IP
	if g.IPv6 {
		server.IP = in.IPv6
	}
	return server, nil
}

func instancesOf(plan *topology.Plan, name string) (names []string) {
	if vpc, err := plan.VPC(name); err == nil {
		for _, in := range vpc.Instances {
			names = append(names, in.Name)
		}
	}
	return names
}

// member is a server that a group has: INSTANCE:PORT, or INSTANCE where
// it is in the group once.
func (op serverOperations) member(g *topology.ServerGroup, text string) (topology.Server, *Error) {
	var found []topology.Server
	var known []string
	for _, s := range g.Servers {
		known = append(known, strings.TrimPrefix(serverKey(s), g.VPC+"/"))
		name := strings.TrimPrefix(s.Name(), g.VPC+"/")
		if text == name || text == s.Name() || text == fmt.Sprintf("%s:%d", name, s.Port) || text == serverKey(s) {
			found = append(found, s)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return topology.Server{}, &Error{Code: topology.NotFound, Kind: string(KindServer), Name: text, Known: known,
			Text: fmt.Sprintf("server %q is not in server group %q", text, g.Name), Hint: hintOf(known)}
	}
	return topology.Server{}, invalid(string(KindServer), text, "name its port: "+quoted(known),
		"server group %q has several servers on instance %q", g.Name, text)
}

func hintOf(known []string) string {
	if len(known) == 0 {
		return "it has no server"
	}
	return "it has " + quoted(known)
}

// hold is the record of a server in which a change is noted.
func (op serverOperations) hold(g *topology.ServerGroup, s topology.Server) *member {
	held := op.live.groups[g.Name]
	if held == nil {
		held = &serverGroup{VPC: g.VPC, Servers: map[string]*member{}}
		op.live.groups[g.Name] = held
	}
	m := held.Servers[serverKey(s)]
	if m == nil {
		m = &member{}
		held.Servers[serverKey(s)] = m
	}
	return m
}

func (op serverOperations) event(o topology.Operation, s topology.Server, verb Verb, from, to, did string) []Event {
	name := strings.TrimPrefix(serverKey(s), op.vpcOfGroup(o.ServerGroup)+"/")
	text := fmt.Sprintf("account %q %s", o.As, fmt.Sprintf(did, name, o.ServerGroup))
	return []Event{objectEvent(KindServer, o.ServerGroup+"/"+s.Name(), verb, o.As, from, to, text)}
}

// plannedGroup is a group as the file has it, so that a server that was taken
// out can be put back by its name.
func (op serverOperations) plannedGroup(g *topology.ServerGroup) *topology.ServerGroup {
	if planned, err := op.plan.ServerGroup(g.Name); err == nil {
		return planned
	}
	return g
}

func (op serverOperations) vpcOfGroup(name string) string {
	if g, err := op.plan.ServerGroup(name); err == nil {
		return g.VPC
	}
	return ""
}

func (op serverOperations) register(o topology.Operation) ([]Event, *Error) {
	g, err := op.ownGroup(&o)
	if err != nil {
		return nil, err
	}
	s, err := serverOf(op.plan, op.plannedGroup(g), o.Server)
	if err == nil {
		err = checkWeight(o)
	}
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(g.Servers, func(other topology.Server) bool { return serverKey(other) == serverKey(s) }) {
		return nil, &Error{Code: topology.WrongState, Kind: string(KindServer), Name: o.Server,
			Text: fmt.Sprintf("server %q is in server group %q already", o.Server, g.Name),
			Hint: "there is nothing to do"}
	}
	in, m := true, op.hold(g, s)
	m.In, m.Weight = &in, o.Weight
	return op.event(o, s, "register", "", "registered", "registered server %q with server group %q"), nil
}

// deregister leaves the sessions to what the group's
// deregistration says.
func (op serverOperations) deregister(o topology.Operation) ([]Event, *Error) {
	g, err := op.ownGroup(&o)
	if err != nil {
		return nil, err
	}
	s, err := op.member(g, o.Server)
	if err != nil {
		return nil, err
	}
	in, m := false, op.hold(g, s)
	m.In, m.Weight = &in, nil
	return op.event(o, s, "deregister", "registered", "", "deregistered server %q from server group %q"), nil
}

func (op serverOperations) weigh(o topology.Operation) ([]Event, *Error) {
	g, err := op.ownGroup(&o)
	if err != nil {
		return nil, err
	}
	s, err := op.member(g, o.Server)
	if err == nil && o.Weight == nil {
		err = invalid(string(KindServer), o.Server, "name a weight from 0 to 100", "server %q needs a weight", o.Server)
	}
	if err == nil {
		err = checkWeight(o)
	}
	if err != nil {
		return nil, err
	}
	op.hold(g, s).Weight = o.Weight
	from, to := strconv.Itoa(s.Weight), strconv.Itoa(*o.Weight)
	return op.event(o, s, "weight", from, to, "gave server %q of server group %q weight "+to), nil
}

func checkWeight(o topology.Operation) *Error {
	if o.Weight == nil || *o.Weight >= 0 && *o.Weight <= 100 {
		return nil
	}
	return invalid(string(KindServer), o.Server, "choose 0 to 100", "a server cannot have weight %d", *o.Weight)
}
