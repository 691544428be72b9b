package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
)

// hostFile is the file of a lab's store that names the host that the lab is on.
const hostFile = "host"

// onHost is the host that a lab is on, where its topology is spread over several. The lab
// makes and runs what is on it, and tells of the whole.
type onHost struct {
	name   string // "": the lab is the whole of its topology
	remote Remote // nil: nothing is done on other hosts
	agrees bool   // with the other hosts, on changes

	mu   sync.Mutex
	made [4]hostSlice // the newest first: those of the file and of now, with times as they are and as they last
}

// hostSlice is a plan, and what of it is on the host.
type hostSlice struct{ whole, slice *topology.Plan }

// of is what of a plan is on the host. Asked again for one of the last few it answers the
// same one. A plan that check refuses has nothing there.
func (h *onHost) of(plan *topology.Plan) *topology.Plan {
	if h.name == "" || plan == nil {
		return plan
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, m := range h.made {
		if m.whole == plan {
			return m.slice
		}
	}
	slice, err := plan.On(h.name)
	if err != nil {
		slice = &topology.Plan{Name: plan.Name, Dataplane: plan.Dataplane, Profile: plan.Profile}
	}
	copy(h.made[1:], h.made[:])
	h.made[0] = hostSlice{plan, slice}
	return slice
}

// state is a state of the control plane of which the plan is that of the host.
func (h *onHost) state(whole control.Snapshot) control.Snapshot {
	whole.Plan = h.of(whole.Plan)
	return whole
}

// check says why a plan cannot be that of the lab: its hosts are others.
func (h *onHost) check(plan *topology.Plan) error {
	if h.name == "" {
		return nil
	}
	if len(plan.Hosts) == 0 {
		return fmt.Errorf("lab %q is host %q of several, and the topology has no hosts: \"plinksim down %[1]s\" removes it",
			plan.Name, h.name)
	}
	_, err := plan.Host(h.name)
	return err
}

// claim notes which host a lab is on, for a process that takes it over. What was left
// behind of another host is nothing that this lab could go on with.
func (h *onHost) claim(store Store, plan *topology.Plan) error {
	if err := h.check(plan); err != nil {
		return err
	}
	before, err := store.Load(hostFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, err := store.Load(planFile); err == nil && string(before) != h.name {
		return fmt.Errorf("lab %q is here %s, and is to be here %s: \"plinksim down %s\" removes what is here",
			plan.Name, asHost(string(before)), asHost(h.name), plan.Name)
	}
	if h.name == "" {
		return nil
	}
	return store.Save(hostFile, []byte(h.name))
}

func asHost(name string) string {
	if name == "" {
		return "as a whole"
	}
	return fmt.Sprintf("as host %q", name)
}

// refusal is why nothing is changed while the lab runs, nil where it may be: another host
// would not know of it.
func (h *onHost) refusal(plan *topology.Plan) error {
	if h.name == "" || h.agrees {
		return nil
	}
	return &control.Error{
		Code: topology.WrongState, Kind: "lab", Name: plan.Name,
		Text: "this lab is one part of a topology over several hosts, and they cannot be changed together while they run",
		Hint: "change the file on each host, and bring it up there: plinksim up FILE --host " + h.name,
	}
}

// reaches says why nothing can be done on an instance from here, nil where it can be.
func (h *onHost) reaches(plan *topology.Plan, instance *topology.Instance) error {
	other := h.elsewhere(plan, instance.Zone)
	if other == "" {
		return nil
	}
	return fmt.Errorf("instance %q is on host %q, and this is host %q: do it there", plan.ShortName(*instance), other, h.name)
}

// elsewhere is the host of a zone where that is another one, else "".
func (h *onHost) elsewhere(plan *topology.Plan, zone string) string {
	if h == nil || h.name == "" {
		return ""
	}
	if host := plan.HostOf(zone); host != nil && host.Name != h.name {
		return host.Name
	}
	return ""
}

// status are all hosts of a plan.
func (h *onHost) status(plan *topology.Plan) (hosts []status.Host) {
	for _, host := range plan.Hosts {
		hosts = append(hosts, status.Host{
			Name: host.Name, Address: host.Address, Zones: host.Zones, Here: host.Name == h.name,
		})
	}
	return hosts
}

// skips says why a check is not run on this host, "" where it is. What comes behind a
// change waits for what that would have brought.
func (h *onHost) skips(plan *topology.Plan, before []topology.Check, check topology.Check) string {
	changes := func(c topology.Check) bool { return c.Do != nil }
	switch {
	case h.name == "":
		return ""
	case h.agrees:
	case changes(check):
		return "not run: hosts cannot be changed together while they run"
	case slices.ContainsFunc(before, changes):
		return "not run: a change that comes before it is not made"
	}
	if other := h.hostOf(plan, check.From); other != "" && h.remote == nil {
		return "not run: it is for host " + other
	}
	return ""
}

// hostOf is the host of an instance where that is another one, else "".
func (h *onHost) hostOf(plan *topology.Plan, instance string) string {
	if in, err := plan.Instance(instance); err == nil {
		return h.elsewhere(plan, in.Zone)
	}
	return ""
}
