package control_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/plinksim/plinksim/internal/golden"
	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/topology"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func clock() time.Time { return epoch }

// planOf has one service, svc1 of account a with a load balancer in zones h
// and i, and one endpoint, ep1 of account a in both zones.
func planOf(cloud topology.Cloud) *topology.Plan {
	return &topology.Plan{
		Name: "lab", Cloud: cloud, Profile: cloud.Profile(),
		Accounts: []topology.Account{{Name: "a"}, {Name: "b"}},
		Services: []topology.EndpointService{{
			Name: "svc1", Account: "a", Whitelist: []string{"a"},
			Resources: []topology.Resource{{LoadBalancer: "lb1", Zone: "h"}, {LoadBalancer: "lb1", Zone: "i"}},
		}},
		Endpoints: []topology.Endpoint{endpointOf("ep1", "svc1")},
	}
}

func endpointOf(name, service string) topology.Endpoint {
	return topology.Endpoint{
		Name: name, Service: service, Account: "a", VPC: "vpc1",
		Zones: []topology.EndpointZone{{Zone: "h"}, {Zone: "i"}},
	}
}

func newPlane(t require.TestingT, plan *topology.Plan) *control.Plane {
	p, err := control.NewPlane(plan, clock)
	require.NoError(t, err)
	return p
}

func stateOf(t require.TestingT, p *control.Plane) control.Connection {
	c, ok := p.State().Connection("svc1", "ep1")
	require.True(t, ok)
	return c
}

// decide is what a provider says to a connection; account "" is the provider.
func decide(p *control.Plane, verb control.Verb, account, service, endpoint string) error {
	_, err := p.Do(topology.Operation{Verb: verb, As: account, Service: service, Endpoint: endpoint})
	return err
}

// bringTo takes the connection to a state along the ways that users have.
func bringTo(t require.TestingT, p *control.Plane, s control.State) {
	accept := func() { require.NoError(t, decide(p, control.Accept, "", "svc1", "ep1")) }
	reject := func() { require.NoError(t, decide(p, control.Reject, "", "svc1", "ep1")) }
	report := func() { p.Report(p.Revision()) }
	switch s {
	case control.Connecting:
		accept()
	case control.Connected:
		accept()
		report()
	case control.Disconnecting:
		bringTo(t, p, control.Connected)
		reject()
	case control.Disconnected:
		bringTo(t, p, control.Disconnecting)
		report()
	}
	require.Equal(t, s, stateOf(t, p).State)
}

func TestEveryVerbInEveryState(t *testing.T) {
	for _, tt := range []struct {
		cloud topology.Cloud
		from  control.State
		verb  control.Verb
		want  control.State // "" where it is refused
		text  string
		hint  string
	}{
		{"alibaba", control.Wait, control.Accept, control.Connecting, "", ""},
		{"alibaba", control.Wait, control.Reject, "", `the connection of endpoint "ep1" to endpoint service "svc1" is already Disconnected`, "there is nothing to do"},
		{"alibaba", control.Wait, control.Report, control.Wait, "", ""},
		{"alibaba", control.Wait, control.Reset, control.Wait, "", ""},
		{"alibaba", control.Connecting, control.Accept, "", `the connection of endpoint "ep1" to endpoint service "svc1" is already accepted: it is Connecting`, "wait until it is Connected"},
		{"alibaba", control.Connecting, control.Reject, "", `the connection of endpoint "ep1" to endpoint service "svc1" cannot be rejected while it is Connecting`, "wait until it is Connected"},
		{"alibaba", control.Connecting, control.Report, control.Connected, "", ""},
		{"alibaba", control.Connecting, control.Reset, control.Wait, "", ""},
		{"alibaba", control.Connected, control.Accept, "", `the connection of endpoint "ep1" to endpoint service "svc1" is already Connected`, "there is nothing to do"},
		{"alibaba", control.Connected, control.Reject, control.Disconnecting, "", ""},
		{"alibaba", control.Connected, control.Report, control.Connected, "", ""},
		{"alibaba", control.Connected, control.Reset, control.Wait, "", ""},
		{"alibaba", control.Disconnecting, control.Accept, "", `the connection of endpoint "ep1" to endpoint service "svc1" cannot be accepted while it is Disconnecting`, "wait until it is Disconnected"},
		{"alibaba", control.Disconnecting, control.Reject, "", `the connection of endpoint "ep1" to endpoint service "svc1" is already rejected: it is Disconnecting`, "wait until it is Disconnected"},
		{"alibaba", control.Disconnecting, control.Report, control.Disconnected, "", ""},
		{"alibaba", control.Disconnecting, control.Reset, control.Wait, "", ""},
		{"alibaba", control.Disconnected, control.Accept, control.Connecting, "", ""},
		{"alibaba", control.Disconnected, control.Reject, "", `the connection of endpoint "ep1" to endpoint service "svc1" is already Disconnected`, "there is nothing to do"},
		{"alibaba", control.Disconnected, control.Report, control.Disconnected, "", ""},
		{"alibaba", control.Disconnected, control.Reset, control.Wait, "", ""},
		// AWS tells a request that waits from one that was rejected.
		{"aws", control.Wait, control.Reject, control.Disconnected, "", ""},
		{"aws", control.Disconnected, control.Reject, "", `the connection of endpoint "ep1" to endpoint service "svc1" is already rejected`, "there is nothing to do"},
		{"aws", control.Connected, control.Accept, "", `the connection of endpoint "ep1" to endpoint service "svc1" is already available`, "there is nothing to do"},
	} {
		t.Run(string(tt.cloud)+": "+string(tt.verb)+" when "+string(tt.from), func(t *testing.T) {
			p := newPlane(t, planOf(tt.cloud))
			bringTo(t, p, tt.from)
			before := p.State()
			err := do(p, tt.verb)
			if tt.want == "" {
				var refused *control.Error
				require.ErrorAs(t, err, &refused)
				require.Equal(t, topology.WrongState, refused.Code)
				require.Equal(t, tt.text, refused.Text)
				require.Equal(t, tt.hint, refused.Advice())
				require.Equal(t, before, p.State(), "a refusal must change nothing")
				return
			}
			require.NoError(t, err)
			after := stateOf(t, p)
			require.Equal(t, tt.want, after.State)
			require.Equal(t, control.Word(tt.cloud, control.KindConnection, tt.want), after.Status)
			for _, z := range after.Zones {
				require.Equal(t, tt.want, z.State, "a zone goes with its connection")
			}
			if tt.want == tt.from {
				require.Equal(t, before, p.State(), "nothing moved")
			}
		})
	}
}

func do(p *control.Plane, verb control.Verb) error {
	switch verb {
	case control.Accept:
		return decide(p, control.Accept, "a", "svc1", "ep1")
	case control.Reject:
		return decide(p, control.Reject, "a", "svc1", "ep1")
	case control.Report:
		p.Report(p.Revision())
	case control.Reset:
		p.Reset()
	}
	return nil
}

func TestTransitionTable(t *testing.T) {
	golden.Section(t, "../../docs/control-plane.md", "transitions", control.TransitionTables())
}

func TestWhoMayAccept(t *testing.T) {
	plan := planOf("alibaba")
	plan.Services = append(plan.Services, topology.EndpointService{Name: "svc2", Account: "b", Whitelist: []string{"b", "a"}})
	for _, tt := range []struct {
		name                       string
		account, service, endpoint string
		code                       topology.Refusal
		text, hint                 string
		known                      []string
	}{
		{"the service does not exist", "", "svc9", "ep1", topology.NotFound,
			`endpoint service "svc9" does not exist`, `there is "svc1", "svc2"`, []string{"svc1", "svc2"}},
		{"the endpoint does not exist", "", "svc1", "ep9", topology.NotFound,
			`endpoint "ep9" does not exist`, `there is "ep1"`, []string{"ep1"}},
		{"the endpoint is another service's", "", "svc2", "ep1", topology.NotFound,
			`endpoint "ep1" has no connection to endpoint service "svc2"`, `"ep1" is an endpoint of "svc1"`, nil},
		{"the caller does not exist", "c", "svc1", "ep1", topology.NotFound,
			`account "c" does not exist`, `there is "a", "b"`, []string{"a", "b"}},
		{"the caller may not even see the service", "b", "svc1", "ep1", topology.NotWhitelisted,
			`endpoint service "svc1" does not exist to account "b", which is not on its whitelist`, `account "a" may add it: whitelist-add svc1 b`, nil},
		{"the caller does not own the service", "a", "svc2", "ep1", topology.NotFound,
			`endpoint "ep1" has no connection to endpoint service "svc2"`, `"ep1" is an endpoint of "svc1"`, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlane(t, plan)
			err := decide(p, control.Accept, tt.account, tt.service, tt.endpoint)
			var refused *control.Error
			require.ErrorAs(t, err, &refused)
			require.Equal(t, tt.code, refused.Code)
			require.Equal(t, tt.text, err.Error())
			require.Equal(t, tt.hint, refused.Advice())
			require.Equal(t, tt.known, refused.Known)
		})
	}
}

func TestAutoAcceptConnectsAtOnce(t *testing.T) {
	plan := planOf("alibaba")
	plan.Services[0].AutoAccept = true
	p := newPlane(t, plan)
	require.Equal(t, control.Connecting, stateOf(t, p).State)
	require.Equal(t, "lb1", stateOf(t, p).Zones[0].LoadBalancer)
	p.Report(p.Revision())
	require.Equal(t, control.Connected, stateOf(t, p).State)
	p.Reset()
	require.Equal(t, control.Connected, stateOf(t, p).State, "it needs no acceptance, so there is nothing to reset")
}

func TestWhitelistCountsWhenAnEndpointIsMade(t *testing.T) {
	plan := planOf("alibaba")
	plan.Endpoints[0].Account = "b"
	_, err := control.NewPlane(plan, clock)
	require.EqualError(t, err, `endpoint service "svc1" does not exist to account "b", which is not on its whitelist`)
	var refused *control.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, topology.NotWhitelisted, refused.Code)

	plan.Services[0].Whitelist = []string{"a", "b"}
	p := newPlane(t, plan)
	bringTo(t, p, control.Connected)
	later := planOf("alibaba")
	later.Endpoints[0].Account = "b"
	require.NoError(t, p.Apply(later), "leaving the whitelist does not touch the connections that are there")
	require.Equal(t, control.Connected, stateOf(t, p).State)
}

func TestReportOfAnOlderRevisionMovesNothingNewer(t *testing.T) {
	p := newPlane(t, planOf("alibaba"))
	old := p.Revision()
	bringTo(t, p, control.Connecting)
	p.Report(old)
	require.Equal(t, control.Connecting, stateOf(t, p).State)
	p.Report(p.Revision())
	require.Equal(t, control.Connected, stateOf(t, p).State)
	settled := p.Revision()
	p.Report(settled)
	require.Equal(t, settled, p.Revision(), "reporting what is so already is no change")
}

// What was connecting is carried already when it is connected. What was disconnecting is
// called otherwise in answers, and a new look is needed.
func TestReportSaysWhatIsInForce(t *testing.T) {
	p := newPlane(t, planOf("alibaba"))
	bringTo(t, p, control.Connecting)
	connecting := p.Revision()
	require.Equal(t, connecting+1, p.Report(connecting))
	require.Equal(t, control.Connected, stateOf(t, p).State)
	require.NoError(t, p.WaitApplied(t.Context(), p.Revision()))

	require.NoError(t, decide(p, control.Reject, "", "svc1", "ep1"))
	disconnecting := p.Revision()
	require.Equal(t, disconnecting, p.Report(disconnecting))
	require.Equal(t, control.Disconnected, stateOf(t, p).State)
	require.Equal(t, disconnecting+1, p.Report(p.Revision()))

	bringTo(t, p, control.Connecting)
	old := p.Revision()
	require.NoError(t, p.Apply(planOf("alibaba")))
	require.Equal(t, old, p.Report(old), "another change is not in force yet")
}

func TestChangedWakesOnceForSeveralChanges(t *testing.T) {
	p := newPlane(t, planOf("alibaba"))
	<-p.Changed()
	require.Empty(t, p.Changed())
	bringTo(t, p, control.Connected)
	<-p.Changed()
	require.Empty(t, p.Changed())
}

func TestApply(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*topology.Plan)
		want   map[string]control.State // by endpoint
		zones  map[string]control.State // of ep1
	}{
		{"the same plan changes nothing", func(*topology.Plan) {},
			map[string]control.State{"ep1": control.Connected}, map[string]control.State{"h": control.Connected, "i": control.Connected}},
		{"a new endpoint starts to wait",
			func(p *topology.Plan) { p.Endpoints = append(p.Endpoints, endpointOf("ep2", "svc1")) },
			map[string]control.State{"ep1": control.Connected, "ep2": control.Wait}, nil},
		{"an endpoint that is gone takes its connection with it",
			func(p *topology.Plan) { p.Endpoints = nil }, map[string]control.State{}, nil},
		{"an endpoint in another VPC is another endpoint",
			func(p *topology.Plan) { p.Endpoints[0].VPC = "vpc9" }, map[string]control.State{"ep1": control.Wait}, nil},
		{"a service of another owner is another service",
			func(p *topology.Plan) { p.Services[0].Account = "b" }, map[string]control.State{"ep1": control.Wait}, nil},
		{"a zone that is gone leaves the others alone",
			func(p *topology.Plan) { p.Endpoints[0].Zones = p.Endpoints[0].Zones[1:] },
			map[string]control.State{"ep1": control.Connected}, map[string]control.State{"i": control.Connected}},
		{"a new zone of a connected endpoint connects",
			func(p *topology.Plan) {
				p.Services[0].Resources = append(p.Services[0].Resources, topology.Resource{LoadBalancer: "lb1", Zone: "j"})
				p.Endpoints[0].Zones = append(p.Endpoints[0].Zones, topology.EndpointZone{Zone: "j"})
			},
			map[string]control.State{"ep1": control.Connected},
			map[string]control.State{"h": control.Connected, "i": control.Connected, "j": control.Connecting}},
		{"auto accept set later leaves the connection alone",
			func(p *topology.Plan) { p.Services[0].AutoAccept = true }, map[string]control.State{"ep1": control.Connected}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlane(t, planOf("alibaba"))
			bringTo(t, p, control.Connected)
			plan := planOf("alibaba")
			tt.change(plan)
			require.NoError(t, p.Apply(plan))
			got := map[string]control.State{}
			for _, c := range p.State().Connections {
				got[c.Endpoint] = c.State
			}
			require.Equal(t, tt.want, got)
			if tt.zones != nil {
				zones := map[string]control.State{}
				for _, z := range stateOf(t, p).Zones {
					zones[z.Zone] = z.State
				}
				require.Equal(t, tt.zones, zones)
				p.Report(p.Revision())
				for _, z := range stateOf(t, p).Zones {
					require.Equal(t, control.Connected, z.State)
					require.Equal(t, "lb1", z.LoadBalancer)
				}
			}
		})
	}
}

// An object that the file had for later is there when the file says so, and can be
// changed like any other; and the other way round.
func TestApplyCreatesAndDeletesWhatTheFileHadForLater(t *testing.T) {
	later := planOf(topology.AWS)
	later.Services[0].Absent, later.Endpoints[0].Absent = true, true
	p := newPlane(t, later)
	require.Empty(t, p.State().Endpoints)
	require.NoError(t, p.Apply(planOf(topology.AWS)))
	for _, object := range append(p.State().Services, p.State().Endpoints...) {
		require.Equal(t, control.Active, object.State, object.Name)
	}
	text := "new"
	_, err := p.Do(topology.Operation{Verb: topology.VerbEndpointSet, Endpoint: "ep1", Description: &text})
	require.NoError(t, err)
	_, err = p.Do(topology.Operation{Verb: topology.VerbServiceSet, Service: "svc1", Description: &text})
	require.NoError(t, err)
	saved, err := p.Save()
	require.NoError(t, err)
	require.NoError(t, newPlane(t, planOf(topology.AWS)).Restore(saved))

	require.NoError(t, p.Apply(later))
	require.Empty(t, p.State().Endpoints)
	_, err = p.Do(topology.Operation{Verb: topology.VerbServiceCreate, Service: "svc1"})
	require.NoError(t, err)
	_, err = p.Do(topology.Operation{Verb: topology.VerbEndpointCreate, Endpoint: "ep1"})
	require.NoError(t, err)
}

func TestApplyThatIsRefusedChangesNothing(t *testing.T) {
	p := newPlane(t, planOf("alibaba"))
	before, events := p.State(), p.Events(0)
	plan := planOf("alibaba")
	plan.Endpoints = append(plan.Endpoints, endpointOf("ep2", "svc9"))
	require.EqualError(t, p.Apply(plan), `endpoint service "svc9" does not exist`)
	require.Equal(t, before, p.State())
	require.Equal(t, events, p.Events(0))
}

func TestEachZoneIsPinnedToOneOfTheResources(t *testing.T) {
	plan := planOf("alibaba")
	plan.Services[0].AutoAccept = true
	plan.Services[0].Resources = []topology.Resource{
		{LoadBalancer: "lb1", Zone: "h"}, {LoadBalancer: "lb2", Zone: "h"}, {LoadBalancer: "lb1", Zone: "i"},
	}
	for i := range 40 {
		plan.Endpoints = append(plan.Endpoints, endpointOf(fmt.Sprint("ep", i+2), "svc1"))
	}
	pins := func(p *control.Plane) (h, i []string) {
		for _, c := range p.State().Connections {
			h, i = append(h, c.Zones[0].LoadBalancer), append(i, c.Zones[1].LoadBalancer)
		}
		return h, i
	}
	p := newPlane(t, plan)
	h, i := pins(p)
	require.Contains(t, h, "lb1")
	require.Contains(t, h, "lb2", "they take one at random")
	require.NotContains(t, i, "lb2")
	again, _ := pins(newPlane(t, plan))
	require.Equal(t, h, again, "the same file gives the same lab")

	smaller := *plan
	smaller.Services = []topology.EndpointService{plan.Services[0]}
	smaller.Services[0].Resources = plan.Services[0].Resources[1:]
	require.NoError(t, p.Apply(&smaller))
	h, _ = pins(p)
	require.NotContains(t, h, "lb1", "a zone leaves a resource that the service no longer offers")
	require.NoError(t, p.Apply(plan))
	h, _ = pins(p)
	require.NotContains(t, h, "lb1", "a pinned zone stays where it is")
}

func TestEventsTellTheStory(t *testing.T) {
	p := newPlane(t, planOf("alibaba"))
	bringTo(t, p, control.Disconnected)
	p.Observe(control.Event{Kind: "server", Name: "rs1/ecs2", Verb: "check", From: "healthy", To: "unhealthy", Text: `server "ecs2" is unhealthy`})
	p.Reset()
	var story []string
	for i, e := range p.Events(0) {
		require.EqualValues(t, i+1, e.Seq)
		require.Equal(t, epoch, e.Time)
		story = append(story, e.From+" > "+e.To+": "+e.Text)
	}
	require.Equal(t, []string{
		` > Disconnected: endpoint "ep1" asks for a connection to endpoint service "svc1"`,
		`Disconnected > Connecting: account "a" accepted the connection of endpoint "ep1" to endpoint service "svc1"`,
		`Connecting > Connected: the connection of endpoint "ep1" to endpoint service "svc1" is Connected`,
		`Connected > Disconnecting: account "a" rejected the connection of endpoint "ep1" to endpoint service "svc1"`,
		`Disconnecting > Disconnected: the connection of endpoint "ep1" to endpoint service "svc1" is Disconnected`,
		`healthy > unhealthy: server "ecs2" is unhealthy`,
		`Disconnected > Disconnected: the connection of endpoint "ep1" to endpoint service "svc1" waits for its provider again`,
	}, story)
	require.Len(t, p.Events(5), 2)
	require.Empty(t, p.Events(100))
}

func TestSubscribe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlane(t, planOf("alibaba"))
		ctx, cancel := context.WithCancel(t.Context())
		slow, quick := p.Subscribe(ctx, 0), p.Subscribe(ctx, 1)
		bringTo(t, p, control.Connected) // nobody has read yet
		for want := uint64(2); want <= 3; want++ {
			require.Equal(t, want, (<-quick).Seq)
		}
		for want := uint64(1); want <= 3; want++ {
			require.Equal(t, want, (<-slow).Seq)
		}
		require.NoError(t, decide(p, control.Reject, "", "svc1", "ep1"))
		require.Equal(t, control.Reject, (<-quick).Verb)
		cancel()
		synctest.Wait()
		_, open := <-quick
		require.False(t, open)
	})
}

func TestHistoryIsBounded(t *testing.T) {
	p := newPlane(t, planOf("alibaba"))
	for range 2 * control.HistoryLimit {
		p.Observe(control.Event{})
	}
	events := p.Events(0)
	require.LessOrEqual(t, len(events), control.HistoryLimit)
	require.EqualValues(t, 2*control.HistoryLimit+1, events[len(events)-1].Seq)
	require.Len(t, p.Events(events[len(events)-3].Seq), 2)
}

func TestWaitApplied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlane(t, planOf("alibaba"))
		bringTo(t, p, control.Connected)
		p.Report(p.Revision())
		revision := p.Reset()
		done := make(chan error, 1)
		go func() { done <- p.WaitApplied(t.Context(), revision) }()
		synctest.Wait()
		require.Empty(t, done)
		p.Report(revision)
		require.NoError(t, <-done)
		require.Equal(t, control.Wait, stateOf(t, p).State)

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, p.WaitApplied(ctx, revision+1), context.DeadlineExceeded)
	})
}

func TestSaveAndRestore(t *testing.T) {
	for _, s := range []control.State{control.Wait, control.Connecting, control.Connected, control.Disconnecting, control.Disconnected} {
		t.Run("a restarted plane is "+string(s)+" again", func(t *testing.T) {
			before := newPlane(t, planOf("alibaba"))
			bringTo(t, before, s)
			text, err := before.Save()
			require.NoError(t, err)

			after := newPlane(t, planOf("alibaba"))
			require.NoError(t, after.Restore(text))
			require.Equal(t, before.State().Connections, after.State().Connections)
			last := before.Events(0)[len(before.Events(0))-1].Seq
			require.Equal(t, last+1, after.Events(0)[0].Seq, "events are numbered on")
			require.Equal(t, control.Restore, after.Events(0)[0].Verb)
		})
	}
}

func TestRestoreIntoAnotherPlan(t *testing.T) {
	before := newPlane(t, planOf("alibaba"))
	bringTo(t, before, control.Connected)
	text, err := before.Save()
	require.NoError(t, err)

	plan := planOf("alibaba")
	plan.Endpoints = []topology.Endpoint{endpointOf("ep2", "svc1")}
	after := newPlane(t, plan)
	require.NoError(t, after.Restore(text))
	require.Len(t, after.State().Connections, 1)
	require.Equal(t, control.Wait, after.State().Connections[0].State)
}

// What was saved before there was a version is who was accepted.
func TestRestoreOfTheFirstVersion(t *testing.T) {
	p := newPlane(t, planOf("alibaba"))
	require.NoError(t, p.Restore([]byte(`{"seq":7,"connections":[{"service":"svc1","endpoint":"ep1","account":"a","vpc":"vpc1","state":"Connected",
		"since":"2026-01-02T03:04:05Z","zones":[{"zone":"h","state":"Connected","load_balancer":"lb1"},{"zone":"i","state":"Connected","load_balancer":"lb1"}]}]}`)))
	require.Equal(t, "ep1 Connected 0 Mbit/s, h Connected lb1, i Connected lb1", connections(p))
	require.EqualValues(t, 8, p.Events(0)[0].Seq)
}

func TestRestoreRefusesWhatItCannotRead(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"a newer version", `{"version":9}`, "read the saved state: its version is 9, and this plinksim knows 1"},
		{"a service without a state", `{"version":1,"services":{"svc1":{"owner":"a"}}}`, `read the saved state: endpoint service "svc1" has no state that is known`},
		{"an endpoint with an unknown state", `{"version":1,"endpoints":{"ep1":{"owner":"a/vpc1","state":"Lost"}}}`, `read the saved state: endpoint "ep1" has no state that is known`},
		{"no JSON", "{", "read the saved state: unexpected end of JSON input"},
		{"an unknown state", `{"connections":[{"service":"svc1","endpoint":"ep1","state":"Lost"}]}`,
			`read the saved state: connection "svc1/ep1" has no state "Lost"`},
		{"an unknown state of a zone", `{"connections":[{"service":"svc1","endpoint":"ep1","state":"Wait","zones":[{"zone":"h"}]}]}`,
			`read the saved state: zone "h" of connection "svc1/ep1" has no state ""`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlane(t, planOf("alibaba"))
			before := p.State()
			require.EqualError(t, p.Restore([]byte(tt.text)), tt.want)
			require.Equal(t, before, p.State())
		})
	}
}

// TestAnyHistory drives a plane with random calls: the zones never disagree
// with their connection, what is open is pinned, revisions and events only
// grow, and a report always settles everything.
func TestAnyHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newPlane(t, planOf(rapid.SampledFrom([]topology.Cloud{"alibaba", "aws"}).Draw(t, "cloud")))
		revision, seq := p.Revision(), uint64(0)
		t.Repeat(map[string]func(*rapid.T){
			"accept": func(*rapid.T) { _ = decide(p, control.Accept, "", "svc1", "ep1") },
			"reject": func(*rapid.T) { _ = decide(p, control.Reject, "", "svc1", "ep1") },
			"reset":  func(*rapid.T) { p.Reset() },
			"report": func(*rapid.T) {
				p.Report(p.Revision())
				s := stateOf(t, p).State
				require.NotContains(t, []control.State{control.Connecting, control.Disconnecting}, s)
			},
			"restart": func(*rapid.T) {
				text, err := p.Save()
				require.NoError(t, err)
				p = newPlane(t, planOf(cloudOf(p)))
				require.NoError(t, p.Restore(text))
				revision = 0
			},
			"": func(*rapid.T) {
				c := stateOf(t, p)
				for _, z := range c.Zones {
					require.Equal(t, c.State, z.State)
					require.True(t, !z.State.Open() || z.LoadBalancer == "lb1")
				}
				require.GreaterOrEqual(t, p.Revision(), revision)
				revision = p.Revision()
				for _, e := range p.Events(seq) {
					require.Equal(t, seq+1, e.Seq)
					seq = e.Seq
				}
			},
		})
	})
}

func cloudOf(p *control.Plane) topology.Cloud {
	if s := p.State().Connections[0]; s.Status == control.Word("aws", control.KindConnection, s.State) {
		return "aws"
	}
	return "alibaba"
}

func TestManyCallersAtOnce(t *testing.T) {
	p := newPlane(t, planOf("alibaba"))
	ctx, cancel := context.WithCancel(t.Context())
	var callers, readers sync.WaitGroup
	readers.Go(func() {
		var last uint64
		for e := range p.Subscribe(ctx, 0) {
			if e.Seq != last+1 {
				t.Errorf("event %d came after %d", e.Seq, last)
			}
			last = e.Seq
		}
	})
	for range 4 {
		callers.Go(func() {
			for range 200 {
				_ = decide(p, control.Accept, "", "svc1", "ep1")
				p.Report(p.State().Revision)
				_ = decide(p, control.Reject, "", "svc1", "ep1")
				p.Report(p.State().Revision)
			}
		})
	}
	callers.Wait()
	cancel()
	readers.Wait()
}
