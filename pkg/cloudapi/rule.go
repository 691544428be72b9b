package cloudapi

import (
	"maps"

	"github.com/plinksim/plinksim/pkg/topology"
)

// RuleValue is a rule of the plan as a topology file has it.
func RuleValue(r *topology.ListenerRule) Value {
	v := Value{"priority": r.Priority}
	if len(r.Hosts) > 0 {
		v["hosts"] = r.Hosts
	}
	if len(r.Paths) > 0 {
		v["paths"] = r.Paths
	}
	var sources []string
	for _, p := range r.Sources {
		sources = append(sources, p.String())
	}
	for key, list := range map[string][]string{"methods": r.Methods, "sources": sources} {
		if len(list) > 0 {
			v[key] = list
		}
	}
	var headers, query []Value
	for _, h := range r.Headers {
		headers = append(headers, Value{"name": h.Name, "values": h.Values})
	}
	for _, q := range r.Query {
		query = append(query, Value{"key": q.Key, "value": q.Value})
	}
	for key, list := range map[string][]Value{"headers": headers, "query": query} {
		if len(list) > 0 {
			v[key] = list
		}
	}
	maps.Copy(v, ActionValue(r.Action))
	return v
}

// ActionValue is an action of the plan as a topology file has it.
func ActionValue(a topology.Action) Value {
	switch {
	case len(a.Split) > 0:
		var shares []Value
		for _, s := range a.Split {
			shares = append(shares, Value{"server_group": s.ServerGroup, "weight": s.Weight})
		}
		return Value{"split": shares}
	case a.FixedResponse != nil:
		return Value{"fixed_response": Value{"status": a.FixedResponse.Status,
			"content_type": a.FixedResponse.ContentType, "body": a.FixedResponse.Body}}
	case a.Redirect != nil:
		d := Value{"status": a.Redirect.Status}
		for key, text := range map[string]string{"protocol": string(a.Redirect.Protocol), "host": a.Redirect.Host,
			"path": a.Redirect.Path, "query": a.Redirect.Query} {
			if text != "" {
				d[key] = text
			}
		}
		if a.Redirect.Port != 0 {
			d["port"] = int(a.Redirect.Port)
		}
		return Value{"redirect": d}
	}
	return Value{"server_group": a.ServerGroup}
}
