package server_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/api/server"
	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/labdir"
	"github.com/plinksim/plinksim/pkg/machine/kernel"
	"github.com/plinksim/plinksim/pkg/machine/netstack"
	"github.com/plinksim/plinksim/pkg/pcap"
	"github.com/plinksim/plinksim/pkg/peer"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

// overTwo is a lab with an endpoint on each of two hosts.
const overTwo = `
name: over-two
cloud: alibaba
region: r1
accounts: [shop]
hosts: {a: {address: 198.18.0.1, zones: [r1-h]}, b: {address: 198.18.0.2, zones: [r1-i]}}
underlay: {mtu: 1550}
vpcs:
  shop:
    account: shop
    cidr: 10.0.0.0/16
    subnets: {h: {zone: r1-h, cidr: 10.0.1.0/24}, i: {zone: r1-i, cidr: 10.0.2.0/24}}
    instances:
      web-h: {subnet: h, services: [{http: 80}]}
      web-i: {subnet: i, services: [{http: 80}]}
      silent: {subnet: i}
server_groups:
  web: {vpc: shop, health_check: {protocol: none}, servers: [{instance: web-h, port: 80}, {instance: web-i, port: 80}]}
load_balancers:
  nlb: {type: nlb, vpc: shop, subnets: [h, i], listeners: [{protocol: tcp, port: 80, server_group: web}]}
endpoint_services:
  web: {resources: [nlb], auto_accept: true, zone_affinity: true, whitelist: [shop]}
endpoints:
  ep: {service: web, vpc: shop, subnets: [h, i]}
`

// host is one of the hosts of overTwo, in this process.
type hostServer struct {
	client *api.Client  // of its socket
	listen net.Listener // for the other host
	end    func()
}

// serveHosts runs both hosts, which know each other by certificates. Programs of host b run in a
// namespace of another lab, as those of this one are in the process.
func serveHosts(t *testing.T, programs execs) (a, b *hostServer) {
	t.Helper()
	plan, err := topofile.Parse("over-two.yaml", []byte(overTwo))
	require.NoError(t, err)
	certificates := t.TempDir()
	_, err = peer.Make(certificates, plan, false, time.Now())
	require.NoError(t, err)
	all := map[string]*hostServer{}
	for i, name := range []string{"a", "b"} {
		root, err := os.MkdirTemp("", "api") // a socket's path must be short
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, os.RemoveAll(root)) })
		dir := labdir.Dir(root + "/over-two")
		require.NoError(t, os.MkdirAll(string(dir), 0o700))
		running, err := lab.Start(t.Context(), lab.Config{Plan: plan, Machine: netstack.New(), Store: dir, Host: name})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, running.Close(context.Background())) })
		own, err := peer.Load(filepath.Join(certificates, name), &plan.Hosts[i], time.Now())
		require.NoError(t, err)
		tcp, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		socket, err := server.Listen(dir.Socket())
		require.NoError(t, err)
		h := &hostServer{client: api.NewClient(dir), listen: tcp}
		newServer := func() *server.Server {
			return &server.Server{
				Lab: running, Handover: api.Handover{Host: name},
				Peer: func(host string) *api.Client {
					at := netip.MustParseAddrPort(all[host].listen.Addr().String())
					return api.NewPeerClient(plan.Name, host, at, own.Client(host))
				},
				Exec: func(_ *topology.Plan, instance *topology.Instance, call api.ExecCall) (server.Process, error) {
					p, err := kernel.StartExec(programs.dir, "vpc1.ecs1", append(os.Environ(), "ON="+name+"/"+instance.Name), call)
					if err != nil {
						return nil, err
					}
					return p, nil
				},
				Logs: func(_ context.Context, instance *topology.Instance, call api.LogsCall, out io.Writer) error {
					if instance.Name == "silent" {
						return &api.Error{Text: "it prints nothing", Hint: "only programs do"}
					}
					_, err := fmt.Fprintf(out, "%s/%s prints %+v\n", name, instance.Name, call)
					return err
				},
			}
		}
		serve := func(s *server.Server, ln net.Listener) (stop func()) {
			ctx, cancel := context.WithCancelCause(context.Background())
			ended := make(chan error, 1)
			go func() { ended <- s.Serve(ctx, ln) }()
			return func() {
				cancel(errors.New("the host is over"))
				require.NoError(t, <-ended)
			}
		}
		t.Cleanup(serve(newServer(), socket))
		stop := serve(newServer(), tls.NewListener(tcp, own.Server(func(string) bool { return true })))
		stopped := false
		h.end = func() {
			if !stopped {
				stopped = true
				stop()
			}
		}
		t.Cleanup(h.end)
		all[name] = h
	}
	return all["a"], all["b"]
}

func TestProgramsRunOnTheHostOfTheirInstance(t *testing.T) {
	e := serveExec(t)
	a, b := serveHosts(t, e)
	for _, tt := range []struct {
		from         *hostServer
		instance, on string
	}{{a, "web-i", "b/web-i"}, {b, "web-h", "a/web-h"}, {a, "web-h", "a/web-h"}} {
		var stdout, stderr bytes.Buffer
		data := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
		code, err := tt.from.client.Exec(t.Context(), api.ExecCall{
			Instance: tt.instance, Argv: []string{"sh", "-c", "echo $ON; sha256sum; echo sorry >&2; exit 9"},
		}, api.ExecIO{Stdin: bytes.NewReader(data), Stdout: &stdout, Stderr: &stderr})
		require.NoError(t, err)
		require.Equal(t, 9, code)
		require.Equal(t, fmt.Sprintf("%s\n%x  -\n", tt.on, sha256.Sum256(data)), stdout.String())
		require.Equal(t, "sorry\n", stderr.String())
	}
	e.requireGone()

	// A user who is gone takes the program along, through both daemons.
	ctx, cancel := context.WithCancel(t.Context())
	screen := newShown()
	go func() {
		screen.await(t, "ready")
		cancel()
	}()
	_, err := a.client.Exec(ctx, api.ExecCall{Instance: "web-i", Argv: []string{"sh", "-c", "echo ready; sleep 1000"}},
		api.ExecIO{Stdin: &zeros{}, Stdout: screen, Stderr: io.Discard})
	require.Error(t, err)
	e.requireGone()

	// So does a host that is gone, and its user is told.
	screen = newShown()
	go func() {
		screen.await(t, "ready")
		b.end()
	}()
	_, err = a.client.Exec(t.Context(), api.ExecCall{Instance: "web-i", Argv: []string{"sh", "-c", "echo ready; sleep 1000"}},
		api.ExecIO{Stdin: strings.NewReader(""), Stdout: screen, Stderr: io.Discard})
	require.ErrorContains(t, err, "the program is cut off")
	e.requireGone()
	_, err = a.client.Exec(t.Context(), api.ExecCall{Instance: "web-i", Argv: []string{"true"}}, api.ExecIO{Stdin: strings.NewReader("")})
	require.ErrorContains(t, err, `host "b": its daemon does not answer`)
}

func TestLogsAreThoseOfTheHostOfTheInstance(t *testing.T) {
	a, b := serveHosts(t, execs{})
	for _, tt := range []struct {
		from         *hostServer
		instance, on string
	}{{a, "web-i", "b"}, {b, "web-h", "a"}, {a, "web-h", "a"}} {
		var out bytes.Buffer
		require.NoError(t, tt.from.client.Logs(t.Context(), api.LogsCall{Instance: tt.instance, Tail: 3, Follow: true}, &out))
		require.Equal(t, fmt.Sprintf("%s/%s prints {Instance:%[2]s Tail:3 Follow:true}\n", tt.on, tt.instance), out.String())
	}
	err := a.client.Logs(t.Context(), api.LogsCall{Instance: "silent", Tail: -1}, io.Discard)
	require.EqualError(t, err, "it prints nothing")
	refused := (*api.Error)(nil)
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "only programs do", refused.Hint)
	b.end()
	require.ErrorContains(t, a.client.Logs(t.Context(), api.LogsCall{Instance: "web-i"}, io.Discard), `host "b": its daemon does not answer`)
}

// captured is what a capture of everything has after so long: its notes, and its interfaces.
func captured(t *testing.T, client *api.Client, opts status.CaptureOptions) (notes []string, described string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var file bytes.Buffer
	require.NoError(t, client.Capture(ctx, opts, func(r io.Reader) error {
		time.AfterFunc(time.Second/2, cancel)
		_, _, err := pcap.CopyBlocks(&file, r, func(text string) { notes = append(notes, text) })
		return err
	}))
	return notes, file.String()
}

func TestACaptureIsThatOfAllHosts(t *testing.T) {
	e := serveExec(t)
	a, b := serveHosts(t, e)
	notes, text := captured(t, a.client, status.CaptureOptions{})
	require.Empty(t, notes)
	require.Contains(t, text, "host a: ")
	require.Contains(t, text, "host b: ")
	notes, text = captured(t, a.client, status.CaptureOptions{ENIs: []string{"ep@r1-i"}})
	require.Empty(t, notes)
	require.Contains(t, text, "host b: ")
	require.NotContains(t, text, "host a: ")
	_, text = captured(t, a.client, status.CaptureOptions{ENIs: []string{"ep@r1-h"}})
	require.NotContains(t, text, "host b: ")
	require.ErrorContains(t, a.client.Capture(t.Context(), status.CaptureOptions{ENIs: []string{"ep@r1-k"}}, nil), "ep@r1-k")

	b.end()
	notes, text = captured(t, a.client, status.CaptureOptions{})
	require.Len(t, notes, 1)
	require.Contains(t, notes[0], `host "b": its daemon does not answer`)
	require.Contains(t, text, "host a: ")
	require.ErrorContains(t, a.client.Capture(t.Context(), status.CaptureOptions{ENIs: []string{"ep@r1-i"}}, nil),
		`host "b": its daemon does not answer`)
}
