package status

import (
	"net/netip"

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
	Ways []Route `json:"ways"` // one for each address, in the order of the answer
}

// Route is the route to one address, station by station, in the order in which a
// packet meets them. Stations behind one where it stops are there as well: all
// that is wrong is said at once.
type Route struct {
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
	// Remedy is what would let it pass, and Remedies the operations and faults
	// that would.
	Remedy   string            `json:"remedy,omitempty"`
	Remedies []topology.Remedy `json:"remedies,omitempty"`
}

// Stops is the station at which the packet ends, nil where it passes.
func (w *Route) Stops() *Station {
	for i := range w.Stations {
		if !w.Stations[i].Passes {
			return &w.Stations[i]
		}
	}
	return nil
}
