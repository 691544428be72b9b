package control

import (
	"fmt"
	"strings"

	"github.com/plinksim/plinksim/pkg/topology"
)

// Code says what kind of refusal an Error is, for callers that decide by it.
type Code string

// The codes.
const (
	NotFound       Code = "not-found"       // no such account, service, endpoint or connection
	NotOwner       Code = "not-owner"       // the caller does not own the service
	NotWhitelisted Code = "not-whitelisted" // the endpoint's account may not use the service
	WrongState     Code = "wrong-state"     // the connection's state does not allow the verb
)

// Error is why a call was refused. Nothing was changed.
type Error struct {
	Code  Code
	Kind  string   // of the object: account, endpoint service, endpoint, connection
	Name  string   // as the caller wrote it
	Known []string // of NotFound: the names that there are, for "did you mean"
	Text  string   // what is wrong
	Hint  string   // what to do about it
}

// Error is the text without the hint, which callers print on a line of its own.
func (e *Error) Error() string { return e.Text }

func unknown(kind, name string, known []string) *Error {
	e := &Error{Code: NotFound, Kind: kind, Name: name, Known: known, Text: fmt.Sprintf("%s %q does not exist", kind, name)}
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

func unknownService(plan *topology.Plan, name string) *Error {
	var known []string
	for _, s := range plan.Services {
		known = append(known, s.Name)
	}
	return unknown("endpoint service", name, known)
}

func unknownEndpoint(plan *topology.Plan, name string) *Error {
	var known []string
	for _, e := range plan.Endpoints {
		known = append(known, e.Name)
	}
	return unknown("endpoint", name, known)
}

func unknownAccount(plan *topology.Plan, name string) *Error {
	var known []string
	for _, a := range plan.Accounts {
		known = append(known, a.Name)
	}
	return unknown("account", name, known)
}

func notConnectable(service *topology.EndpointService, endpoint *topology.Endpoint) *Error {
	return &Error{
		Code: NotFound, Kind: "connection", Name: connectionName(service.Name, endpoint.Name),
		Text: fmt.Sprintf("endpoint %q has no connection to endpoint service %q", endpoint.Name, service.Name),
		Hint: fmt.Sprintf("%q is an endpoint of %q", endpoint.Name, endpoint.Service),
	}
}

func notOwner(account string, service *topology.EndpointService, verb Verb) *Error {
	return &Error{
		Code: NotOwner, Kind: "endpoint service", Name: service.Name,
		Text: fmt.Sprintf("account %q may not %s connections to endpoint service %q", account, verb, service.Name),
		Hint: fmt.Sprintf("%q belongs to account %q, and only its owner may", service.Name, service.Account),
	}
}

func notWhitelisted(service *topology.EndpointService, endpoint *topology.Endpoint) *Error {
	return &Error{
		Code: NotWhitelisted, Kind: "endpoint", Name: endpoint.Name,
		Text: fmt.Sprintf("endpoint %q cannot use endpoint service %q: account %q is not on its whitelist", endpoint.Name, service.Name, endpoint.Account),
		Hint: fmt.Sprintf("add %q to the whitelist of %q", endpoint.Account, service.Name),
	}
}

// wrongState tells three cases apart: what was asked for is already so, it is
// already on its way, or the opposite is.
func wrongState(c *connection, verb Verb) *Error {
	e := &Error{Code: WrongState, Kind: "connection", Name: c.name()}
	wanted, onTheWay := Connected, Connecting
	if verb == Reject {
		wanted, onTheWay = Disconnected, Disconnecting
	}
	switch {
	case c.State == onTheWay:
		e.Text = fmt.Sprintf("%s is already %sed: it is %s", c, verb, c.Status)
		e.Hint = fmt.Sprintf("wait until it is %s", c.word(wanted))
	case c.State == Connecting || c.State == Disconnecting:
		e.Text = fmt.Sprintf("%s cannot be %sed while it is %s", c, verb, c.Status)
		e.Hint = fmt.Sprintf("wait until it is %s", c.word(transitions[c.State][Report]))
	default:
		e.Text = fmt.Sprintf("%s is already %s", c, c.Status)
		e.Hint = "there is nothing to do"
	}
	return e
}
