package lab

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/plinksim/plinksim/pkg/dataplane"
)

// savedFaults is faults as faults.json has them, for a daemon that takes the
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

func (f *faults) save() ([]byte, error) {
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

// loadFaults reads what save gave. What does not fit the plan is forgotten
// later.
func loadFaults(text []byte) (*faults, error) {
	var saved savedFaults
	if err := json.Unmarshal(text, &saved); err != nil {
		return nil, err
	}
	if saved.Version != savedFaultsVersion {
		return nil, fmt.Errorf("it has version %d, and this program writes %d", saved.Version, savedFaultsVersion)
	}
	f := newFaults()
	for name, w := range saved.Endpoints {
		f.ways[name] = &liveWays{toProvider: overlay{}.with(w.ToProvider), toConsumer: overlay{}.with(w.ToConsumer), seed: w.Seed}
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

// restoreFaults goes on with what was set before the daemon was killed. What
// cannot be read can be set again.
func restoreFaults(kept *stateFiles) *faults {
	f := newFaults()
	kept.read(faultsFile, "the faults that were set", func(text []byte) error {
		restored, err := loadFaults(text)
		if err == nil {
			f = restored
		}
		return err
	})
	return f
}

// saveFaults writes down what was set.
func (l *Lab) saveFaults() error {
	l.mu.Lock()
	text, err := l.faults.save()
	l.mu.Unlock()
	if err != nil {
		return err
	}
	return l.kept.put(faultsFile, text)
}
