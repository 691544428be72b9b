package fullnat

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/fullnat/internal/store"
	"github.com/plinksim/plinksim/pkg/packet"
)

// shardedLab are tables with one Config, and the Steering between them.
type shardedLab struct {
	*lab
	tables   []*Table
	steering *Steering
}

func newShardedLab(t *testing.T, shards int, edit func(*Config)) *shardedLab {
	s := &shardedLab{lab: newLab(t, 10)}
	edit(s.config)
	var err error
	s.steering, err = NewSteering(s.config, shards)
	require.NoError(t, err)
	for n := range shards {
		table, err := New(Options{MaxSessions: 10000, Seed: 1, Shard: n, Shards: shards})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, table.Close()) })
		require.NoError(t, table.Configure(s.config, 0))
		s.tables = append(s.tables, table)
	}
	return s
}

// forward gives a packet to the table that the steering names.
func (s *shardedLab) forward(eni packet.ENI, m message) (v Verdict, left message, shard int) {
	frames := []packet.Frame{m.frame(eni)}
	shard = s.steering.Shard(&frames[0])
	var verdicts [1]Verdict
	s.tables[shard].Forward(frames, verdicts[:], 0)
	if verdicts[0] == Forwarded {
		left, _ = read(frames[0])
	}
	return verdicts[0], left, shard
}

func TestRepliesOfEverySessionNameItsShard(t *testing.T) {
	for _, shards := range []int{1, 2, 4, 16} {
		t.Run(fmt.Sprintf("shards=%d", shards), func(t *testing.T) {
			s := newShardedLab(t, shards, func(c *Config) {
				udp := c.Links[0]
				udp.Name, udp.Protocol, udp.Match = "dns", packet.ProtocolUDP, netip.MustParseAddrPort("10.0.1.200:53")
				c.Links = append(c.Links, udp)
			})
			used := make([]int, shards)
			for n := range 2000 {
				m := message{protocol: "tcp", flags: "S", ttl: 64, dst: s.config.Links[0].Match}
				if n%2 == 1 {
					m = message{protocol: "udp", len: 4, ttl: 64, dst: s.config.Links[1].Match}
				}
				m.src = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 1, byte(10 + n%5)}), uint16(40000+n))
				v, left, shard := s.forward(1, m)
				require.Equal(t, Forwarded, v)
				require.Equal(t, shard, int(left.src.Port())&(shards-1))
				used[shard]++

				reply := message{protocol: m.protocol, len: m.len, ttl: 64, src: left.dst, dst: left.src}
				if m.protocol == "tcp" {
					reply.flags = "SA"
				}
				v, back, replyShard := s.forward(2, reply)
				require.Equal(t, Forwarded, v)
				require.Equal(t, shard, replyShard)
				require.Equal(t, m.src, back.dst)

				quoted := left
				v, _, errorShard := s.forward(2, message{
					protocol: "icmp", flags: "3/1", ttl: 64, quoted: &quoted,
					src: netip.MustParseAddrPort("10.0.9.1:0"), dst: netip.AddrPortFrom(left.src.Addr(), 0),
				})
				require.Equal(t, Forwarded, v)
				require.Equal(t, shard, errorShard, "an error about what went to the provider")
				v, _, errorShard = s.forward(1, message{
					protocol: "icmp", flags: "3/3", ttl: 64, quoted: &back,
					src: netip.AddrPortFrom(m.src.Addr(), 0), dst: netip.AddrPortFrom(m.dst.Addr(), 0),
				})
				require.Equal(t, Forwarded, v)
				require.Equal(t, shard, errorShard, "an error about what went to the consumer")
			}
			for shard, sessions := range used {
				require.Greater(t, sessions, 2000/shards/2, "shard %d", shard)
			}
		})
	}
}

func TestShardsDivideThePortsOfATarget(t *testing.T) {
	s := newShardedLab(t, 4, func(c *Config) { c.PortsPerTarget = 10 })
	opened := 0
	ports := map[netip.AddrPort]bool{}
	for n := range 500 {
		v, left, _ := s.forward(1, message{
			protocol: "tcp", flags: "S", ttl: 64, dst: s.config.Links[0].Match,
			src: netip.AddrPortFrom(netip.MustParseAddr("10.0.1.10"), uint16(40000+n)),
		})
		if v == Forwarded {
			opened++
			ports[left.src] = true
		} else {
			require.Equal(t, NoNATPort, v)
		}
	}
	require.Equal(t, 10, opened)
	require.Len(t, ports, 10)
}

func TestAShardAvoidsNATPortsThatLinksMatch(t *testing.T) {
	// The NAT IP is an address that consumers send to, and most ports that the
	// shard could use are those of links.
	natIP := netip.MustParseAddr("10.0.9.11")
	matched := map[uint16]bool{}
	s := newShardedLab(t, 2, func(c *Config) {
		start := netip.AddrPortFrom(natIP, store.FirstNATPort)
		for port := start.Port(); port < store.FirstNATPort+3000; port += 5 {
			l := c.Links[0]
			l.Name, l.Ingress, l.Egress = fmt.Sprint("link ", port), 2, 1
			l.Match, l.Local = netip.AddrPortFrom(natIP, port), []netip.Addr{netip.MustParseAddr("10.0.1.200")}
			c.Links = append(c.Links, l)
			matched[port] = true
		}
	})
	for _, table := range s.tables {
		table.ports.Pool(store.PoolKey{
			Local: store.IPv4Number(natIP), Target: store.IPv4Number(s.target.Addr()), Port: s.target.Port(), ENI: 2, Protocol: packet.ProtocolTCP,
		}, table.random, 0)
		table.ports.All[0].Start = 0
	}
	for n := range 1000 {
		v, left, shard := s.forward(1, message{
			protocol: "tcp", flags: "S", ttl: 64, dst: s.config.Links[0].Match,
			src: netip.AddrPortFrom(netip.MustParseAddr("10.0.1.10"), uint16(40000+n)),
		})
		require.Equal(t, Forwarded, v)
		require.False(t, matched[left.src.Port()])
		v, _, replyShard := s.forward(2, message{protocol: "tcp", flags: "SA", ttl: 64, src: left.dst, dst: left.src})
		require.Equal(t, Forwarded, v)
		require.Equal(t, shard, replyShard)
	}
}

func TestShardOptionsThatMeanNothing(t *testing.T) {
	for _, tt := range []struct {
		shard, shards int
		want          string
	}{
		{0, 3, "3 shards: want a power of two up to 64"},
		{0, 128, "128 shards: want a power of two up to 64"},
		{0, -1, "-1 shards: want a power of two up to 64"},
		{2, 2, "shard 2 of 2: want 0 to 1"},
		{1, 0, "shard 1 of 1: want 0 to 0"},
		{-1, 2, "shard -1 of 2: want 0 to 1"},
	} {
		_, err := New(Options{Shard: tt.shard, Shards: tt.shards})
		require.EqualError(t, err, tt.want)
	}
	_, err := NewSteering(&Config{}, 3)
	require.EqualError(t, err, "3 shards: want a power of two up to 64")
	_, err = NewSteering(&Config{Links: []Link{{}}}, 2)
	require.ErrorContains(t, err, "has no name")
}

func TestSteeringTakesAnyFrame(t *testing.T) {
	s := newShardedLab(t, 4, func(*Config) {})
	for _, data := range [][]byte{nil, {1}, make([]byte, 14), make([]byte, 60)} {
		require.Zero(t, s.steering.Shard(&packet.Frame{ENI: 1, Data: data}))
	}
}

func TestWalkThroughTheSessionsInParts(t *testing.T) {
	l := newLab(t, 1000)
	for n := range 100 {
		v, _ := l.send(n, packet.FlagSYN, 0)
		require.Equal(t, Forwarded, v)
	}
	walk := func(count int, between func(part int)) (sessions []Session) {
		for w, part := (Walk{}), 0; !w.Done(); part++ {
			before := len(sessions)
			sessions, w = l.table.SessionsFrom(sessions, w, count, time.Second)
			require.LessOrEqual(t, len(sessions)-before, max(count, 1))
			between(part)
		}
		return sessions
	}
	all := l.table.Sessions(nil, time.Second)
	require.Len(t, all, 100)
	for _, count := range []int{0, 1, 7, 100, 1000} {
		require.Equal(t, all, walk(count, func(int) {}), "parts of %d", count)
	}
	t.Run("while others come and go", func(t *testing.T) {
		seen := map[netip.AddrPort]int{}
		for _, s := range walk(7, func(part int) {
			l.send(1000+part, packet.FlagSYN, time.Second)
			if part < 50 {
				l.table.remove(store.SessionID(99 - part)) // of those that come last
			}
			drain(l.table, time.Second)
		}) {
			seen[s.Consumer]++
		}
		for _, s := range all[:50] {
			require.Equal(t, 1, seen[s.Consumer], "%s was there all the time", s.Consumer)
		}
		for consumer, times := range seen {
			require.Equal(t, 1, times, "%s", consumer)
		}
	})
}

func TestPortUseTellsTheFullestFirst(t *testing.T) {
	l := newLab(t, 1000)
	l.config.PortsPerTarget = 50
	require.NoError(t, l.table.Configure(l.config, 0))
	require.Empty(t, l.table.PortUse(nil, 10))
	for n := range 55 {
		// Target 1 gets one session, target 2 two, and so on.
		target := 1
		for left := n; left >= target; target++ {
			left -= target
		}
		l.target = netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 168, 0, byte(target)}), 80)
		v, _ := l.send(n, packet.FlagSYN, 0)
		require.Equal(t, Forwarded, v)
	}
	use := l.table.PortUse(nil, 3)
	require.Len(t, use, 3)
	require.Equal(t, PortUse{
		ENI: 2, Protocol: packet.ProtocolTCP, Local: netip.MustParseAddr("10.0.9.11"),
		Target: netip.MustParseAddrPort("192.168.0.10:80"), InUse: 10, Limit: 50,
	}, use[0])
	require.Equal(t, []int{9, 8}, []int{use[1].InUse, use[2].InUse})
	require.Len(t, l.table.PortUse(nil, 100), 10)
	require.Empty(t, l.table.PortUse(nil, 0))
}
