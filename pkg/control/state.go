package control

import (
	"fmt"
	"strings"
)

// State is where a connection, or one zone of it, is in its life. Clouds have
// words of their own for the same states: see Word.
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
	// Disconnecting: rejected, and the data plane may still carry it.
	Disconnecting State = "Disconnecting"
	// Disconnected: rejected, and nothing passes.
	Disconnected State = "Disconnected"
)

// Open reports whether the data plane should carry what is in this state.
func (s State) Open() bool { return s == Connecting || s == Connected }

// Verb is what is done to a connection.
type Verb string

// The verbs that move a state. The others are only names of events.
const (
	Accept Verb = "accept" // by the provider, or by a service that accepts by itself
	Reject Verb = "reject" // by the provider
	Report Verb = "report" // by the lab: the data plane now does what the state says
	Reset  Verb = "reset"  // by the lab: back to before the provider decided

	Create  Verb = "create"
	Delete  Verb = "delete"
	Restore Verb = "restore" // read back after a restart
)

// states and verbs are in the order in which people read them.
var (
	states = []State{Wait, Connecting, Connected, Disconnecting, Disconnected}
	verbs  = []Verb{Accept, Reject, Report, Reset}
)

// transitions is the life of a connection and of each of its zones. What is
// not in it is refused: while a connection is on its way the clouds refuse
// both verbs too. The states and the ways between them are those of the
// PrivateLink API of Alibaba Cloud, version 2020-04-15
// (GetVpcEndpointAttribute, ListVpcEndpointZones,
// EnableVpcEndpointConnection, DisableVpcEndpointConnection).
var transitions = map[State]map[Verb]State{
	Wait:          {Accept: Connecting, Reject: Disconnected},
	Connecting:    {Report: Connected, Reset: Wait},
	Connected:     {Reject: Disconnecting, Reset: Wait},
	Disconnecting: {Report: Disconnected, Reset: Wait},
	Disconnected:  {Accept: Connecting, Reset: Wait},
}

// Kind says of what an event or a state is.
type Kind string

// The kinds that the control plane itself speaks of.
const (
	KindConnection Kind = "connection"
	KindZone       Kind = "zone"
)

// Word is what a cloud calls a state. Alibaba Cloud shows a connection that
// waits as Disconnected, as it shows one that was rejected, and only its zones
// as Wait (PrivateLink API 2020-04-15, GetVpcEndpointAttribute). AWS has a
// word for waiting, and none for the way to rejected ("AWS PrivateLink
// concepts", endpoint states; values as the API returns them).
func Word(cloud string, kind Kind, s State) string {
	if cloud == "aws" {
		return awsWords[s]
	}
	if kind == KindConnection && s == Wait {
		return string(Disconnected)
	}
	return string(s)
}

var awsWords = map[State]string{
	Wait:          "pendingAcceptance",
	Connecting:    "pending",
	Connected:     "available",
	Disconnecting: "rejected",
	Disconnected:  "rejected",
}

// TransitionTable is the life of a connection as a Markdown table: a row for
// each state, where each verb leads, and what the clouds call the state.
func TransitionTable() string {
	var b strings.Builder
	b.WriteString("| state |")
	for _, v := range verbs {
		fmt.Fprintf(&b, " %s |", v)
	}
	b.WriteString(" connection (alibaba) | zone (alibaba) | aws |\n|---|")
	b.WriteString(strings.Repeat("---|", len(verbs)+3) + "\n")
	for _, s := range states {
		fmt.Fprintf(&b, "| %s |", s)
		for _, v := range verbs {
			fmt.Fprintf(&b, " %s |", orDash(transitions[s][v]))
		}
		fmt.Fprintf(&b, " %s | %s | %s |\n", Word("alibaba", KindConnection, s), Word("alibaba", KindZone, s), Word("aws", KindConnection, s))
	}
	return b.String()
}

func orDash(s State) string {
	if s == "" {
		return "-"
	}
	return string(s)
}
