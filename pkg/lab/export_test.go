package lab_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

// A lab after any operations is what a new one makes of its export.
func TestAnExportIsTheLabAsItIs(t *testing.T) {
	text := "of the shop"
	no, five := false, 500
	weight := 7
	for _, tt := range []struct {
		file string
		do   []topology.Operation
	}{
		{"alibaba-clb.yaml", []topology.Operation{
			{Verb: topology.VerbServiceSet, Service: "svc1", Description: &text, ZoneAffinity: &no, Bandwidth: &five},
			{Verb: topology.VerbEndpointCreate, Endpoint: "ep2", Service: "svc1", VPC: "vpc1", Subnets: []string{"vsw1"}},
			{Verb: topology.VerbEndpointSet, Endpoint: "ep2", Description: &text},
			{Verb: topology.VerbGroupAdd, Endpoint: "ep2", SecurityGroup: "sg1"},
			{Verb: topology.VerbGroupRemove, Endpoint: "ep1", SecurityGroup: "sg1"},
			{Verb: topology.VerbServerWeight, ServerGroup: "rs1", Server: "ecs2:80", Weight: &weight},
			{Verb: topology.VerbServerDeregister, ServerGroup: "rs1", Server: "ecs3:80"},
			{Verb: topology.VerbServerRegister, ServerGroup: "rs1", Server: "ecs3:8080"},
			{Verb: topology.VerbZoneRemove, Endpoint: "ep1", Zone: "eu-central-1b"},
			{Verb: topology.VerbEndpointDelete, Endpoint: "ep1"},
			{Verb: topology.VerbServiceCreate, Service: "svc2", LoadBalancers: []string{"clb1"}},
			{Verb: topology.VerbDetach, Service: "svc2", Resource: "clb1", Zone: "eu-central-1b"},
		}},
		{"alibaba-clb-cross-account.yaml", []topology.Operation{
			{Verb: topology.VerbWhitelistAdd, Service: "svc1", Account: topology.Everybody},
		}},
	} {
		l := upFile(t, "../../testdata/topologies/"+tt.file)
		for _, o := range tt.do {
			_, err := l.Do(t.Context(), o, 10*time.Second)
			require.NoError(t, err, "%s", o)
		}
		exported, _, err := l.Export()
		require.NoError(t, err)
		plan, err := topofile.Parse("exported.yaml", exported)
		require.NoError(t, err, "%s", exported)
		fresh, err := lab.Start(t.Context(), lab.Config{Plan: plan, Machine: newFakeMachine()})
		require.NoError(t, err)
		want, got := l.Plane().State().Plan, fresh.Plane().State().Plan
		require.NoError(t, fresh.Close(context.Background()))
		require.Equal(t, want.Services, got.Services)
		for i := range got.Endpoints {
			got.Endpoints[i].OwnAffinity = want.Endpoints[i].OwnAffinity
		}
		require.Equal(t, want.Endpoints, got.Endpoints)
		require.Equal(t, want.ServerGroups, got.ServerGroups)
		require.Equal(t, want.NATGateways, got.NATGateways)
	}
}

// A NAT gateway that was deleted is not in the export, unless a service of the
// file offers it.
func TestAnExportHasNoGatewayThatWasDeleted(t *testing.T) {
	l := upFile(t, "../../testdata/topologies/alibaba-reverse.yaml")
	_, err := l.Edit(t.Context(), []topology.Edit{
		{Path: "nat_gateways/ngw2", Value: "{type: FullNat, vpc: provider, subnet: vsw-provider}"},
	}, 10*time.Second)
	require.NoError(t, err)
	_, err = l.Do(t.Context(), topology.Operation{Verb: topology.VerbGatewayDelete, NATGateway: "ngw2"}, 10*time.Second)
	require.NoError(t, err)
	text, notes, err := l.Export()
	require.NoError(t, err)
	require.Empty(t, notes)
	require.NotContains(t, string(text), "ngw2")
}

// A connection keeps the bandwidth that it was made with, also in the export.
func TestAnExportHasTheBandwidthOfConnections(t *testing.T) {
	l := upFile(t, "../../testdata/topologies/alibaba-clb-auto-accept.yaml")
	service, endpoint := l.Plan().Services[0].Name, l.Plan().Endpoints[0].Name
	before := l.Plane().Plan().Endpoints[0].Impairments
	five := 500
	_, err := l.Do(t.Context(), topology.Operation{Verb: topology.VerbServiceSet, Service: service, Bandwidth: &five}, 10*time.Second)
	require.NoError(t, err)
	exported := func() topology.Impairments {
		text, _, err := l.Export()
		require.NoError(t, err)
		plan, err := topofile.Parse("exported.yaml", text)
		require.NoError(t, err)
		require.Equal(t, five, plan.Services[0].Bandwidth)
		return plan.Endpoints[0].Impairments
	}
	require.Equal(t, before, exported(), "as it was when the connection was made")
	_, err = l.Edit(t.Context(), []topology.Edit{
		{Path: topology.JoinPath("endpoints", endpoint, "impairments"), Value: "{to_provider: {bandwidth: 100Mbit}, to_consumer: {bandwidth: 200Mbit}}"},
	}, 10*time.Second)
	require.NoError(t, err)
	require.Equal(t, l.Plane().Plan().Endpoints[0].Impairments, exported())
	_, err = l.Do(t.Context(), topology.Operation{Verb: topology.VerbBandwidth, Service: service, Endpoint: endpoint, Bandwidth: &five}, 10*time.Second)
	require.NoError(t, err)
	require.Equal(t, l.Plane().Plan().Endpoints[0].Impairments, exported())
}

// An endpoint stays when its account is taken off the whitelist, also in the export.
func TestAnExportHasEndpointsFromBeforeAWhitelistChanged(t *testing.T) {
	l := upFile(t, "../../testdata/topologies/alibaba-clb-cross-account.yaml")
	do := func(o topology.Operation) {
		t.Helper()
		_, err := l.Do(t.Context(), o, 10*time.Second)
		require.NoError(t, err)
	}
	do(topology.Operation{Verb: topology.VerbWhitelistAdd, Service: "svc1", Account: "a"})
	do(topology.Operation{Verb: topology.VerbEndpointCreate, Endpoint: "ep1"})
	do(topology.Operation{Verb: topology.VerbWhitelistRemove, Service: "svc1", Account: "a"})
	text, notes, err := l.Export()
	require.NoError(t, err)
	require.Len(t, notes, 1)
	require.Contains(t, notes[0], "is from before it was taken off")
	plan, err := topofile.Parse("exported.yaml", text)
	require.NoError(t, err)
	require.Contains(t, plan.Services[0].Whitelist, "a")
	require.False(t, plan.Endpoints[0].Absent)
}
