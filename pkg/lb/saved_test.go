package lb

import (
	"encoding/json"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Another process goes on with the health of servers, with the sessions that they
// have, and with those that are leaving.
func TestAGroupGoesOnInAnotherProcess(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	server := func(n byte) topology.Server {
		return topology.Server{Instance: string('a' + rune(n)), IP: netip.AddrFrom4([4]byte{10, 0, 0, n}), Port: 80, Weight: 1}
	}
	config := topology.ServerGroup{
		Name: "g", Servers: []topology.Server{server(1), server(2), server(3)},
		HealthCheck:    topology.HealthCheck{Protocol: topology.TCP, Healthy: 2, Unhealthy: 2},
		Deregistration: topology.Leaving{Terminate: true, Delay: time.Minute},
	}
	g := NewGroup(config)
	for _, n := range []byte{1, 2, 3} {
		g.Report(addrPort(server(n)), nil, now)
	}
	for range 2 {
		g.Report(addrPort(server(2)), errors.New("no answer"), now)
	}
	config.Servers = config.Servers[:2]
	g.Update(config, now)
	text, err := json.Marshal(g.Save())
	require.NoError(t, err)

	var saved []Saved
	require.NoError(t, json.Unmarshal(text, &saved))
	next := NewGroup(config)
	next.Restore(saved, now.Add(time.Second))
	picker := next.Picker("")
	picker.Resume(addrPort(server(3)))
	picker.Resume(addrPort(server(1)))
	picker.Resume(netip.MustParseAddrPort("10.9.9.9:80")) // of no group: nobody counts it

	health := next.Health()
	require.Len(t, health, 3)
	for i, want := range []State{Healthy, Unhealthy, Removed} {
		require.Equal(t, want, health[i].State)
	}
	require.Equal(t, []int{1, 0, 1}, []int{health[0].Sessions, health[1].Sessions, health[2].Sessions})
	require.Equal(t, now, health[1].Since)
	require.True(t, health[2].Draining)
	at, ok := picker.Pick(packet.FiveTuple{}, 0)
	require.True(t, ok)
	require.Equal(t, addrPort(server(1)), at)
	require.True(t, picker.Ended(addrPort(server(3))))

	cut, _, _, _ := next.advance(now.Add(time.Minute))
	require.Equal(t, []netip.AddrPort{addrPort(server(3))}, cut, "its time is that of the process before")
}
