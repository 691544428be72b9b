package test

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim"
	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/plinktest"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Every topology of the documents comes up and passes its own checks, but
// those that are printed wrong and refused. What a lab in one process comes to
// must be true of the kernel: it is compared to the word.
func TestEveryTopologyPassesItsChecks(t *testing.T) {
	eachTopology(t, func(t *testing.T, file string, programs []string) {
		t.Parallel()
		testenv.NeedPrograms(t, programs...)
		got := outcomes(t, file)
		requirePassed(t, got)
		if len(programs) > 0 {
			return
		}
		synctest.Test(t, func(t *testing.T) {
			require.Equal(t, got, outcomes(t, file, plinktest.InProcess()), "in one process it is another")
		})
	})
}

// The same as any user, in a bubble, in nearly no time.
func TestEveryTopologyPassesItsChecksInOneProcess(t *testing.T) {
	count := 0
	eachTopology(t, func(t *testing.T, file string, programs []string) {
		if len(programs) > 0 {
			return
		}
		count++
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			requirePassed(t, outcomes(t, file, plinktest.InProcess()))
			require.Less(t, time.Since(start), time.Minute, "of the lab's time")
		})
	})
	require.Greater(t, count, 10)
}

// eachTopology runs a test for every topology of the documents, with the programs
// that it needs on the machine.
func eachTopology(t *testing.T, test func(t *testing.T, file string, programs []string)) {
	files, err := filepath.Glob("../testdata/topologies/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		if strings.HasSuffix(name, "-as-printed") {
			continue
		}
		plan, err := topofile.Load(file)
		require.NoError(t, err)
		programs := programsOf(name)
		for _, vpc := range plan.VPCs {
			for _, instance := range vpc.Instances {
				for _, service := range instance.Services {
					if service.Kind == topology.CommandService {
						programs = append(programs, service.Argv[0])
					}
				}
			}
		}
		t.Run(name, func(t *testing.T) { test(t, file, programs) })
	}
}

// programsOf are those that a topology of the program says it runs.
func programsOf(name string) []string {
	all := plinksim.Topologies()
	if i := slices.IndexFunc(all, func(t plinksim.Topology) bool { return t.Name == name }); i >= 0 {
		return slices.Clone(all[i].Programs)
	}
	return nil
}

// counted is how often a server answered. A client that uses a port again finds
// its session of before and not the next server's turn, and which ports it uses
// is the machine's affair.
var counted = regexp.MustCompile(`\b\d+x\b`)

// outcomes are what the checks of a topology come to. They do not say how long
// that took, nor how often each server answered.
func outcomes(t *testing.T, file string, options ...plinktest.Option) (out []status.Check) {
	t.Helper()
	l := plinktest.Up(t, file, options...)
	require.NoError(t, l.Running().Check(t.Context(), func(c status.Check) {
		c.Seconds, c.Got = 0, counted.ReplaceAllString(c.Got, "often")
		out = append(out, c)
	}))
	require.Len(t, out, len(l.Plan().Checks))
	return out
}

func requirePassed(t *testing.T, checks []status.Check) {
	t.Helper()
	for _, c := range checks {
		require.True(t, c.Passed, "%+v", c)
	}
}
