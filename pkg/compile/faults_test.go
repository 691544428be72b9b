package compile

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/dataplane"
	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
)

// faultyPlan has one endpoint in two zones, and what its file says of it.
func faultyPlan(cloud topology.Cloud) *topology.Plan {
	eni := func(owner, zone string) topology.ENI {
		return topology.ENI{Name: owner + "@" + zone, Device: owner + zone, Zone: zone}
	}
	file := topology.Impairment{Bandwidth: 100e6, Loss: 0.01}
	return &topology.Plan{
		Cloud: cloud, Profile: cloud.Profile(),
		VPCs: []topology.VPC{{Subnets: []topology.Subnet{{Zone: "a"}, {Zone: "b"}}}},
		Endpoints: []topology.Endpoint{{
			Name: "ep1", Impairments: topology.Impairments{ToProvider: file, ToConsumer: file, Seed: 3},
			Zones: []topology.EndpointZone{{Zone: "a", ENI: eni("ep1", "a")}, {Zone: "b", ENI: eni("ep1", "b")}},
		}},
		LoadBalancers: []topology.LoadBalancer{{Name: "lb1", Nodes: []topology.Node{{Zone: "a", ENI: eni("lb1", "a")}}}},
	}
}

var faultyNumbers = Numbers{"ep1a": 1, "ep1b": 2, "lb1a": 3}

func shapingOf(f *Faults, plan *topology.Plan) dataplane.Shaping {
	var d Desired
	f.Impose(&d, plan, faultyNumbers)
	return d.Dataplane.Shaping
}

func TestWhatIsSetIsMergedAndTheRestStaysAsItIs(t *testing.T) {
	plan, f := faultyPlan("alibaba"), NewFaults()
	seed := uint64(8)
	file := topology.Impairment{Bandwidth: 100e6, Loss: 0.01}
	want := dataplane.ShapedLink{Name: "ep1", ENIs: []packet.ENI{1, 2}, Seed: 3, ToProvider: file, ToConsumer: file}
	for _, step := range []struct {
		does   string
		change status.FaultChange
		then   func()
	}{
		{"nothing yet", status.FaultChange{}, func() {}},
		{"a delay in both directions", status.FaultChange{Set: map[string]string{"delay": "10ms"}},
			func() { want.ToProvider.Delay, want.ToConsumer.Delay = 10*time.Millisecond, 10*time.Millisecond }},
		{"no loss in one", status.FaultChange{To: status.ToConsumer, Set: map[string]string{"loss": "0"}},
			func() { want.ToConsumer.Loss = 0 }},
		{"a bandwidth and a seed", status.FaultChange{To: status.ToProvider, Set: map[string]string{"bandwidth": "1Gbit"}, Seed: &seed},
			func() { want.ToProvider.Bandwidth, want.Seed = 1e9, 8 }},
		{"another delay", status.FaultChange{To: status.ToProvider, Set: map[string]string{"delay": "0s", "corrupt": "2%"}},
			func() { want.ToProvider.Delay, want.ToProvider.Corrupt = 0, 0.02 }},
	} {
		if step.change.Set != nil {
			require.NoError(t, f.change(plan.Endpoints[0], step.change), step.does)
		}
		step.then()
		require.Equal(t, []dataplane.ShapedLink{want}, shapingOf(f, plan).Links, step.does)
	}

	for _, c := range []status.FaultChange{
		{},
		{To: "both", Set: map[string]string{"loss": "1%"}},
		{Set: map[string]string{"loss": "2"}},
		{Set: map[string]string{"horses": "1"}},
		{Set: map[string]string{"delay": "-1s"}},
		{Set: map[string]string{"bandwidth": "1Gbit", "jitter": "1s"}},
	} {
		require.Error(t, f.change(plan.Endpoints[0], c), "%v", c)
		require.Equal(t, []dataplane.ShapedLink{want}, shapingOf(f, plan).Links, "a refusal changes nothing")
	}
}

func TestABandwidthIsThatOfAConnectionAndAtAWSOfEachZone(t *testing.T) {
	var names []string
	for _, l := range shapingOf(NewFaults(), faultyPlan("aws")).Links {
		require.Len(t, l.ENIs, 1)
		require.EqualValues(t, 100e6, l.ToProvider.Bandwidth)
		names = append(names, l.Name)
	}
	require.Equal(t, []string{"ep1@a", "ep1@b"}, names)
}

func TestAZoneThatIsDownTakesItsInterfacesWithIt(t *testing.T) {
	plan, f := faultyPlan("alibaba"), NewFaults()
	f.zones["a"] = true
	f.enis["ep1@b"] = dataplane.Blackhole
	var d Desired
	f.Impose(&d, plan, faultyNumbers)
	require.Equal(t, map[packet.ENI]dataplane.Fault{1: dataplane.Down, 2: dataplane.Blackhole, 3: dataplane.Down}, d.Dataplane.Shaping.Faults)
}

func TestAReferenceNamesAZoneAnInterfaceOrAllOfAnOwner(t *testing.T) {
	plan := faultyPlan("alibaba")
	for _, tt := range []struct {
		ref, zone string
		enis      []string
	}{
		{ref: "a", zone: "a"},
		{ref: "ep1", enis: []string{"ep1@a", "ep1@b"}},
		{ref: "ep1@b", enis: []string{"ep1@b"}},
		{ref: "lb1", enis: []string{"lb1@a"}},
	} {
		zone, enis, err := faulty(plan, tt.ref)
		require.NoError(t, err)
		require.Equal(t, tt.zone, zone)
		require.Equal(t, tt.enis, enis)
	}
	_, _, err := faulty(plan, "ep2")
	var refused *control.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, []string{"a", "b", "ep1@a", "ep1@b", "lb1@a"}, refused.Known)
}

func TestFaultsThatWereSavedAreSetAgain(t *testing.T) {
	plan, f := faultyPlan("alibaba"), NewFaults()
	seed := uint64(9)
	require.NoError(t, f.change(plan.Endpoints[0], status.FaultChange{To: status.ToConsumer, Set: map[string]string{"delay": "1s", "loss": "2%"}, Seed: &seed}))
	f.zones["b"], f.enis["ep1@a"], f.enis["lb1@a"] = true, dataplane.Blackhole, dataplane.Down
	text, err := f.Save()
	require.NoError(t, err)
	again, err := LoadFaults(text)
	require.NoError(t, err)
	require.Equal(t, shapingOf(f, plan), shapingOf(again, plan))
	require.NoError(t, again.change(plan.Endpoints[0], status.FaultChange{Set: map[string]string{"delay": "2s"}}), "and changed")
	for _, bad := range []string{"", "{", `{"version": 2}`} {
		_, err := LoadFaults([]byte(bad))
		require.Error(t, err, bad)
	}
	odd, err := LoadFaults([]byte(`{"version": 1, "endpoints": {"ep1": {"to_provider": {"horses": "1"}}}, "enis": {"ep1@a": "on fire"}}`))
	require.NoError(t, err)
	require.Equal(t, shapingOf(NewFaults(), plan), shapingOf(odd, plan), "what cannot be is forgotten")
}

func TestFaultsOfWhatAChangedFileHasNoMoreAreForgotten(t *testing.T) {
	plan, f := faultyPlan("alibaba"), NewFaults()
	require.NoError(t, f.change(plan.Endpoints[0], status.FaultChange{Set: map[string]string{"delay": "1s", "jitter": "500ms"}}))
	f.zones["a"], f.enis["lb1@a"] = true, dataplane.Down
	f.forget(plan)
	require.Len(t, f.ways, 1)
	require.Len(t, f.zones, 1)
	require.Len(t, f.enis, 1)
	f.forget(&topology.Plan{})
	require.Equal(t, NewFaults(), f)
}
