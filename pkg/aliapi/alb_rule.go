package aliapi

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/plinksim/plinksim/pkg/cloudapi"
	"github.com/plinksim/plinksim/pkg/topology"
	"github.com/plinksim/plinksim/pkg/wire"
)

const noRule = "ResourceNotFound.Rule"

// ruleID is the identifier of a rule, which keeps it when its priority changes.
func (c balancing) ruleID(h *heard, priority int) string {
	if id := c.Record.Note(h.id, ruleNote(priority)); id != "" {
		return id
	}
	return c.Plan.NewID("rule", fmt.Sprint(h.id, " ", priority))
}

func ruleNote(priority int) string { return fmt.Sprint("rule ", priority) }

// rule finds a rule of one of the caller's listeners.
func (c balancing) rule(id string) (*heard, *topology.ListenerRule, error) {
	for _, h := range c.listeners(topology.ALB) {
		for i := range h.HTTP.Rules {
			if c.ruleID(h, h.HTTP.Rules[i].Priority) == id && !h.stopped {
				return h, &h.HTTP.Rules[i], nil
			}
		}
	}
	return nil, nil, notFound(noRule, "The specified rule %q does not exist, or its listener is stopped.", id)
}

func rulePart(priority int) string { return fmt.Sprint("priority=", priority) }

type (
	ruleCondition struct {
		Type                                                 string
		HostConfig, PathConfig, MethodConfig, SourceIpConfig *valuesConfig
		HeaderConfig                                         *struct {
			Key    string
			Values []string
		}
		QueryStringConfig *struct {
			Values []struct{ Key, Value string }
		}
	}
	valuesConfig struct{ Values []string }
	ruleAction   struct {
		Type               string
		ForwardGroupConfig *struct {
			ServerGroupTuples        []struct{ ServerGroupId, Weight string }
			ServerGroupStickySession *struct{ Enabled string }
		}
		FixedResponseConfig *struct{ Content, ContentType, HttpCode string }
		RedirectConfig      *redirect
	}
	redirect struct{ Host, HttpCode, Path, Port, Protocol, Query string }
)

func albRuleRows(a *adder) {
	ignored := []string{"RuleActions.Order", "a rule of a lab has one action",
		"RuleActions.ForwardGroupConfig.ServerGroupStickySession.Timeout", "no client of a lab stays with one of several groups"}
	op(a, "CreateRule", createRule, ignored...)
	op(a, "UpdateRuleAttribute", updateRule, ignored...)
	op(a, "DeleteRule", func(c balancing, in struct{ RuleId string }) (wire.M, error) {
		h, r, err := c.rule(in.RuleId)
		if err != nil {
			return nil, err
		}
		if err := c.Edit(topology.Edit{Path: h.at("rules", rulePart(r.Priority))}); err != nil {
			return nil, err
		}
		c.Change(h.id, func(t *cloudapi.Thing) { delete(t.Notes, ruleNote(r.Priority)) })
		c.Forget(in.RuleId)
		return c.job(nil), nil
	})
	list(a, listing{name: "ListRules", answer: "Rules", usual: 20, most: 100,
		filters: map[string]filter{"RuleIds": is("RuleId"), "ListenerIds": is("ListenerId"), "ListenerId": is("ListenerId"),
			"LoadBalancerIds": is("LoadBalancerId"), "Direction": is("Direction")},
		all: func(base *call) (out []wire.M, _ error) {
			c := balancing{base}
			for _, h := range c.listeners(topology.ALB) {
				for i := range h.HTTP.Rules {
					out = append(out, c.viewRule(h, &h.HTTP.Rules[i]))
				}
			}
			return out, nil
		}})
}

// conditionKeys are the keys of conditions in a topology file, by the types of the API.
var conditionKeys = map[string]string{"Host": "hosts", "Path": "paths", "Method": "methods", "SourceIp": "sources",
	"Header": "headers", "QueryString": "query"}

// values are those of a condition, as a topology file has them.
func (one ruleCondition) values() (out []any) {
	of := map[string]*valuesConfig{"Host": one.HostConfig, "Path": one.PathConfig, "Method": one.MethodConfig,
		"SourceIp": one.SourceIpConfig}[one.Type]
	switch h, q := one.HeaderConfig, one.QueryStringConfig; {
	case of != nil:
		for _, text := range of.Values {
			out = append(out, text)
		}
	case one.Type == "Header" && h != nil && len(h.Values) > 0:
		out = append(out, value{"name": h.Key, "values": h.Values})
	case one.Type == "QueryString" && q != nil:
		for _, pair := range q.Values {
			v := value{"value": cmp.Or(pair.Value, "*")}
			if pair.Key != "" {
				v["key"] = pair.Key
			}
			out = append(out, v)
		}
	}
	return out
}

// conditioned gives a rule its conditions, as a topology file has them. One type is there once,
// but for headers.
func conditioned(v value, conditions []ruleCondition) error {
	for _, key := range conditionKeys {
		delete(v, key)
	}
	for _, one := range conditions {
		key := conditionKeys[one.Type]
		if key == "" {
			return wire.Errorf("UnsupportedOperation", "The rules of a lab's ALB have conditions of the types %s, and not %s",
				strings.Join(slices.Sorted(maps.Keys(conditionKeys)), ", "), one.Type)
		}
		before, _ := v[key].([]any)
		values := one.values()
		if len(values) == 0 || len(before) > 0 && one.Type != "Header" {
			return wire.Errorf("IllegalParam.RuleConditions", "A condition of type %s is there once, with values.", one.Type)
		}
		v[key] = append(before, values...)
	}
	return nil
}

// acting gives a rule its action, as a topology file has it.
func (c balancing) acting(v value, actions []ruleAction) error {
	const does = "A rule of a lab's ALB has one action: ForwardGroup, FixedResponse or Redirect, with its configuration"
	for _, a := range actions {
		if !slices.Contains([]string{"ForwardGroup", "FixedResponse", "Redirect"}, a.Type) {
			return wire.Errorf("UnsupportedOperation", does+", and not %s", a.Type)
		}
	}
	if len(actions) != 1 {
		return wire.Errorf("UnsupportedOperation", does)
	}
	for _, key := range []string{"server_group", "split", "fixed_response", "redirect"} {
		delete(v, key)
	}
	switch a := actions[0]; {
	case a.Type == "ForwardGroup" && a.ForwardGroupConfig != nil:
		return c.forwarding(v, a)
	case a.Type == "FixedResponse" && a.FixedResponseConfig != nil:
		in := a.FixedResponseConfig
		status, err := strconv.Atoi(in.HttpCode)
		if err != nil {
			return wire.Errorf("IllegalParam.HttpCode", "The parameter HttpCode is no number.")
		}
		f := value{"status": status}
		if in.Content != "" {
			f["body"] = in.Content
		}
		if in.ContentType != "" {
			f["content_type"] = in.ContentType
		}
		v["fixed_response"] = f
	case a.Type == "Redirect" && a.RedirectConfig != nil:
		r, err := a.RedirectConfig.value()
		if err != nil {
			return err
		}
		v["redirect"] = r
	default:
		return wire.Errorf("IllegalParam.RuleActions", "The action %s has no configuration.", a.Type)
	}
	return nil
}

// usualWeight is that of a server group that has none.
const usualWeight = 100

// forwarding makes a rule lead to a server group, or share its requests among several by their
// weights.
func (c balancing) forwarding(v value, a ruleAction) error {
	config := a.ForwardGroupConfig
	if s := config.ServerGroupStickySession; s != nil && strings.EqualFold(s.Enabled, "true") {
		return wire.Errorf("UnsupportedOperation", "ServerGroupStickySession: no client of a lab stays with one of several"+
			" groups")
	}
	var shares []value
	for _, tuple := range config.ServerGroupTuples {
		_, g, err := c.serverGroup(tuple.ServerGroupId, ofALB.noGroup)
		if err != nil {
			return err
		}
		weight, err := strconv.Atoi(cmp.Or(tuple.Weight, strconv.Itoa(usualWeight)))
		if err != nil || weight < 0 || weight > 100 {
			return wire.Errorf("IllegalParam.Weight", "The Weight of a server group is a number from 0 to 100.")
		}
		if slices.ContainsFunc(shares, func(s value) bool { return s["server_group"] == g.Name }) {
			return wire.Errorf("IllegalParam.ServerGroupTuples", "The server group %q is there twice.", g.ID)
		}
		shares = append(shares, value{"server_group": g.Name, "weight": weight})
	}
	switch len(shares) {
	case 0:
		return wire.Errorf("IllegalParam.ServerGroupTuples", "The action ForwardGroup needs a server group.")
	case 1:
		v["server_group"] = shares[0]["server_group"]
	default:
		v["split"] = shares
	}
	return nil
}

// value is a redirection as a topology file has it: what is ${host} and so on is the request's.
func (r redirect) value() (value, error) {
	out := value{}
	for _, part := range []struct{ key, text, same string }{
		{"host", r.Host, "${host}"}, {"path", r.Path, "${path}"}, {"query", r.Query, "${query}"},
		{"protocol", strings.ToLower(r.Protocol), "${protocol}"},
	} {
		if part.text == "" || part.text == part.same {
			continue
		}
		if strings.Contains(part.text, "${") {
			return nil, wire.Errorf("UnsupportedOperation", "The redirections of a lab change the whole %s or nothing of it",
				part.key)
		}
		out[part.key] = part.text
	}
	for _, part := range []struct{ key, text string }{{"status", r.HttpCode}, {"port", r.Port}} {
		if part.text == "" || part.text == "${port}" {
			continue
		}
		n, err := strconv.Atoi(part.text)
		if err != nil {
			return nil, wire.Errorf("IllegalParam.RedirectConfig", "%q is no number.", part.text)
		}
		out[part.key] = n
	}
	return out, nil
}

func createRule(c balancing, in struct {
	ListenerId, RuleName, Direction string
	Priority                        int
	RuleConditions                  []ruleCondition
	RuleActions                     []ruleAction
	Tag                             []tag
}) (wire.M, error) {
	defer c.Locks.Hold("rules " + in.ListenerId)()
	h, err := ofALB.running(c, in.ListenerId)
	if err != nil {
		return nil, err
	}
	if in.Direction != "" && in.Direction != "Request" {
		return nil, wire.Errorf("UnsupportedOperation", "The rules of a lab's ALB are for requests")
	}
	for _, r := range h.HTTP.Rules {
		if r.Priority == in.Priority {
			return nil, wire.Errorf("Conflict.Priority", "There is already a rule with the priority %d.", in.Priority)
		}
	}
	v := value{"priority": in.Priority}
	if err := conditioned(v, in.RuleConditions); err != nil {
		return nil, err
	}
	if err := c.acting(v, in.RuleActions); err != nil {
		return nil, err
	}
	tags, err := tagsOf(in.Tag)
	if err != nil {
		return nil, err
	}
	if err := c.Edit(c.ruleEdit(h, v)); err != nil {
		return nil, err
	}
	id := c.NewID("rule")
	c.Change(h.id, func(t *cloudapi.Thing) { t.Notes[ruleNote(in.Priority)] = id })
	c.Created(id, tags, map[string]string{"name": in.RuleName})
	return c.job(wire.M{"RuleId": id}), nil
}

// ruleEdit adds a rule to a listener.
func (c balancing) ruleEdit(h *heard, v value) topology.Edit {
	if len(h.HTTP.Rules) == 0 {
		return topology.Edit{Path: h.at("rules"), Value: text([]value{v})}
	}
	return topology.Edit{Path: h.at("rules", topology.AtEnd), Value: text(v)}
}

func updateRule(c balancing, in struct {
	RuleId, RuleName string
	Priority         int
	RuleConditions   []ruleCondition
	RuleActions      []ruleAction
}) (wire.M, error) {
	h, r, err := c.rule(in.RuleId)
	if err != nil {
		return nil, err
	}
	defer c.Locks.Hold("rules " + h.id)()
	v := cloudapi.RuleValue(r)
	if in.Priority > 0 {
		v["priority"] = in.Priority
	}
	for _, other := range h.HTTP.Rules {
		if other.Priority == v["priority"] && other.Priority != r.Priority {
			return nil, wire.Errorf("Conflict.Priority", "There is already a rule with the priority %d.", other.Priority)
		}
	}
	if len(in.RuleConditions) > 0 {
		if err := conditioned(v, in.RuleConditions); err != nil {
			return nil, err
		}
	}
	if len(in.RuleActions) > 0 {
		if err := c.acting(v, in.RuleActions); err != nil {
			return nil, err
		}
	}
	if err := c.Edit(topology.Edit{Path: h.at("rules", rulePart(r.Priority)), Value: text(v)}); err != nil {
		return nil, err
	}
	c.Change(h.id, func(t *cloudapi.Thing) {
		delete(t.Notes, ruleNote(r.Priority))
		t.Notes[ruleNote(v["priority"].(int))] = in.RuleId
	})
	c.rename(in.RuleId, in.RuleName, "")
	return c.job(nil), nil
}

func (c balancing) viewRule(h *heard, r *topology.ListenerRule) wire.M {
	id := c.ruleID(h, r.Priority)
	action := wire.M{"Order": 1}
	switch {
	case len(r.Groups()) > 0:
		action["Type"] = "ForwardGroup"
		tuples := []wire.M{{"ServerGroupId": c.groupID(r.ServerGroup), "Weight": usualWeight}}
		if len(r.Split) > 0 {
			tuples = tuples[:0]
		}
		for _, share := range r.Split {
			tuples = append(tuples, wire.M{"ServerGroupId": c.groupID(share.ServerGroup), "Weight": share.Weight})
		}
		action["ForwardGroupConfig"] = wire.M{"ServerGroupTuples": tuples}
	case r.FixedResponse != nil:
		f := r.FixedResponse
		action["Type"] = "FixedResponse"
		action["FixedResponseConfig"] = wire.M{"HttpCode": strconv.Itoa(f.Status), "ContentType": f.ContentType,
			"Content": f.Body}
	case r.Redirect != nil:
		or := func(text, same string) string {
			if text == "" || text == "0" {
				return same
			}
			return text
		}
		d := r.Redirect
		action["Type"] = "Redirect"
		action["RedirectConfig"] = wire.M{"HttpCode": strconv.Itoa(d.Status), "Host": or(d.Host, "${host}"),
			"Path": or(d.Path, "${path}"), "Query": or(d.Query, "${query}"), "Protocol": or(upper(d.Protocol), "${protocol}"),
			"Port": or(strconv.Itoa(int(d.Port)), "${port}")}
	}
	return wire.M{"RuleId": id, "RuleName": c.Record.Note(id, "name"), "ListenerId": h.id, "LoadBalancerId": h.of.ID,
		"Priority": r.Priority, "Direction": "Request", "RuleStatus": c.stateOf(id, "Provisioning", "Available"),
		"RuleConditions": viewRuleConditions(r), "RuleActions": []wire.M{action}, "Tags": c.tags(id, "Key", "Value")}
}

func viewRuleConditions(r *topology.ListenerRule) []wire.M {
	out := []wire.M{}
	add := func(kind string, n int, config wire.M) {
		if n > 0 {
			out = append(out, wire.M{"Type": kind, kind + "Config": config})
		}
	}
	add("Host", len(r.Hosts), wire.M{"Values": r.Hosts})
	add("Path", len(r.Paths), wire.M{"Values": r.Paths})
	for _, h := range r.Headers {
		add("Header", 1, wire.M{"Key": h.Name, "Values": h.Values})
	}
	query := []wire.M{}
	for _, q := range r.Query {
		query = append(query, wire.M{"Key": q.Key, "Value": q.Value})
	}
	add("QueryString", len(query), wire.M{"Values": query})
	add("Method", len(r.Methods), wire.M{"Values": r.Methods})
	sources := []string{}
	for _, block := range r.Sources {
		sources = append(sources, block.String())
	}
	add("SourceIp", len(sources), wire.M{"Values": sources})
	return out
}
