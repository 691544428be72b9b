package lab

import (
	"bytes"
	"encoding/json"

	"github.com/plinksim/plinksim/pkg/lb"
)

// restore lets groups begin where those of the process before were. What cannot be
// read is found again by the checks.
func (g *serverGroups) restore(saved *stateFiles) {
	saved.read(healthFile, "the health of the servers", func(text []byte) error {
		return json.Unmarshal(text, &g.saved)
	})
}

// save writes down what the groups know, where that has changed.
func (g *serverGroups) save(saved *stateFiles) error {
	g.checking.Lock()
	defer g.checking.Unlock()
	all := map[string][]lb.Saved{}
	for name, running := range g.running.all() {
		all[name] = running.group.Save()
	}
	text, err := json.Marshal(all)
	if err != nil {
		panic("health is plain data: " + err.Error())
	}
	if bytes.Equal(text, g.savedText) {
		return nil
	}
	g.savedText = text
	return saved.put(healthFile, text)
}
