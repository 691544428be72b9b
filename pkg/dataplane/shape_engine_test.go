package dataplane

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/topology"
	"github.com/stretchr/testify/require"
)

func withShaping(t testing.TB, e *Engine, s Shaping) {
	t.Helper()
	cfg := oneEndpoint()
	cfg.Shaping = s
	require.NoError(t, e.Configure(cfg))
}

func theLink(toProvider, toConsumer topology.Impairment) Shaping {
	return Shaping{Links: []ShapedLink{{Name: "ep-db", ENIs: []packet.ENI{endpointENI}, ToProvider: toProvider,
		ToConsumer: toConsumer}}}
}

func TestEngineSendsADelayedFrameWhenItIsDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, m := start(t, EngineConfig{Tick: time.Hour})
		withShaping(t, e, theLink(topology.Impairment{Delay: 30 * time.Millisecond},
			topology.Impairment{Delay: 5 * time.Millisecond}))
		begin := time.Now()
		m.Inject(packet.Frame{ENI: endpointENI, Data: tcpFrame(consumer, endpoint, syn, nil)})
		there := receive(t, m)
		require.Equal(t, 30*time.Millisecond, time.Since(begin))
		local, _ := parse(t, there)

		begin = time.Now()
		m.Inject(packet.Frame{ENI: nodeENI, Data: tcpFrame(backend, local, synAck, nil)})
		require.Equal(t, endpointENI, receive(t, m).ENI)
		require.Equal(t, 5*time.Millisecond, time.Since(begin))

		stats := e.Stats().Shaped
		require.EqualValues(t, 1, stats.Links[0].ToProvider.Passed)
		require.EqualValues(t, 1, stats.Links[0].ToConsumer.Delayed)
	})
}

func TestEngineDoesNotDelayTheAnswersOfNeighbours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, m := start(t, EngineConfig{Tick: time.Hour})
		gone := topology.Impairment{Loss: 1, Delay: time.Hour}
		withShaping(t, e, theLink(gone, gone))
		begin := time.Now()
		m.Inject(packet.Frame{ENI: endpointENI, Data: arpRequest(consumer.Addr(), endpoint.Addr())})
		receive(t, m)
		require.Zero(t, time.Since(begin))
	})
}

func TestEngineKnowsABlackholeFromALinkThatIsDown(t *testing.T) {
	arp := packet.Frame{ENI: endpointENI, Data: arpRequest(consumer.Addr(), endpoint.Addr())}
	request := packet.Frame{ENI: endpointENI, Data: udpFrame(consumer, endpoint, nil)}
	for _, tt := range []struct {
		name             string
		faulty           packet.ENI
		fault            Fault
		answers, passes  bool // ARP, the request
		sessions         int
		blackholed, down uint64
	}{
		{name: "no fault", faulty: endpointENI, fault: NoFault, answers: true, passes: true, sessions: 1},
		{name: "the endpoint is a blackhole", faulty: endpointENI, fault: Blackhole, answers: true, blackholed: 1},
		{name: "the endpoint is down", faulty: endpointENI, fault: Down, down: 2},
		{name: "the load balancer is a blackhole", faulty: nodeENI, fault: Blackhole, answers: true, sessions: 1,
			blackholed: 1},
		{name: "the load balancer is down", faulty: nodeENI, fault: Down, answers: true, sessions: 1, down: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, m := start(t, EngineConfig{Tick: time.Hour})
				withShaping(t, e, Shaping{Faults: map[packet.ENI]Fault{tt.faulty: tt.fault}})
				m.Inject(arp, request)
				synctest.Wait()
				want := 0
				for _, comes := range []bool{tt.answers, tt.passes} {
					if comes {
						want++
					}
				}
				require.Len(t, m.Sent(), want)
				require.Len(t, e.Sessions(), tt.sessions)
				stats := e.Stats().Shaped
				require.Equal(t, tt.blackholed, stats.Blackholed)
				require.Equal(t, tt.down, stats.Down)

				withShaping(t, e, Shaping{})
				m.Inject(request)
				synctest.Wait()
				require.Len(t, m.Sent(), 1, "and it comes back")
			})
		})
	}
}

func TestEngineDropsWhatWaitedForALinkThatWentDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, m := start(t, EngineConfig{Tick: time.Hour})
		shaping := theLink(topology.Impairment{Delay: time.Second}, topology.Impairment{})
		withShaping(t, e, shaping)
		m.Inject(packet.Frame{ENI: endpointENI, Data: udpFrame(consumer, endpoint, nil)})
		synctest.Wait()
		shaping.Faults = map[packet.ENI]Fault{nodeENI: Down}
		withShaping(t, e, shaping)
		time.Sleep(2 * time.Second)
		require.Empty(t, m.Sent())
		require.EqualValues(t, 1, e.Stats().Shaped.Links[0].ToProvider.Cut)
		require.Zero(t, e.Stats().Shaped.HeldBytes)
	})
}
