//go:build !linux

package plinktest

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"github.com/plinksim/plinksim/pkg/topology"
)

// Main is the TestMain of packages that call Instance.Command. Where there is no
// Linux it runs the tests and does nothing else.
func Main(m *testing.M) { os.Exit(m.Run()) }

func kernelMissing() string { return runtime.GOOS + " has no namespaces" }

func kernelWords() string { return "in the kernel" }

// kernelGround is not reached: Require has ended the test.
func kernelGround(t testing.TB, _ *topology.Plan) ground {
	t.Helper()
	t.Fatal(kernelMissing())
	return ground{}
}

// command is not reached: no lab is in the kernel.
func (i *Instance) command(context.Context, string, []string) *exec.Cmd { return nil }
