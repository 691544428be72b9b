package plinksim

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/house"
)

// large are the types that may have more functions than the others, and why.
var large = map[string]string{
	"pkg/topofile.builder": "is being split",
	"pkg/control.Plane":    "is being split",
	"pkg/fullnat.Table":    "is being split",
	"pkg/lab.Lab":          "is being split",
}

// A type with more functions than this, its methods and those of its package
// whose first parameter it is, cannot be read or tested in parts.
const mostFunctions = 60

func TestNoTypeIsTooLargeToBeRead(t *testing.T) {
	for _, r := range tree(t).Receivers() {
		if large[r.Name] == "" {
			require.LessOrEqual(t, r.Functions, mostFunctions, "%s: split it", r.Name)
		}
	}
}

func tree(t *testing.T) *house.Tree {
	t.Helper()
	tree, err := house.Read(".")
	require.NoError(t, err)
	return tree
}
