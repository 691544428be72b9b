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

// answersPing sends an echo request from an instance and says whether a reply to it comes.
func answersPing(t *testing.T, l *plinktest.Lab, from, addr string, id uint16, wait time.Duration) bool {
	t.Helper()
	network, to := "ip4:icmp", netip.MustParseAddr(addr)
	if to.Is6() {
		network = "ip6:ipv6-icmp"
	}
	var conn net.Conn
	require.NoError(t, l.Instance(from).Namespace().Do(func() (err error) {
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
				require.True(t, answersPing(t, l, "client", l.Name(ref), uint16(i+1), 10*time.Second), ref)
			}
			require.EqualValues(t, 3, pingSessions(l))
			require.Zero(t, l.Status().Dataplane.Verdicts["NoEcho"])

			silent := plinktest.UpText(t, pathOf(cloud, ""))
			for _, ref := range []string{"ep.ip", "ep.ipv6"} {
				require.False(t, answersPing(t, silent, "client", silent.Name(ref), 1, 300*time.Millisecond), ref)
			}
			require.Zero(t, pingSessions(silent))
			require.EqualValues(t, 2, silent.Status().Dataplane.Verdicts["NoEcho"])
		})
	}
}

// An alb's node is a program with an address, and the endpoint's group judges pings as all else.
func TestPingsNeedAConnectionAndAGroupThatAdmitsThem(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../testdata/topologies/alibaba-alb.yaml")
	require.NoError(t, err)
	const groups, port80 = "security_groups: [sg1]}", "{ingress: [{protocol: tcp, ports: 80, source: 10.0.0.0/8}]}"
	require.Contains(t, string(text), groups)
	require.Contains(t, string(text), port80)
	answering := strings.Replace(string(text), groups, "security_groups: [sg1], answer_ping: true}", 1)
	closed := plinktest.UpText(t, answering)
	open := plinktest.UpText(t, strings.Replace(strings.Replace(answering, port80,
		"{ingress: [{protocol: icmp, source: 10.0.0.0/8}]}", 1), "name: ", "name: open-", 1))
	ping := func(l *plinktest.Lab, id uint16, wait time.Duration) bool {
		return answersPing(t, l, "ecs01", l.Name("ep1@cn-hangzhou-h.ip"), id, wait)
	}
	require.False(t, ping(open, 1, 300*time.Millisecond))
	require.EqualValues(t, 1, open.Status().Dataplane.Verdicts["NotConnected"])
	for _, l := range []*plinktest.Lab{closed, open} {
		l.Accept("svc1", "ep1")
	}
	require.False(t, ping(closed, 2, 300*time.Millisecond))
	require.EqualValues(t, 1, closed.Status().Dataplane.Verdicts["Denied"])
	require.True(t, ping(open, 3, 10*time.Second))
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
