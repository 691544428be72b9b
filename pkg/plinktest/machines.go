package plinktest

import (
	"runtime"
	"testing"
	"testing/synctest"
)

// OnEachMachine runs a test on each machine that a lab can stand on: in a bubble with a
// lab inside the process, and in the kernel, where Linux is; that part is skipped
// without the rights. The test hands on the option to Up.
func OnEachMachine(t *testing.T, test func(t *testing.T, machine Option)) {
	t.Helper()
	t.Run("in-process", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { test(t, InProcess()) })
	})
	if runtime.GOOS == "linux" {
		t.Run("kernel", func(t *testing.T) {
			Require(t)
			test(t, inTheKernel)
		})
	}
}

func inTheKernel(s *settings) { s.choice = inKernel }
