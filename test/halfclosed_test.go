package test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/plinksim/plinksim/pkg/plinktest"
)

const halfClosed = `
name: half-closed
cloud: CLOUD
region: us-east-1
vpcs:
  here: {cidr: 10.1.0.0/16, subnets: {h: {zone: us-east-1a, cidr: 10.1.1.0/24}}, instances: {client: {subnet: h}}}
  there:
    cidr: 10.2.0.0/16
    subnets: {t: {zone: us-east-1a, cidr: 10.2.1.0/24}}
    security_groups: {web: {ingress: [{protocol: tcp, ports: 80, source: 0.0.0.0/0}]}}
    instances:
      web-1: {subnet: t, security_groups: [web], services: [{http: 80}]}
      web-2: {subnet: t, security_groups: [web], services: [{http: 80}]}
server_groups: {web: {vpc: there, servers: [{instance: web-1, port: 80}, {instance: web-2, port: 80}]}}
load_balancers: {nlb: {type: nlb, vpc: there, subnets: [t], listeners: [{protocol: tcp, port: 80, server_group: web}]}}
endpoint_services: {svc: {resources: [nlb], auto_accept: true}}
endpoints: {ep: {service: svc, vpc: here, subnets: [h]}}
`

// A client has said all that it has to say and downloads, when a late duplicate
// of its own SYN comes by (RFC 6146, 3.5.2.2).
func TestADownloadOverAHalfClosedConnectionSurvivesItsSYN(t *testing.T) {
	t.Parallel()
	for _, cloud := range []string{"alibaba", "aws", "rfc"} {
		t.Run(cloud, func(t *testing.T) {
			t.Parallel()
			l := plinktest.UpText(t, strings.Replace(halfClosed, "CLOUD", cloud, 1))
			for range 20 {
				downloadHalfClosed(t, l)
			}
		})
	}
}

func downloadHalfClosed(t *testing.T, l *plinktest.Lab) {
	const size = 3_000_000
	client := l.Instance("client")
	seen := syns(t, l, "client")
	conn, err := client.DialContext(t.Context(), "tcp", l.Name("ep.ip")+":80")
	require.NoError(t, err)
	defer conn.Close()
	syn := <-seen
	require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	fmt.Fprintf(conn, "GET /bytes/%d HTTP/1.0\r\n\r\n", size)
	require.NoError(t, conn.(*net.TCPConn).CloseWrite())
	n, err := io.CopyN(io.Discard, conn, 100_000)
	require.NoError(t, err)
	sendRaw(t, l, "client", syn)
	rest, err := io.Copy(io.Discard, conn)
	require.NoError(t, err, "the download was cut after %d bytes", n+rest)
	require.Greater(t, n+rest, int64(size))
}

// syns gives the first SYN that an instance sends, as it is on a wire.
func syns(t *testing.T, l *plinktest.Lab, instance string) <-chan []byte {
	t.Helper()
	i, err := l.Plan().Instance(instance)
	require.NoError(t, err)
	var fd int
	require.NoError(t, l.Namespace(i.Namespace).Do(func() (err error) {
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.ETH_P_ALL<<8)
		return err
	}))
	require.NoError(t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 10}))
	found := make(chan []byte, 1)
	go func() {
		defer unix.Close(fd)
		defer close(found)
		buf := make([]byte, 1<<16)
		for {
			n, _, err := unix.Recvfrom(fd, buf, 0)
			if err != nil {
				return
			}
			p := gopacket.NewPacket(buf[:n], layers.LayerTypeEthernet, gopacket.Default)
			tcp, ok := p.Layer(layers.LayerTypeTCP).(*layers.TCP)
			if !ok || !tcp.SYN || tcp.ACK {
				continue
			}
			ip, ethernet := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4), p.Layer(layers.LayerTypeEthernet).(*layers.Ethernet)
			tcp.SetNetworkLayerForChecksum(ip)
			b := gopacket.NewSerializeBuffer()
			options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
			if gopacket.SerializeLayers(b, options, ethernet, ip, tcp) == nil {
				found <- b.Bytes()
			}
			return
		}
	}()
	return found
}
