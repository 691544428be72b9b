package topofile

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/topology"
)

func TestAdditions(t *testing.T) {
	ep2 := topology.Operation{Verb: "endpoint-create", Endpoint: "ep2", Service: "svc1", VPC: "vpc1", Subnets: []string{"h1"}, SecurityGroups: []string{"web"}}
	svc2 := topology.Operation{Verb: "service-create", Service: "svc2", LoadBalancers: []string{"nlb1"}}
	for _, tt := range []struct {
		name string
		file string
	}{
		{"a file that has both", small},
		{"a file without endpoints", strings.Split(small, "endpoints:\n  ep1")[0]},
		{"a file with empty endpoints", strings.Split(small, "  ep1: {")[0]},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before, err := Parse("small.yaml", []byte(tt.file))
			require.NoError(t, err)
			a, ok := AdditionOf(ep2)
			require.True(t, ok)
			b, ok := AdditionOf(svc2)
			require.True(t, ok)
			after, err := With(before, []topology.Addition{a, b})
			require.NoError(t, err)

			ep, err := after.Endpoint("ep2")
			require.NoError(t, err)
			require.True(t, ep.Absent, "it is there when somebody has created it")
			require.Equal(t, "svc1", ep.Service)
			require.Equal(t, []string{"web"}, ep.SecurityGroups)
			svc, err := after.Service("svc2")
			require.NoError(t, err)
			require.True(t, svc.Absent)
			require.Equal(t, "b", svc.Account)
			if ep1, err := before.Endpoint("ep1"); err == nil {
				same, err := after.Endpoint("ep1")
				require.NoError(t, err)
				require.Equal(t, ep1, same, "what was there is as it was")
			}
			again, err := With(before, []topology.Addition{a, b})
			require.NoError(t, err)
			require.Equal(t, string(after.Source), string(again.Source))
			none, err := With(before, nil)
			require.NoError(t, err)
			require.Same(t, before, none)
		})
	}
	_, ok := AdditionOf(topology.Operation{Verb: "endpoint-create", Endpoint: "ep1"})
	require.False(t, ok, "the file has it")
	_, ok = AdditionOf(topology.Operation{Verb: "accept", Service: "svc1", Endpoint: "ep1"})
	require.False(t, ok)
}

func TestAnAdditionIsHeldToTheRulesOfTheFile(t *testing.T) {
	plan, err := Parse("small.yaml", []byte(small))
	require.NoError(t, err)
	for want, o := range map[string]topology.Operation{
		`endpoint "ep2": there is no subnet "i2"`:                                   {Verb: "endpoint-create", Endpoint: "ep2", Service: "svc1", VPC: "vpc1", Subnets: []string{"i2"}},
		`endpoint "ep2" asks for zone cn-hangzhou-i, which endpoint service "svc1"`: {Verb: "endpoint-create", Endpoint: "ep2", Service: "svc1", VPC: "vpc1", Subnets: []string{"i1"}},
		`endpoints.ep2 has no vpc`:                                                  {Verb: "endpoint-create", Endpoint: "ep2", Service: "svc1", Subnets: []string{"i1"}},
		`name "Ep2" in endpoints must be`:                                           {Verb: "endpoint-create", Endpoint: "Ep2", Service: "svc1", VPC: "vpc1", Subnets: []string{"h1"}},
		`key "ep1" is given twice`:                                                  {Verb: "endpoint-create", Endpoint: "ep1", Service: "svc1", VPC: "vpc1", Subnets: []string{"h1"}},
		`endpoint service "svc2": there is no load balancer "nlb9"`:                 {Verb: "service-create", Service: "svc2", LoadBalancers: []string{"nlb9"}},
	} {
		a, ok := AdditionOf(o)
		require.True(t, ok)
		_, err := With(plan, []topology.Addition{a})
		require.ErrorContains(t, err, want)
	}
}
