package control

import (
	"fmt"
	"slices"

	"github.com/plinksim/plinksim/pkg/topology"
)

// rules are what operations look at before they change the state: who may do
// it, which names there are, what the cloud can do, and its quotas.
type rules struct{ *state }

func (st rules) caller(account string) *Error {
	if account == "" {
		return nil
	}
	return st.account(account)
}

func (st rules) account(account string) *Error {
	if _, err := st.plan.Account(account); err != nil {
		return UnknownAccount(st.plan, account)
	}
	return nil
}

// tuning are the operations on connections that not every cloud has, and what
// to use in a lab instead. AWS: EC2 API 2016-11-15 has no action for them.
var tuning = map[Verb]struct {
	hint  string
	fault topology.FaultVerb
}{
	topology.VerbBandwidth:   {"a fault limits it in the lab", topology.FaultSet},
	topology.VerbZoneEnable:  {"this ends a fault of the zone's interface", topology.FaultUp},
	topology.VerbZoneDisable: {"a fault lets a zone of an endpoint fail", topology.FaultDown},
	topology.VerbReplace:     {hint: "a zone keeps the load balancer that it was given first"},
	topology.VerbRelease:     {hint: "a zone keeps the load balancer that it was given first"},
}

// knownToCloud refuses what the lab's cloud cannot do.
func (st rules) knownToCloud(o topology.Operation) *Error {
	cloud, can := st.plan.Cloud, st.plan.Profile
	var what, hint string
	var remedies []topology.Remedy
	kind := "parameter"
	switch instead, tunes := tuning[o.Verb]; {
	case gatewayVerbs[o.Verb] != nil && !can.FullNAT:
		kind = "operation"
		what, hint = fmt.Sprintf("%s has no operation %q", cloud, o.Verb), "its endpoints lead to services alone"
	case o.Zone != "" && can.WholeLoadBalancers && (o.Verb == topology.VerbAttach || o.Verb == topology.VerbDetach):
		what = fmt.Sprintf("endpoint services of %s offer a load balancer in all of its zones", cloud)
		hint = "leave the zone out"
	case o.PrivateDNS != nil && !can.PrivateDNS:
		what = fmt.Sprintf("endpoints of %s have no private DNS name", cloud)
		hint = "write a private zone with a cname to the endpoint"
	case o.Verb == Accept && !can.TuneConnections && (o.Bandwidth != nil || len(o.Resources) > 0):
		what = fmt.Sprintf("%s accepts a connection without a bandwidth or load balancers of its own", cloud)
		hint = "leave them out"
	case o.ZoneAffinity != nil && !can.ZoneAffinity:
		what = fmt.Sprintf("names of %s endpoints have no zone affinity", cloud)
		hint = "use the zone's name where the zone matters"
	case tunes && !can.TuneConnections:
		kind = "operation"
		what, hint = fmt.Sprintf("%s has no operation %q", cloud, o.Verb), instead.hint
		fault := topology.Fault{Verb: instead.fault, Target: o.Endpoint + "@" + o.Zone}
		if o.Verb == Bandwidth {
			fault.Target, fault.Bandwidth = o.Endpoint, o.Bandwidth
		}
		if fault.Verb != "" && o.Endpoint != "" && (o.Zone != "" || fault.Bandwidth != nil) {
			remedies = []topology.Remedy{{Fault: &fault}}
		}
	default:
		return nil
	}
	return &Error{
		Code: topology.Unsupported, Kind: kind, Name: string(o.Verb), Text: what, Hint: hint, Remedies: remedies,
	}
}

// lookup finds the connection that a caller named, or says which name is
// wrong. caller is "" for a caller that sees everything.
func (st rules) lookup(caller, service, endpoint string) (*topology.EndpointService, *connection, *Error) {
	s := findService(st.merged, service)
	switch {
	case s == nil:
		return nil, nil, unknownService(st.merged, caller, service)
	case caller != "" && !s.Sees(caller):
		return nil, nil, notWhitelisted(s, caller)
	}
	e, err := st.merged.Endpoint(endpoint)
	if err != nil {
		return nil, nil, unknownEndpoint(st.merged, "", endpoint)
	}
	c := st.find(service, endpoint)
	if c == nil {
		return nil, nil, notConnectable(s, e)
	}
	return s, c, nil
}

// ownConnection is the connection that its provider wants to change.
func (st rules) ownConnection(o *topology.Operation) (*topology.EndpointService, *connection, *Error) {
	s, c, err := st.lookup(o.As, o.Service, o.Endpoint)
	if err != nil {
		return nil, nil, err
	}
	if o.As == "" {
		o.As = s.Account
	}
	if o.As != s.Account {
		return nil, nil, notOwner(o.As, "endpoint service", s.Name, s.Account)
	}
	return s, c, nil
}

// ownService is the service that its owner wants to change, with what
// the plane holds of it.
func (st rules) ownService(o *topology.Operation) (*topology.EndpointService, *service, *Error) {
	s := findService(st.merged, o.Service)
	switch {
	case s == nil:
		return nil, nil, unknownService(st.merged, o.As, o.Service)
	case o.As == "":
		o.As = s.Account
	case !s.Sees(o.As):
		return nil, nil, notWhitelisted(s, o.As)
	}
	if o.As != s.Account {
		return nil, nil, notOwner(o.As, "endpoint service", s.Name, s.Account)
	}
	held := st.live.services[s.Name]
	if held.State == Deleting {
		return nil, nil, &Error{Code: topology.WrongState, Kind: "endpoint service", Name: s.Name,
			Text: fmt.Sprintf("endpoint service %q is being deleted", s.Name), Hint: "wait until it is gone"}
	}
	return s, held, nil
}

// ownEndpoint is the endpoint that its owner wants to change, with what
// the plane holds of it.
func (st rules) ownEndpoint(o *topology.Operation) (*topology.Endpoint, *endpoint, *connection, *Error) {
	e, err := st.merged.Endpoint(o.Endpoint)
	if err != nil {
		return nil, nil, nil, unknownEndpoint(st.merged, o.As, o.Endpoint)
	}
	if o.As == "" {
		o.As = e.Account
	}
	if o.As != e.Account {
		return nil, nil, nil, notOwner(o.As, "endpoint", e.Name, e.Account)
	}
	held := st.live.endpoints[e.Name]
	if held.State == Deleting {
		return nil, nil, nil, &Error{Code: topology.WrongState, Kind: "endpoint", Name: e.Name,
			Text: fmt.Sprintf("endpoint %q is being deleted", e.Name), Hint: "wait until it is gone"}
	}
	return e, held, st.find(e.Service, e.Name), nil
}

// ownGateway is the NAT gateway that its owner wants to change, with what
// the plan says and the plane holds of it.
func (st rules) ownGateway(o *topology.Operation) (*topology.NATGateway, *gateway, *Error) {
	planned, missing := st.plan.NATGateway(o.NATGateway)
	if missing != nil {
		return nil, nil, st.unknownGateway(o.NATGateway)
	}
	held := st.live.gateways[planned.Name]
	if held.State == Gone {
		return nil, nil, st.unknownGateway(o.NATGateway)
	}
	if o.As == "" {
		o.As = planned.Account
	}
	switch {
	case o.As != planned.Account:
		return nil, nil, notOwner(o.As, KindGateway.noun(), planned.Name, planned.Account)
	case held.State == Deleting:
		return nil, nil, &Error{Code: topology.WrongState, Kind: KindGateway.noun(), Name: planned.Name,
			Text: fmt.Sprintf("NAT gateway %q is being deleted", planned.Name), Hint: "wait until it is gone"}
	}
	return planned, held, nil
}

func (st rules) unknownGateway(name string) *Error {
	var known []string
	for _, g := range st.merged.NATGateways {
		known = append(known, g.Name)
	}
	return unknown(KindGateway.noun(), name, known)
}

// ownGroup is the server group that its owner wants to change: the
// account of its VPC.
func (st rules) ownGroup(o *topology.Operation) (*topology.ServerGroup, *Error) {
	i := slices.IndexFunc(st.merged.ServerGroups, func(g topology.ServerGroup) bool { return g.Name == o.ServerGroup })
	if i < 0 {
		var known []string
		for _, g := range st.merged.ServerGroups {
			known = append(known, g.Name)
		}
		return nil, unknown("server group", o.ServerGroup, known)
	}
	g := &st.merged.ServerGroups[i]
	owner := ""
	if vpc, err := st.plan.VPC(g.VPC); err == nil {
		owner = vpc.Account
	}
	if o.As == "" {
		o.As = owner
	}
	if o.As != owner {
		return nil, notOwner(o.As, "server group", g.Name, owner)
	}
	return g, nil
}
