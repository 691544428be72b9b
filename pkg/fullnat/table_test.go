package fullnat

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/fullnat/internal/store"
	"github.com/plinksim/plinksim/pkg/packet"
)

// lab is a table with one TCP link from ENI 1 to ENI 2, and a consumer for
// each number who can open a session.
type lab struct {
	table    *Table
	config   *Config
	target   netip.AddrPort
	frame    packet.Frame
	pristine []byte
}

func newLab(t testing.TB, sessions int) *lab {
	t.Helper()
	return newLabWith(t, Options{MaxSessions: sessions, Seed: 1})
}

func newLabWith(t testing.TB, opts Options) *lab {
	t.Helper()
	table, err := New(opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, table.Close()) })
	l := &lab{table: table, target: netip.MustParseAddrPort("192.168.0.1:80")}
	l.config = &Config{
		ENIs: []Interface{{ENI: 1, NextHop: packet.MACOf}, {ENI: 2, NextHop: func(netip.Addr) packet.MAC { return packet.MAC{2} }}},
		Links: []Link{{
			Name: "web", Ingress: 1, Match: netip.MustParseAddrPort("10.0.1.200:80"), Protocol: packet.ProtocolTCP,
			Egress: 2, Local: []netip.Addr{netip.MustParseAddr("10.0.9.11")}, Connected: true, Idle: 15 * time.Minute,
			Pick: func(packet.FiveTuple, uint32) (netip.AddrPort, bool) { return l.target, true },
		}},
	}
	// All consumers are behind one router: what differs is the session.
	l.config.ENIs[0].NextHop = l.config.ENIs[1].NextHop
	require.NoError(t, table.Configure(l.config, 0))
	m, err := parseMessage("tcp 10.0.1.10:40000 > 10.0.1.200:80 S ack=1 df")
	require.NoError(t, err)
	l.frame = m.frame(1)
	l.pristine = append([]byte(nil), l.frame.Data...)
	return l
}

// send lets consumer n send a segment and returns the NAT port it left from.
func (l *lab) send(n int, flags byte, now time.Duration) (Verdict, uint16) {
	copy(l.frame.Data, l.pristine)
	l.frame.ENI = 1
	binary.BigEndian.PutUint32(l.frame.Data[26:], 0x0b000000+uint32(n>>15))
	binary.BigEndian.PutUint16(l.frame.Data[34:], uint16(10000+n&0x7fff))
	l.frame.Data[47] = flags
	if flags != packet.FlagSYN {
		l.frame.Data[41] = 1 // the sequence number behind it
	}
	frames := [1]packet.Frame{l.frame}
	var verdicts [1]Verdict
	forward(l.table, frames[:], verdicts[:], now)
	return verdicts[0], binary.BigEndian.Uint16(l.frame.Data[34:])
}

// open lets consumer n open a session and returns the NAT port it left from.
func (l *lab) open(t testing.TB, n int, now time.Duration) (natPort uint16) {
	v, natPort := l.send(n, packet.FlagSYN, now)
	require.Equal(t, Forwarded, v)
	require.Equal(t, Forwarded, l.answer(natPort, "SA", now))
	v, _ = l.send(n, packet.FlagACK, now)
	require.Equal(t, Forwarded, v)
	return natPort
}

// answer lets the provider answer what left from a NAT port.
func (l *lab) answer(natPort uint16, flags string, now time.Duration) Verdict {
	m := message{
		protocol: "tcp", ttl: 64, flags: flags, src: l.target, ack: 1,
		dst: netip.AddrPortFrom(netip.MustParseAddr("10.0.9.11"), natPort),
	}
	frames := []packet.Frame{m.frame(2)}
	var verdicts [1]Verdict
	forward(l.table, frames, verdicts[:], now)
	return verdicts[0]
}

// The clock of a session has 32 bits, and goes round after 49.7 days.
func TestNoPauseIsSoLongThatSessionsComeBack(t *testing.T) {
	for _, pause := range []time.Duration{49*24*time.Hour + 17*time.Hour + 3*time.Minute, 1 << 32 * store.TickLength, 1 << 33 * store.TickLength, 20 * 365 * 24 * time.Hour} {
		l := newLab(t, 2)
		now := time.Duration(1<<32-1) * store.TickLength
		l.open(t, 0, now)
		v, _ := l.send(0, packet.FlagACK, now+time.Minute)
		require.Equal(t, Forwarded, v, "the clock goes round")
		v, _ = l.send(0, packet.FlagACK, now+pause)
		require.Equal(t, NoSession, v, "%s later", pause)
		drain(l.table, now+2*pause)
		require.Zero(t, l.table.Stats().Sessions)
	}
}

func TestTargetsThatNoPacketComesFromAreNone(t *testing.T) {
	l := newLab(t, 1)
	for _, target := range []string{"127.0.0.1:80", "0.0.0.0:80", "224.0.0.1:80", "[2001:db8::1]:80", "192.168.0.1:0"} {
		l.target = netip.MustParseAddrPort(target)
		v, _ := l.send(0, packet.FlagSYN, 0)
		require.Equal(t, NoBackend, v, target)
	}
}

func TestNATPortsRunOut(t *testing.T) {
	l := newLab(t, 60000)
	ports := map[uint16]bool{}
	for n := range 55000 {
		v, port := l.send(n, packet.FlagSYN, 0)
		require.Equal(t, Forwarded, v, "session %d", n)
		require.False(t, ports[port], "port %d twice", port)
		require.GreaterOrEqual(t, port, uint16(1024), "nat 5")
		ports[port] = true
	}
	v, _ := l.send(55000, packet.FlagSYN, 0)
	require.Equal(t, NoNATPort, v, "nat 7")
	require.EqualValues(t, 1, l.table.Stats().Links[0].Verdicts[NoNATPort])

	t.Run("nat 4: another target has ports of its own", func(t *testing.T) {
		usual := l.target
		l.target = netip.MustParseAddrPort("192.168.0.2:80")
		v, _ := l.send(55001, packet.FlagSYN, 0)
		require.Equal(t, Forwarded, v)
		l.target = usual
	})
	t.Run("sessions that have a port go on", func(t *testing.T) {
		v, _ := l.send(0, packet.FlagACK, 0)
		require.Equal(t, Forwarded, v)
	})
	t.Run("nat 9: a port that comes back is the last to be used again", func(t *testing.T) {
		_, port := l.send(7, packet.FlagRST, 0)
		require.Equal(t, Forwarded, l.answer(port, "A", 59*time.Second))
		drain(l.table, time.Minute)
		v, next := l.send(55002, packet.FlagSYN, time.Minute)
		require.Equal(t, Forwarded, v)
		require.False(t, ports[next], "one of those never used")
	})
	t.Run("the refusal takes no longer than a session", func(t *testing.T) {
		const tries = 10000
		start := time.Now()
		for n := range tries {
			l.send(60000+n, packet.FlagSYN, time.Minute)
		}
		require.Less(t, time.Since(start)/tries, 100*time.Microsecond)
	})
}

func drain(table *Table, now time.Duration) {
	for table.Expire(now, 1000) {
	}
}

func TestTableFull(t *testing.T) {
	l := newLab(t, 10)
	for n := range 10 {
		l.open(t, n, 0)
	}
	v, _ := l.send(10, packet.FlagSYN, 0)
	require.Equal(t, TableFull, v)
	idle := l.config.Links[0].Idle
	drain(l.table, idle)
	v, _ = l.send(10, packet.FlagSYN, idle)
	require.Equal(t, Forwarded, v)
}

func TestExpireGivesEverythingBack(t *testing.T) {
	const sessions = 20000
	l := newLab(t, sessions)
	for round := range 3 {
		now := time.Duration(round) * time.Hour
		for n := range sessions {
			l.open(t, n, now)
		}
		require.Equal(t, sessions, l.table.Stats().Sessions)
		drain(l.table, now+15*time.Minute-store.TickLength)
		require.Equal(t, sessions, l.table.Stats().Sessions)

		now += 15 * time.Minute
		require.True(t, l.table.Expire(now, 100), "it stops at its budget")
		require.GreaterOrEqual(t, l.table.Stats().Sessions, sessions-100)
		drain(l.table, now)
		require.Zero(t, l.table.Stats().Sessions)
		require.Empty(t, l.table.Sessions(nil, now))
		require.Empty(t, l.table.hops.Number)
		require.Equal(t, -1, slices.IndexFunc(l.table.flows.All, func(e store.Flow) bool { return e != store.Flow{} }))
		drain(l.table, now+store.PoolRest)
		require.Empty(t, l.table.ports.Number)
	}
}

func TestExpireAfterALongPause(t *testing.T) {
	for _, pause := range []time.Duration{time.Hour, 30 * 24 * time.Hour, 60 * 24 * time.Hour} {
		t.Run(pause.String(), func(t *testing.T) {
			l := newLab(t, 10)
			l.send(1, packet.FlagSYN, 0)
			require.False(t, l.table.Expire(pause, 2*store.WheelSlots), "the pause is not walked through second by second")
			l.send(2, packet.FlagSYN, pause)
			require.Len(t, l.table.Sessions(nil, pause), 1)
			drain(l.table, pause+DefaultTimers.Opening)
			require.Zero(t, l.table.Stats().Sessions)
		})
	}
}

func TestEstablishedFlowsDoNotAllocate(t *testing.T) {
	l := newLab(t, 1000)
	frames := make([]packet.Frame, 20)
	verdicts := make([]Verdict, len(frames))
	data := make([][]byte, len(frames))
	for n := range frames {
		_, port := l.send(n, packet.FlagSYN, 0)
		require.Equal(t, Forwarded, l.answer(port, "SA", 0))
		m := message{
			protocol: "tcp", ttl: 64, flags: "A", df: n%2 == 0, dst: l.config.Links[0].Match,
			src: netip.AddrPortFrom(netip.MustParseAddr("11.0.0.0"), 10000+uint16(n)),
		}
		frames[n] = m.frame(1)
		data[n] = append([]byte(nil), frames[n].Data...)
	}
	allocations := testing.AllocsPerRun(100, func() {
		for n := range frames {
			frames[n].ENI = 1
			copy(frames[n].Data, data[n])
		}
		l.table.Forward(frames, verdicts, time.Second)
		l.table.Expire(time.Second, 10)
	})
	require.Zero(t, allocations)
	for n, v := range verdicts {
		require.Equal(t, Forwarded, v, "frame %d", n)
	}
}

func TestConfigureRefuses(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(*Config)
		want string
	}{
		{"an ENI without a number", func(c *Config) { c.ENIs = append(c.ENIs, Interface{}) }, "an interface has no ENI number: number them from 1"},
		{"an ENI twice", func(c *Config) { c.ENIs = append(c.ENIs, c.ENIs[0]) }, "ENI 1 is listed twice"},
		{"an ENI without a next hop", func(c *Config) { c.ENIs[1].NextHop = nil }, "ENI 2 has no NextHop"},
		{"a link without a name", func(c *Config) { c.Links[0].Name = "" }, "the link that matches 10.0.1.200:80 has no name"},
		{"an unknown ingress", func(c *Config) { c.Links[0].Ingress = 9 }, `link "web": its ingress, ENI 9, is not among the interfaces`},
		{"an unknown egress", func(c *Config) { c.Links[0].Egress = 9 }, `link "web": its egress, ENI 9, is not among the interfaces`},
		{"a match without a port", func(c *Config) { c.Links[0].Match = netip.MustParseAddrPort("10.0.1.200:0") }, `link "web": it matches 10.0.1.200:0: want the address of a host and a port`},
		{"a match that only its link knows", func(c *Config) { c.Links[0].Match = netip.MustParseAddrPort("[fe80::1]:80") }, `link "web": it matches [fe80::1]:80: want the address of a host and a port`},
		{"a NAT IP that nobody was ever given", func(c *Config) { c.Links[0].Local[0] = netip.MustParseAddr("240.0.0.1") }, `link "web": NAT IP 240.0.0.1: want the address of a host`},
		{"a protocol without ports", func(c *Config) { c.Links[0].Protocol = 47 }, `link "web": protocol 47: want TCP (6), UDP (17) or ICMP (1)`},
		{"no NAT IP", func(c *Config) { c.Links[0].Local = nil }, `link "web": it has no NAT IP`},
		{"nobody to pick a target", func(c *Config) { c.Links[0].Pick = nil }, `link "web": it has no Pick`},
		{"sessions that may not be idle", func(c *Config) { c.Links[0].Idle = 0 }, `link "web": it is idle after 0s: want more than 0 and at most 576h0m0s`},
		{"a name twice", func(c *Config) {
			c.Links = append(c.Links, c.Links[0])
			c.Links[1].Match = netip.MustParseAddrPort("10.0.1.200:81")
		}, `link "web": the name is used twice`},
		{"a match twice", func(c *Config) {
			c.Links = append(c.Links, c.Links[0])
			c.Links[1].Name = "web2"
		}, `link "web2" matches 10.0.1.200:80 on ENI 1, and so does link "web"`},
		{"more ports than there are", func(c *Config) { c.PortsPerTarget = 65000 }, "65000 ports per target: want 1 to 64512, or 0 for 55000"},
		{"all that is wrong, at once", func(c *Config) { c.Links[0].Local, c.Links[0].Pick = nil, nil }, "link \"web\": it has no NAT IP\nlink \"web\": it has no Pick"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t, 10)
			v, port := l.send(1, packet.FlagSYN, 0)
			require.Equal(t, Forwarded, v)
			cfg := *l.config
			cfg.ENIs, cfg.Links = slices.Clone(cfg.ENIs), slices.Clone(cfg.Links)
			cfg.Links[0].Local = slices.Clone(cfg.Links[0].Local)
			tt.edit(&cfg)
			require.EqualError(t, l.table.Configure(&cfg, 0), tt.want)
			require.Equal(t, Forwarded, l.answer(port, "SA", 0), "nothing has changed")
		})
	}
}

func TestConfigureKeepsWhatStays(t *testing.T) {
	open := func(t *testing.T) (*lab, uint16) {
		l := newLab(t, 10)
		return l, l.open(t, 1, 0)
	}
	for _, tt := range []struct {
		name string
		edit func(*Config)
		want Verdict
	}{
		{"the same again", func(*Config) {}, Forwarded},
		{"another backend for those who come later", func(c *Config) {
			c.Links[0].Pick = func(packet.FiveTuple, uint32) (netip.AddrPort, bool) { return netip.AddrPort{}, false }
		}, Forwarded},
		{"another NAT IP for those who come later", func(c *Config) { c.Links[0].Local = []netip.Addr{netip.MustParseAddr("10.0.9.12")} }, Forwarded},
		{"the link goes", func(c *Config) { c.Links = nil }, NotOurs},
		{"the link has another name", func(c *Config) { c.Links[0].Name = "web2" }, NoSession},
		{"the link leaves by another interface", func(c *Config) {
			c.ENIs = append(c.ENIs, Interface{ENI: 3, NextHop: packet.MACOf})
			c.Links[0].Egress = 3
		}, NoSession},
		{"the link is not connected", func(c *Config) { c.Links[0].Connected = false }, NotConnected},
		{"less patience", func(c *Config) { c.Links[0].Idle = time.Second }, NoSession},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, _ := open(t)
			cfg := *l.config
			cfg.ENIs, cfg.Links = slices.Clone(cfg.ENIs), slices.Clone(cfg.Links)
			cfg.Links[0].Local = slices.Clone(cfg.Links[0].Local)
			tt.edit(&cfg)
			require.NoError(t, l.table.Configure(&cfg, 10*time.Second))
			v, _ := l.send(1, packet.FlagACK, 10*time.Second)
			require.Equal(t, tt.want, v)
			drain(l.table, 20*time.Second)
			wantSessions := 0
			if tt.want == Forwarded {
				wantSessions = 1
			}
			require.Equal(t, wantSessions, l.table.Stats().Sessions)
			require.Equal(t, wantSessions, l.table.sessions.Used)
			require.Zero(t, l.table.links.orphans)
		})
	}
}

func TestNATIPsTakeTurns(t *testing.T) {
	l := newLab(t, 10)
	l.config.Links[0].Local = append(l.config.Links[0].Local, netip.MustParseAddr("10.0.9.12"))
	l.config.PortsPerTarget = 2
	require.NoError(t, l.table.Configure(l.config, 0))
	for n := range 4 {
		v, _ := l.send(n, packet.FlagSYN, 0)
		require.Equal(t, Forwarded, v)
	}
	used := map[netip.Addr]int{}
	for _, s := range l.table.Sessions(nil, 0) {
		used[s.Local.Addr()]++
	}
	require.Equal(t, map[netip.Addr]int{netip.MustParseAddr("10.0.9.11"): 2, netip.MustParseAddr("10.0.9.12"): 2}, used)
	v, _ := l.send(4, packet.FlagSYN, 0)
	require.Equal(t, NoNATPort, v)
}

func TestSameSeedSamePorts(t *testing.T) {
	a, b := newLab(t, 10), newLab(t, 10)
	for n := range 5 {
		_, one := a.send(n, packet.FlagSYN, 0)
		_, other := b.send(n, packet.FlagSYN, 0)
		require.Equal(t, one, other)
	}
}

func TestNewRefuses(t *testing.T) {
	for _, tt := range []struct {
		opts Options
		want string
	}{
		{Options{MaxSessions: -1}, "a session table for -1 sessions: want 1 to 536870912"},
		{Options{Timers: Timers{Closing: -1}}, "the closing timer is -1ns: want more than 0 and at most 576h0m0s"},
	} {
		_, err := New(tt.opts)
		require.EqualError(t, err, tt.want)
	}
}

func TestCloseTwice(t *testing.T) {
	table, err := New(Options{MaxSessions: 1})
	require.NoError(t, err)
	require.NoError(t, errors.Join(table.Close(), table.Close()))
}
