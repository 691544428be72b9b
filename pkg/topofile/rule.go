package topofile

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/plinksim/plinksim/internal/spell"
	"github.com/plinksim/plinksim/pkg/topology"
)

// ruleBuilder builds the rules of listeners of layer 7.
type ruleBuilder struct{ *draft }

func (b ruleBuilder) rule(who string, lb *topology.LoadBalancer, l *topology.Listener, raw rawListenerRule) {
	if raw.Node == nil {
		return
	}
	who = fmt.Sprintf("%s: rule %d of %s port %d", who, raw.Priority.V, l.Protocol, l.Port)
	bounds := b.can.HTTP.Limits
	if raw.Priority.V > bounds.Priority {
		b.problem(raw.Priority.Node, fmt.Sprintf("write a number from 1 to %d", bounds.Priority),
			"%s: priority %d is more than %s takes", who, raw.Priority.V, b.plan.Cloud)
	}
	for _, other := range l.HTTP.Rules {
		if raw.Priority.given() && other.Priority == raw.Priority.V {
			b.problem(raw.Priority.Node, "give one of them another priority",
				"%s: another rule has the same priority", who)
		}
	}
	rule := topology.ListenerRule{
		Priority: raw.Priority.V,
		Hosts:    b.patterns(who, "host", raw.Hosts),
		Paths:    b.patterns(who, "path", raw.Paths),
		Methods:  b.methods(who, raw.Methods),
		Headers:  b.headers(who, raw.Headers),
	}
	for _, q := range raw.Query.Items {
		rule.Query = append(rule.Query, topology.QueryMatch{Key: q.Key.V, Value: q.Value.V})
	}
	for _, s := range raw.Sources.Items {
		rule.Sources = append(rule.Sources, b.network(who, "source", s))
	}
	named := 0
	for key, node := range map[string]*yaml.Node{"hosts": raw.Hosts.Node, "paths": raw.Paths.Node,
		"methods": raw.Methods.Node, "headers": raw.Headers.Node, "query": raw.Query.Node,
		"sources": raw.Sources.Node} {
		if node == nil {
			continue
		}
		named++
		if node.Kind == yaml.SequenceNode && len(node.Content) == 0 {
			b.problem(node, "name one, or leave the key out", "%s: the list of %s is empty", who, key)
		}
	}
	if named == 0 {
		b.problem(raw.Node, "add hosts: [...] or paths: [...]; what no rule is for is done by the listener itself",
			"%s is for no host and no path", who)
	}
	rule.Action = b.action(who, who, lb, l, rawAction{raw.ServerGroup, raw.Split, raw.FixedResponse, raw.Redirect, raw.Node})
	l.HTTP.Rules = append(l.HTTP.Rules, rule)
}

// methods are those of a rule (RFC 9110, 9.1).
func (b ruleBuilder) methods(who string, raw sequence[value[string]]) (out []string) {
	for _, v := range raw.Items {
		if v.given() && (v.V == "" || strings.ToUpper(v.V) != v.V || strings.ContainsAny(v.V, " \t*?")) {
			b.problem(v.Node, "write a method such as GET", "%s: method %q is not one", who, v.V)
			continue
		}
		out = append(out, v.V)
	}
	return out
}

func (b ruleBuilder) headers(who string, raw sequence[rawHeaderMatch]) (out []topology.HeaderMatch) {
	for _, h := range raw.Items {
		one := topology.HeaderMatch{Name: h.Name.V}
		for _, v := range h.Values.Items {
			one.Values = append(one.Values, v.V)
		}
		if strings.EqualFold(one.Name, "host") {
			b.problem(h.Name.Node, "use hosts", "%s: the header Host has a key of its own", who)
		}
		out = append(out, one)
	}
	return out
}

func (b ruleBuilder) patterns(who, what string, raw sequence[value[string]]) []string {
	var out []string
	for _, v := range raw.Items {
		switch {
		case !v.given():
		case v.V == "" || strings.ContainsAny(v.V, " \t\r\n"):
			b.problem(v.Node, "write it without blanks", "%s: %s %q has blanks or is empty", who, what, v.V)
		case what == "path" && !strings.HasPrefix(v.V, "/") && !strings.HasPrefix(v.V, "*"):
			b.problem(v.Node, fmt.Sprintf("write %q", "/"+v.V), "%s: path %q does not begin with / or *", who, v.V)
		case what == "host" && strings.ContainsAny(v.V, "/:"):
			b.problem(v.Node, "write a host name alone", "%s: host %q is more than a name", who, v.V)
		case what == "host":
			out = append(out, strings.ToLower(v.V))
		default:
			out = append(out, v.V)
		}
	}
	return out
}

// rawAction are the keys of what a rule or a listener does.
type rawAction struct {
	ServerGroup   value[string]
	Split         sequence[rawShare]
	FixedResponse *rawFixedResponse
	Redirect      *rawRedirect
	Node          *yaml.Node
}

// action is what a rule or a listener does; does is how messages name it.
func (b ruleBuilder) action(
	who, does string, lb *topology.LoadBalancer, l *topology.Listener, raw rawAction,
) (out topology.Action) {
	var actions []string
	if raw.ServerGroup.given() {
		actions = append(actions, "server_group")
		out.ServerGroup = raw.ServerGroup.V
		listenerBuilder(b).group(who, lb, l, raw.ServerGroup)
	}
	if raw.Split.Node != nil {
		actions = append(actions, "split")
		out.Split = b.split(who, lb, l, raw.Split)
	}
	if f := raw.FixedResponse; f != nil {
		actions = append(actions, "fixed_response")
		out.FixedResponse = &topology.FixedResponse{Status: f.Status.V, ContentType: f.ContentType.or("text/plain"),
			Body: f.Body.V}
		if f.Status.V/100 == 3 {
			b.problem(f.Status.Node, "use redirect", "%s: fixed_response status %d is a redirect", who, f.Status.V)
		}
		if most := b.can.HTTP.Limits.FixedResponseBody; len(f.Body.V) > most {
			b.problem(f.Body.Node, "write less",
				"%s: fixed_response body has %d bytes, and %d are possible", who, len(f.Body.V), most)
		}
	}
	if raw.Redirect != nil {
		actions = append(actions, "redirect")
		out.Redirect = b.redirect(who, raw.Redirect)
	}
	if len(actions) != 1 && !raw.ServerGroup.Bad {
		what := "nothing"
		if len(actions) > 1 {
			what = "several things: " + spell.List(actions)
		}
		b.problem(raw.Node, "write one of server_group, split, fixed_response and redirect", "%s does %s", does, what)
	}
	return out
}

// split are groups with weights. Where all are 0 every request is answered with 503.
func (b ruleBuilder) split(
	who string, lb *topology.LoadBalancer, l *topology.Listener, raw sequence[rawShare],
) (out []topology.Share) {
	for _, s := range raw.Items {
		if slices.ContainsFunc(out, func(o topology.Share) bool { return o.ServerGroup == s.ServerGroup.V }) {
			b.problem(s.ServerGroup.Node, "name it once", "%s: split: server group %q is there twice", who, s.ServerGroup.V)
		}
		listenerBuilder(b).group(who, lb, l, s.ServerGroup)
		out = append(out, topology.Share{ServerGroup: s.ServerGroup.V, Weight: s.Weight.V})
	}
	if len(out) == 0 && raw.Node.Kind == yaml.SequenceNode {
		b.problem(raw.Node, "name server groups: [{server_group: v1, weight: 90}, {server_group: v2, weight: 10}]",
			"%s: the list of split is empty", who)
	}
	return out
}

func (b ruleBuilder) redirect(who string, raw *rawRedirect) *topology.Redirect {
	r := &topology.Redirect{
		Status: raw.Status.or(301), Protocol: topology.Protocol(raw.Protocol.V), Host: raw.Host.V,
		Port: uint16(raw.Port.V), Path: raw.Path.V, Query: raw.Query.V,
	}
	if !slices.Contains([]int{301, 302, 303, 307, 308}, r.Status) {
		b.problem(raw.Status.Node, "write 301, 302, 303, 307 or 308", "%s: status %d is no redirect", who, r.Status)
	}
	if raw.Path.given() && !strings.HasPrefix(r.Path, "/") {
		b.problem(raw.Path.Node, fmt.Sprintf("write %q", "/"+r.Path),
			"%s: redirect path %q does not begin with /", who, r.Path)
	}
	if *r == (topology.Redirect{Status: r.Status}) && raw.Node != nil {
		b.problem(raw.Node, "write another protocol, host, port, path or query",
			"%s: the redirect leads to where it comes from", who)
	}
	return r
}
