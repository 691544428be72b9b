package control

import (
	"fmt"
	"slices"
	"strings"

	"github.com/plinksim/plinksim/pkg/topology"
)

// operations are what accounts can do. Each looks first and changes then: one
// that returns an error has changed nothing.
var operations = map[string]func(*Plane, topology.Operation) ([]Event, *Error){
	"accept":            (*Plane).acceptLocked,
	"reject":            (*Plane).rejectLocked,
	"bandwidth":         (*Plane).bandwidthLocked,
	"zone-enable":       (*Plane).zoneEnableLocked,
	"zone-disable":      (*Plane).zoneDisableLocked,
	"replace":           (*Plane).replaceLocked,
	"release":           (*Plane).releaseLocked,
	"service-show":      (*Plane).serviceShowLocked,
	"service-set":       (*Plane).serviceSetLocked,
	"service-create":    (*Plane).serviceCreateLocked,
	"service-delete":    (*Plane).serviceDeleteLocked,
	"whitelist-add":     (*Plane).whitelistAddLocked,
	"whitelist-remove":  (*Plane).whitelistRemoveLocked,
	"attach":            (*Plane).attachLocked,
	"detach":            (*Plane).detachLocked,
	"endpoint-create":   (*Plane).endpointCreateLocked,
	"endpoint-delete":   (*Plane).endpointDeleteLocked,
	"endpoint-set":      (*Plane).endpointSetLocked,
	"zone-add":          (*Plane).zoneAddLocked,
	"zone-remove":       (*Plane).zoneRemoveLocked,
	"group-add":         (*Plane).groupAddLocked,
	"group-remove":      (*Plane).groupRemoveLocked,
	"gateway-create":    (*Plane).gatewayCreateLocked,
	"gateway-delete":    (*Plane).gatewayDeleteLocked,
	"nat-ip-create":     (*Plane).natIPCreateLocked,
	"nat-ip-delete":     (*Plane).natIPDeleteLocked,
	"entry-create":      (*Plane).entryCreateLocked,
	"entry-modify":      (*Plane).entryModifyLocked,
	"entry-delete":      (*Plane).entryDeleteLocked,
	"server-register":   (*Plane).serverRegisterLocked,
	"server-deregister": (*Plane).serverDeregisterLocked,
	"server-weight":     (*Plane).serverWeightLocked,
}

// Do carries an operation out and returns the event that tells of it. The data
// plane follows: wait for Revision with WaitApplied. An error is an *Error,
// and then nothing has changed.
func (p *Plane) Do(o topology.Operation) (Event, error) {
	do := operations[o.Verb]
	if do == nil {
		return Event{}, invalid("operation", o.Verb, "there is "+strings.Join(topology.Verbs(), ", "), "there is no operation %q", o.Verb)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	err := p.callerLocked(o.As)
	if err == nil {
		err = p.knownToCloudLocked(o)
	}
	var events []Event
	if err == nil {
		events, err = do(p, o)
	}
	if err != nil {
		return Event{}, err.in(p.plan.Cloud)
	}
	if o.Verb == "service-show" {
		return events[0], nil
	}
	p.overlayLocked()
	first := p.lastSeq
	p.commitLocked(events...)
	at := slices.IndexFunc(p.history, func(e Event) bool { return e.Seq == first+1 })
	return p.history[at], nil
}

func (p *Plane) callerLocked(account string) *Error {
	if account == "" {
		return nil
	}
	return p.accountLocked(account)
}

func (p *Plane) accountLocked(account string) *Error {
	if _, err := p.plan.Account(account); err != nil {
		return UnknownAccount(p.plan, account)
	}
	return nil
}

// notAtAWS are the operations that AWS does not have, and what to use in a lab
// instead. EC2 API 2016-11-15: there is no action for them.
var notAtAWS = map[string]string{
	"bandwidth":    "plinksim fault set ENDPOINT --bandwidth limits it in the lab",
	"zone-enable":  "plinksim fault up ENDPOINT@ZONE ends a fault",
	"zone-disable": "plinksim fault down ENDPOINT@ZONE lets a zone of an endpoint fail",
	"replace":      "a zone keeps the load balancer that it was given first",
	"release":      "a zone keeps the load balancer that it was given first",
}

func (p *Plane) knownToCloudLocked(o topology.Operation) *Error {
	if p.plan.Cloud != "aws" {
		if o.PrivateDNS == nil {
			return nil
		}
		return &Error{
			Code: Unsupported, Kind: "operation", Name: o.Verb, Text: fmt.Sprintf("endpoints of %s have no private DNS name", p.plan.Cloud),
			Hint: "write a private zone with a cname to the endpoint",
		}
	}
	hint, missing := notAtAWS[o.Verb]
	what := fmt.Sprintf("aws has no operation %q", o.Verb)
	switch {
	case o.Verb == "accept" && (o.Bandwidth != nil || len(o.Resources) > 0):
		missing, what, hint = true, "aws accepts a connection without a bandwidth or load balancers of its own", "leave them out"
	case o.ZoneAffinity != nil:
		missing, what, hint = true, "names of aws endpoints have no zone affinity", "use the zone's name where the zone matters"
	}
	if !missing {
		return nil
	}
	hint = strings.NewReplacer("ENDPOINT", o.Endpoint, "ZONE", o.Zone).Replace(hint)
	return &Error{Code: Unsupported, Kind: "operation", Name: o.Verb, Text: what, Hint: hint}
}

// lookupLocked finds the connection that a caller named, or says which name is
// wrong. caller is "" for one who sees everything.
func (p *Plane) lookupLocked(caller, service, endpoint string) (*topology.EndpointService, *connection, *Error) {
	s := findService(p.over, service)
	switch {
	case s == nil:
		return nil, nil, unknownService(p.over, caller, service)
	case caller != "" && !s.Sees(caller):
		return nil, nil, notWhitelisted(s, caller)
	}
	e, err := p.over.Endpoint(endpoint)
	if err != nil {
		return nil, nil, unknownEndpoint(p.over, "", endpoint)
	}
	c := p.findLocked(service, endpoint)
	if c == nil {
		return nil, nil, notConnectable(s, e)
	}
	return s, c, nil
}

// providersLocked is the connection that its provider wants to change.
func (p *Plane) providersLocked(o *topology.Operation) (*topology.EndpointService, *connection, *Error) {
	s, c, err := p.lookupLocked(o.As, o.Service, o.Endpoint)
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

// moveZoneLocked does what the caller found to be allowed.
func (p *Plane) moveZoneLocked(c *connection, z *Zone, verb Verb, account, did string) Event {
	from := z.Status
	z.enter(c.cloud, zoneLife.next[z.State][verb])
	c.Modified, c.revision = p.now(), p.revision+1
	e := c.zoneEvent(verb, *z, from, z.Status)
	e.Account = account
	e.Text = fmt.Sprintf("account %q %s zone %q of %s", account, did, z.Zone, c)
	return e
}

func objectEvent(kind Kind, name string, verb Verb, account, from, to, text string) Event {
	return Event{Kind: kind, Name: name, Verb: verb, Account: account, From: from, To: to, Text: text}
}

// noun is how sentences name a thing of the kind.
func (k Kind) noun() string {
	switch k {
	case KindService:
		return "endpoint service"
	case KindGateway:
		return "NAT gateway"
	case KindNATIP:
		return "NAT IP"
	case KindEntry:
		return "FullNAT entry"
	}
	return string(k)
}

// checkBandwidth refuses what no connection can have. PrivateLink API
// 2020-04-15, UpdateVpcEndpointConnectionAttribute, Bandwidth.
func checkBandwidth(mbit *int, name string) *Error {
	if mbit == nil || *mbit == 0 || *mbit >= topology.MinMegabits && *mbit <= topology.MaxMegabits {
		return nil
	}
	return invalid("connection", name, fmt.Sprintf("choose %d to %d Mbit/s, or none for no limit", topology.MinMegabits, topology.MaxMegabits),
		"a connection cannot have a bandwidth of %d Mbit/s", *mbit)
}
