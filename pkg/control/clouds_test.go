package control_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/topology"
)

// grown is the market after somebody gave lb1 another zone in the file.
func grown(cloud topology.Cloud) *topology.Plan {
	plan := market(cloud)
	plan.LoadBalancers[0].Nodes = append(plan.LoadBalancers[0].Nodes, topology.Node{Zone: "j"})
	plan.Services[0].Resources = append(plan.Services[0].Resources, topology.Resource{LoadBalancer: "lb1", Zone: "j"})
	return plan
}

func offered(p *control.Plane) (zones []string) {
	for _, r := range p.State().Plan.Services[0].Resources {
		zones = append(zones, r.Zone)
	}
	return zones
}

func TestAZoneThatALoadBalancerGainsIsOfferedWhenTheServiceIsModified(t *testing.T) {
	p := newPlane(t, market(topology.AWS))
	require.NoError(t, p.Apply(grown(topology.AWS)))
	require.Equal(t, []string{"h", "i"}, offered(p))
	_, err := p.Do(op(t, "endpoint-create far"))
	require.ErrorContains(t, err, `endpoint "far" asks for zone "j", which endpoint service "svc1" does not offer`)

	// A daemon that takes the lab over knows it too.
	saved, err := p.Save()
	require.NoError(t, err)
	next := newPlane(t, grown(topology.AWS))
	require.NoError(t, next.Restore(saved))
	require.Equal(t, []string{"h", "i"}, offered(next))

	event, err := next.Do(op(t, "service-set svc1"))
	require.NoError(t, err, "ModifyVpcEndpointServiceConfiguration with the service's ID alone")
	require.Equal(t, `account "b" changed endpoint service "svc1": it offers lb1@j`, event.Text)
	require.Equal(t, []string{"h", "i", "j"}, offered(next))
	did(t, next, "endpoint-create far")
	_, err = next.Do(op(t, "service-set svc1"))
	require.ErrorContains(t, err, "nothing of endpoint service")

	p = newPlane(t, market(topology.Alibaba))
	require.NoError(t, p.Apply(grown(topology.Alibaba)))
	require.Equal(t, []string{"h", "i", "j"}, offered(p), "what a file of alibaba lists is attached")
}

func TestALoadBalancerMayBeOfASecondServiceOnceTheFirstIsGone(t *testing.T) {
	plan := market(topology.AWS)
	plan.Services[2].Resources = []topology.Resource{{LoadBalancer: "lb1", Zone: "h"}}
	plan.Quotas = topology.Quotas{}
	p := newPlane(t, plan)
	_, err := p.Do(op(t, "service-create svc3"))
	require.ErrorContains(t, err, `load balancer "lb1" is offered by endpoint service "svc1", and at aws by one alone`)
	did(t, p, "reject svc1 ep1", "service-delete svc1", "service-create svc3")
}

func TestAChangedFileCannotOfferWhatAServiceThatAnOperationCreatedOffers(t *testing.T) {
	plan := func(second bool) *topology.Plan {
		plan := market(topology.AWS)
		plan.Quotas = topology.Quotas{}
		plan.Endpoints = nil
		plan.Services[0].Absent = true // as far as the file knows
		if second {
			plan.Services[2].Absent = false
			plan.Services[2].Resources = []topology.Resource{{LoadBalancer: "lb1", Zone: "h"}}
		}
		return plan
	}
	p := newPlane(t, plan(false))
	did(t, p, "service-create svc1")
	before := p.State()
	require.ErrorContains(t, p.Apply(plan(true)),
		`load balancer "lb1" is offered by endpoint service "svc1", and at aws by one alone`)
	require.Equal(t, before, p.State())
	did(t, p, "service-delete svc1")
	require.NoError(t, p.Apply(plan(true)))
}

func TestAnEndpointIsNotCreatedWithPrivateDNSWhereItsAcceptanceIsAskedFor(t *testing.T) {
	plan := market(topology.AWS)
	plan.Services[0].PrivateName = &topology.PrivateName{Name: "db.example.com", State: topology.Verified}
	plan.Endpoints[1].PrivateDNS = true
	p := newPlane(t, plan)
	_, err := p.Do(op(t, "endpoint-create ep2"))
	var refused *control.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "InvalidParameter", refused.Word)
	require.Contains(t, refused.Text, "can only be enabled after the endpoint connection is accepted")
	did(t, p, "service-set svc1 auto=on", "endpoint-create ep2")
	require.True(t, p.State().Plan.Endpoints[1].PrivateDNS)
}

func TestPrivateDNSNeedsBothDNSAttributesOfTheVPC(t *testing.T) {
	plan := market(topology.AWS)
	plan.Services[0].PrivateName = &topology.PrivateName{Name: "db.example.com", State: topology.Verified}
	for _, change := range []func(*topology.VPC){
		func(v *topology.VPC) { v.DNSHostnames = false },
		func(v *topology.VPC) { v.Resolvers = nil },
	} {
		plan := *plan
		plan.VPCs = append([]topology.VPC{}, plan.VPCs...)
		change(&plan.VPCs[0])
		p := newPlane(t, &plan)
		did(t, p, "accept svc1 ep1")
		_, err := p.Do(on("ep1", true))
		var refused *control.Error
		require.ErrorAs(t, err, &refused)
		require.Equal(t, "InvalidParameter", refused.Word)
		require.Contains(t, refused.Text, "requires both enableDnsSupport and enableDnsHostnames")
	}
}

func TestEveryRefusalOfPrivateDNSIsAnInvalidParameter(t *testing.T) {
	plan := market(topology.AWS)
	plan.Services[0].PrivateName = &topology.PrivateName{Name: "db.example.com", State: topology.Verified}
	p := newPlane(t, plan)
	words := func() string {
		_, err := p.Do(on("ep2", true))
		var refused *control.Error
		require.ErrorAs(t, err, &refused)
		return refused.Word
	}
	did(t, p, "endpoint-create ep2")
	require.Equal(t, "InvalidParameter", words(), "not accepted")
	did(t, p, "accept svc1 ep1", "accept svc1 ep2")
	_, err := p.Do(on("ep1", true))
	require.NoError(t, err)
	require.Equal(t, "InvalidParameter", words(), "another endpoint has the name")
	plan.Services[0].PrivateName = &topology.PrivateName{Name: "db.example.com", State: topology.PendingVerification}
	require.NoError(t, p.Apply(plan))
	require.Equal(t, "InvalidParameter", words(), "not verified")
}

func TestAnEndpointOfAWSHasOneState(t *testing.T) {
	for _, tt := range []struct {
		endpoint, connection control.State
		want                 string
	}{
		{control.Active, control.Wait, "pendingAcceptance"},
		{control.Creating, control.Wait, "pendingAcceptance"},
		{control.Active, control.Connecting, "pending"},
		{control.Active, control.Connected, "available"},
		{control.Pending, control.Connected, "pending"},
		{control.Pending, control.Wait, "pendingAcceptance"},
		{control.Active, control.Disconnected, "rejected"},
		{control.Active, control.ServiceDeleted, "failed"},
		{control.Deleting, control.Deleting, "deleting"},
	} {
		e := control.Object{State: tt.endpoint, Status: control.Word(topology.AWS, control.KindEndpoint, tt.endpoint)}
		require.Equal(t, tt.want, control.EndpointWord(topology.AWS, e, control.Connection{State: tt.connection}))
	}
}

func TestAWSHasNoRuleOfDescriptions(t *testing.T) {
	for cloud, refused := range map[topology.Cloud]bool{topology.AWS: false, topology.Alibaba: true} {
		p := newPlane(t, market(cloud))
		for _, text := range []string{"service-set svc1 about=x", "endpoint-set ep1 about=x"} {
			_, err := p.Do(op(t, text))
			require.Equal(t, refused, err != nil, "%s at %s: %v", text, cloud, err)
		}
	}
}
