package exhaustion_test

import (
	"bytes"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/plinktest"
)

// answered says whether a datagram comes back from the server.
func answered(t *testing.T, conn net.Conn, datagram []byte) bool {
	t.Helper()
	_, err := conn.Write(datagram)
	require.NoError(t, err)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(10*time.Millisecond)))
	got := make([]byte, len(datagram)+1)
	n, err := conn.Read(got)
	return err == nil && bytes.Equal(datagram, got[:n])
}

func dial(t *testing.T, lab *plinktest.Lab, instance string) net.Conn {
	t.Helper()
	conn, err := lab.Instance(instance).DialContext(t.Context(), "udp", lab.Name("ep.ip")+":514")
	require.NoError(t, err)
	return conn
}

// An NLB reaches a server from one address, which has 55,000 ports for it. The next
// session gets none, and its packets vanish until another session is forgotten.
func TestANodeHas55000PortsForAServer(t *testing.T) {
	if testing.Short() {
		t.Skip("it opens 55,000 sessions")
	}
	synctest.Test(t, func(t *testing.T) {
		lab := plinktest.Up(t, "topology.yaml", plinktest.InProcess())
		for i := range 55_000 {
			conn := dial(t, lab, []string{"web-1", "web-2"}[i%2])
			defer conn.Close()
			require.True(t, answered(t, conn, []byte("a line")), "session %d", i)
		}
		next := dial(t, lab, "web-1")
		defer next.Close()
		require.False(t, answered(t, next, []byte("a line")))
		require.NotZero(t, lab.Status().Dataplane.Verdicts["NoNATPort"])

		time.Sleep(10 * time.Minute)
		require.True(t, answered(t, next, []byte("a line")), "the others were idle")
	})
}
