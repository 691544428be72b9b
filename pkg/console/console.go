// Package console shows a running lab in a browser, and lets people do there by hand what
// the clouds' documents do in a console.
//
// It is a client of the lab's daemon as every command is, and has no power of its own: it
// asks through Lab, which *api.Client is, and what can be done are the Actions that it is
// given, which are those of the command line. A Console is an http.Handler. What it
// keeps, the newest events and the figures of the last hour, is bounded.
//
// Who may use it is said in guard.go, and how pages stay true in live.go.
package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Lab is what a console asks of a lab. Its methods are those of *api.Client.
type Lab interface {
	Status(ctx context.Context) (status.Lab, error)
	Outline(ctx context.Context) (status.Lab, error) // cheap: without counts of spaces
	Events(ctx context.Context, since uint64, follow bool, each func(control.Event) error) error
	Do(ctx context.Context, call api.Call) (control.Event, error)
	Edit(ctx context.Context, call api.EditCall) ([]topology.Change, error)
	Sessions(ctx context.Context) ([]status.Session, error)
	Explain(ctx context.Context, from, to string) (status.Explanation, error)
	Query(ctx context.Context, from, name, qtype string) (status.NameAnswer, error)
	Check(ctx context.Context, call api.CheckCall, each func(status.Check) error) error
	Faults(ctx context.Context) (status.Faults, error)
	Restart(ctx context.Context, instance string) (services []string, err error)
	SetFault(ctx context.Context, change status.FaultChange) (status.Faults, error)
	ClearFaults(ctx context.Context, endpoint string) (status.Faults, error)
	TakeDown(ctx context.Context, f api.Failure) (status.Faults, error)
	BringUp(ctx context.Context, f api.Failure) (status.Faults, error)
	Capture(ctx context.Context, opts status.CaptureOptions, started func(io.Reader) error) error
}

// Config is what a console is made of.
type Config struct {
	Name string // of the lab
	Lab  Lab
	// Plan is what the lab runs now. It may be called often and from any goroutine, and
	// gives the same plan as long as nothing has changed.
	Plan func(ctx context.Context) (*topology.Plan, error)
	// Kinds are the kinds of objects, and Actions what can be done to them.
	Kinds   []Kind
	Actions []Action
	By      string       // who does what is done here, for the lab's events
	Log     *slog.Logger // gets what fails outside of any request; may be nil
}

// Console answers browsers. Run must run beside it.
type Console struct {
	cfg    Config
	guard  *guard
	live   *live
	steps  *steps
	checks checks
	work   sync.WaitGroup // what goes on without a page
	ended  chan struct{}
	pages  map[string]*page
	mux    *http.ServeMux
}

// New makes a console. Nothing is asked of the lab before Run.
func New(cfg Config) *Console {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	c := &Console{cfg: cfg, guard: newGuard(), live: newLive(cfg), steps: &steps{}, pages: parsePages(),
		ended: make(chan struct{})}
	c.routes()
	return c
}

// Ticket is a path, with a query, that opens the console once in one browser.
func (c *Console) Ticket() string { return openPath + "?token=" + c.guard.ticket() }

// Run follows the lab until ctx ends. It is called once.
func (c *Console) Run(ctx context.Context) {
	c.live.run(ctx)
	close(c.ended)
	c.work.Wait()
}

// Serve answers on a listener until ctx ends, and closes it.
func (c *Console) Serve(ctx context.Context, ln net.Listener) error {
	server := &http.Server{
		Handler: c, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    slog.NewLogLogger(c.cfg.Log.Handler(), slog.LevelDebug),
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		server.Close() // what a page still waits for is of no use without the console
	})
	err := server.Serve(ln)
	if !stop() {
		<-stopped
		return nil
	}
	return err
}

// Listen listens at a loopback address: HOST:PORT or :PORT. Another address is refused:
// whoever opens the console may do to the lab what its owner may.
func Listen(address string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("console address %q: want HOST:PORT, for example 127.0.0.1:8080", address)
	}
	if host == "" || host == "localhost" {
		host = "127.0.0.1"
	}
	if ip, err := netip.ParseAddr(host); err != nil || !ip.IsLoopback() {
		return nil, &addressError{address}
	}
	ln, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, fmt.Errorf("console address %q: %w", address, err)
	}
	return ln, nil
}

type addressError struct{ address string }

func (e *addressError) Error() string {
	return fmt.Sprintf("console address %q: want a loopback address, for example 127.0.0.1:8080", e.address)
}

// Hint says how to use the console from elsewhere.
func (e *addressError) Hint() string {
	return "from another machine: ssh -L 8080:127.0.0.1:8080, and open the address here"
}

// ServeHTTP answers whoever the guard lets in.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.guard.handler(c.mux).ServeHTTP(w, r)
}

func (c *Console) routes() {
	c.mux = http.NewServeMux()
	c.mux.HandleFunc("GET "+openPath, c.open)
	c.mux.HandleFunc("GET /style.css", serveAsset("text/css; charset=utf-8", styleSheet()))
	c.mux.HandleFunc("GET /console.js", serveAsset("text/javascript; charset=utf-8", script))
	c.mux.HandleFunc("GET /stream", c.stream)
	for pattern, answer := range map[string]func(*request) error{
		"GET /{$}":               c.overview,
		"GET /objects":           c.objects,
		"GET /o/{path...}":       c.object,
		"GET /events":            c.events,
		"GET /explain":           c.explain,
		"GET /try":               c.tryPage,
		"POST /try":              c.try,
		"GET /names":             c.names,
		"GET /sessions":          c.sessions,
		"GET /capture":           c.capture,
		"GET /capture.pcapng":    c.captureFile,
		"GET /checks":            c.checksPage,
		"POST /checks":           c.runChecks,
		"GET /faults":            c.faults,
		"GET /figures":           c.figuresPage,
		"GET /steps":             c.stepsPage,
		"GET /do/{action...}":    c.form,
		"POST /do/{action...}":   c.do,
		"GET /change/{path...}":  c.changeForm,
		"POST /change/{path...}": c.change,
		"POST /ticket":           c.another,
		"/":                      c.nothing,
	} {
		c.mux.HandleFunc(pattern, c.answering(answer))
	}
}

// answering turns an error of a handler into a page.
func (c *Console) answering(answer func(*request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
		q := &request{c: c, w: w, Request: r}
		err := answer(q)
		if err == nil || r.Context().Err() != nil {
			return
		}
		code := http.StatusBadGateway // the lab does not answer
		var refused *httpError
		var known *api.Error
		switch {
		case errors.As(err, &refused):
			code = refused.code
		case errors.As(err, &known):
			code = http.StatusUnprocessableEntity
		}
		q.render(code, "problem", "Not done", refusalOf(err))
	}
}

// httpError is a request that cannot be answered.
type httpError struct {
	code int
	text string
}

func (e *httpError) Error() string { return e.text }

func notFound(format string, args ...any) error {
	return &httpError{http.StatusNotFound, fmt.Sprintf(format, args...)}
}

func badRequest(format string, args ...any) error {
	return &httpError{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

func (c *Console) nothing(q *request) error {
	if q.Method != http.MethodGet && q.Method != http.MethodHead {
		q.w.Header().Set("Allow", "GET, HEAD")
		return &httpError{http.StatusMethodNotAllowed, "this page can only be read"}
	}
	return notFound("there is no page %q", q.URL.Path)
}
