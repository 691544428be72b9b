package rollout_test

import (
	"bufio"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/plinktest"
	"github.com/plinksim/plinksim/pkg/topology"
)

// An ordinary user's labs in the kernel need it.
func TestMain(m *testing.M) { plinktest.Main(m) }

func weigh(lab *plinktest.Lab, group, server string, weight int) {
	lab.Do(topology.Operation{
		Verb: topology.VerbServerWeight, ServerGroup: group, Server: server, Weight: &weight,
	})
}

// ask sends a line through a connection that is kept, and waits for its echo.
func ask(conn net.Conn) error {
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(conn, "are you there?"); err != nil {
		return err
	}
	_, err := bufio.NewReader(conn).ReadString('\n')
	return err
}

func TestTheNewVersionTakesOverByWeights(t *testing.T) {
	plinktest.OnEachMachine(t, func(t *testing.T, machine plinktest.Option) {
		lab := plinktest.Up(t, "topology.yaml", machine)
		web := lab.Instance("web")
		share := func() (v1, v2 int) {
			for range 20 {
				switch body := web.Get("http://ep/"); body {
				case "v1\n":
					v1++
				case "v2\n":
					v2++
				default:
					t.Fatal(body)
				}
			}
			return v1, v2
		}
		for _, step := range []struct{ w1, w2, v1, v2 int }{
			{100, 0, 20, 0},
			{90, 10, 18, 2},
			{50, 50, 10, 10},
			{0, 100, 0, 20},
		} {
			weigh(lab, "api", "v1:80", step.w1)
			weigh(lab, "api", "v2:80", step.w2)
			v1, v2 := share()
			require.Equal(t, []int{step.v1, step.v2}, []int{v1, v2}, "weights %d and %d", step.w1, step.w2)
		}
	})
}

// Weight 0 keeps what is open. Whoever takes the server out of the group gives it the
// delay of its deregistration, and ends what is still open then.
func TestOpenConnectionsAreDrained(t *testing.T) {
	plinktest.OnEachMachine(t, func(t *testing.T, machine plinktest.Option) {
		lab := plinktest.Up(t, "topology.yaml", machine)
		lab.Edit("server_groups/stream/deregistration/delay", "2s")
		conn := lab.Instance("web").Dial("tcp", "ep:7")
		require.NoError(t, ask(conn))
		weigh(lab, "stream", "v2:7", 100)
		weigh(lab, "stream", "v1:7", 0)
		require.NoError(t, ask(conn), "it is open")
		v1 := lab.RequireSessions("ep", 1)[0].Target
		require.NoError(t, ask(lab.Instance("web").Dial("tcp", "ep:7")))
		for _, s := range lab.RequireSessions("ep", 2) {
			if s.Consumer.String() != conn.LocalAddr().String() {
				require.NotEqual(t, v1, s.Target, "new connections go to the new version")
			}
		}

		left := time.Now()
		lab.Do(topology.Operation{Verb: topology.VerbServerDeregister, ServerGroup: "stream", Server: "v1:7"})
		require.NoError(t, ask(conn), "it is being drained")
		lab.Eventually("the connection has ended", 10*time.Second, func() error {
			if ask(conn) == nil {
				return fmt.Errorf("after %s it is open", time.Since(left))
			}
			return nil
		})
		require.GreaterOrEqual(t, time.Since(left), 2*time.Second)
	})
}
