package alb

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"time"
)

// ServeHTTP answers one request. It is for net/http.
func (l *Listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := l.state.Load()
	answer := &answerWriter{ResponseWriter: w, stats: &l.stats, conn: framedOf(r)}
	defer answer.done()
	if r.ProtoMajor == 1 && answer.conn.next() {
		w.Header().Set("Connection", "close")
	}
	if status := s.refuse(r); status != 0 {
		answer.fail(status, "refused")
		return
	}
	does := s.action(r)
	switch {
	case does.FixedResponse != nil:
		respond(answer, does.FixedResponse)
	case does.Redirect != nil:
		http.Redirect(answer, r, location(does.Redirect, s.Protocol, s.Port, r), does.Redirect.Status)
	default:
		group := s.groups[does.group()]
		if group == nil {
			answer.fail(http.StatusServiceUnavailable, "no_server")
			return
		}
		l.forward(answer, r, s, group)
	}
}

// refuse is the status for a request that goes nowhere, or 0.
func (s *state) refuse(r *http.Request) int {
	// The preface of HTTP/2, which clouds speak over TLS alone ("Troubleshoot
	// your Application Load Balancers", AWS, HTTP 505).
	if r.Method == "PRI" {
		return http.StatusHTTPVersionNotSupported
	}
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
