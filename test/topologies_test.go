package test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/plinktest"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Every topology of the documents comes up and passes its own checks, but
// those that are printed wrong and refused.
func TestEveryTopologyPassesItsChecks(t *testing.T) {
	files, err := filepath.Glob("../testdata/topologies/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		if strings.HasSuffix(name, "-as-printed") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requirePrograms(t, file)
			l := plinktest.Up(t, file)
			checks := 0
			require.NoError(t, l.Check(t.Context(), func(r status.Check) {
				checks++
				require.True(t, r.Passed, "%+v", r)
			}))
			require.Equal(t, len(l.Plan().Checks), checks)
		})
	}
}

// requirePrograms skips a topology of which this machine has not all programs.
func requirePrograms(t *testing.T, file string) {
	t.Helper()
	plan, err := topofile.Load(file)
	require.NoError(t, err)
	for _, vpc := range plan.VPCs {
		for _, instance := range vpc.Instances {
			for _, service := range instance.Services {
				if service.Kind == topology.CommandService {
					testenv.NeedPrograms(t, service.Argv[0])
				}
			}
		}
	}
}
