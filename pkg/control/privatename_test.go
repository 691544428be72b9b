package control_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/topology"
)

func on(endpoint string, value bool) topology.Operation {
	return topology.Operation{Verb: "endpoint-set", Endpoint: endpoint, PrivateDNS: &value}
}

// With a service that does not accept by itself it takes two steps: the
// endpoint is made without the name, and has it after its acceptance.
func TestPrivateDNSIsEnabledAfterTheAcceptance(t *testing.T) {
	plan := market("aws")
	plan.Services[0].PrivateName = &topology.PrivateName{Name: "db.example.com", State: topology.PendingVerification}
	p := newPlane(t, plan)
	refused := func(o topology.Operation, code topology.Refusal, text string) {
		t.Helper()
		_, err := p.Do(o)
		var known *control.Error
		require.ErrorAs(t, err, &known)
		require.Equal(t, code, known.Code)
		require.Equal(t, text, known.Text)
	}
	refused(on("ep1", true), topology.Invalid, `private DNS can't be enabled because endpoint service "svc1" has not verified the private DNS name`)
	plan = market("aws")
	plan.Services[0].PrivateName = &topology.PrivateName{Name: "db.example.com", State: topology.Verified}
	require.NoError(t, p.Apply(plan))
	refused(on("ep1", true), topology.WrongState, `private DNS can only be enabled after the endpoint connection is accepted by the owner of endpoint service "svc1"`)
	did(t, p, "accept svc1 ep1")
	event, err := p.Do(on("ep1", true))
	require.NoError(t, err)
	require.Equal(t, `account "a" changed endpoint "ep1": private DNS on`, event.Text)
	require.True(t, p.State().Plan.Endpoints[0].PrivateDNS)

	did(t, p, "endpoint-create ep2", "accept svc1 ep2")
	refused(on("ep2", true), topology.InUse, "private DNS cannot be enabled because there is already a conflicting DNS domain for db.example.com in the VPC vpc1")
	_, err = p.Do(on("ep1", false))
	require.NoError(t, err)
	_, err = p.Do(on("ep2", true))
	require.NoError(t, err)

	saved, err := p.Save()
	require.NoError(t, err)
	next := newPlane(t, plan)
	require.NoError(t, next.Restore(saved))
	require.False(t, next.State().Plan.Endpoints[0].PrivateDNS)
	require.True(t, next.State().Plan.Endpoints[1].PrivateDNS)
}

func TestPrivateDNSNeedsANameAndACloudThatHasIt(t *testing.T) {
	_, err := newPlane(t, market("aws")).Do(on("ep1", true))
	require.ErrorContains(t, err, `private DNS can't be enabled because endpoint service "svc1" does not provide a private DNS name`)
	_, err = newPlane(t, market("alibaba")).Do(on("ep1", true))
	require.ErrorContains(t, err, "endpoints of alibaba have no private DNS name")
}

func TestAnEndpointsOwnZoneAffinityGoesFirst(t *testing.T) {
	affinity := func(p *control.Plane) bool { return p.State().Plan.Endpoints[0].ZoneAffinity }
	p := newPlane(t, market("alibaba"))
	did(t, p, "service-set svc1 affinity=on")
	require.True(t, affinity(p), "the service's")
	did(t, p, "endpoint-set ep1 affinity=off")
	require.False(t, affinity(p), "its own")
	did(t, p, "service-set svc1 affinity=on")
	require.False(t, affinity(p), "whatever the service does then")

	plan := market("alibaba")
	plan.Endpoints[0].OwnAffinity, plan.Endpoints[0].ZoneAffinity = true, false
	p = newPlane(t, plan)
	did(t, p, "service-set svc1 affinity=on")
	require.False(t, affinity(p), "its own in the file")
}
