package alb_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/plinksim/plinksim/pkg/alb"
	"github.com/plinksim/plinksim/pkg/topology"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var profile = topology.HTTPProfile{
	Idle: 15 * time.Second, Request: time.Minute, Connect: 5 * time.Second, MaxHeader: 32 << 10, MaxHeaders: 128 << 10,
	RefuseTrace: true, ConnectElsewhere: true, ClientGone: 499,
}

// bench is a listener with its servers, in memory and in a synctest bubble:
// time passes when everybody waits.
type bench struct {
	t        *testing.T
	listener *alb.Listener
	front    *memory
	config   alb.Config
	servers  map[string]*server // by address

	mu     sync.Mutex
	usable []netip.AddrPort
	turn   int
	given  int // by pick, and not ended
}

// server is what is at an address: a program, or one of the ways in which
// connections fail.
type server struct {
	handle  func(net.Conn) // nil: connections are refused
	silent  bool           // connections are not answered
	dials   atomic.Int32
	running *memory
}

// inBubble makes a bench with n servers "a", "b" and so on at 192.168.0.1:80
// and up; handler is what they do, told the name. nil is refused connections.
func inBubble(t *testing.T, n int, handler func(name string) http.Handler, test func(t *testing.T, b *bench)) {
	synctest.Test(t, func(t *testing.T) {
		b := &bench{t: t, servers: map[string]*server{}, front: listen(address(100))}
		for i := range n {
			at := address(i + 1)
			b.usable = append(b.usable, at)
			b.servers[at.String()] = &server{}
			if handler != nil {
				b.serve(at, handler(string(rune('a'+i))))
			}
		}
		b.listener = alb.New(b.dial, nil)
		b.config = alb.Config{
			Listener: topology.Listener{
				Protocol: "http", Port: 80, ServerGroup: "rs1", IdleTimeout: profile.Idle,
				HTTP: &topology.HTTPListener{RequestTimeout: profile.Request},
			},
			LoadBalancer: "alb-1", Profile: profile,
			Groups: []alb.Group{{ServerGroup: topology.ServerGroup{Name: "rs1", Protocol: "http"}, Pick: b.pick, Ended: b.ended, Usable: b.list}},
		}
		t.Cleanup(func() {
			b.listener.Close()
			// net/http lingers over some connections, and TLS over its last word, which
			// waits in an unbuffered pipe for 5 seconds. Servers are closed after it: an
			// http.Server closes connections under its lock, time stands still while
			// another waits for that lock, and two last words would wait for each other.
			time.Sleep(10 * time.Second)
			for _, s := range b.servers {
				if s.running != nil {
					s.running.Close()
				}
			}
			time.Sleep(10 * time.Second)
			b.mu.Lock()
			defer b.mu.Unlock()
			require.Zero(t, b.given, "each server that was picked was given back")
		})
		test(t, b)
	})
}

// start puts the bench's configuration in force.
func (b *bench) start() {
	b.listener.Configure(b.config)
	go b.listener.Serve(b.t.Context(), b.front)
}

func address(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 168, 0, byte(i)}), 80)
}

func (b *bench) serve(at netip.AddrPort, handler http.Handler) {
	ln := listen(at)
	b.servers[at.String()] = &server{running: ln, handle: ln.push}
	program := &http.Server{Handler: handler}
	go program.Serve(ln)
	context.AfterFunc(ln.done, func() { program.Close() })
}

func (b *bench) server(i int) *server { return b.servers[address(i+1).String()] }

func (b *bench) dial(ctx context.Context, _, at string) (net.Conn, error) {
	s := b.servers[at]
	s.dials.Add(1)
	switch {
	case s.silent:
		<-ctx.Done()
		return nil, ctx.Err()
	case s.handle == nil:
		return nil, syscall.ECONNREFUSED
	}
	near, far := pipe("10.0.0.1:999", at)
	s.handle(far)
	return near, nil
}

func (b *bench) pick(netip.AddrPort, netip.AddrPort) (netip.AddrPort, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.usable) == 0 {
		return netip.AddrPort{}, false
	}
	b.turn++
	b.given++
	return b.usable[(b.turn-1)%len(b.usable)], true
}

func (b *bench) ended(netip.AddrPort) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.given--
}

func (b *bench) list() []netip.AddrPort {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.usable
}

// stats waits until everybody waits, so that what has happened is counted.
func (b *bench) stats() alb.Stats {
	synctest.Wait()
	return b.listener.Stats()
}

// connect opens a connection as a client.
func (b *bench) connect() net.Conn {
	near, far := pipe("172.16.0.9:40000", "192.168.0.100:80")
	b.front.push(far)
	return near
}

// client is an HTTP client of the listener.
func (b *bench) client() *http.Client {
	transport := &http.Transport{
		DialContext:        func(context.Context, string, string) (net.Conn, error) { return b.connect(), nil },
		DisableCompression: true,
	}
	b.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (b *bench) get(client *http.Client, path string, header ...string) (*http.Response, string) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), "GET", "http://shop.example"+path, nil)
	require.NoError(b.t, err)
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	return b.do(client, req)
}

func (b *bench) do(client *http.Client, req *http.Request) (*http.Response, string) {
	b.t.Helper()
	resp, err := client.Do(req)
	require.NoError(b.t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(b.t, err)
	resp.Body.Close()
	return resp, string(body)
}

// memory is a net.Listener whose connections are pushed into it.
type memory struct {
	addr  net.Addr
	conns chan net.Conn
	done  context.Context
	close context.CancelFunc
}

func listen(at netip.AddrPort) *memory {
	m := &memory{addr: net.TCPAddrFromAddrPort(at), conns: make(chan net.Conn, 1000)}
	m.done, m.close = context.WithCancel(context.Background())
	return m
}

func (m *memory) push(conn net.Conn) { m.conns <- conn }
func (m *memory) Addr() net.Addr     { return m.addr }
func (m *memory) Close() error       { m.close(); return nil }
func (m *memory) Accept() (net.Conn, error) {
	select {
	case conn := <-m.conns:
		return conn, nil
	case <-m.done.Done():
		return nil, net.ErrClosed
	}
}

// pipe is a connection in memory between two addresses.
func pipe(near, far string) (net.Conn, net.Conn) {
	a, b := net.Pipe()
	one, other := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(near)), net.TCPAddrFromAddrPort(netip.MustParseAddrPort(far))
	return addressed{a, one, other}, addressed{b, other, one}
}

type addressed struct {
	net.Conn
	local, remote net.Addr
}

func (a addressed) LocalAddr() net.Addr  { return a.local }
func (a addressed) RemoteAddr() net.Addr { return a.remote }

// says answers every request with the server's name.
func says(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, name)
	})
}

// raw is a server that is not net/http's.
func (b *bench) raw(i int, handle func(net.Conn)) {
	b.server(i).handle = func(conn net.Conn) { go handle(conn) }
}

func TestRequestsGoToTheServersInTurn(t *testing.T) {
	inBubble(t, 2, says, func(t *testing.T, b *bench) {
		b.start()
		client, got := b.client(), ""
		for range 6 {
			resp, body := b.get(client, "/")
			require.Equal(t, 200, resp.StatusCode)
			got += body
		}
		require.Equal(t, "ababab", got, "requests of one connection are balanced too")
		stats := b.stats()
		require.EqualValues(t, 1, stats.Accepted)
		require.Equal(t, map[int]uint64{200: 6}, stats.Requests)
		require.EqualValues(t, 6, stats.BytesSent)
		require.Equal(t, map[int]uint64{200: 3}, stats.Backends[1].Requests)
		require.Equal(t, address(2), stats.Backends[1].Server)
		require.Zero(t, stats.Backends[1].Active)
	})
}

// A failure has the status that the clouds document, after the time that they
// document.
func TestFailures(t *testing.T) {
	garbage := func(conn net.Conn) {
		bufio.NewReader(conn).ReadString('\n')
		io.WriteString(conn, "SSH-2.0-OpenSSH\r\n")
		conn.Close()
	}
	for _, tt := range []struct {
		name    string
		servers int
		prepare func(b *bench)
		status  int
		reason  string
		after   time.Duration
	}{
		{"no server is healthy", 0, func(*bench) {}, 503, "no_server", 0},
		{"every server refuses", 2, func(*bench) {}, 502, "connect_failed", 0},
		{"a server does not accept", 1, func(b *bench) { b.server(0).silent = true }, 504, "connect_timeout", 5 * time.Second},
		{"one server does not accept, and the other refuses", 2, func(b *bench) { b.server(0).silent = true }, 502, "connect_failed", 5 * time.Second},
		{"a server answers nothing", 1, func(b *bench) { b.raw(0, func(c net.Conn) { io.Copy(io.Discard, c) }) }, 504, "server_timeout", time.Minute},
		{"a server closes without an answer", 1, func(b *bench) { b.raw(0, func(c net.Conn) { bufio.NewReader(c).ReadString('\n'); c.Close() }) }, 502, "bad_answer", 0},
		{"a server does not speak HTTP", 1, func(b *bench) { b.raw(0, garbage) }, 502, "bad_answer", 0},
		{"a rule leads to a group that is not there", 1, func(b *bench) { b.config.ServerGroup = "none" }, 503, "no_server", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, tt.servers, nil, func(t *testing.T, b *bench) {
				tt.prepare(b)
				b.start()
				began := time.Now()
				resp, body := b.get(b.client(), "/")
				require.Equal(t, tt.status, resp.StatusCode)
				require.Contains(t, body, fmt.Sprint(tt.status))
				require.Equal(t, tt.after, time.Since(began))
				stats := b.stats()
				require.Equal(t, map[int]uint64{tt.status: 1}, stats.Requests)
				require.Equal(t, map[string]uint64{tt.reason: 1}, stats.Failures)
				for _, s := range stats.Backends {
					require.Zero(t, s.Active)
				}
			})
		})
	}
}

func TestAnotherServerIsAskedWhereOneRefuses(t *testing.T) {
	for _, tt := range []struct {
		name      string
		elsewhere bool
		want      string
	}{
		{"the cloud tries another server", true, "200 200 200 200"},
		{"the cloud does not", false, "502 200 502 200"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, 2, says, func(t *testing.T, b *bench) {
				b.server(0).handle = nil
				b.config.Profile.ConnectElsewhere = tt.elsewhere
				b.start()
				client, got := b.client(), []string{}
				for range 4 {
					req, err := http.NewRequest("POST", "http://shop.example/", strings.NewReader("order"))
					require.NoError(t, err)
					resp, _ := b.do(client, req)
					got = append(got, fmt.Sprint(resp.StatusCode))
				}
				require.Equal(t, tt.want, strings.Join(got, " "))
			})
		})
	}
}

// What a server may have begun to work on is not sent to it or another one
// again.
func TestARequestIsSentOnce(t *testing.T) {
	inBubble(t, 2, says, func(t *testing.T, b *bench) {
		var got atomic.Int32
		for i := range 2 {
			b.raw(i, func(c net.Conn) {
				if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					got.Add(1)
				}
				c.Close()
			})
		}
		b.start()
		for _, method := range []string{"POST", "GET"} {
			req, err := http.NewRequest(method, "http://shop.example/", nil)
			require.NoError(t, err)
			resp, _ := b.do(b.client(), req)
			require.Equal(t, 502, resp.StatusCode)
		}
		require.EqualValues(t, 2, got.Load())
	})
}

func TestServersSeeTheClientInHeaders(t *testing.T) {
	for _, tt := range []struct {
		name      string
		forwarded []string
		sent      []string
		want      map[string]string
	}{
		{"the address is there by itself", nil, nil, map[string]string{"X-Forwarded-For": "172.16.0.9", "X-Forwarded-Proto": "", "SLB-ID": ""}},
		{"the address is appended", nil, []string{"X-Forwarded-For", "1.2.3.4, 5.6.7.8", "X-Forwarded-For", "9.9.9.9"},
			map[string]string{"X-Forwarded-For": "1.2.3.4, 5.6.7.8, 9.9.9.9, 172.16.0.9"}},
		{"the rest is there where it is asked for", []string{"proto", "port", "client_port", "slb_id"}, []string{"X-Forwarded-Proto", "https"},
			map[string]string{"X-Forwarded-Proto": "http", "X-Forwarded-Port": "80", "X-Forwarded-Client-Srcport": "40000", "SLB-ID": "alb-1"}},
		{"what is not asked for is passed on", nil, []string{"X-Forwarded-Proto", "https", "X-Forwarded-Host", "h", "Forwarded", "for=x"},
			map[string]string{"X-Forwarded-Proto": "https", "X-Forwarded-Host": "h", "Forwarded": "for=x"}},
		{"the Host header is the client's", nil, nil, map[string]string{"Host": "shop.example"}},
		{"headers of the connection end here", nil, []string{"Connection", "X-Mine", "X-Mine", "1", "Keep-Alive", "timeout=5", "Proxy-Connection", "x"},
			map[string]string{"X-Mine": "", "Keep-Alive": "", "Proxy-Connection": ""}},
		{"a query is passed on as it was written", nil, nil, map[string]string{"Target": "/a%2fb?x=1;y=%zz"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var seen http.Header
			inBubble(t, 1, func(string) http.Handler {
				return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					seen = r.Header.Clone()
					seen.Set("Host", r.Host)
					seen.Set("Target", r.RequestURI)
				})
			}, func(t *testing.T, b *bench) {
				b.config.HTTP.Forwarded = tt.forwarded
				b.start()
				conn := b.connect()
				defer conn.Close()
				fmt.Fprintf(conn, "GET /a%%2fb?x=1;y=%%zz HTTP/1.1\r\nHost: shop.example\r\n")
				for i := 0; i < len(tt.sent); i += 2 {
					fmt.Fprintf(conn, "%s: %s\r\n", tt.sent[i], tt.sent[i+1])
				}
				io.WriteString(conn, "\r\n")
				resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
				require.NoError(t, err)
				require.Equal(t, 200, resp.StatusCode)
				for name, want := range tt.want {
					require.Equal(t, want, seen.Get(name), name)
				}
			})
		})
	}
}

func TestConnectionsToServers(t *testing.T) {
	for _, tt := range []struct {
		name      string
		keepalive bool
		dials     int
	}{
		{"each request has its own", false, 5},
		{"requests share one where the group says so", true, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, 1, says, func(t *testing.T, b *bench) {
				b.config.Groups[0].Keepalive = tt.keepalive
				b.start()
				for range 5 {
					b.get(b.client(), "/")
				}
				require.EqualValues(t, tt.dials, b.server(0).dials.Load())
			})
		})
	}
}

func TestRefusedRequests(t *testing.T) {
	long := strings.Repeat("x", 33<<10)
	for _, tt := range []struct {
		name, request string
		status        int
	}{
		{"TRACE", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405},
		{"CONNECT", "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 405},
		{"a long header", "GET / HTTP/1.1\r\nHost: a\r\nX-Long: " + long + "\r\n\r\n", 400},
		{"a long request line", "GET /" + long + " HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"headers that are long together", "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: "+long[:30<<10]+"\r\n", 5) + "\r\n", 431},
		{"what is not HTTP", "hello\r\n\r\n", 400},
		{"two lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 400},
		{"a header that is just not too long", "GET / HTTP/1.1\r\nHost: a\r\nX: " + long[:32<<10-3] + "\r\n\r\n", 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, 1, says, func(t *testing.T, b *bench) {
				b.start()
				conn := b.connect()
				defer conn.Close()
				go io.WriteString(conn, tt.request)
				resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: tt.name})
				require.NoError(t, err)
				require.Equal(t, tt.status, resp.StatusCode)
			})
		})
	}
}

func TestTheLoadBalancerAnswersByItself(t *testing.T) {
	inBubble(t, 1, says, func(t *testing.T, b *bench) {
		b.config.HTTP.Rules = []topology.ListenerRule{
			{Paths: []string{"/closed"}, Action: answers(403, "application/json", `{"why":"closed"}`)},
			{Paths: []string{"/old/*"}, Action: topology.Action{Redirect: &topology.Redirect{Status: 301, Protocol: "https", Path: "/new"}}},
		}
		b.start()
		resp, body := b.get(b.client(), "/closed")
		require.Equal(t, 403, resp.StatusCode)
		require.Equal(t, "application/json", resp.Header.Get("Content-Type"))
		require.Equal(t, `{"why":"closed"}`, body)
		resp, _ = b.get(b.client(), "/old/page?x=1")
		require.Equal(t, 301, resp.StatusCode)
		require.Equal(t, "https://shop.example/new?x=1", resp.Header.Get("Location"))
		require.Zero(t, b.server(0).dials.Load())
	})
}

func answers(status int, kind, body string) topology.Action {
	return topology.Action{FixedResponse: &topology.FixedResponse{Status: status, ContentType: kind, Body: body}}
}

// A listener without a rule may answer by itself too, or share requests out.
func TestAListenerDoesWhatNoRuleIsFor(t *testing.T) {
	inBubble(t, 1, says, func(t *testing.T, b *bench) {
		otherwise := answers(404, "text/plain", "nobody")
		b.config.ServerGroup, b.config.HTTP.Otherwise = "", &otherwise
		b.start()
		resp, body := b.get(b.client(), "/")
		require.Equal(t, 404, resp.StatusCode)
		require.Equal(t, "nobody", body)

		changed := b.config
		http := *b.config.HTTP
		http.Otherwise = &topology.Action{Split: []topology.Share{{ServerGroup: "rs1", Weight: 1}, {ServerGroup: "none", Weight: 1}}}
		changed.HTTP = &http
		b.listener.Configure(changed)
		statuses := map[int]int{}
		for range 10 {
			resp, _ := b.get(b.client(), "/")
			statuses[resp.StatusCode]++
		}
		require.Equal(t, map[int]int{200: 5, 503: 5}, statuses)
	})
}

func TestPersistenceInsertsACookie(t *testing.T) {
	for _, renew := range []bool{false, true} {
		t.Run(fmt.Sprintf("renew=%t", renew), func(t *testing.T) {
			inBubble(t, 2, says, func(t *testing.T, b *bench) {
				b.config.Groups[0].Persistence = &topology.Persistence{Mode: "insert", Cookie: "SERVERID", Timeout: 1000 * time.Second, Renew: renew}
				b.start()
				first, _ := b.get(b.client(), "/")
				cookie := first.Cookies()[0]
				require.Equal(t, "SERVERID", cookie.Name)
				require.Equal(t, 1000, cookie.MaxAge)
				require.Equal(t, "/", cookie.Path)
				for range 5 {
					resp, body := b.get(b.client(), "/", "Cookie", "other=1; SERVERID="+cookie.Value)
					require.Equal(t, "a", body, "the server that the cookie names")
					require.Equal(t, renew, len(resp.Cookies()) == 1)
				}
				resp, body := b.get(b.client(), "/", "Cookie", "SERVERID=forged")
				require.Equal(t, "b", body, "a cookie of nobody is no cookie")
				require.NotEqual(t, cookie.Value, resp.Cookies()[0].Value)
			})
		})
	}
}

func TestPersistenceEndsWithTheServer(t *testing.T) {
	inBubble(t, 2, says, func(t *testing.T, b *bench) {
		b.config.Groups[0].Persistence = &topology.Persistence{Mode: "insert", Cookie: "SERVERID", Timeout: time.Hour}
		b.start()
		first, body := b.get(b.client(), "/")
		require.Equal(t, "a", body)
		cookie := "SERVERID=" + first.Cookies()[0].Value

		b.server(0).handle = nil // it refuses, and nobody has noticed yet
		resp, body := b.get(b.client(), "/", "Cookie", cookie)
		require.Equal(t, "b", body)
		require.Len(t, resp.Cookies(), 1, "the client has a new server")

		b.mu.Lock()
		b.usable = b.usable[1:] // it is unhealthy
		b.mu.Unlock()
		dials := b.server(0).dials.Load()
		_, body = b.get(b.client(), "/", "Cookie", cookie)
		require.Equal(t, "b", body)
		require.Equal(t, dials, b.server(0).dials.Load())
	})
}

func TestPersistenceRewritesTheServersCookie(t *testing.T) {
	inBubble(t, 2, func(name string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Add("Set-Cookie", "theme=dark; Path=/")
			if r.URL.Path == "/login" {
				w.Header().Add("Set-Cookie", "session=secret; Path=/app; HttpOnly")
			}
			io.WriteString(w, name)
		})
	}, func(t *testing.T, b *bench) {
		b.config.Groups[0].Persistence = &topology.Persistence{Mode: "rewrite", Cookie: "session"}
		b.start()
		resp, _ := b.get(b.client(), "/")
		require.Equal(t, []string{"theme=dark; Path=/"}, resp.Header["Set-Cookie"], "where the server sets none, there is none")
		resp, body := b.get(b.client(), "/login")
		require.Equal(t, "b", body)
		require.Equal(t, "theme=dark; Path=/", resp.Header["Set-Cookie"][0])
		rewritten := resp.Header["Set-Cookie"][1]
		require.Regexp(t, `^session=[0-9a-f]{32}; Path=/app; HttpOnly$`, rewritten)
		for range 3 {
			_, body = b.get(b.client(), "/", "Cookie", strings.Split(rewritten, ";")[0])
			require.Equal(t, "b", body)
		}
	})
}

func TestAnAnswerIsPassedOnAsItComes(t *testing.T) {
	inBubble(t, 1, func(string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Trailer", "X-Sum")
			for i := range 3 {
				fmt.Fprintf(w, "part %d\n", i)
				w.(http.Flusher).Flush()
				time.Sleep(50 * time.Second) // less than the request timeout, more in all
			}
			w.Header().Set("X-Sum", "3 parts")
		})
	}, func(t *testing.T, b *bench) {
		b.start()
		began := time.Now()
		resp, err := b.client().Get("http://shop.example/")
		require.NoError(t, err)
		lines := bufio.NewReader(resp.Body)
		for i := range 3 {
			line, err := lines.ReadString('\n')
			require.NoError(t, err)
			require.Equal(t, fmt.Sprintf("part %d\n", i), line)
			require.Equal(t, time.Duration(i)*50*time.Second, time.Since(began))
		}
		_, err = io.ReadAll(lines)
		require.NoError(t, err)
		require.Equal(t, "3 parts", resp.Trailer.Get("X-Sum"))
	})
}

func TestABodyIsPassedOnAsItComesAndItsTrailersAfterIt(t *testing.T) {
	var got []string
	inBubble(t, 1, func(string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			lines := bufio.NewScanner(r.Body)
			for lines.Scan() {
				got = append(got, fmt.Sprint(lines.Text(), " at ", time.Now().Second()))
			}
			got = append(got, r.Trailer.Get("X-Sum"))
		})
	}, func(t *testing.T, b *bench) {
		b.start()
		from := time.Now().Second()
		reader, writer := io.Pipe()
		req, err := http.NewRequest("POST", "http://shop.example/", reader)
		require.NoError(t, err)
		req.Trailer = http.Header{"X-Sum": nil}
		go func() {
			for i := range 3 {
				fmt.Fprintf(writer, "line %d\n", i)
				time.Sleep(10 * time.Second)
			}
			req.Trailer.Set("X-Sum", "3 lines")
			writer.Close()
		}()
		resp, _ := b.do(b.client(), req)
		require.Equal(t, 200, resp.StatusCode)
		require.Equal(t, []string{fmt.Sprint("line 0 at ", from), fmt.Sprint("line 1 at ", from+10), fmt.Sprint("line 2 at ", from+20), "3 lines"}, got)
		require.EqualValues(t, 21, b.stats().BytesReceived)
	})
}

func TestAServerThatFallsSilentInTheMiddleOfAnAnswer(t *testing.T) {
	inBubble(t, 1, nil, func(t *testing.T, b *bench) {
		b.raw(0, func(c net.Conn) {
			http.ReadRequest(bufio.NewReader(c))
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
			io.Copy(io.Discard, c)
		})
		b.start()
		began := time.Now()
		resp, err := b.client().Get("http://shop.example/")
		require.NoError(t, err)
		_, err = io.ReadAll(resp.Body)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF, "the client knows that there is more")
		require.Equal(t, time.Minute, time.Since(began))
	})
}

func TestAClientThatFallsSilentInTheMiddleOfARequest(t *testing.T) {
	inBubble(t, 1, func(string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
	}, func(t *testing.T, b *bench) {
		b.start()
		began := time.Now()
		conn := b.connect()
		defer conn.Close()
		io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf")
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err)
		require.Equal(t, 408, resp.StatusCode)
		require.Equal(t, time.Minute, time.Since(began))
	})
}

func TestAnIdleClientIsLeftAlone(t *testing.T) {
	inBubble(t, 1, says, func(t *testing.T, b *bench) {
		b.start()
		conn := b.connect()
		defer conn.Close()
		io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		r := bufio.NewReader(conn)
		resp, err := http.ReadResponse(r, nil)
		require.NoError(t, err)
		io.Copy(io.Discard, resp.Body)
		began := time.Now()
		_, err = r.ReadByte()
		require.ErrorIs(t, err, io.EOF)
		require.Equal(t, 15*time.Second, time.Since(began))
		require.Zero(t, b.stats().Open)
	})
}

// A client that goes away takes its request with it.
func TestAClientThatGoesAway(t *testing.T) {
	gone := make(chan time.Duration, 1)
	inBubble(t, 1, func(string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			began := time.Now()
			<-r.Context().Done()
			gone <- time.Since(began)
		})
	}, func(t *testing.T, b *bench) {
		b.start()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, "GET", "http://shop.example/", nil)
		require.NoError(t, err)
		_, err = b.client().Do(req)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 3*time.Second, <-gone)
		require.Equal(t, map[int]uint64{499: 1}, b.stats().Requests)
	})
}

// upgrades agrees to a protocol and sends back what it gets.
func upgrades(string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", r.Header.Get("Upgrade"))
		io.Copy(conn, rw)
	})
}

func (b *bench) upgrade() (net.Conn, *bufio.Reader) {
	conn := b.connect()
	io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	require.NoError(b.t, err)
	require.Equal(b.t, 101, resp.StatusCode)
	require.Equal(b.t, "echo", resp.Header.Get("Upgrade"))
	return conn, r
}

func TestAnUpgradedConnection(t *testing.T) {
	inBubble(t, 1, upgrades, func(t *testing.T, b *bench) {
		b.start()
		conn, r := b.upgrade()
		defer conn.Close()
		for range 5 {
			time.Sleep(50 * time.Second)
			io.WriteString(conn, "hello\n")
			line, err := r.ReadString('\n')
			require.NoError(t, err)
			require.Equal(t, "hello\n", line)
		}
		stats := b.stats()
		require.EqualValues(t, 1, stats.Open)
		require.EqualValues(t, 1, stats.Backends[0].Active)
		began := time.Now()
		_, err := r.ReadByte()
		require.Error(t, err)
		require.Equal(t, time.Minute, time.Since(began), "silence ends it")
		stats = b.stats()
		require.Zero(t, stats.Open)
		require.Zero(t, stats.Backends[0].Active)
		require.Equal(t, map[int]uint64{101: 1}, stats.Requests)
	})
}

func TestCloseEndsWhatIsOpen(t *testing.T) {
	inBubble(t, 1, upgrades, func(t *testing.T, b *bench) {
		b.start()
		conn, r := b.upgrade()
		defer conn.Close()
		b.listener.Close()
		_, err := r.ReadByte()
		require.Error(t, err)
	})
}

func TestDrainWaitsForWhatIsOpen(t *testing.T) {
	inBubble(t, 1, upgrades, func(t *testing.T, b *bench) {
		b.start()
		conn, _ := b.upgrade()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		require.ErrorIs(t, b.listener.Drain(ctx), context.DeadlineExceeded)
		time.AfterFunc(3*time.Second, func() { conn.Close() })
		require.NoError(t, b.listener.Drain(t.Context()))
	})
}

// A connection that is open sees the new configuration with its next request.
func TestAConfigurationIsSwapped(t *testing.T) {
	inBubble(t, 2, says, func(t *testing.T, b *bench) {
		b.start()
		client := b.client()
		_, body := b.get(client, "/")
		require.Equal(t, "a", body)
		changed := *b.config.HTTP
		changed.Rules = []topology.ListenerRule{{Paths: []string{"/"}, Action: answers(200, "", "closed")}}
		b.config.HTTP = &changed
		b.listener.Configure(b.config)
		_, body = b.get(client, "/")
		require.Equal(t, "closed", body)
		require.EqualValues(t, 1, b.stats().Accepted)
	})
}

func TestHTTPSAndHTTP2(t *testing.T) {
	inBubble(t, 1, func(name string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, r.Proto, " ", r.Header.Get("X-Forwarded-Proto"))
		})
	}, func(t *testing.T, b *bench) {
		old, oldCA := certificate(t, "shop.example")
		renewed, newCA := certificate(t, "shop.example")
		b.config.Protocol, b.config.Certificates = "https", []tls.Certificate{old}
		b.config.HTTP.Forwarded = []string{"proto"}
		b.start()
		get := func(ca *x509.Certificate, h2 bool) (*http.Response, string, error) {
			roots := x509.NewCertPool()
			roots.AddCert(ca)
			transport := &http.Transport{
				DialContext:     func(context.Context, string, string) (net.Conn, error) { return b.connect(), nil },
				TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: h2,
			}
			defer transport.CloseIdleConnections()
			resp, err := (&http.Client{Transport: transport}).Get("https://shop.example/")
			if err != nil {
				return nil, "", err
			}
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			return resp, string(body), err
		}
		for _, h2 := range []bool{false, true} {
			resp, body, err := get(oldCA, h2)
			require.NoError(t, err)
			require.Equal(t, map[bool]string{false: "HTTP/1.1", true: "HTTP/2.0"}[h2], resp.Proto)
			require.Equal(t, "HTTP/1.1 https", body, "servers are spoken to in HTTP/1.1")
		}
		b.config.Certificates = []tls.Certificate{renewed}
		b.listener.Configure(b.config)
		_, _, err := get(oldCA, false)
		var unknown x509.UnknownAuthorityError
		require.ErrorAs(t, err, &unknown)
		_, _, err = get(newCA, false)
		require.NoError(t, err)

		conn := b.connect()
		defer conn.Close()
		go io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err)
		require.Equal(t, 400, resp.StatusCode, "plain HTTP at an https listener")
	})
}

func TestServersMaySpeakTLSWithAnyCertificate(t *testing.T) {
	inBubble(t, 1, func(string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.TLS != nil, " ", r.Host) })
	}, func(t *testing.T, b *bench) {
		own, _ := certificate(t, "somebody.example")
		push := b.server(0).handle
		b.server(0).handle = func(conn net.Conn) { push(tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{own}})) }
		b.config.Groups[0].Protocol = "https"
		b.start()
		resp, body := b.get(b.client(), "/")
		require.Equal(t, 200, resp.StatusCode)
		require.Equal(t, "true shop.example", body)

		b.raw(0, func(c net.Conn) {
			bufio.NewReader(c).ReadByte()
			io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
			c.Close()
		})
		resp, _ = b.get(b.client(), "/")
		require.Equal(t, 502, resp.StatusCode, "what it answers is not TLS")
	})
}

// certificate is one for a name, signed by itself.
func certificate(t *testing.T, name string) (tls.Certificate, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	parsed, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, parsed
}
