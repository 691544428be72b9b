package host

import (
	"fmt"
	"net/netip"
)

// Address is the step that gives a device an address. The bits of the prefix
// say what is on the link.
type Address struct {
	Namespace, Device string
	Prefix            netip.Prefix // with the host bits
}

func (a Address) String() string {
	if a.Prefix.Addr().Is6() {
		return fmt.Sprintf("ip -n %s addr add %s dev %s nodad", a.Namespace, a.Prefix, a.Device)
	}
	return fmt.Sprintf("ip -n %s addr add %s dev %s", a.Namespace, a.Prefix, a.Device)
}

func (a Address) replaces() string { return "" }

// Route is the step that adds a route. Without Via the destination is on the
// device's link.
type Route struct {
	Namespace, Device string
	Dst               netip.Prefix // without host bits; /0 is the default route
	Via               netip.Addr   // zero: none
	// Src is what the namespace itself sends from. A route with it needs no route to Via,
	// which is a neighbour on the device.
	Src netip.Addr
}

func (r Route) String() string {
	dst := r.Dst.String()
	if r.Dst.Bits() == 0 && r.Dst.Addr().Is4() {
		dst = "default"
	}
	switch {
	case r.Via.IsValid() && r.Src.IsValid():
		return fmt.Sprintf("ip -n %s route add %s via %s dev %s onlink src %s", r.Namespace, dst, r.Via, r.Device, r.Src)
	case r.Via.IsValid():
		return fmt.Sprintf("ip -n %s route add %s via %s dev %s", r.Namespace, dst, r.Via, r.Device)
	}
	return fmt.Sprintf("ip -n %s route add %s dev %s scope link", r.Namespace, dst, r.Device)
}

func (r Route) replaces() string { return "" }
