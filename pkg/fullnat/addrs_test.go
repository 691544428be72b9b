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

// requireNumbers counts who uses the numbers of IPv6 addresses, and holds the
// table's own counts against that.
func requireNumbers(t require.TestingT, table *Table) {
	if h, ok := t.(interface{ Helper() }); ok {
		h.Helper()
	}
	want := map[uint32]uint32{}
	use := func(numbers ...uint32) {
		for _, n := range numbers {
			if store.IsIPv6(n) {
				want[n]++
			}
		}
	}
	for _, l := range table.links.order {
		use(l.match)
		use(l.local[1]...)
	}
	for id := range table.sessions.Reached {
		if s := table.sessions.At(id); s.State != store.Free {
			there := table.flows.At(s.Slots[store.ToProvider])
			use(there.Key.Src(), there.Key.Dst(), there.Rewrite.Src, there.Rewrite.Dst)
		}
	}
	for _, p := range table.ports.All {
		if p != nil {
			use(p.Key.Local, p.Key.Target)
		}
	}
	for k := range table.fragments.byKey {
		use(k.src, k.dst)
	}
	got := map[uint32]uint32{}
	for addr, n := range table.addrs.Number {
		require.Equal(t, addr, table.addrs.At(n).Addr)
		got[n] = table.addrs.At(n).Users
	}
	require.Equal(t, want, got, "who uses which number")
}

func TestNumbersOfAddresses(t *testing.T) {
	t.Run("nat 57: packets that open nothing leave no number behind", func(t *testing.T) {
		s := newStory(t)
		s.play(`link web tcp ep [2001:db8:1::200]:80 -> lb 2001:db8:9::11 -> [2001:db8:5::1]:8080 idle 15m
link gone tcp ep [2001:db8:1::201]:80 -> lb 2001:db8:9::12 -> [2001:db8:5::1]:8080 idle 15m
deny web`)
		numbers := len(s.table.addrs.Number)
		for n := range 100 {
			for _, dst := range []string{"[2001:db8:1::200]:80", "[2001:db8:1::200]:81", "[2001:db8:1::77]:80"} {
				for _, flags := range []string{"S", "A"} {
					s.play(fmt.Sprintf("ep < tcp [2001:db8:1::%x]:40000 > %s %s", 0x1000+n, dst, flags))
				}
			}
		}
		require.Len(t, s.table.addrs.Number, numbers)
		s.play("remove gone")
		require.Len(t, s.table.addrs.Number, numbers-2)
		requireNumbers(t, s.table)
	})
	t.Run("nat 57: sessions, ports and fragments give theirs back", func(t *testing.T) {
		s := newStory(t)
		s.play("link dns udp ep [2001:db8:1::200]:53 -> lb 2001:db8:9::11 -> [2001:db8:5::1]:53 idle 20s")
		for n := range 500 {
			s.play(fmt.Sprintf("ep < udp [2001:db8:1::%x]:5000 > [2001:db8:1::200]:53 len=30", 0x1000+n))
			s.play(fmt.Sprintf("ep < udp [2001:db8:1::%x]:5000 > [2001:db8:1::200]:53 len=3000 id=1 bytes=1448-2896", 0x2000+n))
		}
		require.Len(t, s.table.addrs.Number, 1003)
		requireNumbers(t, s.table)
		s.play("time 10m\nremove dns\ntime 20m")
		require.Empty(t, s.table.addrs.Number)
		require.Len(t, s.table.addrs.All, 1)
	})
	t.Run("a configuration with an error leaves no number behind", func(t *testing.T) {
		s := newStory(t)
		err := s.table.Configure(&Config{
			ENIs:  []Interface{{ENI: 1, NextHop: packet.MACOf}},
			Links: []Link{sixToSix("web"), sixToSix("web")},
		}, 0)
		require.Error(t, err)
		require.Empty(t, s.table.addrs.Number)
	})
}

// sixToSix is a link with IPv6 on both sides, of one interface.
func sixToSix(name string) Link {
	return Link{
		Name: name, Ingress: 1, Match: netip.MustParseAddrPort("[2001:db8:1::200]:80"), Protocol: packet.ProtocolTCP,
		Egress: 1, Local: []netip.Addr{netip.MustParseAddr("2001:db8:9::11")}, Connected: true, Idle: time.Hour,
		Pick: func(packet.FiveTuple, uint32) (netip.AddrPort, bool) {
			return netip.MustParseAddrPort("[2001:db8:5::1]:8080"), true
		},
	}
}

func TestIPv6DoesNotAllocate(t *testing.T) {
	for _, tt := range []struct{ name, link, open, answer, data string }{
		{
			"nat 57: from IPv6 to IPv6",
			"link web tcp ep [2001:db8:1::200]:80 -> lb 2001:db8:9::11 -> [2001:db8:5::1]:8080 idle 15m",
			"tcp [2001:db8:1::10]:40000 > [2001:db8:1::200]:80 S", "tcp [2001:db8:5::1]:8080 > [2001:db8:9::11]:1024 SA",
			"tcp [2001:db8:1::10]:40000 > [2001:db8:1::200]:80 A len=1000",
		},
		{
			"nat 57: from IPv6 to IPv4",
			"link web tcp ep [2001:db8:1::200]:80 -> lb 10.0.9.11 -> 192.168.0.1:8080 idle 15m",
			"tcp [2001:db8:1::10]:40000 > [2001:db8:1::200]:80 S", "tcp 192.168.0.1:8080 > 10.0.9.11:1024 SA",
			"tcp [2001:db8:1::10]:40000 > [2001:db8:1::200]:80 A len=1000",
		},
		{
			"nat 57: from IPv4 to IPv6",
			"link web tcp ep 10.0.1.200:80 -> lb 2001:db8:9::11 -> [2001:db8:5::1]:8080 idle 15m",
			"tcp 10.0.1.10:40000 > 10.0.1.200:80 S", "tcp [2001:db8:5::1]:8080 > [2001:db8:9::11]:1024 SA",
			"tcp 10.0.1.10:40000 > 10.0.1.200:80 A len=1000 df",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStory(t)
			s.play(tt.link + "\nep < " + tt.open + "\nlb < " + tt.answer)
			m, err := parseMessage(tt.data)
			require.NoError(t, err)
			pristine := m.frame(s.enis["ep"])
			data := make([]byte, len(pristine.Data))
			frames, verdicts := make([]packet.Frame, 1), make([]Verdict, 1)
			require.Zero(t, testing.AllocsPerRun(100, func() {
				copy(data, pristine.Data)
				frames[0] = packet.Frame{ENI: pristine.ENI, Data: data}
				s.table.Forward(frames, verdicts, s.now)
			}))
			require.Equal(t, Forwarded, verdicts[0])
		})
	}
}
