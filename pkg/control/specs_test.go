package control

import (
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/topology"
)

// Every verb of the table of operations has a function, and every function a
// verb of that table.
func TestOperationsAreThoseOfTheTable(t *testing.T) {
	var changing, reading []Verb
	for _, spec := range topology.Specs {
		if spec.Read {
			reading = append(reading, spec.Verb)
			continue
		}
		changing = append(changing, spec.Verb)
	}
	require.ElementsMatch(t, changing, slices.Collect(maps.Keys(operations)))
	require.ElementsMatch(t, reading, slices.Collect(maps.Keys(reads)))
}
