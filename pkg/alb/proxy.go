package alb

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// ServeHTTP answers one request. It is for net/http.
func (l *Listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := l.state.Load()
	answer := &answerWriter{ResponseWriter: w, stats: &l.stats}
	defer answer.done()
	if status := s.refuse(r); status != 0 {
		answer.fail(status, "refused")
		return
	}
	rule := s.rule(r)
	switch {
	case rule.FixedResponse != nil:
		respond(answer, rule.FixedResponse)
	case rule.Redirect != nil:
		http.Redirect(answer, r, location(rule.Redirect, s.Protocol, s.Port, r), rule.Redirect.Status)
	case s.groups[rule.ServerGroup] == nil:
		answer.fail(http.StatusServiceUnavailable, "no_server")
	default:
		l.forward(answer, r, s, s.groups[rule.ServerGroup])
	}
}

// refuse is the status for a request that goes nowhere, or 0.
func (s *state) refuse(r *http.Request) int {
	if r.Method == http.MethodConnect || r.Method == http.MethodTrace && s.Profile.RefuseTrace {
		return http.StatusMethodNotAllowed
	}
	most := s.Profile.MaxHeader
	if len(r.Method)+len(r.RequestURI)+len(r.Proto)+2 > most || len("Host: ")+len(r.Host) > most {
		return http.StatusBadRequest
	}
	for name, values := range r.Header {
		for _, v := range values {
			if len(name)+len(v)+2 > most {
				return http.StatusBadRequest
			}
		}
	}
	return 0
}

// trip is one request on its way to a server.
type trip struct {
	*state
	group  *Group
	client netip.AddrPort
	at     netip.AddrPort // the listener's address that the client reached
	stats  *counters
	server netip.AddrPort // that answered
	sticky bool           // the client's cookie named that server
	// waits is until when the client must send more of the request's body, in
	// nanoseconds since 1970; 0 where nobody waits for that.
	waits atomic.Int64
}

type tripKey struct{}

func tripOf(ctx context.Context) *trip { return ctx.Value(tripKey{}).(*trip) }

func (l *Listener) forward(w *answerWriter, r *http.Request, s *state, group *Group) {
	t := &trip{state: s, group: group, client: addrPort(r.RemoteAddr), stats: &l.stats}
	if at, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		t.at = addrPort(at.String())
	}
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = &clientBody{ReadCloser: r.Body, control: http.NewResponseController(w), trip: t}
	}
	l.proxy.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), tripKey{}, t)))
}

func addrPort(text string) netip.AddrPort {
	a, _ := netip.ParseAddrPort(text)
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

func (l *Listener) newProxy() *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite:        rewrite,
		Transport:      l,
		FlushInterval:  -1, // a client sees each part of an answer when the server has sent it
		ModifyResponse: func(resp *http.Response) error { tripOf(resp.Request.Context()).keep(resp); return nil },
		ErrorHandler:   l.failed,
		ErrorLog:       slog.NewLogLogger(l.log.Handler(), slog.LevelDebug),
		BufferPool:     buffers{},
	}
}

// newTransport makes connections to servers. It is one configuration's own.
func (l *Listener) newTransport(cfg Config) *http.Transport {
	return &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, cfg.Profile.Connect)
			defer cancel()
			conn, err := l.dial(ctx, network, address)
			if err != nil {
				return nil, &connectError{address, err}
			}
			return limited{conn, cfg.HTTP.RequestTimeout}, nil
		},
		// Neither cloud checks the certificates of servers ("Target groups for
		// your Application Load Balancers", AWS; ALB API 2020-06-16 has no way
		// to say whom to trust).
		TLSClientConfig:        &tls.Config{InsecureSkipVerify: true}, //nolint:gosec
		TLSHandshakeTimeout:    cfg.Profile.Connect,
		ResponseHeaderTimeout:  cfg.HTTP.RequestTimeout,
		ExpectContinueTimeout:  time.Second,
		IdleConnTimeout:        cfg.HTTP.RequestTimeout,
		MaxIdleConnsPerHost:    128,
		DisableCompression:     true, // an answer is passed on as it is
		MaxResponseHeaderBytes: 128 << 10,
	}
}

// rewrite makes the server's request of the client's.
func rewrite(p *httputil.ProxyRequest) {
	t := tripOf(p.Out.Context())
	p.Out.URL.Scheme, p.Out.URL.Host = t.group.Protocol, "server" // RoundTrip knows better
	p.Out.URL.RawQuery = p.In.URL.RawQuery
	p.Out.Host = p.In.Host
	p.Out.Trailer = p.In.Trailer // it is filled when the body has been read
	// ReverseProxy took these away. They are passed on as any other header,
	// unless the listener sets them.
	for _, name := range []string{"Forwarded", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if v, ok := p.In.Header[name]; ok {
			p.Out.Header[name] = v
		}
	}
	t.announce(p.In.Header, p.Out.Header)
}

// announce tells the server who the client is. X-Forwarded-For grows by the
// client's address. The names are those of Alibaba Cloud's ALB API 2020-06-16,
// CreateListener, XForwardedForConfig; AWS uses the same three for protocol,
// port and address.
func (t *trip) announce(in, out http.Header) {
	out.Set("X-Forwarded-For", strings.Join(append(slices.Clone(in["X-Forwarded-For"]), t.client.Addr().String()), ", "))
	for _, what := range t.HTTP.Forwarded {
		switch what {
		case "proto":
			out.Set("X-Forwarded-Proto", t.Protocol)
		case "port":
			out.Set("X-Forwarded-Port", fmt.Sprint(t.Port))
		case "client_port":
			out.Set("X-Forwarded-Client-Srcport", fmt.Sprint(t.client.Port()))
		case "slb_id":
			out.Set("SLB-ID", t.LoadBalancer)
		}
	}
}

var errNoServer = errors.New("no server can take the request")

// connectError is a request that reached no server.
type connectError struct {
	address string
	err     error
}

func (e *connectError) Error() string { return "connect to " + e.address + ": " + e.err.Error() }
func (e *connectError) Unwrap() error { return e.err }

// RoundTrip sends a request to a server of its group. It is for ReverseProxy.
//
// Where a server cannot be connected to, nothing of the request has been sent,
// so whatever the method another server may be asked instead. What was sent is
// sent again in one case alone, by http.Transport: a request without a body
// that GET and its kind make idempotent, on a connection from an earlier
// request that the server was just closing.
func (l *Listener) RoundTrip(req *http.Request) (*http.Response, error) {
	t := tripOf(req.Context())
	var tried []netip.AddrPort
	for {
		server, ended, ok := t.choose(req, tried)
		if !ok {
			return nil, errNoServer
		}
		resp, err := l.try(t, req, server, ended)
		var unreached *connectError
		if err == nil || !errors.As(err, &unreached) || !t.Profile.ConnectElsewhere || req.Context().Err() != nil {
			return resp, err
		}
		tried = append(tried, server)
		if !t.another(tried) {
			return nil, err
		}
	}
}

// choose is the server that the client's cookie names, or the next in turn. Who
// gets one calls ended when it is done with it.
func (t *trip) choose(req *http.Request, tried []netip.AddrPort) (server netip.AddrPort, ended func(), ok bool) {
	t.sticky = false
	if len(tried) == 0 {
		if server, t.sticky = t.remembered(req); t.sticky {
			return server, func() {}, true
		}
	}
	server, ok = t.group.Pick(t.client, t.at)
	if !ok {
		return server, nil, false
	}
	if !slices.Contains(tried, server) {
		return server, func() { t.group.Ended(server) }, true
	}
	t.group.Ended(server)
	for _, server := range t.group.Usable() {
		if !slices.Contains(tried, server) {
			return server, func() {}, true
		}
	}
	return server, nil, false
}

// another says whether there is a server that was not tried.
func (t *trip) another(tried []netip.AddrPort) bool {
	return slices.ContainsFunc(t.group.Usable(), func(s netip.AddrPort) bool { return !slices.Contains(tried, s) })
}

// try sends the request to one server.
func (l *Listener) try(t *trip, req *http.Request, server netip.AddrPort, ended func()) (*http.Response, error) {
	ctx, cancel := context.WithCancel(req.Context())
	out := req.WithContext(ctx)
	url := *req.URL
	url.Host = server.String()
	out.URL = &url
	if req.Body != nil && req.Body != http.NoBody {
		out.Body = io.NopCloser(req.Body) // the transport closes it even where it sent nothing
	}
	// Without keepalive the server is asked to close. Beside "Connection:
	// Upgrade" that would be a contradiction.
	out.Close = !t.group.Keepalive && req.Header.Get("Upgrade") == ""
	backend := l.stats.backend(t.group.Name, server)
	backend.active.Add(1)
	end := func() { cancel(); backend.active.Add(-1); ended() }
	resp, err := t.transport.RoundTrip(out)
	if err != nil {
		end()
		backend.failed(err)
		return nil, err
	}
	t.server = server
	backend.answered(resp.StatusCode)
	resp.Body = watch(resp, t.HTTP.RequestTimeout, end)
	return resp, nil
}

// watched is an answer's body, or an upgraded connection, that ends when the
// server has been silent for too long.
type watched struct {
	body    io.ReadCloser
	silence time.Duration
	timer   *time.Timer
	ended   func() // once
}

// upgraded is a watched connection: what the client sends is no silence.
type upgraded struct {
	*watched
	io.Writer
}

func watch(resp *http.Response, silence time.Duration, ended func()) io.ReadCloser {
	w := &watched{body: resp.Body, silence: silence, ended: sync.OnceFunc(ended)}
	w.timer = time.AfterFunc(silence, func() {
		w.ended()
		if resp.StatusCode == http.StatusSwitchingProtocols {
			w.body.Close() // nobody else would wake its reader
		}
	})
	if conn, ok := resp.Body.(io.Writer); ok {
		return upgraded{w, conn}
	}
	return w
}

func (w *watched) Read(b []byte) (int, error) {
	n, err := w.body.Read(b)
	if err == nil {
		w.timer.Reset(w.silence)
	}
	return n, err
}

func (w *watched) Close() error {
	w.timer.Stop()
	w.ended()
	return w.body.Close()
}

func (u upgraded) Write(b []byte) (int, error) {
	n, err := u.Writer.Write(b)
	if err == nil {
		u.timer.Reset(u.silence)
	}
	return n, err
}

func (u upgraded) CloseWrite() error { return closeWrite(u.Writer) }

// clientError is what went wrong with the client's side of a request.
type clientError struct{ err error }

func (e *clientError) Error() string { return "read the request: " + e.err.Error() }
func (e *clientError) Unwrap() error { return e.err }

// clientBody is a request's body whose client must go on sending.
type clientBody struct {
	io.ReadCloser
	control *http.ResponseController
	trip    *trip
}

func (c *clientBody) Read(b []byte) (int, error) {
	deadline := time.Now().Add(c.trip.HTTP.RequestTimeout)
	c.trip.waits.Store(deadline.UnixNano())
	_ = c.control.SetReadDeadline(deadline)
	n, err := c.ReadCloser.Read(b)
	c.trip.stats.received.Add(uint64(n))
	switch {
	case err == nil:
		c.trip.waits.Store(0)
	case err == io.EOF:
		c.trip.waits.Store(0)
		// net/http reads on, to see the client go away, and may wait for that.
		_ = c.control.SetReadDeadline(time.Time{})
	default:
		err = &clientError{err}
	}
	return n, err
}

// slow says whether the client should have sent more of the body by now.
// net/http ends the request's context before it returns from the read, so the
// error alone does not tell.
func (t *trip) slow() bool {
	waits := t.waits.Load()
	return waits != 0 && time.Now().UnixNano() >= waits
}

// failed answers a request that no server answered.
func (l *Listener) failed(w http.ResponseWriter, r *http.Request, err error) {
	t := tripOf(r.Context())
	status, reason := t.verdict(r.Context(), err)
	l.log.Debug("a request failed", "status", status, "reason", reason, "error", err)
	w.(*answerWriter).fail(status, reason)
}

// verdict says with which status a failure is answered. "ALB status codes"
// (Alibaba Cloud) and "Troubleshoot your Application Load Balancers" (AWS)
// agree: 503 where there is no server, 504 where one does not accept the
// connection or answer in time, 502 where one refuses it, resets it or answers
// what is not HTTP.
func (t *trip) verdict(ctx context.Context, err error) (status int, reason string) {
	var client *clientError
	var unreached *connectError
	switch {
	case t.slow():
		return http.StatusRequestTimeout, "client_timeout"
	case ctx.Err() != nil:
		return t.Profile.ClientGone, "client_gone"
	case errors.As(err, &client):
		return http.StatusBadRequest, "client_error"
	case errors.Is(err, errNoServer):
		return http.StatusServiceUnavailable, "no_server"
	case errors.As(err, &unreached) && timeout(err):
		return http.StatusGatewayTimeout, "connect_timeout"
	case errors.As(err, &unreached):
		return http.StatusBadGateway, "connect_failed"
	case timeout(err):
		return http.StatusGatewayTimeout, "server_timeout"
	}
	return http.StatusBadGateway, "bad_answer"
}

func timeout(err error) bool {
	var netErr net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &netErr) && netErr.Timeout()
}

// answerWriter counts what a client is told.
type answerWriter struct {
	http.ResponseWriter
	stats  *counters
	status int
}

// Unwrap lets http.ResponseController find the writer below.
func (a *answerWriter) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *answerWriter) WriteHeader(status int) {
	if a.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answerWriter) Write(b []byte) (int, error) {
	n, err := a.ResponseWriter.Write(b)
	a.stats.sent.Add(uint64(n))
	return n, err
}

// Hijack is asked for by ReverseProxy when a server has agreed to an upgrade,
// and by nobody else.
func (a *answerWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(a.ResponseWriter).Hijack()
	if err == nil {
		a.status = http.StatusSwitchingProtocols
	}
	return conn, buffered, err
}

// fail answers with a page of the load balancer's own, as both clouds do.
func (a *answerWriter) fail(status int, reason string) {
	a.stats.failure(reason)
	text := http.StatusText(status)
	if text == "" {
		text = "Client Closed Request"
	}
	page := fmt.Sprintf("<html>\n<head><title>%[1]d %[2]s</title></head>\n<body>\n<center><h1>%[1]d %[2]s</h1></center>\n</body>\n</html>\n", status, text)
	a.Header().Set("Content-Type", "text/html")
	a.WriteHeader(status)
	io.WriteString(a, page)
}

func (a *answerWriter) done() {
	if a.status == 0 {
		a.status = http.StatusOK // what net/http sends where a handler says nothing
	}
	a.stats.status(a.status)
}

// buffers are those that bodies are copied through.
type buffers struct{}

var pool = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

func (buffers) Get() []byte  { return *pool.Get().(*[]byte) }
func (buffers) Put(b []byte) { pool.Put(&b) }
