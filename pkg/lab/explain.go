package lab

import (
	"net/netip"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/dns"
	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Explanation says what becomes of the first packet from an instance to a
// place, and why.
type Explanation struct {
	Schema   string `json:"schema"`
	From     string `json:"from"` // the instance
	To       string `json:"to"`   // as it was asked
	Protocol string `json:"protocol"`
	Port     uint16 `json:"port"`
	// Passes is whether a server gets the packet, whichever address is tried.
	Passes bool `json:"passes"`
	// Name is how the name became addresses.
	Name Station `json:"name"`
	Ways []Way   `json:"ways"` // one for each address, in the order of the answer
}

// Way is the way to one address, station by station, in the order in which a
// packet meets them. Stations behind one where it stops are there as well: all
// that is wrong is said at once.
type Way struct {
	Address  netip.Addr `json:"address"`
	Passes   bool       `json:"passes"`
	Stations []Station  `json:"stations"`
}

// Station is one place on the way that may stop a packet.
type Station struct {
	Name   string `json:"name"`
	Passes bool   `json:"passes"`
	Text   string `json:"text"`
	// Verdict is the counter of the data plane that tells of it, for a station
	// of the data plane that stops the packet.
	Verdict string `json:"verdict,omitempty"`
	// Remedy is what would let it pass.
	Remedy string `json:"remedy,omitempty"`
}

// Stops is the station at which the packet ends, nil where it passes.
func (w *Way) Stops() *Station {
	for i := range w.Stations {
		if !w.Stations[i].Passes {
			return &w.Stations[i]
		}
	}
	return nil
}

// Situation is all that decides what becomes of a packet. It is not changed.
type Situation struct {
	Plan    *topology.Plan
	State   control.Snapshot
	Desired Desired               // what Compile made of Plan and State, with the faults
	Numbers Numbers               // that Compile was given
	Names   map[string]dns.Config // what CompileNames made of all that, by VPC
	Health
}

// Explain follows the first packet from an instance to a place such as ep1,
// ep1@zone:443, 10.0.0.7:80, a domain name or an http URL. It asks the same
// resolver views, links, security groups and health verdicts as real packets
// meet, and sends none. It is pure. The error says what of the question cannot
// be understood; a packet that goes nowhere is no error.
func (s Situation) Explain(from, to string) (*Explanation, error) {
	instance, err := s.Plan.Instance(from)
	if err != nil {
		return nil, err
	}
	place, err := s.place(to)
	if err != nil {
		return nil, err
	}
	e := &Explanation{Schema: Schema, From: shortName(s.Plan, *instance), To: to, Protocol: place.protocol}
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
			continue // who has no IPv6 takes the other address
		}
		w := walk{Situation: s, from: instance, flow: packet.FiveTuple{
			Protocol: protocolNumber(place.protocol),
			Src:      netip.AddrPortFrom(source, 0), Dst: netip.AddrPortFrom(addr, e.Port),
		}, way: Way{Address: addr, Passes: true}}
		if source.IsValid() {
			w.follow()
		} else {
			w.stops("address", "", "write an ipv6_cidr in subnet "+instance.Subnet, "%s has no IPv6 address", instance.Name)
		}
		e.Ways = append(e.Ways, w.way)
		e.Passes = e.Passes && w.way.Passes
	}
	return e, nil
}

// Explain is Situation.Explain of the lab as it is now.
func (l *Lab) Explain(from, to string) (*Explanation, error) {
	return l.situation().Explain(from, to)
}

func (l *Lab) situation() Situation {
	state := l.plane.State()
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Situation{Plan: state.Plan, State: state, Numbers: Numbers{}, Health: l.healthLocked()}
	for device, number := range l.numbers {
		s.Numbers[device] = number
	}
	nobody := func(string, string, string) Chooser {
		return Chooser{} // no packet is sent, and pickers keep their turn
	}
	s.Desired = Compile(state.Plan, state, l.numbers, nobody)
	l.faults.impose(&s.Desired, state.Plan, l.numbers)
	s.Names = CompileNames(state.Plan, state, s.Health)
	return s
}
