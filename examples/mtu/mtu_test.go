package mtu_test

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/plinktest"
)

// An ordinary user's labs in the kernel need it.
func TestMain(m *testing.M) { plinktest.Main(m) }

const (
	carries = 8500   // what an endpoint carries
	link    = 9001   // what the instances' own links carry
	headers = 40 + 8 // of IPv6 and UDP
)

// How long a datagram is waited for that should come back, and one that should not.
const soon, never = 5 * time.Second, 300 * time.Millisecond

// comesBack says whether a datagram in a packet of so many bytes comes back.
func comesBack(t *testing.T, conn net.Conn, packet int, within time.Duration) bool {
	t.Helper()
	sent := bytes.Repeat([]byte{byte(packet)}, packet-headers)
	_, err := conn.Write(sent)
	require.NoError(t, err, "nobody tells the program")
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(within)))
	got := make([]byte, link)
	n, err := conn.Read(got)
	return err == nil && bytes.Equal(sent, got[:n])
}

func TestALongDatagramVanishes(t *testing.T) {
	plinktest.OnEachMachine(t, func(t *testing.T, machine plinktest.Option) {
		lab := plinktest.Up(t, "topology.yaml", machine)
		packets := lab.Watch("ep")
		conn := lab.Instance("web").Dial("udp", "ep.ipv6:514")
		require.True(t, comesBack(t, conn, carries, soon))
		require.False(t, comesBack(t, conn, carries+1, never))
		require.False(t, comesBack(t, conn, link, never))
		require.True(t, comesBack(t, conn, carries, soon), "the socket is as good as before")

		packets.RequireCount(2, "the long ones", func(p plinktest.Packet) bool { return p.Dropped() == "TooBig" })
		packets.RequireCount(0, "nobody is told", func(p plinktest.Packet) bool {
			return strings.Contains(p.String(), " type 2 ") // packet too big (RFC 4443, 3.2)
		})
	})
}

// A connection of TCP begins with the longest segment that each side takes, and the
// endpoint makes it fit.
func TestTCPFits(t *testing.T) {
	plinktest.OnEachMachine(t, func(t *testing.T, machine plinktest.Option) {
		lab := plinktest.Up(t, "topology.yaml", machine)
		conn := lab.Instance("web").Dial("tcp", "ep.ip:601")
		sent := bytes.Repeat([]byte("plinksim"), 1<<15)
		go conn.Write(sent)
		got := make([]byte, len(sent))
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(10*time.Second)))
		_, err := io.ReadFull(conn, got)
		require.NoError(t, err)
		require.Equal(t, sent, got)
		require.Zero(t, lab.Status().Dataplane.Verdicts["TooBig"])
	})
}

// Whoever sends datagrams has to keep them short. Where that is not in the program's
// hands, the link can do it: the kernel refuses or splits what is longer.
func TestAShorterLinkHelps(t *testing.T) {
	plinktest.OnEachMachine(t, func(t *testing.T, machine plinktest.Option) {
		lab := plinktest.Up(t, "topology.yaml", machine)
		lab.Edit("vpcs/shop/mtu", 1500)
		lab.Edit("vpcs/data/mtu", 1500)
		conn := lab.Instance("web").Dial("udp", "ep.ipv6:514")
		require.True(t, comesBack(t, conn, 4000, soon))
		require.True(t, comesBack(t, conn, 1500, soon))
		require.Zero(t, lab.Status().Dataplane.Verdicts["TooBig"])
	})
}
