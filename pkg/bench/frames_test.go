package bench

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFramesAreReadAsRFC6985WritesThem(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []int
		says       string
		err        string
	}{
		{"a size", "512", []int{512}, "512-byte frames", ""},
		{"a letter for each frame", "aagz", []int{64, 64, 1518, 1518}, "IMIX aagz", ""},
		{"own sizes are capital letters", "aAB:A=570:B=1000", []int{64, 570, 1000}, "IMIX aAB:A=570:B=1000", ""},
		{"imix is seven, four and one", "imix", []int{64, 64, 64, 64, 64, 64, 64, 570, 570, 570, 570, 1518}, "IMIX", ""},
		{"a frame without room for its mark", "63", nil, "", "a frame of 63 bytes"},
		{"a frame that the MTU has no room for", "ai", nil, "", "a frame of 9000 bytes"},
		{"a letter that nobody explained", "aB:A=100", nil, "", `no letter 'B'`},
		{"a small letter that RFC 6985 has not", "ak", nil, "", `no letter 'k'`},
		{"an explanation without a size", "aA:A570", nil, "", `and not "A570"`},
		{"nothing", "", nil, "", "want a size, imix"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, err := ParseFrames(tt.text)
			if tt.err != "" {
				require.ErrorContains(t, err, tt.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.want, f.Sizes)
			require.Equal(t, tt.says, f.Name)
		})
	}
}

// Also where the number of flows has to do with that of the frames in the mix.
func TestEachFlowGetsAllSizesOfAMix(t *testing.T) {
	f, err := ParseFrames("imix")
	require.NoError(t, err)
	for _, flows := range []int{1, 5, 11, 12, 24} {
		for flow := range uint64(flows) {
			count := map[int]int{}
			for round := range uint64(len(f.Sizes)) {
				count[f.of(round*uint64(flows)+flow, flows)]++
			}
			require.Equal(t, map[int]int{64: 7, 570: 4, 1518: 1}, count, "flow %d of %d", flow, flows)
		}
	}
	require.InDelta(t, 353.8, f.mean(), 0.1)
}
