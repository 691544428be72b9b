package awsapi

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/plinksim/plinksim/pkg/cloudapi"
	"github.com/plinksim/plinksim/pkg/topology"
	"github.com/plinksim/plinksim/pkg/wire"
)

// action is what a listener or a rule does.
type action struct {
	Type, TargetGroupArn string
	ForwardConfig        *struct {
		TargetGroups []struct {
			TargetGroupArn string
			Weight         *int
		}
		TargetGroupStickinessConfig *struct{ Enabled bool }
	}
	RedirectConfig      *redirectConfig
	FixedResponseConfig *struct{ ContentType, MessageBody, StatusCode string }
}

type redirectConfig struct{ Host, Path, Port, Protocol, Query, StatusCode string }

const notSticky = "a client of a lab does not stay with one of several target groups"

// actionKeys are the keys of actions in a topology file.
var actionKeys = []string{"server_group", "split", "fixed_response", "redirect"}

// actionValue is the only action of a listener or a rule as a topology file has it. Only
// those of ALBs do anything but forward to one group.
func (c balancing) actionValue(actions []action, application bool) (value, error) {
	if len(actions) != 1 {
		return nil, wire.Errorf("ValidationError", "A listener or a rule must have one action in a lab")
	}
	a := actions[0]
	switch {
	case a.Type == "forward":
		return c.forwardValue(a, application)
	case !application:
		return nil, wire.Errorf("InvalidLoadBalancerAction",
			"A listener of a Network Load Balancer forwards, and '%s' is of an Application Load Balancer", a.Type)
	case a.Type == "fixed-response" && a.FixedResponseConfig != nil:
		f := a.FixedResponseConfig
		status, err := parseNumber("StatusCode", f.StatusCode, 200, 599)
		if err != nil {
			return nil, err
		}
		v := value{"status": status}
		if f.MessageBody != "" {
			v["body"] = f.MessageBody
		}
		if f.ContentType != "" {
			v["content_type"] = f.ContentType
		}
		return value{"fixed_response": v}, nil
	case a.Type == "redirect" && a.RedirectConfig != nil:
		r, err := redirectValue(*a.RedirectConfig)
		return value{"redirect": r}, err
	case slices.Contains([]string{"fixed-response", "redirect"}, a.Type):
		return nil, wire.Errorf("InvalidLoadBalancerAction", "The configuration of the action '%s' is missing", a.Type)
	}
	return nil, wire.Errorf("UnsupportedOperation", "A lab's load balancers have no action '%s'", a.Type)
}

func (c balancing) forwardValue(a action, application bool) (value, error) {
	var shares []value
	plain := true // one group with the usual weight
	add := func(arn string, weight *int) error {
		g, err := c.targetGroup(arn)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(shares, func(s value) bool { return s["server_group"] == g.Name }) {
			return wire.Errorf("ValidationError", "The target group '%s' must be there once", arn)
		}
		n := 1
		if weight != nil {
			n = *weight
		}
		if n < 0 || n > 999 {
			return wire.Errorf("ValidationError", "The weight '%d' must be from 0 to 999", n)
		}
		plain = len(shares) == 0 && n == 1
		shares = append(shares, value{"server_group": g.Name, "weight": n})
		return nil
	}
	config := a.ForwardConfig
	if config != nil {
		for _, t := range config.TargetGroups {
			if err := add(t.TargetGroupArn, t.Weight); err != nil {
				return nil, err
			}
		}
	}
	if a.TargetGroupArn != "" && len(shares) == 0 {
		if err := add(a.TargetGroupArn, nil); err != nil {
			return nil, err
		}
	} else if a.TargetGroupArn != "" {
		if g, err := c.targetGroup(a.TargetGroupArn); err != nil || len(shares) > 1 || shares[0]["server_group"] != g.Name {
			return nil, wire.Errorf("ValidationError",
				"TargetGroupArn must be the only target group of ForwardConfig where both are there")
		}
	}
	switch {
	case len(shares) == 0:
		return nil, wire.Errorf("ValidationError", "A target group must be specified")
	case len(shares) > 1 && !application:
		return nil, wire.Errorf("UnsupportedOperation",
			"A lab's Network Load Balancer forwards to one target group; an Application Load Balancer can share out")
	case len(shares) > 1 && config.TargetGroupStickinessConfig != nil && config.TargetGroupStickinessConfig.Enabled:
		return nil, wire.Errorf("UnsupportedOperation", "TargetGroupStickinessConfig: %s", notSticky)
	case plain || !application:
		return value{"server_group": shares[0]["server_group"]}, nil
	}
	return value{"split": shares}, nil
}

func redirectValue(in redirectConfig) (value, error) {
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

// actionEdits make a listener do what v says, which does now what the plan says.
func actionEdits(path []string, now topology.Action, v value) (edits []topology.Edit) {
	before := cloudapi.ActionValue(now)
	for _, key := range actionKeys {
		switch {
		case v[key] != nil:
			edits = append(edits, at(v[key], append(slices.Clone(path), key)...)...)
		case before[key] != nil:
			edits = append(edits, at(nil, append(slices.Clone(path), key)...)...)
		}
	}
	return edits
}

// viewAction is an action as Elastic Load Balancing has it; whole says what those of
// Application Load Balancers say beside.
func (c balancing) viewAction(a topology.Action, whole bool) wire.M {
	switch {
	case a.FixedResponse != nil:
		return wire.M{"Type": "fixed-response", "Order": 1, "FixedResponseConfig": wire.M{
			"StatusCode": strconv.Itoa(a.FixedResponse.Status), "ContentType": a.FixedResponse.ContentType,
			"MessageBody": a.FixedResponse.Body}}
	case a.Redirect != nil:
		return wire.M{"Type": "redirect", "Order": 1, "RedirectConfig": viewRedirect(a.Redirect)}
	}
	shares := a.Split
	if len(shares) == 0 {
		shares = []topology.Share{{ServerGroup: a.ServerGroup, Weight: 1}}
	}
	m, groups := wire.M{"Type": "forward"}, []wire.M{}
	for _, s := range shares {
		if g, err := c.Plan.ServerGroup(s.ServerGroup); err == nil {
			groups = append(groups, wire.M{"TargetGroupArn": c.groupARN(g), "Weight": s.Weight})
		}
	}
	if len(groups) == 1 {
		m["TargetGroupArn"] = groups[0]["TargetGroupArn"]
	}
	if whole {
		m["Order"] = 1
		m["ForwardConfig"] = wire.M{"TargetGroups": groups, "TargetGroupStickinessConfig": wire.M{"Enabled": false}}
	}
	return m
}

func viewRedirect(r *topology.Redirect) wire.M {
	port := "#{port}"
	if r.Port != 0 {
		port = strconv.Itoa(int(r.Port))
	}
	return wire.M{"StatusCode": fmt.Sprintf("HTTP_%d", r.Status),
		"Protocol": cmp.Or(protocolName(r.Protocol), "#{protocol}"), "Host": cmp.Or(r.Host, "#{host}"), "Port": port,
		"Path": cmp.Or(r.Path, "/#{path}"), "Query": cmp.Or(r.Query, "#{query}")}
}
