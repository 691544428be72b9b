package host

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/plinksim/plinksim/pkg/topology"
)

// Wherever the process that changes a lab is killed, Mend makes it what it was, and
// what the change does not touch stays.
func TestALabIsMendedWhereverAChangeEnds(t *testing.T) {
	t.Parallel()
	bigger := twoVPCs()
	addInstanceTo(&bigger.VPCs[0], "vsw1", "ecs9", "10.10.2.9")
	otherMTU := twoVPCs()
	otherMTU.VPCs[1].MTU = 8500
	oneVPC := twoVPCs()
	oneVPC.VPCs, oneVPC.LoadBalancers, oneVPC.NATGateways = oneVPC.VPCs[:1], nil, nil
	for _, tt := range []struct {
		name      string
		old, half *topology.Plan
	}{
		{"an instance comes", twoVPCs(), bigger},
		{"an instance goes", bigger, twoVPCs()},
		{"the MTU of a VPC changes", twoVPCs(), otherMTU},
		{"a VPC goes", twoVPCs(), oneVPC},
		{"a VPC comes", oneVPC, twoVPCs()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := built(t, tt.old)
			before, files := stateOf(t, dir), filesBelow(t, dir)
			runs := sleeper(t, dir, "vpc1.ecs1")
			d := differenceOf(tt.old, tt.half)
			total := len(slices.Concat(d.do...))
			for undone := 0; undone <= len(d.undo); undone += 1 + len(d.undo)/4 {
				for done := 0; done <= total; done += 1 + total/4 {
					if undone < len(d.undo) && done > 0 {
						break // nothing is done before all is undone
					}
					changeUntil(t, dir, d, undone, done)
					require.NoError(t, Mend(t.Context(), dir, tt.old, tt.half, nil))
					after, when := stateOf(t, dir), fmt.Sprintf("%d undone, %d done", undone, done)
					require.Len(t, after, len(before), when)
					for name := range before {
						require.ElementsMatch(t, before[name], after[name], "%s: %s", name, when)
					}
					require.Equal(t, files, filesBelow(t, dir), when)
				}
			}
			require.NoError(t, runs.Process.Signal(unix.Signal(0)), "it still runs")
		})
	}
}

// changeUntil is change that ends after some steps.
func changeUntil(t *testing.T, dir string, d difference, undone, done int) {
	t.Helper()
	require.NoError(t, undoAll(dir, d.undo[:undone]))
	if done == 0 {
		return
	}
	there := unknown
	if len(d.undo) == 0 {
		there = different
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := doAll(ctx, dir, d.do, there, func(n, _ int, _ string) {
		if n == done {
			cancel()
		}
	})
	require.ErrorIs(t, err, context.Canceled)
}
