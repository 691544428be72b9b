package alb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
)

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

// rewrite makes the server's request of the client's.
func rewrite(p *httputil.ProxyRequest) {
	t := tripOf(p.Out.Context())
	p.Out.URL.Scheme, p.Out.URL.Host = string(t.group.Protocol), "server" // RoundTrip knows better
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
	// HTTP/2 without TLS is not spoken here, so nobody agrees on it beyond.
	if strings.EqualFold(p.Out.Header.Get("Upgrade"), "h2c") {
		p.Out.Header.Del("Upgrade")
		p.Out.Header.Del("Connection")
	}
	t.announce(p.In.Header, p.Out.Header)
}

// announce tells the server who the client is. X-Forwarded-For grows by the
// client's address. The names are those of Alibaba Cloud's ALB API 2020-06-16,
// CreateListener, XForwardedForConfig; AWS uses the same three for protocol,
// port and address.
func (t *trip) announce(in, out http.Header) {
	hops := append(slices.Clone(in["X-Forwarded-For"]), t.client.Addr().String())
	out.Set("X-Forwarded-For", strings.Join(hops, ", "))
	for _, what := range t.HTTP.Forwarded {
		switch what {
		case "proto":
			out.Set("X-Forwarded-Proto", string(t.Protocol))
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

// choose is the server that the client's cookie names, or the next in turn. The
// caller calls ended when it is done with the server.
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
