package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
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
// cannot be read is no reason not to come up: it can be set again.
func restoreFaults(dir Dir, log *slog.Logger) *faults {
	text, err := os.ReadFile(dir.Path("faults.json"))
	if errors.Is(err, os.ErrNotExist) {
		return newFaults()
	}
	if err == nil {
		var f *faults
		if f, err = loadFaults(text); err == nil {
			return f
		}
	}
	log.Error("the faults that were set could not be restored", "file", dir.Path("faults.json"), "error", err)
	return newFaults()
}

// saveFaults writes down what was set.
func (l *Lab) saveFaults() {
	l.mu.Lock()
	text, err := l.faults.save()
	l.mu.Unlock()
	if err == nil {
		err = writeFile(l.dir.Path("faults.json"), text)
	}
	if err != nil {
		l.log.Error("the faults could not be saved", "error", err)
	}
}
