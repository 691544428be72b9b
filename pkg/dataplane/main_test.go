package dataplane

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// needRoot ends a test that cannot make network namespaces.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	const missing = "needs root to make network namespaces"
	if os.Getenv("PLINKSIM_MUST_RUN") == "1" {
		t.Fatal(missing)
	}
	t.Skip(missing)
}
