package lab

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

// agreedFile is the file of a lab's store that has the newest record that the lab was,
// with which a daemon goes on that finds no store.
const agreedFile = "agreed.json"

// agreedInterval is how often what has failed is tried again.
const agreedInterval = time.Second

// toldKept is the number of adopted records whose events are kept for callers who wait for them.
const toldKept = 16

// agreed makes a lab one of several hosts that agree. One goroutine makes the lab what
// the newest record says; another one, where this host leads, makes what is on its way
// arrive, when all hosts have the record in force.
type agreed struct {
	*Lab
	with    Agreement
	version string

	changing chan struct{} // has a value while a record is made and written

	adopting, leading chan struct{} // nudges for the two goroutines

	mu       sync.Mutex
	record   Record // that the lab is
	since    time.Time
	applied  int64 // the revision that is in force
	settled  int64 // the revision of which all hosts know, and nothing is on its way in
	tried    int64 // the newest revision that the lab was to be
	trouble  error // why it is not, or not in force
	hash     string
	hashed   *topology.Plan
	drained  []Drained
	events   map[int64][]control.Event // that adopted records made
	checking bool
	signal   chan struct{} // closed and replaced when anything above changes
}

func newAgreed(cfg Config, l *Lab, record Record) *agreed {
	return &agreed{
		Lab: l, with: cfg.Agreement, version: cfg.Version, record: record,
		changing: make(chan struct{}, 1), adopting: make(chan struct{}, 1), leading: make(chan struct{}, 1), signal: make(chan struct{}),
		events: map[int64][]control.Event{}, since: time.Now(),
	}
}

// joining is the record with which a host begins: that of the store, or, where the store
// does not answer, the one that the host had; where there is none, the host makes the
// first.
func joining(ctx context.Context, cfg Config, saved *stateFiles) (Record, error) {
	record, known := cfg.Agreement.Now()
	if known {
		return record, checkFile(cfg.Plan, record)
	}
	if since := cfg.Agreement.Silent(); !since.IsZero() {
		text, err := cfg.Store.Load(agreedFile)
		if errors.Is(err, fs.ErrNotExist) {
			return Record{}, &NoQuorumError{Since: since, Err: errors.New("this host has no copy of what the hosts agreed on")}
		}
		if err == nil {
			err = json.Unmarshal(text, &record)
		}
		if err != nil {
			return Record{}, fmt.Errorf("read what the hosts agreed on: %w", err)
		}
		cfg.Log.Warn("the store does not answer: the lab goes on with what the hosts agreed on", "revision", record.Revision)
		return record, checkFile(cfg.Plan, record)
	}
	file, err := newFileState(cfg.Plan, saved.edits(), func([]topology.Change) {}, cfg.Log)
	if err != nil {
		return Record{}, err
	}
	plane, err := control.NewPlane(file.plan, time.Now)
	if err != nil {
		return Record{}, err
	}
	saved.restore(plane)
	draft, err := newDraft(0, file, plane)
	if err != nil {
		return Record{}, err
	}
	first, err := draft.record()
	if err != nil {
		return Record{}, err
	}
	if record, err = cfg.Agreement.Create(ctx, first); err != nil {
		return Record{}, fmt.Errorf("agree with the other hosts: %w", err)
	}
	return record, checkFile(cfg.Plan, record)
}

// checkFile refuses a file that is not the one that the hosts agreed on.
func checkFile(plan *topology.Plan, record Record) error {
	source, err := topofile.TextOf(plan)
	if err != nil || string(source) == string(record.Source) {
		return err
	}
	return &control.Error{
		Code: topology.WrongState, Kind: "lab", Name: plan.Name,
		Text: fmt.Sprintf("the hosts of lab %q agreed on another file than %s: on %s at revision %d",
			plan.Name, plan.File, record.File, record.Revision),
		Hint: "bring it up with that file; to change it, give the new file to \"plinksim up\" on a host where the lab runs; " +
			"\"plinksim down\" on every host forgets it",
	}
}

// checkOthers refuses hosts that make something else of the same record: another version
// of plinksim, unless it follows an earlier one on this host, or another plan.
func (a *agreed) checkOthers(upgrade bool) error {
	for _, name := range slices.Sorted(maps.Keys(a.with.Hosts())) {
		other := a.with.Hosts()[name]
		switch {
		case name == a.here.name:
		case other.Version != a.version && other.Version != "" && !upgrade:
			return &control.Error{
				Code: topology.WrongState, Kind: "host", Name: name,
				Text: fmt.Sprintf("host %q runs plinksim %s, and this is %s: all hosts of a lab run the same version",
					name, other.Version, a.version),
				Hint: fmt.Sprintf("install %s here, or this one there, where \"plinksim upgrade\" goes on with it", other.Version),
			}
		case other.Applied == a.record.Revision && other.Plan != "" && other.Plan != a.planHash():
			return fmt.Errorf("host %q, with plinksim %s, makes another plan of the lab's file than this one, with %s: "+
				"all hosts of a lab run the same version", name, other.Version, a.version)
		}
	}
	return nil
}

// planHash is the hash of what this program makes of the record's file and edits.
func (a *agreed) planHash() string {
	plan := a.file.plan
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.hashed != plan {
		a.hashed, a.hash = plan, hashOf(plan)
	}
	return a.hash
}

// hashOf is a hash of all that is decided in a plan, wherever its file is.
func hashOf(plan *topology.Plan) string {
	decided := *plan
	decided.File, decided.Source, decided.Origin, decided.Warnings = "", nil, nil, nil
	text, err := json.Marshal(decided)
	if err != nil {
		panic("a plan is plain data: " + err.Error())
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// begin follows the agreement from now on: the lab is in force.
func (a *agreed) begin() {
	a.set(func() { a.applied, a.tried = a.record.Revision, a.record.Revision })
	a.keep(a.record)
	a.report()
	a.work.Go(a.follow)
	a.work.Go(a.lead)
}

// follow makes the lab what the newest record says.
func (a *agreed) follow() {
	tick := time.NewTicker(agreedInterval)
	defer tick.Stop()
	for {
		a.adopt()
		a.report()
		nudge(a.leading)
		select {
		case <-a.ctx.Done():
			return
		case <-a.with.Changed():
		case <-a.adopting:
		case <-tick.C:
		}
	}
}

// lead does what only the host does that leads.
func (a *agreed) lead() {
	tick := time.NewTicker(agreedInterval)
	defer tick.Stop()
	for {
		select {
		case <-a.ctx.Done():
			return
		case <-a.leading:
		case <-tick.C:
		}
		if err := a.tend(); err != nil && !a.ended() {
			a.log.Warn("the states of the lab could not be moved on", "error", err)
		}
	}
}

func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// set changes what mu guards, and tells who waits.
func (a *agreed) set(change func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change()
	close(a.signal)
	a.signal = make(chan struct{})
}

// adopt makes the lab the newest record, and puts that in force.
func (a *agreed) adopt() {
	newest, known := a.with.Now()
	a.mu.Lock()
	is, applied, before := a.record, a.applied, a.trouble
	a.mu.Unlock()
	var err error
	switch {
	case known && newest.Revision != is.Revision:
		err = a.become(newest)
	case applied != is.Revision:
		err = a.exclusively((*transition).catchUp)
	case before == nil:
		return
	}
	if a.ended() {
		return
	}
	a.set(func() {
		if a.tried, a.trouble = max(newest.Revision, a.record.Revision), err; err == nil {
			a.applied = a.record.Revision
		}
	})
	if err != nil && (before == nil || before.Error() != err.Error()) {
		a.log.Error("what the hosts agreed on could not be put in force", "revision", newest.Revision, "error", err)
	}
}

// become makes the lab another record. Where it is that with an error, the error is a
// *NotInForceError.
func (a *agreed) become(record Record) error {
	f := a.file
	f.mu.Lock()
	defer f.mu.Unlock()
	next, in, err := readRecord(record, f)
	if err != nil {
		return err
	}
	var events []control.Event
	take := func(plan *topology.Plan) (err error) {
		var told []control.Event
		if in.Told != nil && in.Told.After == a.record.Revision {
			told = in.Told.Events
		}
		events, err = a.plane.Adopt(plan, in.Control, told...)
		return err
	}
	late := errClosing // unless there is a transition
	changed := false
	_ = a.exclusively(func(t *transition) error {
		changed, late = t.become(a.ctx, next.now(), take)
		return nil
	})
	if !changed {
		return late
	}
	f.base, f.file, f.doc, f.plan, f.aside = next.base, next.file, next.doc, next.plan, next.aside
	f.save(f.doc.Since(f.base))
	a.set(func() {
		a.record, a.since = record, time.Now()
		a.events[record.Revision] = events
		for len(a.events) > toldKept {
			delete(a.events, slices.Min(slices.Collect(maps.Keys(a.events))))
		}
	})
	a.keep(record)
	return late
}

// keep writes a record down for a daemon that finds no store. A failure is logged, and in
// the status.
func (a *agreed) keep(record Record) {
	text, err := json.Marshal(record)
	if err != nil {
		panic("a record has texts and a number: " + err.Error())
	}
	_ = a.saved.put(agreedFile, text)
}

// report lets the other hosts know what is in force here.
func (a *agreed) report() {
	hash := ""
	_ = a.file.settled(func() error { hash = a.planHash(); return nil })
	a.mu.Lock()
	defer a.mu.Unlock()
	a.with.Report(HostReport{
		Name: a.here.name, Version: a.version, Plan: hash, Applied: a.applied, Drained: slices.Clone(a.drained),
	})
}

// setDrained says which replaced load balancers no session needs any more here.
func (a *agreed) setDrained(drained []Drained) {
	a.mu.Lock()
	same := slices.Equal(a.drained, drained)
	a.drained = drained
	a.mu.Unlock()
	if !same {
		a.report()
		nudge(a.leading)
	}
}

// isDrained says whether that was said before.
func (a *agreed) isDrained(d Drained) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Contains(a.drained, d)
}

// authority is the certificate authority of the lab, the same on all hosts.
func (a *agreed) authority(first func() ([]byte, error)) ([]byte, error) {
	ctx, cancel := context.WithTimeout(a.ctx, RefusedWithin)
	defer cancel()
	return a.with.Secret(ctx, "authority", first)
}

// leads refuses a change where this host does not lead, or the store has been silent.
func (a *agreed) leads() error {
	a.mu.Lock()
	revision := a.record.Revision
	a.mu.Unlock()
	if since := a.with.Silent(); !since.IsZero() && time.Since(since) >= RefusedWithin {
		return &NoQuorumError{Revision: revision, Since: since}
	}
	if leader := a.with.Leader(); leader != a.here.name {
		return &NotLeadingError{Host: a.here.name, Leader: leader}
	}
	return nil
}

// change makes the next record and writes it, and returns its revision. Where do changes
// nothing, nothing is written, and the revision is the newest. Where another host has
// written one, it is done again on that.
func (a *agreed) change(ctx context.Context, do func(*draft) error) (revision int64, err error) {
	select {
	case a.changing <- struct{}{}:
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	defer func() { <-a.changing }()
	ctx, cancel := context.WithTimeout(ctx, RefusedWithin)
	defer cancel()
	for {
		newest, known := a.with.Now()
		if !known {
			a.mu.Lock()
			newest = a.record // of a daemon that found no store
			a.mu.Unlock()
		}
		d, err := a.draft(newest)
		if err != nil {
			return 0, err
		}
		if err := do(d); err != nil {
			return 0, err
		}
		if changed, err := d.changed(); err != nil || !changed {
			return newest.Revision, err
		}
		if err := a.hostsStay(d.file); err != nil {
			return 0, err
		}
		if err := a.leads(); err != nil {
			return 0, err
		}
		next, err := d.record()
		if err != nil {
			return 0, err
		}
		written, err := a.with.Write(ctx, newest.Revision, next)
		nudge(a.adopting)
		if err == nil {
			return written.Revision, nil
		}
		if conflict := (*ConflictError)(nil); !errors.As(err, &conflict) || !a.waitNewer(ctx, newest.Revision) {
			return 0, err
		}
	}
}

// draft is a record on its way to the next one.
func (a *agreed) draft(record Record) (*draft, error) {
	a.file.mu.Lock()
	defer a.file.mu.Unlock()
	return draftOf(record, a.file)
}

// waitNewer waits until another record is known.
func (a *agreed) waitNewer(ctx context.Context, revision int64) bool {
	for {
		if newest, _ := a.with.Now(); newest.Revision != revision {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// do is Lab.Do.
func (a *agreed) do(ctx context.Context, o topology.Operation, wait time.Duration) (event control.Event, err error) {
	if err := a.leads(); err != nil {
		return event, err
	}
	revision, err := a.change(ctx, func(d *draft) (err error) {
		event, err = d.operate(ctx, o)
		return err
	})
	if err != nil {
		return control.Event{}, err
	}
	err = a.waitIs(ctx, revision)
	event = a.numbered(revision, event)
	if err != nil || wait == 0 {
		return event, err
	}
	if err := a.waitSettled(ctx, revision, wait); err != nil {
		return event, err
	}
	if event.Kind == control.KindServer {
		ctx, cancel := context.WithTimeout(ctx, wait)
		defer cancel()
		a.groups.settleHealth(ctx, a.plane.State().Plan)
		return event, a.exclusively((*transition).publishNames)
	}
	return event, nil
}

// edit is Lab.EditBy.
func (a *agreed) edit(ctx context.Context, editor Editor, asked *request, wait time.Duration) (
	made []topology.Change, err error) {
	if err := a.leads(); err != nil {
		return nil, err
	}
	revision, err := a.change(ctx, func(d *draft) (err error) {
		made, err = d.edit(editor, *asked)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err = a.waitIs(ctx, revision); err == nil && wait > 0 {
		err = a.waitSettled(ctx, revision, wait)
	}
	return made, err
}

// apply is what Lab.Apply does to the topology.
func (a *agreed) apply(ctx context.Context, plan *topology.Plan) (changed bool, err error) {
	if differs, err := a.file.lookAtFile(plan); err != nil || len(differs) == 0 {
		return false, err
	}
	if err := a.leads(); err != nil {
		return false, err
	}
	if err := readCertificates(plan); err != nil {
		return false, err
	}
	revision, err := a.change(ctx, func(d *draft) error {
		_, err := d.file.apply(ctx, plan, d.replace)
		return err
	})
	if err != nil {
		return false, err
	}
	err = a.waitIs(ctx, revision)
	return true, err
}

// hostsStay refuses a topology of which a host that lives could not be.
func (a *agreed) hostsStay(file *fileState) error {
	for _, plan := range []*topology.Plan{file.file, file.plan} { // checks put the edits aside
		if was := a.Plan(); plan.Name != was.Name {
			return fmt.Errorf("the lab is %q, and the file describes %q", was.Name, plan.Name)
		}
		for _, name := range slices.Sorted(maps.Keys(a.with.Hosts())) {
			if _, err := plan.Host(name); err != nil {
				return &control.Error{Code: topology.InUse, Kind: "host", Name: name,
					Text: fmt.Sprintf("the lab runs on host %q, which the topology would not have any more", name),
					Hint: fmt.Sprintf("\"plinksim down %s\" on that host takes it out first", plan.Name)}
			}
		}
	}
	return nil
}

// putBack is the lab as its file says, whatever operations changed.
func (a *agreed) putBack(ctx context.Context) error {
	return a.changeForChecks(ctx, func(d *draft) error { d.plane.Reset(); return nil })
}

// putAside is the lab as its file says, until back is called or this host leads no more.
func (a *agreed) putAside(ctx context.Context) (back func() error, err error) {
	a.set(func() { a.checking = true })
	done := func(err error) error {
		a.set(func() { a.checking = false })
		nudge(a.leading) // who takes the edits back where that has failed
		return err
	}
	if err := a.changeForChecks(ctx, func(d *draft) error { return d.putAside(ctx, true) }); err != nil {
		return nil, done(err)
	}
	return func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*RefusedWithin)
		defer cancel()
		return done(a.changeForChecks(ctx, func(d *draft) error { return d.putAside(ctx, false) }))
	}, nil
}

func (a *agreed) changeForChecks(ctx context.Context, do func(*draft) error) error {
	before, _ := a.with.Now()
	revision, err := a.change(ctx, do)
	if err != nil || revision == before.Revision {
		return err // nothing was to be done, which needs no leader
	}
	return errors.Join(a.waitIs(ctx, revision), a.waitSettled(ctx, revision, 10*time.Second))
}

// tend moves on, where this host leads, what is on its way in the newest record when all
// hosts have that in force.
func (a *agreed) tend() error {
	newest, known := a.with.Now()
	a.mu.Lock()
	applied, settled, since, checking := a.applied, a.settled, a.since, a.checking
	a.mu.Unlock()
	if a.leads() != nil || !known || applied != newest.Revision {
		return nil
	}
	late, drained := a.others(newest.Revision)
	if len(late) > 0 || settled == newest.Revision && len(drained) == 0 && (checking || !a.isAside()) {
		return nil
	}
	if left := a.pace.transitionTime() - time.Since(since); left > 0 {
		a.work.Go(func() {
			select {
			case <-a.ctx.Done():
			case <-time.After(left):
				nudge(a.leading)
			}
		})
		return nil
	}
	stale := errors.New("another record was written meanwhile")
	revision, err := a.change(a.ctx, func(d *draft) error {
		if d.after != newest.Revision {
			return stale
		}
		d.settle(a.ctx)
		for _, z := range drained {
			d.plane.Drained(z.Service, z.Endpoint, z.Zone, z.LoadBalancer)
		}
		if d.file.aside && !checking {
			return d.putAside(a.ctx, false) // who ran the checks is gone
		}
		return nil
	})
	if errors.Is(err, stale) {
		return nil
	}
	if err == nil && revision == newest.Revision {
		a.set(func() { a.settled = revision })
	}
	return err
}

func (a *agreed) isAside() bool {
	a.file.mu.Lock()
	defer a.file.mu.Unlock()
	return a.file.aside
}

// others are the living hosts that have not the newest revision in force, and what all say
// of the load balancers of their zones. A host that only just begins has nothing in force.
func (a *agreed) others(newest int64) (late []string, drained []Drained) {
	plan := a.Plan()
	for name, host := range a.with.Hosts() {
		if host.Applied != newest && host.Applied != 0 && name != a.here.name {
			late = append(late, name)
		}
		for _, d := range host.Drained {
			// Its own zones: a host sees no session of the others'.
			if on := plan.HostOf(d.Zone); on != nil && on.Name == name && a.migrated(d) {
				drained = append(drained, d)
			}
		}
	}
	slices.Sort(late)
	return late, drained
}

// migrated says whether a load balancer drains in the eyes of this host.
func (a *agreed) migrated(d Drained) bool {
	c, _ := a.plane.State().Connection(d.Service, d.Endpoint)
	return slices.ContainsFunc(c.Zones, func(z control.Zone) bool {
		return z.Zone == d.Zone && z.State == control.Migrated && z.Replaced == d.LoadBalancer
	})
}

// numbered is an event of a draft as this host has told it.
func (a *agreed) numbered(revision int64, event control.Event) control.Event {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, e := range a.events[revision] {
		if e.Kind == event.Kind && e.Name == event.Name && e.Verb == event.Verb && e.Text == event.Text {
			return e
		}
	}
	return event
}

// waitIs waits until this lab is a revision or a later one, in force. An error is a
// *NotInForceError.
func (a *agreed) waitIs(ctx context.Context, revision int64) error {
	return a.waitFor(ctx, func() (bool, error) {
		if a.tried < revision {
			return false, nil
		}
		return a.applied >= revision, a.trouble
	})
}

// waitSettled waits until all hosts have a revision in force, or a later one, and what was
// on its way has arrived.
func (a *agreed) waitSettled(ctx context.Context, revision int64, wait time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, wait+a.pace.transitionTime(), context.DeadlineExceeded)
	defer cancel()
	err := a.waitFor(ctx, func() (bool, error) { return a.settled >= revision, nil })
	if late, _ := a.others(revision); err != nil && len(late) > 0 {
		return &NotInForceError{fmt.Errorf("not on host %s: %w", late[0], err)}
	}
	return err
}

// waitFor waits until done says so. An error of it ends waiting.
func (a *agreed) waitFor(ctx context.Context, done func() (bool, error)) error {
	for {
		a.mu.Lock()
		is, err := done()
		signal := a.signal
		a.mu.Unlock()
		switch {
		case is:
			return nil
		case err != nil:
			return notInForce(err)
		}
		select {
		case <-signal:
		case <-ctx.Done():
			return &NotInForceError{context.Cause(ctx)}
		case <-a.ctx.Done():
			return errClosing
		}
	}
}

func notInForce(err error) error {
	if late := (*NotInForceError)(nil); errors.As(err, &late) {
		return err
	}
	return &NotInForceError{err}
}

// addTo adds what the hosts agree on, and which of them live.
func (a *agreed) addTo(s *status.Lab) {
	newest, _ := a.with.Now()
	silent, hosts, leader := a.with.Silent(), a.with.Hosts(), a.with.Leader()
	a.mu.Lock()
	defer a.mu.Unlock()
	out := &status.Agreed{Revision: a.applied, Newest: max(newest.Revision, a.record.Revision)}
	if !silent.IsZero() {
		out.Silent = &silent
		out.Text = fmt.Sprintf("the control plane has no quorum since %s; packets go on with revision %d",
			silent.Format(time.TimeOnly), a.applied)
	}
	if a.trouble != nil {
		out.Text = fmt.Sprintf("revision %d is not in force: %v", a.tried, a.trouble)
	}
	s.Agreed = out
	for i := range s.Hosts {
		host := &s.Hosts[i]
		report, lives := hosts[host.Name]
		host.Lives, host.Leader, host.Version, host.Applied = lives, host.Name == leader, report.Version, report.Applied
		switch {
		case !silent.IsZero():
		case !lives:
			host.Trouble = "it does not answer"
		case host.Applied == 0:
			host.Trouble = "it begins"
		case host.Applied < out.Newest:
			host.Trouble = fmt.Sprintf("it is at revision %d of %d", host.Applied, out.Newest)
		case report.Plan != "" && a.applied == host.Applied && a.hash != "" && report.Plan != a.hash:
			host.Trouble = "it makes another plan of the same file: all hosts run the same version of plinksim"
		}
	}
}
