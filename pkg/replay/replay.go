// Package replay sends packet files through the data plane of a topology,
// without a kernel and in virtual time.
package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/plinksim/plinksim/pkg/compile"
	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/dataplane"
	"github.com/plinksim/plinksim/pkg/fullnat"
	"github.com/plinksim/plinksim/pkg/lb"
	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/pcap"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
)

// maxSessions bounds how many sessions a summary lists.
const maxSessions = 1000

// Options say what is replayed.
type Options struct {
	Inputs []Input
	// Dir gets a packet file for every ENI of the plan.
	Dir string
	// Seed is that of the session table. The same one, not 0, gives the same
	// NAT ports.
	Seed uint64
	// NotConnected are the connections, SERVICE/ENDPOINT, that are as if their
	// providers had not accepted them. All others are connected.
	NotConnected []string
	// AnyMAC takes packets whatever MAC they are for: those that were captured
	// elsewhere.
	AnyMAC bool
}

// Input is a file of packets that an ENI receives.
type Input struct {
	ENI  string // as users write it
	File string
}

// Run sends the packets of files through a plan's data plane, without a
// kernel and in virtual time. Every backend is healthy and says nothing but
// what is in its load balancer's file. If a file is wrong after some packets, what
// became of those is written and in the summary, and the error is a *pcap.Error.
func Run(ctx context.Context, plan *topology.Plan, opts Options) (_ status.Replay, err error) {
	r, err := newReplay(plan, opts)
	if err != nil {
		return status.Replay{}, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	if err := r.configure(); err != nil {
		return status.Replay{}, err
	}
	for _, in := range opts.Inputs {
		if err := r.add(in); err != nil {
			return status.Replay{}, err
		}
	}
	if err := r.makeOutputs(); err != nil {
		return status.Replay{}, err
	}
	err = r.engine.Replay(ctx, r.driver)
	return r.summary(), errors.Join(err, r.driver.Flush())
}

type replay struct {
	plan    *topology.Plan
	opts    Options
	numbers compile.Numbers
	names   map[packet.ENI]string
	groups  map[string]*lb.Group
	driver  *dataplane.Pcap
	engine  *dataplane.Engine
	files   []io.Closer
}

func newReplay(plan *topology.Plan, opts Options) (*replay, error) {
	r := &replay{plan: plan, opts: opts, numbers: compile.Numbers{}, names: map[packet.ENI]string{},
		groups: map[string]*lb.Group{}}
	for i, eni := range plan.ENIs() {
		r.numbers[eni.Device] = packet.ENI(i + 1)
		r.names[packet.ENI(i+1)] = eni.Name
	}
	for _, group := range plan.ServerGroups {
		group.HealthCheck.Protocol = topology.NoProtocol
		r.groups[group.Name] = lb.NewGroup(group)
	}
	r.driver = dataplane.NewPcap(r.output)
	var err error
	r.engine, err = dataplane.NewEngine(dataplane.EngineConfig{
		Driver: r.driver, Clock: r.driver.Now,
		Table: fullnat.Options{Seed: opts.Seed, MaxSessions: plan.MaxSessions},
	})
	return r, err
}

func (r *replay) configure() error {
	state, err := r.connect()
	if err != nil {
		return err
	}
	desired := compile.Plan(r.plan, state, r.numbers, r.pick)
	compile.NewFaults().Impose(&desired, r.plan, r.numbers)
	for i := range desired.Dataplane.Shaping.Links {
		desired.Dataplane.Shaping.Links[i].Seed += r.opts.Seed
	}
	desired.Dataplane.AnyMAC = r.opts.AnyMAC
	return r.engine.Configure(desired.Dataplane)
}

// connect decides about every connection and brings them to rest.
func (r *replay) connect() (control.Snapshot, error) {
	plane, err := control.NewPlane(r.plan, func() time.Time { return time.Time{} })
	if err != nil {
		return control.Snapshot{}, err
	}
	out := map[string]bool{}
	for _, name := range r.opts.NotConnected {
		service, endpoint, _ := strings.Cut(name, "/")
		if _, known := plane.State().Connection(service, endpoint); !known {
			return control.Snapshot{}, fmt.Errorf("there is no connection %q: name it SERVICE/ENDPOINT, known: %s",
				name, connectionNames(plane.State()))
		}
		out[name] = true
	}
	for plane.Report(plane.Revision()); ; plane.Report(plane.Revision()) {
		moved, err := decide(plane, out)
		if err != nil || !moved {
			return plane.State(), err
		}
	}
}

// decide accepts and rejects what is not yet as it should be.
func decide(plane *control.Plane, out map[string]bool) (moved bool, err error) {
	for _, c := range plane.State().Connections {
		verb := control.Accept
		switch open := !out[c.Service+"/"+c.Endpoint]; {
		case open == c.State.Open():
			continue
		case !open && c.State == control.Connected:
			verb = control.Reject
		case !open:
			continue
		}
		o := topology.Operation{Verb: verb, Service: c.Service, Endpoint: c.Endpoint}
		if _, err := plane.Do(o); err != nil {
			return moved, err
		}
		moved = true
	}
	return moved, nil
}

func connectionNames(state control.Snapshot) string {
	var names []string
	for _, c := range state.Connections {
		names = append(names, c.Service+"/"+c.Endpoint)
	}
	return strings.Join(names, ", ")
}

func (r *replay) pick(_, group, zone string) compile.Chooser {
	p := r.groups[group].Picker(zone)
	return compile.Chooser{
		Pick: func(t packet.FiveTuple, seq uint32) (netip.AddrPort, bool) {
			return p.Pick(packet.FiveTuple{Src: t.Src, Dst: t.Dst}, seq)
		},
		Ended: func(server netip.AddrPort) { p.Ended(server) },
	}
}

func (r *replay) add(in Input) error {
	eni, err := r.plan.ENI(in.ENI)
	if err != nil {
		return err
	}
	vpc := r.plan.MustVPC(eni.VPC)
	f, err := os.Open(in.File)
	if err != nil {
		return err
	}
	r.files = append(r.files, f)
	return r.driver.Add(dataplane.PcapInput{ENI: r.numbers[eni.Device], Name: in.File, File: f, MTU: vpc.MTU,
		MAC: eni.MAC})
}

func (r *replay) path(eni string) string { return filepath.Join(r.opts.Dir, eni+".pcap") }

// makeOutputs leaves a file without packets for every ENI: which files there
// are does not depend on what is sent, and none is left from another replay.
func (r *replay) makeOutputs() error {
	if err := os.MkdirAll(r.opts.Dir, 0o777); err != nil {
		return err
	}
	for _, eni := range r.plan.ENIs() {
		if err := r.makeOutput(eni.Name); err != nil {
			return err
		}
	}
	return nil
}

func (r *replay) makeOutput(eni string) error {
	for _, in := range r.opts.Inputs {
		if same(in.File, r.path(eni)) {
			return fmt.Errorf("%s is an input, and what leaves %s would overwrite it: choose another directory for the output", in.File, eni)
		}
	}
	f, err := os.Create(r.path(eni))
	if err != nil {
		return err
	}
	w, err := pcap.NewWriter(f)
	if err == nil {
		err = w.Flush()
	}
	return errors.Join(err, f.Close())
}

func same(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}

// output opens the file of an ENI when something leaves there.
func (r *replay) output(eni packet.ENI) (io.Writer, error) {
	f, err := os.OpenFile(r.path(r.names[eni]), os.O_WRONLY|os.O_TRUNC, 0)
	if err == nil {
		r.files = append(r.files, f)
	}
	return f, err
}

func (r *replay) summary() status.Replay {
	stats := r.engine.Stats()
	s := status.Replay{
		Schema: status.Schema, Lab: r.plan.Name, Seed: r.opts.Seed,
		Start: r.driver.Start(), Seconds: r.driver.Now().Seconds(),
		Inputs: []status.ReplayFile{}, Outputs: []status.ReplayFile{}, Links: compile.Links(r.plan, stats.Table.Links),
		Sessions: []status.Session{},
		ARP:      status.ReplayARP{Answered: stats.ARP.Answered, Ignored: stats.ARP.Ignored},
		Verdict:  compile.Verdicts(stats.Table.Verdicts),
	}
	for i, received := range r.driver.Received() {
		in := r.opts.Inputs[i]
		s.Inputs = append(s.Inputs, status.ReplayFile{
			ENI: in.ENI, File: in.File, Packets: received.Packets, Bytes: received.Bytes,
			OutOfOrder: received.Backwards,
		})
	}
	sent := r.driver.Sent()
	for _, eni := range r.plan.ENIs() {
		n := sent[r.numbers[eni.Device]]
		s.Outputs = append(s.Outputs,
			status.ReplayFile{ENI: eni.Name, File: r.path(eni.Name), Packets: n.Packets, Bytes: n.Bytes})
	}
	sessions := r.engine.Sessions()
	s.SessionCount = len(sessions)
	s.Sessions = compile.Sessions(r.plan, sessions[:min(len(sessions), maxSessions)])
	return s
}

func (r *replay) close() error {
	errs := []error{r.engine.Close()}
	for _, f := range r.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
