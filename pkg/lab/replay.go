package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/dataplane"
	"github.com/plinksim/plinksim/pkg/fullnat"
	"github.com/plinksim/plinksim/pkg/lb"
	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/pcap"
	"github.com/plinksim/plinksim/pkg/topology"
)

// ReplayOptions say what is replayed.
type ReplayOptions struct {
	Inputs []ReplayInput
	// Dir gets a packet file for every ENI of the plan.
	Dir string
	// Seed is that of the session table. The same one, not 0, gives the same
	// NAT ports.
	Seed uint64
	// NotConnected are the connections, SERVICE/ENDPOINT, that are as if their
	// providers had not accepted them. All others are connected.
	NotConnected []string
}

// ReplayInput is a file of packets that an ENI receives.
type ReplayInput struct {
	ENI  string // as users write it
	File string
}

// maxReplaySessions bounds how many sessions a ReplaySummary lists.
const maxReplaySessions = 1000

// ReplaySummary is what came of a replay. It says nothing about how long it
// took, so the same replay gives the same summary.
type ReplaySummary struct {
	Schema string `json:"schema"`
	Lab    string `json:"lab"`
	Seed   uint64 `json:"seed"`
	// Start is the time of the first packet, Seconds what follows until the
	// last one.
	Start   time.Time         `json:"start"`
	Seconds float64           `json:"seconds"`
	Inputs  []ReplayFile      `json:"inputs"`
	Outputs []ReplayFile      `json:"outputs"`
	ARP     ReplayARP         `json:"arp"`
	Verdict map[string]uint64 `json:"verdicts"`
	Links   []LinkStatus      `json:"links"`
	// Sessions are those that live at the end, the first thousand of them.
	Sessions     []SessionStatus `json:"sessions"`
	SessionCount int             `json:"session_count"`
}

// ReplayFile counts what came from or went to one file.
type ReplayFile struct {
	ENI     string `json:"eni"`
	File    string `json:"file"`
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// ReplayARP counts what was done with ARP frames.
type ReplayARP struct {
	Answered uint64 `json:"answered"`
	Ignored  uint64 `json:"ignored"`
}

// Replay sends the packets of files through a plan's data plane, without a
// kernel and in virtual time. Every backend is healthy and says nothing but
// what is in its load balancer's file.
func Replay(ctx context.Context, plan *topology.Plan, opts ReplayOptions) (_ ReplaySummary, err error) {
	r, err := newReplay(plan, opts)
	if err != nil {
		return ReplaySummary{}, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	if err := r.configure(); err != nil {
		return ReplaySummary{}, err
	}
	for _, in := range opts.Inputs {
		if err := r.add(in); err != nil {
			return ReplaySummary{}, err
		}
	}
	if err := r.makeOutputs(); err != nil {
		return ReplaySummary{}, err
	}
	if err := r.engine.Replay(ctx, r.driver); err != nil {
		return ReplaySummary{}, err
	}
	return r.summary(), r.driver.Flush()
}

type replay struct {
	plan    *topology.Plan
	opts    ReplayOptions
	numbers Numbers
	names   map[packet.ENI]string
	groups  map[string]*lb.Group
	driver  *dataplane.Pcap
	engine  *dataplane.Engine
	files   []io.Closer
}

func newReplay(plan *topology.Plan, opts ReplayOptions) (*replay, error) {
	r := &replay{plan: plan, opts: opts, numbers: Numbers{}, names: map[packet.ENI]string{}, groups: map[string]*lb.Group{}}
	for i, eni := range plan.ENIs() {
		r.numbers[eni.Device] = packet.ENI(i + 1)
		r.names[packet.ENI(i+1)] = eni.Name
	}
	for _, group := range plan.ServerGroups {
		group.HealthCheck.Protocol = "none"
		r.groups[group.Name] = lb.NewGroup(group)
	}
	r.driver = dataplane.NewPcap(r.output)
	var err error
	r.engine, err = dataplane.NewEngine(dataplane.EngineConfig{
		Driver: r.driver, Clock: r.driver.Now, Table: fullnat.Options{Seed: opts.Seed},
	})
	return r, err
}

func (r *replay) configure() error {
	state, err := r.connect()
	if err != nil {
		return err
	}
	desired := Compile(r.plan, state, r.numbers, r.pick)
	newFaults().impose(&desired, r.plan, r.numbers)
	for i := range desired.Dataplane.Shaping.Links {
		desired.Dataplane.Shaping.Links[i].Seed += r.opts.Seed
	}
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
			return control.Snapshot{}, fmt.Errorf("there is no connection %q: name it SERVICE/ENDPOINT, known: %s", name, connectionNames(plane.State()))
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
		o := topology.Operation{Verb: string(verb), Service: c.Service, Endpoint: c.Endpoint}
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

func (r *replay) pick(_, group, zone string) Chooser {
	return chooserOf([]boundPicker{{Picker: r.groups[group].Picker(zone)}})
}

func (r *replay) add(in ReplayInput) error {
	eni, err := r.plan.ENI(in.ENI)
	if err != nil {
		return err
	}
	vpc, err := r.plan.VPC(eni.VPC)
	if err != nil {
		return err
	}
	f, err := os.Open(in.File)
	if err != nil {
		return err
	}
	r.files = append(r.files, f)
	return r.driver.Add(dataplane.PcapInput{ENI: r.numbers[eni.Device], Name: in.File, File: f, MTU: vpc.MTU})
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

func (r *replay) summary() ReplaySummary {
	stats := r.engine.Stats()
	s := ReplaySummary{
		Schema: Schema, Lab: r.plan.Name, Seed: r.opts.Seed,
		Start: r.driver.Start(), Seconds: r.driver.Now().Seconds(),
		Inputs: []ReplayFile{}, Outputs: []ReplayFile{}, Links: []LinkStatus{}, Sessions: []SessionStatus{},
		ARP:     ReplayARP{Answered: stats.ARP.Answered, Ignored: stats.ARP.Ignored},
		Verdict: verdicts(stats.Table.Verdicts),
	}
	for i, received := range r.driver.Received() {
		in := r.opts.Inputs[i]
		s.Inputs = append(s.Inputs, ReplayFile{in.ENI, in.File, received.Packets, received.Bytes})
	}
	sent := r.driver.Sent()
	for _, eni := range r.plan.ENIs() {
		n := sent[r.numbers[eni.Device]]
		s.Outputs = append(s.Outputs, ReplayFile{eni.Name, r.path(eni.Name), n.Packets, n.Bytes})
	}
	for _, link := range turned(r.plan, stats.Table.Links) {
		s.Links = append(s.Links, linkStatus(link))
	}
	sessions := r.engine.Sessions()
	s.SessionCount = len(sessions)
	s.Sessions = sessionsStatus(r.plan, sessions[:min(len(sessions), maxReplaySessions)])
	return s
}

func (r *replay) close() error {
	errs := []error{r.engine.Close()}
	for _, f := range r.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
