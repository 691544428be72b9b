package plinktest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/plinksim/plinksim/pkg/host"
	"github.com/plinksim/plinksim/pkg/labdir"
	"github.com/plinksim/plinksim/pkg/machine/kernel"
	"github.com/plinksim/plinksim/pkg/rootless"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Main is the TestMain of packages whose labs are in the kernel. For an ordinary
// user it runs the test binary again in a user namespace and a mount namespace, in
// which the user is root, where that is allowed; outside of the lab's namespaces the
// network and the files are those of the user. Programs on instances start as
// another run of the test binary, which then becomes them. It also removes the labs
// of test binaries that were killed.
func Main(m *testing.M) {
	if asked, err := kernel.Enter(os.Args); asked {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(127)
	}
	if len(os.Args) == 2 && os.Args[1] == rootless.ProbeCommand {
		os.Exit(rootless.Probe())
	}
	rootless.Arrive(true)
	if os.Geteuid() != 0 {
		becomeRoot()
	}
	if os.Geteuid() == 0 {
		if err := reap(os.TempDir(), time.Minute); err != nil {
			fmt.Fprintln(os.Stderr, "plinktest: remove the labs of a test that was killed:", err)
		}
	}
	os.Exit(m.Run())
}

// prefix begins the names of the directories that labs of tests are in.
const prefix = "plinktest"

// reap removes the labs whose locks are free. A lab younger than age may be
// about to take its lock, and stays.
func reap(tmp string, age time.Duration) error {
	found, err := filepath.Glob(filepath.Join(tmp, prefix+"*", "*"))
	if err != nil {
		return err
	}
	var errs []error
	for _, path := range found {
		dir := labdir.Dir(path)
		info, err := os.Stat(dir.Path("lock"))
		if err != nil || time.Since(info.ModTime()) < age {
			continue
		}
		lock, err := dir.Lock()
		if err != nil {
			continue // its test still runs
		}
		errs = append(errs, kernel.Clear(context.Background(), dir, lock), os.Remove(filepath.Dir(path)))
		lock.Release()
	}
	return errors.Join(errs...)
}

// becomeRoot runs this test binary where the user is root, and ends with it. It
// returns where that cannot be.
func becomeRoot() {
	if refused = rootless.Check(); refused != nil {
		return
	}
	code, err := rootless.Again()
	if err == nil {
		os.Exit(code)
	}
	refused = err
}

// refused is why an ordinary user was not allowed to be root in namespaces.
var refused error

// kernelMissing says why no lab can be in the kernel; "" where one can.
func kernelMissing() string {
	switch {
	case os.Geteuid() == 0:
		return ""
	case refused == nil:
		return "an ordinary user needs plinktest.Main as the TestMain of the package, or sudo"
	}
	why := refused.Error()
	var hinted interface{ Hint() string }
	if errors.As(refused, &hinted) {
		why += ": " + hinted.Hint()
	}
	return why
}

// kernelWords say whose the kernel's namespaces are.
func kernelWords() string {
	if rootless.Arrived() {
		return "in the kernel, in a user namespace"
	}
	return "in the kernel, as root"
}

// kernelGround is a directory for a lab in the kernel, with its lock.
func kernelGround(t testing.TB, plan *topology.Plan) ground {
	t.Helper()
	// Not t.TempDir: its cleanup would come before the lab's.
	root, err := os.MkdirTemp("", prefix)
	if err != nil {
		t.Fatal(err)
	}
	dir := labdir.Dir(filepath.Join(root, plan.Name))
	lock, err := dir.Lock()
	if err != nil {
		t.Fatalf("lab %q: %v", plan.Name, errors.Join(err, os.RemoveAll(root)))
	}
	remove := func() error {
		defer lock.Release()
		return os.RemoveAll(root)
	}
	return ground{machine: kernel.New(dir), store: dir, dir: string(dir), remove: remove}
}

// Namespace is a network namespace of a lab in the kernel, by its name in the
// plan.
func (l *Lab) Namespace(name string) *host.Namespace {
	l.t.Helper()
	l.needKernel("namespace " + name)
	ns, err := host.Open(l.dir, name)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { ns.Close() })
	return ns
}

// Namespace is the instance's network namespace.
func (i *Instance) Namespace() *host.Namespace { return i.lab.Namespace(i.spec.Namespace) }

func (i *Instance) command(ctx context.Context, program string, args []string) *exec.Cmd {
	i.lab.t.Helper()
	self, err := os.Executable()
	if err != nil {
		i.lab.t.Fatal(err)
	}
	args = append([]string{kernel.EnterCommand, i.lab.dir, i.spec.Namespace, program}, args...)
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Env = host.Environ(os.Environ())
	return cmd
}
