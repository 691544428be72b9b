package topofile

import (
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/testenv"
)

// readEnv makes the test binary a program that reads one of these files.
const readEnv = "PLINKSIM_TEST_READ"

// The memory is that of a process of its own, which has nothing else to do.
func TestReadingAFileTakesMemoryInProportionToIt(t *testing.T) {
	if name, ok := os.LookupEnv(readEnv); ok {
		_, err := Parse("wide.yaml", []byte(wide()[name]))
		require.Error(t, err)
		require.Less(t, len(err.Error()), 50_000, "what is shown is bounded")
		return
	}
	testenv.NeedNoRace(t)
	memory := func(name string) int64 {
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), readEnv+"="+name)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		return cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
	}
	files := wide()
	least := memory("an empty file")
	for name, text := range files {
		t.Run(name, func(t *testing.T) {
			spent := memory(name) - least
			t.Logf("a file of %d bytes took %d kB", len(text), spent>>10)
			require.Less(t, spent, int64(20<<20+150*len(text)))
		})
	}
}
