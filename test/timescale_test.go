package test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/plinktest"
	"github.com/plinksim/plinksim/pkg/topology"
)

// slack is how late a busy machine may be.
const slack = 300 * time.Millisecond

// What lasts minutes at AWS lasts seconds where time passes 60 times as fast: idle
// timeouts, health checks, draining and TTLs.
func TestTimePassesFaster(t *testing.T) {
	plinktest.OnEachMachine(t, func(t *testing.T, machine plinktest.Option) {
		top := plinktest.NewTopology("aws", "eu-west-1")
		data := top.VPC("data", "10.0.0.0/16").AllowFrom("10.0.0.0/16")
		nlb := data.LoadBalancer("nlb", "nlb", "eu-west-1a")
		stays := data.Instance("stays", "eu-west-1a").Echo(80)
		dies := data.Instance("dies", "eu-west-1a").Echo(80)
		leaves := data.Instance("leaves", "eu-west-1a").Echo(80)
		nlb.Listen("tcp", 80, stays.At(80))
		health := nlb.Listen("tcp", 81, dies.At(80))
		drains := nlb.Listen("tcp", 82, leaves.At(80))
		drains.SetGroup("deregistration", map[string]any{"delay": "300s", "terminate": true})
		shop := top.VPC("shop", "10.0.0.0/16")
		shop.Instance("web", "eu-west-1a")
		shop.Endpoint("ep", top.Service("data", nlb).AutoAccept())
		l := top.Up(t, machine, plinktest.TimeScale(60))
		web := l.Instance("web")

		answer, err := l.Running().Query(t.Context(), "web", "ep", "A")
		require.NoError(t, err)
		require.NotEmpty(t, answer.Records)
		require.Regexp(t, `\s1\s+IN\s+A\s`, answer.Records[0], "60 s")
		require.EqualValues(t, 60, l.Status().TimeScale)
		listener := l.Plan().LoadBalancers[0].Listeners[0]
		require.Equal(t, 350*time.Second, listener.IdleTimeout, "what the lab says of the file is what the file says")

		// Sessions that are silent for just less and just more than 350 s.
		short, long := quietly(web, 350*time.Second/60-slack), quietly(web, 350*time.Second/60+slack)
		// A server that dies: AWS asks every 30 s, and two failures are enough.
		died := time.Now()
		dead := l.Instance("dies").StopServices
		dead()
		// A server that leaves: a session that never rests is removed after 300 s.
		busy := web.Dial("tcp", "ep:82")
		require.NoError(t, exchange(busy))
		left := time.Now()
		l.Do(topology.Operation{Verb: topology.VerbServerDeregister, ServerGroup: drains.Group(), Server: "leaves:80"})
		for err = exchange(busy); err == nil; err = exchange(busy) {
			time.Sleep(20 * time.Millisecond)
		}
		assert.ErrorIs(t, err, syscall.ECONNRESET)
		assert.InDelta(t, 300./60, time.Since(left).Seconds(), slack.Seconds(), "the deregistration delay")

		assert.NoError(t, <-short, "350 s were not over")
		assert.ErrorIs(t, <-long, syscall.ECONNRESET, "350 s were over")

		judged := eventOf(l, "server", health.Group()+"/data/dies")
		require.Equal(t, "unhealthy", judged.To)
		took := judged.Time.Sub(died)
		assert.Greater(t, took, 30*time.Second/60-slack, "two checks, with 30 s between them")
		assert.Less(t, took, 60*time.Second/60+slack)
	})
}

// quietly says nothing on a connection for as long as given, and what became of it
// then.
func quietly(web *plinktest.Instance, silence time.Duration) <-chan error {
	conn, done := web.Dial("tcp", "ep:80"), make(chan error, 1)
	err := exchange(conn)
	go func() {
		time.Sleep(silence)
		done <- errors.Join(err, exchange(conn))
	}()
	return done
}

// exchange sends a byte to a server that echoes it.
func exchange(conn net.Conn) error {
	conn.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err := conn.Write([]byte{1}); err != nil {
		return err
	}
	_, err := conn.Read(make([]byte, 1))
	return err
}

// eventOf is the newest event of an object.
func eventOf(l *plinktest.Lab, kind, name string) (newest control.Event) {
	for _, e := range l.Events() {
		if string(e.Kind) == kind && e.Name == name {
			newest = e
		}
	}
	return newest
}

// The scale of a lab that is up can be changed: sessions that are open are held to
// the new times, and an alb to its own.
func TestTheTimeScaleOfALabThatIsUpChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := plinktest.Up(t, "../testdata/topologies/alibaba-alb.yaml", plinktest.InProcess())
		l.Accept("svc1", "ep1")
		web := l.Instance("ecs01")
		silent := func() (long time.Duration) {
			conn := web.Dial("tcp", "ep1:80")
			_, err := conn.Write([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
			require.NoError(t, err)
			answered := time.Now()
			for reader := bufio.NewReader(conn); err == nil; {
				if _, err = reader.ReadByte(); err == nil {
					answered = time.Now()
				}
			}
			require.ErrorIs(t, err, io.EOF)
			return time.Since(answered)
		}
		require.InDelta(t, 15, silent().Seconds(), 0.1, "an alb closes a silent connection")
		pace := l.Running().Pace()
		require.NoError(t, pace.SetTimeScale(60))
		require.InDelta(t, 0.25, silent().Seconds(), 0.1)
		require.NoError(t, pace.SetTimeScale(1))
		require.InDelta(t, 15, silent().Seconds(), 0.1)
		require.ErrorContains(t, pace.SetTimeScale(0.1), "want a number from 1 to 1000")
	})
}
