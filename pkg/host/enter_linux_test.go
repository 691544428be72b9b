package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/plinksim/plinksim/pkg/topology"
)

// greet answers every connection to port 80 of an instance with a word.
func greet(t *testing.T, ns *Namespace, word string) {
	t.Helper()
	listener, err := ns.Listen(t.Context(), "tcp", ":80")
	require.NoError(t, err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, word) })}
	var wait sync.WaitGroup
	wait.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() { server.Close(); wait.Wait() })
}

func get(t *testing.T, client *http.Client, url string) string {
	t.Helper()
	response, err := client.Get(url)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return string(body)
}

func httpClient(dial func(context.Context, string, string) (net.Conn, error)) *http.Client {
	return &http.Client{
		Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true},
		Timeout:   10 * time.Second,
	}
}

func TestHTTPStaysInItsNamespaceTwentyTimesOfTwenty(t *testing.T) {
	plan := twoVPCs()
	addInstanceTo(&plan.VPCs[0], "vsw1", "client", "10.10.2.7")
	addInstanceTo(&plan.VPCs[1], "vsw2", "client", "10.10.2.7")
	dir := built(t, plan)
	greet(t, open(t, dir, "vpc1.ecs1"), "consumer")
	greet(t, open(t, dir, "vpc2.ecs2"), "provider")
	for name, want := range map[string]string{"vpc1.client": "consumer", "vpc2.client": "provider"} {
		ns := open(t, dir, name)
		client := httpClient(ns.DialContext)
		for range 20 {
			require.Equal(t, want, get(t, client, "http://10.10.2.1/"))
		}
	}
}

func TestInstancesOfAVPCReachEachOtherOverTheRouter(t *testing.T) {
	dir := built(t, twoVPCs())
	greet(t, open(t, dir, "vpc2.ecs3"), "ecs3")
	client := httpClient(open(t, dir, "vpc2.ecs2").DialContext)
	require.Equal(t, "ecs3", get(t, client, "http://10.10.3.1/"))
}

func TestVPCReachesItsInstancesFromTheHealthSource(t *testing.T) {
	dir := built(t, twoVPCs())
	listener, err := open(t, dir, "vpc2.ecs2").Listen(t.Context(), "tcp", ":80")
	require.NoError(t, err)
	defer listener.Close()
	vpc := open(t, dir, "vpc2")
	conn, err := vpc.DialFrom(t.Context(), netip.MustParseAddr("100.64.0.1"), "tcp", "10.10.2.1:80")
	require.NoError(t, err)
	defer conn.Close()
	accepted, err := listener.Accept()
	require.NoError(t, err)
	defer accepted.Close()
	require.Contains(t, accepted.RemoteAddr().String(), "100.64.0.1:")
	_, err = vpc.DialFrom(t.Context(), netip.MustParseAddr("100.64.0.9"), "tcp", "10.10.2.1:80")
	require.ErrorContains(t, err, "bind to 100.64.0.9: cannot assign requested address")
}

func TestDialContext(t *testing.T) {
	dir := built(t, twoVPCs())
	ns := open(t, dir, "vpc1.ecs1")
	short := func(t *testing.T) context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}
	t.Run("a closed port refuses", func(t *testing.T) {
		_, err := ns.DialContext(t.Context(), "tcp", "10.10.2.1:81")
		require.ErrorIs(t, err, unix.ECONNREFUSED)
		require.ErrorContains(t, err, "dial tcp 10.10.2.1:81: connect: connection refused")
	})
	t.Run("silence is a timeout", func(t *testing.T) {
		_, err := ns.DialContext(short(t), "tcp", "10.10.2.240:80")
		var timeout net.Error
		require.True(t, errors.As(err, &timeout) && timeout.Timeout(), "%v", err)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
	t.Run("a cancelled context ends it", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer time.AfterFunc(20*time.Millisecond, cancel).Stop()
		_, err := ns.DialContext(ctx, "tcp4", "10.10.2.240:80")
		require.ErrorIs(t, err, context.Canceled)
	})
	t.Run("UDP arrives", func(t *testing.T) {
		server, err := open(t, dir, "vpc1").ListenPacket(t.Context(), "udp4", "100.100.2.138:53")
		require.NoError(t, err)
		defer server.Close()
		conn, err := ns.DialContext(t.Context(), "udp", "100.100.2.138:53")
		require.NoError(t, err)
		defer conn.Close()
		_, err = conn.Write([]byte("hello"))
		require.NoError(t, err)
		buf := make([]byte, 16)
		n, from, err := server.ReadFrom(buf)
		require.NoError(t, err)
		require.Equal(t, "hello", string(buf[:n]))
		require.Equal(t, conn.LocalAddr().String(), from.String())
	})
	for _, tt := range []struct{ name, network, address, message string }{
		{"a name is refused", "tcp", "ecs2:80", "ecs2:80 is not an IP address and a port"},
		{"a network without ports is refused", "ip4:icmp", "10.10.2.1:0", "unknown network ip4:icmp"},
		{"an address of the other family is refused", "tcp6", "10.10.2.1:80", "unknown network tcp6"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ns.DialContext(t.Context(), tt.network, tt.address)
			require.ErrorContains(t, err, tt.message)
		})
	}
}

func TestListenRefusesNames(t *testing.T) {
	ns := open(t, built(t, twoVPCs()), "vpc1.ecs1")
	_, err := ns.Listen(t.Context(), "tcp", "localhost:80")
	require.ErrorContains(t, err, "localhost:80 is not an IP address and a port")
}

// threadIsIn gives a function that says whether its thread is in a namespace.
func threadIsIn(t *testing.T, dir, name string) func() error {
	t.Helper()
	want, err := inodeOf(netnsFile(dir, name))
	require.NoError(t, err)
	return func() error {
		got, err := inodeOf("/proc/thread-self/ns/net")
		if err == nil && got != want {
			err = fmt.Errorf("in namespace %v, not %v", got, want)
		}
		return err
	}
}

func TestDoLeavesTheProcessWhereItIs(t *testing.T) {
	dir := built(t, twoVPCs())
	ns := open(t, dir, "vpc1.ecs1")
	own, err := inodeOf("/proc/self/ns/net")
	require.NoError(t, err)
	isThere := threadIsIn(t, dir, "vpc1.ecs1")
	var wait sync.WaitGroup
	for range 200 {
		wait.Go(func() { require.NoError(t, ns.Do(isThere)) })
	}
	wait.Wait()
	// /proc/self shows the main thread, which must never have moved.
	now, err := inodeOf("/proc/self/ns/net")
	require.NoError(t, err)
	require.Equal(t, own, now)
	processes, err := Processes(dir)
	require.NoError(t, err)
	require.Empty(t, processes)
}

func TestVisitorsComeHome(t *testing.T) {
	dir := built(t, twoVPCs())
	ns := open(t, dir, "vpc1.ecs1")
	own, err := inodeOf("/proc/self/ns/net")
	require.NoError(t, err)
	isThere, refused := threadIsIn(t, dir, "vpc1.ecs1"), errors.New("refused")
	var visitors sync.WaitGroup
	for i := range 200 {
		visitors.Go(func() {
			if i%10 > 0 {
				require.NoError(t, ns.visit(isThere))
				return
			}
			err := ns.visit(func() error { return errors.Join(isThere(), refused) })
			require.Equal(t, errors.Join(refused), err)
		})
	}
	visitors.Wait()
	require.Eventually(t, func() bool { // a thread of an earlier test may be on its way out
		tasks, err := filepath.Glob("/proc/self/task/*/ns/net")
		require.NoError(t, err)
		require.NotEmpty(t, tasks)
		return !slices.ContainsFunc(tasks, func(task string) bool {
			at, err := inodeOf(task)
			return err == nil && at != own
		})
	}, 10*time.Second, 10*time.Millisecond)
}

func TestDoReportsAFunctionThatDoesNotReturn(t *testing.T) {
	ns := open(t, built(t, twoVPCs()), "vpc1.ecs1")
	err := ns.Do(func() error { runtime.Goexit(); return nil })
	require.ErrorContains(t, err, "instead of returning")
}

func TestNamespaceOutlivesTheLab(t *testing.T) {
	dir := built(t, twoVPCs())
	ns := open(t, dir, "vpc1.ecs1")
	require.NoError(t, Remove(t.Context(), dir))
	_, err := Open(dir, "vpc1.ecs1")
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, ns.Do(func() error { return nil }))
}

func TestSecurityGroupsDropAndCount(t *testing.T) {
	plan := twoVPCs()
	vpc := &plan.VPCs[1]
	vpc.SecurityGroups = []topology.SecurityGroup{
		{Name: "web", Ingress: []topology.Rule{rule("tcp", 80, 80, "10.10.2.0/24"), rule("tcp", 8000, 8010, "0.0.0.0/0")}},
		{Name: "no-admin", Ingress: []topology.Rule{{Deny: true, Priority: 1, Protocol: "tcp", FirstPort: 8003, LastPort: 8003, Peer: netip.MustParsePrefix("10.10.2.1/32")}}},
		{Name: "udp-only", Ingress: []topology.Rule{}, Egress: []topology.Rule{rule("udp", 0, 65535, "0.0.0.0/0")}},
	}
	vpc.Instances[1].SecurityGroups = []string{"web", "no-admin"}
	addInstanceTo(vpc, "vsw2", "quiet", "10.10.2.9").SecurityGroups = []string{"udp-only"}
	dir := built(t, plan)
	client, server := open(t, dir, "vpc2.ecs2"), open(t, dir, "vpc2.ecs3")
	quiet, router := open(t, dir, "vpc2.quiet"), open(t, dir, "vpc2")
	for _, port := range []string{":80", ":81", ":8010", ":8003"} {
		listener, err := server.Listen(t.Context(), "tcp", port)
		require.NoError(t, err)
		defer listener.Close()
	}
	open := func(ns *Namespace, address string) bool {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		conn, err := ns.DialContext(ctx, "tcp", address)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}
	drops := func(ns *Namespace) Drops {
		d, err := ns.SecurityGroupDrops()
		require.NoError(t, err)
		return d
	}
	require.Zero(t, drops(server))
	for _, tt := range []struct {
		name    string
		from    *Namespace
		address string
		want    bool
	}{
		{"a rule allows the port and the source", client, "10.10.3.1:80", true},
		{"the port is the last of a range", client, "10.10.3.1:8010", true},
		{"no rule names the port", client, "10.10.3.1:81", false},
		{"another group denies", client, "10.10.3.1:8003", false},
		{"the source is in no rule", router, "10.10.3.1:80", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := drops(server)
			require.Equal(t, tt.want, open(tt.from, tt.address))
			if tt.want {
				require.Equal(t, before, drops(server))
			} else {
				require.Greater(t, drops(server).Ingress, before.Ingress)
			}
		})
	}
	t.Run("what may not leave is counted where it starts", func(t *testing.T) {
		require.False(t, open(quiet, "10.10.3.1:80"))
		require.NotZero(t, drops(quiet).Egress)
		require.Zero(t, drops(quiet).Ingress)
	})
	t.Run("an instance asks its resolvers whatever its groups say", func(t *testing.T) {
		listener, err := router.Listen(t.Context(), "tcp", "100.100.2.136:53")
		require.NoError(t, err)
		defer listener.Close()
		require.True(t, open(quiet, "100.100.2.136:53"))
	})
	t.Run("an instance without groups drops nothing", func(t *testing.T) {
		require.Zero(t, drops(client))
	})
	t.Run("a build that changes nothing keeps the counters", func(t *testing.T) {
		before := drops(server)
		require.NoError(t, Build(t.Context(), dir, plan, nil))
		require.Equal(t, before, drops(server))
	})
	t.Run("a changed group counts", func(t *testing.T) {
		changed := *plan
		changed.VPCs = append([]topology.VPC{}, plan.VPCs...)
		changed.VPCs[1].SecurityGroups = append([]topology.SecurityGroup{}, vpc.SecurityGroups...)
		changed.VPCs[1].SecurityGroups[0].Ingress = []topology.Rule{rule("tcp", 81, 81, "10.10.2.0/24")}
		require.NoError(t, Change(t.Context(), dir, plan, &changed, nil))
		require.True(t, open(client, "10.10.3.1:81"))
		require.False(t, open(client, "10.10.3.1:80"))
	})
}
