package lab

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/plinksim/plinksim/internal/memo"
	"github.com/plinksim/plinksim/pkg/compile"
	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/fullnat"
	"github.com/plinksim/plinksim/pkg/lb"
	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/topology"
)

// serverGroups are the server groups with their health checks, and the pickers
// that links have of them.
type serverGroups struct {
	*process
	here    *onHost
	running running[*runningGroup]
	observe func(control.Event)
	// cut lets sessions have the fate that they are told.
	cut func(fate func(link string, target netip.AddrPort) fullnat.Fate) int
	// runsProgram says whether a program of an instance runs, or will be again.
	runsProgram func(plan *topology.Plan, instance string) bool
	judged      chan struct{} // gets a value when the health of a server has changed

	checking sync.Mutex                    // held while checks are stopped and started
	plan     atomic.Pointer[topology.Plan] // that they follow

	saved     map[string][]lb.Saved // of the process before, by group, until there is the group; guarded by checking
	savedText []byte                // of this one; guarded by checking
	away      map[string]string     // why servers are not to be had, by zone; guarded by checking

	picking  sync.Mutex
	choosers map[string]*linkChooser // by link: a picker keeps its turn; guarded by picking
	round    uint64                  // how many times links were given choosers; guarded by the lab's transition
}

type runningGroup struct {
	group *lb.Group
	stop  context.CancelFunc // guarded by serverGroups.checking, as what is below
	stale bool               // what its health checks are made from may not be there any more
	from  prober             // what they are made from
}

// prober is where the servers of a group are probed from.
type prober struct {
	space  Space
	source netip.Addr // zero: the space chooses
}

func (p prober) dial(ctx context.Context, network, address string) (net.Conn, error) {
	return p.space.DialFrom(ctx, p.source, network, address)
}

// boundPicker is a picker of a link with the group and the zone that it is of.
type boundPicker struct {
	*lb.Picker
	group *lb.Group
	zone  string
}

// group is a group that runs, nil where none of that name does.
func (g *serverGroups) group(name string) *lb.Group {
	if running := g.running.get(name); running != nil {
		return running.group
	}
	return nil
}

// health is what is known of the servers of a group when it is asked.
func (g *serverGroups) health() func(group string) []lb.ServerHealth {
	all := g.running.all()
	return func(group string) []lb.ServerHealth {
		if running := all[group]; running != nil {
			return running.group.Health()
		}
		return nil
	}
}

// stopMissing stops the health checks of groups that plan does not have.
func (g *serverGroups) stopMissing(plan *topology.Plan) {
	g.checking.Lock()
	defer g.checking.Unlock()
	keep := make(map[string]bool, len(plan.ServerGroups))
	for i := range plan.ServerGroups {
		keep[plan.ServerGroups[i].Name] = true
	}
	for _, running := range g.running.removeOthers(keep) {
		running.stop()
	}
}

// lookAgain lets the next follow start those health checks again of which the space
// or the VPC is another one.
func (g *serverGroups) lookAgain() {
	g.checking.Lock()
	defer g.checking.Unlock()
	for _, running := range g.running.all() {
		running.stale = true
	}
}

// follow makes the server groups those of the plan as it is now. Servers that
// stay keep their health.
func (g *serverGroups) follow(plan *topology.Plan) error {
	g.checking.Lock()
	defer g.checking.Unlock()
	g.plan.Store(plan)
	proxies, all := proxiesOf(plan), g.running.all()
	vpcs := make(map[string]*topology.VPC, len(plan.VPCs))
	for i := range plan.VPCs {
		vpcs[plan.VPCs[i].Name] = &plan.VPCs[i]
	}
	for i := range plan.ServerGroups {
		sg := &plan.ServerGroups[i]
		running := all[sg.Name]
		same := running != nil && running.isOf(sg)
		if same && !running.stale {
			continue
		}
		from, err := g.prober(vpcs[sg.VPC], proxies, sg)
		if err != nil {
			return fmt.Errorf("server group %q: %w", sg.Name, err)
		}
		if same && running.from == from {
			running.stale = false
			continue
		}
		g.startLocked(from, *sg, running)
	}
	return nil
}

func (r *runningGroup) isOf(sg *topology.ServerGroup) bool {
	is := r.group.Config()
	return memo.Identical(&is, sg) || reflect.DeepEqual(&is, sg)
}

func (g *serverGroups) startLocked(from prober, sg topology.ServerGroup, running *runningGroup) {
	if running == nil {
		running = &runningGroup{group: lb.NewGroup(sg)}
		if saved := g.saved[sg.Name]; saved != nil {
			running.group.Restore(saved, time.Now())
			delete(g.saved, sg.Name)
		}
		running.group.SetAway(g.away, time.Now())
		g.running.put(sg.Name, running)
	} else {
		running.stop()
		running.group.Update(sg, time.Now())
	}
	ctx, cancel := context.WithCancel(g.ctx)
	running.stop, running.stale, running.from = cancel, false, from
	checker := &lb.Checker{
		Group:   running.group,
		Dial:    from.dial,
		Changed: func(before lb.State, now lb.ServerHealth) { g.serverChanged(sg.Name, before, now) },
		Cut:     func(server netip.AddrPort) { g.cutServer(running.group, server, fullnat.Ends) },
		Doubt:   func(server netip.AddrPort) { g.cutServer(running.group, server, fullnat.Doubted) },
	}
	g.work.Go(func() { checker.Run(ctx) })
}

// setAway lets no server in these zones have sessions: nothing reaches them, whatever is
// known of their health.
func (g *serverGroups) setAway(why map[string]string) {
	g.checking.Lock()
	defer g.checking.Unlock()
	g.away = why
	for _, running := range g.running.all() {
		running.group.SetAway(why, time.Now())
	}
	g.namesChange()
}

// namesChange lets the resolvers hear that what they depend on has changed.
func (g *serverGroups) namesChange() {
	select {
	case g.judged <- struct{}{}:
	default: // one that nobody has seen yet says the same
	}
}

// prober is where the servers of a group are probed from: for an alb's groups
// its first node, which is also where requests come from ("ALB status codes":
// a Local IP that the vSwitch assigns), otherwise the VPC.
func (g *serverGroups) prober(vpc *topology.VPC, proxies []proxySpec, sg *topology.ServerGroup) (prober, error) {
	for _, spec := range proxies {
		if slices.Contains(spec.Groups(), sg.Name) {
			space, err := g.spaces.space(spec.node.Proxy.Namespace)
			return prober{space: space}, err
		}
	}
	space, err := g.spaces.space(vpc.Namespace)
	if sg.IPv6 {
		return prober{space, vpc.IPv6HealthSource()}, err
	}
	return prober{space, vpc.HealthSource}, err
}

func (g *serverGroups) serverChanged(group string, before lb.State, now lb.ServerHealth) {
	plan := g.plan.Load()
	_, code := words(plan, group, now)
	text := fmt.Sprintf("server %s (%s) of %s is %s", now.Instance, now.Server, group, now.State)
	for _, why := range []string{code, now.Reason} {
		if why != "" {
			text += ": " + why
		}
	}
	g.observe(control.Event{
		Kind: "server", Name: group + "/" + now.Instance, Verb: "check",
		From: before.String(), To: now.State.String(), Text: text,
	})
	g.namesChange()
}

// linkChooser chooses the targets of a link by its pickers: first the one that chooses
// now, then those of groups that the link led to before, while sessions are left that
// they gave out. It is never changed: other pickers are another linkChooser.
type linkChooser struct {
	pickers []boundPicker
	compile.Chooser
	round uint64 // in which a link was given it last; guarded by the lab's transition
}

// pick gives a compilation the choosers of its links, and keep makes them those
// that the next one goes on with. A link of which nothing is different has the one that
// it had.
func (g *serverGroups) pick() (pick compile.Pick, keep func()) {
	g.picking.Lock()
	before := g.choosers // changed by keep alone
	g.picking.Unlock()
	g.round++
	round, same := g.round, 0 // and how many links have the chooser that they had
	groups := g.running.all()
	next := map[string]*linkChooser{}     // of links that have another one
	fresh := map[[3]string]*linkChooser{} // a compilation may ask for it twice
	pick = func(link, group, zone string) compile.Chooser {
		running := groups[group]
		if running == nil {
			return compile.Chooser{}
		}
		was := before[link]
		c := was
		if !c.is(running.group, zone) {
			key := [3]string{link, group, zone}
			if fresh[key] == nil {
				fresh[key] = c.with(running.group, zone)
			}
			c = fresh[key]
		}
		var given *linkChooser // in this round
		if len(next) > 0 {
			given = next[link]
		}
		if given == nil && was != nil && was.round == round {
			given = was
		}
		switch {
		case given == nil && c == was:
			was.round = round
			same++
		case given == nil:
			next[link] = c
		case given != c:
			next[link] = &linkChooser{pickers: union(given.pickers, c.pickers)}
		}
		return c.Chooser
	}
	return pick, func() { g.keep(next, round, same) }
}

// keep makes the choosers of a round those of the links.
func (g *serverGroups) keep(next map[string]*linkChooser, round uint64, same int) {
	g.picking.Lock()
	defer g.picking.Unlock()
	if same < len(g.choosers) {
		maps.DeleteFunc(g.choosers, func(_ string, c *linkChooser) bool { return c.round != round })
	}
	if g.choosers == nil {
		g.choosers = make(map[string]*linkChooser, len(next))
	}
	for link, c := range next {
		c.round = round
		g.choosers[link] = c
	}
}

// is says whether a chooser picks from a group, and no session is another's.
func (c *linkChooser) is(group *lb.Group, zone string) bool {
	return c != nil && len(c.pickers) == 1 && c.pickers[0].group == group && c.pickers[0].zone == zone
}

// with is the chooser that picks from a group now; nil has picked from none.
func (c *linkChooser) with(group *lb.Group, zone string) *linkChooser {
	var now, before []boundPicker
	if c != nil {
		for _, p := range c.pickers {
			switch {
			case p.group == group && p.zone == zone:
				now = []boundPicker{p}
			case p.Sessions() > 0:
				before = append(before, p)
			}
		}
	}
	if now == nil {
		now = []boundPicker{{group.Picker(zone), group, zone}}
	}
	pickers := append(now, before...)
	return &linkChooser{pickers: pickers, Chooser: chooserOf(pickers)}
}

// union are the pickers of both. A link's name may be that of two, one that
// takes sessions and one by which the old ones go on.
func union(some, more []boundPicker) []boundPicker {
	for _, p := range more {
		if !slices.Contains(some, p) {
			some = append(some, p)
		}
	}
	return some
}

// chooserOf asks the first picker, and takes sessions back for the one that gave
// them out.
func chooserOf(pickers []boundPicker) compile.Chooser {
	return compile.Chooser{
		Pick: func(t packet.FiveTuple, seq uint32) (netip.AddrPort, bool) {
			return pickers[0].Pick(packet.FiveTuple{Src: t.Src, Dst: t.Dst}, seq)
		},
		Ended: func(target netip.AddrPort) {
			for _, p := range pickers {
				if p.Ended(target) {
					return
				}
			}
		},
		Resumed: func(target netip.AddrPort) { pickers[0].Resume(target) },
		Lost: func(target netip.AddrPort) bool {
			for _, p := range pickers {
				if lost, given := p.Lost(target); given {
					return lost
				}
			}
			return false
		},
	}
}

// cutServer ends or doubts the sessions that a group gave to a server.
func (g *serverGroups) cutServer(group *lb.Group, server netip.AddrPort, fate fullnat.Fate) {
	g.picking.Lock()
	links := map[string]bool{}
	for link, chooser := range g.choosers {
		for _, p := range chooser.pickers {
			if p.group == group {
				links[link] = true
			}
		}
	}
	g.picking.Unlock()
	n := g.cut(func(link string, target netip.AddrPort) fullnat.Fate {
		if target == server && links[link] {
			return fate
		}
		return fullnat.Stays
	})
	what := "sessions were removed"
	if fate == fullnat.Doubted {
		what = "sessions end with their next packet, unless all servers have failed by then"
	}
	g.log.Info(what, "group", group.Config().Name, "server", server, "sessions", n)
}
