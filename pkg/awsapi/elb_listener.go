package awsapi

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/plinksim/plinksim/internal/derive"
	"github.com/plinksim/plinksim/pkg/cloudapi"
	"github.com/plinksim/plinksim/pkg/topology"
	"github.com/plinksim/plinksim/pkg/wire"
)

const ownCertificates = "the lab's certificate authority signs one for the names of the listener"

func listenerRows(a *adder) {
	ignored := []string{"Certificates", ownCertificates,
		"SslPolicy AlpnPolicy", "an https listener of a lab speaks TLS 1.2 and 1.3, without ALPN",
		"DefaultActions.ForwardConfig.TargetGroupStickinessConfig", "a lab's listener leads to one target group",
		"DefaultActions.ForwardConfig.TargetGroups.Weight", "a lab's listener leads to one target group",
		"DefaultActions.Order", "a lab's listener has one action"}
	op(a, "CreateListener", createListener, ignored...)
	op(a, "ModifyListener", modifyListener, ignored...)
	op(a, "DeleteListener", func(c balancing, in struct{ ListenerArn string }) (wire.M, error) {
		h, err := c.listener(in.ListenerArn)
		if err != nil {
			return nil, err
		}
		defer c.Locks.Hold("balancer " + c.balancerARN(h.balancer))()
		err = c.Edit(at(nil, balancerPath(h.balancer, "listeners", listenerPart(h.Listener))...)...)
		if err == nil {
			c.Forget(in.ListenerArn)
		}
		return nil, err
	})
	list(a, listing{name: "DescribeListeners", answer: "Listeners", ids: "ListenerArns", id: "ListenerArn",
		missing: "ListenerNotFound", text: "One or more listeners not found: %s", also: []string{"LoadBalancerArn"},
		all: func(base *call) (out []wire.M, _ error) {
			c := balancing{base}
			only, _ := c.Values["LoadBalancerArn"].(string)
			if only != "" {
				if _, err := c.balancer(only); err != nil {
					return nil, err
				}
			}
			if only == "" && len(stringsOf(c.Values["ListenerArns"])) == 0 {
				return nil, wire.Errorf("ValidationError",
					"You must specify either listener ARNs or a load balancer ARN")
			}
			for _, l := range c.ownBalancers() {
				if only == "" || c.balancerARN(l) == only {
					for _, h := range listenersOf(l) {
						out = append(out, c.viewListener(h))
					}
				}
			}
			return out, nil
		}})
	op(a, "DescribeListenerAttributes", func(c balancing, in struct{ ListenerArn string }) (wire.M, error) {
		h, err := c.listener(in.ListenerArn)
		if err != nil {
			return nil, err
		}
		return wire.M{"Attributes": viewAttributes(c.call, listenerAttributes, h)}, nil
	})
	op(a, "ModifyListenerAttributes", func(c balancing, in struct {
		ListenerArn string
		Attributes  []tag
	}) (wire.M, error) {
		h, err := c.listener(in.ListenerArn)
		if err == nil {
			err = setAttributes(c.call, listenerAttributes, h, in.Attributes)
		}
		if err == nil {
			h, err = c.listener(in.ListenerArn)
		}
		if err != nil {
			return nil, err
		}
		return wire.M{"Attributes": viewAttributes(c.call, listenerAttributes, h)}, nil
	})
	op(a, "DescribeListenerCertificates", func(c balancing, in struct{ ListenerArn string }) (wire.M, error) {
		_, err := c.listener(in.ListenerArn)
		return wire.M{"Certificates": []wire.M{}}, err
	}, "Marker PageSize", "there is nothing to list: "+ownCertificates)
}

// heard is a listener with its load balancer. One of TCP and UDP is one, of protocol
// TCPUDP.
type heard struct {
	*topology.Listener
	balancer *topology.LoadBalancer
}

func listenersOf(l *topology.LoadBalancer) (out []*heard) {
	for i := range l.Listeners {
		one := l.Listeners[i]
		if one.Joint {
			if one.Protocol == topology.UDP {
				continue
			}
			one.Protocol = topology.TCPUDP
		}
		out = append(out, &heard{&one, l})
	}
	return out
}

// listenerPart is the part of a path that leads to a listener.
func listenerPart(l *topology.Listener) string {
	protocol := l.Protocol
	if l.Joint {
		protocol = topology.TCPUDP
	}
	return fmt.Sprintf("protocol=%s,port=%d", protocol, l.Port)
}

// listenerARN keeps its end when the port or the protocol of a listener changes.
func (c balancing) listenerARN(h *heard) string {
	end := c.Record.Note(c.balancerARN(h.balancer), "listener "+listenerPart(h.Listener))
	if end == "" {
		end = listenerEnd(h)
	}
	return arnOf("elasticloadbalancing", c.Plan.Region, c.accountID(c.Plan.MustVPC(h.balancer.VPC).Account),
		"listener/"+h.balancer.ID+"/"+end)
}

func listenerEnd(h *heard) string {
	return derive.Text("listener "+h.balancer.ID+" "+listenerPart(h.Listener), 16, "0123456789abcdef")
}

func (c balancing) listener(arn string) (*heard, error) {
	for _, l := range c.ownBalancers() {
		for _, h := range listenersOf(l) {
			if c.listenerARN(h) == arn {
				return h, nil
			}
		}
	}
	return nil, wire.Errorf("ListenerNotFound", "One or more listeners not found: %s", arn)
}

func (c balancing) viewListener(h *heard) wire.M {
	m := wire.M{
		"ListenerArn": c.listenerARN(h), "LoadBalancerArn": c.balancerARN(h.balancer), "Port": int(h.Port),
		"Protocol": protocolName(h.Protocol), "DefaultActions": []wire.M{c.viewForward(h.ServerGroup, h.HTTP != nil)},
	}
	if h.Protocol == topology.HTTPS {
		m["SslPolicy"] = "ELBSecurityPolicy-TLS13-1-2-2021-06"
		m["Certificates"] = []wire.M{{"CertificateArn": c.arn("acm", "certificate/plinksim")}}
	}
	return m
}

// viewForward is an action that leads to a group.
func (c balancing) viewForward(group string, weighted bool) wire.M {
	g, err := c.Plan.ServerGroup(group)
	if err != nil {
		return wire.M{"Type": "forward"}
	}
	arn := c.groupARN(g)
	m := wire.M{"Type": "forward", "TargetGroupArn": arn}
	if weighted {
		m["Order"] = 1
		m["ForwardConfig"] = wire.M{"TargetGroups": []wire.M{{"TargetGroupArn": arn, "Weight": 1}},
			"TargetGroupStickinessConfig": wire.M{"Enabled": false}}
	}
	return m
}

// forward is an action that leads to a target group.
type forward struct {
	Type           string
	TargetGroupArn string
	ForwardConfig  *struct {
		TargetGroups []struct{ TargetGroupArn string }
	}
}

// action is what a rule does.
type action struct {
	Type           string
	TargetGroupArn string
	ForwardConfig  *struct {
		TargetGroups []struct{ TargetGroupArn string }
	}
	RedirectConfig      *struct{ Host, Path, Port, Protocol, Query, StatusCode string }
	FixedResponseConfig *struct{ ContentType, MessageBody, StatusCode string }
}

// forwarded is the name of the group that an action leads to.
func (c balancing) forwarded(a forward) (string, error) {
	arns := []string{}
	if a.TargetGroupArn != "" {
		arns = append(arns, a.TargetGroupArn)
	}
	if a.ForwardConfig != nil {
		for _, t := range a.ForwardConfig.TargetGroups {
			if !slices.Contains(arns, t.TargetGroupArn) {
				arns = append(arns, t.TargetGroupArn)
			}
		}
	}
	if a.Type != "forward" || len(arns) != 1 {
		return "", wire.Errorf("UnsupportedOperation",
			"A lab's listener forwards to one target group; rules can do more")
	}
	g, err := c.targetGroup(arns[0])
	if err != nil {
		return "", err
	}
	return g.Name, nil
}

func (c balancing) forwardedByDefault(actions []forward) (string, error) {
	if len(actions) != 1 {
		return "", wire.Errorf("ValidationError", "A listener must have one default action")
	}
	return c.forwarded(actions[0])
}

func createListener(c balancing, in struct {
	LoadBalancerArn, Protocol string
	Port                      int
	DefaultActions            []forward
	Tags                      []tag
}) (wire.M, error) {
	defer c.Locks.Hold("balancer " + in.LoadBalancerArn)()
	c.Plan = c.CurrentPlan()
	l, err := c.balancer(in.LoadBalancerArn)
	if err != nil {
		return nil, err
	}
	if in.Port < 1 || in.Port > 65535 || in.Protocol == "" {
		return nil, wire.Errorf("ValidationError", "A listener must have a protocol and a port from 1 to 65535")
	}
	group, err := c.forwardedByDefault(in.DefaultActions)
	if err != nil {
		return nil, err
	}
	tags, err := tagsOf(in.Tags)
	if err != nil {
		return nil, err
	}
	for _, h := range listenersOf(l) {
		if int(h.Port) == in.Port {
			return nil, wire.Errorf("DuplicateListener",
				"A listener already exists on this port for this load balancer '%s'",
				in.LoadBalancerArn)
		}
	}
	if err := c.supports(in.Protocol); err != nil {
		return nil, err
	}
	v := value{"protocol": strings.ToLower(in.Protocol), "port": in.Port, "server_group": group}
	if idle := c.meant(l, idleTimeout, ""); idle != "" && l.Type == topology.ALB {
		v["idle_timeout"] = idle + "s"
	}
	err = c.Edit(at(v, balancerPath(l, "listeners", topology.AtEnd)...)...)
	if err != nil {
		return nil, conflictOf(err, map[topology.Refusal]string{topology.Invalid: "InvalidConfigurationRequest"},
			"The listener cannot be created")
	}
	if l, err = c.balancer(in.LoadBalancerArn); err != nil {
		return nil, err
	}
	for _, h := range listenersOf(l) {
		if int(h.Port) == in.Port {
			c.Created(c.listenerARN(h), tags, nil)
			return wire.M{"Listeners": []wire.M{c.viewListener(h)}}, nil
		}
	}
	return nil, wire.Errorf("ListenerNotFound", "The listener was deleted meanwhile")
}

func (c balancing) supports(protocol string) error {
	if !slices.Contains([]string{"TCP", "UDP", "TCP_UDP", "HTTP", "HTTPS"}, protocol) {
		return wire.Errorf("UnsupportedOperation",
			"plinksim has listeners of TCP, UDP and TCP_UDP, HTTP and HTTPS, and not of %s",
			protocol)
	}
	return nil
}

func modifyListener(c balancing, in struct {
	ListenerArn, Protocol string
	Port                  int
	DefaultActions        []forward
}) (wire.M, error) {
	defer c.Locks.Hold("listener " + in.ListenerArn)()
	c.Plan = c.CurrentPlan()
	h, err := c.listener(in.ListenerArn)
	if err != nil {
		return nil, err
	}
	path := balancerPath(h.balancer, "listeners", listenerPart(h.Listener))
	var edits []topology.Edit
	if len(in.DefaultActions) > 0 {
		group, err := c.forwardedByDefault(in.DefaultActions)
		if err != nil {
			return nil, err
		}
		edits = append(edits, at(group, append(path, "server_group")...)...)
	}
	now := *h.Listener
	if in.Port != 0 && in.Port != int(h.Port) {
		for _, other := range listenersOf(h.balancer) {
			if int(other.Port) == in.Port {
				return nil, wire.Errorf("DuplicateListener", "A listener already exists on port %d", in.Port)
			}
		}
		now.Port = uint16(in.Port)
	}
	if in.Protocol != "" && in.Protocol != protocolName(h.Protocol) {
		if err := c.supports(in.Protocol); err != nil {
			return nil, err
		}
		now.Protocol = topology.Protocol(strings.ToLower(in.Protocol))
		now.Joint = now.Protocol == topology.TCPUDP
	}
	// What a path leads to changes its name with its port and protocol, so these are last.
	if now.Port != h.Port {
		edits = append(edits, at(int(now.Port), append(path, "port")...)...)
		path = balancerPath(h.balancer, "listeners", fmt.Sprintf("protocol=%s,port=%d", h.Protocol, now.Port))
	}
	if now.Protocol != h.Protocol {
		edits = append(edits, at(string(now.Protocol), append(path, "protocol")...)...)
	}
	if err := c.Edit(edits...); err != nil {
		return nil, conflictOf(err, map[topology.Refusal]string{topology.Invalid: "InvalidConfigurationRequest"},
			"The listener cannot be changed")
	}
	if now.Port != h.Port || now.Protocol != h.Protocol {
		end := in.ListenerArn[strings.LastIndex(in.ListenerArn, "/")+1:]
		c.Change(c.balancerARN(h.balancer), func(t *cloudapi.Thing) {
			delete(t.Notes, "listener "+listenerPart(h.Listener))
			t.Notes["listener "+listenerPart(&now)] = end
		})
	}
	if h, err = c.listener(in.ListenerArn); err != nil {
		return nil, err
	}
	return wire.M{"Listeners": []wire.M{c.viewListener(h)}}, nil
}

func ruleRows(a *adder) {
	ignored := []string{
		"Actions.ForwardConfig.TargetGroupStickinessConfig Actions.ForwardConfig.TargetGroups.Weight",
		"a lab's rule leads to one target group", "Actions.Order", "a lab's rule has one action",
	}
	op(a, "CreateRule", createRule, ignored...)
	op(a, "ModifyRule", modifyRule, append(ignored, "ResetTransforms", "a lab's rules transform nothing")...)
	op(a, "DeleteRule", func(c balancing, in struct{ RuleArn string }) (wire.M, error) {
		h, r, err := c.rule(in.RuleArn)
		if err != nil {
			return nil, err
		}
		if r == nil {
			return nil, wire.Errorf("OperationNotPermitted", "Default rule '%s' cannot be deleted", in.RuleArn)
		}
		err = c.Edit(at(nil, rulePath(h, r.Priority)...)...)
		if err == nil {
			c.Forget(in.RuleArn)
			c.Change(c.listenerARN(h), func(t *cloudapi.Thing) { delete(t.Notes, ruleNote(r.Priority)) })
		}
		return nil, err
	})
	op(a, "SetRulePriorities", setRulePriorities)
	list(a, listing{name: "DescribeRules", answer: "Rules", ids: "RuleArns", id: "RuleArn", missing: "RuleNotFound",
		text: "One or more rules not found: %s", also: []string{"ListenerArn"},
		all: func(base *call) (out []wire.M, _ error) {
			c := balancing{base}
			only, _ := c.Values["ListenerArn"].(string)
			if only != "" {
				if _, err := c.listener(only); err != nil {
					return nil, err
				}
			}
			for _, l := range c.ownBalancers() {
				for _, h := range listenersOf(l) {
					if h.HTTP != nil && (only == "" || c.listenerARN(h) == only) {
						out = append(out, c.viewRules(h)...)
					}
				}
			}
			return out, nil
		}})
}

func rulePath(h *heard, priority int) []string {
	return balancerPath(h.balancer, "listeners", listenerPart(h.Listener), "rules", fmt.Sprintf("priority=%d",
		priority))
}

func ruleNote(priority int) string { return fmt.Sprintf("rule %d", priority) }

// ruleARN keeps its end when the priority of a rule changes.
func (c balancing) ruleARN(h *heard, priority int) string {
	arn := c.listenerARN(h)
	end := c.Record.Note(arn, ruleNote(priority))
	if end == "" {
		end = derive.Text(fmt.Sprintf("rule %s %d", arn, priority), 16, "0123456789abcdef")
	}
	return strings.Replace(arn, ":listener/", ":listener-rule/", 1) + "/" + end
}

// rule finds a rule; nil is the default one of its listener.
func (c balancing) rule(arn string) (*heard, *topology.ListenerRule, error) {
	for _, l := range c.ownBalancers() {
		for _, h := range listenersOf(l) {
			if h.HTTP == nil {
				continue
			}
			for i := range h.HTTP.Rules {
				if c.ruleARN(h, h.HTTP.Rules[i].Priority) == arn {
					return h, &h.HTTP.Rules[i], nil
				}
			}
			if c.ruleARN(h, 0) == arn {
				return h, nil, nil
			}
		}
	}
	return nil, nil, wire.Errorf("RuleNotFound", "One or more rules not found: %s", arn)
}

func (c balancing) viewRules(h *heard) (out []wire.M) {
	for i := range h.HTTP.Rules {
		out = append(out, c.viewRuleOf(h, &h.HTTP.Rules[i]))
	}
	return append(out, wire.M{"RuleArn": c.ruleARN(h, 0), "Priority": "default", "IsDefault": true,
		"Conditions": []wire.M{},
		"Actions":    []wire.M{c.viewForward(h.ServerGroup, true)}})
}

func (c balancing) viewRuleOf(h *heard, r *topology.ListenerRule) wire.M {
	conditions := []wire.M{}
	if len(r.Hosts) > 0 {
		conditions = append(conditions, wire.M{"Field": "host-header", "Values": r.Hosts,
			"HostHeaderConfig": wire.M{"Values": r.Hosts}})
	}
	if len(r.Paths) > 0 {
		conditions = append(conditions, wire.M{"Field": "path-pattern", "Values": r.Paths,
			"PathPatternConfig": wire.M{"Values": r.Paths}})
	}
	var does wire.M
	switch {
	case r.ServerGroup != "":
		does = c.viewForward(r.ServerGroup, true)
	case r.FixedResponse != nil:
		does = wire.M{"Type": "fixed-response", "Order": 1, "FixedResponseConfig": wire.M{
			"StatusCode": strconv.Itoa(r.FixedResponse.Status), "ContentType": r.FixedResponse.ContentType,
			"MessageBody": r.FixedResponse.Body}}
	case r.Redirect != nil:
		does = wire.M{"Type": "redirect", "Order": 1, "RedirectConfig": viewRedirect(r.Redirect)}
	}
	return wire.M{"RuleArn": c.ruleARN(h, r.Priority), "Priority": strconv.Itoa(r.Priority), "IsDefault": false,
		"Conditions": conditions, "Actions": []wire.M{does}}
}

func viewRedirect(r *topology.Redirect) wire.M {
	or := func(text, usual string) string {
		if text == "" {
			return usual
		}
		return text
	}
	port := "#{port}"
	if r.Port != 0 {
		port = strconv.Itoa(int(r.Port))
	}
	return wire.M{"StatusCode": fmt.Sprintf("HTTP_%d", r.Status), "Protocol": or(protocolName(r.Protocol),
		"#{protocol}"),
		"Host": or(r.Host, "#{host}"), "Port": port, "Path": or(r.Path, "/#{path}"), "Query": or(r.Query, "#{query}")}
}

type condition struct {
	Field                               string
	Values                              []string
	HostHeaderConfig, PathPatternConfig *struct{ Values []string }
}

// ruleValue is a rule as a topology file has it.
func (c balancing) ruleValue(priority int, conditions []condition, actions []action) (value, error) {
	v := value{"priority": priority}
	for _, one := range conditions {
		values, key := one.Values, ""
		switch one.Field {
		case "host-header":
			key = "hosts"
			if one.HostHeaderConfig != nil {
				values = one.HostHeaderConfig.Values
			}
		case "path-pattern":
			key = "paths"
			if one.PathPatternConfig != nil {
				values = one.PathPatternConfig.Values
			}
		default:
			return nil, wire.Errorf("UnsupportedOperation",
				"plinksim's rules know host-header and path-pattern, and not %s", one.Field)
		}
		if len(values) == 0 || v[key] != nil {
			return nil, wire.Errorf("ValidationError", "A condition on %s must be there once, and have values",
				one.Field)
		}
		v[key] = values
	}
	if len(actions) != 1 {
		return nil, wire.Errorf("ValidationError", "A rule must have one action in a lab")
	}
	a := actions[0]
	switch {
	case a.Type == "fixed-response" && a.FixedResponseConfig != nil:
		status, err := parseNumber("StatusCode", a.FixedResponseConfig.StatusCode, 200, 599)
		if err != nil {
			return nil, err
		}
		f := value{"status": status}
		if a.FixedResponseConfig.MessageBody != "" {
			f["body"] = a.FixedResponseConfig.MessageBody
		}
		if a.FixedResponseConfig.ContentType != "" {
			f["content_type"] = a.FixedResponseConfig.ContentType
		}
		v["fixed_response"] = f
	case a.Type == "redirect" && a.RedirectConfig != nil:
		r, err := redirectValue(*a.RedirectConfig)
		if err != nil {
			return nil, err
		}
		v["redirect"] = r
	default:
		group, err := c.forwarded(forward{a.Type, a.TargetGroupArn, a.ForwardConfig})
		if err != nil {
			return nil, err
		}
		v["server_group"] = group
	}
	return v, nil
}

func redirectValue(in struct{ Host, Path, Port, Protocol, Query, StatusCode string }) (value, error) {
	status, err := parseNumber("StatusCode", strings.TrimPrefix(in.StatusCode, "HTTP_"), 301, 302)
	if err != nil {
		return nil, err
	}
	r := value{"status": status}
	for _, part := range []struct{ key, text, same string }{
		{"host", in.Host, "#{host}"}, {"path", in.Path, "/#{path}"}, {"query", in.Query, "#{query}"},
		{"protocol", strings.ToLower(in.Protocol), "#{protocol}"},
	} {
		if part.text == "" || part.text == part.same {
			continue
		}
		if strings.Contains(part.text, "#{") {
			return nil, wire.Errorf("UnsupportedOperation",
				"plinksim's redirects change the whole %s or nothing of it", part.key)
		}
		r[part.key] = part.text
	}
	if in.Port != "" && in.Port != "#{port}" {
		if r["port"], err = parseNumber("Port", in.Port, 1, 65535); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func createRule(c balancing, in struct {
	ListenerArn string
	Priority    int
	Conditions  []condition
	Actions     []action
	Tags        []tag
}) (wire.M, error) {
	h, err := c.listener(in.ListenerArn)
	if err != nil {
		return nil, err
	}
	defer c.Locks.Hold("balancer " + c.balancerARN(h.balancer))()
	if h.HTTP == nil {
		return nil, wire.Errorf("UnsupportedOperation", "Rules are of the listeners of Application Load Balancers")
	}
	if slices.ContainsFunc(h.HTTP.Rules, func(r topology.ListenerRule) bool { return r.Priority == in.Priority }) {
		return nil, wire.Errorf("PriorityInUse", "Priority '%d' is currently in use", in.Priority)
	}
	v, err := c.ruleValue(in.Priority, in.Conditions, in.Actions)
	if err != nil {
		return nil, err
	}
	tags, err := tagsOf(in.Tags)
	if err != nil {
		return nil, err
	}
	err = c.Edit(at(v, balancerPath(h.balancer, "listeners", listenerPart(h.Listener), "rules", topology.AtEnd)...)...)
	if err != nil {
		return nil, err
	}
	arn := c.ruleARN(h, in.Priority)
	c.Created(arn, tags, nil)
	return c.answerRule(arn)
}

func (c balancing) answerRule(arn string) (wire.M, error) {
	h, r, err := c.rule(arn)
	if err != nil {
		return nil, err
	}
	return wire.M{"Rules": []wire.M{c.viewRuleOf(h, r)}}, nil
}

func modifyRule(c balancing, in struct {
	RuleArn    string
	Conditions []condition
	Actions    []action
}) (wire.M, error) {
	h, r, err := c.rule(in.RuleArn)
	if err != nil {
		return nil, err
	}
	if r == nil {
		return nil, wire.Errorf("OperationNotPermitted", "Default rule '%s' cannot be modified: modify its listener",
			in.RuleArn)
	}
	v := ruleAsValue(r)
	if len(in.Conditions) > 0 {
		changed, err := c.ruleValue(r.Priority, in.Conditions, []action{{Type: "fixed-response",
			FixedResponseConfig: &struct{ ContentType, MessageBody, StatusCode string }{StatusCode: "200"}}})
		if err != nil {
			return nil, err
		}
		delete(v, "hosts")
		delete(v, "paths")
		for _, key := range []string{"hosts", "paths"} {
			if changed[key] != nil {
				v[key] = changed[key]
			}
		}
	}
	if len(in.Actions) > 0 {
		changed, err := c.ruleValue(r.Priority, nil, in.Actions)
		if err != nil {
			return nil, err
		}
		for _, key := range []string{"server_group", "fixed_response", "redirect"} {
			delete(v, key)
			if changed[key] != nil {
				v[key] = changed[key]
			}
		}
	}
	if err := c.Edit(at(v, rulePath(h, r.Priority)...)...); err != nil {
		return nil, err
	}
	return c.answerRule(in.RuleArn)
}

// ruleAsValue is a rule of the plan as a topology file has it.
func ruleAsValue(r *topology.ListenerRule) value {
	v := value{"priority": r.Priority}
	if len(r.Hosts) > 0 {
		v["hosts"] = r.Hosts
	}
	if len(r.Paths) > 0 {
		v["paths"] = r.Paths
	}
	switch {
	case r.ServerGroup != "":
		v["server_group"] = r.ServerGroup
	case r.FixedResponse != nil:
		v["fixed_response"] = value{"status": r.FixedResponse.Status, "content_type": r.FixedResponse.ContentType,
			"body": r.FixedResponse.Body}
	case r.Redirect != nil:
		d := value{"status": r.Redirect.Status}
		for key, text := range map[string]string{"protocol": string(r.Redirect.Protocol), "host": r.Redirect.Host,
			"path": r.Redirect.Path, "query": r.Redirect.Query} {
			if text != "" {
				d[key] = text
			}
		}
		if r.Redirect.Port != 0 {
			d["port"] = int(r.Redirect.Port)
		}
		v["redirect"] = d
	}
	return v
}

func setRulePriorities(c balancing, in struct {
	RulePriorities []struct {
		RuleArn  string
		Priority int
	}
}) (wire.M, error) {
	if len(in.RulePriorities) == 0 {
		return nil, wire.Errorf("ValidationError", "There are no priorities to set")
	}
	var of *heard
	moved := map[int]int{}
	ends := map[int]string{}
	for _, one := range in.RulePriorities {
		h, r, err := c.rule(one.RuleArn)
		if err != nil {
			return nil, err
		}
		if r == nil {
			return nil, wire.Errorf("OperationNotPermitted", "Default rule '%s' has no priority", one.RuleArn)
		}
		if of != nil && c.listenerARN(of) != c.listenerARN(h) {
			return nil, wire.Errorf("ValidationError", "The rules must be of one listener")
		}
		of, moved[r.Priority] = h, one.Priority
		ends[one.Priority] = one.RuleArn[strings.LastIndex(one.RuleArn, "/")+1:]
	}
	rules := []value{}
	taken := map[int]bool{}
	for i := range of.HTTP.Rules {
		r := of.HTTP.Rules[i]
		if to, moves := moved[r.Priority]; moves {
			r.Priority = to
		}
		if taken[r.Priority] {
			return nil, wire.Errorf("PriorityInUse", "Priority '%d' is currently in use", r.Priority)
		}
		taken[r.Priority] = true
		rules = append(rules, ruleAsValue(&r))
	}
	sort.Slice(rules, func(i, j int) bool { return rules[i]["priority"].(int) < rules[j]["priority"].(int) })
	err := c.Edit(at(rules, balancerPath(of.balancer, "listeners", listenerPart(of.Listener), "rules")...)...)
	if err != nil {
		return nil, err
	}
	c.Change(c.listenerARN(of), func(t *cloudapi.Thing) {
		for from := range moved {
			delete(t.Notes, ruleNote(from))
		}
		for priority, end := range ends {
			t.Notes[ruleNote(priority)] = end
		}
	})
	views := []wire.M{}
	for _, one := range in.RulePriorities {
		h, r, err := c.rule(one.RuleArn)
		if err != nil {
			return nil, err
		}
		views = append(views, c.viewRuleOf(h, r))
	}
	return wire.M{"Rules": views}, nil
}
