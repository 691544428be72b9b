package lab

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/plinksim/plinksim/pkg/compile"
	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/dataplane"
	"github.com/plinksim/plinksim/pkg/fullnat"
	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Wrong says what of a lab is not what the whole computation makes of its
// topology and of the state of its control plane: the naive twin of everything
// that a change does step by step. Nothing may be on its way while it looks.
func (l *Lab) Wrong() error {
	l.file.mu.Lock()
	defer l.file.mu.Unlock()
	l.current.changing.Lock()
	defer l.current.changing.Unlock()
	w := wrong{Lab: l, state: l.plane.State()}
	for what, look := range map[string]func(){
		"the topology": w.topology, "the control plane": w.plane, "the data plane": w.dataplane, "the names": w.names,
		"what runs": w.runs, "the server groups": w.servers, "what is saved": w.files,
	} {
		w.what = what
		look()
	}
	if w.found == nil {
		return nil
	}
	slices.Sort(w.found)
	return fmt.Errorf("%s", strings.Join(w.found, "\n"))
}

// ForgetDeleted takes out what was deleted when the machine could not do without it, as
// the next deletion and the next start do.
func (l *Lab) ForgetDeleted() { l.deleted.forget(l.ctx) }

type wrong struct {
	*Lab
	state control.Snapshot
	what  string
	found []string
}

func (w *wrong) equal(is, want any, of string, args ...any) {
	if d := Difference(is, want); d != "" {
		w.found = append(w.found, fmt.Sprintf("%s: %s: %s", w.what, fmt.Sprintf(of, args...), d))
	}
}

// Difference is the first place where two values are different, "" where they
// are equal. Empty lists are equal, and so are functions.
func Difference(is, want any) string {
	if reflect.DeepEqual(is, want) {
		return ""
	}
	return difference(reflect.ValueOf(is), reflect.ValueOf(want), "")
}

func difference(is, want reflect.Value, at string) string {
	different := func() string { return fmt.Sprintf("%s is %+v and should be %+v", at, is, want) }
	if !is.IsValid() || !want.IsValid() || is.Type() != want.Type() {
		if is.IsValid() == want.IsValid() && !is.IsValid() {
			return ""
		}
		return different()
	}
	switch is.Kind() {
	case reflect.Func:
		if is.IsNil() != want.IsNil() {
			return different()
		}
		return ""
	case reflect.Pointer, reflect.Interface:
		if is.IsNil() || want.IsNil() {
			if is.IsNil() != want.IsNil() {
				return different()
			}
			return ""
		}
		return difference(is.Elem(), want.Elem(), at)
	case reflect.Struct:
		if is.Comparable() && is.Equal(want) {
			return ""
		}
		if is.Type().PkgPath() == "net/netip" || is.Type() == reflect.TypeFor[time.Time]() {
			return different()
		}
		for i := range is.NumField() {
			if d := difference(is.Field(i), want.Field(i), at+"."+is.Type().Field(i).Name); d != "" {
				return d
			}
		}
		return ""
	case reflect.Slice, reflect.Array:
		if is.Len() != want.Len() {
			return different()
		}
		for i := range is.Len() {
			if d := difference(is.Index(i), want.Index(i), fmt.Sprintf("%s[%d]", at, i)); d != "" {
				return d
			}
		}
		return ""
	case reflect.Map:
		for _, key := range append(is.MapKeys(), want.MapKeys()...) {
			if d := difference(is.MapIndex(key), want.MapIndex(key), fmt.Sprintf("%s[%v]", at, key)); d != "" {
				return d
			}
		}
		return ""
	}
	if !is.Equal(want) {
		return different()
	}
	return ""
}

func (w *wrong) failed(err error) bool {
	if err != nil {
		w.found = append(w.found, fmt.Sprintf("%s: %v", w.what, err))
	}
	return err != nil
}

// topology compares the plan with that of its text, and the text with the file
// and its edits.
func (w *wrong) topology() {
	plan := w.current.plan.Load()
	source, err := topofile.TextOf(plan)
	w.failed(err)
	whole, err := topofile.Parse(plan.File, source)
	if w.failed(err) {
		return
	}
	decided := *plan
	whole.Source, whole.Origin, whole.Warnings = nil, nil, nil
	decided.Source, decided.Origin, decided.Warnings = nil, nil, nil
	w.equal(decided, *whole, "the plan")
	text, err := w.file.doc.Text()
	w.failed(err)
	w.equal(string(source), string(text), "the text of the plan")
	again, err := w.file.base.With(topology.Edits(w.file.doc.Since(w.file.base))...)
	if w.failed(err) {
		return
	}
	text, err = again.Text()
	w.failed(err)
	w.equal(string(source), string(text), "the file with its edits")
	w.equal(w.current.machine.WithMembers(w.state.Plan), plan.WithMembers(w.state.Plan), "the plan of the machine")
}

// plane compares the control plane with one that takes over what it saves.
func (w *wrong) plane() {
	text, err := w.Lab.plane.Save()
	w.failed(err)
	plane, err := control.NewPlane(w.current.plan.Load(), time.Now)
	if w.failed(err) || w.failed(plane.Restore(text)) {
		return
	}
	is, whole := w.state, plane.State()
	is.Revision, whole.Revision = 0, 0
	w.equal(is.Plan, whole.Plan, "the plan as it is now")
	is.Plan, whole.Plan = nil, nil
	w.equal(plain(is), plain(whole), "the state") // times that were saved have another location
}

// plain is a value as JSON has it.
func plain(v any) (out any) {
	text, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	if err != nil {
		panic("states are plain data: " + err.Error())
	}
	return out
}

// dataplane compares what the engine was told, as far as it can be compared, and
// asks the functions of it about some packets.
func (w *wrong) dataplane() {
	numbers := w.numbers.all()
	nobody := func(string, string, string) compile.Chooser { return compile.Chooser{} }
	want := compile.Plan(w.state.Plan, w.state, numbers, nobody)
	w.faults.impose(&want, w.state.Plan, numbers)
	is := w.engine.Config()
	w.equal(is.Owned, want.Dataplane.Owned, "who owns addresses")
	w.equal(is.Shaping, want.Dataplane.Shaping, "shaping")
	addrs, tuples := w.packets()
	for i, eni := range is.NAT.ENIs {
		if i >= len(want.Dataplane.NAT.ENIs) {
			break
		}
		for _, addr := range addrs {
			w.equal(eni.NextHop(addr), want.Dataplane.NAT.ENIs[i].NextHop(addr), "the next hop from %d to %s", eni.ENI, addr)
		}
	}
	for i, link := range is.NAT.Links {
		if i >= len(want.Dataplane.NAT.Links) || link.Admit == nil || want.Dataplane.NAT.Links[i].Admit == nil {
			continue // the difference is found below
		}
		for _, tuple := range tuples {
			w.equal(link.Admit(tuple), want.Dataplane.NAT.Links[i].Admit(tuple), "whether %s takes %v", link.Name, tuple)
		}
	}
	w.equal(withoutFunctions(is), withoutFunctions(want.Dataplane), "the configuration")
	w.equal(w.hosts.names, want.Hosts, "what hosts files have")
	var links, wanted []string
	for _, l := range w.engine.Stats().Table.Links {
		links = append(links, l.Name)
	}
	for _, l := range want.Dataplane.NAT.Links {
		wanted = append(wanted, l.Name)
	}
	w.equal(links, wanted, "the links of the session table")
}

// packets are some addresses of the topology, and packets between them.
func (w *wrong) packets() (addrs []netip.Addr, tuples []packet.FiveTuple) {
	for _, vpc := range w.state.Plan.VPCs {
		for _, in := range vpc.Instances {
			addrs = append(addrs, in.IP)
		}
	}
	addrs = append(addrs[:min(len(addrs), 6)], netip.MustParseAddr("192.0.2.1"))
	for _, from := range addrs {
		for _, port := range []uint16{80, 443} {
			tuples = append(tuples, packet.FiveTuple{
				Src: netip.AddrPortFrom(from, 40000), Dst: netip.AddrPortFrom(addrs[0], port), Protocol: 6,
			})
		}
	}
	return addrs, tuples
}

func withoutFunctions(cfg dataplane.Config) fullnat.Config {
	out := *cfg.NAT
	out.ENIs, out.Links = slices.Clone(out.ENIs), slices.Clone(out.Links)
	for i := range out.ENIs {
		out.ENIs[i].NextHop = nil
	}
	for i := range out.Links {
		l := &out.Links[i]
		l.Admit, l.Pick, l.Ended, l.Lost, l.Resumed = nil, nil, nil, nil, nil
	}
	return out
}

// names compares what the resolvers answer from.
func (w *wrong) names() {
	names := compile.Names(w.state.Plan, w.state, w.health())
	w.equal(w.resolvers.public.Is(names.Public), true, "whether every VPC knows the public names")
	var keys []string
	for _, vpc := range w.state.Plan.VPCs {
		if len(vpc.Resolvers) == 0 {
			continue
		}
		keys = append(keys, resolverKey(&vpc))
		running := w.resolvers.running.get(resolverKey(&vpc))
		if running == nil || running.view == nil || !running.config.Equal(names.VPCs[vpc.Name]) || running.public != w.resolvers.public {
			w.found = append(w.found, fmt.Sprintf("the names: the view of VPC %s is %+v\nand should be %+v", vpc.Name, running, names.VPCs[vpc.Name]))
		}
	}
	slices.Sort(keys)
	w.equal(slices.Sorted(maps.Keys(w.resolvers.running.all())), keys, "the resolvers")
}

// runs compares the programs and the listeners that there are.
func (w *wrong) runs() {
	var want []string
	for _, vpc := range w.current.plan.Load().VPCs {
		for _, spec := range servicesOf(vpc.Instances) {
			want = append(want, spec.key())
		}
	}
	slices.Sort(want)
	w.equal(slices.Sorted(maps.Keys(w.services.running.all())), want, "the services")
	want = nil
	for _, spec := range proxiesOf(w.state.Plan) {
		want = append(want, spec.key())
		running := w.proxies.running.get(spec.key())
		if running == nil {
			continue
		}
		work := proxyWork{listener: spec.Listener, profile: w.state.Plan.Profile.HTTP}
		for _, name := range spec.Groups() {
			sg := w.state.Plan.MustServerGroup(name)
			work.groups = append(work.groups, *sg)
			work.zones = append(work.zones, compile.ServersOf(spec.balancer, sg, spec.node.Zone))
		}
		w.equal(running.does, work, "what %s does", spec)
		w.equal(running.serves, true, "whether %s serves", spec)
	}
	slices.Sort(want)
	w.equal(slices.Sorted(maps.Keys(w.proxies.running.all())), want, "the listeners")
	spaces := w.spaces.open.all()
	for _, vpc := range w.state.Plan.VPCs {
		delete(spaces, vpc.Namespace)
		for _, in := range vpc.Instances {
			delete(spaces, in.Namespace)
		}
	}
	for _, spec := range proxiesOf(w.state.Plan) {
		delete(spaces, spec.node.Proxy.Namespace)
	}
	w.equal(slices.Sorted(maps.Keys(spaces)), []string(nil), "the open spaces that nobody needs")
}

func (w *wrong) servers() {
	var want []string
	for _, sg := range w.state.Plan.ServerGroups {
		want = append(want, sg.Name)
		running := w.groups.running.get(sg.Name)
		if running == nil {
			continue
		}
		w.equal(running.group.Config(), sg, "server group %s", sg.Name)
		w.equal(running.stale, false, "whether the health checks of %s are old", sg.Name)
		var health []string
		for _, h := range running.group.Health() {
			if h.Sessions == 0 && !h.Draining { // what has left may still serve sessions
				health = append(health, h.Server.String())
			}
		}
		var servers []string
		for _, s := range sg.Servers {
			servers = append(servers, netip.AddrPortFrom(s.IP, s.Port).String())
		}
		w.equal(health, servers, "the targets of health checks of %s", sg.Name)
	}
	slices.Sort(want)
	w.equal(slices.Sorted(maps.Keys(w.groups.running.all())), want, "the server groups")
	for link, chooser := range w.groups.choosers {
		for _, p := range chooser.pickers {
			if p.Sessions() == 0 {
				w.equal(p.group == w.groups.group(p.group.Config().Name), true, "whether %s picks of a group that is there", link)
			}
		}
	}
}

// files compares what another process would take over.
func (w *wrong) files() {
	load := func(name string) []byte {
		text, err := w.store.Load(name)
		if err != nil {
			return nil
		}
		return text
	}
	kept, err := topofile.PlanOfKept(planFile, load(planFile), load(planEdits))
	if !w.failed(err) {
		text, err := topofile.TextOf(kept)
		w.failed(err)
		source, err := topofile.TextOf(w.current.plan.Load())
		w.failed(err)
		w.equal(string(text), string(source), "the topology")
	}
	w.equal(load(changingFile), []byte(nil), "the mark of a change")
	made := newStateFiles(w.store, w.log).edits()
	if made := slices.Clone(made); len(made)+len(w.file.doc.Since(w.file.base)) > 0 {
		w.equal(made, w.file.doc.Since(w.file.base), "the edits")
	}
	state, err := w.Lab.plane.Save()
	w.failed(err)
	w.equal(restored(load(stateFile)), restored(state), "the state")
}

// restored is a saved state as far as it counts for whoever takes it over: the
// number of the last event is left out, as events of health checks are no change,
// and that a service rests again, which needs no event at AWS.
func restored(text []byte) map[string]any {
	var state map[string]any
	_ = json.Unmarshal(text, &state)
	if within, ok := state["control"].(map[string]any); ok {
		state = within
	}
	delete(state, "seq")
	services, _ := state["services"].(map[string]any)
	for _, service := range services {
		if fields := service.(map[string]any); fields["state"] == "Pending" || fields["state"] == "Active" {
			delete(fields, "state")
			delete(fields, "modified")
		}
	}
	return state
}

// Agreed is where a host is in what the hosts agree on.
func (l *Lab) Agreed() string {
	a := l.agreed
	newest, _ := a.with.Now()
	late, drained := a.others(newest.Revision)
	a.mu.Lock()
	defer a.mu.Unlock()
	return fmt.Sprintf("newest %d, record %d, applied %d, settled %d, tried %d, late %v, drained %v, leads %q, trouble %v",
		newest.Revision, a.record.Revision, a.applied, a.settled, a.tried, late, drained, a.with.Leader(), a.trouble)
}
