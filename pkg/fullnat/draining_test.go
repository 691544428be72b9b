package fullnat

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/packet"
)

// beside is the config with another link in the place of its first, which
// drains under another name.
func beside(c *Config) *Config {
	cfg := *c
	old, now := c.Links[0], c.Links[0]
	old.Name, old.Was, old.Draining = "web to the old one", "web", true
	now.Egress, now.Local = 3, []netip.Addr{netip.MustParseAddr("10.0.8.11")}
	cfg.ENIs = append(slices.Clone(c.ENIs), Interface{ENI: 3, NextHop: packet.MACOf})
	cfg.Links = []Link{now, old}
	return &cfg
}

func TestADrainingLinkKeepsItsSessionsAndTakesNoOther(t *testing.T) {
	l := newLab(t, 10)
	l.open(t, 1, 0)
	require.NoError(t, l.table.Configure(beside(l.config), time.Second))

	v, _ := l.send(1, packet.FlagACK, time.Second)
	require.Equal(t, Forwarded, v)
	require.Equal(t, "10.0.9.11", l.natIP(), "the old session goes the old way")
	v, _ = l.send(2, packet.FlagSYN, time.Second)
	require.Equal(t, Forwarded, v)
	require.Equal(t, "10.0.8.11", l.natIP(), "a new one goes the new way")

	sessions := map[string]int{}
	for _, s := range l.table.Stats().Links {
		sessions[s.Name] = s.Sessions
	}
	require.Equal(t, map[string]int{"web": 1, "web to the old one": 1}, sessions)

	// Put in force again, it still drains; when it is gone, so are its sessions.
	require.NoError(t, l.table.Configure(beside(l.config), 2*time.Second))
	v, _ = l.send(1, packet.FlagACK, 2*time.Second)
	require.Equal(t, Forwarded, v)
	without := beside(l.config)
	without.Links = without.Links[:1]
	require.NoError(t, l.table.Configure(without, 3*time.Second))
	v, _ = l.send(1, packet.FlagACK, 3*time.Second)
	require.Equal(t, NoSession, v)
	v, _ = l.send(2, packet.FlagSYN, 3*time.Second)
	require.Equal(t, Forwarded, v)
	drain(l.table, 4*time.Second)
	require.Equal(t, 1, l.table.Stats().Sessions)
	require.Zero(t, l.table.links.orphans)
}

// natIP is the source of what was sent last, as it left.
func (l *lab) natIP() string { return netip.AddrFrom4([4]byte(l.frame.Data[26:30])).String() }
