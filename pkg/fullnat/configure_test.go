package fullnat

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

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
			before := maps.Clone(l.table.links.byName)
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

// Whatever a table was configured with before, it finds what one finds that never was: the
// links of the configuration, and what addresses are for. A configuration that is refused
// leaves it as it was, and the addresses with as many users.
func TestAConfigurationIsWhatItIsAfterAnyOther(t *testing.T) {
	pick := func(packet.FiveTuple, uint32) (netip.AddrPort, bool) { return netip.AddrPort{}, false }
	hosts := []netip.Addr{
		netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("fd00::1"), netip.MustParseAddr("fd00::2"),
	}
	rapid.Check(t, func(t *rapid.T) {
		table, err := New(Options{MaxSessions: 16})
		require.NoError(t, err)
		defer table.Close()
		cfg := &Config{ENIs: []Interface{{ENI: 1, NextHop: packet.MACOf}, {ENI: 2, NextHop: packet.MACOf}, {ENI: 7, NextHop: packet.MACOf}}}
		require.NoError(t, table.Configure(cfg, 0))
		for range rapid.IntRange(1, 8).Draw(t, "configurations") {
			next := &Config{ENIs: slices.Clone(cfg.ENIs), Links: slices.Clone(cfg.Links)}
			for range rapid.IntRange(0, 4).Draw(t, "changes") {
				at := rapid.IntRange(0, len(next.Links)).Draw(t, "at")
				switch rapid.IntRange(0, 4).Draw(t, "change") {
				case 0:
					next.ENIs[rapid.IntRange(0, 2).Draw(t, "eni")].MTU = rapid.IntRange(1400, 1401).Draw(t, "mtu")
				case 1:
					next.Links = slices.Delete(next.Links, at, min(at+1, len(next.Links)))
				default:
					link := Link{
						Name:    fmt.Sprint(rapid.IntRange(0, 5).Draw(t, "name")),
						Ingress: rapid.SampledFrom([]packet.ENI{1, 2}).Draw(t, "ingress"), Egress: rapid.SampledFrom([]packet.ENI{2, 7}).Draw(t, "egress"),
						Match:    netip.AddrPortFrom(rapid.SampledFrom(hosts).Draw(t, "match"), uint16(rapid.IntRange(0, 2).Draw(t, "port"))),
						Protocol: rapid.SampledFrom([]uint8{packet.ProtocolTCP, packet.ProtocolTCP, packet.ProtocolICMP}).Draw(t, "protocol"),
						Local:    rapid.SliceOfN(rapid.SampledFrom(hosts), 1, 2).Draw(t, "local"),
						Draining: rapid.IntRange(0, 4).Draw(t, "draining") == 0, Connected: rapid.Bool().Draw(t, "connected"),
						Pick: pick, Idle: time.Minute, Behaviour: Behaviour{ResetStray: rapid.Bool().Draw(t, "resets")},
					}
					if rapid.IntRange(0, 3).Draw(t, "renamed") == 0 && at < len(next.Links) {
						link.Was, link.Draining = next.Links[at].Name, true
					}
					next.Links = slices.Insert(next.Links, at, link)
				}
			}
			next.PortsPerTarget = rapid.SampledFrom([]int{0, 0, 1, 2, 3, 4, -1}).Draw(t, "ports")
			twin, err := New(Options{MaxSessions: 16})
			require.NoError(t, err)
			want := twin.Configure(next, 0)
			err = table.Configure(next, 0)
			require.Equal(t, want == nil, err == nil, "%v, and its twin: %v", err, want)
			if err == nil {
				cfg = next
			} else {
				require.NoError(t, twin.Configure(cfg, 0))
			}
			require.Equal(t, routesOf(twin), routesOf(table))
			requireNumbers(t, table)
			require.NoError(t, twin.Close())
		}
	})
}

// routesOf has the routes of a table with addresses for numbers and names for links.
func routesOf(table *Table) any {
	type end struct {
		addr     netip.Addr
		eni      packet.ENI
		port     uint16
		protocol uint8
	}
	links, owned, names, order := map[end]string{}, map[end]users{}, map[string]bool{}, []string{}
	for m, l := range table.routes.links {
		links[end{table.addrs.Addr(m.addr), m.eni, m.port, m.protocol}] = l.Name
	}
	for a, u := range table.routes.owned {
		owned[end{addr: table.addrs.Addr(a.addr), eni: a.eni}] = u
	}
	for name, l := range table.links.byName {
		names[name] = l.live
	}
	for _, l := range table.links.order {
		order = append(order, l.Name)
	}
	return []any{links, owned, names, order, table.routes.limit, table.routes.rest}
}
