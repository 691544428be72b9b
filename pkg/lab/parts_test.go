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
		_, err := store.Load("state.json")
		require.ErrorIs(t, err, fs.ErrNotExist)
		require.NoError(t, store.Save("state.json", nil), "there is nothing to remove")
		text := []byte("one")
		require.NoError(t, store.Save("state.json", text))
		text[0] = 'x'
		got, err := store.Load("state.json")
		require.NoError(t, err)
		require.Equal(t, "one", string(got))
		require.NoError(t, store.Save("state.json", []byte{}))
		got, err = store.Load("state.json")
		require.NoError(t, err, "an empty text is there")
		require.Empty(t, got)
		require.NoError(t, store.Save("state.json", nil))
		_, err = store.Load("state.json")
		require.ErrorIs(t, err, fs.ErrNotExist)
	}
}

// What is edited is kept while it fits the file, and what fails leaves no trace.
func TestAFileIsEdited(t *testing.T) {
	base, err := topofile.Parse("saved.yaml", []byte(offered))
	require.NoError(t, err)
	edit := []topology.Edit{{Path: "endpoints/ep2", Value: "{service: svc1, vpc: vpc1, subnets: [vsw1]}"}}
	var saved []topology.Change
	runs, refuse := base, error(nil)
	f, err := newFileState(base, nil, func(c []topology.Change) { saved = c }, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	replace := func(_ context.Context, plan *topology.Plan, _ func()) (bool, error) {
		if refuse == nil {
			runs = plan
		}
		return refuse == nil, refuse
	}
	has := func() bool { _, err := runs.Endpoint("ep2"); return err == nil }
	try := func(then func() error) error { _, err := f.edit(t.Context(), edit, replace, then); return err }

	refuse = errors.New("no room")
	require.ErrorIs(t, try(nothingMore), refuse)
	refuse = nil
	denied := errors.New("denied")
	require.ErrorIs(t, try(func() error { return denied }), denied)
	require.False(t, has(), "it was taken back")
	require.Empty(t, saved)

	require.NoError(t, try(nothingMore))
	require.True(t, has())
	require.Equal(t, []topology.Change{{Edit: edit[0]}}, saved)
	_, err = f.apply(t.Context(), base, replace)
	require.NoError(t, err)
	require.True(t, has(), "the file comes again, and what was edited stays")

	back, err := f.putAside(t.Context(), replace)
	require.NoError(t, err)
	require.False(t, has())
	require.ErrorContains(t, try(nothingMore), "cannot be edited while its checks run")
	require.NoError(t, back())
	require.True(t, has())

	require.NoError(t, f.forget(t.Context(), "endpoints/ep1", nil, replace), "which the file has")
	require.Len(t, runs.Endpoints, 2)
	gone := false
	isGone := func() bool { return gone }
	require.NoError(t, f.forget(t.Context(), "endpoints/ep2", isGone, replace))
	require.True(t, has(), "somebody has made it again")
	gone = true
	require.NoError(t, f.forget(t.Context(), "endpoints/ep2", isGone, replace))
	require.False(t, has())
	require.Empty(t, saved)
}

// A file that says something new about the same thing is right; the other
// edits stay, as far as they fit.
func TestAFileGoesBeforeEdits(t *testing.T) {
	base, err := topofile.Parse("saved.yaml", []byte(offered))
	require.NoError(t, err)
	made := []topology.Change{
		{Edit: topology.Edit{Path: "endpoints/ep1", Value: "{service: svc1, vpc: vpc1, subnets: [vsw1], exists: false}"}},
		{Edit: topology.Edit{Path: "endpoint_services/svc1/auto_accept", Value: "true"}},
		{Edit: topology.Edit{Path: "vpcs/vpc1/cidr", Value: "172.16.0.0/16"}, Was: "10.0.0.0/16"},
		{Edit: topology.Edit{Path: "vpcs/vpc9/cidr", Value: "172.16.0.0/16"}},
	}
	f, err := newFileState(base, made, nil, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.Equal(t, made[1:2], f.doc.Since(f.base))
	require.True(t, f.plan.Services[0].AutoAccept)
	require.False(t, f.plan.Endpoints[0].Absent)
}

// A zone that was never in the answers cannot leave them.
func TestZonesLeaveTheAnswersAndComeBack(t *testing.T) {
	zone := func(up bool) []compile.Answered {
		return []compile.Answered{{Zone: &topology.EndpointZone{Zone: "a", ENI: topology.ENI{Name: "ep1@a"}}, Up: up, Why: "down"}}
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
