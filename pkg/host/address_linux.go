package host

import (
	"errors"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func (a Address) do(k *kernel) (bool, error) {
	s, err := k.space(a.Namespace)
	if err != nil {
		return false, err
	}
	link, err := s.device(a.Device)
	if err != nil {
		return false, err
	}
	err = s.link.AddrAdd(link, a.addr())
	if errors.Is(err, unix.EEXIST) {
		return false, nil
	}
	return err == nil, err
}

func (a Address) undo(k *kernel) error {
	s, err := k.space(a.Namespace)
	if err != nil {
		return ignoreGone(err)
	}
	link, err := s.device(a.Device)
	if err != nil {
		return ignoreGone(err)
	}
	return ignoreGone(s.link.AddrDel(link, a.addr()))
}

func (a Address) addr() *netlink.Addr {
	if a.Prefix.Addr().Is6() {
		return &netlink.Addr{IPNet: ipNet(a.Prefix), Flags: unix.IFA_F_NODAD}
	}
	// A broadcast address of zeros is none, which is what "ip addr add" gives.
	return &netlink.Addr{IPNet: ipNet(a.Prefix), Broadcast: net.IPv4zero}
}

func (r Route) do(k *kernel) (bool, error) {
	s, err := k.space(r.Namespace)
	if err != nil {
		return false, err
	}
	route, err := r.route(s)
	if err != nil {
		return false, err
	}
	err = s.link.RouteAdd(route)
	if errors.Is(err, unix.EEXIST) {
		return false, nil
	}
	return err == nil, err
}

func (r Route) undo(k *kernel) error {
	s, err := k.space(r.Namespace)
	if err != nil {
		return ignoreGone(err)
	}
	route, err := r.route(s)
	if err != nil {
		return ignoreGone(err)
	}
	return ignoreGone(s.link.RouteDel(route))
}

func (r Route) route(s *space) (*netlink.Route, error) {
	i, err := s.index(r.Device)
	if err != nil {
		return nil, err
	}
	route := &netlink.Route{LinkIndex: i, Dst: ipNet(r.Dst), Scope: netlink.SCOPE_LINK}
	if r.Via.IsValid() {
		route.Gw, route.Scope = r.Via.AsSlice(), netlink.SCOPE_UNIVERSE
	}
	if r.Src.IsValid() {
		route.Src = r.Src.AsSlice()
		route.SetFlag(netlink.FLAG_ONLINK)
	}
	return route, nil
}

// ipNet keeps the host bits of p.
func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
