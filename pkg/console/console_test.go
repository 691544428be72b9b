package console_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/console"
	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

// markup is what a name or a description may have, and no page may take for its own.
const markup = `"><script>alert(1)</script>'{{.}}`

// fakeLab tells what a test says.
type fakeLab struct {
	console.Lab // what a test does not use

	mu     sync.Mutex
	status status.Lab
	done   []topology.Operation
	edits  []topology.Edit
	were   map[string]string // of the last call with edits
	refuse error
	asked  int
	events chan control.Event
}

func (f *fakeLab) Status(ctx context.Context) (status.Lab, error) { return f.Outline(ctx) }

func (f *fakeLab) Outline(context.Context) (status.Lab, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	return f.status, nil
}

func (f *fakeLab) Events(ctx context.Context, _ uint64, _ bool, each func(control.Event) error) error {
	for {
		select {
		case e, ok := <-f.events:
			if !ok {
				<-ctx.Done()
				return ctx.Err()
			}
			if err := each(e); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (f *fakeLab) Do(_ context.Context, call api.Call) (control.Event, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.done = append(f.done, call.Operation)
	return control.Event{Text: "it was done"}, f.refuse
}

func (f *fakeLab) Edit(_ context.Context, call api.EditCall) ([]topology.Change, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.edits, f.were = append(f.edits, call.Edits...), call.If
	return []topology.Change{{Edit: call.Edits[0]}}, f.refuse
}

// set changes what the lab tells.
func (f *fakeLab) set(change func(*status.Lab)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.status)
}

// site is a console with a browser.
type site struct {
	t       testing.TB
	lab     *fakeLab
	console *console.Console
	url     string
	browser *http.Client
}

func newSite(t testing.TB) *site {
	t.Helper()
	text, err := os.ReadFile("../../testdata/topologies/alibaba-clb.yaml")
	require.NoError(t, err)
	plan, err := topofile.Parse("alibaba-clb.yaml", text)
	require.NoError(t, err)
	s := &site{t: t, lab: &fakeLab{events: make(chan control.Event, 10), status: status.Lab{
		Lab: "alibaba-clb", Cloud: "alibaba", Region: "eu-central-1",
		VPCs: []status.VPC{{Name: "vpc1", Account: "a", Instances: []status.Instance{{Name: "ecs1", State: "running"}}}},
		Services: []status.EndpointService{{Name: "svc1", Account: "a", State: "Active", Connections: 1, Description: markup,
			Resources: []string{"clb1@eu-central-1b"}}},
		Endpoints: []status.Endpoint{{Name: "ep1", Account: "a", VPC: "vpc1", Service: "svc1", State: "Disconnected",
			Actions: []string{"accept"}, Zones: []status.Zone{{Zone: "eu-central-1b", State: "Wait"}}}},
		ServerGroups: []status.ServerGroup{{Name: "rs1", Servers: []status.Server{{Instance: "vpc2/ecs2", State: "unhealthy"}}}},
	}}}
	s.console = console.New(console.Config{
		Name: "alibaba-clb", Lab: s.lab, Plan: func(context.Context) (*topology.Plan, error) { return plan, nil },
		Kinds: []console.Kind{{Pattern: "endpoint_services/*", Name: "endpoint service"}, {Pattern: "endpoints/*", Name: "endpoint"},
			{Pattern: "vpcs/*", Name: "VPC"}, {Pattern: "vpcs/*/instances/*", Name: "instance"},
			{Pattern: "server_groups/*", Name: "server group"}},
		Actions: []console.Action{acceptAction()}, By: "tester",
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); s.console.Run(ctx) }()
	server := httptest.NewServer(s.console)
	t.Cleanup(func() { cancel(); <-ended; server.CloseClientConnections(); server.Close() })
	s.url = server.URL
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	s.browser = &http.Client{Jar: jar}
	code, _ := s.get(s.console.Ticket())
	require.Equal(t, http.StatusOK, code)
	return s
}

func acceptAction() console.Action {
	return console.Action{
		Path: "connection accept", Short: "Let an endpoint connect", Verb: topology.VerbAccept,
		Fields: []console.Field{
			{Name: "service", Label: "service", Required: true, Argument: true, Refers: []string{"endpoint_services/*"}},
			{Name: "endpoint", Label: "endpoint", Required: true, Argument: true, Refers: []string{"endpoints/*"}},
			{Name: "bandwidth", Label: "bandwidth"},
		},
		Read: func(values url.Values) (console.Step, error) {
			if values.Get("bandwidth") == markup {
				return console.Step{}, errors.New("bandwidth: " + markup)
			}
			o := topology.Operation{Verb: topology.VerbAccept, Service: values.Get("service"), Endpoint: values.Get("endpoint")}
			return console.Step{Operations: []topology.Operation{o}, Command: "plinksim accept svc1 ep1"}, nil
		},
	}
}

func (s *site) get(path string) (int, string) {
	s.t.Helper()
	return s.send(s.browser, "GET", path, nil, nil)
}

// post sends a form as a browser does.
func (s *site) post(path string, values url.Values) (int, string) {
	s.t.Helper()
	return s.send(s.browser, "POST", path, values, map[string]string{"Origin": s.url})
}

func (s *site) send(browser *http.Client, method, path string, values url.Values, header map[string]string) (int, string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(values.Encode()))
	require.NoError(s.t, err)
	if values != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for name, value := range header {
		if name == "Host" {
			req.Host = value
		} else {
			req.Header.Set(name, value)
		}
	}
	resp, err := browser.Do(req)
	require.NoError(s.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	require.Equal(s.t, "same-origin", resp.Header.Get("Referrer-Policy"), "else the origin of forms is null")
	require.Contains(s.t, resp.Header.Get("Content-Security-Policy"), "default-src 'none'; script-src 'self'")
	return resp.StatusCode, string(body)
}

// value is that of a hidden field in a form.
func value(t *testing.T, page, name string) string {
	t.Helper()
	_, rest, ok := strings.Cut(page, `name="`+name+`" value="`)
	require.True(t, ok, "%s in %s", name, page)
	text, _, _ := strings.Cut(rest, `"`)
	return text
}

func TestPagesShowTheLab(t *testing.T) {
	s := newSite(t)
	for path, wants := range map[string][]string{
		"/":                           {"0 / 1", "endpoint ep1 to svc1 is Disconnected", `<a href="/o/endpoints/ep1">`, "<svg"},
		"/objects":                    {"vSwitches", "ecs1", "1 connection", "0 of 1 healthy"},
		"/objects?q=ecs3":             {"ecs3", "1 found"},
		"/o/endpoint_services/svc1":   {"Endpoint connections", ">Allow</a>", "clb1@eu-central-1b"},
		"/o/endpoints/ep1":            {"Disconnected", "What its packets cross"},
		"/o/vpcs/vpc1/instances/ecs1": {"running", "10.0.0.182"},
		"/do/connection/accept?service=svc1&endpoint=ep1": {"<h1>Allow</h1>", "<option selected>svc1</option>"},
		"/events":     {"Nothing has happened yet"},
		"/steps":      {"Nothing was done here yet"},
		"/style.css":  {"prefers-color-scheme", ".picture svg{"},
		"/console.js": {"EventSource"},
	} {
		code, page := s.get(path)
		require.Equal(t, http.StatusOK, code, path)
		for _, want := range wants {
			require.Contains(t, page, want, path)
		}
	}
	for _, path := range []string{"/nothing", "/o/endpoints/nobody", "/o/nothing/here", "/do/nothing", "/o/"} {
		code, _ := s.get(path)
		require.Equal(t, http.StatusNotFound, code, path)
	}
}

func TestWhoGetsIn(t *testing.T) {
	s := newSite(t)
	stranger := &http.Client{}
	another := "http://evil.example"
	host := strings.TrimPrefix(s.url, "http://")
	base, err := url.Parse(s.url)
	require.NoError(t, err)
	cookie := s.browser.Jar.Cookies(base)[0].String()
	for _, tt := range []struct {
		name, method, path string
		browser            *http.Client
		header             map[string]string
		want               int
	}{
		{"the browser that has the cookie", "GET", "/", s.browser, nil, 200},
		{"no cookie", "GET", "/", stranger, nil, 403},
		{"no cookie for a style sheet", "GET", "/style.css", stranger, nil, 403},
		{"no cookie for the stream", "GET", "/stream", stranger, nil, 403},
		{"no token", "GET", "/open", stranger, nil, 403},
		{"a wrong token", "GET", "/open?token=ABC", stranger, nil, 403},
		{"a name that leads here by DNS rebinding", "GET", "/", s.browser, map[string]string{"Host": "evil.example:80"}, 403},
		{"an address of the network", "GET", "/", s.browser, map[string]string{"Host": "192.168.0.5:80"}, 403},
		{"a tunnel with another port", "GET", "/", s.browser, map[string]string{"Host": "localhost:9999", "Cookie": cookie}, 200},
		{"a form of another site", "POST", "/do/connection/accept", s.browser, map[string]string{"Origin": another}, 403},
		{"a form of a page without an origin", "POST", "/do/connection/accept", s.browser, map[string]string{"Origin": "null"}, 403},
		{"a form that does not say where it is from", "POST", "/do/connection/accept", s.browser, nil, 403},
		{"another port of this machine", "POST", "/do/connection/accept", s.browser, map[string]string{"Origin": "http://127.0.0.1:1"}, 403},
		{"https here", "POST", "/do/connection/accept", s.browser, map[string]string{"Origin": "https://" + host}, 403},
		{"a read by a script of another site", "GET", "/", s.browser, map[string]string{"Origin": another}, 403},
		{"a picture in a page of another site", "GET", "/", s.browser, map[string]string{"Sec-Fetch-Site": "cross-site"}, 403},
		{"a page of another port", "GET", "/", s.browser, map[string]string{"Sec-Fetch-Site": "same-site"}, 403},
		{"another method", "DELETE", "/", s.browser, map[string]string{"Origin": s.url}, 405},
		{"a write to what is for reading", "POST", "/", s.browser, map[string]string{"Origin": s.url}, 405},
		{"a read of what is for writing", "GET", "/ticket", s.browser, nil, 404},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, _ := s.send(tt.browser, tt.method, tt.path, nil, tt.header)
			require.Equal(t, tt.want, code)
		})
	}
	require.Empty(t, s.lab.done)
}

func TestATokenWorksOnce(t *testing.T) {
	s := newSite(t)
	ticket := s.console.Ticket()
	browser := func() *http.Client {
		jar, err := cookiejar.New(nil)
		require.NoError(t, err)
		return &http.Client{Jar: jar}
	}
	var codes [8]int
	var at sync.WaitGroup
	for i := range codes {
		at.Go(func() { codes[i], _ = s.send(browser(), "GET", ticket, nil, nil) })
	}
	at.Wait()
	let := 0
	for _, code := range codes {
		if code == http.StatusOK {
			let++
		}
	}
	require.Equal(t, 1, let, "of those that came at once: %v", codes)

	// The browser that is in can make an address for another one.
	code, page := s.post("/ticket", nil)
	require.Equal(t, http.StatusOK, code)
	_, rest, _ := strings.Cut(page, s.url)
	address, _, _ := strings.Cut(rest, "<")
	second := browser()
	resp, err := second.Get(s.url + address)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	cookies := resp.Cookies()
	require.Len(t, cookies, 1)
	require.True(t, cookies[0].HttpOnly)
	require.Equal(t, http.SameSiteStrictMode, cookies[0].SameSite)
	code, _ = s.send(second, "GET", "/", nil, nil)
	require.Equal(t, http.StatusOK, code)
}

func TestAFormDoesWhatACommandDoes(t *testing.T) {
	s := newSite(t)
	_, form := s.get("/do/connection/accept?service=svc1&endpoint=ep1&back=/o/endpoints/ep1")
	values := url.Values{"service": {"svc1"}, "endpoint": {"ep1"}, "back": {value(t, form, "back")},
		"seen.service": {value(t, form, "seen.service")}, "seen.endpoint": {value(t, form, "seen.endpoint")}}
	code, page := s.post("/do/connection/accept", values)
	require.Equal(t, http.StatusOK, code)
	require.Equal(t, []topology.Operation{{Verb: "accept", Service: "svc1", Endpoint: "ep1"}}, s.lab.done)
	for _, want := range []string{"it was done", "plinksim accept svc1 ep1", "EnableVpcEndpointConnection", "<h1>ep1 "} {
		require.Contains(t, page, want)
	}
	_, page = s.get("/steps")
	require.Contains(t, page, "plinksim accept svc1 ep1")

	// It goes on to a page of the console, whatever the form says.
	for _, back := range []string{"https://evil.example/", "//evil.example/", `/\evil.example`, "javascript:alert(1)"} {
		values.Set("back", back)
		code, _ = s.post("/do/connection/accept", values)
		require.Less(t, code, 500, back) // of the console: the client follows
	}
}

func TestARefusalStandsAtTheForm(t *testing.T) {
	s := newSite(t)
	s.lab.refuse = &api.Error{Text: "it cannot be " + markup, Hint: "do something else", Code: "wrong-state",
		Word:     "EndpointConnectionOperationDenied",
		Remedies: []topology.Remedy{topology.Doing(topology.Operation{Verb: "accept", Service: "svc1", Endpoint: "ep1"})}}
	code, page := s.post("/do/connection/accept", url.Values{"service": {"svc1"}, "endpoint": {"ep1"}, "bandwidth": {"200"}})
	require.Equal(t, http.StatusUnprocessableEntity, code)
	for _, want := range []string{"EndpointConnectionOperationDenied", "do something else", `value="200"`,
		`href="/do/connection/accept?endpoint=ep1&amp;service=svc1"`} {
		require.Contains(t, page, want)
	}
}

func TestAFormOfAStalePageIsRefused(t *testing.T) {
	s := newSite(t)
	_, form := s.get("/do/connection/accept?service=svc1&endpoint=ep1")
	values := url.Values{"service": {"svc1"}, "endpoint": {"ep1"}, "seen.endpoint": {value(t, form, "seen.endpoint")}}
	s.lab.set(func(l *status.Lab) {
		l.Endpoints = []status.Endpoint{{Name: "ep1", Account: "a", VPC: "vpc1", Service: "svc1", State: "Connected"}}
	})
	code, page := s.post("/do/connection/accept", values)
	require.Equal(t, http.StatusConflict, code)
	require.Contains(t, page, "ep1 is not as it was on your page")
	require.Empty(t, s.lab.done)

	// The page that says so is of now.
	values.Set("seen.endpoint", value(t, page, "seen.endpoint"))
	code, _ = s.post("/do/connection/accept", values)
	require.Equal(t, http.StatusOK, code)
	require.Len(t, s.lab.done, 1)

	// So it is with a value of the topology.
	code, page = s.post("/change/vpcs/vpc1/mtu", url.Values{"was": {"9000"}, "value": {"1400"}})
	require.Equal(t, http.StatusConflict, code)
	require.Contains(t, page, "is not as it was on your page")
	code, page = s.post("/change/vpcs/vpc1/mtu", url.Values{"was": {""}, "value": {"1400"}})
	require.Equal(t, http.StatusOK, code)
	require.Contains(t, page, "plinksim edit set vpcs/vpc1/mtu 1400")
	require.Equal(t, []topology.Edit{{Path: "vpcs/vpc1/mtu", Value: "1400"}}, s.lab.edits)
	require.Equal(t, map[string]string{"vpcs/vpc1/mtu": ""}, s.lab.were, "the daemon holds it to that")
}

func TestMarkupInNamesIsText(t *testing.T) {
	s := newSite(t)
	s.lab.events <- control.Event{Seq: 1, Kind: "edit", Name: markup, Text: markup}
	require.Eventually(t, func() bool {
		_, page := s.get("/events")
		return strings.Contains(page, "alert(1)")
	}, 5*time.Second, 10*time.Millisecond)
	for _, path := range []string{
		"/", "/events", "/events?q=" + url.QueryEscape(markup), "/objects?q=" + url.QueryEscape(markup), "/o/endpoint_services/svc1",
		"/o/endpoints/" + url.PathEscape(markup), "/do/connection/accept?service=" + url.QueryEscape(markup), "/" + url.PathEscape(markup),
		"/do/connection/accept?back=" + url.QueryEscape("/"+markup), "/change/" + url.PathEscape(markup),
	} {
		_, page := s.get(path)
		require.NotContains(t, page, "<script>", path)
		require.NotContains(t, page, `"><`+"script", path)
	}
	_, page := s.post("/do/connection/accept", url.Values{"service": {"svc1"}, "endpoint": {markup}, "bandwidth": {markup}})
	require.NotContains(t, page, "<script>")
}

func TestPagesHearOfEvents(t *testing.T) {
	s := newSite(t)
	req, err := http.NewRequestWithContext(t.Context(), "GET", s.url+"/stream", nil)
	require.NoError(t, err)
	resp, err := s.browser.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, "text/event-stream", resp.Header.Get("Content-Type"))
	lines := bufio.NewScanner(resp.Body)
	require.True(t, lines.Scan())
	s.lab.events <- control.Event{Seq: 7, Kind: "connection", Name: "svc1/ep1", Text: "ep1 is Connected"}
	heard := time.Now()
	for lines.Scan() && lines.Text() != "data: 7" {
	}
	require.Equal(t, "data: 7", lines.Text())
	require.Less(t, time.Since(heard), 5*time.Second)
	_, page := s.get("/o/endpoints/ep1")
	require.Contains(t, page, "ep1 is Connected")
}

func TestAPageThatIsStillTrueIsNotSentAgain(t *testing.T) {
	s := newSite(t)
	ask := func(tag string) (code int, newer, body string) {
		req, err := http.NewRequestWithContext(t.Context(), "GET", s.url+"/o/endpoints/ep1", nil)
		require.NoError(t, err)
		req.Header.Set("If-None-Match", tag)
		resp, err := s.browser.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, resp.Header.Get("ETag"), string(text)
	}
	code, tag, _ := ask(`"another"`)
	require.Equal(t, http.StatusOK, code)
	code, same, body := ask(tag)
	require.Equal(t, []any{http.StatusNotModified, tag, ""}, []any{code, same, body})

	s.lab.set(func(l *status.Lab) {
		l.Endpoints = []status.Endpoint{l.Endpoints[0]}
		l.Endpoints[0].State = "Connected"
	})
	s.lab.events <- control.Event{Seq: 1, Kind: control.KindConnection, Text: "it is connected"}
	require.Eventually(t, func() bool {
		code, newer, body := ask(tag)
		return code == http.StatusOK && newer != tag && strings.Contains(body, "Connected</span>")
	}, 10*time.Second, 10*time.Millisecond)
}

// However many pages ask, the lab is asked once.
func TestManyPagesAskTheLabOnce(t *testing.T) {
	s := newSite(t)
	s.get("/")
	s.lab.mu.Lock()
	before := s.lab.asked
	s.lab.mu.Unlock()
	begin := time.Now()
	var pages sync.WaitGroup
	for range 50 {
		pages.Go(func() { s.get("/") })
	}
	pages.Wait()
	s.lab.mu.Lock()
	defer s.lab.mu.Unlock()
	require.LessOrEqual(t, s.lab.asked-before, 2+int(time.Since(begin)/time.Second))
}

func FuzzHandlers(f *testing.F) {
	for _, seed := range [][3]string{
		{"GET", "/o/vpcs/vpc1/instances/ecs1", ""}, {"POST", "/do/connection/accept", "service=svc1&endpoint=ep1&seen.service=svc1%0Aab"},
		{"POST", "/change/vpcs/vpc1/mtu", "was=&value=%7B"}, {"GET", "/objects?q=%00&done=9", ""}, {"GET", "/open?token=", ""},
		{"GET", "/do/connection/accept?service=a&service=b&back=//x", ""}, {"PUT", "/ticket", "%zz"},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	s := newSite(f)
	jar := s.browser.Jar
	base, _ := url.Parse(s.url)
	cookie := jar.Cookies(base)[0]
	f.Fuzz(func(t *testing.T, method, path, body string) {
		target, err := url.ParseRequestURI(path)
		if err != nil || !strings.HasPrefix(path, "/") || target.Path == "/stream" || method == "" ||
			strings.ContainsFunc(method, func(r rune) bool { return r < 'A' || r > 'Z' }) {
			return
		}
		req := &http.Request{Method: method, URL: target, Host: base.Host, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", s.url)
		req.AddCookie(cookie)
		w := httptest.NewRecorder()
		s.console.ServeHTTP(w, req.WithContext(t.Context()))
		if w.Code >= 500 {
			t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
		}
		if strings.Contains(w.Body.String(), "<script>") {
			t.Fatalf("%s %s: a script in the page", method, path)
		}
		if to := w.Header().Get("Location"); to != "" && (!strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//")) {
			t.Fatalf("%s %s: leads away, to %s", method, path, to)
		}
	})
}
