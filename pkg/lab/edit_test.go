package lab_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Whatever is edited in whatever order: a refusal leaves the lab as it was, and
// what there is in the end is what a new lab makes of the same edits.
func TestAnyEditsAreAllOrNothing(t *testing.T) {
	base, err := topofile.Load(scenario)
	require.NoError(t, err)
	rapid.Check(t, func(t *rapid.T) {
		machine, store := newFakeMachine(), &lab.MemoryStore{}
		l, err := lab.Start(context.Background(), lab.Config{Plan: base, Machine: machine, Store: store})
		require.NoError(t, err)
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			edits := rapid.SliceOfN(rapid.Custom(drawEdit), 1, 3).Draw(t, "edits")
			before, sockets := l.Plan(), machine.open()
			broken := rapid.IntRange(0, 9).Draw(t, "broken") == 0
			if broken {
				machine.mu.Lock()
				machine.fail = errors.New("no room")
				machine.mu.Unlock()
			}
			_, err := l.Edit(context.Background(), edits, 10*time.Second)
			machine.mu.Lock()
			machine.fail = nil
			machine.mu.Unlock()
			if err == nil {
				continue
			}
			var refused *control.Error
			require.True(t, errors.As(err, &refused) || broken, "%v", err)
			require.Equal(t, textOf(t, before), textOf(t, l.Plan()))
			require.Equal(t, sockets, machine.open(), "the same programs listen")
		}
		source, changes := textOf(t, l.Plan()), l.Edits()
		require.NoError(t, l.Close(context.Background()))

		again, err := lab.Start(context.Background(), lab.Config{Plan: base, Machine: newFakeMachine(), Store: store})
		require.NoError(t, err)
		require.Equal(t, changes, again.Edits())
		require.Equal(t, source, textOf(t, again.Plan()), "a lab that was taken over")
		require.NoError(t, again.Close(context.Background()))
		edited, err := topofile.Parse(scenario, []byte(source))
		require.NoError(t, err)
		fresh, err := lab.Start(context.Background(), lab.Config{Plan: edited, Machine: newFakeMachine()})
		require.NoError(t, err)
		require.NoError(t, fresh.Close(context.Background()))
	})
}

// drawEdit draws an edit of a few objects, so that edits meet each other.
func drawEdit(t *rapid.T) topology.Edit {
	n := rapid.IntRange(3, 5).Draw(t, "n")
	templates := []topology.Edit{
		{Path: fmt.Sprintf("vpcs/vpc%d", n), Value: fmt.Sprintf("{cidr: 10.%d.0.0/16, subnets: {a: {zone: eu-central-1b, cidr: 10.%d.0.0/24}}}", n, n)},
		{Path: fmt.Sprintf("vpcs/vpc%d", n)},
		{Path: fmt.Sprintf("vpcs/vpc%d/instances/i1", n), Value: "{subnet: a, services: [{http: 80}]}"},
		{Path: fmt.Sprintf("vpcs/vpc%d/instances/i1", n)},
		{Path: fmt.Sprintf("vpcs/vpc%d/security_groups/web/ingress", n), Value: "[]"},
		{Path: fmt.Sprintf("vpcs/vpc1/security_groups/web%d", n), Value: "{ingress: [{protocol: tcp, source: 0.0.0.0/0}]}"},
		{Path: fmt.Sprintf("vpcs/vpc1/security_groups/web%d/ingress/-", n), Value: "{protocol: udp, source: 0.0.0.0/0}"},
		{Path: fmt.Sprintf("vpcs/vpc1/security_groups/web%d/ingress/protocol=udp", n)},
		{Path: fmt.Sprintf("vpcs/vpc1/security_groups/web%d", n)},
		{Path: fmt.Sprintf("endpoints/ep%d", n), Value: "{service: svc1, vpc: vpc1, subnets: [vsw1]}"},
		{Path: fmt.Sprintf("endpoints/ep%d/security_groups", n), Value: fmt.Sprintf("[web%d]", n)},
		{Path: fmt.Sprintf("endpoints/ep%d", n)},
		{Path: "load_balancers/clb1/listeners/-", Value: fmt.Sprintf("{protocol: tcp, port: %d, server_group: rs1}", 80+n)},
		{Path: fmt.Sprintf("load_balancers/clb1/listeners/port=%d", 80+n)},
		{Path: "endpoint_services/svc1/auto_accept", Value: fmt.Sprint(n > 3)},
		{Path: "endpoint_services/svc1"},
		{Path: "server_groups/rs1/servers/instance=ecs3"},
		{Path: "server_groups/rs1/servers/-", Value: "{instance: ecs3, port: 80, weight: 100}"},
	}
	return rapid.SampledFrom(templates).Draw(t, "edit")
}

// Whatever is printed as an identifier is taken for a name.
func TestIdentifiersStandForNames(t *testing.T) {
	l := upFile(t, "../../testdata/topologies/alibaba-clb.yaml")
	service, endpoint := l.Plan().Services[0], l.Plan().Endpoints[0]
	owner, err := l.Plan().Account(service.Account)
	require.NoError(t, err)
	for _, name := range []string{service.ID, service.ServiceName} {
		for _, verb := range []topology.Verb{topology.VerbAccept, topology.VerbReject} {
			_, err := l.Do(t.Context(), topology.Operation{Verb: verb, Service: name, Endpoint: endpoint.ID, As: owner.ID}, 10*time.Second)
			require.NoError(t, err)
		}
	}
	_, err = l.StatusFor(owner.ID)
	require.NoError(t, err)
	client := l.Plan().VPCs[0].Instances[0]
	_, err = l.Client(client.ID)
	require.NoError(t, err)
	domain, err := l.Plan().Lookup(endpoint.ID)
	require.NoError(t, err)
	require.Equal(t, endpoint.Domain, domain)
	_, err = l.Plan().Lookup(endpoint.ID + ".ip")
	require.NoError(t, err)
	_, err = l.Plan().Lookup("ep-gw8none.ip")
	require.ErrorContains(t, err, `there is no endpoint, load balancer or instance "ep-gw8none"`)
}

func TestEditsThatRunAtOnceAllCount(t *testing.T) {
	l, _ := upFake(t, nil)
	const n = 20
	failed := make(chan error, n)
	for i := range n {
		go func() {
			_, err := l.Edit(t.Context(), []topology.Edit{{
				Path: fmt.Sprintf("vpcs/more%d", i), Value: "{cidr: 10.0.0.0/16, subnets: {a: {zone: eu-central-1b, cidr: 10.0.0.0/24}}}",
			}}, 10*time.Second)
			failed <- err
		}()
	}
	for range n {
		require.NoError(t, <-failed)
	}
	require.Len(t, l.Plan().VPCs, 2+n)
	require.Len(t, l.Edits(), n)
}

// An edit that says what it was made for is made while that is so: of many that count a
// value up at once, each counts once, and whoever comes late is told what there is.
func TestAnEditIsMadeForWhatItWasMeant(t *testing.T) {
	l, _ := upFake(t, nil)
	const path, n = "vpcs/vpc1/tags/count", 5
	edit := func(was, value string) error {
		_, err := l.EditBy(t.Context(), lab.Editor{If: map[string]string{path: was}}, []topology.Edit{{Path: path, Value: value}}, 10*time.Second)
		return err
	}
	failed := make(chan error, n)
	for range n {
		go func() {
			was, value := "", `"1"`
			for {
				err := edit(was, value)
				var refused *control.Error
				if !errors.As(err, &refused) {
					failed <- err
					return
				}
				for _, c := range l.Edits() {
					if c.Path == "vpcs/vpc1/tags" || c.Path == path {
						var count int
						fmt.Sscanf(c.Value[strings.IndexAny(c.Value, "0123456789"):], "%d", &count)
						was, value = fmt.Sprintf("%q", fmt.Sprint(count)), fmt.Sprintf("%q", fmt.Sprint(count+1))
					}
				}
			}
		}()
	}
	for range n {
		require.NoError(t, <-failed)
	}
	require.NoError(t, edit(fmt.Sprintf("'%d'", n), `"0"`), "in whatever style")
	var refused *control.Error
	require.ErrorAs(t, edit(`"7"`, `"8"`), &refused)
	require.Equal(t, topology.WrongState, refused.Code)
	require.Contains(t, refused.Text, path+" is not what it was when the edit was made for it: nothing was changed")
	require.Contains(t, refused.Hint, `it is "0" now`)
	require.ErrorAs(t, edit("", `"8"`), &refused)
	require.NoError(t, edit(`"0"`, ""))
	require.ErrorAs(t, edit(`"0"`, `"8"`), &refused)
	require.Contains(t, refused.Hint, "it is gone by now")
	before := l.Edits()
	_, err := l.LookAtEdits([]topology.Edit{{Path: path, Value: `"8"`}}, map[string]string{path: `"0"`})
	require.ErrorAs(t, err, &refused)
	require.Equal(t, before, l.Edits())
	id := topology.JoinPath("vpcs", l.Plan().VPCs[0].ID, "tags", "count")
	_, err = l.LookAtEdits([]topology.Edit{{Path: path, Value: `"8"`}}, map[string]string{id: ""})
	require.NoError(t, err, "identifiers stand for names there, too")
}

// textOf is the file of a plan.
func textOf(t require.TestingT, plan *topology.Plan) string {
	text, err := topofile.TextOf(plan)
	require.NoError(t, err)
	return string(text)
}
