package plinktest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/plinksim/plinksim/internal/spell"
)

// Server is a server of the test's own on an instance. It notes who came, without the
// probes of health checks. It ends with the test. Its methods may be called from any
// goroutine.
type Server struct {
	on      *Instance
	port    uint16
	probers []netip.Addr // where health checks come from
	proxied bool
	serve   func(net.Listener) (stop func())

	mu     sync.Mutex
	stop   func() // nil while it is stopped
	visits []Visit
}

// Visit is a connection to a Server, or a request of HTTP.
type Visit struct {
	// From is where the connection comes from, as the server's own host says.
	From netip.AddrPort
	// Proxy is what the connection's PROXY header says; nil where the server reads
	// none, or there was none.
	Proxy *ProxyHeader
	// Request is of HTTP. Its body has been read by the handler.
	Request *http.Request
}

// ForwardedFor are the addresses in X-Forwarded-For, the client's first.
func (v Visit) ForwardedFor() (addrs []string) {
	if v.Request == nil {
		return nil
	}
	for _, header := range v.Request.Header.Values("X-Forwarded-For") {
		for addr := range strings.SplitSeq(header, ",") {
			addrs = append(addrs, strings.TrimSpace(addr))
		}
	}
	return addrs
}

func (v Visit) String() string {
	text := "from " + v.From.String()
	if v.Proxy != nil {
		text += ", for " + v.Proxy.Source.String()
	}
	if v.Request != nil {
		text += ", " + v.Request.Method + " " + v.Request.URL.String()
	}
	return text
}

// ProxyHeader is a PROXY protocol header (haproxy/haproxy:doc/proxy-protocol.txt).
type ProxyHeader struct {
	Version             int
	Source, Destination netip.AddrPort // the client, and what it connected to
	TLVs                map[byte][]byte
}

// The types of the TLVs in which clouds tell who came through an endpoint: AWS,
// "Edit target group attributes for your Network Load Balancer"; Alibaba Cloud,
// PrivateLink, "Obtain real client information".
const (
	tlvAWS, tlvAWSEndpoint         = 0xea, 0x01
	tlvAlibaba, tlvAlibabaEndpoint = 0xe1, 0x02
)

// Endpoint is the identifier of the endpoint that the connection came through, ""
// where the header does not say it.
func (h *ProxyHeader) Endpoint() string {
	if v := h.TLVs[tlvAWS]; len(v) > 1 && v[0] == tlvAWSEndpoint {
		return string(v[1:])
	}
	if v := h.TLVs[tlvAlibaba]; len(v) > 1 && v[0] == tlvAlibabaEndpoint {
		return string(v[1:])
	}
	return ""
}

// ServerOption changes how a Server serves.
type ServerOption func(*Server)

// ReadProxyHeader lets a server read a PROXY header, of version 1 or 2, before anything
// else on each connection: it waits for the client to begin. A connection without one
// is refused, as the specification wants it: a handler of ServeHTTP does not get its
// requests, and that of Serve gets an error from Read and Write.
func ReadProxyHeader() ServerOption { return func(s *Server) { s.proxied = true } }

// Echo sends back what it gets.
func Echo(conn net.Conn) { _, _ = io.Copy(conn, conn) }

// Serve lets handle serve each TCP connection to a port of the instance, in a
// goroutine of its own. The connection is closed when handle returns, or the server
// stops.
func (i *Instance) Serve(port uint16, handle func(net.Conn), options ...ServerOption) *Server {
	i.lab.t.Helper()
	s := &Server{on: i, port: port}
	s.serve = func(ln net.Listener) (stop func()) { return serveConns(ln, func(c net.Conn) { s.handle(c, handle) }) }
	return s.begin(options)
}

// ServeHTTP lets a handler serve requests of HTTP to a port of the instance.
func (i *Instance) ServeHTTP(port uint16, handler http.Handler, options ...ServerOption) *Server {
	i.lab.t.Helper()
	s := &Server{on: i, port: port}
	noting := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _ := r.Context().Value(connKey{}).(net.Conn)
		s.note(conn, r)
		handler.ServeHTTP(w, r)
	})
	s.serve = func(ln net.Listener) (stop func()) {
		if s.proxied {
			ln = &proxyproto.Listener{Listener: ln, ReadHeaderTimeout: time.Minute}
		}
		server := &http.Server{Handler: noting, ReadHeaderTimeout: time.Minute, ConnContext: withConn}
		var serving sync.WaitGroup
		serving.Go(func() { _ = server.Serve(ln) })
		return func() { server.Close(); serving.Wait() }
	}
	return s.begin(options)
}

type connKey struct{}

func withConn(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, conn)
}

func (s *Server) begin(options []ServerOption) *Server {
	s.on.lab.t.Helper()
	for _, option := range options {
		option(s)
	}
	vpc := s.on.lab.Plan().MustVPC(s.on.spec.VPC)
	subnet := vpc.MustSubnet(s.on.spec.Subnet)
	s.probers = []netip.Addr{subnet.Gateway, subnet.IPv6Gateway, vpc.HealthSource}
	s.Start()
	s.on.lab.t.Cleanup(s.Stop)
	return s
}

// Start serves again after Stop.
func (s *Server) Start() {
	s.on.lab.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stop != nil {
		return
	}
	ln, err := s.on.Listen(s.on.lab.t.Context(), "tcp", ":"+strconv.Itoa(int(s.port)))
	if err != nil {
		s.on.lab.t.Fatalf("%s: %v", s, err)
	}
	s.stop = s.serve(ln)
}

// Stop closes all connections, as a program does that ends; new ones are refused.
func (s *Server) Stop() {
	s.mu.Lock()
	stop := s.stop
	s.stop = nil
	s.mu.Unlock()
	if stop != nil {
		stop() // without the lock: who serves notes visits
	}
}

// String names the server in messages.
func (s *Server) String() string {
	return fmt.Sprintf("server %s:%d", s.on.spec.Name, s.port)
}

// Visits are those until now.
func (s *Server) Visits() []Visit {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.visits)
}

// RequireVisits are the visits until now. The test fails where there are not n of them
// within a second, and says what has dropped packets.
func (s *Server) RequireVisits(n int) []Visit {
	s.on.lab.t.Helper()
	until(time.Second, func() bool { return len(s.Visits()) >= n })
	visits := s.Visits()
	if len(visits) != n {
		lines := ""
		for _, v := range visits {
			lines += "\n  " + v.String()
		}
		s.on.lab.t.Fatalf("%s had %s, want %d:%s\n%s", s, spell.Count(len(visits), "visit"), n, lines, s.on.lab.Drops())
	}
	return visits
}

func (s *Server) handle(conn net.Conn, handle func(net.Conn)) {
	if s.proxied {
		conn = proxyproto.NewConn(conn, proxyproto.SetReadHeaderTimeout(time.Minute))
	}
	s.note(conn, nil)
	handle(conn)
}

func (s *Server) note(conn net.Conn, r *http.Request) {
	v := Visit{Request: r}
	if p, ok := conn.(*proxyproto.Conn); ok {
		v.Proxy = proxyHeaderOf(p.ProxyHeader())
		conn = p.Raw()
	}
	if conn != nil {
		v.From = addrPortOf(conn.RemoteAddr())
	}
	if slices.Contains(s.probers, v.From.Addr()) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.visits = append(s.visits, v)
}

func proxyHeaderOf(h *proxyproto.Header) *ProxyHeader {
	if h == nil {
		return nil
	}
	out := &ProxyHeader{
		Version: int(h.Version), Source: addrPortOf(h.SourceAddr), Destination: addrPortOf(h.DestinationAddr),
		TLVs: map[byte][]byte{},
	}
	tlvs, err := h.TLVs()
	if err != nil {
		return out
	}
	for _, tlv := range tlvs {
		// Alibaba Cloud has one for each identifier; that of the endpoint counts.
		if _, there := out.TLVs[byte(tlv.Type)]; !there || tlv.Type == tlvAlibaba && tlv.Value[0] == tlvAlibabaEndpoint {
			out.TLVs[byte(tlv.Type)] = tlv.Value
		}
	}
	return out
}

func addrPortOf(addr net.Addr) netip.AddrPort {
	a, ok := addr.(interface{ AddrPort() netip.AddrPort })
	if !ok {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(a.AddrPort().Addr().Unmap(), a.AddrPort().Port())
}

// serveConns serves until stop, which closes what is still open.
func serveConns(ln net.Listener, handle func(net.Conn)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				cut := context.AfterFunc(ctx, func() { conn.Close() })
				defer cut()
				defer conn.Close()
				handle(conn)
			})
		}
	})
	return func() {
		cancel()
		ln.Close()
		serving.Wait()
	}
}
