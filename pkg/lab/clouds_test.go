package lab_test

import (
	"context"
	"errors"
	"io/fs"
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

// Nobody sees in a file that an operation attached a load balancer: whoever deletes that is
// told, whether by an edit, on trial or in earnest, or by a changed file.
func TestALoadBalancerThatAnOperationAttachedIsNotDeleted(t *testing.T) {
	l := upFile(t, "../../testdata/topologies/alibaba-clb.yaml")
	clb2 := []topology.Edit{{Path: "load_balancers/clb2", Value: "{type: clb, vpc: vpc2, subnets: [vsw2], listeners: []}"}}
	gone := []topology.Edit{{Path: "load_balancers/clb2"}}
	edit := func(edits []topology.Edit) error {
		_, err := l.Edit(t.Context(), edits, 10*time.Second)
		return err
	}
	do := func(verb topology.Verb) {
		_, err := l.Do(t.Context(), topology.Operation{Verb: verb, Service: "svc1", Resource: "clb2"}, 10*time.Second)
		require.NoError(t, err)
	}
	file := l.Plan()
	require.NoError(t, edit(clb2))
	do(topology.VerbAttach)
	const why = `load balancer "clb2" is offered by endpoint service "svc1"`
	var refused *control.Error
	require.ErrorAs(t, edit(gone), &refused)
	require.Equal(t, topology.InUse, refused.Code)
	require.Equal(t, why, refused.Text)
	require.Equal(t, "detach it first: detach svc1 clb2", refused.Advice())
	_, err := l.LookAtEdits(gone, nil)
	require.ErrorContains(t, err, why)
	edited, err := topofile.Parse("topology.yaml", []byte(textOf(t, l.Plan())+"# changed\n"))
	require.NoError(t, err)
	_, err = l.Apply(t.Context(), edited, func(int, int, string) {})
	require.NoError(t, err, "a file that has it")
	_, err = l.Apply(t.Context(), file, func(int, int, string) {})
	require.ErrorContains(t, err, why, "a file that has it no more")
	_, err = l.Plan().LoadBalancer("clb2")
	require.NoError(t, err)
	do(topology.VerbDetach)
	require.NoError(t, edit(gone))
}

// An edit that operations made impossible is refused before anything is made of it.
func TestAnEditThatIsRefusedMakesNothing(t *testing.T) {
	plan, err := topofile.Load("../../testdata/topologies/alibaba-clb-cross-account.yaml")
	require.NoError(t, err)
	machine, store := newFakeMachine(), &lab.MemoryStore{}
	l, err := lab.Start(t.Context(), lab.Config{Plan: plan, Machine: machine, Store: store})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close(context.Background())) })
	service, endpoint := plan.Services[0], plan.Endpoints[0]
	_, err = l.Edit(t.Context(), []topology.Edit{{Path: "endpoint_services/svc1/whitelist", Value: "[a]"}}, 10*time.Second)
	require.NoError(t, err)
	_, err = l.Do(t.Context(), topology.Operation{Verb: topology.VerbWhitelistRemove, Service: service.Name,
		Account: endpoint.Account}, 10*time.Second)
	require.NoError(t, err)
	provider := plan.LoadBalancers[0]
	machine.failNext(errors.New("the machine was asked")) // which no refusal is
	_, err = l.Edit(t.Context(), []topology.Edit{
		{Path: "server_groups/web", Value: "{vpc: " + provider.VPC + ", protocol: http, servers: []}"},
		{Path: "load_balancers/alb9", Value: "{type: alb, vpc: " + provider.VPC + ", subnets: [" +
			provider.Nodes[0].ENI.Subnet + "], listeners: [{protocol: https, port: 443, server_group: web}]}"},
		{Path: "endpoints/ep9", Value: "{service: " + service.Name + ", vpc: " + endpoint.VPC + ", subnets: []}"},
	}, 10*time.Second)
	var refused *control.Error
	require.ErrorAs(t, err, &refused)
	_, err = store.Load("ca-key.pem")
	require.ErrorIs(t, err, fs.ErrNotExist)
}
