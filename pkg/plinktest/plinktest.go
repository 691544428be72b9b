// Package plinktest runs a topology in a Go test:
//
//	func TestMain(m *testing.M) { plinktest.Main(m) }
//
//	func TestShopReachesItsDatabase(t *testing.T) {
//		lab := plinktest.Up(t, "testdata/shop.yaml")
//		lab.Accept("db", "ep-db")
//		resp, err := lab.Instance("web-1").HTTP().Get("http://" + lab.Name("ep-db") + "/")
//		…
//	}
//
// A lab belongs to one test and is gone when the test ends; labs of parallel
// tests do not see each other. It needs root.
//
// Connections are opened with the dialer, the resolver and the HTTP client of
// an instance. It does not work to enter a namespace and then use net/http or
// look up a name: both continue in other goroutines, on threads that are not in
// that namespace.
package plinktest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/host"
	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/labdir"
	"github.com/plinksim/plinksim/pkg/machine/kernel"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Main is the TestMain of packages whose labs have "command:" services or
// that call Instance.Command: such programs start as another run of the test
// binary, which then becomes them. It also removes the labs of test binaries
// that were killed.
func Main(m *testing.M) {
	if len(os.Args) > 4 && os.Args[1] == kernel.EnterCommand {
		fmt.Fprintln(os.Stderr, host.Exec(os.Args[2], os.Args[3], os.Args[4:], os.Environ()))
		os.Exit(127)
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

// Require skips a test that cannot run here and says what is missing; where
// PLINKSIM_MUST_RUN is 1 the test fails instead.
func Require(t testing.TB) {
	t.Helper()
	testenv.NeedRoot(t)
}

// Lab is a topology that runs for one test. Every method fails the test when
// it cannot do what it says.
type Lab struct {
	*lab.Lab
	t   testing.TB
	dir labdir.Dir
}

// Up runs the topology in a file until the test ends. It returns when every
// connection that needs no acceptance is connected.
func Up(t testing.TB, file string) *Lab {
	t.Helper()
	plan, err := topofile.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	return start(t, plan)
}

// UpText is Up for a topology in the test's own text.
func UpText(t testing.TB, text string) *Lab {
	t.Helper()
	plan, err := topofile.Parse("topology.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return start(t, plan)
}

func start(t testing.TB, plan *topology.Plan) *Lab {
	t.Helper()
	Require(t)
	// Not t.TempDir: its cleanup would come before the lab's.
	root, err := os.MkdirTemp("", prefix)
	if err != nil {
		t.Fatal(err)
	}
	dir := labdir.Dir(filepath.Join(root, plan.Name))
	lock, err := dir.Lock()
	if err != nil {
		os.RemoveAll(root)
		t.Fatalf("lab %q: %v", plan.Name, err)
	}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	running, err := lab.Start(ctx, lab.Config{Plan: plan, Machine: kernel.New(dir), Store: dir, Log: log})
	if err != nil {
		os.RemoveAll(root)
		t.Fatalf("lab %q: %v", plan.Name, err)
	}
	t.Cleanup(func() {
		defer lock.Release()
		if err := errors.Join(running.Close(context.Background()), os.RemoveAll(root)); err != nil {
			t.Errorf("lab %q: take it down: %v", plan.Name, err)
		}
	})
	return &Lab{Lab: running, t: t, dir: dir}
}

// Accept lets an endpoint connect and waits until it is connected.
func (l *Lab) Accept(service, endpoint string) {
	l.t.Helper()
	l.Do(topology.Operation{Verb: "accept", Service: service, Endpoint: endpoint})
}

// Reject ends an endpoint's connection and waits until nothing passes.
func (l *Lab) Reject(service, endpoint string) {
	l.t.Helper()
	l.Do(topology.Operation{Verb: "reject", Service: service, Endpoint: endpoint})
}

// Do carries out an operation of the control plane and waits until it is in
// force.
func (l *Lab) Do(o topology.Operation) control.Event {
	l.t.Helper()
	event, err := l.Lab.Do(l.t.Context(), o, 10*time.Second)
	if err != nil {
		l.t.Fatal(err)
	}
	return event
}

// Name is what a reference such as ep1, ep1@zone or ep1.ip stands for.
func (l *Lab) Name(ref string) string {
	l.t.Helper()
	name, err := l.Plan().Lookup(ref)
	if err != nil {
		l.t.Fatal(err)
	}
	return name
}

// Namespace is a network namespace of the lab, by its name in the plan.
func (l *Lab) Namespace(name string) *host.Namespace {
	l.t.Helper()
	ns, err := host.Open(string(l.dir), name)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { ns.Close() })
	return ns
}

// Instance acts on one instance.
type Instance struct {
	*lab.Client
	lab  *Lab
	spec topology.Instance
}

// Instance is the instance that ref names: ecs1, or vpc1/ecs1.
func (l *Lab) Instance(ref string) *Instance {
	l.t.Helper()
	spec, err := l.Plan().Instance(ref)
	if err != nil {
		l.t.Fatal(err)
	}
	client, err := l.Client(ref)
	if err != nil {
		l.t.Fatal(err)
	}
	return &Instance{client, l, *spec}
}

// Namespace is the instance's network namespace.
func (i *Instance) Namespace() *host.Namespace { return i.lab.Namespace(i.spec.Namespace) }

// Command is as exec.CommandContext, on the instance. The package's TestMain
// must be Main.
func (i *Instance) Command(ctx context.Context, program string, args ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		i.lab.t.Fatal(err)
	}
	args = append([]string{kernel.EnterCommand, string(i.lab.dir), i.spec.Namespace, program}, args...)
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Env = host.Environ(os.Environ())
	return cmd
}
