package dataplane

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/bpf"

	"github.com/plinksim/plinksim/internal/golden"
)

// The program as people read it: two ranges of interfaces that replies come from,
// four workers.
func TestTheSteeringProgramAsText(t *testing.T) {
	var text strings.Builder
	for i, instruction := range steeringProgram([]uint32{3, 4, 5, 9}, 4) {
		fmt.Fprintf(&text, "%3d  %s\n", i, instruction)
	}
	golden.Equal(t, "testdata/steering.txt", text.String())
}

// Linux takes 4,096 instructions (linux/filter.h, BPF_MAXINSNS).
func TestALabWithManyInterfacesStillHasAProgram(t *testing.T) {
	var replies []uint32
	for i := range uint32(2000) {
		replies = append(replies, 2*i)
	}
	raw, err := bpf.Assemble(steeringProgram(replies, 64))
	require.NoError(t, err)
	require.LessOrEqual(t, len(raw), 4096)
}
