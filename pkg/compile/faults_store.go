package compile

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/plinksim/plinksim/pkg/dataplane"
)

// savedFaults is Faults as faults.json has them, for a daemon that takes the
// lab over.
type savedFaults struct {
	Version   int                  `json:"version"`
	Endpoints map[string]savedWays `json:"endpoints"`
	ENIs      map[string]string    `json:"enis"`
	ZonesDown []string             `json:"zones_down"`
}

type savedWays struct {
	ToProvider overlay `json:"to_provider"`
	ToConsumer overlay `json:"to_consumer"`
	Seed       *uint64 `json:"seed,omitempty"`
}

const savedFaultsVersion = 1

// faultNames are the faults of an interface as users and files write them.
var faultNames = map[dataplane.Fault]string{dataplane.Down: "down", dataplane.Blackhole: "blackhole"}

// Save is what a later daemon goes on with: see LoadFaults.
func (f *Faults) Save() ([]byte, error) {
	saved := savedFaults{
		Version: savedFaultsVersion, Endpoints: map[string]savedWays{}, ENIs: map[string]string{},
		ZonesDown: slices.Sorted(maps.Keys(f.zones)),
	}
	for name, w := range f.ways {
		saved.Endpoints[name] = savedWays{w.toProvider, w.toConsumer, w.seed}
	}
	for name, fault := range f.enis {
		saved.ENIs[name] = faultNames[fault]
	}
	return json.MarshalIndent(saved, "", "  ")
}

// LoadFaults reads what Save gave. What does not fit the plan is forgotten
// later.
func LoadFaults(text []byte) (*Faults, error) {
	var saved savedFaults
	if err := json.Unmarshal(text, &saved); err != nil {
		return nil, err
	}
	if saved.Version != savedFaultsVersion {
		return nil, fmt.Errorf("it has version %d, and this program writes %d", saved.Version, savedFaultsVersion)
	}
	f := NewFaults()
	for name, w := range saved.Endpoints {
		f.ways[name] = &liveWays{toProvider: overlay{}.with(w.ToProvider), toConsumer: overlay{}.with(w.ToConsumer),
			seed: w.Seed}
	}
	for name, text := range saved.ENIs {
		for fault, known := range faultNames {
			if text == known {
				f.enis[name] = fault
			}
		}
	}
	for _, zone := range saved.ZonesDown {
		f.zones[zone] = true
	}
	return f, nil
}
