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
// tests do not see each other.
//
// By default a lab is in the kernel: network namespaces, and programs of all
// kinds on its instances. That needs Linux and root. With InProcess it is in the
// test's own process, as any user and on any system, also in a bubble of
// testing/synctest, where hours pass in milliseconds:
//
//	synctest.Test(t, func(t *testing.T) {
//		lab := plinktest.Up(t, "testdata/shop.yaml", plinktest.InProcess())
//		…
//		time.Sleep(351 * time.Second)
//
// Connections are opened with the dialer, the resolver and the HTTP client of
// an instance. It does not work to enter a namespace and then use net/http or
// look up a name: both continue in other goroutines, on threads that are not in
// that namespace.
package plinktest

import (
	"context"
	"errors"
	"log/slog"
	"os/exec"
	"testing"
	"time"

	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

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
	dir string // of a lab in the kernel, "" of others
}

// Up runs the topology in a file until the test ends. It returns when every
// connection that needs no acceptance is connected.
func Up(t testing.TB, file string, options ...Option) *Lab {
	t.Helper()
	plan, err := topofile.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	return start(t, plan, options)
}

// UpText is Up for a topology in the test's own text.
func UpText(t testing.TB, text string, options ...Option) *Lab {
	t.Helper()
	plan, err := topofile.Parse("topology.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return start(t, plan, options)
}

func start(t testing.TB, plan *topology.Plan, options []Option) *Lab {
	t.Helper()
	var settings settings
	for _, option := range options {
		option(&settings)
	}
	g := settings.choice.ground(t, plan)
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	running, err := lab.Start(ctx, lab.Config{Plan: plan, Machine: g.machine, Store: g.store, Log: log})
	if err != nil {
		t.Fatalf("lab %q: %v", plan.Name, errors.Join(err, g.remove()))
	}
	t.Cleanup(func() {
		if err := errors.Join(running.Close(context.Background()), g.remove()); err != nil {
			t.Errorf("lab %q: take it down: %v", plan.Name, err)
		}
	})
	l := &Lab{Lab: running, t: t, dir: g.dir}
	if settings.keeps {
		l.keepArtifacts()
	}
	return l
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

// Command is as exec.CommandContext, on the instance. The lab must be in the
// kernel, and the package's TestMain must be Main.
func (i *Instance) Command(ctx context.Context, program string, args ...string) *exec.Cmd {
	i.lab.t.Helper()
	i.lab.needKernel("run " + program)
	return i.command(ctx, program, args)
}

// needKernel ends the test where the lab is not in the kernel.
func (l *Lab) needKernel(what string) {
	l.t.Helper()
	if l.dir == "" {
		l.t.Fatalf("lab %q: %s: this lab is inside the test's process, which has no namespaces for programs: "+
			"leave out plinktest.InProcess and run the test with sudo", l.Plan().Name, what)
	}
}
