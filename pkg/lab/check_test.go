package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/dns"
	"github.com/plinksim/plinksim/pkg/topology"
)

func TestJudge(t *testing.T) {
	refused := &net.OpError{Op: "dial", Err: fmt.Errorf("connect: %w", syscall.ECONNREFUSED)}
	late := &net.OpError{Op: "read", Err: context.DeadlineExceeded}
	for _, tt := range []struct {
		name string
		want topology.Expect
		came answer
		err  error
		ok   bool
		text string
	}{
		{"an answer is what is expected where nothing is said", topology.Expect{}, answer{status: 200, body: "hello"}, nil, true, ""},
		{"an error page is no answer", topology.Expect{}, answer{status: 503, body: ""}, nil, false, "status 503"},
		{"an error page may be expected", topology.Expect{Status: 503}, answer{status: 503, body: ""}, nil, true, ""},
		{"another status is not it", topology.Expect{Status: 503}, answer{status: 200, body: ""}, nil, false, "status 200"},
		{"one of the bodies", topology.Expect{Bodies: []string{"a", "b"}}, answer{status: 200, body: "b"}, nil, true, ""},
		{"a body of nobody", topology.Expect{Bodies: []string{"a", "b"}}, answer{status: 200, body: "c"}, nil, false, `the answer "c"`},
		{"an error instead of an answer", topology.Expect{}, answer{}, refused, false, "error: refused: dial: connect: connection refused"},
		{"the expected error", topology.Expect{Error: "timeout"}, answer{}, late, true, "error: timeout: read: context deadline exceeded"},
		{"another error than expected", topology.Expect{Error: "timeout"}, answer{}, refused, false, "error: refused: dial: connect: connection refused"},
		{"any error will do", topology.Expect{Error: "any"}, answer{}, errors.New("broken"), true, "error: other: broken"},
		{"an answer instead of an error", topology.Expect{Error: "timeout"}, answer{status: 200, body: "hello"}, nil, false, "an answer: hello"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text, ok := judge(tt.want, tt.came, tt.err)
			require.Equal(t, tt.text, text)
			require.Equal(t, tt.ok, ok)
		})
	}
}

func TestTryEach(t *testing.T) {
	answers := func(bodies ...string) func(context.Context) (answer, error) {
		next := 0
		return func(context.Context) (answer, error) {
			next++
			return answer{status: 200, body: bodies[(next-1)%len(bodies)]}, nil
		}
	}
	for _, tt := range []struct {
		name   string
		check  topology.Check
		try    func(context.Context) (answer, error)
		got    string
		passed bool
	}{
		{"every body has to come", topology.Check{Times: 4, Expect: topology.Expect{Bodies: []string{"a", "b"}}}, answers("a"), `a 4x, but never "b"`, false},
		{"all came, and are counted", topology.Check{Times: 3, Expect: topology.Expect{Bodies: []string{"a", "b"}}}, answers("a", "b"), "a 2x, b 1x", true},
		{"the first wrong answer ends it", topology.Check{Times: 3, Expect: topology.Expect{Bodies: []string{"a"}}}, answers("a", "c"), `the answer "c"`, false},
		{"a connection has no body", topology.Check{Times: 2, Connect: "10.0.0.1:80"}, answers(""), "connected", true},
		{"a long body is cut", topology.Check{Times: 1}, answers("0123456789 0123456789 0123456789 0123456789"), "0123456789 0123456789 0123456789 0123... 1x", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.check.Timeout = 1 << 40
			got, passed := tryEach(t.Context(), tt.check, tt.try)
			require.Equal(t, tt.got, got)
			require.Equal(t, tt.passed, passed)
		})
	}
}

// So many tries are made at a time as the check says, and how long each takes counts.
func TestTriesAreMadeAtATimeAndInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		most, now := 0, 0
		var mu sync.Mutex
		count := func(n int) {
			mu.Lock()
			defer mu.Unlock()
			now += n
			most = max(most, now)
		}
		try := func(context.Context) (answer, error) {
			count(1)
			defer count(-1)
			time.Sleep(time.Second)
			return answer{body: "a", silent: 400 * time.Millisecond}, nil
		}
		check := topology.Check{Times: 10, Parallel: 4, Timeout: time.Minute}
		start := time.Now()
		got, passed := tryEach(t.Context(), check, try)
		require.True(t, passed, got)
		require.Equal(t, "a 10x", got)
		require.Equal(t, 4, most)
		require.Equal(t, 3*time.Second, time.Since(start))

		check.Expect = topology.Expect{After: 600 * time.Millisecond, Within: 600 * time.Millisecond}
		_, passed = tryEach(t.Context(), check, try)
		require.True(t, passed, "silence that the check wants does not count")
		check.Expect.Within--
		got, passed = tryEach(t.Context(), check, try)
		require.False(t, passed)
		require.Equal(t, "after 600ms", got)
		check.Expect = topology.Expect{After: 601 * time.Millisecond}
		_, passed = tryEach(t.Context(), check, try)
		require.False(t, passed)
		require.Equal(t, "an answer, after 601ms at least", expectation(nil, check))
	})
}

// A connect check with bodies reads the server's first line, as a client of a
// database or a mail server does.
func TestConnectReadsTheGreeting(t *testing.T) {
	for _, tt := range []struct {
		name  string
		greet string // "" sends nothing
		check topology.Check
		body  string
		err   string // a part of it
	}{
		{"nothing is read where no body is expected", "hello\n", topology.Check{}, "", ""},
		{"the first line", "hello\nmore\n", topology.Check{Expect: topology.Expect{Bodies: []string{"x"}}}, "hello", ""},
		{"a line without an end", "hello", topology.Check{Expect: topology.Expect{Bodies: []string{"x"}}}, "hello", ""},
		{"a server that says nothing", "", topology.Check{Expect: topology.Expect{Bodies: []string{"x"}}}, "", "EOF"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			defer ln.Close()
			go func() {
				conn, err := ln.Accept()
				if err == nil {
					conn.Write([]byte(tt.greet))
					conn.Close()
				}
			}()
			hosts := func() []dns.Host { return []dns.Host{{IP: netip.MustParseAddr("127.0.0.1"), Name: "db.example"}} }
			client := &Client{space: hostSpace{}, resolver: &dns.Resolver{Hosts: hosts}}
			_, port, err := net.SplitHostPort(ln.Addr().String())
			require.NoError(t, err)
			tt.check.Connect = "db.example:" + port
			tt.check.Timeout = time.Minute
			a, err := converse(t.Context(), client, tt.check)
			require.Equal(t, tt.body, a.body)
			if tt.err != "" {
				require.ErrorContains(t, err, tt.err)
			} else {
				require.NoError(t, err)
			}
		})
	}
}

// hostSpace dials from this process's own host.
type hostSpace struct{ Space }

func (hostSpace) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, address)
}
