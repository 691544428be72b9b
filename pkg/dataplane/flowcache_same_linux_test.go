package dataplane

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/fullnat"
	"github.com/plinksim/plinksim/pkg/packet"
)

// TestTheFlowCacheTranslatesTheSame sends the same packets, thousands of them made
// at random, through two data planes of which one has a flow cache, and compares
// what comes out, and at the end all that both have counted.
func TestTheFlowCacheTranslatesTheSame(t *testing.T) {
	without := newPlaneNAT(t, FlowCacheConfig{Mode: FlowCacheOff})
	with := newPlaneNAT(t, FlowCacheConfig{Mode: FlowCacheForce})
	for seed := range uint64(2) {
		traffic := newTraffic(seed)
		for step := range 1500 {
			p := traffic.next()
			want := without.translate(t, p.from, p.data(traffic.kernelPorts))
			got := with.translate(t, p.from, p.data(traffic.ourPorts))
			name := fmt.Sprintf("step %d: %s", step, p)
			require.Len(t, got, len(want), name)
			if len(want) == 0 {
				continue
			}
			require.Len(t, want, 1, name)
			traffic.learn(p, want[0], got[0])
			require.Equal(t, comparable(t, name, want[0]), comparable(t, name, got[0]), name)
		}
	}
	cached := with.engine.Stats().Table.Cache
	require.Greater(t, cached.Frames, uint64(500), "%+v", cached)
	requireSameCounters(t, without.engine, with.engine)
}

// requireSameCounters compares what two engines have counted, but for what is of
// time and of the cache itself.
func requireSameCounters(t *testing.T, without, with *Engine) {
	a, b := without.Stats(), with.Stats()
	require.Equal(t, a.ENIs, b.ENIs)
	require.Equal(t, a.Table.Verdicts, b.Table.Verdicts)
	require.Equal(t, a.Table.Links, b.Table.Links)
	require.Equal(t, a.Table.Unexpected, b.Table.Unexpected)
	sessions := func(e *Engine) (all []string) {
		for _, s := range e.Sessions() {
			s.Cached, s.Idle, s.Expires = false, 0, 0
			all = append(all, fmt.Sprintf("%+v", s))
		}
		slices.Sort(all)
		return all
	}
	require.Equal(t, sessions(without), sessions(with))
}

// planeNAT is a data plane in a namespace, and a ring at the other ends of its ENIs.
type planeNAT struct {
	engine *Engine
	ring   *Ring
	far    *Ring
	macs   map[packet.ENI]packet.MAC
	sent   uint64 // frames into the data plane
	left   uint64 // and out of it
}

func newPlaneNAT(t *testing.T, cache FlowCacheConfig) *planeNAT {
	return newPlaneNATOf(t, cache, 1<<14)
}

// newPlaneNATOf has room for so many sessions.
func newPlaneNATOf(t *testing.T, cache FlowCacheConfig, sessions int) *planeNAT {
	e := newENIs(t)
	n := &planeNAT{macs: map[packet.ENI]packet.MAC{
		diffConsumer: packet.MACOf(diffENI), diffProvider: packet.MACOf(diffNATIP),
	}}
	n.far = e.far.openRing(t, RingConfig{ENIs: e.farIndex, FlowCache: FlowCacheConfig{Mode: FlowCacheOff}})
	n.ring = e.plane.openRing(t, RingConfig{ENIs: e.index, FlowCache: cache})
	var err error
	n.engine, err = NewEngine(EngineConfig{Driver: n.ring, Table: fullnat.Options{Seed: 1, MaxSessions: sessions}})
	require.NoError(t, err)
	cfg := diffLinks()
	for i := range cfg.ENIs {
		cfg.ENIs[i].MAC = n.macs[cfg.ENIs[i].ENI]
	}
	require.NoError(t, n.engine.Configure(Config{NAT: cfg}))
	done := make(chan error, 1)
	go func() { done <- n.engine.Run(context.Background()) }()
	t.Cleanup(func() {
		require.NoError(t, n.engine.Close())
		require.NoError(t, <-done)
		require.NoError(t, n.far.Close())
	})
	return n
}

// translate sends a frame, waits until it has been counted, and reads what left.
func (n *planeNAT) translate(t *testing.T, from packet.ENI, data []byte) (out [][]byte) {
	frame := packet.Frame{ENI: from, Data: append([]byte(nil), data...)}
	mac := n.macs[from]
	copy(frame.Data, mac[:])
	_, err := n.far.Write([]packet.Frame{frame})
	require.NoError(t, err)
	n.sent++
	left := uint64(0)
	require.Eventually(t, func() bool {
		received := uint64(0)
		left = 0
		for _, e := range n.engine.Stats().ENIs {
			received += e.FramesReceived
			left += e.FramesSent
		}
		return received >= n.sent
	}, 10*time.Second, 20*time.Microsecond)
	for ; n.left < left; n.left++ {
		out = append(out, readOne(t, n.far).Data)
	}
	return out
}
