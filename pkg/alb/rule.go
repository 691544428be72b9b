package alb

import (
	"cmp"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/plinksim/plinksim/pkg/topology"
)

// rule is the first rule that matches, or one that leads to the listener's
// server group.
func (s *state) rule(r *http.Request) topology.ListenerRule {
	host := strings.ToLower(hostname(r.Host))
	for _, rule := range s.HTTP.Rules {
		if matchAny(rule.Hosts, host) && matchAny(rule.Paths, r.URL.Path) {
			return rule
		}
	}
	return topology.ListenerRule{ServerGroup: s.ServerGroup}
}

func matchAny(patterns []string, text string) bool {
	for _, p := range patterns {
		if match(p, text) {
			return true
		}
	}
	return len(patterns) == 0
}

// match says whether text is what a pattern describes, in which * is any number
// of characters, also none, and ? is one. It takes at most len(pattern) times
// len(text) steps: after a mismatch only the latest * has to take one more.
func match(pattern, text string) bool {
	p, t := 0, 0
	star, resume := -1, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, resume = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]):
			p++
			t++
		case star >= 0:
			resume++
			p, t = star+1, resume
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// hostname is a Host header without its port.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return host
}

func respond(w http.ResponseWriter, f *topology.FixedResponse) {
	w.Header().Set("Content-Type", cmp.Or(f.ContentType, "text/plain"))
	w.Header().Set("Content-Length", strconv.Itoa(len(f.Body)))
	w.WriteHeader(f.Status)
	w.Write([]byte(f.Body))
}

// location is where a redirect leads: the request's URL with what the redirect
// says otherwise. A port is left out where it is the protocol's own.
func location(to *topology.Redirect, protocol topology.Protocol, port uint16, r *http.Request) string {
	u := url.URL{
		Scheme: string(cmp.Or(to.Protocol, protocol)),
		Host:   cmp.Or(to.Host, hostname(r.Host)),
		Path:   r.URL.Path, RawPath: r.URL.RawPath,
		RawQuery: cmp.Or(to.Query, r.URL.RawQuery),
	}
	if to.Path != "" {
		u.Path, u.RawPath = to.Path, ""
	}
	if strings.Contains(u.Host, ":") && !strings.HasPrefix(u.Host, "[") {
		u.Host = "[" + u.Host + "]"
	}
	// A redirect to the other protocol leads to its own port, not to this one.
	if to.Protocol != "" && to.Protocol != protocol {
		port = 0
	}
	if p := cmp.Or(to.Port, port); p != 0 && p != standardPort(topology.Protocol(u.Scheme)) {
		u.Host += ":" + strconv.Itoa(int(p))
	}
	return u.String()
}

func standardPort(protocol topology.Protocol) uint16 {
	if protocol == topology.HTTPS {
		return 443
	}
	return 80
}
