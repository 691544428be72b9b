package lab_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

// diary is a store that knows what it had after each Save.
type diary struct {
	lab.MemoryStore
	mu    sync.Mutex
	files map[string][]byte
	saved []string            // the names, with a minus where a file was removed
	after []map[string][]byte // what there was after each
}

func (d *diary) Save(name string, text []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.files == nil {
		d.files = map[string][]byte{}
	}
	if text == nil {
		delete(d.files, name)
		d.saved = append(d.saved, "-"+name)
	} else {
		d.files[name] = text
		d.saved = append(d.saved, name)
	}
	d.after = append(d.after, maps.Clone(d.files))
	return d.MemoryStore.Save(name, text)
}

func (d *diary) saves() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.saved)
}

// rebuilt is a machine that notes whether it was mended, or made from nothing.
type rebuilt struct {
	*fakeMachine
	fromNothing, mended bool
}

func (m *rebuilt) Mend(ctx context.Context, plan, half *topology.Plan, progress lab.Progress) error {
	m.mended = true
	return m.fakeMachine.Change(ctx, half, plan, progress)
}

func (m *rebuilt) Change(ctx context.Context, old, plan *topology.Plan, progress lab.Progress) error {
	m.fromNothing = m.fromNothing || old == nil
	return m.fakeMachine.Change(ctx, old, plan, progress)
}

// A lab that is killed after any of the files that a change writes is taken over as
// it is, and mended where the kill came while the machine changed.
func TestAKillWhileAPlanIsKeptRebuildsNothing(t *testing.T) {
	file, err := topofile.Load(scenario)
	require.NoError(t, err)
	changed, err := topofile.Parse(scenario, []byte(strings.Replace(string(file.Source), "\nvpcs:\n",
		"\nvpcs:\n  more: {cidr: 10.9.0.0/16, subnets: {a: {zone: eu-central-1b, cidr: 10.9.0.0/24}}}\n", 1)))
	require.NoError(t, err)
	require.Len(t, changed.VPCs, len(file.VPCs)+1)
	store := &diary{}
	l, err := lab.Start(t.Context(), lab.Config{Plan: file, Machine: newFakeMachine(), Store: store})
	require.NoError(t, err)
	begun := store.saves()
	_, err = l.Apply(t.Context(), changed, func(int, int, string) {})
	require.NoError(t, err)
	_, err = l.Edit(t.Context(), []topology.Edit{{Path: "vpcs/more/mtu", Value: "1400"}}, 10*time.Second)
	require.NoError(t, err)
	require.NoError(t, l.Close(context.Background()))
	require.Contains(t, store.saved[begun:], "topology.yaml")

	between, kills := false, 0
	for i, name := range store.saved {
		switch name {
		case "changing":
			between = true
		case "topology.edits":
			between = false
		}
		if i < begun {
			continue
		}
		found := &diary{}
		for name, text := range store.after[i] {
			require.NoError(t, found.Save(name, text))
		}
		machine := &rebuilt{fakeMachine: newFakeMachine()}
		next, err := lab.Start(t.Context(), lab.Config{Plan: changed, Machine: machine, Store: found})
		require.NoError(t, err)
		require.NoError(t, next.Close(context.Background()))
		require.False(t, machine.fromNothing, "a kill after %s", store.saved[begun:i+1])
		require.Equal(t, between, machine.mended, "a kill after %s", store.saved[begun:i+1])
		kills++
	}
	require.Greater(t, kills, 10)
}

// What was changed and cannot be put in force is changed: the topology, the edits and
// the control plane go together, the error says so, and the next change puts it in force.
func TestAnEditThatIsNotInForceIsMade(t *testing.T) {
	plan, err := topofile.Load("../../testdata/topologies/alibaba-reverse.yaml")
	require.NoError(t, err)
	machine, store := newFakeMachine(), &lab.MemoryStore{}
	l, err := lab.Start(t.Context(), lab.Config{Plan: plan, Machine: machine, Store: store})
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close(context.Background())) }()
	gateway := plan.NATGateways[0]
	domain := topology.JoinPath("nat_gateways", gateway.Name, "full_nat", gateway.Entries[0].Name, "domain")
	machine.failHosts(errors.New("no room"))
	made, err := l.Edit(t.Context(), []topology.Edit{{Path: domain, Value: "other.example.com"}}, 10*time.Second)
	var late *lab.NotInForceError
	require.ErrorAs(t, err, &late)
	require.ErrorContains(t, err, "no room")
	require.Len(t, made, 1)
	require.Len(t, l.Edits(), 1)
	require.Equal(t, "other.example.com", l.Plan().NATGateways[0].Entries[0].Domain)
	require.Equal(t, "other.example.com", l.Plane().Plan().NATGateways[0].Entries[0].Domain)

	machine.failHosts(nil)
	_, err = l.Edit(t.Context(), []topology.Edit{{Path: "vpcs/provider/mtu", Value: "1400"}}, 10*time.Second)
	require.NoError(t, err)
	require.NoError(t, l.Wrong())
	require.True(t, slices.ContainsFunc(machine.hostNames(), func(n topology.HostName) bool {
		return n.Name == "other.example.com"
	}))
	next, err := lab.Start(t.Context(), lab.Config{Plan: plan, Machine: newFakeMachine(), Store: store})
	require.NoError(t, err)
	require.Len(t, next.Edits(), 2)
	require.NoError(t, next.Close(context.Background()))
}
