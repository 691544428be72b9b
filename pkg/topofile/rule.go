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
	}
	if raw.Hosts.Node == nil && raw.Paths.Node == nil {
		b.problem(raw.Node, "add hosts: [...] or paths: [...]; what no rule is for goes to the listener's server group",
			"%s is for no host and no path", who)
	}
	b.action(who, lb, l, &rule, raw)
	l.HTTP.Rules = append(l.HTTP.Rules, rule)
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
	if raw.Node != nil && len(raw.Items) == 0 && raw.Node.Kind == yaml.SequenceNode {
		b.problem(raw.Node, "name one, or leave the key out", "%s: the list of %ss is empty", who, what)
	}
	return out
}

func (b ruleBuilder) action(
	who string, lb *topology.LoadBalancer, l *topology.Listener, rule *topology.ListenerRule, raw rawListenerRule,
) {
	var actions []string
	if raw.ServerGroup.given() {
		actions = append(actions, "server_group")
		rule.ServerGroup = raw.ServerGroup.V
		listenerBuilder(b).group(who, lb, l, raw.ServerGroup)
	}
	if f := raw.FixedResponse; f != nil {
		actions = append(actions, "fixed_response")
		rule.FixedResponse = &topology.FixedResponse{Status: f.Status.V, ContentType: f.ContentType.or("text/plain"),
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
		rule.Redirect = b.redirect(who, raw.Redirect)
	}
	if len(actions) != 1 && !raw.ServerGroup.Bad {
		what := "nothing"
		if len(actions) > 1 {
			what = "several things: " + spell.List(actions)
		}
		b.problem(raw.Node, "write one of server_group, fixed_response and redirect", "%s does %s", who, what)
	}
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
