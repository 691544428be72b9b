package control

import (
	"fmt"
	"maps"
	"strings"

	"github.com/plinksim/plinksim/pkg/topology"
)

// operation changes the plane for an account and gives the events that tell of
// it, that of the operation itself first.
type operation func(rules, topology.Operation) ([]Event, *Error)

// on makes an operation of a method of the operations on one kind of object.
func on[T ~struct{ rules }](do func(T, topology.Operation) ([]Event, *Error)) operation {
	return func(r rules, o topology.Operation) ([]Event, *Error) { return do(T{r}, o) }
}

// operations are what accounts can change, and reads what they can only look
// at: together the verbs of topology.Specs. Their rows stand beside what they
// do.
var operations = union(serviceVerbs, endpointVerbs, connectionVerbs, gatewayVerbs, serverVerbs)

var reads = map[Verb]operation{
	topology.VerbServiceShow:  on(serviceOperations.show),
	topology.VerbEndpointShow: on(endpointOperations.show),
}

func union(tables ...map[Verb]operation) map[Verb]operation {
	all := map[Verb]operation{}
	for _, t := range tables {
		maps.Copy(all, t)
	}
	return all
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
	p.allowed = nil
	events, err := p.tryLocked(operations[o.Verb], o)
	if err != nil {
		return Event{}, err
	}
	p.state.overlay()
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
			"there is no operation %q", o.Verb).In(p.state.plan.Cloud, o.Verb)
	}
	st := rules{p.state}
	err := st.caller(o.As)
	if err == nil {
		err = st.knownToCloud(o)
	}
	var events []Event
	if err == nil {
		events, err = do(st, o)
	}
	if err != nil {
		return nil, err.In(p.state.plan.Cloud, o.Verb)
	}
	for i := range events {
		events[i].Request = o.Request
	}
	return events, nil
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
func checkBandwidth(mbit *int, s *topology.EndpointService, name string) *Error {
	most := s.Type.MaxMegabits()
	if mbit == nil || *mbit == 0 || *mbit >= topology.MinMegabits && *mbit <= most {
		return nil
	}
	return invalid("connection", name, fmt.Sprintf("choose %d to %d Mbit/s, or none for no limit",
		topology.MinMegabits, most),
		"a connection cannot have a bandwidth of %d Mbit/s", *mbit)
}
