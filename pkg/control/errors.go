package control

import (
	"fmt"
	"slices"
	"strings"

	"github.com/plinksim/plinksim/pkg/topology"
)

// Error is why a call was refused. Nothing was changed.
type Error struct {
	Code  topology.Refusal
	Kind  string   // of the object: account, endpoint service, endpoint, connection, zone, ...
	Name  string   // as the caller wrote it
	Known []string // of NotFound: the names that there are, for "did you mean"
	Text  string   // what is wrong
	Hint  string   // what to do about it
	// Remedies are the operations and faults that Hint speaks of.
	Remedies []topology.Remedy
	// Word is the error code that the lab's cloud answers with, "" where no
	// public source names it.
	Word string
}

// Error is the text without the hint, which callers print on a line of its own.
func (e *Error) Error() string { return e.Text }

func unknown(kind, name string, known []string) *Error {
	e := &Error{Code: topology.NotFound, Kind: kind, Name: name, Known: known,
		Text: fmt.Sprintf("%s %q does not exist", kind, name)}
	switch len(known) {
	case 0:
		e.Hint = fmt.Sprintf("the lab has no %s", kind)
	default:
		e.Hint = "there is " + quoted(known)
	}
	return e
}

func quoted(names []string) string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = fmt.Sprintf("%q", name)
	}
	return strings.Join(out, ", ")
}

// unknownService names the services that the caller sees.
func unknownService(plan *topology.Plan, caller, name string) *Error {
	var known []string
	for _, s := range plan.Services {
		if caller == "" || s.Sees(caller) {
			known = append(known, s.Name)
		}
	}
	return seenBy(caller, "sees", unknown("endpoint service", name, known))
}

// seenBy does not say that the lab has nothing where the caller sees nothing.
func seenBy(caller, verb string, e *Error) *Error {
	if caller != "" && len(e.Known) == 0 {
		e.Hint = fmt.Sprintf("account %q %s no %s", caller, verb, e.Kind)
	}
	return e
}

func unknownEndpoint(plan *topology.Plan, caller, name string) *Error {
	var known []string
	for _, e := range plan.Endpoints {
		if caller == "" || e.Account == caller {
			known = append(known, e.Name)
		}
	}
	return seenBy(caller, "has", unknown("endpoint", name, known))
}

// UnknownAccount is how the plane refuses a caller that does not exist.
func UnknownAccount(plan *topology.Plan, name string) *Error {
	var known []string
	for _, a := range plan.Accounts {
		known = append(known, a.Name)
	}
	return unknown("account", name, known)
}

// notInPlan is unknown for what a topology.Plan looks up.
func notInPlan(err error) *Error {
	if missing, ok := err.(*topology.NotFoundError); ok {
		return unknown(missing.Kind, missing.Name, missing.Known)
	}
	return &Error{Code: topology.NotFound, Text: err.Error()}
}

func notConnectable(service *topology.EndpointService, endpoint *topology.Endpoint) *Error {
	return &Error{
		Code: topology.NotFound, Kind: "connection", Name: connectionName(service.Name, endpoint.Name),
		Text: fmt.Sprintf("endpoint %q has no connection to endpoint service %q", endpoint.Name, service.Name),
		Hint: fmt.Sprintf("%q is an endpoint of %q", endpoint.Name, endpoint.Service),
	}
}

func notOwner(caller, kind, name, owner string) *Error {
	return &Error{
		Code: topology.NotOwner, Kind: kind, Name: name,
		Text: fmt.Sprintf("account %q may not manage %s %q", caller, kind, name),
		Hint: fmt.Sprintf("%q belongs to account %q, and only its owner may", name, owner),
	}
}

// notWhitelisted is what an account hears of a service that it may not see.
func notWhitelisted(service *topology.EndpointService, account string) *Error {
	return &Error{
		Code: topology.NotWhitelisted, Kind: "endpoint service", Name: service.Name,
		Text: fmt.Sprintf("endpoint service %q does not exist to account %q, which is not on its whitelist",
			service.Name, account),
		Hint: fmt.Sprintf("account %q may add it", service.Account),
		Remedies: []topology.Remedy{topology.Doing(topology.Operation{
			Verb: topology.VerbWhitelistAdd, Service: service.Name, Account: account,
		})},
	}
}

// remedied adds operations that would help.
func (e *Error) remedied(operations ...topology.Operation) *Error {
	for _, o := range operations {
		e.Remedies = append(e.Remedies, topology.Doing(o))
	}
	return e
}

// Advice is the hint with what would help, in the words of operations.
func (e *Error) Advice() string { return topology.Advice(e.Hint, e.Remedies, topology.Remedy.String) }

func inUse(kind, name, hint, format string, args ...any) *Error {
	return &Error{Code: topology.InUse, Kind: kind, Name: name, Text: fmt.Sprintf(format, args...), Hint: hint}
}

// already is for what needs not be done.
func already(kind, name, format string, args ...any) *Error {
	return &Error{Code: topology.WrongState, Kind: kind, Name: name,
		Text: fmt.Sprintf(format, args...), Hint: "there is nothing to do"}
}

func invalid(kind, name, hint, format string, args ...any) *Error {
	return &Error{Code: topology.Invalid, Kind: kind, Name: name, Text: fmt.Sprintf(format, args...), Hint: hint}
}

// pastTense is for sentences about verbs.
var pastTense = map[Verb]string{
	Accept: "accepted", Reject: "rejected", Bandwidth: "given another bandwidth", Delete: "deleted",
	ZoneEnable: "enabled", ZoneDisable: "disabled", Replace: "given another load balancer",
	Force:   "given another load balancer",
	Release: "released", Change: "changed",
}

// wrongState tells three cases apart: what was asked for is already so, it is
// already on its way, or the state is for something else.
func wrongState(c *connection, verb Verb) *Error {
	e := &Error{Code: topology.WrongState, Kind: "connection", Name: c.name()}
	wanted, onTheWay := Connected, Connecting
	if verb == Reject {
		wanted, onTheWay = Disconnected, Disconnecting
	}
	decision := verb == Accept || verb == Reject
	switch {
	case decision && c.State == onTheWay:
		e.Text = fmt.Sprintf("%s is already %s: it is %s", c, pastTense[verb], c.Status)
		e.Hint = fmt.Sprintf("wait until it is %s", c.word(wanted))
	case decision && c.rests(wanted):
		e.Text = fmt.Sprintf("%s is already %s", c, c.Status)
		e.Hint = "there is nothing to do"
	default:
		e.Text = fmt.Sprintf("%s cannot be %s while it is %s", c, pastTense[verb], c.Status)
		e.Hint = connectionLife.way(c.State, verb, func(s State) string { return Word(c.cloud, KindConnection, s) })
	}
	return e
}

func wrongZoneState(c *connection, z *Zone, verb Verb) *Error {
	e := &Error{Code: topology.WrongState, Kind: "zone", Name: c.name() + "@" + z.Zone}
	word := func(s State) string { return Word(c.cloud, KindZone, s) }
	e.Text = fmt.Sprintf("zone %q of %s cannot be %s while it is %s", z.Zone, c, pastTense[verb], z.Status)
	if verb == ZoneEnable && z.State.Open() || verb == ZoneDisable &&
		(z.State == Disconnected || z.State == Disconnecting) {
		e.Text = fmt.Sprintf("zone %q of %s is already %s", z.Zone, c, z.Status)
		e.Hint = "there is nothing to do"
		return e
	}
	e.Hint = zoneLife.way(z.State, verb, word)
	return e
}

// way says from which states a verb is possible, and whether waiting helps.
func (l life) way(from State, verb Verb, word func(State) string) string {
	if to := l.next[from][Report]; to != "" && l.next[to][verb] != "" {
		return "wait until it is " + word(to)
	}
	var states []string
	for _, s := range l.states {
		if text := word(s); l.next[s][verb] != "" && !slices.Contains(states, text) {
			states = append(states, text)
		}
	}
	return "it must be " + strings.Join(states, " or ")
}
