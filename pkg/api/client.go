package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/labdir"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Client speaks to the daemon of one lab. It may be used from any goroutine.
type Client struct {
	lab    string
	who    string // whose daemon it is, in messages
	dial   func(ctx context.Context, network, address string) (net.Conn, error)
	http   *http.Client
	header http.Header // that is in every request
	most   int64       // bytes of an answer that is read whole; 0: any

	answered func(http.Header)
}

// maxPeerAnswer is more than an answer of another host ever has.
const maxPeerAnswer = 256 << 20

// answerTimeout is how long a daemon may take to begin an answer, beside what
// the request itself wants to wait for.
const answerTimeout = 10 * time.Second

// NewClient makes a client of the lab in dir. Nothing is opened yet.
func NewClient(dir labdir.Dir) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", dir.Socket())
	}
	return newClient(dir.Name(), fmt.Sprintf("lab %q", dir.Name()), dial)
}

// PeerHeader names the lab that a request of another host is for: two labs of one machine
// could have been given the same address.
const PeerHeader = "Plinksim-Lab"

// peerDialTimeout is how long a connection to another host may take, with TLS.
const peerDialTimeout = 2 * time.Second

// PeerKeepAlive lets a connection between hosts break within half a minute where one of them is gone without
// a word, so that no program and no user of one waits for the other.
var PeerKeepAlive = net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3}

// NewPeerClient makes a client of the daemon of another host of a lab, which listens at that
// address. Secure says who both are. Nothing is opened yet.
func NewPeerClient(lab, host string, at netip.AddrPort, secure *tls.Config) *Client {
	dialer := tls.Dialer{NetDialer: &net.Dialer{Timeout: peerDialTimeout, KeepAliveConfig: PeerKeepAlive}, Config: secure}
	c := newClient(lab, fmt.Sprintf("host %q", host), func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, "tcp", at.String())
		if err != nil && ctx.Err() == nil && !errors.As(err, new(*net.OpError)) {
			// There is no connection before both know who the other is, as a daemon that is
			// stopped shows: its machine takes the connection.
			if errors.Is(err, context.DeadlineExceeded) {
				err = fmt.Errorf("no TLS handshake within %s", peerDialTimeout)
			}
			err = &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(at), Err: err}
		}
		return conn, err
	})
	c.header, c.most = http.Header{PeerHeader: {lab}}, maxPeerAnswer
	return c
}

func newClient(lab, who string, dial func(ctx context.Context, network, address string) (net.Conn, error)) *Client {
	// Compressing for a Unix socket would cost the daemon time, and a megabyte for each answer.
	transport := &http.Transport{DialContext: dial, DisableKeepAlives: true, DisableCompression: true}
	return &Client{lab: lab, who: who, dial: dial, http: &http.Client{Transport: transport}}
}

// Telling is the client with a function that gets the header of each answer before the answer is read.
func (c *Client) Telling(answered func(http.Header)) *Client {
	out := *c
	out.answered = answered
	return &out
}

// RevisionHeader says with the answer to a change which revision of the lab it made, of those
// that the hosts of a lab agree on.
const RevisionHeader = "Plinksim-Revision"

// SilentHeader names, once for each, a host that did not answer when hosts were asked for what they know, and
// after a colon why. What only it knows is missing in the answer.
const SilentHeader = "Plinksim-Silent"

// RoundTrip lets the daemon answer a request that somebody else made, for a reverse proxy.
func (c *Client) RoundTrip(r *http.Request) (*http.Response, error) {
	if len(c.header) > 0 {
		r = r.Clone(r.Context())
		maps.Copy(r.Header, c.header)
	}
	return c.http.Transport.RoundTrip(r)
}

// Repeat lets the daemon do what another one was asked for, of whose answer nobody reads more
// than a refusal.
func (c *Client) Repeat(ctx context.Context, method, path string, body []byte) error {
	resp, err := c.do(ctx, method, path, body)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// Lab is the name of the client's lab.
func (c *Client) Lab() string { return c.lab }

// Answers says whether a daemon listens. A lab that is just being built or
// taken down has none.
func (c *Client) Answers(ctx context.Context) bool {
	conn, err := c.dial(ctx, "", "")
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// Status is a copy of everything about the lab.
func (c *Client) Status(ctx context.Context) (status.Lab, error) {
	var s status.Lab
	return s, c.call(ctx, "GET", "/v1/status", nil, &s)
}

// Outline is Status without what is counted in the spaces of VPCs and instances, which
// takes a lab of 1,000 instances little of the time.
func (c *Client) Outline(ctx context.Context) (status.Lab, error) {
	var s status.Lab
	return s, c.call(ctx, "GET", "/v1/status?outline=true", nil, &s)
}

// StatusFor is what an account sees of services and endpoints; with "" it is
// Status.
func (c *Client) StatusFor(ctx context.Context, account string) (status.Lab, error) {
	var s status.Lab
	return s, c.call(ctx, "GET", "/v1/status?"+url.Values{"as": {account}}.Encode(), nil, &s)
}

// Sessions is a copy of the session table.
func (c *Client) Sessions(ctx context.Context) ([]status.Session, error) {
	var s []status.Session
	return s, c.call(ctx, "GET", "/v1/sessions", nil, &s)
}

// Explain says what becomes of the first packet from an instance to a place.
func (c *Client) Explain(ctx context.Context, from, to string) (status.Explanation, error) {
	var e status.Explanation
	return e, c.call(ctx, "GET", "/v1/explain?"+url.Values{"from": {from}, "to": {to}}.Encode(), nil, &e)
}

// Do carries out an operation and returns the event that tells of it. Where it was not answered, the error says
// what is known of it, as Unanswered does.
func (c *Client) Do(ctx context.Context, call Call) (control.Event, error) {
	var e control.Event
	return e, Unanswered(c.callWithin(ctx, answerTimeout+call.Wait(), "POST", "/v1/do", call, &e))
}

// Edit edits the lab's topology and returns what that changed. Where it was not answered, the error says what is
// known of it, as Unanswered does.
func (c *Client) Edit(ctx context.Context, call EditCall) ([]topology.Change, error) {
	var e Edited
	err := c.callWithin(ctx, answerTimeout+call.Wait(), "POST", "/v1/edit", call, &e)
	return e.Changes, Unanswered(err)
}

// Edits are the changes since the lab's file, and the warnings of the topology with them.
func (c *Client) Edits(ctx context.Context) (e Edited, err error) {
	err = c.call(ctx, "GET", "/v1/edit", nil, &e)
	return e, err
}

// Export is the lab as it is now, as a file.
func (c *Client) Export(ctx context.Context) (Exported, error) {
	var e Exported
	err := c.call(ctx, "GET", "/v1/export", nil, &e)
	return e, err
}

// Diff is what Apply would change.
func (c *Client) Diff(ctx context.Context, file string, text []byte) (changes []topology.Change, err error) {
	path := "/v1/topology?" + url.Values{"file": {file}, "dry_run": {"1"}}.Encode()
	err = readLines(ctx, c, "POST", path, text, func(p Progress) error {
		changes = p.Changes
		if p.Err != nil {
			return p.Err
		}
		return nil
	})
	return changes, err
}

// Events calls each for the kept events after since and, with follow, for
// every later one until ctx ends.
func (c *Client) Events(ctx context.Context, since uint64, follow bool, each func(control.Event) error) error {
	query := url.Values{"since": {strconv.FormatUint(since, 10)}}
	if follow {
		query.Set("follow", "1")
	}
	return readLines(ctx, c, "GET", "/v1/events?"+query.Encode(), nil, each)
}

// CheckCall says which checks are run; the zero value runs all of the lab's file.
type CheckCall struct {
	// File is the text of another file, whose checks are run on the lab as it is.
	File []byte
	// Only is a regular expression: those whose name it matches are run, and what
	// they depend on; all where it is "".
	Only     string
	FailFast bool // end at the first that failed
	AsItIs   bool // with File: what operations changed is not put back first
}

// Check runs checks and calls each for every result.
func (c *Client) Check(ctx context.Context, call CheckCall, each func(status.Check) error) error {
	query := url.Values{"only": {call.Only}, "fail_fast": {strconv.FormatBool(call.FailFast)},
		"as_it_is": {strconv.FormatBool(call.AsItIs)}}
	return readLines(ctx, c, "POST", "/v1/check?"+query.Encode(), call.File, func(line CheckLine) error {
		if line.Text != "" {
			return &line.Error
		}
		return each(line.Check)
	})
}

// CheckOne runs one check of an instance of a host, for another host: that with a number, from
// 0, of a file, or of the lab's where file is nil.
func (c *Client) CheckOne(ctx context.Context, file []byte, number int) (result status.Check, err error) {
	err = readLines(ctx, c, "POST", "/v1/check/one?number="+strconv.Itoa(number), file, func(line CheckLine) error {
		result = line.Check
		if line.Text != "" {
			return &line.Error
		}
		return nil
	})
	return result, err
}

// CheckLine is a result of a check or, as the last line, why there are no more.
type CheckLine struct {
	status.Check
	Error
}

// Apply makes the lab what a changed file says.
func (c *Client) Apply(ctx context.Context, file string, text []byte,
	progress func(done, total int, what string)) (changed bool, err error) {
	path := "/v1/topology?" + url.Values{"file": {file}}.Encode()
	ended := false
	err = readLines(ctx, c, "POST", path, text, func(p Progress) error {
		if !p.End {
			progress(p.Done, p.Total, p.What)
			return nil
		}
		ended, changed = true, p.Changed
		if p.Err != nil {
			return p.Err
		}
		return nil
	})
	if err == nil && !ended {
		err = fmt.Errorf("%s: its daemon ended before it had applied the change", c.who)
	}
	return changed, err
}

// Handover asks for what the next daemon of the lab must know.
func (c *Client) Handover(ctx context.Context) (h Handover, err error) {
	return h, c.call(ctx, "GET", "/v1/handover", nil, &h)
}

// Leave asks the daemon to leave the lab to another one, which waits for the lab's
// lock, and returns before it has.
func (c *Client) Leave(ctx context.Context) error {
	return c.call(ctx, "POST", "/v1/leave", nil, nil)
}

// SetTransition says how long states on the way last from now on; 0 is what the topology
// says.
func (c *Client) SetTransition(ctx context.Context, last time.Duration) error {
	return c.call(ctx, "POST", "/v1/transition", Transition{Seconds: last.Seconds()}, nil)
}

// SetTimeScale lets the lab's times pass so many times as fast as at the cloud from now
// on.
func (c *Client) SetTimeScale(ctx context.Context, scale topology.TimeScale) error {
	return c.call(ctx, "POST", "/v1/time-scale", TimeScale{scale}, nil)
}

// SetLog says how the daemon writes its log from now on, and returns how it does.
func (c *Client) SetLog(ctx context.Context, how Log) (now Log, err error) {
	return now, c.call(ctx, "POST", "/v1/log", how, &now)
}

// Restart ends the services of an instance and starts them again. It says which.
func (c *Client) Restart(ctx context.Context, instance string) (services []string, err error) {
	var restarted Restarted
	err = c.call(ctx, "POST", "/v1/restart", Restart{instance}, &restarted)
	return restarted.Services, err
}

// Down asks the daemon to take its lab down and returns before it has.
func (c *Client) Down(ctx context.Context) error {
	return c.call(ctx, "POST", "/v1/down", nil, nil)
}

func (c *Client) call(ctx context.Context, method, path string, request, reply any) error {
	return c.callWithin(ctx, answerTimeout, method, path, request, reply)
}

func (c *Client) callWithin(ctx context.Context, limit time.Duration, method, path string, request, reply any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errSilent(limit))
	defer cancel()
	var body []byte
	if request != nil {
		var err error
		if body, err = json.Marshal(request); err != nil {
			return err
		}
	}
	resp, err := c.do(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if reply == nil {
		return nil
	}
	from := io.Reader(resp.Body)
	if c.most > 0 {
		from = io.LimitReader(from, c.most)
	}
	if err := json.NewDecoder(from).Decode(reply); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return fmt.Errorf("%s: read its daemon's answer: %w", c.who, err)
	}
	return nil
}

// readLines reads an answer of one JSON value a line.
func readLines[T any](ctx context.Context, c *Client, method, path string, body []byte, each func(T) error) error {
	stream, stop, err := c.stream(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer stop()
	for dec := json.NewDecoder(stream); ; {
		var value T
		if err := dec.Decode(&value); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("%s: read its daemon's answer: %w", c.who, err)
		}
		if err := each(value); err != nil {
			return err
		}
	}
}

// stream opens an answer that goes on for any time, but must begin in time. The
// caller stops it.
func (c *Client) stream(ctx context.Context, method, path string, body []byte) (io.Reader, func(), error) {
	ctx, cancel := context.WithCancelCause(ctx)
	late := time.AfterFunc(answerTimeout, func() { cancel(errSilent(answerTimeout)) })
	resp, err := c.do(ctx, method, path, body)
	late.Stop()
	if err != nil {
		cancel(nil)
		return nil, nil, err
	}
	return resp.Body, func() { resp.Body.Close(); cancel(nil) }, nil
}

func (c *Client) do(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	return c.doWith(ctx, method, path, body, nil)
}

// doWith is do with fields of the header.
func (c *Client) doWith(ctx context.Context, method, path string, body []byte, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://plinksim"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	maps.Copy(req.Header, c.header)
	maps.Copy(req.Header, header)
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s: its daemon does not answer: %w", c.who, whyNot(ctx, err))
	}
	if c.answered != nil {
		c.answered(resp.Header)
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	refused := &Error{}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxRefusal)).Decode(refused); err != nil || refused.Text == "" {
		return nil, fmt.Errorf("%s: its daemon answers %s", c.who, resp.Status)
	}
	return nil, refused
}

// Unanswered is the error of a change with what it says of the change: what was refused is as it was, without a
// connection nothing was changed, and else nobody knows here whether it was.
func Unanswered(err error) error {
	if err == nil || errors.As(err, new(*Error)) {
		return err
	}
	if dial := (*net.OpError)(nil); errors.As(err, &dial) && dial.Op == "dial" {
		return fmt.Errorf("%w; nothing was changed", err)
	}
	return &unansweredError{err}
}

// unansweredError is a change of which nobody knows here whether it was made.
type unansweredError struct{ error }

func (e *unansweredError) Error() string {
	return e.error.Error() + "; it is not known whether the change was made"
}

func (e *unansweredError) Unwrap() error { return e.error }

// Hint says what to do about it.
func (e *unansweredError) Hint() string {
	return "look with \"plinksim status\" and \"plinksim events\" before you try again"
}

// maxRefusal is more than a refusal ever has.
const maxRefusal = 1 << 20

func errSilent(limit time.Duration) error { return fmt.Errorf("nothing came for %s", limit) }

// whyNot leaves out of an error what only a programmer wants to know: method,
// URL and that a context has ended.
func whyNot(ctx context.Context, err error) error {
	var of *url.Error
	if errors.As(err, &of) {
		err = of.Err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
