package topology

import (
	"fmt"
	"strings"
)

// Remedy is something that would help where an operation was refused or a
// packet stops: an operation, or a change of the lab's faults. Keys that the
// operation needs and does not have are for the user to choose.
type Remedy struct {
	Do    *Operation `json:"do,omitempty"`
	Fault *Fault     `json:"fault,omitempty"`
}

// Fault is a change of what goes wrong in a lab.
type Fault struct {
	Verb      FaultVerb `json:"verb"`
	Target    string    `json:"target"`                   // an endpoint, or an interface: ep1@zone
	Bandwidth *int      `json:"bandwidth_mbit,omitempty"` // of FaultSet
}

// FaultVerb is what a Fault does.
type FaultVerb string

// The verbs of faults.
const (
	FaultSet  FaultVerb = "set"
	FaultDown FaultVerb = "down"
	FaultUp   FaultVerb = "up"
)

// Doing is the remedy that is an operation.
func Doing(o Operation) Remedy { return Remedy{Do: &o} }

// String is the remedy as a sentence's end.
func (r Remedy) String() string {
	switch {
	case r.Do != nil:
		return r.Do.String()
	case r.Fault.Bandwidth != nil:
		return fmt.Sprintf("fault %s %s %s", r.Fault.Verb, r.Fault.Target, FormatRate(int64(*r.Fault.Bandwidth)*1e6))
	}
	return fmt.Sprintf("fault %s %s", r.Fault.Verb, r.Fault.Target)
}

// Advice is a hint with the remedies behind it, each as write has it.
func Advice(hint string, remedies []Remedy, write func(Remedy) string) string {
	var words []string
	for _, r := range remedies {
		words = append(words, write(r))
	}
	text := strings.Join(words, ", or ")
	if hint == "" || text == "" {
		return hint + text
	}
	return hint + ": " + text
}
