// Package plinktest runs a topology in a Go test:
//
//	func TestMain(m *testing.M) { plinktest.Main(m) }
//
//	func TestShopReachesItsDatabase(t *testing.T) {
//		lab := plinktest.Up(t, "testdata/shop.yaml")
//		lab.Accept("db", "ep-db")
//		body := lab.Instance("web-1").Get("http://ep-db/")
//		…
//	}
//
// A topology comes from a file (Up), from the test's own text (UpText), or is made in Go
// (NewTopology). A lab belongs to one test and is gone when the test ends; labs of
// parallel tests do not see each other.
//
// By default a lab is in the kernel: network namespaces, and programs of all kinds on its
// instances. That needs Linux, and root or user namespaces. With InProcess it is in the
// test's own process, as any user and on any system, also in a bubble of
// testing/synctest, where hours pass in milliseconds:
//
//	synctest.Test(t, func(t *testing.T) {
//		lab := plinktest.Up(t, "testdata/shop.yaml", plinktest.InProcess())
//		…
//		time.Sleep(351 * time.Second)
//
// Anywhere takes the best that there is, and OnEachMachine runs a test on both.
//
// A test acts on instances (Instance), on the control plane (Accept, Reject, Do), on the
// topology (Edit), and lets things fail (Fail, Impair, StopServices). It looks at what
// a server saw of its clients (Server), at packets at an ENI (Watch), at sessions and at
// what would become of a packet (Explain). Where something fails, the message says what
// has dropped packets. docs/testing.md has the traps of PrivateLink with a test for each.
//
// Connections are opened with the dialer, the resolver and the HTTP client of an
// instance. It does not work to enter a namespace and then use net/http or look up a
// name: both continue in other goroutines, on threads that are not in that namespace.
package plinktest

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Require skips a test whose lab has to be in the kernel where that is not possible, or
// that needs programs which are not installed, and says what is missing; where
// PLINKSIM_MUST_RUN is 1 the test fails instead.
func Require(t testing.TB, programs ...string) {
	t.Helper()
	if missing := kernelMissing(); missing != "" {
		testenv.Missing(t, "its lab is in the kernel: "+missing)
	}
	testenv.NeedPrograms(t, programs...)
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
	g := settings.ground(t, plan)
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	running, err := lab.Start(ctx, lab.Config{
		Plan: plan, Machine: g.machine, Store: g.store, Log: log, TimeScale: settings.scale,
	})
	if err != nil {
		t.Fatalf("lab %q: %v", plan.Name, errors.Join(err, g.remove()))
	}
	t.Cleanup(func() {
		if err := errors.Join(running.Close(context.Background()), g.remove()); err != nil {
			t.Errorf("lab %q: take it down: %v", plan.Name, err)
		}
	})
	l := &Lab{lab: running, t: t, dir: g.dir}
	if settings.keeps {
		l.keepArtifacts()
	}
	return l
}

// needKernel ends the test where the lab is not in the kernel.
func (l *Lab) needKernel(what string) {
	l.t.Helper()
	if l.dir == "" {
		l.t.Fatalf("lab %q: %s: this lab is inside the test's process, which has no namespaces for programs: "+
			"leave out plinktest.InProcess", l.Plan().Name, what)
	}
}
