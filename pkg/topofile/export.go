package topofile

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/plinksim/plinksim/pkg/topology"
)

// Exported is a document with what operations changed since: planned is its
// plan, and now is the plan with their live overrides. The notes are what no
// file can say.
func (d *Document) Exported(planned, now *topology.Plan) (out *Document, notes []string, err error) {
	e := exporter{Document: d, planned: planned, now: now}
	for i := range planned.Services {
		e.service(&planned.Services[i])
	}
	for i := range planned.Endpoints {
		e.endpoint(&planned.Endpoints[i])
	}
	for i := range planned.NATGateways {
		e.gateway(&planned.NATGateways[i])
	}
	for i := range planned.ServerGroups {
		e.servers(&planned.ServerGroups[i])
	}
	out, err = d.With(e.edits...)
	return out, e.notes, err
}

// exporter makes edits of what is different now.
type exporter struct {
	*Document
	planned, now *topology.Plan

	edits []topology.Edit
	notes []string
}

// set writes a value where there is another one.
func (e *exporter) set(different bool, value any, path ...string) {
	if !different {
		return
	}
	var node yaml.Node
	if err := node.Encode(value); err != nil {
		panic("plain values can be written: " + err.Error())
	}
	e.edits = append(e.edits, topology.Edit{Path: topology.JoinPath(path...), Value: valueText(&node)})
}

func (e *exporter) note(format string, args ...any) {
	e.notes = append(e.notes, fmt.Sprintf(format, args...))
}

// exists writes whether an object is there.
func (e *exporter) exists(absent, gone bool, section, name string) {
	e.set(absent != gone, !gone, section, name, "exists")
}

func (e *exporter) service(was *topology.EndpointService) {
	const section = "endpoint_services"
	is, err := e.now.Service(was.Name)
	e.exists(was.Absent, err != nil, section, was.Name)
	if err != nil {
		return
	}
	e.set(is.Description != was.Description, is.Description, section, was.Name, "description")
	e.set(is.AutoAccept != was.AutoAccept, is.AutoAccept, section, was.Name, "auto_accept")
	e.set(is.ZoneAffinity != was.ZoneAffinity, is.ZoneAffinity, section, was.Name, "zone_affinity")
	e.set(is.Bandwidth != was.Bandwidth, megabitsText(is.Bandwidth), section, was.Name, "bandwidth")
	whitelist := e.whitelist(is)
	others := slices.DeleteFunc(slices.Clone(whitelist), func(a string) bool { return a == was.Account })
	e.set(!slices.Equal(whitelist, was.Whitelist), others, section, was.Name, "whitelist")
	if slices.Equal(is.Resources, was.Resources) {
		return
	}
	names := []string{}
	for _, r := range is.Resources {
		if name := r.LoadBalancer + r.NATGateway; !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, name := range names {
		offer, err := e.now.Offer(name)
		if err == nil && slices.ContainsFunc(offer.Resources, func(r topology.Resource) bool {
			return !slices.Contains(is.Resources, r)
		}) {
			e.note("endpoint service %q offers %s in some of its zones, and a file in all", was.Name, name)
		}
	}
	e.set(true, names, section, was.Name, "resources")
	e.set(len(names) == 0 && is.ResourceType() != "", is.ResourceType(), section, was.Name, "resource_type")
	if is.Account != "" {
		e.set(true, is.Account, section, was.Name, "account")
	}
}

// whitelist is that of a service, with the accounts that had an endpoint when they were
// taken off it: they keep it, and a file says so by having them.
func (e *exporter) whitelist(is *topology.EndpointService) []string {
	whitelist := is.Whitelist
	for i := range e.now.Endpoints {
		ep := &e.now.Endpoints[i]
		if ep.Service != is.Name || is.Sees(ep.Account) || slices.Contains(whitelist, ep.Account) {
			continue
		}
		whitelist = append(slices.Clone(whitelist), ep.Account)
		e.note("endpoint service %q has account %q on its whitelist in the file, as endpoint %q is from before it was "+
			"taken off", is.Name, ep.Account, ep.Name)
	}
	return whitelist
}

func megabitsText(n int) any {
	if n == 0 {
		return "none"
	}
	return n
}

func (e *exporter) endpoint(was *topology.Endpoint) {
	const section = "endpoints"
	is, err := e.now.Endpoint(was.Name)
	e.exists(was.Absent, err != nil, section, was.Name)
	if err != nil {
		return
	}
	e.set(is.Description != was.Description, is.Description, section, was.Name, "description")
	e.set(is.PrivateDNS != was.PrivateDNS, is.PrivateDNS, section, was.Name, "private_dns")
	affinity := was.ZoneAffinity
	if service, err := e.now.Service(was.Service); err == nil && !was.OwnAffinity {
		affinity = service.ZoneAffinity
	}
	e.set(is.ZoneAffinity != affinity, is.ZoneAffinity, section, was.Name, "zone_affinity")
	e.bandwidth(was, is)
	e.set(!slices.Equal(is.SecurityGroups, was.SecurityGroups), append([]string{}, is.SecurityGroups...), section,
		was.Name, "security_groups")
	for _, zone := range was.Zones {
		if _, err := is.Zone(zone.Zone); err == nil {
			continue
		}
		subnet := zone.Subnet
		if list := e.find(topology.JoinPath(section, was.Name, "subnets")); follow(list).Kind == yaml.SequenceNode {
			subnet = "=" + subnet
		}
		e.edits = append(e.edits, topology.Edit{Path: topology.JoinPath(section, was.Name, "subnets", subnet)})
	}
}

// bandwidth writes that of an endpoint where its connection has another than the
// file gives it: its own, or that of its service as it is now.
func (e *exporter) bandwidth(was, is *topology.Endpoint) {
	const section = "endpoints"
	given := func(keys ...string) bool {
		return e.find(topology.JoinPath(append([]string{section, was.Name, "impairments"}, keys...)...)) != nil
	}
	service, err := e.now.Service(was.Service)
	of := func(direction string, planned topology.Impairment) int64 {
		if err != nil || given("bandwidth") || given(direction, "bandwidth") {
			return planned.Bandwidth
		}
		return int64(service.Bandwidth) * 1e6
	}
	now := is.Impairments.ToProvider.Bandwidth // operations give both directions the same
	if now == of("to_provider", was.Impairments.ToProvider) &&
		is.Impairments.ToConsumer.Bandwidth == of("to_consumer", was.Impairments.ToConsumer) {
		return
	}
	e.set(true, topology.FormatRate(now), section, was.Name, "impairments", "bandwidth")
	for _, direction := range []string{"to_provider", "to_consumer"} {
		if given(direction, "bandwidth") {
			e.edits = append(e.edits, topology.Edit{
				Path: topology.JoinPath(section, was.Name, "impairments", direction, "bandwidth"),
			})
		}
	}
}

func (e *exporter) gateway(was *topology.NATGateway) {
	const section = "nat_gateways"
	is, err := e.now.NATGateway(was.Name)
	if err != nil {
		if slices.ContainsFunc(e.planned.Services, func(s topology.EndpointService) bool {
			return slices.ContainsFunc(s.Resources, func(r topology.Resource) bool { return r.NATGateway == was.Name })
		}) {
			e.note("NAT gateway %q was deleted, and a file in which a service offers it has it", was.Name)
			return
		}
		e.edits = append(e.edits, topology.Edit{Path: topology.JoinPath(section, was.Name)})
		return
	}
	addresses := func(g *topology.NATGateway) []string {
		out := []string{}
		for _, ip := range g.NATIPs[min(1, len(g.NATIPs)):] {
			out = append(out, ip.IP.String())
		}
		return out
	}
	e.set(!slices.Equal(addresses(is), addresses(was)), addresses(is), section, was.Name, "nat_ips")
	for _, entry := range was.Entries {
		if !slices.ContainsFunc(is.Entries, func(f topology.FullNATEntry) bool { return f.Name == entry.Name }) {
			e.edits = append(e.edits, topology.Edit{Path: topology.JoinPath(section, was.Name, "full_nat", entry.Name)})
		}
	}
	for _, entry := range is.Entries {
		if slices.Contains(was.Entries, entry) {
			continue
		}
		value := map[string]any{
			"nat_ip": entry.NATIP.String(), "nat_port": entry.NATPort, "protocol": string(entry.Protocol),
			"endpoint":  entry.Endpoint + "@" + entry.Zone,
			"access_ip": entry.AccessIP.String(), "access_port": entry.AccessPort,
		}
		if entry.Domain != "" {
			value["domain"] = entry.Domain
		}
		e.set(true, value, section, was.Name, "full_nat", entry.Name)
	}
}

func (e *exporter) servers(was *topology.ServerGroup) {
	is, err := e.now.ServerGroup(was.Name)
	if err != nil || slices.Equal(is.Servers, was.Servers) {
		return
	}
	servers := []map[string]any{}
	for _, s := range is.Servers {
		value := map[string]any{"port": s.Port, "weight": s.Weight}
		switch {
		case s.Balancer != "":
			value["load_balancer"] = s.Balancer
		case s.Instance != "":
			value["instance"] = strings.TrimPrefix(s.Instance, was.VPC+"/")
		default:
			value["ip"] = s.IP.String()
		}
		if !slices.ContainsFunc(servers, func(other map[string]any) bool {
			return s.Balancer != "" && other["load_balancer"] == s.Balancer
		}) {
			servers = append(servers, value)
		}
	}
	e.set(true, servers, "server_groups", was.Name, "servers")
}
