// Package alb balances at layer 7: a Listener accepts HTTP requests on a
// net.Listener that it is given, decides by its rules where each goes, and
// sends it on to a server of a group through a dialer that it is given.
//
//	l := alb.New(node.DialContext, log)
//	l.Configure(alb.Config{Listener: listener, Profile: plan.Profile.HTTP, Groups: groups})
//	err := l.Serve(ctx, ln)
//
// A configuration is a whole value that is swapped in between two requests. The
// work of HTTP itself, HTTP/2 and TLS included, is net/http's, and that of a
// proxy (hop-by-hop headers, upgrades, trailers, streaming) is
// httputil.ReverseProxy's; what is here is what a cloud's load balancer does
// beyond: rules, choice of a server, persistence, headers, limits, and which
// failure is answered with which status.
package alb

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/plinksim/plinksim/pkg/topology"
)

// Dial opens a connection to a server. It must obey ctx.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Config is what one listener does.
type Config struct {
	topology.Listener        // its HTTP must be set
	LoadBalancer      string // the identifier, for SLB-ID
	Profile           topology.HTTPProfile
	Groups            []Group // all that the listener and its rules name
	// Certificates of an https listener; the first is for clients that ask for
	// no name, or for one that none of them has.
	Certificates []tls.Certificate
}

// Group is a server group with the functions that know its servers. The functions may
// be called from any goroutine.
type Group struct {
	topology.ServerGroup
	// Pick chooses the server of the next request, and Ended hears once of each
	// that was chosen that the request has ended.
	Pick  func(client, listener netip.AddrPort) (netip.AddrPort, bool)
	Ended func(server netip.AddrPort)
	// Usable lists the servers that may get a request now. One with weight 0 is
	// among them: it takes no new clients, and keeps those that it has.
	Usable func() []netip.AddrPort
}

// Listener is one listener of one node. Its methods may be called from any
// goroutine.
type Listener struct {
	dial  Dial
	log   *slog.Logger
	proxy *httputil.ReverseProxy
	state atomic.Pointer[state]
	stats counters

	// Every request's context comes from base. Its end is the end of upgraded
	// connections too, which http.Server has forgotten.
	base context.Context
	end  context.CancelFunc

	mu     sync.Mutex
	server *http.Server // nil before Serve
	closed bool
}

// state is a configuration made ready for use. It is never changed.
type state struct {
	Config
	groups    map[string]*Group
	rules     []action // of the rules, in their order
	otherwise action
	transport *http.Transport
	tls       *tls.Config // nil for http
}

// New makes a listener that dials servers with dial. It serves nothing before
// it is configured. A nil log is silent.
func New(dial Dial, log *slog.Logger) *Listener {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	l := &Listener{dial: dial, log: log}
	l.base, l.end = context.WithCancel(context.Background())
	l.proxy = l.newProxy()
	return l
}

// Configure puts a configuration in force for the requests that come from now
// on; those that are on their way go on with the old one. Protocol, port and the
// two timeouts are those that Serve started with, as long as it runs.
func (l *Listener) Configure(cfg Config) {
	s := &state{Config: cfg, groups: map[string]*Group{}}
	for i := range cfg.Groups {
		s.groups[cfg.Groups[i].Name] = &cfg.Groups[i]
	}
	s.decide()
	s.transport = l.newTransport(cfg)
	if cfg.Protocol == topology.HTTPS {
		s.tls = &tls.Config{Certificates: cfg.Certificates, NextProtos: []string{"h2", "http/1.1"}}
	}
	if old := l.state.Swap(s); old != nil {
		old.transport.CloseIdleConnections()
	}
}

// decide makes the actions of a configuration ready for use.
func (s *state) decide() {
	for i := range s.HTTP.Rules {
		s.rules = append(s.rules, actionOf(s.HTTP.Rules[i].Action))
	}
	s.otherwise = actionOf(s.Default())
}

// Serve answers what comes to ln until ctx ends, ln is closed, or Drain or Close
// is called, and returns nil then. It closes ln. It is called once, after
// Configure.
func (l *Listener) Serve(ctx context.Context, ln net.Listener) error {
	s := l.state.Load()
	server := &http.Server{
		Handler:           l,
		ReadHeaderTimeout: s.HTTP.RequestTimeout,
		IdleTimeout:       s.IdleTimeout,
		MaxHeaderBytes:    s.Profile.MaxHeaders,
		BaseContext:       func(net.Listener) context.Context { return l.base },
		ConnContext:       withConn,
		Protocols:         new(http.Protocols),
		// Otherwise net/http would answer "OPTIONS *" before anybody counts it.
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(l.log.Handler(), slog.LevelDebug),
	}
	if !l.start(server) {
		return ln.Close()
	}
	stop := context.AfterFunc(ctx, l.Close)
	defer stop()
	clients := &acceptor{Listener: ln, stats: &l.stats, silence: s.HTTP.RequestTimeout}
	server.Protocols.SetHTTP1(true)
	if s.tls != nil {
		// The server gets what TLS has decrypted, so that it can be followed. To
		// net/http HTTP/2 comes without TLS then.
		server.Protocols.SetUnencryptedHTTP2(true)
		clients.tls = &tls.Config{
			NextProtos:         s.tls.NextProtos,
			GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return l.state.Load().tls, nil },
		}
	}
	err := server.Serve(clients)
	if ctx.Err() != nil {
		l.Close() // Accept may have ended with ctx before AfterFunc began
	}
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (l *Listener) start(server *http.Server) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.server = server
	return !l.closed
}

// Drain accepts nothing any more and returns when all requests are answered and
// all upgraded connections are closed, or when ctx ends. Close is still to be
// called.
func (l *Listener) Drain(ctx context.Context) error {
	l.mu.Lock()
	server := l.server
	l.mu.Unlock()
	if server == nil {
		return nil
	}
	if err := server.Shutdown(ctx); err != nil {
		return err
	}
	for l.stats.open.Load() > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

// Close ends everything at once, requests on their way included.
func (l *Listener) Close() {
	l.mu.Lock()
	l.closed = true
	server := l.server
	l.mu.Unlock()
	l.end()
	if server != nil {
		server.Close()
	}
	if s := l.state.Load(); s != nil {
		s.transport.CloseIdleConnections()
	}
}

// acceptor counts connections and lets no write to a client last for ever.
type acceptor struct {
	net.Listener
	stats   *counters
	silence time.Duration
	tls     *tls.Config // nil for http
}

func (a *acceptor) Accept() (net.Conn, error) {
	conn, err := a.Listener.Accept()
	if err != nil {
		return nil, err
	}
	a.stats.accepted.Add(1)
	a.stats.open.Add(1)
	conn = &clientConn{limited: limited{conn, a.silence}, stats: a.stats}
	if a.tls != nil {
		conn = tls.Server(conn, a.tls) // shakes hands with the first read
	}
	return &framed{Conn: conn}, nil
}

type clientConn struct {
	limited
	stats  *counters
	closed atomic.Bool
}

func (c *clientConn) Close() error {
	if !c.closed.Swap(true) {
		c.stats.open.Add(-1)
	}
	return c.Conn.Close()
}

// limited is a connection whose peer must take what is written within a time.
type limited struct {
	net.Conn
	silence time.Duration
}

func (c limited) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.silence)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

// CloseWrite lets an upgraded connection end in one direction alone.
func (c limited) CloseWrite() error { return closeWrite(c.Conn) }

func closeWrite(conn any) error {
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}
