package fullnat

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/packet"
)

// A link that is the same to the bit stays the link that it is; whatever else is, is
// made again. The addresses of both have as many users as before.
func TestLinksThatAreTheSameAreNotMadeAgain(t *testing.T) {
	l := newLab(t, 100)
	l.config.Links[0].Local = append(slices.Clone(l.config.Links[0].Local), netip.MustParseAddr("fd00::1"))
	l.config.Links = append(l.config.Links, l.config.Links[0])
	l.config.Links[1].Name, l.config.Links[1].Match = "six", netip.MustParseAddrPort("[fd00::2]:80")
	require.NoError(t, l.table.Configure(l.config, 0))
	verdict, port := l.send(1, packet.FlagSYN, 0)
	require.Equal(t, Forwarded, verdict)
	for _, tt := range []struct {
		name   string
		change func(*Config)
		again  []string // links that are made again
	}{
		{"nothing", func(*Config) {}, nil},
		{"more links", func(c *Config) {
			more := c.Links[0]
			more.Name, more.Match = "more", netip.MustParseAddrPort("10.0.1.200:81")
			c.Links = append([]Link{more}, c.Links...)
		}, nil},
		{"another filter", func(c *Config) {
			c.Links[0].Admit = func(packet.FiveTuple) bool { return true }
		}, []string{"web"}},
		{"another interface", func(c *Config) { c.ENIs[0].MTU = 1400 }, []string{"six", "web"}},
		{"another list of the same addresses", func(c *Config) {
			c.Links[1].Local = slices.Clone(c.Links[1].Local)
		}, []string{"six"}},
		{"draining", func(c *Config) {
			c.ENIs = append(c.ENIs, Interface{ENI: 3, NextHop: packet.MACOf})
			c.Links = append(c.Links, c.Links[0])
			c.Links[0].Egress = 3
			c.Links[2].Name, c.Links[2].Was, c.Links[2].Draining = "web by lb", "web", true
		}, []string{"web"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.NoError(t, l.table.Configure(l.config, 0))
			before := l.table.links.byName
			next := *l.config
			next.ENIs, next.Links = slices.Clone(next.ENIs), slices.Clone(next.Links)
			tt.change(&next)
			require.NoError(t, l.table.Configure(&next, 0))
			var again []string
			for name, was := range before {
				if l.table.links.byName[name] != was {
					again = append(again, name)
				}
			}
			slices.Sort(again)
			require.Equal(t, tt.again, again)
			for _, link := range l.table.links.byName {
				require.Same(t, &next.ENIs[link.ingress.ENI-1], link.ingress, "it keeps no interface of before")
			}
			requireNumbers(t, l.table)
			verdict, same := l.send(1, packet.FlagACK, time.Second)
			require.Equal(t, Forwarded, verdict)
			require.Equal(t, port, same, "the session goes on")
		})
	}
}
