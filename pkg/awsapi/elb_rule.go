package awsapi

import (
	"fmt"
	"maps"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/plinksim/plinksim/internal/derive"
	"github.com/plinksim/plinksim/pkg/cloudapi"
	"github.com/plinksim/plinksim/pkg/topology"
	"github.com/plinksim/plinksim/pkg/wire"
)

func ruleRows(a *adder) {
	ignored := []string{"Actions.ForwardConfig.TargetGroupStickinessConfig.DurationSeconds", notSticky,
		"Actions.Order", "a lab's rule has one action"}
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
		"Actions":    []wire.M{c.viewAction(h.Default(), true)}})
}

func (c balancing) viewRuleOf(h *heard, r *topology.ListenerRule) wire.M {
	return wire.M{"RuleArn": c.ruleARN(h, r.Priority), "Priority": strconv.Itoa(r.Priority), "IsDefault": false,
		"Conditions": viewConditions(r), "Actions": []wire.M{c.viewAction(r.Action, true)}}
}

func viewConditions(r *topology.ListenerRule) []wire.M {
	out := []wire.M{}
	// values is a condition that is a list of texts; those of old have it twice.
	values := func(field, config string, values []string, old bool) {
		if len(values) == 0 {
			return
		}
		m := wire.M{"Field": field, config: wire.M{"Values": values}}
		if old {
			m["Values"] = values
		}
		out = append(out, m)
	}
	values("host-header", "HostHeaderConfig", r.Hosts, true)
	values("path-pattern", "PathPatternConfig", r.Paths, true)
	for _, h := range r.Headers {
		out = append(out, wire.M{"Field": "http-header", "HttpHeaderConfig": wire.M{"HttpHeaderName": h.Name,
			"Values": h.Values}})
	}
	var query []wire.M
	for _, q := range r.Query {
		one := wire.M{"Value": q.Value}
		if q.Key != "" {
			one["Key"] = q.Key
		}
		query = append(query, one)
	}
	if len(query) > 0 {
		out = append(out, wire.M{"Field": "query-string", "QueryStringConfig": wire.M{"Values": query}})
	}
	values("http-request-method", "HttpRequestMethodConfig", r.Methods, false)
	values("source-ip", "SourceIpConfig", sources(r), false)
	return out
}

func sources(r *topology.ListenerRule) (out []string) {
	for _, p := range r.Sources {
		out = append(out, p.String())
	}
	return out
}

type valuesConfig struct{ Values []string }

type condition struct {
	Field                               string
	Values                              []string
	HostHeaderConfig, PathPatternConfig *valuesConfig
	HttpHeaderConfig                    *struct {
		HttpHeaderName string
		Values         []string
	}
	QueryStringConfig *struct {
		Values []struct{ Key, Value string }
	}
	HttpRequestMethodConfig, SourceIpConfig *valuesConfig
}

// conditionKeys are the keys of conditions in a topology file.
var conditionKeys = []string{"hosts", "paths", "headers", "query", "methods", "sources"}

// conditionValue is the key of a condition in a topology file, with its value.
func conditionValue(one condition) (key string, _ []any, _ error) {
	values := one.Values
	config := map[string]*valuesConfig{"host-header": one.HostHeaderConfig, "path-pattern": one.PathPatternConfig,
		"http-request-method": one.HttpRequestMethodConfig, "source-ip": one.SourceIpConfig}[one.Field]
	if config != nil {
		values = config.Values
	}
	key = map[string]string{"host-header": "hosts", "path-pattern": "paths", "http-request-method": "methods",
		"source-ip": "sources", "http-header": "headers", "query-string": "query"}[one.Field]
	var out []any
	switch {
	case key == "":
		return "", nil, wire.Errorf("ValidationError", "Condition field '%s' is not valid", one.Field)
	case key == "headers" && one.HttpHeaderConfig != nil && len(one.HttpHeaderConfig.Values) > 0:
		out = append(out, value{"name": one.HttpHeaderConfig.HttpHeaderName, "values": one.HttpHeaderConfig.Values})
	case key == "query" && one.QueryStringConfig != nil:
		for _, q := range one.QueryStringConfig.Values {
			v := value{"value": q.Value}
			if q.Key != "" {
				v["key"] = q.Key
			}
			out = append(out, v)
		}
	default:
		for _, text := range values {
			out = append(out, text)
		}
	}
	if len(out) == 0 {
		return "", nil, wire.Errorf("ValidationError", "A condition on %s must have values", one.Field)
	}
	return key, out, nil
}

// conditionsValue are conditions as a topology file has them. One field is there once, but
// for headers.
func conditionsValue(conditions []condition) (value, error) {
	v := value{}
	for _, one := range conditions {
		key, values, err := conditionValue(one)
		if err != nil {
			return nil, err
		}
		before, _ := v[key].([]any)
		if len(before) > 0 && key != "headers" {
			return nil, wire.Errorf("ValidationError", "A condition on %s must be there once in a lab", one.Field)
		}
		v[key] = append(before, values...)
	}
	return v, nil
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
	v, err := conditionsValue(in.Conditions)
	if err != nil {
		return nil, err
	}
	does, err := c.actionValue(in.Actions, true)
	if err != nil {
		return nil, err
	}
	maps.Copy(v, does)
	v["priority"] = in.Priority
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
	v := cloudapi.RuleValue(r)
	replace := func(keys []string, with value) {
		for _, key := range keys {
			delete(v, key)
		}
		maps.Copy(v, with)
	}
	if len(in.Conditions) > 0 {
		changed, err := conditionsValue(in.Conditions)
		if err != nil {
			return nil, err
		}
		replace(conditionKeys, changed)
	}
	if len(in.Actions) > 0 {
		changed, err := c.actionValue(in.Actions, true)
		if err != nil {
			return nil, err
		}
		replace(actionKeys, changed)
	}
	if err := c.Edit(at(v, rulePath(h, r.Priority)...)...); err != nil {
		return nil, err
	}
	return c.answerRule(in.RuleArn)
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
		rules = append(rules, cloudapi.RuleValue(&r))
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
