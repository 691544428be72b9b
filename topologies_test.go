package plinksim

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

func TestTheProgramCarriesEveryTopologyThatStandsAlone(t *testing.T) {
	carried := map[string]string{}
	programs := map[string]bool{}
	for _, topology := range Topologies() {
		carried[topology.Name] = topology.Text()
		programs[topology.Name] = len(topology.Programs) > 0
		require.NotEmpty(t, topology.Title, topology.Name)
	}
	found, err := filepath.Glob("testdata/topologies/*.yaml")
	require.NoError(t, err)
	for _, file := range found {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		plan, refused := topofile.Load(file)
		switch own, ok := carried[name]; {
		case refused != nil:
			require.False(t, ok, "%s is carried", name)
		case runsPrograms(plan) && !ok: // which may read files beside it
		default:
			require.Equal(t, runsPrograms(plan), programs[name], "%s names the programs that it runs", name)
			require.Equal(t, string(text), own, "%s is carried as it is: give it a line in topologies.go", name)
		}
	}
}

func runsPrograms(plan *topology.Plan) bool {
	for _, vpc := range plan.VPCs {
		for _, instance := range vpc.Instances {
			for _, service := range instance.Services {
				if service.Kind == topology.CommandService {
					return true
				}
			}
		}
	}
	return false
}
