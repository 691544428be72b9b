// Package cloudapi is what the APIs of clouds in front of a lab have in common: the limits of
// requests, access keys, client tokens, the log of calls, what clients said of objects and no
// topology file has, and the table of operations with the parameters that each uses or
// ignores. Package awsapi and others speak the language of one cloud each over it.
package cloudapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
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

// Limits of requests. The clouds limit calls per account and second (Amazon EC2 API Reference,
// "Request throttling"); a lab limits how many run at a time.
const (
	longestBody  = 1 << 20
	mostAtOnce   = 64
	longestQueue = 10 * time.Second
	// inForce is how long a call waits until what it did is in force.
	inForce = 10 * time.Second
)

// Config is what a Server is made of.
type Config struct {
	Lab *lab.Lab
	// Changer changes the lab; nil: Lab does. Of a lab over several hosts it is on that which leads.
	Changer Changer
	Store   lab.Store // keeps keys and the record
	Log     *slog.Logger
	// Transition is that of the lab: where it is not 0, calls do not wait until
	// what they did is in force, so that clients see the states on the way.
	Transition time.Duration
	Now        func() time.Time
}

// Changer changes a lab, as *lab.Lab does.
type Changer interface {
	Do(ctx context.Context, o topology.Operation, wait time.Duration) (control.Event, error)
	EditBy(ctx context.Context, editor lab.Editor, edits []topology.Edit, wait time.Duration) ([]topology.Change, error)
}

// changer is who changes the lab.
func (c *Config) changer() Changer {
	if c.Changer != nil {
		return c.Changer
	}
	return c.Lab
}

// Server is the part of an API's server that is the same for all clouds. Its methods may
// be called from any goroutine.
type Server struct {
	Config
	Ring   *KeyRing
	Record *Record
	Locks  Locks
	Began  time.Time

	calls  callLog
	shelf  shelf
	turns  chan struct{} // one for each call that runs
	number atomic.Uint64 // of the last call
}

// NewServer reads keys and the record, and makes keys for every account of the lab.
func NewServer(cfg Config, form KeyForm) (*Server, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{Config: cfg, turns: make(chan struct{}, mostAtOnce), Began: cfg.Now()}
	var err error
	if s.Ring, err = readKeys(cfg.Store, form); err == nil {
		s.Record, err = readRecord(cfg.Store)
	}
	if err == nil {
		err = s.Ring.AddAccounts(s.CurrentPlan().Accounts)
	}
	return s, err
}

// CurrentPlan is the lab's with what operations changed.
func (s *Server) CurrentPlan() *topology.Plan { return s.Lab.Plane().Plan() }

// Serve lets a handler answer on ln, which should listen on a loopback address or in the lab,
// until ctx ends, and closes it. The handler finds the connection of a request by ConnectionOf.
func (s *Server) Serve(ctx context.Context, ln net.Listener, handler http.Handler) error {
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 1 << 16,
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, connectionKey{}, conn)
		},
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

type connectionKey struct{}

// ConnectionOf is the connection that a request came by, nil where Serve does not answer it.
func ConnectionOf(r *http.Request) net.Conn {
	conn, _ := r.Context().Value(connectionKey{}).(net.Conn)
	return conn
}

// NextID is the id of a request: its number in the form of a UUID.
func (s *Server) NextID() string {
	n := s.number.Add(1)
	return fmt.Sprintf("%s-0000-4000-8000-%012d", derive.Text(s.Lab.Plan().Name, 8, "0123456789abcdef"), n)
}

// TooMany is the code of what Admit refuses because too many calls run.
const TooMany = "RequestLimitExceeded"

// Admit is Receive for a request that must be meant for this machine.
func (s *Server) Admit(w http.ResponseWriter, r *http.Request) (body []byte, done func(), _ *wire.Error) {
	if err := CheckHost(r); err != nil {
		return nil, nil, err
	}
	return s.Receive(w, r)
}

// Receive waits for the turn of a request and reads its body. The request has its turn until
// done is called, which is not nil where nothing is refused.
func (s *Server) Receive(w http.ResponseWriter, r *http.Request) (body []byte, done func(), _ *wire.Error) {
	done, err := s.turn(r.Context())
	if err != nil {
		return nil, nil, err
	}
	body, readErr := io.ReadAll(http.MaxBytesReader(w, r.Body, longestBody))
	if readErr == nil {
		return body, done, nil
	}
	done()
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(readErr, &tooLarge) {
		return nil, nil, &wire.Error{Code: "RequestEntityTooLarge", Status: http.StatusRequestEntityTooLarge,
			Message: fmt.Sprintf("The request is longer than %d bytes", tooLarge.Limit)}
	}
	return nil, nil, wire.Errorf("IncompleteBody", "The body could not be read: %v", readErr)
}

// HostOf is the host that a request was meant for, without a port, in small letters.
func HostOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	return strings.ToLower(strings.Trim(host, "[]"))
}

// CheckHost lets in those requests that were meant for this machine: a name that a web
// page has chosen to lead here (DNS rebinding) is refused.
func CheckHost(r *http.Request) *wire.Error {
	host := HostOf(r)
	if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() || host == "localhost" ||
		strings.HasSuffix(host, ".localhost") {
		return nil
	}
	return WrongHost(r, "the lab's API answers at loopback addresses alone")
}

// WrongHost refuses a request that was meant for another host.
func WrongHost(r *http.Request, why string) *wire.Error {
	return &wire.Error{Code: "InvalidHostHeader", Status: http.StatusForbidden,
		Message: fmt.Sprintf("The request is for host %q, and %s", r.Host, why)}
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
	return nil, &wire.Error{Code: TooMany, Status: http.StatusServiceUnavailable, Message: "Request limit exceeded."}
}

// Internal is for what a client cannot help, and may try again.
func Internal(err error) *wire.Error {
	return &wire.Error{Code: "InternalError", Status: http.StatusInternalServerError, Message: err.Error()}
}

// Locks are held by name while something is read, changed and written back.
type Locks struct {
	mu   sync.Mutex
	held map[string]*lock
}

type lock struct {
	sync.Mutex
	users int
}

// Hold waits for the lock of a name and returns what releases it.
func (l *Locks) Hold(name string) (release func()) {
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

// RefusedBy is the control plane's refusal in an error, nil where it is another one.
func RefusedBy(err error) *control.Error {
	var refused *control.Error
	if errors.As(err, &refused) {
		return refused
	}
	return nil
}

// IsRefused says whether an error is a refusal of a kind.
func IsRefused(err error, code topology.Refusal) bool {
	refused := RefusedBy(err)
	return refused != nil && refused.Code == code
}
