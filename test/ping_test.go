package test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/plinktest"
)

// answersPing sends an echo request from the client and says whether a reply to it comes.
func answersPing(t *testing.T, l *plinktest.Lab, addr string, id uint16, wait time.Duration) bool {
	t.Helper()
	network, to := "ip4:icmp", netip.MustParseAddr(addr)
	if to.Is6() {
		network = "ip6:ipv6-icmp"
	}
	var conn net.Conn
	require.NoError(t, l.Instance("client").Namespace().Do(func() (err error) {
		conn, err = net.Dial(network, addr)
		return err
	}))
	defer conn.Close()
	payload := fmt.Appendf(nil, "is anybody there, asks %d", id)
	request := gopacket.NewSerializeBuffer()
	options := gopacket.SerializeOptions{ComputeChecksums: true, FixLengths: true}
	if to.Is4() {
		require.NoError(t, gopacket.SerializeLayers(request, options, &layers.ICMPv4{
			TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeEchoRequest, 0), Id: id, Seq: 1,
		}, gopacket.Payload(payload)))
	} else { // the kernel computes the checksum
		require.NoError(t, gopacket.SerializeLayers(request, gopacket.SerializeOptions{},
			&layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeEchoRequest, 0)},
			&layers.ICMPv6Echo{Identifier: id, SeqNumber: 1}, gopacket.Payload(payload)))
	}
	_, err := conn.Write(request.Bytes())
	require.NoError(t, err)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(wait)))
	for got := make([]byte, 1500); ; {
		n, err := conn.Read(got)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return false
		}
		require.NoError(t, err)
		if bytes.HasSuffix(got[:n], payload) {
			return true
		}
	}
}

func TestEndpointsAnswerPingsIfTheFileSaysSo(t *testing.T) {
	t.Parallel()
	for _, cloud := range []string{"aws", "rfc"} {
		t.Run(cloud, func(t *testing.T) {
			t.Parallel()
			l := plinktest.UpText(t, pathOf(cloud, ", answer_ping: true"))
			for i, ref := range []string{"ep.ip", "ep.ip", "ep.ipv6"} {
				require.True(t, answersPing(t, l, l.Name(ref), uint16(i+1), 10*time.Second), ref)
			}
			require.EqualValues(t, 3, pingSessions(l))
			require.Zero(t, l.Status().Dataplane.Verdicts["NoEcho"])

			silent := plinktest.UpText(t, pathOf(cloud, ""))
			for _, ref := range []string{"ep.ip", "ep.ipv6"} {
				require.False(t, answersPing(t, silent, silent.Name(ref), 1, 300*time.Millisecond), ref)
			}
			require.Zero(t, pingSessions(silent))
			require.EqualValues(t, 2, silent.Status().Dataplane.Verdicts["NoEcho"])
		})
	}
}

// pingSessions are the sessions of pings.
func pingSessions(l *plinktest.Lab) (n int) {
	for _, s := range l.Sessions() {
		if strings.Contains(s.Link, " icmp") {
			n++
		}
	}
	return n
}
