package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"github.com/plinksim/plinksim/internal/memo"
	"github.com/plinksim/plinksim/pkg/compile"
	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/dns"
	"github.com/plinksim/plinksim/pkg/topology"
)

// resolvers answer questions in the VPCs.
type resolvers struct {
	*process
	running running[*runningResolver]
	observe func(control.Event)

	keying sync.Mutex     // guards the keys
	keys   []string       // of the resolvers of vpcs, in their order
	vpcs   []topology.VPC // of the plan that was looked at last

	publishing sync.Mutex // guards what is below
	namer      compile.Namer
	public     *dns.Public
	answers    map[string]answerState // by name of the ENI
}

type runningResolver struct {
	server *dns.Server
	stop   func() // ends it and returns when its sockets are closed
	// view is what it answers from, nil before it has one, and config and public are
	// what that was made of; guarded by publishing.
	view   *dns.View
	config dns.Config
	public *dns.Public
}

// resolverKey tells resolvers apart over changes of the file.
func resolverKey(vpc *topology.VPC) string {
	key := append(append(append(make([]byte, 0, 128), vpc.Name...), ' '), vpc.Namespace...)
	for _, addr := range vpc.Resolvers {
		key = addr.AppendTo(append(key, ' '))
	}
	key = append(key, " to"...)
	for _, addr := range vpc.Upstreams {
		key = addr.AppendTo(append(key, ' '))
	}
	return string(key)
}

// of is the resolver of a VPC, nil where it does not run.
func (r *resolvers) of(vpc *topology.VPC) *dns.Server {
	if running := r.running.get(resolverKey(vpc)); running != nil {
		return running.server
	}
	return nil
}

// keysOf are the keys of the resolvers of a plan, in the order of its VPCs.
func (r *resolvers) keysOf(plan *topology.Plan) []string {
	r.keying.Lock()
	defer r.keying.Unlock()
	if !memo.Identical(&r.vpcs, &plan.VPCs) {
		r.vpcs, r.keys = plan.VPCs, make([]string, len(plan.VPCs))
		for i := range plan.VPCs {
			r.keys[i] = resolverKey(&plan.VPCs[i])
		}
	}
	return r.keys
}

// stopMissing stops those that plan does not have.
func (r *resolvers) stopMissing(plan *topology.Plan) {
	keep := make(map[string]bool, len(plan.VPCs))
	for _, key := range r.keysOf(plan) {
		keep[key] = true
	}
	for _, running := range r.running.removeOthers(keep) {
		running.stop()
	}
}

// start starts those of plan that do not run.
func (r *resolvers) start(plan *topology.Plan) error {
	for i, key := range r.keysOf(plan) {
		vpc := &plan.VPCs[i]
		if r.running.get(key) != nil || len(vpc.Resolvers) == 0 {
			continue
		}
		running, err := r.startOne(vpc)
		if err != nil {
			return fmt.Errorf("vpc %q: start its resolver: %w", vpc.Name, err)
		}
		r.running.put(key, running)
	}
	return nil
}

func (r *resolvers) startOne(vpc *topology.VPC) (*runningResolver, error) {
	space, err := r.spaces.space(vpc.Namespace)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(r.ctx)
	var serving sync.WaitGroup
	running := &runningResolver{
		server: &dns.Server{Forwarder: forwarder(vpc, space)},
		stop:   func() { cancel(); serving.Wait() },
	}
	for _, addr := range vpc.Resolvers {
		at := netip.AddrPortFrom(addr, 53).String()
		pc, ln, err := listenDNS(ctx, space, at)
		if err != nil {
			running.stop()
			return nil, err
		}
		serving.Go(func() {
			if err := running.server.Serve(ctx, pc, ln); err != nil && ctx.Err() == nil {
				r.log.Error("a resolver stopped", "vpc", vpc.Name, "address", at, "error", err)
			}
		})
	}
	return running, nil
}

// forwarder is nil where the VPC has no upstreams.
func forwarder(vpc *topology.VPC, space Space) *dns.Forwarder {
	if len(vpc.Upstreams) == 0 {
		return nil
	}
	f := &dns.Forwarder{Dial: space.DialContext}
	for _, addr := range vpc.Upstreams {
		f.Upstreams = append(f.Upstreams, netip.AddrPortFrom(addr, 53))
	}
	return f
}

func listenDNS(ctx context.Context, space Space, at string) (net.PacketConn, net.Listener, error) {
	pc, err := space.ListenPacket(ctx, "udp", at)
	if err != nil {
		return nil, nil, err
	}
	ln, err := space.Listen(ctx, "tcp", at)
	if err != nil {
		return nil, nil, errors.Join(err, pc.Close())
	}
	return pc, ln, nil
}

// publish gives every resolver its view, and tells of the zones that left the
// answers or came back while they were connected.
func (r *resolvers) publish(state control.Snapshot, health compile.Health) error {
	r.publishing.Lock()
	defer r.publishing.Unlock()
	plan := state.Plan
	names := r.namer.Names(plan, state, health)
	if !r.public.Is(names.Public) {
		public, err := dns.NewPublic(names.Public, r.public)
		if err != nil {
			return fmt.Errorf("configure the resolvers: %w", err)
		}
		r.public = public
	}
	for i, key := range r.keysOf(plan) {
		vpc := &plan.VPCs[i]
		running := r.running.get(key)
		if running == nil {
			continue // it has no resolver
		}
		if err := running.publish(names.VPCs[vpc.Name], r.public); err != nil {
			return fmt.Errorf("vpc %q: configure its resolver: %w", vpc.Name, err)
		}
	}
	// The events come after the views, so that no answer contradicts them.
	var events []control.Event
	r.answers, events = changedAnswers(r.answers, names.Answered)
	for _, e := range events {
		r.observe(e)
	}
	return nil
}

// publish gives a resolver its view, which costs little where only the public names
// are others than before.
func (r *runningResolver) publish(config dns.Config, public *dns.Public) error {
	same := r.view != nil && (memo.Identical(&r.config, &config) || r.config.Equal(config))
	if same && r.public == public {
		return nil
	}
	var view *dns.View
	var err error
	if same && r.public.SameZones(public) {
		view, err = r.view.With(public)
	} else {
		view, err = dns.NewViewWith(public, config)
	}
	if err != nil {
		return err
	}
	r.server.SetView(view)
	r.view, r.config, r.public = view, config, public
	return nil
}

// answerState is where a zone of an endpoint stands with the answers.
type answerState int

const (
	notYetAnswered answerState = iota // no "leave" event before a first "in"
	in
	left
)

// changedAnswers says what is so of the zones now, and the events that tell of
// the difference. Zones that are not connected are not there: the connection
// has events of its own.
func changedAnswers(before map[string]answerState, zones []compile.Answered) (map[string]answerState, []control.Event) {
	next := make(map[string]answerState, len(zones))
	var events []control.Event
	for _, a := range zones {
		name := a.Zone.ENI.Name
		was := before[name]
		switch {
		case a.Up:
			next[name] = in
			if was == left {
				events = append(events, nameEvent(a, "return", "left", "in", "is back in the answers"))
			}
		case was == notYetAnswered:
		default:
			next[name] = left
			if was == in {
				events = append(events, nameEvent(a, "leave", "in", "left", "left the answers: "+a.Why))
			}
		}
	}
	return next, events
}

func nameEvent(a compile.Answered, verb control.Verb, from, to, what string) control.Event {
	return control.Event{
		Kind: "name", Name: a.Zone.ENI.Name, Verb: verb, From: from, To: to,
		Text: fmt.Sprintf("%s (%s) of endpoint %q %s", a.Zone.ENI.IP, a.Zone.Zone, a.Endpoint, what),
	}
}
