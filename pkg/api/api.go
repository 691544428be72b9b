// Package api is how everything outside of a lab's daemon speaks to it: JSON
// over HTTP on a Unix socket in the lab's directory. Client is one side of it,
// package server below this one the other.
//
// Answers are the types of package status, whose JSON is versioned by
// status.Schema. Answers that take time are streams of JSON values, one a
// line. An error is {"error": …, "hint": …} with an HTTP status that says
// whose fault it is.
package api

import (
	"fmt"
	"slices"
	"time"

	"github.com/plinksim/plinksim/internal/spell"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Error is a refusal as it travels, and as people read it.
type Error struct {
	Text string `json:"error"`
	Hint string `json:"hint,omitempty"`
	// Remedies are the operations and faults that Hint speaks of.
	Remedies []topology.Remedy `json:"remedies,omitempty"`
	// Code says what kind of refusal it is, of the control plane's, and Word is
	// what the lab's cloud calls it.
	Code string `json:"code,omitempty"`
	Word string `json:"cloud_code,omitempty"`
	// Kind and Name are of the object that it is about, where Code is there.
	Kind string `json:"of_kind,omitempty"`
	Name string `json:"of_name,omitempty"`
}

func (e *Error) Error() string { return e.Text }

// Call is an operation of the control plane.
type Call struct {
	topology.Operation
	// WaitSeconds is how long the answer may take until the operation is in
	// force; 0: the answer comes when it is written down.
	WaitSeconds float64 `json:"wait_seconds,omitempty"`
}

// Wait is WaitSeconds.
func (c Call) Wait() time.Duration {
	return time.Duration(c.WaitSeconds * float64(time.Second))
}

// EditCall are edits of a lab's topology, all of which are made or none.
type EditCall struct {
	Edits       []topology.Edit `json:"edits"`
	DryRun      bool            `json:"dry_run,omitempty"`      // only say what would change
	WaitSeconds float64         `json:"wait_seconds,omitempty"` // as that of a Call
	// Who does it, for its event: in words, the account, and the call of a cloud's API that asks for it.
	By      string `json:"by,omitempty"`
	Account string `json:"account,omitempty"`
	Request string `json:"request,omitempty"`
	// If is what the edits were made for: by path, the value that stood there, as YAML, ""
	// for nothing. Where one is another now, nothing is changed, and the answer is 409.
	If map[string]string `json:"if,omitempty"`
}

// Wait is WaitSeconds.
func (c EditCall) Wait() time.Duration { return Call{WaitSeconds: c.WaitSeconds}.Wait() }

// Transition is how long states on the way last; 0 is what the topology says.
type Transition struct {
	Seconds float64 `json:"seconds"`
}

// TimeScale is how many times as fast as at the cloud the times of a lab pass.
type TimeScale struct {
	Scale topology.TimeScale `json:"time_scale"`
}

// Restart names the instance whose services are to be started again.
type Restart struct {
	Instance string `json:"instance"`
}

// Restarted are the services that were started again.
type Restarted struct {
	Schema   string   `json:"schema"`
	Services []string `json:"services"`
}

// Edited are changes of a topology.
type Edited struct {
	Changes []topology.Change `json:"changes"`
	// Warnings are what a user should know of the topology with all edits; only in the
	// answer to the question how it was edited.
	Warnings []topology.Problem `json:"warnings,omitempty"`
}

// Exported is a lab as a topology file, and what no file can say of it.
type Exported struct {
	Text  string   `json:"text"`
	Notes []string `json:"notes,omitempty"`
}

// Progress is one line of a long answer; the last has End.
type Progress struct {
	Done    int    `json:"step,omitempty"`
	Total   int    `json:"of,omitempty"`
	What    string `json:"what,omitempty"`
	End     bool   `json:"end,omitempty"`
	Changed bool   `json:"changed,omitempty"` // with End: whether anything was changed
	// With End: what is different in the topology.
	Changes []topology.Change `json:"changes,omitempty"`
	Err     *Error            `json:"failed,omitempty"` // with End
}

// Log is how a daemon writes its log. What is "" stays as it is; a log begins with LogInfo and LogText.
type Log struct {
	Level  string `json:"level,omitempty"`
	Format string `json:"format,omitempty"`
}

// LogLevels are the levels of a daemon's log: it has what has that level and what is worse.
var LogLevels = []string{"debug", LogInfo, "warn", "error"}

// LogFormats are the formats of a daemon's log.
var LogFormats = []string{LogText, LogJSON}

// The level and the format that a log begins with, and the format with a JSON object in each line.
const (
	LogInfo = "info"
	LogText = "text"
	LogJSON = "json"
)

// Check says whether there are such a level and such a format.
func (l Log) Check() error {
	if l.Level != "" && !slices.Contains(LogLevels, l.Level) {
		return fmt.Errorf("log level %q: want %s", l.Level, spell.Either(LogLevels))
	}
	if l.Format != "" && !slices.Contains(LogFormats, l.Format) {
		return fmt.Errorf("log format %q: want %s", l.Format, spell.Either(LogFormats))
	}
	return nil
}

// Handover is what a daemon tells the one that comes after it.
type Handover struct {
	Version     string        `json:"version"`
	File        string        `json:"file"` // of the topology, without edits
	Source      []byte        `json:"source"`
	Workers     int           `json:"workers"`
	MaxSessions int           `json:"max_sessions"`
	FlowCache   string        `json:"flow_cache,omitempty"`
	Transition  time.Duration `json:"transition_ns"`
	Host        string        `json:"host,omitempty"` // of a topology over several
	TLS         string        `json:"tls,omitempty"`  // the directory of its certificate
	Etcd        []string      `json:"etcd,omitempty"` // the members by which hosts agree
	Log         Log           `json:"log"`
}
