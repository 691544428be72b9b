package cloudapi

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/topology"
	"github.com/plinksim/plinksim/pkg/wire"
)

// Call is one request on its way. One goroutine has it.
type Call struct {
	*Server
	Ctx     context.Context
	ID      string // of the request
	From    string // the instance that asks, as VPC/NAME; "" where none does
	Action  string
	Service *wire.Service // nil until it is known

	Account *topology.Account // whose key signed it; nil until that is known
	Key     Key
	Plan    *topology.Plan // when the call began, or after the last thing that it did
	Values  wire.Values
	Dry     bool
	Ignored []string
	Notes   []string // what the caller should know and the API cannot say
}

// ErrDryRun ends a call that would have been done.
var ErrDryRun = errors.New("the call would have been done, but for the dry run")

// NewCall is the next call, which begins now.
func (s *Server) NewCall(ctx context.Context) *Call {
	return &Call{Server: s, Ctx: ctx, ID: s.NextID()}
}

// Respond writes an answer or a refusal, and a line of the log.
func (c *Call) Respond(w http.ResponseWriter, text []byte, refused *wire.Error, began time.Time) {
	status := http.StatusOK
	if refused != nil {
		status = refused.HTTPStatus()
	}
	w.WriteHeader(status)
	_, _ = w.Write(text) // a client that went away hears nothing
	logged := c.entry(began, c.Now().Sub(began), refused)
	c.calls.add(logged)
	c.Log.Debug("a client of the cloud was answered", "request_id", logged.ID, "account", logged.Account,
		"service", logged.Service, "action", logged.Action, "refused", logged.Refused, "millis", logged.Millis)
}

// ByToken does a call once for each client token, "" for none: who asks again with the same
// parameters gets the same answer with another id. What the call recorded is written down
// when it returns; where that failed it is noted, as what was done is done.
func (c *Call) ByToken(clientToken string, parameters wire.Values, do func() ([]byte, *wire.Error)) ([]byte,
	*wire.Error) {
	defer func() {
		if err := c.Record.save(); err != nil {
			c.Note("what this call said of objects could not be saved: %v", err)
		}
	}()
	if clientToken == "" || c.Dry {
		return do()
	}
	sum := sha256.Sum256([]byte(clientToken))
	key := strings.Join([]string{c.Account.Name, c.Action, hex.EncodeToString(sum[:16])}, " ")
	defer c.Locks.Hold("token " + key)()
	hash := parameters.Hash()
	if before, there := c.Record.token(key, c.Now()); there {
		if before.Hash != hex.EncodeToString(hash[:]) {
			return nil, wire.Errorf("IdempotentParameterMismatch",
				"The client token %s was used before, with other parameters", clientToken)
		}
		return []byte(strings.ReplaceAll(before.Answer, before.ID, c.ID)), nil
	}
	text, refused := do()
	if refused == nil {
		kept := token{hex.EncodeToString(hash[:]), c.ID, string(text), c.Now().Add(tokenLifetime)}
		c.Record.keepToken(key, kept, c.Now())
	}
	return text, refused
}

// Bind gives the operation's input its values. What it has no field for and the row
// ignores is noted; the first parameter that it neither uses nor ignores is unused.
func (c *Call) Bind(row *Row, values wire.Values) (in any, unused string) {
	into := reflect.New(row.Input)
	for _, path := range wire.Bind(values, into.Interface()) {
		i := slices.IndexFunc(row.Ignored, func(g Ignored) bool {
			return path == g.Parameter || strings.HasPrefix(path, g.Parameter+".")
		})
		if i < 0 {
			return nil, path
		}
		c.Ignored = append(c.Ignored, path+": "+row.Ignored[i].Why)
	}
	return into.Interface(), ""
}

// Note adds to what the log says of the call.
func (c *Call) Note(format string, args ...any) {
	c.Notes = append(c.Notes, fmt.Sprintf(format, args...))
}

// Edit makes edits of the lab's topology, all or none, and takes the new plan over.
func (c *Call) Edit(edits ...topology.Edit) error {
	if len(edits) == 0 {
		return nil
	}
	if c.Dry {
		if _, err := c.Lab.LookAtEdits(edits, nil); err != nil {
			return err
		}
		return ErrDryRun
	}
	editor := lab.Editor{By: fmt.Sprintf("account %q by %s", c.Account.Name, c.Action), Account: c.Account.Name,
		Request: c.ID}
	_, err := c.changer().EditBy(c.Ctx, editor, edits, c.wait())
	return c.made(err)
}

// Operate does an operation of the control plane as the caller.
func (c *Call) Operate(o topology.Operation) error {
	return c.OperateWithin(o, c.wait())
}

// OperateWithin is Operate that waits so long until what it did is in force.
func (c *Call) OperateWithin(o topology.Operation, wait time.Duration) error {
	o.As, o.Request = c.Account.Name, c.ID
	if c.Dry {
		return ErrDryRun
	}
	_, err := c.changer().Do(c.Ctx, o, wait)
	return c.made(err)
}

func (c *Call) wait() time.Duration {
	if c.Transition > 0 {
		return 0
	}
	return inForce
}

// made takes the new plan over. What was done and could not be saved is done.
func (c *Call) made(err error) error {
	var notSaved *lab.NotSavedError
	if errors.As(err, &notSaved) && RefusedBy(err) == nil {
		c.Note("%v", notSaved)
		err = nil
	}
	c.Plan = c.CurrentPlan()
	return err
}

// NewID is an identifier that no object has had.
func (c *Call) NewID(prefix string) string {
	return c.Plan.NewID(prefix, fmt.Sprintf("api %s %d", c.Account.Name, c.Record.Count()))
}

// Change changes what is recorded of an object.
func (c *Call) Change(id string, change func(*Thing)) { c.Record.Change(id, change) }

// Created notes the beginning of an object with its tags and more.
func (c *Call) Created(id string, tags map[string]string, notes map[string]string) {
	c.Change(id, func(t *Thing) {
		t.Created = c.Now()
		for key, value := range tags {
			t.Tags[key] = value
		}
		for key, value := range notes {
			t.Notes[key] = value
		}
	})
}

// CreatedAt is when an object was created; what the file had was there from the
// beginning.
func (c *Call) CreatedAt(id string) time.Time {
	if at := c.Record.Thing(id).Created; !at.IsZero() {
		return at
	}
	return c.Began
}

// OnTheWay says whether an object is so new that clients are to see it pending.
func (c *Call) OnTheWay(id string) bool {
	return c.Transition > 0 && c.Now().Before(c.Record.Thing(id).Created.Add(c.Transition))
}

// Forget drops what is recorded of objects that are gone.
func (c *Call) Forget(ids ...string) { c.Record.Forget(ids...) }

// Value is a value of a topology file.
type Value map[string]any

// Text is a value as an edit has it: JSON is YAML too.
func Text(v any) string {
	out, err := json.Marshal(v)
	if err != nil {
		panic("words, numbers and lists can be written: " + err.Error())
	}
	return string(out)
}

// Logged is a line of the log of calls.
type Logged = api.CloudCall

func (c *Call) entry(began time.Time, took time.Duration, refused *wire.Error) Logged {
	out := Logged{ID: c.ID, From: c.From, Time: began, Action: c.Action, Ignored: c.Ignored, Notes: c.Notes,
		Millis: float64(took.Microseconds()) / 1000}
	if c.Account != nil {
		out.Account = c.Account.Name
	}
	if c.Service != nil {
		out.Service = c.Service.Name
	}
	if refused != nil {
		out.Refused = refused.Error()
	}
	return out
}

// mostCalls is how many calls the log holds.
const mostCalls = 5000

// callLog has the last calls.
type callLog struct {
	mu   sync.Mutex
	last []Logged
}

func (l *callLog) add(c Logged) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.last) >= mostCalls {
		l.last = append([]Logged(nil), l.last[mostCalls/2:]...)
	}
	l.last = append(l.last, c)
}

// Calls are the last calls, the newest at the end.
func (s *Server) Calls() []Logged {
	s.calls.mu.Lock()
	defer s.calls.mu.Unlock()
	return slices.Clone(s.calls.last)
}

// OwnVPCs are those of the caller's account.
func (c *Call) OwnVPCs() (out []*topology.VPC) {
	for i := range c.Plan.VPCs {
		if c.Plan.VPCs[i].Account == c.Account.Name {
			out = append(out, &c.Plan.VPCs[i])
		}
	}
	return out
}
