package server_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/api/server"
	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/labdir"
	"github.com/plinksim/plinksim/pkg/machine/netstack"
	"github.com/plinksim/plinksim/pkg/peer"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

const onHosts = `
name: on-hosts
cloud: alibaba
region: r1
accounts: [shop, vendor]
hosts:
  a: {address: 198.18.0.1, zones: [r1-h]}
  b: {address: 198.18.0.2, zones: [r1-i]}
vpcs:
  shop:
    account: shop
    cidr: 10.0.0.0/16
    mtu: 1400
    subnets: {h: {zone: r1-h, cidr: 10.0.1.0/24}, i: {zone: r1-i, cidr: 10.0.2.0/24}}
    instances: {web-h: {subnet: h, services: [{http: 80}]}, web-i: {subnet: i, services: [{http: 80}]}}
  vendor:
    account: vendor
    cidr: 10.0.0.0/16
    mtu: 1400
    subnets: {h: {zone: r1-h, cidr: 10.0.1.0/24}, i: {zone: r1-i, cidr: 10.0.2.0/24}}
    instances: {api-h: {subnet: h, services: [{http: 80}]}, api-i: {subnet: i, services: [{http: 80}]}}
server_groups:
  api: {vpc: vendor, health_check: {protocol: none}, servers: [{instance: api-h, port: 80}, {instance: api-i, port: 80}]}
load_balancers:
  nlb: {type: nlb, vpc: vendor, subnets: [h, i], cross_zone: false, listeners: [{protocol: tcp, port: 80, server_group: api}]}
endpoint_services:
  api: {resources: [nlb], auto_accept: true, zone_affinity: true, whitelist: [shop]}
endpoints:
  ep: {service: api, vpc: shop, subnets: [h, i]}
checks:
  - {name: zone h, from: web-h, get: "http://${ep}/", times: 2, expect: {bodies: [api-h]}}
  - {name: zone i, from: web-i, get: "http://${ep}/", times: 3, expect: {bodies: [api-i]}}
  - {name: wrong, from: web-i, get: "http://${ep}/", expect: {bodies: [api-h]}}
`

// hosts are the daemons of one lab over two hosts, in this process. The addresses of the hosts
// are those of this machine itself.
type hosts struct {
	t            *testing.T
	plan         *topology.Plan
	certificates string
	clients      map[string]*api.Client
	stop         map[string]func()
	peers        map[string]*server.Peers
	labs         map[string]*lab.Lab
}

func newHosts(t *testing.T) *hosts {
	t.Helper()
	h := &hosts{t: t, plan: onLoopback(t), clients: map[string]*api.Client{}, stop: map[string]func(){},
		peers: map[string]*server.Peers{}, labs: map[string]*lab.Lab{}}
	h.certificates = filepath.Join(t.TempDir(), "certificates")
	_, err := peer.Make(h.certificates, h.plan, false, time.Now())
	require.NoError(t, err)
	return h
}

// onLoopback is the topology with addresses and a port that are free.
func onLoopback(t *testing.T) *topology.Plan {
	t.Helper()
	plan, err := topofile.Parse("hosts.yaml", []byte(onHosts))
	require.NoError(t, err)
	n := byte(tests.Add(1)) // every test has addresses of its own, so that a port that was free stays so
	plan.Hosts[0].Address, plan.Hosts[1].Address = netip.AddrFrom4([4]byte{127, 1, n, 1}), netip.AddrFrom4([4]byte{127, 1, n, 2})
	ln, err := net.Listen("tcp", netip.AddrPortFrom(plan.Hosts[0].Address, 0).String())
	require.NoError(t, err)
	require.NoError(t, ln.Close())
	plan.Underlay.Port = uint16(ln.Addr().(*net.TCPAddr).Port)
	return plan
}

var tests atomic.Int32

func (h *hosts) credentials(name string) *peer.Credentials {
	h.t.Helper()
	host, err := h.plan.Host(name)
	require.NoError(h.t, err)
	c, err := peer.Load(filepath.Join(h.certificates, name), host, time.Now())
	require.NoError(h.t, err)
	return c
}

// start starts the daemon of a host.
func (h *hosts) start(name string, agreement lab.Agreement) {
	h.t.Helper()
	root, err := os.MkdirTemp("", "api") // a socket's path must be short
	require.NoError(h.t, err)
	h.t.Cleanup(func() { require.NoError(h.t, os.RemoveAll(root)) })
	dir := labdir.Dir(root + "/on-hosts")
	require.NoError(h.t, os.Mkdir(string(dir), 0o700))
	peers := &server.Peers{Credentials: h.credentials(name), Agreement: agreement}
	peerListener, err := peers.Listen(h.plan)
	require.NoError(h.t, err)
	running, err := lab.Start(h.t.Context(), lab.Config{
		Plan: h.plan, Machine: netstack.New(), Store: &lab.MemoryStore{}, Host: name, Remote: peers,
	})
	require.NoError(h.t, err)
	ln, err := server.Listen(dir.Socket())
	require.NoError(h.t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	s := &server.Server{Lab: running, Down: stop, Peers: peers, PeerListener: peerListener}
	go func() { ended <- s.Serve(ctx, ln) }()
	h.clients[name], h.peers[name], h.labs[name] = api.NewClient(dir), peers, running
	stopped := false
	h.stop[name] = func() {
		if !stopped {
			stopped = true
			stop()
			require.NoError(h.t, <-ended)
			require.NoError(h.t, running.Close(context.Background()))
		}
	}
	h.t.Cleanup(h.stop[name])
}

// at is where a host answers the others.
func (h *hosts) at(name string) netip.AddrPort {
	host, err := h.plan.Host(name)
	require.NoError(h.t, err)
	return netip.AddrPortFrom(host.Address, h.plan.Underlay.Port)
}

// asPeer is host from, which asks host to.
func (h *hosts) asPeer(from, to string) *api.Client {
	return api.NewPeerClient(h.plan.Name, to, h.at(to), h.credentials(from).Client(to))
}

func TestTheHostsOfALabAnswerAsOne(t *testing.T) {
	t.Parallel()
	h := newHosts(t)
	h.start("a", nil)
	h.start("b", nil)
	a, b := h.clients["a"], h.clients["b"]
	ctx := t.Context()

	// Each check runs at its host, in the order of the file.
	for name, client := range h.clients {
		var lines []string
		require.NoError(t, client.Check(ctx, api.CheckCall{}, func(c status.Check) error {
			lines = append(lines, fmt.Sprintf("%d/%d %s %t %s", c.Number, c.Of, c.Name, c.Passed, c.Got))
			return nil
		}))
		require.Equal(t, []string{"1/3 zone h true api-h 2x", "2/3 zone i true api-i 3x", `3/3 wrong false the answer "api-i"`},
			lines, "host %s", name)
	}

	// What either tells is the whole lab.
	now := map[string]status.Lab{}
	for name, client := range h.clients {
		s, err := client.Status(ctx)
		require.NoError(t, err)
		for i := range s.Hosts {
			require.Equal(t, status.DaemonOK, s.Hosts[i].Daemon)
			require.Equal(t, s.Hosts[i].Name == name, s.Hosts[i].Here)
			s.Hosts[i].Here = false
		}
		for _, vpc := range s.VPCs {
			for i := range vpc.Instances {
				require.Equal(t, "listening", vpc.Instances[i].Services[0].State, vpc.Instances[i].Name)
				vpc.Instances[i].Host = ""
			}
		}
		s.Host, s.Dir, s.Started, s.Endpoints, s.Services, s.NATGateways = "", "", time.Time{}, nil, nil, nil
		s.Dataplane.Workers = nil
		for _, g := range s.ServerGroups {
			for i := range g.Servers {
				g.Servers[i].Since = time.Time{}
			}
		}
		now[name] = s
	}
	require.Equal(t, now["a"], now["b"])
	opened := map[string]uint64{}
	for _, l := range now["a"].Links {
		opened[l.Name] = l.SessionsOpened
	}
	require.Equal(t, uint64(4), opened["ep@r1-h tcp/80"])
	require.Equal(t, uint64(8), opened["ep@r1-i tcp/80"])
	require.Less(t, index(now["a"].Links, "ep@r1-h tcp/80"), index(now["a"].Links, "ep@r1-i tcp/80"))
	sessions := map[string]int{}
	for _, client := range h.clients {
		all, err := client.Sessions(ctx)
		require.NoError(t, err)
		for _, s := range all {
			sessions[s.Link]++
		}
	}
	require.Len(t, sessions, 2)

	// What is of an instance is done on its host, and is answered as there.
	for _, from := range []string{"web-h", "web-i"} {
		there, err := b.Explain(ctx, from, "http://ep/")
		require.NoError(t, err)
		here, err := a.Explain(ctx, from, "http://ep/")
		require.NoError(t, err)
		require.Equal(t, there, here)
		require.True(t, here.Passes, "%+v", here)
		answer, err := a.Query(ctx, from, "ep", "")
		require.NoError(t, err)
		require.Equal(t, from, answer.From)
	}
	for _, client := range h.clients {
		services, err := client.Restart(ctx, "web-i")
		require.NoError(t, err)
		require.Equal(t, []string{"http 80"}, services)
	}
	_, err := a.Explain(ctx, "web-j", "http://ep/")
	require.ErrorContains(t, err, "web-j")

	// What is of all is done on all.
	_, err = b.TakeDown(ctx, api.Failure{Ref: "r1-h"})
	require.NoError(t, err)
	for _, client := range []*api.Client{a, b, h.asPeer("a", "b"), h.asPeer("b", "a")} {
		f, err := client.Faults(ctx)
		require.NoError(t, err)
		require.Equal(t, []string{"r1-h"}, f.ZonesDown)
	}
	_, err = a.TakeDown(ctx, api.Failure{Ref: "r1-x"})
	require.ErrorContains(t, err, "r1-x")
	require.NotContains(t, err.Error(), "is done", "what one host refuses is done nowhere")
	_, err = a.BringUp(ctx, api.Failure{Ref: "r1-h"})
	require.NoError(t, err)
	require.NoError(t, a.SetTimeScale(ctx, 5))
	s, err := h.asPeer("a", "b").Outline(ctx)
	require.NoError(t, err)
	require.Equal(t, 5.0, s.TimeScale)
	require.Empty(t, s.Hosts[0].Daemon, "who is asked by another host asks nobody")

	// A question of every host's instances.
	asked, done := context.WithCancel(ctx)
	seen := make(chan string, 100)
	go a.WatchQueries(asked, "", func(q api.WatchedQuery) error { seen <- q.From; return nil })
	got := map[string]bool{}
	for len(got) < 2 {
		require.NoError(t, b.Check(ctx, api.CheckCall{Only: "zone"}, func(status.Check) error { return nil }))
		for len(seen) > 0 {
			got[<-seen] = true
		}
	}
	require.Equal(t, map[string]bool{"web-h": true, "web-i": true}, got)
	done()

	h.stop["b"]()
	begin := time.Now()
	s, err = a.Status(ctx)
	require.NoError(t, err)
	require.Less(t, time.Since(begin), 3*time.Second)
	require.Equal(t, "connection refused", s.Hosts[1].Daemon)
	for _, vpc := range s.VPCs {
		for _, in := range vpc.Instances {
			require.Equal(t, map[bool]string{true: "listening", false: "unknown"}[in.Host == ""], in.Services[0].State)
		}
	}
	_, err = a.Restart(ctx, "web-i")
	require.ErrorContains(t, err, `host "b": its daemon does not answer: `)
	_, err = a.TakeDown(ctx, api.Failure{Ref: "r1-i"})
	require.ErrorContains(t, err, `it is done on host a, and not everywhere: host "b": its daemon does not answer`)
	_, err = a.Restart(ctx, "web-h")
	require.NoError(t, err)
}

func index(links []status.Link, name string) int {
	for i, l := range links {
		if l.Name == name {
			return i
		}
	}
	return -1
}

// agreed is an agreement in which nothing is agreed but who leads.
type agreed struct {
	lab.Agreement
	leader  string
	silent  time.Time
	applied atomic.Int64 // on all hosts
}

func (a *agreed) Hosts() map[string]lab.HostReport {
	return map[string]lab.HostReport{"a": {Applied: a.applied.Load()}, "b": {Applied: a.applied.Load()}}
}

func (a *agreed) Leader() string          { return a.leader }
func (a *agreed) Silent() time.Time       { return a.silent }
func (a *agreed) Now() (lab.Record, bool) { return lab.Record{Revision: 7}, true }

// Both labs refuse operations themselves, each in words of its own.
func TestTheLeaderIsAsked(t *testing.T) {
	t.Parallel()
	h := newHosts(t)
	of := map[string]*agreed{"a": {leader: "b"}, "b": {leader: "b"}}
	h.start("a", of["a"])
	h.start("b", of["b"])
	of["a"].applied.Store(7)
	reject := api.Call{Operation: topology.Operation{Verb: "reject", Service: "api", Endpoint: "ep"}}
	do := func(c *api.Client) *api.Error {
		t.Helper()
		_, err := c.Do(t.Context(), reject)
		var refused *api.Error
		require.ErrorAs(t, err, &refused)
		return refused
	}
	require.Contains(t, do(h.clients["a"]).Hint, "plinksim up FILE --host b")
	require.Equal(t, do(h.clients["b"]), do(h.clients["a"]), "a refusal goes on as it is")
	_, err := h.clients["a"].Edit(t.Context(), api.EditCall{})
	require.NoError(t, err, "an edit of nothing")

	// So do the APIs of clouds, of which clients know the code and the object of a refusal.
	_, here := server.Leading(h.peers["b"], h.labs["b"]).Do(t.Context(), reject.Operation, 0)
	_, there := server.Leading(h.peers["a"], h.labs["a"]).Do(t.Context(), reject.Operation, 0)
	var refused *control.Error
	require.ErrorAs(t, here, &refused)
	require.Equal(t, here, there)
	require.Equal(t, "lab", refused.Kind)
	_, err = server.Leading(h.peers["a"], h.labs["a"]).EditBy(t.Context(), lab.Editor{By: "me"},
		[]topology.Edit{{Path: "endpoints/ep/description", Value: "x"}}, 0)
	require.Equal(t, here, err)

	// Where each believes that the other leads, it goes once.
	of["b"].leader = "a"
	require.Contains(t, do(h.clients["a"]).Hint, "plinksim up FILE --host b")
	require.Contains(t, do(h.clients["b"]).Hint, "plinksim up FILE --host a")

	of["a"].leader = ""
	begin := time.Now()
	require.Contains(t, do(h.clients["a"]).Text, "no host leads this lab at the moment")
	require.Less(t, time.Since(begin), lab.RefusedWithin+time.Second/2)
	of["a"].silent = time.Now()
	begin = time.Now()
	require.Contains(t, do(h.clients["a"]).Text, "the control plane has no quorum, and nothing was changed; packets go on with revision 7")
	require.Less(t, time.Since(begin), time.Second)
	// What changes nothing needs no leader.
	_, err = h.clients["a"].Explain(t.Context(), "web-i", "http://ep/")
	require.NoError(t, err)
}

// A leader that dies with the answer may have made the change. One that is not there has not.
func TestALeaderThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	h := newHosts(t)
	h.start("a", &agreed{leader: "b"})
	reject := topology.Operation{Verb: "reject", Service: "api", Endpoint: "ep"}
	// The daemon serves when the client has an answer, which the API of a cloud does not wait for.
	ask := []func() error{
		func() error { _, err := h.clients["a"].Do(t.Context(), api.Call{Operation: reject}); return err },
		func() error {
			_, err := server.Leading(h.peers["a"], h.labs["a"]).Do(t.Context(), reject, 0)
			return err
		},
	}
	for _, do := range ask {
		require.ErrorContains(t, do(), `connection refused; nothing was changed`)
	}
	plain, err := net.Listen("tcp", h.at("b").String())
	require.NoError(t, err)
	for _, do := range ask { // the kernel takes the connection
		require.ErrorContains(t, do(), `: no TLS handshake within 2s; nothing was changed`)
	}
	require.NoError(t, plain.Close())
	plain, err = net.Listen("tcp", h.at("b").String())
	require.NoError(t, err)
	ln := tls.NewListener(plain, h.credentials("b").Server(func(string) bool { return true }))
	defer ln.Close()
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			http.ReadRequest(bufio.NewReader(conn))
			conn.Close()
		}
	}()
	for _, do := range ask {
		err := do()
		require.ErrorContains(t, err, `host "b": its daemon does not answer: `)
		require.ErrorContains(t, err, `; it is not known whether the change was made`)
	}
}

// Who changes the lab on one host and looks at it there next sees what was changed.
func TestWhatTheLeaderDidIsThereBeforeItIsAnswered(t *testing.T) {
	t.Parallel()
	h := newHosts(t)
	of := map[string]*agreed{"a": {leader: "b"}, "b": {leader: "b"}}
	h.start("a", of["a"])
	h.start("b", of["b"])
	edit := make(chan error, 1)
	go func() {
		_, err := h.clients["a"].Edit(t.Context(), api.EditCall{})
		edit <- err
	}()
	select {
	case err := <-edit:
		t.Fatalf("it was answered before revision 7 was in force here: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	of["a"].applied.Store(7)
	require.NoError(t, <-edit)
}

// Each row is what somebody asks a host for at its address for other hosts.
func TestWhatOtherHostsMayNotAskFor(t *testing.T) {
	t.Parallel()
	h := newHosts(t)
	h.start("b", nil)
	for _, tt := range []struct {
		name, method, path, lab string
		status                  int
		want                    string
	}{
		{"what is for all", "GET", "/v1/sessions", "on-hosts", 200, ""},
		{"the end of the lab", "POST", "/v1/down", "on-hosts", 403, `host "a" may not ask host "b" for this: only who is on it may`},
		{"its log", "POST", "/v1/log", "on-hosts", 403, "only who is on it may"},
		{"another lab", "GET", "/v1/sessions", "another", 421, `host "b" answers for lab "on-hosts" here, and not for lab "another"`},
		{"no lab", "GET", "/v1/sessions", "", 421, `and not for lab ""`},
		{"what is nothing", "GET", "/v1/nothing", "on-hosts", 404, "404 page not found"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			transport := &http.Transport{TLSClientConfig: h.credentials("a").Client("b"), DisableKeepAlives: true}
			req, err := http.NewRequest(tt.method, "https://"+h.at("b").String()+tt.path, nil)
			require.NoError(t, err)
			req.Header.Set(api.PeerHeader, tt.lab)
			resp, err := transport.RoundTrip(req)
			require.NoError(t, err)
			defer resp.Body.Close()
			text, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.Equal(t, tt.status, resp.StatusCode, "%s", text)
			if tt.want != "" {
				require.Contains(t, strings.ReplaceAll(string(text), `\"`, `"`), tt.want)
			}
		})
	}
	// A user asks for nothing that is between hosts.
	_, err := h.clients["b"].CheckOne(t.Context(), nil, 0)
	require.ErrorContains(t, err, "only another host of the lab asks for this")

	resp, err := http.Get("http://" + h.at("b").String() + "/v1/sessions")
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusBadRequest, resp.StatusCode, "plain HTTP")
	_, err = (&http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}).
		Get("https://" + h.at("b").String() + "/v1/sessions")
	require.ErrorContains(t, err, "certificate required")
}

// Each row is a host b that is there, and is no good.
func TestAHostThatIsNoGoodHoldsNobodyUp(t *testing.T) {
	endless := func(conn net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
			return
		}
		io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n[")
		for spaces := bytes.Repeat([]byte(" "), 1<<10); ; {
			if _, err := conn.Write(spaces); err != nil {
				return
			}
		}
	}
	silent := func(conn net.Conn) { io.Copy(io.Discard, conn) }
	for _, tt := range []struct {
		name   string
		secure bool
		answer func(net.Conn)
		want   string
	}{
		{"it does not say who it is", false, silent, "no TLS handshake within 2s|nothing came for 2s"},
		{"it does not answer", true, silent, "nothing came for 2s"},
		{"its answer does not end", true, endless, "nothing came for 2s"},
		{"it is something else", false, func(c net.Conn) { io.WriteString(c, "SSH-2.0-OpenSSH_9.2\r\n") },
			"tls: first record does not look like a TLS handshake"},
		{"it ends in its answer", true, func(c net.Conn) {
			http.ReadRequest(bufio.NewReader(c))
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
		}, "unexpected EOF"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newHosts(t)
			h.start("a", nil)
			ln, err := net.Listen("tcp", h.at("b").String())
			require.NoError(t, err)
			if tt.secure {
				ln = tls.NewListener(ln, h.credentials("b").Server(func(string) bool { return true }))
			}
			t.Cleanup(func() { ln.Close() })
			go func() {
				for {
					conn, err := ln.Accept()
					if err != nil {
						return
					}
					go func() {
						defer conn.Close()
						tt.answer(conn)
					}()
				}
			}()
			begin := time.Now()
			s, err := h.clients["a"].Status(t.Context())
			require.NoError(t, err)
			require.Less(t, time.Since(begin), 3*time.Second)
			require.Regexp(t, tt.want, s.Hosts[1].Daemon)
			require.Equal(t, status.DaemonOK, s.Hosts[0].Daemon)
			var missing []string
			_, err = h.clients["a"].Telling(func(h http.Header) { missing = h.Values(api.SilentHeader) }).Sessions(t.Context())
			require.NoError(t, err)
			require.Len(t, missing, 1)
			require.Regexp(t, "^b: .*("+tt.want+")", missing[0])
		})
	}
}

// What a client of the daemon can ask for is what the table has.
func TestEveryQuestionOfTheClientHasARow(t *testing.T) {
	text, err := os.ReadFile("routes.go")
	require.NoError(t, err)
	rows := map[string]bool{}
	for _, m := range regexp.MustCompile(`\{"([A-Z]+ /[a-z0-9/-]+)", \w+, `).FindAllStringSubmatch(string(text), -1) {
		require.False(t, rows[m[1]], "%s has two rows", m[1])
		rows[m[1]] = true
	}
	files, err := filepath.Glob("../*.go")
	require.NoError(t, err)
	asked := 0
	for _, file := range files {
		source, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, m := range regexp.MustCompile(`"(GET|POST|DELETE)", "(/v1/[a-z/-]+)`).FindAllStringSubmatch(string(source), -1) {
			asked++
			require.True(t, rows[m[1]+" "+m[2]], "%s asks for %s %s, and routes.go has no row", file, m[1], m[2])
		}
	}
	require.Greater(t, asked, 20)
}
