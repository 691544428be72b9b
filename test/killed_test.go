package test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/labdir"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

// askedFor is the topology that the askers edit: a service that does not accept by
// itself.
const askedFor = `
name: killed
cloud: aws
region: r1
accounts: [a]
vpcs:
  p:
    cidr: 10.0.0.0/16
    subnets: {s: {zone: r1a, cidr: 10.0.0.0/24}}
    instances: {server: {subnet: s}}
server_groups: {web: {vpc: p, servers: [{instance: server, port: 80}], health_check: {protocol: none}}}
load_balancers: {lb: {type: nlb, vpc: p, subnets: [s], listeners: [{protocol: tcp, port: 80, server_group: web}]}}
endpoint_services: {svc: {resources: [lb]}}
`

// A daemon that is killed at any moment while several ask it for edits and
// operations: the next one has all that was answered, of what was not answered
// each whole or not at all, and nothing else; and the kernel is that of a new lab.
func TestWhatWasAnsweredOutlivesAKill(t *testing.T) {
	testenv.NeedRoot(t)
	testenv.NeedNoRace(t) // the program is built without it
	testenv.NeedPrograms(t, "nft")
	rounds := 4
	if os.Getenv("PLINKSIM_LONG") == "1" {
		rounds = 120
	}
	seed := seedOf(t)
	bin := testenv.BuildProgram(t, "..")
	root, err := os.MkdirTemp("", "plinksim") // a socket's path must be short
	require.NoError(t, err)
	defer os.RemoveAll(root)
	file := filepath.Join(root, "killed.yaml")
	require.NoError(t, os.WriteFile(file, []byte(askedFor), 0o600))
	dir := labdir.Dir(filepath.Join(root, "run", "killed"))
	run := func(args ...string) {
		t.Helper()
		cmd := exec.Command(bin, args...)
		cmd.Env = append(os.Environ(), labdir.RootVariable+"="+filepath.Dir(string(dir)))
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	run("up", file)
	defer run("down", "killed")
	rng := rand.New(rand.NewPCG(seed, 0))
	var answers atomic.Int64
	var askers []*asker
	for i := range 4 {
		askers = append(askers, &asker{name: fmt.Sprint("k", i), client: api.NewClient(dir), answers: &answers, rng: rand.New(rand.NewPCG(seed, uint64(1+i)))})
	}
	answered, open := int64(0), 0
	for round := range rounds {
		var asking sync.WaitGroup
		for _, a := range askers {
			asking.Go(a.askUntilKilled)
		}
		for some, late := int64(rng.IntN(16)), time.Now().Add(5*time.Second); answers.Load() < some && time.Now().Before(late); {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Duration(rng.IntN(30)) * time.Millisecond)
		require.NoError(t, syscall.Kill(dir.PID(), syscall.SIGKILL))
		asking.Wait()
		run("up", file)
		exported, status, edits := lookAt(t, askers[0].client)
		for _, a := range askers {
			require.NoError(t, a.refused, "round %d", round)
			is := a.find(exported, status)
			if is != a.is {
				require.NotNil(t, a.next, "round %d: what was answered to %s is not there", round, a.name)
				require.Equal(t, *a.next, is, "round %d: %s after a request that was not answered, on %+v", round, a.name, a.is)
				open++
			}
			require.Equal(t, is.VPC, strings.Contains(edits, "vpcs/"+a.name), "round %d: %s", round, edits)
			require.Equal(t, is.Endpoint, strings.Contains(edits, "endpoints/"+a.name), "round %d: %s", round, edits)
			a.is, a.next = is, nil
		}
		answered += answers.Swap(0)
		require.LessOrEqual(t, len(exported.VPCs), 1+len(askers))
		if round%5 == 0 {
			requireSameKernel(t, kernelOfNew(t, exported.Source), kernelOf(t, dir), "round %d", round)
		}
	}
	t.Log(answered, "requests were answered;", open, "of those that a kill cut off were made")
	require.Positive(t, answered)
}

// held is what an asker has in the lab.
type held struct {
	VPC, Endpoint, Accepted bool
	MTU                     int
	Text                    string
}

// asker asks for one thing after the other, each of which changes what it holds.
type asker struct {
	name   string
	client *api.Client
	rng    *rand.Rand

	answers *atomic.Int64 // of all askers

	is      held  // as it was answered
	next    *held // after a request that has no answer yet
	n       int   // of requests
	refused error
}

func (a *asker) askUntilKilled() {
	for {
		next := a.is
		ask := a.choose(&next)
		a.next = &next
		if err := ask(context.Background()); err != nil {
			if refused := (*api.Error)(nil); errors.As(err, &refused) {
				a.refused = fmt.Errorf("%s, which holds %+v, asks for %+v: %w", a.name, a.is, next, err)
			}
			return
		}
		a.is, a.next = next, nil
		a.answers.Add(1)
	}
}

// choose chooses a request and says what it leads to.
func (a *asker) choose(next *held) func(context.Context) error {
	a.n++
	vpc, endpoint := "vpcs/"+a.name, "endpoints/"+a.name
	edit := func(pairs ...string) func(context.Context) error {
		var call api.EditCall
		for i := 0; i < len(pairs); i += 2 {
			call.Edits = append(call.Edits, topology.Edit{Path: pairs[i], Value: pairs[i+1]})
		}
		call.WaitSeconds = 10
		return func(ctx context.Context) error {
			_, err := a.client.Edit(ctx, call)
			return err
		}
	}
	do := func(o topology.Operation) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := a.client.Do(ctx, api.Call{Operation: o, WaitSeconds: 10})
			return err
		}
	}
	mtu, text := 1300+a.n%100, fmt.Sprintf("text %d", a.n)
	switch p := a.rng.IntN(6); {
	case !a.is.VPC:
		*next = held{VPC: true, Endpoint: true, MTU: mtu, Text: text}
		return edit(vpc, fmt.Sprintf("{cidr: 10.0.0.0/16, mtu: %d, subnets: {s: {zone: r1a, cidr: 10.0.0.0/24}}}", mtu),
			endpoint, fmt.Sprintf("{service: svc, vpc: %s, subnets: [s], description: %s}", a.name, text))
	case !a.is.Endpoint && p == 0:
		*next = held{}
		return edit(vpc, "")
	case !a.is.Endpoint:
		next.Endpoint = true
		return do(topology.Operation{Verb: topology.VerbEndpointCreate, Endpoint: a.name, Service: "svc", VPC: a.name, Subnets: []string{"s"}})
	case p == 0:
		*next = held{}
		return edit(endpoint, "", vpc, "")
	case p == 1:
		*next = held{VPC: true, MTU: a.is.MTU}
		return do(topology.Operation{Verb: topology.VerbEndpointDelete, Endpoint: a.name})
	case p < 4:
		next.Accepted = !a.is.Accepted
		verb := map[bool]topology.Verb{true: topology.VerbAccept, false: topology.VerbReject}[next.Accepted]
		return do(topology.Operation{Verb: verb, Service: "svc", Endpoint: a.name})
	}
	next.MTU, next.Text = mtu, text
	return edit(vpc+"/mtu", fmt.Sprint(mtu), endpoint+"/description", text)
}

// find is what an asker holds in a lab.
func (a *asker) find(exported *topology.Plan, states map[string]string) (is held) {
	if vpc, err := exported.VPC(a.name); err == nil {
		is.VPC, is.MTU = true, vpc.MTU
	}
	if ep, err := exported.Endpoint(a.name); err == nil && !ep.Absent {
		is.Endpoint, is.Text = true, ep.Description
		is.Accepted = states[a.name] == "available"
	}
	return is
}

// lookAt asks a lab for its export, the states of its connections by endpoint, and
// its edits.
func lookAt(t *testing.T, client *api.Client) (exported *topology.Plan, states map[string]string, edits string) {
	t.Helper()
	export, err := client.Export(t.Context())
	require.NoError(t, err)
	exported, err = topofile.Parse("export.yaml", []byte(export.Text))
	require.NoError(t, err)
	status, err := client.Status(t.Context())
	require.NoError(t, err)
	require.Empty(t, status.Problems)
	states = map[string]string{}
	for _, ep := range status.Endpoints {
		states[ep.Name] = ep.State
	}
	made, err := client.Edits(t.Context())
	require.NoError(t, err)
	for _, e := range made.Changes {
		edits += e.Path + "\n"
	}
	return exported, states, edits
}
