package compile

import (
	"net/netip"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/fullnat"
	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Situation is all that decides what becomes of a packet. It is not changed.
type Situation struct {
	Plan    *topology.Plan
	State   control.Snapshot
	Desired Desired // what Plan made of the plan and State, with the faults
	Numbers Numbers // that it was given
	Names   NameSet // what Names made of all that
	Health
	Ports []fullnat.PortUse // NAT ports in use now, the fullest pools first
}

// Explain follows the first packet from an instance to a place, for example ep1,
// ep1@zone:443, 10.0.0.7:80, a domain name or an http URL. It asks the same
// resolver views, links, security groups and health verdicts as real packets
// meet, and sends none. It is pure. The error says what of the question cannot
// be understood; that a packet goes nowhere is not an error.
func (s Situation) Explain(from, to string) (*status.Explanation, error) {
	instance, err := s.Plan.Instance(from)
	if err != nil {
		return nil, err
	}
	place, err := s.place(to)
	if err != nil {
		return nil, err
	}
	e := &status.Explanation{Schema: status.Schema, From: s.Plan.ShortName(*instance), To: to,
		Protocol: string(place.protocol)}
	addrs, station, err := s.resolve(instance, place.host)
	if err != nil {
		return nil, err
	}
	e.Name = station
	if e.Port = place.port; e.Port == 0 {
		if e.Port, err = s.onlyPort(instance, place, addrs); err != nil {
			return nil, err
		}
	}
	e.Passes = len(addrs) > 0
	for _, addr := range addrs {
		source := instance.IP
		if addr.Is6() {
			source = instance.IPv6
		}
		if !source.IsValid() && len(addrs) > 1 {
			continue // an instance without IPv6 takes the other address
		}
		w := walk{Situation: s, from: instance, flow: packet.FiveTuple{
			Protocol: place.protocol.Transport().Number(),
			Src:      netip.AddrPortFrom(source, 0), Dst: netip.AddrPortFrom(addr, e.Port),
		}, way: status.Route{Address: addr, Passes: true}}
		if source.IsValid() {
			w.follow()
		} else {
			w.stops("address", "", "write an ipv6_cidr in subnet "+instance.Subnet, "%s has no IPv6 address",
				instance.Name)
		}
		e.Ways = append(e.Ways, w.way)
		e.Passes = e.Passes && w.way.Passes
	}
	return e, nil
}
