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
		for i := range got.Services { // of a service that has lost its load balancers
			got.Services[i].Type = want.Services[i].Type
		}
		require.Equal(t, want.Services, got.Services)
		for i := range got.Endpoints {
			got.Endpoints[i].OwnAffinity = want.Endpoints[i].OwnAffinity
		}
		require.Equal(t, want.Endpoints, got.Endpoints)
		require.Equal(t, want.ServerGroups, got.ServerGroups)
		require.Equal(t, want.NATGateways, got.NATGateways)
	}
}
