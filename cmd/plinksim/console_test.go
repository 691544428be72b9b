package main

import (
	"context"
	"errors"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/api/server"
	"github.com/plinksim/plinksim/pkg/console"
	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/labdir"
	"github.com/plinksim/plinksim/pkg/machine/netstack"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

// consoleSite is the console of a lab in memory, behind its daemon's socket, and a browser
// without scripts.
type consoleSite struct {
	t       *testing.T
	lab     *lab.Lab
	url     string
	browser *http.Client
}

func newConsoleSite(t *testing.T, text string) *consoleSite {
	t.Helper()
	root, err := os.MkdirTemp("", "console") // a socket's path must be short
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(root)) })
	plan, err := topofile.Parse("lab.yaml", []byte(text))
	require.NoError(t, err)
	dir := labdir.Dir(root + "/" + plan.Name)
	require.NoError(t, os.Mkdir(string(dir), 0o700))
	running, err := lab.Start(t.Context(), lab.Config{Plan: plan, Machine: netstack.New(), Store: dir})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, running.Close(context.Background())) })
	ln, err := server.Listen(dir.Socket())
	require.NoError(t, err)
	ctx, stop := context.WithCancelCause(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- (&server.Server{Lab: running}).Serve(ctx, ln) }()
	c := console.New(console.Config{
		Name: plan.Name, Lab: api.NewClient(dir), Kinds: consoleKinds(), Actions: consoleActions(), By: "tester",
		Plan: func(context.Context) (*topology.Plan, error) { return running.Plan(), nil },
	})
	go func() { c.Run(ctx); ended <- nil }()
	site := httptest.NewServer(c)
	t.Cleanup(func() {
		stop(errors.New("the test is over"))
		site.CloseClientConnections()
		site.Close()
		require.NoError(t, <-ended)
		require.NoError(t, <-ended)
	})
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	s := &consoleSite{t, running, site.URL, &http.Client{Jar: jar}}
	s.get(c.Ticket())
	return s
}

func (s *consoleSite) get(path string) string {
	s.t.Helper()
	code, page := s.send("GET", path, nil)
	require.Equal(s.t, http.StatusOK, code, "%s: %s", path, page)
	return page
}

func (s *consoleSite) send(method, path string, values url.Values) (int, string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(values.Encode()))
	require.NoError(s.t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", s.url)
	resp, err := s.browser.Do(req)
	require.NoError(s.t, err)
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	return resp.StatusCode, string(page)
}

var (
	inputs = regexp.MustCompile(`<input[^>]* name="([^"]*)" value="([^"]*)"`)
	chosen = regexp.MustCompile(`(?s)<select[^>]* name="([^"]*)"[^>]*>(.*?)</select>`)
	option = regexp.MustCompile(`<option(?: value="[^"]*")? selected>([^<]*)<`)
)

// fill opens a form, fills it in with "name=value", and sends it.
func (s *consoleSite) fill(path string, pairs ...string) (int, string) {
	s.t.Helper()
	form := s.get(path)
	values := url.Values{}
	for _, m := range inputs.FindAllStringSubmatch(form, -1) {
		if !strings.Contains(m[0], `type="checkbox"`) {
			values.Set(m[1], html.UnescapeString(m[2]))
		}
	}
	for _, m := range chosen.FindAllStringSubmatch(form, -1) {
		values.Set(m[1], "")
		if is := option.FindStringSubmatch(m[2]); is != nil {
			values.Set(m[1], html.UnescapeString(is[1]))
		}
	}
	for _, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		require.Contains(s.t, form, `name="`+name+`"`, path)
		values.Set(name, value)
	}
	action := regexp.MustCompile(`class="step" method="post" action="([^"]*)"`).FindStringSubmatch(form)
	require.NotNil(s.t, action, path)
	return s.send("POST", html.UnescapeString(action[1]), values)
}

// step fills in a form that does what a command line does.
func (s *consoleSite) step(command, path string, pairs ...string) {
	s.t.Helper()
	code, page := s.fill(path, pairs...)
	require.Equal(s.t, http.StatusOK, code, "%s: %s", path, page)
	_, rest, _ := strings.Cut(page, `<pre class="command" tabindex="0">`)
	done, _, _ := strings.Cut(rest, "</pre>")
	require.Equal(s.t, command, html.UnescapeString(done))
}

// From an empty lab to a page that the instance gets, by the forms of the console.
func TestTheConsoleMakesALabByItsForms(t *testing.T) {
	s := newConsoleSite(t, "{name: shop, cloud: alibaba, region: eu-central-1, accounts: [a], vpcs: {}}")
	require.Contains(t, s.get("/"), "The lab is empty")
	s.step("plinksim vpc create vpc1 cidr=10.0.0.0/16", "/do/vpc/create", "of.VPC=vpc1", "cidr=10.0.0.0/16")
	s.step("plinksim vpc create vpc2 cidr=10.0.0.0/16", "/do/vpc/create", "of.VPC=vpc2", "cidr=10.0.0.0/16")
	for _, vpc := range []string{"vpc1", "vpc2"} {
		s.step("plinksim subnet create "+vpc+"/vsw zone=eu-central-1b cidr=10.0.0.0/24", "/do/subnet/create?of.VPC="+vpc,
			"of.SUBNET=vsw", "zone=eu-central-1b", "cidr=10.0.0.0/24")
	}
	s.step("plinksim instance create vpc1/ecs1 subnet=vsw", "/do/instance/create?of.VPC=vpc1", "of.INSTANCE=ecs1", "subnet=vsw")
	s.step("plinksim instance create vpc2/ecs2 subnet=vsw", "/do/instance/create?of.VPC=vpc2", "of.INSTANCE=ecs2", "subnet=vsw")
	s.step("plinksim instance service add vpc2/ecs2 http=80 'body=hello you'", "/do/instance/service/add?of.VPC=vpc2&of.INSTANCE=ecs2",
		"http=80", "body=hello you")
	s.step("plinksim server-group create rs1 vpc=vpc2 protocol=tcp 'servers=[]'", "/do/server-group/create", "of.GROUP=rs1", "vpc=vpc2",
		"protocol=tcp")
	s.step("plinksim server register rs1 vpc2/ecs2:80", "/do/server/register?server_group=rs1", "server=vpc2/ecs2:80")
	s.step("plinksim load-balancer create clb1 type=clb vpc=vpc2 subnets=vsw 'listeners=[]'", "/do/load-balancer/create",
		"of.LOAD_BALANCER=clb1", "type=clb", "vpc=vpc2", "subnets=vsw")
	s.step("plinksim listener add clb1 protocol=tcp port=80 server_group=rs1", "/do/listener/add?of.LOAD_BALANCER=clb1",
		"protocol=tcp", "port=80", "server_group=rs1")
	s.step("plinksim service create svc1 --resource clb1", "/do/service/create", "service=svc1", "load_balancers=clb1")
	s.step("plinksim endpoint create ep1 --service svc1 --vpc vpc1 --subnet vsw", "/do/endpoint/create", "endpoint=ep1", "service=svc1",
		"vpc=vpc1", "subnets=vsw")
	require.Contains(t, s.get("/o/endpoint_services/svc1"), ">Allow</a>")
	s.step("plinksim accept svc1 ep1", "/do/connection/accept?service=svc1&endpoint=ep1")
	require.Contains(t, s.get("/o/endpoint_services/svc1"), ">Deny</a>")

	where, err := s.lab.Plan().Lookup("ep1")
	require.NoError(t, err)
	resp, err := s.client("ecs1").Get("http://" + where + "/")
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, errors.Join(err, resp.Body.Close()))
	require.Equal(t, "hello you\n", string(body))

	// A refusal has the cloud's code, and says what would help by a button.
	code, page := s.fill("/do/connection/accept?service=svc1&endpoint=ep1")
	require.Equal(t, http.StatusUnprocessableEntity, code)
	require.Contains(t, page, "EndpointConnectionOperationDenied")
	code, page = s.fill("/do/subnet/delete?of.VPC=vpc2&of.SUBNET=vsw")
	require.Equal(t, http.StatusUnprocessableEntity, code)
	require.Contains(t, page, "clb1")

	// What was done is a script.
	require.Contains(t, s.get("/steps"), "plinksim vpc create vpc1 cidr=10.0.0.0/16\nplinksim vpc create vpc2")
}

// What an operation's flags do not have, its form takes from the file.
func TestAFormTakesWhatOnlyTheFileSays(t *testing.T) {
	text, err := os.ReadFile("../../testdata/topologies/alibaba-clb-cross-account.yaml")
	require.NoError(t, err)
	s := newConsoleSite(t, string(text))
	s.step("plinksim service create svc2 resources=clb1 auto_accept=true whitelist=a", "/do/service/create", "service=svc2",
		"load_balancers=clb1", "auto_accept=true", "whitelist=a")
	s.step("plinksim service create svc3 --resource clb1", "/do/service/create", "service=svc3", "load_balancers=clb1")
	code, page := s.fill("/do/service/create", "service=svc4", "load_balancers=clb1", "auto_accept=true", "as=b")
	require.Equal(t, http.StatusUnprocessableEntity, code)
	require.Contains(t, page, "the topology is edited, which no account does")
	require.Contains(t, s.get("/do/service/whitelist/add?service=svc1"), `value="a"`)
}

// An instance sends requests to the lab as it is.
func TestTheConsoleSendsRequests(t *testing.T) {
	text, err := os.ReadFile("../../testdata/topologies/alibaba-clb.yaml")
	require.NoError(t, err)
	s := newConsoleSite(t, string(text))
	s.step("plinksim accept svc1 ep1", "/do/connection/accept?service=svc1&endpoint=ep1")
	for to, want := range map[string]string{
		"http://ep1/": "ecs2 2x, ecs3 2x", "http://ep1@eu-central-1b/": "ecs2 2x, ecs3 2x", "http://ep1.ip/": "ecs2 2x, ecs3 2x",
		"ep1:80": "connected", "ep1.ip:81": "It does not answer.",
	} {
		code, page := s.send("POST", "/try", url.Values{"from": {"ecs1"}, "to": {to}, "times": {"4"}})
		require.Equal(t, http.StatusOK, code, to)
		require.Contains(t, page, want, to)
		require.Contains(t, page, "plinksim exec ecs1 -- ", to)
	}
	require.Contains(t, s.get("/o/endpoints/ep1"), "Connected", "what was accepted stays so")
	for _, wrong := range []url.Values{
		{"from": {"ecs1"}, "to": {"ep1"}, "times": {"1"}}, {"from": {"ecs1"}, "to": {"http://ep1/"}, "times": {"1001"}},
		{"from": {"nobody"}, "to": {"http://ep1/"}, "times": {"1"}},
	} {
		code, _ := s.send("POST", "/try", wrong)
		require.Equal(t, http.StatusUnprocessableEntity, code, wrong)
	}

	// Without counts, the status is the same.
	all := s.lab.Status()
	for i := range all.VPCs {
		for j := range all.VPCs[i].Instances {
			all.VPCs[i].Instances[j].Denied, all.VPCs[i].Instances[j].Spoofed = 0, 0
		}
	}
	require.Equal(t, all, s.lab.Outline())
}

// What does not pass is found, mended and seen from the pages alone.
func TestTheConsoleSaysWhyNothingPasses(t *testing.T) {
	text, err := os.ReadFile("../../testdata/topologies/alibaba-clb.yaml")
	require.NoError(t, err)
	s := newConsoleSite(t, string(text))
	page := s.get("/explain?from=ecs1&to=ep1")
	require.Contains(t, page, "It does not pass.")
	button := regexp.MustCompile(`<a class="button main" href="([^"]*)">accept svc1 ep1`).FindStringSubmatch(page)
	require.NotNil(t, button, page)
	s.step("plinksim accept svc1 ep1", html.UnescapeString(button[1]))
	require.Contains(t, s.get("/explain?from=ecs1&to=ep1"), "It passes.")

	s.step("plinksim fault down ep1 --blackhole", "/do/fault/down", "target=ep1", "blackhole=true")
	require.Contains(t, s.get("/faults"), "ep1@eu-central-1b: blackhole")
	page = s.get("/explain?from=ecs1&to=ep1")
	button = regexp.MustCompile(`<a class="button main" href="([^"]*)">fault up`).FindStringSubmatch(page)
	require.NotNil(t, button, page)
	code, _ := s.fill(html.UnescapeString(button[1]))
	require.Equal(t, http.StatusOK, code)
	require.NotContains(t, s.get("/faults"), "blackhole</")
	s.step("plinksim fault set ep1 --delay 10ms --to provider", "/do/fault/set?endpoint=ep1", "delay=10ms", "to=provider")
	require.Contains(t, s.get("/faults"), "delay 10ms")
	code, page = s.fill("/do/fault/set?endpoint=ep1", "loss=much")
	require.Equal(t, http.StatusUnprocessableEntity, code)
	require.Contains(t, page, "much")
	s.step("plinksim fault clear ep1", "/do/fault/clear", "endpoint=ep1")

	where, err := s.lab.Plan().Lookup("ep1")
	require.NoError(t, err)
	require.Contains(t, s.get("/names?from=ecs1&type=A&name="+where), "NOERROR")

	_, err = s.client("ecs1").Get("http://" + where + "/")
	require.NoError(t, err)
	require.Contains(t, s.get("/sessions?q=ep1"), "1 found")
	require.Contains(t, s.get("/sessions?q=ep2"), "0 found")
	require.Contains(t, s.get("/figures"), "<h2>sessions ")

	// Packets are shown, and recorded.
	begun := make(chan error)
	go func() {
		for s.t.Context().Err() == nil { // until the captures have what they want
			resp, err := s.client("ecs1").Get("http://" + where + "/")
			if err == nil {
				resp.Body.Close()
			}
			select {
			case begun <- err:
				return
			default:
			}
		}
	}()
	page = s.get("/capture?eni=ep1@eu-central-1b&count=4&seconds=30")
	require.Contains(t, page, "4 packets")
	require.Contains(t, page, "ep1@eu-central-1b")
	require.Equal(t, "\x0a\x0d\x0d\x0a", s.get("/capture.pcapng?count=4&seconds=30")[:4], "a pcapng file begins so")
	require.NoError(t, <-begun)
	code, _ = s.send("GET", "/capture.pcapng?count=4&seconds=9999", nil)
	require.Equal(t, http.StatusBadRequest, code)

	code, _ = s.send("POST", "/checks", nil)
	require.Equal(t, http.StatusOK, code)
	require.Eventually(t, func() bool { return strings.Contains(s.get("/checks"), "10 passed, 0 failed.") },
		30*time.Second, 50*time.Millisecond)
}

// client is HTTP from an instance.
func (s *consoleSite) client(instance string) *http.Client {
	s.t.Helper()
	client, err := s.lab.Client(instance)
	require.NoError(s.t, err)
	return client.HTTP()
}

// Each command that changes a lab has a form in which every value can be given.
func TestEveryCommandHasItsForm(t *testing.T) {
	s := newConsoleSite(t, "{name: shop, cloud: aws, region: us-east-1, accounts: [a], vpcs: {}}")
	seen := map[string]bool{}
	for _, a := range consoleActions() {
		require.False(t, seen[a.Path], a.Path)
		seen[a.Path] = true
		page := s.get(a.URL())
		for _, f := range a.Fields {
			require.Contains(t, page, `name="`+f.Name+`"`, a.Path)
		}
		cmd, rest, err := newRoot(&timeLimit{}).Find(strings.Fields(a.Path))
		require.NoError(t, err, a.Path)
		require.Empty(t, rest, a.Path)
		require.True(t, cmd.Runnable())
	}
	for _, verb := range topology.Verbs() {
		if o := (topology.Operation{Verb: topology.Verb(verb)}); !o.Spec().Read {
			require.True(t, seen[operationOf(o.Verb).path], verb)
		}
	}
}

// The calls that the console names are among those that the lab answers.
func TestTheCallsOfOperationsAreThere(t *testing.T) {
	for _, cloud := range []topology.Cloud{topology.AWS, topology.Alibaba} {
		done := map[string]bool{}
		for _, op := range clientsOf(cloud).operations() {
			done[op.Name] = done[op.Name] || op.Done
		}
		for _, verb := range topology.Verbs() {
			if call := cloud.Call(topology.Verb(verb)); call != "" {
				require.True(t, done[call], "%s %s: %s", cloud, verb, call)
			}
		}
	}
}
