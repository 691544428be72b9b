package lab

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/compile"
	"github.com/plinksim/plinksim/pkg/labdir"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

func TestStoresAreAlike(t *testing.T) {
	for _, store := range []Store{&MemoryStore{}, labdir.Dir(t.TempDir())} {
		_, err := store.Load("a")
		require.ErrorIs(t, err, fs.ErrNotExist)
		require.NoError(t, store.Save("a", nil), "there is nothing to remove")
		text := []byte("one")
		require.NoError(t, store.Save("a", text))
		text[0] = 'x'
		got, err := store.Load("a")
		require.NoError(t, err)
		require.Equal(t, "one", string(got))
		require.NoError(t, store.Save("a", []byte{}))
		got, err = store.Load("a")
		require.NoError(t, err, "an empty text is there")
		require.Empty(t, got)
		require.NoError(t, store.Save("a", nil))
		_, err = store.Load("a")
		require.ErrorIs(t, err, fs.ErrNotExist)
	}
}

// What is added to a file is kept while it fits, and what fails leaves no trace.
func TestWhatIsAddedToAFile(t *testing.T) {
	base, err := topofile.Parse("saved.yaml", []byte(offered))
	require.NoError(t, err)
	ep2, ok := topofile.AdditionOf(topology.Operation{
		Verb: topology.VerbEndpointCreate, Endpoint: "ep2", Service: "svc1", VPC: "vpc1", Subnets: []string{"vsw1"},
	})
	require.True(t, ok)
	var saved []topology.Addition
	runs, refuse := base, error(nil)
	f := newFileState(base, nil, func(a []topology.Addition) { saved = a }, slog.New(slog.DiscardHandler))
	replace := func(_ context.Context, plan *topology.Plan) (bool, error) {
		if refuse == nil {
			runs = plan
		}
		return true, refuse
	}
	has := func() bool { _, err := runs.Endpoint("ep2"); return err == nil }
	create := func() error { return nil }

	refuse = errors.New("no room")
	require.ErrorIs(t, f.add(t.Context(), ep2, replace, create), refuse)
	refuse = nil
	denied := errors.New("denied")
	require.ErrorIs(t, f.add(t.Context(), ep2, replace, func() error { return denied }), denied)
	require.False(t, has(), "it was taken back")
	require.Empty(t, saved)

	require.NoError(t, f.add(t.Context(), ep2, replace, create))
	require.True(t, has())
	require.Len(t, saved, 1)
	require.ErrorContains(t, f.add(t.Context(), ep2, replace, create), `"ep2" is in the topology of the lab already`)

	_, err = f.apply(t.Context(), base, replace)
	require.NoError(t, err)
	require.True(t, has(), "the file comes again, and what was added stays")

	require.NoError(t, f.forget(t.Context(), "endpoints", "ep1", replace), "which was never added")
	require.True(t, has())
	require.NoError(t, f.forget(t.Context(), ep2.Key, ep2.Name, replace))
	require.False(t, has())
	require.Empty(t, saved)
}

// A zone that was never in the answers cannot leave them.
func TestZonesLeaveTheAnswersAndComeBack(t *testing.T) {
	zone := func(up bool) []compile.Answered {
		return []compile.Answered{{Zone: topology.EndpointZone{Zone: "a", ENI: topology.ENI{Name: "ep1@a"}}, Up: up, Why: "down"}}
	}
	var state map[string]answerState
	for _, step := range []struct {
		now  []compile.Answered
		want string
	}{
		{zone(false), ""}, {zone(true), ""}, {zone(true), ""}, {zone(false), "leave"}, {zone(false), ""},
		{zone(true), "return"}, {nil, ""}, {zone(false), ""},
	} {
		next, events := changedAnswers(state, step.now)
		got := ""
		for _, e := range events {
			got += string(e.Verb)
		}
		require.Equal(t, step.want, got)
		state = next
	}
}

// A number is of one ENI for ever: sessions may remember it.
func TestNumbersAreNeverGivenAgain(t *testing.T) {
	plan := func(devices ...string) *topology.Plan {
		p := &topology.Plan{LoadBalancers: []topology.LoadBalancer{{}}}
		for _, d := range devices {
			node := topology.Node{ENI: topology.ENI{Name: "lb@" + d, Device: d}}
			p.LoadBalancers[0].Nodes = append(p.LoadBalancers[0].Nodes, node)
		}
		return p
	}
	var n numbering
	require.Equal(t, compile.Numbers{"a": 1, "b": 2}, n.add(plan("a", "b")))
	require.Equal(t, compile.Numbers{"a": 1, "b": 2, "c": 3}, n.add(plan("c")))
	require.Equal(t, compile.Numbers{"a": 1, "b": 2, "c": 3}, n.add(plan("b")))
	require.Equal(t, "lb@b", n.names(plan("b"))[2])
}

func TestWhatRunsIsStartedOnceAndStoppedByItsKey(t *testing.T) {
	var r running[int]
	started := 0
	start := func() (int, error) { started++; return started, nil }
	for range 2 {
		got, err := r.getOrStart("a", start)
		require.NoError(t, err)
		require.Equal(t, 1, got)
	}
	failed := errors.New("failed")
	_, err := r.getOrStart("b", func() (int, error) { return 0, failed })
	require.ErrorIs(t, err, failed)
	require.Equal(t, map[string]int{"a": 1}, r.all())
	r.put("c", 3)
	require.Equal(t, []int{1}, r.removeOthers(map[string]bool{"c": true}))
	require.Equal(t, 3, r.get("c"))
}
