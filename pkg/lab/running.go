package lab

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/plinksim/plinksim/internal/memo"
	"github.com/plinksim/plinksim/pkg/compile"
	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/topology"
)

// process is what everything that runs for a lab shares: goroutines of work end
// with ctx.
type process struct {
	ctx    context.Context
	stop   context.CancelFunc
	work   sync.WaitGroup
	log    *slog.Logger
	spaces spaces
	room   *room
}

func newProcess(machine Machine, log *slog.Logger) *process {
	p := &process{log: log, spaces: spaces{machine: machine}, room: newRoom(machine, log)}
	p.ctx, p.stop = context.WithCancel(context.Background())
	return p
}

// ended says whether the lab is being taken down.
func (p *process) ended() bool { return p.ctx.Err() != nil }

// running has what runs of one kind, by key. Any goroutine may call its methods.
type running[T any] struct {
	mu    sync.Mutex
	byKey map[string]T
}

// get is what runs under a key, or the zero value.
func (r *running[T]) get(key string) T {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byKey[key]
}

func (r *running[T]) put(key string, value T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.putLocked(key, value)
}

func (r *running[T]) putLocked(key string, value T) {
	if r.byKey == nil {
		r.byKey = map[string]T{}
	}
	r.byKey[key] = value
}

// getOrStart is what runs under a key. Where nothing does, start starts it.
func (r *running[T]) getOrStart(key string, start func() (T, error)) (T, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	value, ok := r.byKey[key]
	if ok {
		return value, nil
	}
	value, err := start()
	if err == nil {
		r.putLocked(key, value)
	}
	return value, err
}

// all is a copy.
func (r *running[T]) all() map[string]T {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.byKey)
}

// removeOthers removes what is not to be kept, and returns it.
func (r *running[T]) removeOthers(keep map[string]bool) []T {
	r.mu.Lock()
	defer r.mu.Unlock()
	var gone []T
	maps.DeleteFunc(r.byKey, func(key string, value T) bool {
		if !keep[key] {
			gone = append(gone, value)
		}
		return !keep[key]
	})
	return gone
}

// spaces are those of the machine that are open, each as long as the plan has
// it.
type spaces struct {
	machine Machine
	open    running[Space]

	vpcs  []topology.VPC  // of the plan of the last stopMissing; guarded by the lab's transition
	there map[string]bool // the namespaces of these, and of their instances that are switched on
}

func (s *spaces) space(name string) (Space, error) {
	return s.open.getOrStart(name, func() (Space, error) { return s.machine.Space(name) })
}

// stopMissing closes those that plan does not have.
func (s *spaces) stopMissing(plan *topology.Plan) error {
	s.follow(plan.VPCs)
	open := s.open.all()
	keep := make(map[string]bool, len(open))
	for namespace := range open {
		keep[namespace] = s.there[namespace]
	}
	keep[plan.Dataplane] = true
	for _, s := range proxiesOf(plan) {
		keep[s.node.Proxy.Namespace] = true
	}
	var errs []error
	for _, space := range s.open.removeOthers(keep) {
		errs = append(errs, space.Close())
	}
	return errors.Join(errs...)
}

// follow finds the namespaces that are there.
func (s *spaces) follow(vpcs []topology.VPC) {
	if s.there == nil {
		s.there = map[string]bool{}
	}
	gone, fresh := memo.Differing(s.vpcs, vpcs, func(v *topology.VPC) string { return v.Name })
	for _, vpc := range gone {
		delete(s.there, vpc.Namespace)
		for i := range vpc.Instances {
			delete(s.there, vpc.Instances[i].Namespace)
		}
	}
	for _, vpc := range fresh {
		s.there[vpc.Namespace] = true
		for i := range vpc.Instances {
			if !vpc.Instances[i].Stopped {
				s.there[vpc.Instances[i].Namespace] = true
			}
		}
	}
	s.vpcs = vpcs
}

// numbering gives every ENI of a lab a number of its own. One that is gone keeps its number
// for a while: it may come back, and sessions may remember it. Then another gets it, so
// that there are no more numbers than a lab has ENIs at a time.
type numbering struct {
	mu      sync.Mutex
	highest packet.ENI
	numbers compile.Numbers      // never changed: others have it
	gone    map[string]time.Time // ENIs that have a number and are in no plan any more, since when
	enis    []*topology.ENI      // of the plan that was added last
}

// numberRest is how long a number is out of use before another ENI gets it: sessions
// of links that are gone are removed within seconds.
const numberRest = time.Minute

// add numbers the ENIs of a plan that have no number yet. It returns all.
func (n *numbering) add(plan *topology.Plan) compile.Numbers {
	n.mu.Lock()
	defer n.mu.Unlock()
	enis, now := plan.ENIs(), time.Now()
	same := slices.EqualFunc(enis, n.enis, func(a, b *topology.ENI) bool { return a == b || a.Device == b.Device })
	if n.enis = enis; same && len(enis) > 0 {
		return n.numbers
	}
	var fresh []string
	there := make(map[string]bool, len(enis))
	for _, eni := range enis {
		there[eni.Device] = true
		delete(n.gone, eni.Device)
		if _, known := n.numbers[eni.Device]; !known {
			fresh = append(fresh, eni.Device)
		}
	}
	if len(there)-len(fresh)+len(n.gone) < len(n.numbers) {
		n.leave(there, now)
	}
	if len(fresh) == 0 {
		return n.numbers
	}
	numbers := make(compile.Numbers, len(n.numbers)+len(fresh))
	maps.Copy(numbers, n.numbers)
	for _, device := range fresh {
		numbers[device] = n.next(numbers, now)
	}
	n.numbers = numbers
	return numbers
}

// leave notes which ENIs are not there any more.
func (n *numbering) leave(there map[string]bool, now time.Time) {
	if n.gone == nil {
		n.gone = map[string]time.Time{}
	}
	for device := range n.numbers {
		if _, known := n.gone[device]; !there[device] && !known {
			n.gone[device] = now
		}
	}
}

// next is the number of a new ENI: that of the one that left first, where that has
// rested or there is no other.
func (n *numbering) next(numbers compile.Numbers, now time.Time) packet.ENI {
	var first string
	for device, since := range n.gone {
		if first == "" || since.Before(n.gone[first]) {
			first = device
		}
	}
	if first != "" && (now.Sub(n.gone[first]) >= numberRest || n.highest == math.MaxUint16) {
		number := numbers[first]
		delete(numbers, first)
		delete(n.gone, first)
		return number
	}
	n.highest++
	return n.highest
}

// all are those that were given. Nobody changes them.
func (n *numbering) all() compile.Numbers {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.numbers
}

// whole are all, and numbers for those ENIs of a plan that have none as they are on other
// hosts: nobody sends them packets.
func (n *numbering) whole(plan *topology.Plan) compile.Numbers {
	out := n.all()
	next := packet.ENI(math.MaxUint16)
	for _, eni := range plan.ENIs() {
		if _, known := out[eni.Device]; known {
			continue
		}
		if next == math.MaxUint16 {
			out = maps.Clone(out)
		}
		out[eni.Device] = next
		next--
	}
	return out
}

// names are the ENIs of a plan by number.
func (n *numbering) names(plan *topology.Plan) map[packet.ENI]string {
	numbers, out := n.all(), map[packet.ENI]string{}
	for _, eni := range plan.ENIs() {
		out[numbers[eni.Device]] = eni.Name
	}
	return out
}
