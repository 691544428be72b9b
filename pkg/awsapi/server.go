// Package awsapi answers the clients of AWS for a lab: EC2, Elastic Load Balancing and
// STS as far as a lab has what they speak of. Operations are rows of a table (see
// Operations), each with the parameters that it ignores and why; whatever a request
// has beside those is refused by name. What a call makes is an edit of the lab's
// topology or an operation of its control plane, so packets follow.
//
// What no topology file has, tags and times and the tokens of clients, is in a record
// of its own in the lab's directory.
package awsapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/plinksim/plinksim/internal/derive"
	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/topology"
	"github.com/plinksim/plinksim/pkg/wire"
)

// Limits of requests. AWS limits calls per account and second (Amazon EC2 API Reference,
// "Request throttling"); a lab limits how many run at a time.
const (
	longestBody  = 1 << 20
	mostAtOnce   = 64
	longestQueue = 10 * time.Second
	// window is how far the clock of a client may be off (AWS IAM user guide, "Elements
	// of an AWS API request signature").
	window = 5 * time.Minute
	// inForce is how long a call waits until what it did is in force.
	inForce = 10 * time.Second
)

// Config is what a Server is made of.
type Config struct {
	Lab   *lab.Lab
	Store lab.Store // keeps keys and the record
	Log   *slog.Logger
	// Transition is that of the lab: where it is not 0, calls do not wait until
	// what they did is in force, so that clients see the states on the way.
	Transition time.Duration
	Now        func() time.Time
}

// Server answers for one lab. It is an http.Handler.
type Server struct {
	Config
	keys   *keys
	record *record
	calls  *callLog
	turns  chan struct{} // one for each call that runs
	number atomic.Uint64 // of the last call
	began  time.Time
	gone   tombstones
	locks  locks
}

// New makes a server, with keys for every account of the lab.
func New(cfg Config) (*Server, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cloud := cfg.Lab.Plan().Cloud; !cloud.Profile().AWSAPI {
		return nil, fmt.Errorf("a lab of cloud %s has no API for clients of AWS", cloud)
	}
	s := &Server{Config: cfg, calls: &callLog{}, turns: make(chan struct{}, mostAtOnce), began: cfg.Now()}
	var err error
	if s.keys, err = readKeys(cfg.Store); err == nil {
		s.record, err = readRecord(cfg.Store)
	}
	if err == nil {
		err = s.keys.addAccounts(s.plan().Accounts)
	}
	return s, err
}

// plan is the lab's with what operations changed.
func (s *Server) plan() *topology.Plan { return s.Lab.Plane().Plan() }

// Serve answers on ln, which should listen on a loopback address, until ctx ends, and
// closes it.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	server := &http.Server{
		Handler: s, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 1 << 16, BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
		ErrorLog: slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if server.Shutdown(grace) != nil {
			server.Close()
		}
	})
	err := server.Serve(ln)
	if !stop() {
		<-stopped
		return nil
	}
	return err
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{Server: s, ctx: r.Context(), id: s.nextID()}
	began := s.Now()
	text, refused := s.answer(c, w, r)
	status := http.StatusOK
	if refused != nil {
		status = refused.HTTPStatus()
		text = wire.EncodeError(c.service, refused, c.id)
	}
	w.Header().Set("Content-Type", "text/xml;charset=UTF-8")
	w.Header().Set("X-Amzn-Requestid", c.id)
	w.WriteHeader(status)
	_, _ = w.Write(text) // a client that went away hears nothing
	s.calls.add(c.entry(began, s.Now().Sub(began), refused))
}

// nextID is the id of a request: its number in the form of an AWS request id.
func (s *Server) nextID() string {
	n := s.number.Add(1)
	return fmt.Sprintf("%s-0000-4000-8000-%012d", derive.Text(s.Lab.Plan().Name, 8, "0123456789abcdef"), n)
}

// answer is the XML of an answer, or why there is none.
func (s *Server) answer(c *call, w http.ResponseWriter, r *http.Request) ([]byte, *wire.Error) {
	if err := checkHost(r); err != nil {
		return nil, err
	}
	done, err := s.turn(r.Context())
	if err != nil {
		return nil, err
	}
	defer done()
	body, readErr := io.ReadAll(http.MaxBytesReader(w, r.Body, longestBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(readErr, &tooLarge) {
		return nil, &wire.Error{Code: "RequestEntityTooLarge", Status: http.StatusRequestEntityTooLarge,
			Message: fmt.Sprintf("The request is longer than %d bytes", tooLarge.Limit)}
	}
	if readErr != nil {
		return nil, wire.Errorf("IncompleteBody", "The body could not be read: %v", readErr)
	}
	form, err := formOf(r, body)
	if err != nil {
		return nil, err
	}
	c.action, c.service = form.Get("Action"), serviceOf(form.Get("Version"))
	if err := s.authenticate(c, r, body); err != nil {
		return nil, err
	}
	row, err := c.find(form)
	if err != nil {
		return nil, err
	}
	return c.run(row, form)
}

// checkHost lets in those requests that were meant for this machine: a name that a web
// page has chosen to lead here (DNS rebinding) is refused.
func checkHost(r *http.Request) *wire.Error {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	host = strings.Trim(host, "[]")
	if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() || host == "localhost" ||
		strings.HasSuffix(host, ".localhost") {
		return nil
	}
	return &wire.Error{Code: "InvalidHostHeader", Status: http.StatusForbidden,
		Message: fmt.Sprintf("The request is for host %q, and the lab's API answers at loopback addresses alone",
			r.Host)}
}

// turn waits until fewer than mostAtOnce calls run.
func (s *Server) turn(ctx context.Context) (done func(), _ *wire.Error) {
	wait := time.NewTimer(longestQueue)
	defer wait.Stop()
	select {
	case s.turns <- struct{}{}:
		return func() { <-s.turns }, nil
	case <-wait.C:
	case <-ctx.Done():
	}
	return nil, &wire.Error{Code: "RequestLimitExceeded", Status: http.StatusServiceUnavailable,
		Message: "Request limit exceeded."}
}

func formOf(r *http.Request, body []byte) (url.Values, *wire.Error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if r.Method != http.MethodPost || r.URL.Path != "/" || err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, wire.Errorf("InvalidRequest",
			"Requests are POST / with a form, as the query protocols of EC2, Elastic Load Balancing and STS have it")
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, wire.Errorf("MalformedQueryString", "The form cannot be read: %v", err)
	}
	return form, nil
}

func serviceOf(version string) *wire.Service {
	services := wire.AWS()
	i := slices.IndexFunc(services, func(s *wire.Service) bool { return s.Version == version })
	if i < 0 {
		return nil
	}
	return services[i]
}

// signatureCodes are the codes of EC2 and of the others for what is wrong with a
// signature (Amazon EC2 API Reference, "Error codes"; AWS Security Token Service API
// Reference, "Common errors").
var signatureCodes = map[wire.Fault][2]string{
	wire.Unsigned:      {"MissingAuthenticationToken", "MissingAuthenticationToken"},
	wire.UnknownKey:    {"AuthFailure", "InvalidClientTokenId"},
	wire.BadToken:      {"AuthFailure", "InvalidClientTokenId"},
	wire.BadSignature:  {"SignatureDoesNotMatch", "SignatureDoesNotMatch"},
	wire.OutsideWindow: {"RequestExpired", "RequestExpired"},
	wire.OtherScope:    {"AuthFailure", "SignatureDoesNotMatch"},
}

func (s *Server) authenticate(c *call, r *http.Request, body []byte) *wire.Error {
	plan := s.plan()
	// An account may have come with a changed file.
	if err := s.keys.addAccounts(plan.Accounts); err != nil {
		return internal(err)
	}
	v := wire.Verifier{Secret: func(id string) (wire.Secret, bool) { return s.keys.secret(id, s.Now()) },
		Region: plan.Region, Window: window}
	signed, refused := v.Verify(r, body, s.Now())
	if refused == nil && c.service != nil && signed.Service != c.service.Name {
		refused = &wire.SignatureError{Fault: wire.OtherScope, Message: fmt.Sprintf(
			"The request is signed for service %q and is one of %q", signed.Service, c.service.Name)}
	}
	if refused != nil {
		codes := signatureCodes[refused.Fault]
		code := codes[0]
		if c.service != nil && c.service.Protocol != wire.EC2Query {
			code = codes[1]
		}
		status := http.StatusForbidden
		if refused.Fault == wire.UnknownKey && code == "AuthFailure" {
			status = http.StatusUnauthorized
		}
		return &wire.Error{Code: code, Status: status, Message: refused.Message}
	}
	key := s.keys.key(signed.AccessKey)
	account, err := plan.Account(key.Account)
	if err != nil {
		return &wire.Error{Code: signatureCodes[wire.UnknownKey][0], Status: http.StatusUnauthorized,
			Message: fmt.Sprintf("The account %q of the access key is not in this lab any more", key.Account)}
	}
	c.account, c.key, c.plan = account, key, plan
	return nil
}

// internal is for what a client cannot help, and may try again.
func internal(err error) *wire.Error {
	return &wire.Error{Code: "InternalError", Status: http.StatusInternalServerError, Message: err.Error()}
}

// locks are held by name while something is read, changed and written back.
type locks struct {
	mu   sync.Mutex
	held map[string]*lock
}

type lock struct {
	sync.Mutex
	users int
}

// hold waits for the lock of a name and returns what releases it.
func (l *locks) hold(name string) (release func()) {
	l.mu.Lock()
	if l.held == nil {
		l.held = map[string]*lock{}
	}
	if l.held[name] == nil {
		l.held[name] = &lock{}
	}
	one := l.held[name]
	one.users++
	l.mu.Unlock()
	one.Lock()
	return func() {
		one.Unlock()
		l.mu.Lock()
		defer l.mu.Unlock()
		if one.users--; one.users == 0 {
			delete(l.held, name)
		}
	}
}

// refusedBy is the control plane's refusal in an error, nil where it is another one.
func refusedBy(err error) *control.Error {
	var refused *control.Error
	if errors.As(err, &refused) {
		return refused
	}
	return nil
}
