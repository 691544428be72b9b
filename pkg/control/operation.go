package control

import (
	"fmt"
	"strings"

	"github.com/plinksim/plinksim/pkg/topology"
)

// operation changes the plane for an account and gives the events that tell of
// it, that of the operation itself first.
type operation func(*Plane, topology.Operation) ([]Event, *Error)

// operations are what accounts can change, and reads what they can only look
// at: together the verbs of topology.Specs. Each looks first and changes then: one
// that returns an error has changed nothing.
var operations = map[Verb]operation{
	topology.VerbAccept:           (*Plane).acceptLocked,
	topology.VerbReject:           (*Plane).rejectLocked,
	topology.VerbBandwidth:        (*Plane).bandwidthLocked,
	topology.VerbZoneEnable:       (*Plane).zoneEnableLocked,
	topology.VerbZoneDisable:      (*Plane).zoneDisableLocked,
	topology.VerbReplace:          (*Plane).replaceLocked,
	topology.VerbRelease:          (*Plane).releaseLocked,
	topology.VerbServiceSet:       (*Plane).serviceSetLocked,
	topology.VerbServiceCreate:    (*Plane).serviceCreateLocked,
	topology.VerbServiceDelete:    (*Plane).serviceDeleteLocked,
	topology.VerbWhitelistAdd:     (*Plane).whitelistAddLocked,
	topology.VerbWhitelistRemove:  (*Plane).whitelistRemoveLocked,
	topology.VerbAttach:           (*Plane).attachLocked,
	topology.VerbDetach:           (*Plane).detachLocked,
	topology.VerbEndpointCreate:   (*Plane).endpointCreateLocked,
	topology.VerbEndpointDelete:   (*Plane).endpointDeleteLocked,
	topology.VerbEndpointSet:      (*Plane).endpointSetLocked,
	topology.VerbZoneAdd:          (*Plane).zoneAddLocked,
	topology.VerbZoneRemove:       (*Plane).zoneRemoveLocked,
	topology.VerbGroupAdd:         (*Plane).groupAddLocked,
	topology.VerbGroupRemove:      (*Plane).groupRemoveLocked,
	topology.VerbGatewayCreate:    (*Plane).gatewayCreateLocked,
	topology.VerbGatewayDelete:    (*Plane).gatewayDeleteLocked,
	topology.VerbNATIPCreate:      (*Plane).natIPCreateLocked,
	topology.VerbNATIPDelete:      (*Plane).natIPDeleteLocked,
	topology.VerbEntryCreate:      (*Plane).entryCreateLocked,
	topology.VerbEntryModify:      (*Plane).entryModifyLocked,
	topology.VerbEntryDelete:      (*Plane).entryDeleteLocked,
	topology.VerbServerRegister:   (*Plane).serverRegisterLocked,
	topology.VerbServerDeregister: (*Plane).serverDeregisterLocked,
	topology.VerbServerWeight:     (*Plane).serverWeightLocked,
}

var reads = map[Verb]operation{
	topology.VerbServiceShow: (*Plane).serviceShowLocked,
}

// Do carries an operation out and returns the event that tells of it. The data
// plane follows: wait for Revision with WaitApplied. An error is an *Error,
// and then nothing has changed.
func (p *Plane) Do(o topology.Operation) (Event, error) {
	if reads[o.Verb] != nil {
		return p.Look(o)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	events, err := p.tryLocked(operations[o.Verb], o)
	if err != nil {
		return Event{}, err
	}
	p.overlayLocked()
	return p.commitLocked(events...), nil
}

// Look carries out an operation that only reads. Its event is the caller's
// alone and has no number.
func (p *Plane) Look(o topology.Operation) (Event, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	events, err := p.tryLocked(reads[o.Verb], o)
	if err != nil {
		return Event{}, err
	}
	return events[0], nil
}

// tryLocked carries an operation out, unless there is no such operation, the
// caller does not exist or the cloud does not have it.
func (p *Plane) tryLocked(do operation, o topology.Operation) ([]Event, error) {
	if do == nil {
		return nil, invalid("operation", string(o.Verb), "there is "+strings.Join(topology.Verbs(), ", "),
			"there is no operation %q", o.Verb)
	}
	err := p.callerLocked(o.As)
	if err == nil {
		err = p.knownToCloudLocked(o)
	}
	if err != nil {
		return nil, err.in(p.plan.Cloud)
	}
	events, err := do(p, o)
	if err != nil {
		return nil, err.in(p.plan.Cloud)
	}
	return events, nil
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

// knownToCloudLocked refuses what the lab's cloud cannot do.
func (p *Plane) knownToCloudLocked(o topology.Operation) *Error {
	cloud, can := p.plan.Cloud, p.plan.Profile
	var what, hint string
	var remedies []topology.Remedy
	switch instead, tunes := tuning[o.Verb]; {
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
		Code: topology.Unsupported, Kind: "operation", Name: string(o.Verb), Text: what, Hint: hint, Remedies: remedies,
	}
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
