package test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/pires/go-proxyproto"
	"github.com/pires/go-proxyproto/tlvparse"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/plinksim/plinksim/pkg/host"
	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/plinktest"
)

func TestMain(m *testing.M) {
	if name := os.Getenv(echoName); name != "" && len(os.Args) == 1 {
		serveEcho(name)
		return
	}
	plinktest.Main(m)
}

const (
	clb     = "../testdata/topologies/alibaba-clb.yaml"
	overlap = "../testdata/topologies/alibaba-clb-overlap.yaml"
)

// get returns the body, without the final newline, or the error.
func get(t *testing.T, from *plinktest.Instance, url string) (string, error) {
	t.Helper()
	client := from.HTTP()
	client.Timeout = 2 * time.Second
	resp, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return strings.TrimSpace(string(body)), err
}

func requireTimeout(t *testing.T, err error) {
	t.Helper()
	var timeout interface{ Timeout() bool }
	require.ErrorAs(t, err, &timeout)
	require.True(t, timeout.Timeout(), "want a timeout, not %v", err)
}

func TestAnInstanceReachesBothServersAndOnlyWhileAccepted(t *testing.T) {
	t.Parallel()
	l := plinktest.Up(t, clb)
	url := "http://" + l.Name("ep1") + "/"

	_, err := get(t, l.Instance("ecs1"), url)
	requireTimeout(t, err)

	l.Accept("svc1", "ep1")
	seen := map[string]int{}
	for range 20 {
		body, err := get(t, l.Instance("ecs1"), url)
		require.NoError(t, err)
		seen[body]++
	}
	require.Equal(t, map[string]int{"ecs2": 10, "ecs3": 10}, seen, "equal weights")

	l.Reject("svc1", "ep1")
	_, err = get(t, l.Instance("ecs1"), url)
	requireTimeout(t, err)
}

// An open connection does not outlive the consent to it.
func TestARejectStopsAnOpenDownload(t *testing.T) {
	t.Parallel()
	l := plinktest.Up(t, clb)
	l.Accept("svc1", "ep1")
	conn, err := l.Instance("ecs1").DialContext(t.Context(), "tcp", l.Name("ep1.ip")+":80")
	require.NoError(t, err)
	defer conn.Close()
	fmt.Fprintf(conn, "GET /bytes/100000000000 HTTP/1.0\r\n\r\n")
	_, err = io.CopyN(io.Discard, conn, 1<<20)
	require.NoError(t, err)

	l.Reject("svc1", "ep1")
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(2*time.Second)))
	_, err = io.Copy(io.Discard, conn)
	requireTimeout(t, err)
	require.Empty(t, l.Sessions())
}

// The two VPCs have the same addresses, and even ecs1 and ecs2 have the same
// one. Whatever is seen on the wire of VPC 2 comes from an address of the load
// balancer, never from the consumer's side.
func TestNoPacketOfTheConsumerReachesTheProviderUntranslated(t *testing.T) {
	t.Parallel()
	l := plinktest.Up(t, overlap)
	l.Accept("svc1", "ep1")
	require.Equal(t, "10.10.2.1", addressOf(t, l, "ecs1"))
	require.Equal(t, "10.10.2.1", addressOf(t, l, "ecs2"))

	eni := l.Name("ep1.ip")
	stop := capture(t, l.Namespace("vpc2"))
	for range 20 {
		body, err := get(t, l.Instance("ecs1"), "http://"+l.Name("ep1")+"/")
		require.NoError(t, err)
		require.Contains(t, []string{"ecs2", "ecs3"}, body)
	}
	packets := stop()

	toServers := 0
	for _, p := range packets {
		require.NotContains(t, []string{p.src, p.dst}, eni, "the endpoint's address is not known in VPC 2: %v", p)
		if p.port == 80 {
			toServers++
			require.True(t, netip.MustParsePrefix("100.64.0.0/10").Contains(netip.MustParseAddr(p.src)),
				"servers see the load balancer's addresses only: %v", p)
		}
	}
	require.Greater(t, toServers, 20*4, "the capture saw the requests")
}

func addressOf(t *testing.T, l *plinktest.Lab, instance string) string {
	t.Helper()
	i, err := l.Plan().Instance(instance)
	require.NoError(t, err)
	return i.IP.String()
}

type seenPacket struct {
	src, dst string
	port     int // destination port of TCP
}

// capture reads every IPv4 packet that crosses a namespace until stop.
func capture(t *testing.T, ns *host.Namespace) (stop func() []seenPacket) {
	t.Helper()
	var fd int
	require.NoError(t, ns.Do(func() (err error) {
		proto := int(unix.ETH_P_ALL)<<8&0xff00 | unix.ETH_P_ALL>>8
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, proto)
		return err
	}))
	require.NoError(t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 20_000}))
	done := make(chan struct{})
	var packets []seenPacket
	var reading sync.WaitGroup
	reading.Go(func() {
		buf := make([]byte, 1<<16)
		for {
			n, _, err := unix.Recvfrom(fd, buf, 0)
			if err == nil {
				packets = append(packets, decode(buf[:n])...)
				continue
			}
			// What was sent before stop is in the socket by then; the timeout
			// says that it is empty.
			select {
			case <-done:
				return
			default:
			}
		}
	})
	return func() []seenPacket {
		close(done)
		reading.Wait()
		unix.Close(fd)
		return packets
	}
}

func decode(frame []byte) []seenPacket {
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.DecodeOptions{NoCopy: true})
	ip, ok := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
	if !ok {
		return nil
	}
	seen := seenPacket{src: ip.SrcIP.String(), dst: ip.DstIP.String()}
	if tcp, ok := p.Layer(layers.LayerTypeTCP).(*layers.TCP); ok {
		seen.port = int(tcp.DstPort)
	}
	return []seenPacket{seen}
}

func TestAProviderCannotOpenAConnectionToTheConsumer(t *testing.T) {
	t.Parallel()
	l := plinktest.Up(t, clb)
	l.Accept("svc1", "ep1")
	_, err := get(t, l.Instance("ecs1"), "http://"+l.Name("ep1")+"/") // there is a session to guess at
	require.NoError(t, err)
	ln, err := l.Instance("ecs1").Listen(t.Context(), "tcp", ":8080")
	require.NoError(t, err)
	defer ln.Close()

	natIP := l.Status().LoadBalancers[0].Nodes[0].NATIPs[0].String()
	for name, target := range map[string]string{
		"the consumer's address":         "10.0.0.182:8080",
		"the endpoint's address":         l.Name("ep1.ip") + ":80",
		"the load balancer's NAT IP":     natIP + ":8080",
		"the NAT port of a session":      natIP + ":" + natPort(t, l),
		"the load balancer's own number": l.Status().LoadBalancers[0].Nodes[0].IP.String() + ":8080",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		conn, err := l.Instance("ecs2").DialContext(ctx, "tcp", target)
		cancel()
		require.Error(t, err, "%s (%s): %v", name, target, conn)
	}
	require.NotZero(t, l.Status().Dataplane.Verdicts["NoSession"], "and the data plane says why")
}

func natPort(t *testing.T, l *plinktest.Lab) string {
	t.Helper()
	sessions := l.Sessions()
	require.NotEmpty(t, sessions)
	return fmt.Sprint(sessions[0].NAT.Port())
}

func TestAPortWithoutAListenerIsSilent(t *testing.T) {
	t.Parallel()
	l := plinktest.Up(t, clb)
	l.Accept("svc1", "ep1")
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	// 443 is in the endpoint's security group; no listener has it.
	_, err := l.Instance("ecs1").DialContext(ctx, "tcp", l.Name("ep1.ip")+":443")
	requireTimeout(t, err)
	require.NotZero(t, l.Status().Dataplane.Verdicts["NoListener"])
}

// groups is a topology with a security group on the endpoint and one on the
// server; which ports they let in is the test's.
func groups(endpointPort, serverPort int) string {
	return fmt.Sprintf(`
name: groups
cloud: alibaba
region: eu-central-1
accounts: [a]
vpcs:
  vpc1:
    cidr: 10.0.0.0/16
    subnets: {vsw1: {zone: eu-central-1b, cidr: 10.0.0.0/24}}
    security_groups: {eni: {ingress: [{protocol: tcp, ports: %d, source: 10.0.0.0/16}]}}
    instances: {ecs1: {subnet: vsw1, ip: 10.0.0.10}}
  vpc2:
    cidr: 10.0.0.0/16
    subnets: {vsw2: {zone: eu-central-1b, cidr: 10.0.0.0/24}}
    security_groups: {web: {ingress: [{protocol: tcp, ports: %d, source: 0.0.0.0/0}]}}
    instances:
      ecs2: {subnet: vsw2, ip: 10.0.0.10, security_groups: [web], services: [{http: 80, body: ecs2}, {echo: 7}]}
server_groups:
  web: {vpc: vpc2, protocol: tcp, health_check: {protocol: none}, servers: [{instance: ecs2, port: 80}]}
  echo: {vpc: vpc2, protocol: udp, health_check: {protocol: none}, servers: [{instance: ecs2, port: 7}]}
load_balancers:
  clb1:
    type: clb
    vpc: vpc2
    subnets: [vsw2]
    listeners: [{protocol: tcp, port: 80, server_group: web}, {protocol: udp, port: 7, server_group: echo}]
endpoint_services:
  svc1: {resources: [clb1], auto_accept: true}
endpoints:
  ep1: {service: svc1, vpc: vpc1, subnets: [vsw1], security_groups: [eni]}
`, endpointPort, serverPort)
}

func TestAnEndpointsSecurityGroupWithoutThePortBlocksAndCounts(t *testing.T) {
	t.Parallel()
	l := plinktest.UpText(t, groups(443, 80))
	_, err := get(t, l.Instance("ecs1"), "http://"+l.Name("ep1")+"/")
	requireTimeout(t, err)
	status := l.Status()
	require.NotZero(t, status.Dataplane.Verdicts["Denied"])
	require.NotZero(t, status.Links[0].Verdicts["Denied"], "%s", status.Links[0].Name)
}

func TestAnInstancesSecurityGroupWithoutThePortBlocksAndCounts(t *testing.T) {
	t.Parallel()
	l := plinktest.UpText(t, strings.Replace(groups(80, 443), "type: clb", "type: nlb", 1))
	_, err := get(t, l.Instance("ecs1"), "http://"+l.Name("ep1")+"/")
	requireTimeout(t, err)
	require.NotZero(t, l.Status().VPCs[1].Instances[0].Denied)
	require.Zero(t, l.Status().Dataplane.Verdicts["Denied"], "the endpoint's group let it pass")
}

// What comes from 100.64.0.0/10 is the load balancer's own: probes, and sessions of a CLB.
func TestAServersSecurityGroupNeedsNoRuleForACLB(t *testing.T) {
	t.Parallel()
	l := plinktest.UpText(t, groups(80, 443))
	body, err := get(t, l.Instance("ecs1"), "http://"+l.Name("ep1")+"/")
	require.NoError(t, err)
	require.Equal(t, "ecs2", body)
	require.Zero(t, l.Status().VPCs[1].Instances[0].Denied)
}

func TestAnOpenSecurityGroupLetsPass(t *testing.T) {
	t.Parallel()
	l := plinktest.UpText(t, groups(80, 80))
	body, err := get(t, l.Instance("ecs1"), "http://"+l.Name("ep1")+"/")
	require.NoError(t, err)
	require.Equal(t, "ecs2", body)
}

func TestDatagramsGoThereAndBack(t *testing.T) {
	t.Parallel()
	text := strings.ReplaceAll(groups(80, 80), "security_groups: [eni]", "")
	l := plinktest.UpText(t, strings.ReplaceAll(text, "security_groups: [web], ", ""))
	conn, err := l.Instance("ecs1").DialContext(t.Context(), "udp", l.Name("ep1.ip")+":7")
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(5*time.Second)))
	buf := make([]byte, 2000)
	for i := range 100 {
		sent := fmt.Appendf(nil, "datagram %d %s", i, strings.Repeat("x", i*10))
		_, err := conn.Write(sent)
		require.NoError(t, err)
		n, err := conn.Read(buf)
		require.NoError(t, err)
		require.Equal(t, string(sent), string(buf[:n]))
	}
	require.Equal(t, "udp", l.Sessions()[0].Protocol)
}

func TestALargeDownloadArrivesWholeAndInSuperframes(t *testing.T) {
	t.Parallel()
	const size = 100 << 20
	want := sha256.New()
	_, err := io.CopyN(want, lab.Bytes(), size)
	require.NoError(t, err)

	l := plinktest.Up(t, clb)
	l.Accept("svc1", "ep1")
	resp, err := l.Instance("ecs1").HTTP().Get(fmt.Sprintf("http://%s/bytes/%d", l.Name("ep1"), size))
	require.NoError(t, err)
	defer resp.Body.Close()
	got := sha256.New()
	n, err := io.Copy(got, resp.Body)
	require.NoError(t, err)
	require.EqualValues(t, size, n)
	require.Equal(t, want.Sum(nil), got.Sum(nil))

	status := l.Status()
	link := status.Links[0]
	require.Greater(t, link.Superframes, uint64(size/65536), "%+v", link)
	require.Greater(t, link.Segments, link.Superframes)
	require.Zero(t, status.Dataplane.CopyDrops)
}

// The server of the lab has no PROXY protocol; one that has is in the test.
func TestAServerLearnsWhoTheConsumerIs(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ cloud, placement string }{
		{"aws", "on_first_ack_with_payload"}, {"aws", "on_first_ack"},
		{"alibaba", "on_first_ack_with_payload"}, {"alibaba", "on_first_ack"},
	} {
		t.Run(tt.cloud+" "+tt.placement, func(t *testing.T) {
			l := plinktest.UpText(t, fmt.Sprintf(`
name: identity
cloud: %s
region: eu-central-1
vpcs:
  vpc1:
    cidr: 10.0.0.0/16
    subnets: {a: {zone: eu-central-1a, cidr: 10.0.0.0/24}}
    instances: {client: {subnet: a, ip: 10.0.0.10}}
  vpc2:
    cidr: 10.0.0.0/16
    subnets: {a: {zone: eu-central-1a, cidr: 10.0.0.0/24}}
    security_groups: {default: {ingress: [{protocol: all, source: [0.0.0.0/0, "::/0"]}]}}
    instances: {server: {subnet: a, ip: 10.0.0.10}}
server_groups:
  db: {vpc: vpc2, protocol: tcp, health_check: {protocol: none}, servers: [{instance: server, port: 25}]}
load_balancers:
  nlb1: {type: nlb, vpc: vpc2, subnets: [a], listeners: [{protocol: tcp, port: 25, server_group: db, proxy_protocol: %s}]}
endpoint_services: {svc1: {resources: [nlb1], auto_accept: true}}
endpoints: {ep1: {service: svc1, vpc: vpc1, subnets: [a]}}
`, tt.cloud, tt.placement))
			plain, err := l.Instance("vpc2/server").Listen(t.Context(), "tcp", ":25")
			require.NoError(t, err)
			ln := &proxyproto.Listener{Listener: plain, Policy: func(net.Addr) (proxyproto.Policy, error) { return proxyproto.REQUIRE, nil }}
			defer ln.Close()
			client, err := l.Instance("vpc1/client").DialContext(t.Context(), "tcp", l.Name("ep1.ip")+":25")
			require.NoError(t, err)
			defer client.Close()
			server, err := ln.Accept()
			require.NoError(t, err)
			defer server.Close()
			deadline := time.Now().Add(10 * time.Second)
			require.NoError(t, errors.Join(client.SetDeadline(deadline), server.SetDeadline(deadline)))
			if tt.placement == "on_first_ack" { // a server that speaks first is no problem
				require.Equal(t, client.LocalAddr().String(), server.RemoteAddr().String())
				fmt.Fprintln(server, "220 ready")
				line, err := bufio.NewReader(client).ReadString('\n')
				require.NoError(t, err)
				require.Equal(t, "220 ready\n", line)
			}
			fmt.Fprintln(client, "HELO")
			line, err := bufio.NewReader(server).ReadString('\n')
			require.NoError(t, err)
			require.Equal(t, "HELO\n", line, "the header is not part of the stream")
			require.Equal(t, client.LocalAddr().String(), server.RemoteAddr().String())

			header := server.(*proxyproto.Conn).ProxyHeader()
			require.Equal(t, client.RemoteAddr().String(), header.DestinationAddr.String())
			tlvs, err := header.TLVs()
			require.NoError(t, err)
			id := l.Plan().Endpoints[0].ID
			if tt.cloud == "aws" {
				require.Equal(t, id, tlvparse.FindAWSVPCEndpointID(tlvs))
			} else {
				require.Contains(t, tlvs, proxyproto.TLV{Type: 0xe1, Value: append([]byte{2}, id...)})
			}
		})
	}
}

func TestACommandServiceRunsOnItsInstanceAndEndsWithTheLab(t *testing.T) {
	t.Parallel()
	plinktest.Require(t)
	marker := t.TempDir() + "/pid"
	var pid int
	t.Run("lab", func(t *testing.T) {
		text := strings.Replace(groups(80, 80), "{echo: 7}", fmt.Sprintf(`{echo: 7}, {command: [sh, -c, "echo $$ >%s.new; mv %s.new %s; exec sleep 1000"]}`, marker, marker, marker), 1)
		plinktest.UpText(t, text)
		require.Eventually(t, func() bool {
			written, err := os.ReadFile(marker)
			if err != nil {
				return false
			}
			_, err = fmt.Sscan(string(written), &pid)
			return err == nil
		}, 10*time.Second, 10*time.Millisecond)
		require.NoError(t, unix.Kill(pid, 0))
	})
	require.ErrorIs(t, unix.Kill(pid, 0), unix.ESRCH)
}
