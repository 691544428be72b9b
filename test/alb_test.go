package test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/websocket"
	"golang.org/x/sys/unix"

	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/plinktest"
)

// nginxALB is "Access an ALB instance in another VPC by using PrivateLink" with
// nginx on ECS03 and ECS04, each with a page of its own, quick health checks, an
// https listener and a way to a WebSocket server.
const nginxALB = `
name: %[1]s
cloud: alibaba
region: cn-hangzhou
vpcs:
  vpc1:
    cidr: 10.0.0.0/8
    subnets:
      vsw1: {zone: cn-hangzhou-h, cidr: 10.0.10.0/24}
      vsw2: {zone: cn-hangzhou-i, cidr: 10.10.0.0/24}
    instances:
      ecs01: {subnet: vsw1, ip: 10.0.10.3}
      ecs02: {subnet: vsw2, ip: 10.10.0.27}
  vpc2:
    cidr: 192.168.0.0/16
    subnets:
      vsw3: {zone: cn-hangzhou-h, cidr: 192.168.3.0/24}
      vsw4: {zone: cn-hangzhou-i, cidr: 192.168.5.0/24}
    instances:
      ecs03: {subnet: vsw3, ip: 192.168.3.190, services: [{command: [nginx, -p, %[2]s, -c, %[2]s/ecs03.conf]}]}
      ecs04: {subnet: vsw4, ip: 192.168.5.20, services: [{command: [nginx, -p, %[2]s, -c, %[2]s/ecs04.conf]}]}
server_groups:
  rs1:
    vpc: vpc2
    protocol: http
    health_check: {interval: 100ms, timeout: 1s, healthy: 2, unhealthy: 3}
    servers: [{instance: ecs03, port: 80}, {instance: ecs04, port: 80}]
  sockets: {vpc: vpc2, protocol: http, health_check: {protocol: none}, servers: [{instance: ecs04, port: 8080}]}
load_balancers:
  alb1:
    type: alb
    vpc: vpc2
    subnets: [vsw3, vsw4]
    listeners:
      - {protocol: http, port: 80, server_group: rs1, rules: [{priority: 1, paths: [/socket], server_group: sockets}]}
      - {protocol: https, port: 443, server_group: rs1, rules: [{priority: 1, paths: [/socket], server_group: sockets}]}
endpoint_services:
  svc1: {resources: [alb1], auto_accept: true}
endpoints:
  ep1: {service: svc1, vpc: vpc1, subnets: [vsw1, vsw2]}
`

const nginxConf = `
daemon off;
user root;
master_process off;
pid %[1]s/%[2]s.pid;
error_log stderr;
events {}
http {
	access_log off;
	client_body_temp_path %[1]s/%[2]s.body;
	proxy_temp_path %[1]s/%[2]s.proxy;
	fastcgi_temp_path %[1]s/%[2]s.fastcgi;
	uwsgi_temp_path %[1]s/%[2]s.uwsgi;
	scgi_temp_path %[1]s/%[2]s.scgi;
	server {
		listen 80;
		location / { return 200 "%[2]s\n"; }
		location /who { return 200 "$remote_addr|$http_x_forwarded_for|$server_protocol|$http_host\n"; }
		location /slow { root %[1]s; limit_rate 30k; }
	}
}
`

// slowSize takes up to a second: nginx sends the bytes of a second at its
// beginning, and the rest in the next.
const slowSize = 50 << 10

// upNginx runs nginxALB. Each test has a lab and files of its own.
func upNginx(t *testing.T, name string) (l *plinktest.Lab, dir string) {
	t.Helper()
	plinktest.Require(t)
	testenv.NeedPrograms(t, "nginx")
	dir = t.TempDir()
	for _, instance := range []string{"ecs03", "ecs04"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, instance+".conf"), fmt.Appendf(nil, nginxConf, dir, instance), 0o644))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "slow"), make([]byte, slowSize), 0o644))
	return plinktest.UpText(t, fmt.Sprintf(nginxALB, name, dir)), dir
}

// run is the output of a program on an instance.
func run(t *testing.T, l *plinktest.Lab, instance, program string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	out, err := l.Instance(instance).Command(ctx, program, args...).CombinedOutput()
	require.NoError(t, err, "%s %q: %s", program, args, out)
	return string(out)
}

func TestRealProgramsGoThroughAnALB(t *testing.T) {
	t.Parallel()
	l, _ := upNginx(t, "alb-programs")
	zoneH, zoneI := l.Name("ep1@cn-hangzhou-h"), l.Name("ep1@cn-hangzhou-i")

	t.Run("curl sees the pages of both nginx", func(t *testing.T) {
		for from, name := range map[string]string{"ecs01": zoneH, "ecs02": zoneI} {
			seen := ""
			for range 4 {
				out := run(t, l, from, "curl", "-sv", "-m", "5", "http://"+name+"/")
				require.Contains(t, out, "< HTTP/1.1 200 OK")
				require.Contains(t, out, "< Server: nginx")
				seen += out
			}
			require.Contains(t, seen, "\necs03\n")
			require.Contains(t, seen, "\necs04\n")
		}
	})

	t.Run("nginx sees the node, and the NAT IP in X-Forwarded-For", func(t *testing.T) {
		node, err := l.Plan().LoadBalancers[0].Node("cn-hangzhou-h")
		require.NoError(t, err)
		out := run(t, l, "ecs01", "curl", "-s", "-m", "5", "http://"+zoneH+"/who")
		require.Equal(t, fmt.Sprintf("%s|%s|HTTP/1.1|%s\n", node.IP(), node.Local[0], zoneH), out)
		require.True(t, netip.MustParsePrefix("100.64.0.0/10").Contains(node.Local[0]))
		// A client of the VPC comes by itself.
		out = run(t, l, "ecs04", "curl", "-s", "-m", "5", "http://"+l.Name("alb1@cn-hangzhou-h.ip")+"/who")
		require.Equal(t, fmt.Sprintf("%s|192.168.5.20|HTTP/1.1|%s\n", node.IP(), node.IP()), out)
	})

	t.Run("curl speaks HTTP/2 and trusts the lab", func(t *testing.T) {
		for _, host := range []string{zoneH, zoneI, l.Name("ep1"), l.Name("ep1@cn-hangzhou-h.ip")} {
			out := run(t, l, "ecs01", "curl", "-s", "-m", "5", "--http2", "-w", "%{http_version} %{http_code} %{ssl_verify_result}", "https://"+host+"/")
			require.Regexp(t, `^ecs0[34]\n2 200 0$`, out)
		}
	})

	t.Run("a WebSocket is open for as long as both sides want", func(t *testing.T) {
		serveSockets(t, l.Instance("ecs04"))
		for _, scheme := range []string{"ws", "wss"} {
			config, err := websocket.NewConfig(scheme+"://"+zoneI+"/socket", "http://"+zoneI+"/")
			require.NoError(t, err)
			conn, err := l.Instance("ecs02").DialContext(t.Context(), "tcp", net.JoinHostPort(zoneI, map[string]string{"ws": "80", "wss": "443"}[scheme]))
			require.NoError(t, err)
			if scheme == "wss" {
				conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true, ServerName: zoneI})
			}
			require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
			ws, err := websocket.NewClient(config, conn)
			require.NoError(t, err)
			for i := range 100 {
				said := strings.Repeat("x", i*i)
				require.NoError(t, websocket.Message.Send(ws, said))
				var heard string
				require.NoError(t, websocket.Message.Receive(ws, &heard))
				require.Equal(t, said, heard)
			}
			require.NoError(t, ws.Close())
		}
	})
}

// serveSockets is a WebSocket server that says what it hears.
func serveSockets(t *testing.T, on *plinktest.Instance) {
	t.Helper()
	ln, err := on.Listen(t.Context(), "tcp", ":8080")
	require.NoError(t, err)
	echo := websocket.Handler(func(ws *websocket.Conn) {
		var heard string
		for websocket.Message.Receive(ws, &heard) == nil {
			if websocket.Message.Send(ws, heard) != nil {
				return
			}
		}
	})
	server := &http.Server{Handler: echo}
	go server.Serve(ln)
	t.Cleanup(func() { server.Close() })
}

// request is one try of a client that tries once.
type request struct {
	began, ended time.Time
	err          error
}

// ECS03 is killed while clients that try once download from it: those that it
// was answering fail, and nobody else, neither before the third failed check nor
// after it.
func TestAKilledServerFailsNoOtherRequests(t *testing.T) {
	t.Parallel()
	l, dir := upNginx(t, "alb-kill")
	const clients = 20
	url := "http://" + l.Name("ep1@cn-hangzhou-h") + "/slow"

	var mu sync.Mutex
	var requests []request
	wait := func(n int, what string) {
		t.Helper()
		require.Eventually(t, func() bool { mu.Lock(); defer mu.Unlock(); return len(requests) >= n }, 20*time.Second, 5*time.Millisecond, what)
	}
	stop := make(chan struct{})
	var running sync.WaitGroup
	for range clients {
		// Without reused connections there is no second try.
		client := &http.Client{
			Transport: &http.Transport{DialContext: l.Instance("ecs01").DialContext, DisableKeepAlives: true},
			Timeout:   10 * time.Second,
		}
		running.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				r := request{began: time.Now()}
				r.err = fetchWhole(client, url)
				r.ended = time.Now()
				mu.Lock()
				requests = append(requests, r)
				mu.Unlock()
			}
		})
	}
	wait(clients, "undisturbed traffic")
	// Clients may have ended together and not begun again yet.
	require.Eventually(t, func() bool { return activeAt(l, "192.168.3.190:80") >= clients/4 }, 20*time.Second, time.Millisecond)
	killed := time.Now()
	kill(t, filepath.Join(dir, "ecs03.pid"))
	gone := time.Now()
	unhealthy := waitUnhealthy(t, l, "vpc2/ecs03")
	mu.Lock()
	then := len(requests)
	mu.Unlock()
	wait(then+2*clients, "traffic after the third failed check")
	close(stop)
	running.Wait()

	inFlight, failed, after := 0, 0, 0
	for _, r := range requests {
		if r.began.Before(gone) && r.ended.After(killed) {
			inFlight++
		}
		if r.began.After(unhealthy) {
			after++
		}
		if r.err != nil {
			failed++
			require.False(t, r.began.After(gone), "a request that began %s after the end of ECS03 failed: %v", r.began.Sub(gone), r.err)
			require.False(t, r.ended.Before(killed), "a request failed before: %v", r.err)
		}
	}
	t.Logf("%d requests, %d on their way when ECS03 was killed, %d failed; unhealthy after %s, %d requests after that", len(requests), inFlight, failed, unhealthy.Sub(killed), after)
	require.LessOrEqual(t, failed, inFlight)
	require.Positive(t, failed, "ECS03 was answering some")
	require.GreaterOrEqual(t, after, clients, "clients went on after the third failed check")
}

func fetchWhole(client *http.Client, url string) error {
	resp, err := client.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	switch {
	case err != nil:
		return err
	case resp.StatusCode != 200 || n != slowSize:
		return fmt.Errorf("status %d and %d bytes", resp.StatusCode, n)
	}
	return nil
}

// kill ends the program whose number is in a file, and waits until it is gone.
func kill(t *testing.T, pidFile string) {
	t.Helper()
	text, err := os.ReadFile(pidFile)
	require.NoError(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	require.NoError(t, err)
	require.NoError(t, unix.Kill(pid, unix.SIGKILL))
	require.Eventually(t, func() bool { return errors.Is(unix.Kill(pid, 0), unix.ESRCH) }, 5*time.Second, time.Millisecond)
}

// activeAt is how many requests a server is answering.
func activeAt(l *plinktest.Lab, server string) (n int64) {
	for _, p := range l.Status().Proxies {
		for _, s := range p.Servers {
			if s.Address.String() == server {
				n += s.Active
			}
		}
	}
	return n
}

// waitUnhealthy returns when a server of rs1 has become unhealthy.
func waitUnhealthy(t *testing.T, l *plinktest.Lab, instance string) time.Time {
	t.Helper()
	var at time.Time
	require.Eventually(t, func() bool {
		for _, group := range l.Status().ServerGroups {
			for _, s := range group.Servers {
				if group.Name == "rs1" && s.Instance == instance && !s.Healthy {
					at = s.Since
					return true
				}
			}
		}
		return false
	}, 10*time.Second, 5*time.Millisecond)
	return at
}
