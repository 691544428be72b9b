package alb

import (
	"cmp"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/plinksim/plinksim/pkg/topology"
)

// action is what becomes of a request, with the turns of its groups.
type action struct {
	topology.Action
	turns *turns
}

func actionOf(a topology.Action) action { return action{a, &turns{shares: a.Split}} }

// group is the name of the server group whose turn it is.
func (a *action) group() string {
	if len(a.Split) > 0 {
		return a.turns.next()
	}
	return a.ServerGroup
}

// action is that of the first rule that matches, or of the listener.
func (s *state) action(r *http.Request) *action {
	asked := question{r: r, host: strings.ToLower(hostname(r.Host))}
	for i := range s.HTTP.Rules {
		if asked.fits(&s.HTTP.Rules[i]) {
			return &s.rules[i]
		}
	}
	return &s.otherwise
}

// question is a request as rules look at it. What few rules ask for is read when the
// first does.
type question struct {
	r     *http.Request
	host  string
	query url.Values
}

func (q *question) fits(rule *topology.ListenerRule) bool {
	if !matchAny(rule.Hosts, q.host) || !matchAny(rule.Paths, q.r.URL.Path) ||
		len(rule.Methods) > 0 && !slices.Contains(rule.Methods, q.r.Method) ||
		len(rule.Query) > 0 && !q.asks(rule.Query) {
		return false
	}
	for _, h := range rule.Headers {
		if !slices.ContainsFunc(q.r.Header.Values(h.Name), func(v string) bool { return matchFold(h.Values, v) }) {
			return false
		}
	}
	client := addrPort(q.r.RemoteAddr).Addr()
	return len(rule.Sources) == 0 ||
		slices.ContainsFunc(rule.Sources, func(p netip.Prefix) bool { return p.Contains(client) })
}

// asks says whether the query has what one of the matches wants.
func (q *question) asks(wanted []topology.QueryMatch) bool {
	if q.query == nil {
		q.query = q.r.URL.Query()
	}
	for key, values := range q.query {
		for _, w := range wanted {
			if w.Key != "" && !matchFold([]string{w.Key}, key) {
				continue
			}
			if slices.ContainsFunc(values, func(v string) bool { return matchFold([]string{w.Value}, v) }) {
				return true
			}
		}
	}
	return false
}

// matchFold says whether one of the patterns describes a text, in whatever case.
func matchFold(patterns []string, text string) bool {
	text = strings.ToLower(text)
	return slices.ContainsFunc(patterns, func(p string) bool { return match(strings.ToLower(p), text) })
}

// turns are those of groups with weights. They are spread: at 3 to 1 the second group has
// each fourth turn (the smooth weighted round robin of nginx/nginx:
// src/http/ngx_http_upstream_round_robin.c).
type turns struct {
	shares []topology.Share

	mu   sync.Mutex
	owed []int // to each
}

// next is the group of this turn, "" where no group has a weight.
func (t *turns) next() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.owed == nil {
		t.owed = make([]int, len(t.shares))
	}
	best, sum := -1, 0
	for i, s := range t.shares {
		t.owed[i] += s.Weight
		sum += s.Weight
		if s.Weight > 0 && (best < 0 || t.owed[i] > t.owed[best]) {
			best = i
		}
	}
	if best < 0 {
		return ""
	}
	t.owed[best] -= sum
	return t.shares[best].ServerGroup
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
