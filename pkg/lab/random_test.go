package lab_test

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/anyedit"
	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

// seedVariable gives the random tests another seed than that of the day.
const seedVariable = "PLINKSIM_SEED"

// seedOf is a new seed in every run, which a failed test prints.
func seedOf(t *testing.T) uint64 {
	t.Helper()
	seed := rand.Uint64N(1 << 32)
	if text := os.Getenv(seedVariable); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("%s=%d gives the same steps again", seedVariable, seed)
	return seed
}

// steps is how many steps a random test takes: all where there is time.
func steps(all int) int {
	switch {
	case testing.Short() || testenv.Race:
		return all / 50
	case os.Getenv("PLINKSIM_LONG") == "1":
		return all
	}
	return all / 10
}

// Whatever is edited and whatever accounts do, in any order: after each step a
// lab does what the whole computation makes of its topology, and what is refused
// leaves no trace.
func TestAnyStepsLeaveWhatAWholeComputationMakes(t *testing.T) {
	for _, cloud := range []string{"alibaba", "aws"} {
		t.Run(cloud, func(t *testing.T) {
			t.Parallel()
			seed := seedOf(t)
			synctest.Test(t, func(t *testing.T) { takeSteps(t, cloud, seed, steps(5000)) })
		})
	}
}

func takeSteps(t *testing.T, cloud string, seed uint64, n int) {
	base, err := topofile.Parse("base.yaml", []byte(anyedit.Base(cloud)))
	require.NoError(t, err)
	machine, store := newFakeMachine(), &copyStore{}
	l, err := lab.Start(t.Context(), lab.Config{Plan: base, Machine: machine, Store: store})
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close(context.Background())) }()
	drawer, rng := anyedit.New(seed), rand.New(rand.NewPCG(seed, 1))
	made, refused := 0, 0
	for i := range n {
		step := drawer.Next(l.Plan())
		synctest.Wait()
		before, open := store.texts(), machine.open()
		broken := rng.IntN(50) == 0
		if broken {
			machine.failNext(errors.New("no room"))
		}
		err := take(l, step)
		machine.failNext(nil)
		synctest.Wait()
		require.NoError(t, l.Wrong(), "step %d: %s: %v", i, step, err)
		if err == nil {
			made++
			continue
		}
		refused++
		require.Empty(t, lab.Difference(store.texts(), before), "step %d left something: %s: %v", i, step, err)
		require.Equal(t, open, machine.open(), "step %d: the same programs listen: %s: %v", i, step, err)
		if rng.IntN(10) == 0 {
			time.Sleep(time.Duration(rng.IntN(10)) * time.Second) // health checks go on
		}
		if i%100 == 99 {
			t.Log(i+1, "steps")
			sameAsNew(t, l, store)
		}
	}
	t.Log(made, "steps were made, and", refused, "refused")
}

func take(l *lab.Lab, step anyedit.Step) error {
	var err error
	if len(step.Edits) > 0 {
		_, err = l.Edit(context.Background(), step.Edits, 10*time.Second)
	} else {
		_, err = l.Do(context.Background(), step.Do, 10*time.Second)
	}
	return err
}

// sameAsNew compares a lab with one that takes it over, and with one that is
// made of its export.
func sameAsNew(t *testing.T, l *lab.Lab, store *copyStore) {
	t.Helper()
	l.ForgetDeleted()
	synctest.Wait()
	base, err := topofile.Parse("base.yaml", []byte(anyedit.Base(string(l.Plan().Cloud))))
	require.NoError(t, err)
	again := startFake(t, base, store.copied())
	require.NoError(t, again.Wrong())
	require.Empty(t, lab.Difference(decided(again.Plan()), decided(l.Plan())), "the plan of a lab that was taken over")
	require.Equal(t, l.Edits(), again.Edits())
	require.NoError(t, again.Close(context.Background()))

	text, notes, err := l.Export()
	require.NoError(t, err)
	exported, err := topofile.Parse("base.yaml", text)
	require.NoError(t, err)
	fresh := startFake(t, exported, nil)
	require.NoError(t, fresh.Wrong())
	notes = slices.DeleteFunc(notes, func(n string) bool { return strings.HasPrefix(n, "the connection of ") })
	if len(notes) == 0 {
		is, want := asExported(fresh.Plane().Plan()), asExported(l.Plane().Plan())
		require.Empty(t, lab.Difference(is, want), "the plan of a lab that was made of the export\n%s", text)
	}
	require.NoError(t, fresh.Close(context.Background()))
}

// asExported is a plan without what may be different when it says the same.
func asExported(p *topology.Plan) topology.Plan {
	out := *p
	out.Source, out.Origin, out.Warnings = nil, nil, nil
	out.Services, out.Endpoints = slices.Clone(out.Services), slices.Clone(out.Endpoints)
	for i := range out.Services { // of one that has lost its load balancers
		out.Services[i].Type = ""
	}
	for i := range out.Endpoints {
		out.Endpoints[i].OwnAffinity = false
	}
	out.NATGateways = slices.Clone(out.NATGateways)
	for i := range out.NATGateways {
		g := &out.NATGateways[i]
		g.Entries = slices.Clone(g.Entries)
		for j := range g.Entries { // to a zone that its endpoint has left: nothing passes
			ep, err := p.Endpoint(g.Entries[j].Endpoint)
			if err == nil {
				_, err = ep.Zone(g.Entries[j].Zone)
			}
			if err != nil {
				g.Entries[j].Zone = ""
			}
		}
	}
	return out
}

func startFake(t *testing.T, plan *topology.Plan, store lab.Store) *lab.Lab {
	t.Helper()
	l, err := lab.Start(t.Context(), lab.Config{Plan: plan, Machine: newFakeMachine(), Store: store})
	require.NoError(t, err)
	synctest.Wait()
	return l
}

// failNext lets the next Change fail, or, with nil, lets it be.
func (m *fakeMachine) failNext(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = err
}

// copyStore is a store of which a test can take a copy.
type copyStore struct {
	lab.MemoryStore
	names map[string]bool
}

func (s *copyStore) Save(name string, text []byte) error {
	if s.names == nil {
		s.names = map[string]bool{}
	}
	s.names[name] = true
	return s.MemoryStore.Save(name, text)
}

// seq is the number of the last event in a saved state: health checks make events
// by themselves.
var seq = regexp.MustCompile(`"seq": \d+,`)

func (s *copyStore) texts() map[string]string {
	all := map[string]string{}
	for name := range s.names {
		if name == "health.json" {
			continue // what health checks find changes by itself
		}
		if text, err := s.Load(name); err == nil {
			all[name] = seq.ReplaceAllString(string(text), "")
		}
	}
	return all
}

func (s *copyStore) copied() *copyStore {
	out := &copyStore{names: maps.Clone(s.names)}
	for name, text := range s.texts() {
		_ = out.MemoryStore.Save(name, []byte(text))
	}
	return out
}

// decided is a plan without what it was made of.
func decided(p *topology.Plan) topology.Plan {
	out := *p
	out.Source, out.Origin, out.Warnings = nil, nil, nil
	return out
}
