package test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/plinksim/plinksim/pkg/plinktest"
)

// pathOf is a lab of a cloud; mtu is what its endpoint says of it.
func pathOf(cloud, mtu string) string {
	return fmt.Sprintf(`
name: path
cloud: %s
region: us-east-1
accounts: [a]
vpcs:
  c:
    cidr: 10.0.0.0/16
    ipv6_cidr: 2001:db8:1::/56
    subnets: {s: {zone: us-east-1a, cidr: 10.0.1.0/24, ipv6_cidr: "2001:db8:1::/64"}}
    instances: {client: {subnet: s}}
  p:
    cidr: 10.0.0.0/16
    ipv6_cidr: 2001:db8:2::/56
    subnets: {s: {zone: us-east-1a, cidr: 10.0.1.0/24, ipv6_cidr: "2001:db8:2::/64"}}
    security_groups: {default: {ingress: [{protocol: all, source: [0.0.0.0/0, "::/0"]}]}}
    instances: {server: {subnet: s, services: [{echo: 7}]}}
server_groups:
  tcp: {vpc: p, servers: [{instance: server, port: 7}], health_check: {protocol: none}}
  udp: {vpc: p, protocol: udp, ip_address_type: ipv6, servers: [{instance: server, port: 7}], health_check: {protocol: none}}
load_balancers:
  nlb:
    type: nlb
    vpc: p
    subnets: [s]
    ip_address_type: dualstack
    listeners: [{protocol: tcp, port: 8, server_group: tcp}, {protocol: udp, port: 7, server_group: udp}]
endpoint_services:
  svc: {resources: [nlb], auto_accept: true, whitelist: ["*"]}
endpoints:
  ep: {service: svc, vpc: c, subnets: [s], ip_address_type: dualstack%s}
`, cloud, mtu)
}

// udpTo is a datagram socket on an instance with Linux's IP_MTU_DISCOVER.
func udpTo(t *testing.T, l *plinktest.Lab, addr string, discover int) *net.UDPConn {
	t.Helper()
	conn, err := l.Instance("client").DialContext(t.Context(), "udp",
		netip.AddrPortFrom(netip.MustParseAddr(addr), 7).String())
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	udp := conn.(*net.UDPConn)
	withSocket(t, udp, func(fd int) error {
		if netip.MustParseAddr(addr).Is6() {
			return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, discover)
		}
		return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, discover)
	})
	return udp
}

func withSocket(t *testing.T, conn *net.UDPConn, f func(fd int) error) {
	t.Helper()
	raw, err := conn.SyscallConn()
	require.NoError(t, err)
	var failed error
	require.NoError(t, raw.Control(func(fd uintptr) { failed = f(int(fd)) }))
	require.NoError(t, failed)
}

// comesBack says whether a datagram of n bytes comes back.
func comesBack(t *testing.T, conn *net.UDPConn, n int) bool {
	t.Helper()
	sent := bytes.Repeat([]byte{byte(n)}, n)
	if _, err := conn.Write(sent); err != nil {
		require.ErrorIs(t, err, unix.EMSGSIZE)
		return false
	}
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(300*time.Millisecond)))
	got := make([]byte, 1<<16)
	for {
		size, err := conn.Read(got)
		if errors.Is(err, unix.EMSGSIZE) {
			return false // the report of what was too long
		}
		if err != nil {
			return false
		}
		if bytes.Equal(sent, got[:size]) {
			return true
		}
	}
}

const headers4, headers6 = 20 + 8, 40 + 8

func TestASenderLearnsTheMTUOfAConnection(t *testing.T) {
	t.Parallel()
	const mtu = 1400
	l := plinktest.UpText(t, pathOf("rfc", fmt.Sprintf(", mtu: %d", mtu)))
	for _, tt := range []struct {
		name, addr    string
		headers       int
		level, option int
	}{
		{"frag needed", l.Name("ep.ip"), headers4 + 20, unix.IPPROTO_IP, unix.IP_MTU},
		{"packet too big", l.Name("ep.ipv6"), headers6, unix.IPPROTO_IPV6, unix.IPV6_MTU},
	} {
		conn := udpTo(t, l, tt.addr, unix.IP_PMTUDISC_DO)
		require.True(t, comesBack(t, conn, mtu-tt.headers), "%s: what fits", tt.name)
		require.False(t, comesBack(t, conn, 1500-tt.headers), "%s: what the connection does not carry", tt.name)
		require.Eventually(t, func() bool {
			known := 0
			withSocket(t, conn, func(fd int) (err error) {
				known, err = unix.GetsockoptInt(fd, tt.level, tt.option)
				return err
			})
			return known < 1500 && known >= mtu-20
		}, 5*time.Second, 10*time.Millisecond, "%s: the sender knows", tt.name)
	}
	require.NotZero(t, l.Status().Dataplane.Verdicts["TooBig"])
}

func TestWhatMayBeFragmentedPassesAConnectionWithASmallMTU(t *testing.T) {
	t.Parallel()
	// Servers with IPv4: what IPv6 carries is not fragmented on the way.
	l := plinktest.UpText(t, strings.Replace(pathOf("rfc", ", mtu: 1300"), "ip_address_type: ipv6, ", "", 1))
	conn := udpTo(t, l, l.Name("ep.ip"), unix.IP_PMTUDISC_DONT)
	comesBack(t, conn, 1400) // the server's answer may not be fragmented, and it learns
	for _, size := range []int{1400, 4000} {
		require.True(t, comesBack(t, conn, size), "%d bytes", size)
	}
	require.EqualValues(t, 1, l.Status().Dataplane.Verdicts["TooBig"])
}

// EC2 carries 9,001 bytes and an endpoint 8,500; what is between them vanishes.
func TestAnEndpointAtAWSIsABlackHoleForJumboFrames(t *testing.T) {
	t.Parallel()
	l := plinktest.UpText(t, pathOf("aws", ""))
	conn := udpTo(t, l, l.Name("ep.ipv6"), unix.IP_PMTUDISC_DO)
	require.True(t, comesBack(t, conn, 8500-headers6))
	require.False(t, comesBack(t, conn, 8501-headers6))
	require.False(t, comesBack(t, conn, 9001-headers6))
	require.True(t, comesBack(t, conn, 8500-headers6), "and nobody tells the sender")
	require.EqualValues(t, 2, l.Status().Dataplane.Verdicts["TooBig"])

	tcp, err := l.Instance("client").DialContext(t.Context(), "tcp", l.Name("ep.ip")+":8")
	require.NoError(t, err)
	defer tcp.Close()
	sent := bytes.Repeat([]byte("plinksim"), 1<<16)
	go func() { _, _ = tcp.Write(sent) }()
	got := make([]byte, len(sent))
	require.NoError(t, tcp.SetReadDeadline(time.Now().Add(20*time.Second)))
	for n := 0; n < len(got); {
		more, err := tcp.Read(got[n:])
		require.NoError(t, err, "TCP is told by its MSS, after %d bytes", n)
		n += more
	}
	require.True(t, bytes.Equal(sent, got))
}
