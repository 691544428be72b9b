// Package fullnat translates the packets of a lab: both ends of every flow.
package fullnat

import (
	"errors"
	"time"

	"github.com/plinksim/plinksim/pkg/packet"
)

// Options are what a Table keeps for life. The zero value is usable.
type Options struct {
	// MaxSessions limits the table; 0 means DefaultMaxSessions.
	MaxSessions int
	// Seed makes the hash key and the first NAT port of every pool
	// reproducible. 0 draws a random one.
	Seed uint64
	// Timers limit sessions that are not established; a zero field means the
	// value of DefaultTimers.
	Timers Timers
}

// DefaultMaxSessions is the size of a table whose Options name none.
const DefaultMaxSessions = 1 << 20

// Timers say how long a TCP session may be silent in a state that is not
// established; Link.Idle is the limit of established ones.
type Timers struct {
	Opening time.Duration // SYN seen, handshake not finished
	Closing time.Duration // FIN seen from one end or both
	Closed  time.Duration // both FINs acknowledged, or RST
}

// Table translates packets. It belongs to one goroutine.
type Table struct{}

// New makes an empty table.
func New(opts Options) (*Table, error) { return &Table{}, nil }

// Configure swaps the whole configuration in. An error changes nothing.
func (t *Table) Configure(cfg *Config, now time.Duration) error { return errors.New("not yet") }

// Forward judges frames and edits them in place; verdicts has the length of
// frames at least.
func (t *Table) Forward(frames []packet.Frame, verdicts []Verdict, now time.Duration) {}

// Expire does at most budget steps of removing what timed out, and says
// whether there is more to do.
func (t *Table) Expire(now time.Duration, budget int) (more bool) { return false }

// Stats is a copy of the counters.
func (t *Table) Stats() Stats { return Stats{} }

// Sessions appends a copy of every session to dst.
func (t *Table) Sessions(dst []Session, now time.Duration) []Session { return dst }

// Close gives the memory back. The table must not be used afterwards.
func (t *Table) Close() error { return nil }
