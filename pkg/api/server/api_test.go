package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/api/server"
	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/labdir"
	"github.com/plinksim/plinksim/pkg/machine/kernel"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

const text = `
name: shop
cloud: alibaba
region: eu-central-1
accounts: [a, stranger]
vpcs:
  vpc1:
    account: a
    cidr: 10.0.0.0/16
    subnets: {vsw1: {zone: eu-central-1b, cidr: 10.0.0.0/24}}
    instances: {ecs1: {subnet: vsw1, ip: 10.0.0.10}}
  vpc2:
    account: a
    cidr: 10.0.0.0/16
    subnets: {vsw2: {zone: eu-central-1b, cidr: 10.0.0.0/24}}
    instances: {ecs2: {subnet: vsw2, ip: 10.0.0.10, services: [{http: 80, body: hello}]}}
server_groups:
  rs1: {vpc: vpc2, protocol: tcp, servers: [{instance: ecs2, port: 80}]}
load_balancers:
  clb1: {type: clb, vpc: vpc2, subnets: [vsw2], listeners: [{protocol: tcp, port: 80, server_group: rs1}]}
endpoint_services:
  svc1: {account: a, resources: [clb1], auto_accept: false}
endpoints:
  ep1: {service: svc1, vpc: vpc1, subnets: [vsw1]}
checks:
  - {name: closed, from: ecs1, get: "http://${ep1}/", timeout: 200ms, expect: {error: timeout}}
  - {name: accepted, accept: {service: svc1, endpoint: ep1}}
  - {name: open, from: ecs1, get: "http://${ep1}/", expect: {bodies: [hello]}}
  - {name: wrong, from: ecs1, get: "http://${ep1}/", expect: {bodies: [bye]}}
`

// serve runs a lab behind a socket until the test ends. The channel is closed
// when a client asks for the lab's end.
func serve(t *testing.T) (client *api.Client, socket string, down <-chan struct{}) {
	t.Helper()
	asked := make(chan struct{})
	dir := serveShop(t, func(labdir.Dir) *server.Server { return &server.Server{Down: func() { close(asked) }} })
	return api.NewClient(dir), dir.Socket(), asked
}

// serveShop runs the lab of text behind the socket of its directory until the test ends, with
// the server that with makes for it.
func serveShop(t *testing.T, with func(labdir.Dir) *server.Server) labdir.Dir {
	t.Helper()
	testenv.NeedRoot(t)
	root, err := os.MkdirTemp("", "api") // a socket's path must be short
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(root)) })
	plan, err := topofile.Parse("shop.yaml", []byte(text))
	require.NoError(t, err)
	dir := labdir.Dir(root + "/shop")
	running, err := lab.Start(t.Context(), lab.Config{Plan: plan, Machine: kernel.New(dir), Store: dir})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, running.Close(context.Background())) })

	ln, err := server.Listen(dir.Socket())
	require.NoError(t, err)
	ctx, stop := context.WithCancelCause(context.Background())
	ended := make(chan error)
	s := with(dir)
	s.Lab = running
	go func() { ended <- s.Serve(ctx, ln) }()
	t.Cleanup(func() {
		stop(errors.New("the test is over"))
		require.NoError(t, <-ended)
	})
	return dir
}

func decision(verb, account string, wait float64) api.Call {
	return api.Call{Operation: topology.Operation{Verb: topology.Verb(verb), As: account, Service: "svc1", Endpoint: "ep1"}, WaitSeconds: wait}
}

func TestEveryCallGoesThereAndBack(t *testing.T) {
	client, socket, down := serve(t)
	ctx := t.Context()
	info, err := os.Stat(socket)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), "only the owner may use it")
	require.True(t, client.Answers(ctx))

	now, err := client.Status(ctx)
	require.NoError(t, err)
	require.Equal(t, status.Schema, now.Schema)
	require.Equal(t, "shop", now.Lab)
	sessions, err := client.Sessions(ctx)
	require.NoError(t, err)
	require.NotNil(t, sessions)
	require.Empty(t, sessions)

	for _, d := range [][2]string{{"accept", "Connected"}, {"reject", "Disconnected"}} {
		verb, state := d[0], d[1]
		event, err := client.Do(ctx, decision(verb, "", 5))
		require.NoError(t, err)
		require.EqualValues(t, verb, event.Verb)
		status, err := client.Status(ctx)
		require.NoError(t, err)
		require.Equal(t, state, status.Endpoints[0].State, "it is in force")
	}

	var results []string
	require.NoError(t, client.Check(ctx, api.CheckCall{}, func(r status.Check) error {
		results = append(results, r.Name+" "+map[bool]string{true: "ok", false: r.Got}[r.Passed])
		return nil
	}))
	require.Equal(t, []string{"closed ok", "accepted ok", "open ok", `wrong the answer "hello"`}, results)
	sessions, err = client.Sessions(ctx)
	require.NoError(t, err)
	require.NotEmpty(t, sessions)

	var events []control.Event
	require.NoError(t, client.Events(ctx, 0, false, func(e control.Event) error {
		events = append(events, e)
		return nil
	}))
	require.NotEmpty(t, events)
	last := events[len(events)-1].Seq
	require.NoError(t, client.Events(ctx, last, false, func(e control.Event) error { return errors.New("there is no later one") }))

	steps := 0
	progress := func(done, total int, what string) { steps++ }
	changed, err := client.Apply(ctx, "shop.yaml", []byte(text), progress)
	require.NoError(t, err)
	require.False(t, changed, "the same file")
	changed, err = client.Apply(ctx, "shop.yaml", []byte(strings.Replace(text, "body: hello", "body: bye", 1)), progress)
	require.NoError(t, err)
	require.True(t, changed)
	require.NotZero(t, steps)

	require.NoError(t, client.Down(ctx))
	<-down
}

func TestARefusalSaysWhyAndWhatToDo(t *testing.T) {
	client, _, _ := serve(t)
	ctx := t.Context()
	accept := func(account, service, endpoint string) error {
		call := decision("accept", account, 5)
		call.Service, call.Endpoint = service, endpoint
		_, err := client.Do(ctx, call)
		return err
	}
	require.NoError(t, accept("", "svc1", "ep1"))
	for _, tt := range []struct {
		name string
		err  error
		text string
		hint string
	}{
		{"a service that is not there", accept("", "svc2", "ep1"), `endpoint service "svc2" does not exist`, "svc1"},
		{"an endpoint that is not there", accept("", "svc1", "ep2"), `endpoint "ep2" does not exist`, "ep1"},
		{"an account that owns nothing", accept("stranger", "svc1", "ep1"), `svc1`, ""},
		{"what is so already", accept("", "svc1", "ep1"), "already Connected", "nothing to do"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var refused *api.Error
			require.ErrorAs(t, tt.err, &refused)
			require.Contains(t, refused.Text, tt.text)
			require.Contains(t, refused.Hint, tt.hint)
		})
	}
	_, err := client.Apply(ctx, "broken.yaml", []byte("name: shop\n"), func(int, int, string) {})
	require.ErrorContains(t, err, "broken.yaml:", "a file is refused with its own lines")
	_, err = client.Apply(ctx, "other.yaml", []byte(strings.Replace(text, "name: shop", "name: other", 1)), func(int, int, string) {})
	require.ErrorContains(t, err, `the lab is "shop", and the file describes "other"`)
}

// An operation goes there, and what it did or why it was refused comes back.
// The tag Name stands for a name in edits and in operations, as the command line sends them.
func TestTheTagNameStandsForAName(t *testing.T) {
	client, _, _ := serve(t)
	ctx := t.Context()
	edit := func(path, value string) error {
		_, err := client.Edit(ctx, api.EditCall{Edits: []topology.Edit{{Path: path, Value: value}}, WaitSeconds: 5})
		return err
	}
	require.NoError(t, edit("endpoint_services/svc1/tags/Name", "shop"))
	require.NoError(t, edit("endpoint_services/shop/tags/team", "x"))
	event, err := client.Do(ctx, api.Call{Operation: topology.Operation{Verb: "service-set", Service: "shop",
		AutoAccept: new(bool)}, WaitSeconds: 5})
	require.NoError(t, err)
	require.Equal(t, "svc1", event.Name)
	require.NoError(t, edit("vpcs/vpc1/tags/Name", "twin"))
	require.NoError(t, edit("vpcs/vpc2/tags/Name", "twin"))
	require.ErrorContains(t, edit("vpcs/twin/mtu", "1400"),
		`there are several vpcs with the tag Name "twin": write vpc1 or vpc2`)
}

// An edit that was made for another value is refused, by the daemon itself.
func TestAStaleEditIsAConflict(t *testing.T) {
	client, _, _ := serve(t)
	call := api.EditCall{
		Edits: []topology.Edit{{Path: "vpcs/vpc1/mtu", Value: "1400"}}, If: map[string]string{"vpcs/vpc1/mtu": ""}, WaitSeconds: 5,
	}
	_, err := client.Edit(t.Context(), call)
	require.NoError(t, err)
	for _, call.DryRun = range []bool{true, false} {
		_, err = client.Edit(t.Context(), call)
		var refused *api.Error
		require.ErrorAs(t, err, &refused)
		require.Equal(t, "wrong-state", refused.Code)
		require.Contains(t, refused.Text, "vpcs/vpc1/mtu is not what it was when the edit was made for it")
		require.Contains(t, refused.Hint, "it is 1400 now")
	}
}

func TestOperationsGoThereAndBack(t *testing.T) {
	client, _, _ := serve(t)
	ctx := t.Context()
	event, err := client.Do(ctx, api.Call{Operation: topology.Operation{Verb: "service-set", Service: "svc1", AutoAccept: new(bool)}, WaitSeconds: 5})
	require.NoError(t, err)
	require.Equal(t, `account "a" changed endpoint service "svc1": auto accept off`, event.Text)
	require.Equal(t, "a", event.Account)
	status, err := client.StatusFor(ctx, "a")
	require.NoError(t, err)
	require.Equal(t, "Active", status.Services[0].State, "it is in force")
	require.Empty(t, status.VPCs, "what an account sees of services and endpoints, and nothing else")

	var refused *api.Error
	_, err = client.StatusFor(ctx, "z")
	require.ErrorAs(t, err, &refused)
	require.Equal(t, api.Error{Text: `account "z" does not exist`, Hint: `there is "a", "stranger"`, Code: "not-found",
		Kind: "account", Name: "z"}, *refused)
	_, err = client.Do(ctx, api.Call{Operation: topology.Operation{Verb: "service-delete", Service: "svc9"}})
	require.ErrorAs(t, err, &refused)
	require.Equal(t, api.Error{
		Text: `endpoint service "svc9" does not exist`, Hint: `there is "svc1"`,
		Code: "not-found", Word: "EndpointServiceNotFound", Kind: "endpoint service", Name: "svc9",
	}, *refused)
}

// An operation is saved before it is answered, also where nobody waits until it
// is in force; where that fails, whoever asked is told so.
func TestAnOperationIsSavedBeforeItIsAnswered(t *testing.T) {
	client, socket, _ := serve(t)
	ctx := t.Context()
	state := filepath.Join(filepath.Dir(socket), "state.json")
	_, err := client.Do(ctx, decision("accept", "", 0))
	require.NoError(t, err)
	text, err := os.ReadFile(state)
	require.NoError(t, err)
	require.Regexp(t, `"state": ?"Connect(ing|ed)"`, string(text))
	on := true
	later := topology.Operation{Verb: topology.VerbServiceSet, Service: "svc1", ZoneAffinity: &on}
	_, err = client.Do(ctx, api.Call{Operation: later, WaitSeconds: 5})
	require.NoError(t, err, "by then it is connected")

	// Nobody can write the state now. The file is there for a moment while it is
	// written.
	block := func() bool { return os.Mkdir(state+".next", 0o700) == nil }
	require.Eventually(t, block, 5*time.Second, time.Millisecond)
	_, err = client.Do(ctx, decision("reject", "", 5))
	var refused *api.Error
	require.ErrorAs(t, err, &refused)
	require.Contains(t, refused.Text, "the change was made, but it could not be saved: ")
	require.NotEmpty(t, refused.Hint)
	status, err := client.Status(ctx)
	require.NoError(t, err)
	require.Equal(t, "Disconnected", status.Endpoints[0].State, "it is in force")
	require.Len(t, status.Problems, 1)

	require.NoError(t, os.Remove(state+".next"))
	_, err = client.Do(ctx, decision("accept", "", 5))
	require.NoError(t, err)
	status, err = client.Status(ctx)
	require.NoError(t, err)
	require.Empty(t, status.Problems)
}

// What programs read has lists where lists can be, and a version.
func TestTheJSONHasNoNull(t *testing.T) {
	client, _, _ := serve(t)
	ctx := t.Context()
	status, err := client.Status(ctx)
	require.NoError(t, err)
	event, err := client.Do(ctx, decision("accept", "", 0))
	require.NoError(t, err)
	for _, value := range []any{status, event} {
		written, err := json.Marshal(value)
		require.NoError(t, err)
		require.NotContains(t, string(written), "null")
	}
}

func TestWhoFollowsTheEventsHearsOfANewOne(t *testing.T) {
	client, _, _ := serve(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	seen := errors.New("seen")
	accepted := false
	err := client.Events(ctx, 0, true, func(e control.Event) error {
		if !accepted {
			accepted = true
			_, err := client.Do(ctx, decision("accept", "", 0))
			return err
		}
		if strings.Contains(e.Text, "is Connected") {
			return seen
		}
		return nil
	})
	require.ErrorIs(t, err, seen)
}

func TestADaemonThatIsNotThereIsNamed(t *testing.T) {
	client := api.NewClient(labdir.Dir(t.TempDir() + "/shop"))
	require.False(t, client.Answers(t.Context()))
	_, err := client.Status(t.Context())
	require.ErrorContains(t, err, `lab "shop": its daemon does not answer: dial unix`)
	require.NotContains(t, err.Error(), "http://")
}

// Whatever listens there may be of another version, or no daemon at all.
func TestAnAnswerThatIsNoneIsAnError(t *testing.T) {
	for name, tt := range map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"an error without a reason": {func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusTeapot) }, "its daemon answers 418"},
		"no JSON":                   {func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") }, "read its daemon's answer"},
		"a connection that ends":    {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "its daemon does not answer"},
	} {
		t.Run(name, func(t *testing.T) {
			root, err := os.MkdirTemp("", "api")
			require.NoError(t, err)
			defer os.RemoveAll(root)
			require.NoError(t, os.Mkdir(root+"/shop", 0o700))
			dir := labdir.Dir(root + "/shop")
			ln, err := net.Listen("unix", dir.Socket())
			require.NoError(t, err)
			server := &http.Server{Handler: tt.handler}
			go server.Serve(ln)
			defer server.Close()
			_, err = api.NewClient(dir).Status(t.Context())
			require.ErrorContains(t, err, tt.want)
		})
	}
}
