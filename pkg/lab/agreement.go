package lab

import (
	"context"
	"fmt"
	"time"

	"github.com/plinksim/plinksim/pkg/status"
)

// Agreement is where the hosts of a lab agree on what the lab is. One host leads: it makes
// a record of the one before and an operation, and writes it. Every host, the leader too,
// becomes what was written, so that nothing is ever taken back. A Lab calls its methods
// from any goroutine.
type Agreement interface {
	// Now is the newest record that this host knows of. It is false where there is none yet.
	Now() (Record, bool)
	// Create writes the first record, whoever leads, and returns it. Where another host was
	// first, it returns the newest record of that one. Its errors are those of Write.
	Create(ctx context.Context, first Record) (Record, error)
	// Write makes next the newest record, where this host leads and the newest is of the
	// revision after, both in the eyes of the store itself. It returns next with its
	// revision, which Now gives from then on. It tries once and ends within RefusedWithin.
	// Its errors are *NotLeadingError, *ConflictError and *NoQuorumError, with which nothing
	// was written, and *UnansweredError.
	Write(ctx context.Context, after int64, next Record) (Record, error)
	// Secret is a text that all hosts have and nobody else, for example "authority". first
	// makes it where no host has done so.
	Secret(ctx context.Context, name string, first func() ([]byte, error)) ([]byte, error)
	// Leader is the host that leads, as far as this one knows; "" where none does.
	Leader() string
	// Hosts are those that live, this one too, with what they reported last, by name.
	Hosts() map[string]HostReport
	// Report lets the other hosts know of this one. It does not wait: the newest report
	// counts, and is sent when the store answers.
	Report(HostReport)
	// Changed gets a value when what another method answers has changed. Several changes
	// may be one value. It is for one reader.
	Changed() <-chan struct{}
	// Silent is since when the store has not answered, the zero time where it does.
	Silent() time.Time
	// Close gives up this host's leadership and its place among those that live, at once.
	// Records stay.
	Close() error
}

// RefusedWithin is how long a store may take to answer before an operation is refused.
const RefusedWithin = 3 * time.Second

// Record is what the hosts of a lab agree on. Nobody changes its texts.
type Record struct {
	Revision int64  // given by the store; a later record has a higher one
	File     string // what the topology file is called
	Source   []byte // its text, without edits
	// State is how the file was edited and the state of the control plane, as a lab's
	// state.json has them, and whether checks have put the edits aside.
	State []byte
}

// HostReport is what a host says of itself.
type HostReport struct {
	Name    string `json:"name"`
	Version string `json:"version"`        // of plinksim
	Plan    string `json:"plan,omitempty"` // hash of the whole plan that this program makes of the record
	Applied int64  `json:"applied"`        // the revision that is in force there
	// Drained are the replaced load balancers through which no session goes any more, of
	// zones on this host.
	Drained []Drained `json:"drained,omitempty"`
}

// Drained is a load balancer that was replaced in a zone of a connection, and that no session
// needs any more.
type Drained struct {
	Service      string `json:"service"`
	Endpoint     string `json:"endpoint"`
	Zone         string `json:"zone"`
	LoadBalancer string `json:"load_balancer"`
}

// Remote does on another host of the lab what can be done there alone.
type Remote interface {
	// RunCheck runs a check from an instance of a host there, by RunCheckHere: that with a
	// number, from 0, of the checks of a file, or of the lab's where file is nil.
	RunCheck(ctx context.Context, host string, file []byte, number int) (status.Check, error)
}

// NotLeadingError says that a host was asked to change a lab of which it is not the leader.
// Nothing was changed.
type NotLeadingError struct {
	Host, Leader string // Leader is "" where none is known
}

func (e *NotLeadingError) Error() string {
	if e.Leader == "" {
		return fmt.Sprintf("no host leads this lab at the moment, so that host %q cannot change it", e.Host)
	}
	return fmt.Sprintf("host %q cannot change this lab, as host %q leads it", e.Host, e.Leader)
}

// Hint says what to do about it.
func (e *NotLeadingError) Hint() string {
	if e.Leader == "" {
		return "another host leads within seconds where most members of the store are reachable; try again"
	}
	return fmt.Sprintf("ask on host %q", e.Leader)
}

// ConflictError says that another record was written than the one that a change was made
// from. Nothing was changed.
type ConflictError struct{ After, Newest int64 } // revisions; Newest is 0 where it is not known

func (e *ConflictError) Error() string {
	return fmt.Sprintf("another host has changed this lab since revision %d", e.After)
}

// Hint says what to do about it.
func (e *ConflictError) Hint() string { return "look at what the lab is now, and try again" }

// NoQuorumError says that the store does not answer, and that nothing was sent to it:
// nothing was changed.
type NoQuorumError struct {
	Revision int64     // that the hosts go on with; 0 where none is known
	Since    time.Time // when the store answered last; zero where that is not known
	Err      error     // what the store's client says; may be nil
}

func (e *NoQuorumError) Error() string {
	text := "the control plane has no quorum, and nothing was changed"
	if e.Revision != 0 {
		text += fmt.Sprintf("; packets go on with revision %d", e.Revision)
	}
	return text + because(e.Err)
}

func (e *NoQuorumError) Unwrap() error { return e.Err }

// Hint says what to do about it.
func (e *NoQuorumError) Hint() string {
	return "most members of the store must run and be reachable from here; then try again"
}

// UnansweredError says that a change was sent to the store, which did not answer: it may
// have been made. Every host becomes what the store says when it answers again.
type UnansweredError struct{ Err error }

func (e *UnansweredError) Error() string {
	return "the store did not answer in time: it is not known whether the change was made" + because(e.Err)
}

func (e *UnansweredError) Unwrap() error { return e.Err }

// Hint says what to do about it.
func (e *UnansweredError) Hint() string {
	return "wait until the store answers, and look with \"plinksim status\" and \"plinksim events\" before you try again"
}

func because(err error) string {
	if err == nil {
		return ""
	}
	return ": " + err.Error()
}
