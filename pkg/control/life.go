package control

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/plinksim/plinksim/pkg/topology"
)

// State is where something is in its life. Clouds have words of their own for
// the same states: see Word.
type State string

// The states of connections and of their zones.
const (
	// Wait: the provider has not decided yet. The ENIs, their addresses and
	// their names are there.
	Wait State = "Wait"
	// Connecting: accepted, and the data plane does not carry it yet.
	Connecting State = "Connecting"
	// Connected: the data plane carries it.
	Connected State = "Connected"
	// Modifying: connected, and its bandwidth is just being changed.
	Modifying State = "Modifying"
	// Migrating: a zone gets another resource, and the data plane does not use
	// it yet.
	Migrating State = "Migrating"
	// Migrated: new sessions of a zone go to its new resource, those that were
	// there still to the old one.
	Migrated State = "Migrated"
	// Disconnecting: rejected or disabled, and the data plane may still carry
	// it.
	Disconnecting State = "Disconnecting"
	// Disconnected: rejected or disabled, and nothing passes.
	Disconnected State = "Disconnected"
	// ServiceDeleted: the service of the connection is gone.
	ServiceDeleted State = "ServiceDeleted"
)

// The states of services and endpoints. Deleting is one of connections and
// zones, too.
const (
	Creating State = "Creating" // the data plane does not know it yet
	Active   State = "Active"
	Pending  State = "Pending"  // just being changed
	Deleting State = "Deleting" // the data plane may still know it
	Gone     State = "Gone"     // not there, or not any more
)

// Open reports whether the data plane should carry what is in this state.
func (s State) Open() bool { return s == Connecting || s.Carried() }

// Carried reports whether the data plane carries what is in this state.
func (s State) Carried() bool {
	return s == Connected || s == Modifying || s == Migrating || s == Migrated
}

// Verb is what is done: by an account, with an operation, or by the lab.
type Verb = topology.Verb

// The verbs that move a state.
const (
	Accept        = topology.VerbAccept // by the provider, or by a service that accepts by itself
	Reject        = topology.VerbReject // by the provider
	Bandwidth     = topology.VerbBandwidth
	ZoneEnable    = topology.VerbZoneEnable
	ZoneDisable   = topology.VerbZoneDisable
	Replace       = topology.VerbReplace // a zone's resource, gracefully
	Release       = topology.VerbRelease // the resource that was replaced
	ServiceDelete = topology.VerbServiceDelete

	Force  Verb = "force" // replace a zone's resource at once
	Create Verb = "create"
	Change Verb = "change"
	Delete Verb = "delete"
	Report Verb = "report" // by the lab: the data plane now does what the state says
	Reset  Verb = "reset"  // by the lab: back to what the plan says

	Restore Verb = "restore" // read back after a restart; moves nothing
	Adopt   Verb = "adopt"   // as another host of the lab has it; moves anything
)

// Kind says of what an event or a state is.
type Kind string

// The kinds that the control plane itself speaks of.
const (
	KindService    Kind = "service"
	KindEndpoint   Kind = "endpoint"
	KindConnection Kind = "connection"
	KindZone       Kind = "zone"
	KindGateway    Kind = "gateway" // NAT gateway
	KindNATIP      Kind = "nat-ip"
	KindEntry      Kind = "entry" // FullNAT entry
)

// A life is where each verb leads from each state. What is not in it is
// refused.
type life struct {
	states []State // in the order in which people read them
	verbs  []Verb
	next   map[State]map[Verb]State
}

// connectionLife is the life of a connection. While it is on its way the
// clouds refuse what people ask, and so do we. The states and the ways between
// them are those of the PrivateLink API of Alibaba Cloud, version 2020-04-15
// (GetVpcEndpointAttribute, EnableVpcEndpointConnection,
// DisableVpcEndpointConnection, UpdateVpcEndpointConnectionAttribute).
var connectionLife = life{
	states: []State{Wait, Connecting, Connected, Modifying, Disconnecting, Disconnected, ServiceDeleted, Deleting},
	verbs:  []Verb{Accept, Reject, Bandwidth, ServiceDelete, Delete, Report, Reset},
	next: map[State]map[Verb]State{
		Wait:           {Accept: Connecting, Reject: Disconnected, ServiceDelete: ServiceDeleted, Delete: Deleting},
		Connecting:     {Report: Connected, Reset: Wait},
		Connected:      {Reject: Disconnecting, Bandwidth: Modifying, Delete: Deleting, Reset: Wait},
		Modifying:      {Report: Connected, Reset: Wait},
		Disconnecting:  {Report: Disconnected, Reset: Wait},
		Disconnected:   {Accept: Connecting, ServiceDelete: ServiceDeleted, Delete: Deleting, Reset: Wait},
		ServiceDeleted: {Delete: Deleting},
		Deleting:       {Report: Gone},
	},
}

// zoneLife is the life of a connection's zone. It follows its connection, and
// its provider may enable and disable it and give it another resource
// (PrivateLink API 2020-04-15, ListVpcEndpointZones,
// EnableVpcEndpointZoneConnection, DisableVpcEndpointZoneConnection,
// UpdateVpcEndpointZoneConnectionResourceAttribute).
var zoneLife = life{
	states: []State{Wait, Connecting, Connected, Migrating, Migrated, Disconnecting, Disconnected, Deleting},
	verbs:  []Verb{Accept, Reject, ZoneEnable, ZoneDisable, Replace, Force, Release, Delete, Report, Reset},
	next: map[State]map[Verb]State{
		Wait:       {Accept: Connecting, Reject: Disconnected, Delete: Deleting},
		Connecting: {Report: Connected, Reset: Wait},
		Connected: {Reject: Disconnecting, ZoneDisable: Disconnecting, Replace: Migrating, Force: Connecting,
			Delete: Deleting, Reset: Wait},
		Migrating: {Report: Migrated, Reset: Wait},
		Migrated: {Reject: Disconnecting, ZoneDisable: Disconnecting, Release: Connected, Delete: Deleting,
			Reset: Wait},
		Disconnecting: {Report: Disconnected, Reset: Wait},
		Disconnected: {Accept: Connecting, ZoneEnable: Connecting, Replace: Disconnected, Force: Disconnected,
			Delete: Deleting, Reset: Wait},
		Deleting: {Report: Gone},
	},
}

// objectLife is the life of a service and of an endpoint (PrivateLink API
// 2020-04-15, GetVpcEndpointServiceAttribute and GetVpcEndpointAttribute). A
// cloud refuses a change of what is Pending; a lab, which is done with it
// before anybody sees it, does one after the other.
var objectLife = life{
	states: []State{Gone, Creating, Active, Pending, Deleting},
	verbs:  []Verb{Create, Change, Delete, Report},
	next: map[State]map[Verb]State{
		Gone:     {Create: Creating},
		Creating: {Change: Creating, Report: Active},
		Active:   {Change: Pending, Delete: Deleting},
		Pending:  {Change: Pending, Delete: Deleting, Report: Active},
		Deleting: {Report: Gone},
	},
}

// Word is what a cloud calls a state. Alibaba Cloud shows a connection that
// waits as Disconnected, as it shows one that was rejected, and only its zones
// as Wait (PrivateLink API 2020-04-15, GetVpcEndpointAttribute). AWS has a
// word for waiting, and none for the way to rejected ("AWS PrivateLink
// concepts", endpoint states; values as the API returns them; those of
// services in CreateVpcEndpointServiceConfiguration).
func Word(cloud topology.Cloud, kind Kind, s State) string {
	words, ok := stateWords[cloud][kind]
	if !ok {
		words = stateWords[cloud][""]
	}
	return string(cmp.Or(words[s], s))
}

// EndpointWord is what a cloud with one state for an endpoint and its connection
// calls it: that of the connection, unless the endpoint itself is on its way.
func EndpointWord(cloud topology.Cloud, e Object, c Connection) string {
	if e.State == Deleting || (e.State == Pending || e.State == Creating) && c.State == Connected {
		return e.Status
	}
	return Word(cloud, KindConnection, c.State)
}

// stateWords are by the kind of the object, "" for all others. What is missing
// is called as the state is.
var stateWords = map[topology.Cloud]map[Kind]map[State]State{
	topology.Alibaba: alibabaWords,
	topology.AWS:     {"": awsWords, KindService: awsServiceWords},
	topology.RFC:     alibabaWords,
}

var alibabaWords = map[Kind]map[State]State{
	KindConnection: {Wait: Disconnected, Modifying: Pending},
	KindGateway:    natWords,
	KindNATIP:      natWords,
	KindEntry:      natWords,
}

var awsWords = map[State]State{
	Wait:           "pendingAcceptance",
	Connecting:     "pending",
	Connected:      "available",
	Modifying:      "pending",
	Migrating:      "available",
	Migrated:       "available",
	Disconnecting:  "rejected",
	Disconnected:   "rejected",
	ServiceDeleted: "failed",
	Creating:       "pending",
	Active:         "available",
	Pending:        "pending",
	Deleting:       "deleting",
	Gone:           "deleted",
}

// natWords are those of NAT gateways, their IPs and their entries, which the
// operations' texts have: Creating, Available, Modifying, Deleting (VPC API
// 2016-04-28, CreateFullNatEntry and ModifyFullNatEntryAttribute; that
// ListFullNatEntries also says Pending is taken for a slip).
var natWords = map[State]State{Active: "Available", Pending: "Modifying"}

var awsServiceWords = map[State]State{
	Creating: "Pending", Active: "Available", Pending: "Available", Deleting: "Deleting", Gone: "Deleted",
}

// TransitionTables are the lives of connections, of their zones, and of
// services and endpoints, as Markdown: a row for each state, where each verb
// leads, and what the clouds call the state.
func TransitionTables() string {
	return "The connection:\n\n" + connectionLife.table(KindConnection) +
		"\nEach of its zones:\n\n" + zoneLife.table(KindZone) +
		"\nA service or an endpoint:\n\n" + objectLife.table(KindService, KindEndpoint)
}

func (l life) table(kinds ...Kind) string {
	var b strings.Builder
	header := []string{"state"}
	for _, v := range l.verbs {
		header = append(header, string(v))
	}
	header = append(header, string(topology.Alibaba))
	for _, k := range kinds {
		header = append(header, strings.TrimSpace(string(topology.AWS)+" "+awsOf(k)))
	}
	b.WriteString("| " + strings.Join(header, " | ") + " |\n" + strings.Repeat("|---", len(header)) + "|\n")
	for _, s := range l.states {
		row := []string{string(s)}
		for _, v := range l.verbs {
			row = append(row, orDash(l.next[s][v]))
		}
		row = append(row, Word(topology.Alibaba, kinds[0], s))
		for _, k := range kinds {
			row = append(row, Word(topology.AWS, k, s))
		}
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
	}
	return b.String()
}

// awsOf tells the columns of services and endpoints apart.
func awsOf(kind Kind) string {
	if kind == KindService || kind == KindEndpoint {
		return string(kind)
	}
	return ""
}

func orDash(s State) string {
	if s == "" {
		return "-"
	}
	return string(s)
}

func (l life) has(s State) bool { return slices.Contains(l.states, s) }
