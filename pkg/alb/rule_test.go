package alb

import (
	"cmp"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/topology"
)

func TestRulesAreAskedInTheirOrder(t *testing.T) {
	s := stateOf([]topology.ListenerRule{
		{Hosts: []string{"api.shop.example"}, Paths: []string{"/v?/*"}, Action: to("api")},
		{Hosts: []string{"*.shop.example", "shop.example"}, Action: to("shop")},
		{Paths: []string{"/static/*"}, Action: to("static")},
	})
	for _, tt := range []struct{ name, host, target, want string }{
		{"host and path match the first rule", "api.shop.example", "/v1/orders", "api"},
		{"the path of the first rule does not match, and the second has none", "api.shop.example", "/v10/orders", "shop"},
		{"one of two hosts is enough", "shop.example", "/", "shop"},
		{"a star needs its dot", "myshop.example", "/", "rest"},
		{"case does not matter in a host", "API.Shop.Example", "/v1/", "api"},
		{"case matters in a path", "api.shop.example", "/V1/", "shop"},
		{"the port of the Host header does not matter", "shop.example:8080", "/", "shop"},
		{"any host with the path", "10.0.0.1", "/static/a/b.css", "static"},
		{"a query is not part of the path", "10.0.0.1", "/x?/static/", "rest"},
		{"no rule matches", "10.0.0.1", "/", "rest"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", tt.target, nil)
			r.Host = tt.host
			require.Equal(t, tt.want, s.action(r).group())
		})
	}
}

func stateOf(rules []topology.ListenerRule) *state {
	s := &state{Config: Config{Listener: topology.Listener{ServerGroup: "rest",
		HTTP: &topology.HTTPListener{Rules: rules}}}}
	s.decide()
	return s
}

func to(group string) topology.Action { return topology.Action{ServerGroup: group} }

func TestRulesAskForWhatARequestHas(t *testing.T) {
	s := stateOf([]topology.ListenerRule{
		{Headers: []topology.HeaderMatch{{Name: "X-Version", Values: []string{"beta*", "v?"}},
			{Name: "user-agent", Values: []string{"*curl*"}}}, Action: to("headers")},
		{Query: []topology.QueryMatch{{Key: "version", Value: "v2"}, {Value: "*debug*"}}, Action: to("query")},
		{Methods: []string{"PUT", "DELETE"}, Action: to("methods")},
		{Sources: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}, Paths: []string{"/office"}, Action: to("sources")},
	})
	for _, tt := range []struct {
		name, method, target, from string
		header                     []string
		want                       string
	}{
		{"all headers", "GET", "/", "", []string{"X-Version", "BETA-3", "User-Agent", "curl/8"}, "headers"},
		{"one of two values of a header", "GET", "/", "", []string{"X-Version", "old", "X-Version", "v1", "User-Agent", "Curl"}, "headers"},
		{"one header of two", "GET", "/", "", []string{"X-Version", "beta"}, "rest"},
		{"a parameter, in whatever case", "GET", "/?a=b&Version=V2", "", nil, "query"},
		{"another parameter with the value", "GET", "/?a=v2", "", nil, "rest"},
		{"a value of any parameter, decoded", "GET", "/?a=b&x=no%20debug+please", "", nil, "query"},
		{"no query", "GET", "/version=v2", "", nil, "rest"},
		{"a method", "DELETE", "/", "", nil, "methods"},
		{"the address and the path", "GET", "/office", "10.1.2.3:4000", nil, "sources"},
		{"another address", "GET", "/office", "10.2.2.3:4000", nil, "rest"},
		{"the address and another path", "GET", "/", "10.1.2.3:4000", nil, "rest"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(tt.method, tt.target, nil)
			for i := 0; i < len(tt.header); i += 2 {
				r.Header.Add(tt.header[i], tt.header[i+1])
			}
			r.RemoteAddr = cmp.Or(tt.from, r.RemoteAddr)
			require.Equal(t, tt.want, s.action(r).group())
		})
	}
}

// Turns are spread, and exact over each round, from many goroutines too.
func TestGroupsShareRequestsByTheirWeights(t *testing.T) {
	a := actionOf(topology.Action{Split: []topology.Share{{ServerGroup: "v1", Weight: 9}, {ServerGroup: "v2", Weight: 1},
		{ServerGroup: "v3"}}})
	var seen sync.Map
	count := func(name string) *atomic.Int64 {
		n, _ := seen.LoadOrStore(name, new(atomic.Int64))
		return n.(*atomic.Int64)
	}
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			for range 10 {
				count(a.group()).Add(1)
			}
		})
	}
	all.Wait()
	require.EqualValues(t, 90, count("v1").Load())
	require.EqualValues(t, 10, count("v2").Load())
	for last := 0; last < 20; {
		round := 0
		for a.group() != "v2" {
			round++
		}
		require.LessOrEqual(t, round, 13, "a turn comes about once in ten")
		last += round + 1
	}
	none := actionOf(topology.Action{Split: []topology.Share{{ServerGroup: "v1"}}})
	require.Empty(t, none.group())
}

// FuzzMatch compares match with the same pattern as a regular expression.
func FuzzMatch(f *testing.F) {
	for _, pattern := range []string{"", "*", "?", "a*b?c", "**a", "a**", "/v?/*", "*.example"} {
		for _, text := range []string{"", "a", "ab", "axxbyc", "/v1/", "b.example"} {
			f.Add(pattern, text)
		}
	}
	f.Fuzz(func(t *testing.T, pattern, text string) {
		// Bytes are compared, and a regular expression looks at characters.
		for _, r := range pattern + text {
			if r >= 0x80 {
				t.Skip()
			}
		}
		naive := strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(regexp.QuoteMeta(pattern))
		require.Equal(t, regexp.MustCompile(`(?s)\A`+naive+`\z`).MatchString(text), match(pattern, text))
	})
}

func TestRedirectsLead(t *testing.T) {
	for _, tt := range []struct {
		name     string
		to       topology.Redirect
		protocol topology.Protocol
		port     uint16
		target   string
		want     string
	}{
		{"to https, at its own port", topology.Redirect{Protocol: "https"}, "http", 8080, "/a%2Fb?x=1", "https://shop.example/a%2Fb?x=1"},
		{"to another host, at the same port", topology.Redirect{Host: "new.example"}, "http", 8080, "/a", "http://new.example:8080/a"},
		{"to another port", topology.Redirect{Port: 8443}, "https", 443, "/a", "https://shop.example:8443/a"},
		{"to another path, with the query", topology.Redirect{Path: "/b"}, "http", 80, "/a?x=1", "http://shop.example/b?x=1"},
		{"to another query", topology.Redirect{Query: "y=2"}, "http", 80, "/a?x=1", "http://shop.example/a?y=2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", tt.target, nil)
			r.Host = "shop.example:1234"
			require.Equal(t, tt.want, location(&tt.to, tt.protocol, tt.port, r))
		})
	}
}
