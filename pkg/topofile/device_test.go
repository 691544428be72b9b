package topofile

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestDeviceNamesOfOneNamespaceDiffer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, seen := newDevices(), map[string]bool{}
		wishes := rapid.SliceOfN(rapid.StringMatching(`[ab]{1,3}(-[a-c]{0,20}[a-c])?`), 1, 60).Draw(t, "wishes")
		for _, wish := range wishes {
			name := d.name(wish)
			require.False(t, seen[name], name)
			require.NotEmpty(t, name)
			require.LessOrEqual(t, len(name), maxDevice)
			seen[name] = true
		}
	})
}
