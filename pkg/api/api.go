// Package api is how everything outside of a lab's daemon speaks to it: JSON
// over HTTP on a Unix socket in the lab's directory. Serve is the daemon's
// side; Client is everybody else's.
//
// What the server answers is the lab's own types (lab.Status, lab.CheckResult
// and so on), whose JSON is versioned by lab.Schema. Answers that take time
// are streams of JSON values, one a line. An error is {"error": …, "hint": …}
// with a status that says whose fault it is.
package api

import (
	"net/http"
	"time"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Error is a refusal as it travels, and as people read it.
type Error struct {
	Text string `json:"error"`
	Hint string `json:"hint,omitempty"`
	// Code says what kind of refusal it is, of the control plane's, and Word is
	// what the lab's cloud calls it.
	Code string `json:"code,omitempty"`
	Word string `json:"cloud_code,omitempty"`
}

func (e *Error) Error() string { return e.Text }

// Call is an operation of the control plane.
type Call struct {
	topology.Operation
	// WaitSeconds is how long the answer may take until the operation is in
	// force; 0: the answer comes when it is written down.
	WaitSeconds float64 `json:"wait_seconds,omitempty"`
}

func (c Call) wait() time.Duration {
	return time.Duration(c.WaitSeconds * float64(time.Second))
}

// Progress is one line of a long answer; the last has Done or an Error.
type Progress struct {
	Done    int    `json:"step,omitempty"`
	Total   int    `json:"of,omitempty"`
	What    string `json:"what,omitempty"`
	End     bool   `json:"end,omitempty"`
	Changed bool   `json:"changed,omitempty"` // with End: whether anything was changed
	Err     *Error `json:"failed,omitempty"`  // with End
}

var statusOf = map[control.Code]int{
	control.NotFound:       http.StatusNotFound,
	control.NotOwner:       http.StatusForbidden,
	control.NotWhitelisted: http.StatusForbidden,
	control.WrongState:     http.StatusConflict,
	control.InUse:          http.StatusConflict,
	control.Invalid:        http.StatusBadRequest,
	control.Quota:          http.StatusTooManyRequests,
	control.Unsupported:    http.StatusNotImplemented,
}
