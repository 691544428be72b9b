package awsapi

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
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

// call is one request on its way.
type call struct {
	*Server
	ctx     context.Context
	id      string // of the request
	action  string
	service *wire.Service // nil until it is known

	account *topology.Account // whose key signed it; nil until that is known
	key     Key
	plan    *topology.Plan // when the call began
	values  wire.Values
	dry     bool
	ignored []string
	notes   []string // what the caller should know and the API cannot say
}

// errDryRun ends a call that would have been done.
var errDryRun = &wire.Error{Code: "DryRunOperation", Status: 412,
	Message: "Request would have succeeded, but DryRun flag is set."}

// find is the row of the operation that is asked for, and refuses what there is not.
func (c *call) find(form url.Values) (*row, *wire.Error) {
	if c.service == nil {
		return nil, wire.Errorf("NoSuchVersion",
			"The API has no version %q: EC2 has 2016-11-15, Elastic Load Balancing"+
				" 2015-12-01 and STS 2011-06-15", form.Get("Version"))
	}
	if row := rows()[c.service.Name+" "+c.action]; row != nil {
		return row, nil
	}
	if c.service.Operations[c.action] != nil || slices.Contains(c.service.Others, c.action) {
		return nil, wire.Errorf("UnsupportedOperation", "plinksim does not do %s: see \"plinksim api operations\"",
			c.action)
	}
	return nil, wire.Errorf("InvalidAction", "The action %s is not valid for this web service.", c.action)
}

// run does what a row says, once for each client token.
func (c *call) run(row *row, form url.Values) ([]byte, *wire.Error) {
	var refused *wire.Error
	if c.values, refused = wire.Decode(row.op, form); refused != nil {
		return nil, refused
	}
	c.dry, _ = c.values["DryRun"].(bool)
	clientToken, _ := c.values["ClientToken"].(string)
	rest := wire.Values{}
	for name, value := range c.values {
		if name != "DryRun" && name != "ClientToken" {
			rest[name] = value
		}
	}
	if clientToken == "" || c.dry {
		return c.do(row, rest)
	}
	sum := sha256.Sum256([]byte(clientToken))
	key := strings.Join([]string{c.account.Name, c.action, hex.EncodeToString(sum[:16])}, " ")
	defer c.locks.hold("token " + key)()
	hash := rest.Hash()
	if before, there := c.record.token(key, c.Now()); there {
		if before.Hash != hex.EncodeToString(hash[:]) {
			return nil, wire.Errorf("IdempotentParameterMismatch",
				"The client token %s was used before, with other parameters", clientToken)
		}
		return []byte(strings.ReplaceAll(before.Answer, before.ID, c.id)), nil
	}
	text, refused := c.do(row, rest)
	if refused == nil {
		kept := token{hex.EncodeToString(hash[:]), c.id, string(text), c.Now().Add(tokenLifetime)}
		if err := c.record.keepToken(key, kept, c.Now()); err != nil {
			c.note("the client token could not be saved: %v", err)
		}
	}
	return text, refused
}

func (c *call) do(row *row, values wire.Values) ([]byte, *wire.Error) {
	in := reflect.New(row.input)
	unused := wire.Bind(values, in.Interface())
	for _, path := range unused {
		i := slices.IndexFunc(row.Ignored, func(g Ignored) bool {
			return path == g.Parameter || strings.HasPrefix(path, g.Parameter+".")
		})
		if i < 0 {
			return nil, wire.Errorf("UnsupportedOperation",
				"plinksim does not do %s with the parameter %s: it would change something that a lab does not have",
				c.action, path)
		}
		c.ignored = append(c.ignored, path+": "+row.Ignored[i].Why)
	}
	answer, err := row.run(c, in.Interface())
	if err == nil && c.dry {
		err = errDryRun
	}
	if err != nil {
		return nil, c.errorOf(err)
	}
	text, err := wire.Encode(row.op, answer, c.id)
	if err != nil {
		return nil, internal(err)
	}
	return text, nil
}

func (c *call) note(format string, args ...any) {
	c.notes = append(c.notes, fmt.Sprintf(format, args...))
}

// errorOf is what a client hears of an error: the cloud's word for a refusal where
// there is one.
func (c *call) errorOf(err error) *wire.Error {
	var known *wire.Error
	if errors.As(err, &known) {
		return known
	}
	refused := refusedBy(err)
	if refused == nil {
		return internal(err)
	}
	code := refused.Word
	if code == "" {
		code = usualCodes[refused.Code]
		if c.service.Protocol != wire.EC2Query {
			code = balancerCodes[refused.Code]
		}
	}
	text := refused.Text
	if advice := refused.Advice(); advice != "" {
		text += " (" + advice + ")"
	}
	return wire.Errorf(code, "%s", text)
}

// usualCodes are EC2's for refusals for which no public source names a word, and
// balancerCodes those of Elastic Load Balancing.
var usualCodes = map[topology.Refusal]string{
	topology.NotFound: "InvalidParameterValue", topology.NotOwner: "UnauthorizedOperation",
	topology.NotWhitelisted: "InvalidServiceName", topology.WrongState: "IncorrectState",
	topology.InUse: "DependencyViolation", topology.Invalid: "InvalidParameterValue",
	topology.Quota: "ResourceCountExceeded", topology.Unsupported: "UnsupportedOperation",
}

var balancerCodes = map[topology.Refusal]string{
	topology.NotFound: "ValidationError", topology.NotOwner: "OperationNotPermitted",
	topology.NotWhitelisted: "OperationNotPermitted", topology.WrongState: "ResourceInUse",
	topology.InUse: "ResourceInUse", topology.Invalid: "ValidationError",
	topology.Quota: "TooManyLoadBalancers", topology.Unsupported: "OperationNotPermitted",
}

// edit makes edits of the lab's topology, all or none, and takes the new plan over.
func (c *call) edit(edits ...topology.Edit) error {
	if len(edits) == 0 {
		return nil
	}
	if c.dry {
		if _, err := c.Lab.LookAtEdits(edits); err != nil {
			return err
		}
		return errDryRun
	}
	_, err := c.Lab.Edit(c.ctx, edits, c.wait())
	return c.made(err)
}

// operate does an operation of the control plane as the caller.
func (c *call) operate(o topology.Operation) error {
	return c.operateWithin(o, c.wait())
}

// operateWithin is operate that waits so long until what it did is in force.
func (c *call) operateWithin(o topology.Operation, wait time.Duration) error {
	o.As = c.account.Name
	if c.dry {
		return errDryRun
	}
	_, err := c.Lab.Do(c.ctx, o, wait)
	return c.made(err)
}

func (c *call) wait() time.Duration {
	if c.Transition > 0 {
		return 0
	}
	return inForce
}

// made takes the new plan over. What was done and could not be saved is done.
func (c *call) made(err error) error {
	var notSaved *lab.NotSavedError
	if errors.As(err, &notSaved) && refusedBy(err) == nil {
		c.note("%v", notSaved)
		err = nil
	}
	c.plan = c.Server.plan()
	return err
}

// newID is an identifier that no object has had.
func (c *call) newID(prefix string) string {
	return c.plan.NewID(prefix, fmt.Sprintf("api %s %d", c.account.Name, c.record.count()))
}

// change changes what is recorded of an object. A record that cannot be saved is
// noted: the object is there.
func (c *call) change(id string, change func(*thing)) {
	if err := c.record.change(id, change); err != nil {
		c.note("what was said of %s could not be saved: %v", id, err)
	}
}

// created notes the beginning of an object with its tags and more.
func (c *call) created(id string, tags map[string]string, notes map[string]string) {
	c.change(id, func(t *thing) {
		t.Created = c.Now()
		for key, value := range tags {
			t.Tags[key] = value
		}
		for key, value := range notes {
			t.Notes[key] = value
		}
	})
}

// forget drops what is recorded of objects that are gone.
func (c *call) forget(ids ...string) {
	if err := c.record.forget(ids...); err != nil {
		c.note("that %s is gone could not be saved: %v", strings.Join(ids, ", "), err)
	}
}

// Call is a line of the log of calls.
type Call = api.CloudCall

func (c *call) entry(began time.Time, took time.Duration, refused *wire.Error) Call {
	out := Call{ID: c.id, Time: began, Action: c.action, Ignored: c.ignored, Notes: c.notes,
		Millis: float64(took.Microseconds()) / 1000}
	if c.account != nil {
		out.Account = c.account.Name
	}
	if c.service != nil {
		out.Service = c.service.Name
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
	last []Call
}

func (l *callLog) add(c Call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.last) >= mostCalls {
		l.last = append([]Call(nil), l.last[mostCalls/2:]...)
	}
	l.last = append(l.last, c)
}

// Calls are the last calls, the newest at the end.
func (s *Server) Calls() []Call {
	s.calls.mu.Lock()
	defer s.calls.mu.Unlock()
	return slices.Clone(s.calls.last)
}

// conflictOf is an error with another code where the lab refused it for a reason.
func conflictOf(err error, codes map[topology.Refusal]string, format string, args ...any) error {
	refused := refusedBy(err)
	if refused == nil || codes[refused.Code] == "" {
		return err
	}
	return wire.Errorf(codes[refused.Code], "%s: %s", fmt.Sprintf(format, args...), refused.Text)
}

// isRefused says whether an error is a refusal of a kind.
func isRefused(err error, code topology.Refusal) bool {
	refused := refusedBy(err)
	return refused != nil && refused.Code == code
}
