package lab_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/plinksim/plinksim/pkg/lab"
)

// fakeLease is how long a host lives that the store does not hear of.
const fakeLease = 3 * time.Second

// fakeStore is where the hosts of a lab in one process agree, with faults.
type fakeStore struct {
	mu       sync.Mutex
	record   lab.Record // none where Revision is 0
	revision int64
	leader   string
	living   map[string]lab.HostReport
	hosts    map[string]*fakeAgreement // that are not closed
	secrets  map[string][]byte
	quorum   bool
	wrote    []string // which host wrote each record
	next     writeFault
}

// writeFault is what goes wrong at the next write that a step asks for.
type writeFault int

const (
	writesWell    writeFault = iota
	answerLost               // it is written, and nobody hears of it
	writeLost                // it is not written, and nobody hears of it
	leaderLost               // another host leads before it is written
	leaderLostToo            // another host leads after it was written, and nobody hears of it
)

func newFakeStore() *fakeStore {
	return &fakeStore{living: map[string]lab.HostReport{}, hosts: map[string]*fakeAgreement{}, secrets: map[string][]byte{}, quorum: true}
}

// stepKey is in the contexts of what a test asks for.
type stepKey struct{}

// fakeAgreement is one host's view of a fakeStore.
type fakeAgreement struct {
	store   *fakeStore
	host    string
	changed chan struct{}

	// Guarded by store.mu.
	cut     bool
	silent  time.Time
	known   lab.Record
	leader  string
	hosts   map[string]lab.HostReport
	report  lab.HostReport
	carried bool // whether the write that a step last asked for was made
	expires *time.Timer
}

func (s *fakeStore) join(host string) *fakeAgreement {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := &fakeAgreement{store: s, host: host, changed: make(chan struct{}, 1), hosts: map[string]lab.HostReport{}}
	s.hosts[host] = a
	if !s.quorum {
		a.silent = time.Now()
		return a
	}
	s.living[host] = lab.HostReport{Name: host}
	s.electLocked()
	s.tellLocked()
	return a
}

// electLocked finds a leader among those that live.
func (s *fakeStore) electLocked() {
	if _, lives := s.living[s.leader]; lives {
		return
	}
	s.leader = ""
	for host := range s.living {
		if s.leader == "" || host < s.leader {
			s.leader = host
		}
	}
}

// tellLocked lets all hosts know that the store answers.
func (s *fakeStore) tellLocked() {
	for _, a := range s.hosts {
		if a.cut || !s.quorum {
			continue
		}
		a.known, a.leader, a.silent = s.record, s.leader, time.Time{}
		a.hosts = map[string]lab.HostReport{}
		for name, report := range s.living {
			a.hosts[name] = report
		}
		a.tell()
	}
}

func (a *fakeAgreement) tell() {
	select {
	case a.changed <- struct{}{}:
	default:
	}
}

// cutOff takes a host off the store, or brings it back.
func (s *fakeStore) cutOff(host string, cut bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.hosts[host]
	if a == nil || a.cut == cut {
		return
	}
	a.cut = cut
	if cut {
		a.silent = time.Now()
		a.expires = time.AfterFunc(fakeLease, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if a.cut && s.hosts[host] == a {
				delete(s.living, host)
				s.electLocked()
				s.tellLocked()
			}
		})
		return
	}
	a.expires.Stop()
	s.living[host] = a.report
	s.electLocked()
	s.tellLocked()
}

// setQuorum lets the store answer nobody, or everybody again. Leases last while it answers
// nobody.
func (s *fakeStore) setQuorum(quorum bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.quorum == quorum {
		return
	}
	s.quorum = quorum
	for _, a := range s.hosts {
		if a.silent.IsZero() {
			a.silent = time.Now()
		}
		if quorum && !a.cut {
			s.living[a.host] = a.report
		}
	}
	s.electLocked()
	s.tellLocked()
}

// leadBy lets another host lead.
func (s *fakeStore) leadBy(host string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, lives := s.living[host]; lives && s.quorum {
		s.leader = host
		s.tellLocked()
	}
}

func (a *fakeAgreement) Now() (lab.Record, bool) {
	a.store.mu.Lock()
	defer a.store.mu.Unlock()
	return a.known, a.known.Revision != 0
}

func (a *fakeAgreement) Create(_ context.Context, first lab.Record) (lab.Record, error) {
	s := a.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.cut || !s.quorum {
		return lab.Record{}, &lab.NoQuorumError{}
	}
	if s.record.Revision == 0 {
		s.writeLocked(a.host, first)
	}
	return s.record, nil
}

func (s *fakeStore) writeLocked(host string, next lab.Record) {
	s.revision += 3 // others write there, too
	next.Revision = s.revision
	s.record = next
	s.wrote = append(s.wrote, host)
	s.tellLocked()
}

func (a *fakeAgreement) Write(ctx context.Context, after int64, next lab.Record) (lab.Record, error) {
	s := a.store
	time.Sleep(time.Millisecond)
	s.mu.Lock()
	defer s.mu.Unlock()
	fault := writesWell
	if ctx.Value(stepKey{}) != nil {
		a.carried = false
		fault, s.next = s.next, writesWell
	}
	lost := func() (lab.Record, error) {
		s.mu.Unlock()
		<-ctx.Done()
		s.mu.Lock()
		return lab.Record{}, &lab.UnansweredError{Err: context.Cause(ctx)}
	}
	switch {
	case a.cut || !s.quorum:
		return lost()
	case fault == leaderLost:
		s.passOnLocked()
	}
	switch {
	case s.leader != a.host:
		return lab.Record{}, &lab.NotLeadingError{Host: a.host, Leader: s.leader}
	case s.record.Revision != after:
		return lab.Record{}, &lab.ConflictError{After: after, Newest: s.record.Revision}
	case fault == writeLost:
		return lost()
	}
	s.writeLocked(a.host, next)
	a.carried = ctx.Value(stepKey{}) != nil || a.carried
	written := s.record
	if fault == leaderLostToo {
		s.passOnLocked()
	}
	if fault != writesWell {
		return lost()
	}
	return written, nil
}

// passOnLocked makes another host the leader.
func (s *fakeStore) passOnLocked() {
	for _, host := range []string{"c", "b", "a"} {
		if _, lives := s.living[host]; lives && host != s.leader {
			s.leader = host
			s.tellLocked()
			return
		}
	}
}

func (a *fakeAgreement) Secret(_ context.Context, name string, first func() ([]byte, error)) ([]byte, error) {
	s := a.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.cut || !s.quorum {
		return nil, &lab.NoQuorumError{}
	}
	if s.secrets[name] == nil {
		text, err := first()
		if err != nil {
			return nil, err
		}
		s.secrets[name] = text
	}
	return slices.Clone(s.secrets[name]), nil
}

func (a *fakeAgreement) Leader() string {
	a.store.mu.Lock()
	defer a.store.mu.Unlock()
	return a.leader
}

func (a *fakeAgreement) Hosts() map[string]lab.HostReport {
	a.store.mu.Lock()
	defer a.store.mu.Unlock()
	return a.hosts
}

func (a *fakeAgreement) Report(r lab.HostReport) {
	s := a.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if same := r.Applied == a.report.Applied && r.Plan == a.report.Plan && slices.Equal(r.Drained, a.report.Drained) &&
		r.Version == a.report.Version; same {
		return
	}
	a.report = r
	if _, lives := s.living[a.host]; lives && !a.cut && s.quorum && s.hosts[a.host] == a {
		s.living[a.host] = r
		s.tellLocked()
	}
}

func (a *fakeAgreement) Changed() <-chan struct{} { return a.changed }

func (a *fakeAgreement) Silent() time.Time {
	a.store.mu.Lock()
	defer a.store.mu.Unlock()
	return a.silent
}

func (a *fakeAgreement) Close() error {
	s := a.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hosts[a.host] != a {
		return errors.New("closed twice")
	}
	delete(s.hosts, a.host)
	delete(s.living, a.host)
	s.electLocked()
	s.tellLocked()
	return nil
}
