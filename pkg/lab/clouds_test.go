package lab_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

// upFile runs a topology without a kernel.
func upFile(t *testing.T, file string) *lab.Lab {
	t.Helper()
	plan, err := topofile.Load(file)
	require.NoError(t, err)
	l, err := lab.Start(t.Context(), lab.Config{Plan: plan, Machine: newFakeMachine()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close(context.Background())) })
	return l
}

func TestWhatCannotBeCreatedIsRefusedInTheCloudsWords(t *testing.T) {
	l := upFile(t, "../../testdata/topologies/aws-nlb.yaml")
	for _, tt := range []struct {
		name, word string
		do         topology.Operation
	}{
		{"no such service", "InvalidServiceName", topology.Operation{Service: "svc9", VPC: "consumer", Subnets: []string{"private-a"}}},
		{"no such VPC", "InvalidVpcID.NotFound", topology.Operation{Service: "svc1", VPC: "vpc9", Subnets: []string{"private-a"}}},
		{"no such subnet", "InvalidSubnetID.NotFound", topology.Operation{Service: "svc1", VPC: "consumer", Subnets: []string{"private-z"}}},
		{"no such group", "InvalidSecurityGroupID.NotFound", topology.Operation{Service: "svc1", VPC: "consumer", Subnets: []string{"private-a"}, SecurityGroups: []string{"none"}}},
		{"a subnet twice", "DuplicateSubnetsInSameZone", topology.Operation{Service: "svc1", VPC: "consumer", Subnets: []string{"private-a", "private-a"}}},
		{"private DNS of a service without a name", "InvalidParameter", topology.Operation{Service: "svc1", VPC: "consumer", Subnets: []string{"private-a"}, PrivateDNS: new(bool)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.do.Verb, tt.do.Endpoint = topology.VerbEndpointCreate, "new"
			if tt.do.PrivateDNS != nil {
				*tt.do.PrivateDNS = true
			}
			_, err := l.Do(t.Context(), tt.do, time.Second)
			var refused *control.Error
			require.ErrorAs(t, err, &refused)
			require.Equal(t, tt.word, refused.Word, "%s", refused.Text)
		})
	}
	_, err := l.Do(t.Context(), topology.Operation{Verb: topology.VerbServiceCreate, Service: "new", LoadBalancers: []string{"nlb9"}}, time.Second)
	var refused *control.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "NetworkLoadBalancerNotFoundException", refused.Word, "%s", refused.Text)
	_, err = l.Do(t.Context(), topology.Operation{Verb: topology.VerbServiceCreate, Service: "new", LoadBalancers: []string{"nlb1"}}, time.Second)
	require.ErrorContains(t, err, "at aws by one alone")
	require.Len(t, l.Plan().Services, 1, "nothing is left of what was refused")
	require.Equal(t, "pendingAcceptance", l.Status().Endpoints[0].EndpointState)
}
