package lb_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/lb"
	"github.com/plinksim/plinksim/pkg/topology"
)

// judged is what a group thinks of its only server when a checker has made up
// its mind.
func judged(t *testing.T, at net.Addr, check topology.HealthCheck) lb.ServerHealth {
	t.Helper()
	server := netip.MustParseAddrPort(at.String())
	check.Interval, check.Healthy, check.Unhealthy = 10*time.Millisecond, 1, 1
	if check.Timeout == 0 {
		check.Timeout = 10 * time.Second
	}
	group := lb.NewGroup(topology.ServerGroup{
		Servers: []topology.Server{{IP: server.Addr(), Port: server.Port(), Weight: 1}}, HealthCheck: check,
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		(&lb.Checker{Group: group, Dial: (&net.Dialer{}).DialContext}).Run(ctx)
	}()
	h := group.Health()[0]
	for h.State == lb.Initial {
		changed := group.Changed()
		if h = group.Health()[0]; h.State == lb.Initial {
			<-changed
		}
	}
	cancel()
	<-done
	return h
}

func TestHTTPChecks(t *testing.T) {
	mux := http.NewServeMux()
	asked := make(chan *http.Request, 1000)
	mux.HandleFunc("/health", func(w http.ResponseWriter, r *http.Request) {
		select {
		case asked <- r:
		default:
		}
		io.WriteString(w, "fine")
	})
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/health",
			http.StatusFound)
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	check := topology.HealthCheck{Protocol: "http", Method: "GET", Path: "/health", Codes: "200-299"}

	require.Equal(t, lb.Healthy, judged(t, server.Listener.Addr(), check).State)
	r := <-asked
	require.Equal(t, "GET", r.Method)
	require.Equal(t, server.Listener.Addr().String(), r.Host)
	require.Equal(t, "plinksim-health-check", r.UserAgent())

	for _, tt := range []struct {
		name   string
		change func(*topology.HealthCheck)
		reason string // "" is healthy
		cause  lb.Cause
	}{
		{"a head is enough", func(c *topology.HealthCheck) { c.Method = "HEAD" }, "", lb.NoCause},
		{"a page that is not there", func(c *topology.HealthCheck) { c.Path = "/nothing" },
			"GET /nothing answers 404, not 200-299", lb.Mismatch},
		{"unless that is wanted", func(c *topology.HealthCheck) { c.Path, c.Codes = "/nothing", "404" }, "",
			lb.NoCause},
		{"a redirection is not followed", func(c *topology.HealthCheck) { c.Path = "/moved" },
			"GET /moved answers 302, not 200-299", lb.Mismatch},
	} {
		t.Run(tt.name, func(t *testing.T) {
			changed := check
			tt.change(&changed)
			h := judged(t, server.Listener.Addr(), changed)
			require.Equal(t, tt.reason == "", h.Healthy)
			require.Equal(t, tt.reason, h.Reason)
			require.Equal(t, tt.cause, h.Cause)
		})
	}

	t.Run("the cloud's agent and a host of the user's choice", func(t *testing.T) {
		for len(asked) > 0 {
			<-asked
		}
		changed := check
		changed.Host, changed.UserAgent = "www.example.com", "ELB-HealthChecker/2.0"
		require.True(t, judged(t, server.Listener.Addr(), changed).Healthy)
		r := <-asked
		require.Equal(t, "www.example.com", r.Host)
		require.Equal(t, "ELB-HealthChecker/2.0", r.UserAgent())
	})
}

// serve answers every connection with what answer does, and returns where.
func serve(t *testing.T, answer func(net.Conn)) net.Addr {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	t.Cleanup(func() { ln.Close(); <-done })
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			answer(conn)
			conn.Close()
		}
	}()
	return ln.Addr()
}

func TestHTTPChecksOfServersThatAreNone(t *testing.T) {
	check := topology.HealthCheck{Protocol: "http", Method: "GET", Path: "/", Codes: "200"}
	for _, tt := range []struct {
		name   string
		answer func(net.Conn)
		reason string
		cause  lb.Cause
	}{
		{"hangs up", func(c net.Conn) { bufio.NewReader(c).ReadString('\n') },
			"connected, but the connection ended before the answer", lb.AnswerFailed},
		{"speaks another protocol", func(c net.Conn) { io.WriteString(c, "SSH-2.0-x\r\n\r\n"); io.Copy(io.Discard, c) },
			"the answer is not HTTP", lb.Malformed},
		{"says nothing", func(c net.Conn) { io.Copy(io.Discard, c) }, "connected, but no answer within 100ms",
			lb.AnswerTimeout},
		{"never ends its head", func(c net.Conn) {
			io.WriteString(c, "HTTP/1.1 200 OK\r\n")
			for _, err := io.WriteString(c, strings.Repeat("X: x\r\n", 1000)); err == nil; {
				_, err = io.WriteString(c, strings.Repeat("X: x\r\n", 1000))
			}
		}, "the answer is not HTTP", lb.Malformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			changed := check
			changed.Timeout = 5 * time.Second
			if tt.cause == lb.AnswerTimeout {
				changed.Timeout = 100 * time.Millisecond
			}
			h := judged(t, serve(t, tt.answer), changed)
			require.Equal(t, lb.Unhealthy, h.State)
			require.Contains(t, h.Reason, tt.reason)
			require.Equal(t, tt.cause, h.Cause)
		})
	}
}

func TestChecksWithAPROXYHeader(t *testing.T) {
	for _, protocol := range []string{"tcp", "http"} {
		t.Run(protocol, func(t *testing.T) {
			got := make(chan string, 100)
			at := serve(t, func(c net.Conn) {
				head := make([]byte, 16)
				io.ReadFull(c, head)
				got <- string(head)
				if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				}
			})
			h := judged(t, at, topology.HealthCheck{Protocol: topology.Protocol(protocol), Method: "GET", Path: "/",
				Codes: "200", ProxyHeader: true})
			require.True(t, h.Healthy, h.Reason)
			require.Equal(t, "\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a\x20\x00\x00\x00", <-got)
		})
	}
}

// serveUDP answers datagrams with what answer says; "" is silence.
func serveUDP(t *testing.T, answer func(string) string) net.Addr {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	t.Cleanup(func() { pc.Close(); <-done })
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			if text := answer(string(buf[:n])); text != "" {
				pc.WriteTo([]byte(text), from)
			}
		}
	}()
	return pc.LocalAddr()
}

func TestUDPChecks(t *testing.T) {
	pong := func(s string) string { return strings.ReplaceAll(s, "ping", "pong") }
	silent := func(string) string { return "" }
	for _, tt := range []struct {
		name   string
		answer func(string) string
		check  topology.HealthCheck
		reason string // "" is healthy
	}{
		{"an answer is health", pong, topology.HealthCheck{}, ""},
		{"silence is health", silent, topology.HealthCheck{Timeout: 50 * time.Millisecond}, ""},
		{"the wanted answer", pong, topology.HealthCheck{Request: "ping", Response: "pong"}, ""},
		{"another answer", pong, topology.HealthCheck{Request: "hello", Response: "pong"},
			`the answer is "hello", not "pong"`},
		{"silence where an answer is wanted", silent, topology.HealthCheck{Timeout: 50 * time.Millisecond,
			Response: "pong"}, "connected, but no answer within 50ms"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.check.Protocol = "udp"
			h := judged(t, serveUDP(t, tt.answer), tt.check)
			require.Equal(t, tt.reason == "", h.Healthy, h.Reason)
			require.Equal(t, tt.reason, h.Reason)
		})
	}
	t.Run("nobody listens", func(t *testing.T) {
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
		require.NoError(t, err)
		require.NoError(t, pc.Close())
		h := judged(t, pc.LocalAddr(), topology.HealthCheck{Protocol: "udp"})
		require.Equal(t, lb.Unhealthy, h.State)
		require.Equal(t, "port unreachable", h.Reason)
	})
}

func TestSilenceIsHeardOutOnlyOnceAServerIsKnown(t *testing.T) {
	start := time.Now()
	h := judged(t, serveUDP(t, func(string) string { return "" }),
		topology.HealthCheck{Protocol: "udp", Timeout: time.Hour})
	require.True(t, h.Healthy)
	require.Less(t, time.Since(start), time.Minute)
}

func TestWords(t *testing.T) {
	for _, tt := range []struct {
		cloud    topology.Cloud
		balancer topology.LoadBalancerType
		state    lb.State
		cause    lb.Cause
		want     string
	}{
		{"aws", "nlb", lb.Initial, lb.NoCause, "initial Elb.InitialHealthChecking"},
		{"aws", "nlb", lb.Healthy, lb.NoCause, "healthy "},
		{"aws", "nlb", lb.Unhealthy, lb.Mismatch, "unhealthy Target.FailedHealthChecks"},
		{"aws", "alb", lb.Unhealthy, lb.Mismatch, "unhealthy Target.ResponseCodeMismatch"},
		{"aws", "alb", lb.Unhealthy, lb.AnswerTimeout, "unhealthy Target.Timeout"},
		{"aws", "nlb", lb.Unchecked, lb.NoCause, "unavailable Target.HealthCheckDisabled"},
		{"aws", "nlb", lb.Unhealthy, lb.SwitchedOff, "unused Target.InvalidState"},
		{"alibaba", "nlb", lb.Unhealthy, lb.SwitchedOff, "Unhealthy "},
		{"alibaba", "clb", lb.Healthy, lb.NoCause, "normal "},
		{"alibaba", "", lb.Unhealthy, lb.ConnectFailed, "abnormal "},
		{"alibaba", "nlb", lb.Initial, lb.NoCause, "Initial "},
		{"alibaba", "nlb", lb.Unhealthy, lb.ConnectTimeout, "Unhealthy CONNECT_TIMEOUT"},
		{"alibaba", "alb", lb.Unhealthy, lb.Mismatch, "Unhealthy HTTP_CODE_NOT_MATCH"},
		{"rfc", "clb", lb.Unchecked, lb.NoCause, "unchecked "},
	} {
		state, code := lb.ServerHealth{State: tt.state, Cause: tt.cause}.Words(tt.cloud, tt.balancer)
		require.Equal(t, tt.want, fmt.Sprint(state, " ", code))
	}
}
