package plinktest

import (
	"testing"

	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/machine/netstack"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Option says what the lab of a test stands on, and what the test keeps of it. Of
// options that contradict each other the last counts.
type Option func(*settings)

type settings struct {
	choice choice
	keeps  bool // what a stranger needs when the test fails
	super  bool // frames
	scale  topology.TimeScale
}

// choice is what a lab stands on.
type choice int

const (
	inKernel choice = iota
	inProcess
	anywhere
)

// InProcess puts the lab into the test's own process, on the network stack of
// gVisor. It needs no root and no Linux, and may be used inside and outside of a
// bubble of testing/synctest. There are no programs on its instances: "command:"
// services and Command fail, and Namespace.
func InProcess() Option { return func(s *settings) { s.choice = inProcess } }

// Superframes is for a lab inside the process: TCP hands over up to 64 KiB of a
// connection as one frame with one header, as it does in a kernel by itself. What a
// connection carries grows severalfold, and captures show such frames.
func Superframes() Option { return func(s *settings) { s.super = true } }

// TimeScale lets idle timeouts, health checks, draining and TTLs pass so many times as
// fast as at the cloud, from 1 to 1000. It is for labs in the kernel: in a bubble of
// testing/synctest, a lab inside the process lets all time pass at once.
func TimeScale(scale float64) Option {
	return func(s *settings) { s.scale = topology.TimeScale(scale) }
}

// Anywhere puts the lab into the kernel where the test may do that, as root or in a
// user namespace (see Main), else into its process, and says which in the test's
// output. A topology with "command:"
// services needs the kernel. It is not for bubbles, in which a lab in the kernel
// hangs.
func Anywhere() Option { return func(s *settings) { s.choice = anywhere } }

// ground is what a lab stands on, and what is left to do when it is down.
type ground struct {
	machine lab.Machine
	store   lab.Store
	dir     string // of a lab in the kernel
	remove  func() error
}

// ground ends the test where it cannot have what it chose.
func (s settings) ground(t testing.TB, plan *topology.Plan) ground {
	t.Helper()
	c := s.choice
	if c == anywhere {
		c = best(t, plan)
	}
	if c == inKernel {
		Require(t)
		return kernelGround(t, plan)
	}
	machine := netstack.New()
	machine.Superframes = s.super
	return ground{machine: machine, store: &lab.MemoryStore{}, remove: func() error { return nil }}
}

// best is the choice for a topology on this machine.
func best(t testing.TB, plan *topology.Plan) choice {
	t.Helper()
	switch missing := kernelMissing(); {
	case missing == "":
		t.Logf("lab %q is %s", plan.Name, kernelWords())
		return inKernel
	case hasPrograms(plan):
		return inKernel // which says what is missing
	default:
		t.Logf("lab %q is inside this process: %s", plan.Name, missing)
		return inProcess
	}
}

func hasPrograms(plan *topology.Plan) bool {
	for _, vpc := range plan.VPCs {
		for _, in := range vpc.Instances {
			for _, s := range in.Services {
				if s.Kind == topology.CommandService {
					return true
				}
			}
		}
	}
	return false
}
