package lab

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/lb"
	"github.com/plinksim/plinksim/pkg/topology"
)

func TestServersThatMayGetRequests(t *testing.T) {
	a, b, c := netip.MustParseAddrPort("10.0.0.1:80"), netip.MustParseAddrPort("10.0.0.2:80"), netip.MustParseAddrPort("10.0.0.3:80")
	sg := topology.ServerGroup{}
	for zone, at := range map[string]netip.AddrPort{"h": a, "i": b} {
		sg.Servers = append(sg.Servers, topology.Server{IP: at.Addr(), Port: at.Port(), Zone: zone})
	}
	healthy := func(a, b, c bool, addrs ...netip.AddrPort) (out []lb.ServerHealth) {
		for i, at := range addrs {
			out = append(out, lb.ServerHealth{Server: at, Healthy: []bool{a, b, c}[i]})
		}
		return out
	}
	for _, tt := range []struct {
		name   string
		open   bool
		zone   string
		health []lb.ServerHealth
		want   []netip.AddrPort
	}{
		{"those that are healthy", false, "", healthy(true, false, false, a, b), []netip.AddrPort{a}},
		{"those of the zone", false, "i", healthy(true, true, false, a, b), []netip.AddrPort{b}},
		{"none where none is healthy", false, "", healthy(false, false, false, a, b), nil},
		{"all where none is healthy and the group opens", true, "", healthy(false, false, false, a, b), []netip.AddrPort{a, b}},
		{"all of the zone", true, "h", healthy(false, true, false, a, b), []netip.AddrPort{a}},
		{"none that the group has no more", true, "", healthy(true, false, true, a, b, c), []netip.AddrPort{a}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sg.FailOpen = tt.open
			require.ElementsMatch(t, tt.want, usable(sg, tt.zone, tt.health))
		})
	}
}
