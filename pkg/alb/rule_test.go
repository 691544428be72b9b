package alb

import (
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/topology"
)

func TestRulesAreAskedInTheirOrder(t *testing.T) {
	s := &state{Config: Config{Listener: topology.Listener{ServerGroup: "rest", HTTP: &topology.HTTPListener{Rules: []topology.ListenerRule{
		{Hosts: []string{"api.shop.example"}, Paths: []string{"/v?/*"}, ServerGroup: "api"},
		{Hosts: []string{"*.shop.example", "shop.example"}, ServerGroup: "shop"},
		{Paths: []string{"/static/*"}, ServerGroup: "static"},
	}}}}}
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
			require.Equal(t, tt.want, s.rule(r).ServerGroup)
		})
	}
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
