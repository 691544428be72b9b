package control_test

import (
	"fmt"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Whatever is done on one plane, of whatever plan, and however much of it another one
// misses: what that one adopts makes it what a new plane is that restores it, and its
// events lead from one state to the other.
func TestAnyAdoptedStateIsARestoredOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cloud := rapid.SampledFrom([]topology.Cloud{topology.Alibaba, topology.AWS, topology.RFC}).Draw(t, "cloud")
		plans := map[string]*topology.Plan{"whole": market(cloud), "less": market(cloud)}
		plans["less"].Endpoints = plans["less"].Endpoints[:1]
		plan := plans["whole"]
		leader, other := newPlane(t, plan), newPlane(t, plan)
		one := func(name string, of ...string) string { return rapid.SampledFrom(of).Draw(t, name) }
		t.Repeat(map[string]func(*rapid.T){
			"do":     func(t *rapid.T) { _, _ = leader.Do(anyOperation(t)) },
			"report": func(*rapid.T) { leader.Report(leader.Revision()) },
			"drained": func(*rapid.T) {
				leader.Drained("svc1", "ep1", one("zone", "h", "i"), one("resource", "lb1", "lb2"))
			},
			"reset": func(*rapid.T) { leader.Reset() },
			"plan": func(*rapid.T) {
				next := plans[one("plan", "whole", "less")]
				if leader.Apply(next) == nil {
					plan = next
				}
			},
			"adopt": func(*rapid.T) {
				before, revision := words(other), other.Revision()
				text, err := leader.Save()
				require.NoError(t, err)
				events, err := other.Adopt(plan, text)
				require.NoError(t, err)
				require.Greater(t, other.Revision(), revision)
				restored := newPlane(t, plan)
				require.NoError(t, restored.Restore(text))
				require.Equal(t, words(restored), follow(before, events), "events lead there")
				for range 2 { // as it is, and after a report, which moves what is on its way
					is, want := other.State(), restored.State()
					is.Revision, want.Revision = 0, 0
					require.Equal(t, want, is)
					require.Equal(t, saved(t, restored), saved(t, other))
					restored.Report(restored.Revision())
					other.Report(other.Revision())
				}
			},
		})
	})
}

// anyOperation may be done or not.
func anyOperation(t *rapid.T) topology.Operation {
	one := func(name string, of ...string) string { return rapid.SampledFrom(of).Draw(t, name) }
	o := topology.Operation{
		Verb: topology.Verb(one("verb", topology.Verbs()...)), As: one("as", "", "", "", "a", "b", "c"),
		Service: one("service", "svc1", "svc1", "svc2", "svc3"), Endpoint: one("endpoint", "ep1", "ep1", "ep2", "far"),
		Zone: one("zone", "h", "h", "i", "j"), Account: one("account", "a", "c", "*"), Resource: one("resource", "", "lb1", "lb2", "lb4"),
		SecurityGroup: one("group", "web", "ssh"), Force: rapid.Bool().Draw(t, "force"),
	}
	if mbit := rapid.SampledFrom([]int{-1, 0, 50, 200}).Draw(t, "mbit"); mbit >= 0 {
		o.Bandwidth = &mbit
	}
	if rapid.Bool().Draw(t, "auto") {
		o.AutoAccept = rapid.Ptr(rapid.Bool(), false).Draw(t, "on")
	}
	return o
}

// words is what everything is called that has a state, by kind and name.
func words(p *control.Plane) map[string]string {
	out, s := map[string]string{}, p.State()
	for _, o := range s.Services {
		out["service "+o.Name] = o.Status
	}
	for _, o := range s.Endpoints {
		out["endpoint "+o.Name] = o.Status
	}
	for _, c := range s.Connections {
		name := fmt.Sprintf("%s/%s", c.Service, c.Endpoint)
		out["connection "+name] = c.Status
		for _, z := range c.Zones {
			out["zone "+name+"@"+z.Zone] = z.Status
		}
	}
	return out
}

// follow is what events make of words.
func follow(words map[string]string, events []control.Event) map[string]string {
	for _, e := range events {
		key := string(e.Kind) + " " + e.Name
		switch {
		case e.To != "":
			words[key] = e.To
		case e.From != "":
			delete(words, key)
		}
	}
	return words
}

var eventNumber = regexp.MustCompile(`"seq": \d+,`)

// saved is what a plane saves, without the number of its last event.
func saved(t require.TestingT, p *control.Plane) string {
	text, err := p.Save()
	require.NoError(t, err)
	return eventNumber.ReplaceAllString(string(text), "")
}

func TestAdoptTellsWhatIsDifferent(t *testing.T) {
	leader, other := newPlane(t, market("alibaba")), newPlane(t, market("alibaba"))
	seen := other.Events(0)
	did(t, leader, "accept svc1 ep1")
	text, err := leader.Save()
	require.NoError(t, err)
	events, err := other.Adopt(market("alibaba"), text)
	require.NoError(t, err)
	var texts []string
	for i, e := range events {
		require.EqualValues(t, len(seen)+i+1, e.Seq, "they go on")
		require.Equal(t, control.Adopt, e.Verb)
		texts = append(texts, e.Text)
	}
	require.Contains(t, texts, `the connection of endpoint "ep1" to endpoint service "svc1" is Connected`)
	require.Contains(t, texts, `zone "h" of the connection of endpoint "ep1" to endpoint service "svc1" is Connected`)
	require.Equal(t, events, other.Events(uint64(len(seen))))

	again, err := other.Adopt(market("alibaba"), text)
	require.NoError(t, err)
	require.Empty(t, again, "nothing is different")

	told := control.Event{Kind: control.KindConnection, Name: "svc1/ep1", Account: "a", Text: "account a did it"}
	events, err = other.Adopt(market("alibaba"), text, told)
	require.NoError(t, err)
	require.Len(t, events, 1)
	require.Equal(t, "account a did it", events[0].Text, "as it was told")
}

func TestAStateThatCannotBeAdoptedChangesNothing(t *testing.T) {
	p := newPlane(t, market("alibaba"))
	before, events := p.State(), p.Events(0)
	_, err := p.Adopt(market("alibaba"), []byte(`{"version": 99}`))
	require.ErrorContains(t, err, "its version is 99")
	unfit := market("alibaba")
	unfit.Endpoints = append(unfit.Endpoints, endpointOf("ep9", "svc9"))
	_, err = p.Adopt(unfit, []byte(`{}`))
	require.ErrorContains(t, err, `endpoint service "svc9" does not exist`)
	require.Equal(t, before, p.State())
	require.Equal(t, events, p.Events(0))
}

// Another plane moves the states: what is in force here is known, and nothing else.
func TestAppliedMovesNothing(t *testing.T) {
	p := newPlane(t, planOf("alibaba"))
	require.NoError(t, decide(p, control.Accept, "a", "svc1", "ep1"))
	before := p.State()
	p.Applied(p.Revision())
	require.Equal(t, before, p.State())
	require.NoError(t, p.WaitApplied(t.Context(), before.Revision))
}
