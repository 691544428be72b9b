package aliapi

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/plinksim/plinksim/pkg/topology"
	"github.com/plinksim/plinksim/pkg/wire"
)

// ofALB has the codes of ALB API 2020-06-16.
var ofALB = &family{
	kind: topology.ALB, noBalancer: "ResourceNotFound.LoadBalancer", noGroup: "ResourceNotFound.ServerGroup",
	noListener: "ResourceNotFound.Listener", listenerExists: "ResourceAlreadyExist.Listener",
	groupInUse: "ResourceInUse.ServerGroup", linkInUse: "OperationDenied.PrivateLinkExist", untag: "UnTagResources",
	zone:         func(zone string) wire.M { return wire.M{"ZoneId": zone, "LocalName": zone} },
	view:         balancing.viewALB,
	viewGroup:    balancing.viewALBGroup,
	viewListener: balancing.viewALBListener,
}

type albZone struct{ ZoneId, VSwitchId, IntranetAddress string }

func albPlaces(all []albZone) (out []place) {
	for _, z := range all {
		out = append(out, place{z.ZoneId, z.VSwitchId, z.IntranetAddress})
	}
	return out
}

func albRows(a *adder) {
	ofALB.rows(a)
	op(a, "CreateLoadBalancer", func(c balancing, in struct {
		LoadBalancerName, AddressType, AddressIpVersion, VpcId, ResourceGroupId string
		ZoneMappings                                                            []albZone
		Tag                                                                     []tag
	}) (wire.M, error) {
		if err := intranet("ALB", in.AddressType, in.AddressIpVersion); err != nil {
			return nil, err
		}
		id, err := ofALB.make(c, in.VpcId, in.LoadBalancerName, in.ResourceGroupId, albPlaces(in.ZoneMappings), in.Tag)
		return wire.M{"LoadBalancerId": id}, err
	}, "LoadBalancerBillingConfig", noBill, "DeletionProtectionEnabled ModificationProtectionConfig", notProtected,
		"AddressAllocatedMode", "the addresses of a lab's load balancers are fixed",
		"LoadBalancerEdition", "an ALB of a lab has what docs/alb.md says, whatever its edition")
	op(a, "UpdateLoadBalancerZones", func(c balancing, in struct {
		LoadBalancerId string
		ZoneMappings   []albZone
	}) (wire.M, error) {
		return ofALB.setPlaces(c, in.LoadBalancerId, albPlaces(in.ZoneMappings))
	})
	op(a, "UpdateLoadBalancerAttribute", func(c balancing, in struct{ LoadBalancerId, LoadBalancerName string }) (wire.M,
		error) {
		_, l, err := c.balancer(in.LoadBalancerId, topology.ALB, ofALB.noBalancer)
		if err != nil {
			return nil, err
		}
		c.rename(l.ID, in.LoadBalancerName, "")
		return c.job(nil), nil
	}, "ModificationProtectionConfig", notProtected)
	list(a, listing{name: "ListLoadBalancers", answer: "LoadBalancers", usual: 20, most: 100,
		filters: map[string]filter{"LoadBalancerIds": is("LoadBalancerId"), "LoadBalancerNames": is("LoadBalancerName"),
			"VpcIds": is("VpcId"), "LoadBalancerStatus": is("LoadBalancerStatus"), "AddressType": is("AddressType"),
			"ResourceGroupId": is("ResourceGroupId"), "DNSName": is("DNSName"), "AddressIpVersion": is("AddressIpVersion"),
			"LoadBalancerEditions":        is("LoadBalancerEdition"),
			"LoadBalancerBussinessStatus": is("LoadBalancerBussinessStatus")},
		also: []string{"ZoneId"},
		all: func(base *call) (out []wire.M, _ error) {
			c := balancing{base}
			zone := c.text("ZoneId")
			for _, l := range c.balancers(topology.ALB) {
				if zone == "" || slices.ContainsFunc(l.Nodes, func(n topology.Node) bool { return n.Zone == zone }) {
					m := c.viewALB(c.Plan.MustVPC(l.VPC), l)
					delete(m, "ZoneMappings")
					delete(m, "RegionId")
					out = append(out, m)
				}
			}
			return out, nil
		}})
	albGroupRows(a)
	albListenerRows(a)
	albRuleRows(a)
	list(a, listing{name: "ListAsynJobs", answer: "Jobs", usual: 20, most: 100,
		filters: map[string]filter{"ApiName": is("ApiName")}, also: []string{"JobIds"}, fresh: true, all: albJobs})
}

// albJobs are the jobs that are asked for by their identifiers, or those of the calls that the
// log has.
func albJobs(base *call) (out []wire.M, _ error) {
	c := balancing{base}
	ids := c.texts("JobIds")
	if len(ids) == 0 {
		for _, one := range c.Calls() {
			done := c.Service.Operations[one.Action]
			if one.Account == c.Account.Name && one.Service == c.Service.Name && one.Refused == "" && done != nil &&
				done.Output.Member("JobId") != nil {
				ids = append(ids, jobs+strings.ToLower(one.ID))
			}
		}
	}
	for _, id := range ids {
		of, state, ok := c.jobOf(id)
		if !ok {
			continue
		}
		m := wire.M{"Id": id, "Status": state, "ApiName": of.Action}
		if !of.Time.IsZero() {
			m["CreateTime"], m["ModifyTime"] = of.Time.UnixMilli(), of.Time.Add(c.Transition).UnixMilli()
		}
		out = append(out, m)
	}
	return out, nil
}

func (c balancing) viewALB(vpc *topology.VPC, l *topology.LoadBalancer) wire.M {
	return wire.M{
		"LoadBalancerId": l.ID, "LoadBalancerName": cmp.Or(c.name(l.ID, l.Name), l.ID),
		"LoadBalancerStatus": c.stateOf(l.ID, "Provisioning", "Active"), "LoadBalancerBussinessStatus": "Normal",
		"LoadBalancerEdition": "Standard", "AddressType": "Intranet", "AddressIpVersion": "IPv4",
		"AddressAllocatedMode": "Fixed", "VpcId": vpc.ID, "RegionId": c.Plan.Region, "CreateTime": c.CreatedAt(l.ID),
		"ResourceGroupId": c.resourceGroup(l.ID), "Tags": c.tags(l.ID, "Key", "Value"),
		"DNSName":                   l.ID + "." + c.Plan.Region + ".alb.aliyuncs.com",
		"LoadBalancerBillingConfig": wire.M{"PayType": "PostPay"},
		"DeletionProtectionConfig":  wire.M{"Enabled": false},
		"ZoneMappings": c.zonesOf(vpc, l, func(ip netip.Addr, _ *topology.Node) wire.M {
			return wire.M{"Address": ip, "IntranetAddress": ip}
		}),
	}
}

type (
	albCheck struct {
		HealthCheckEnabled, HealthCheckProtocol, HealthCheckConnectPort, HealthCheckTimeout string
		HealthCheckInterval, HealthyThreshold, UnhealthyThreshold                           string
		HealthCheckHost, HealthCheckPath, HealthCheckMethod                                 string
		HealthCheckCodes, HealthCheckHttpCodes                                              []string
	}
	albSticky struct{ StickySessionEnabled, StickySessionType, Cookie, CookieTimeout string }
	albDrain  struct{ ConnectionDrainEnabled, ConnectionDrainTimeout string }
	albSlow   struct{ SlowStartEnabled, SlowStartDuration string }
	// albGroup is what can be said of a group when it is made and later.
	albGroup struct {
		scheduler           string
		check               *albCheck
		sticky              *albSticky
		drain               *albDrain
		slow                *albSlow
		crossZone, upstream *bool
	}
)

// edits give a group of a name what is said of it; what is not said stays.
func (g albGroup) edits(name string) ([]topology.Edit, error) {
	var out []topology.Edit
	set := func(key string, v any) {
		e := topology.Edit{Path: path("server_groups", name, key)}
		if v != nil {
			e.Value = text(v)
		}
		out = append(out, e)
	}
	scheduler, err := schedulerOf(g.scheduler, "wrr", "wlc", "sch")
	if err != nil {
		return nil, err
	}
	if scheduler != "" {
		set("scheduler", scheduler)
	}
	if g.crossZone != nil {
		set("cross_zone", *g.crossZone)
	}
	if g.upstream != nil {
		set("keepalive", *g.upstream)
	}
	if s := g.sticky; s != nil {
		v := value{"mode": "insert"}
		if strings.EqualFold(s.StickySessionType, "Server") {
			v = value{"mode": "rewrite", "cookie": s.Cookie}
		} else if s.CookieTimeout != "" {
			v["timeout"] = s.CookieTimeout + "s"
		}
		if s.StickySessionEnabled == "true" {
			set("persistence", v)
		} else {
			set("persistence", nil)
		}
	}
	if d := g.drain; d != nil {
		n, err := numbers(d.ConnectionDrainTimeout)
		if err != nil {
			return nil, err
		}
		set("deregistration", draining(d.ConnectionDrainEnabled == "true", n[0]))
	}
	if s := g.slow; s != nil {
		if s.SlowStartEnabled == "true" {
			set("slow_start", s.SlowStartDuration+"s")
		} else {
			set("slow_start", nil)
		}
	}
	if h := g.check; h != nil {
		n, err := numbers(h.HealthCheckConnectPort, h.HealthCheckInterval, h.HealthCheckTimeout, h.HealthyThreshold,
			h.UnhealthyThreshold)
		if err != nil {
			return nil, err
		}
		codes := h.HealthCheckHttpCodes
		if len(codes) == 0 {
			codes = h.HealthCheckCodes
		}
		out = append(out, check{off: h.HealthCheckEnabled == "false", protocol: h.HealthCheckProtocol,
			host: h.HealthCheckHost, page: h.HealthCheckPath, method: h.HealthCheckMethod, codes: codes, port: n[0],
			interval: n[1], timeout: n[2], healthy: n[3], unhealthy: n[4]}.edits(name)...)
	}
	return out, nil
}

func albGroupRows(a *adder) {
	ofChecks := []string{"HealthCheckConfig.HealthCheckHttpVersion", "health checks of a lab speak HTTP/1.1",
		"HealthCheckConfig.HealthCheckTcpFastCloseEnabled", "health checks of a lab over TCP end with a reset"}
	op(a, "CreateServerGroup", func(c balancing, in struct {
		ServerGroupName, ServerGroupType, VpcId, Protocol, Scheduler, ResourceGroupId string
		CrossZoneEnabled, UpstreamKeepaliveEnabled                                    *bool
		HealthCheckConfig                                                             *albCheck
		StickySessionConfig                                                           *albSticky
		ConnectionDrainConfig                                                         *albDrain
		SlowStartConfig                                                               *albSlow
		Tag                                                                           []tag
	}) (wire.M, error) {
		vpc, err := c.vpc(in.VpcId)
		if err != nil {
			return nil, err
		}
		tags, err := tagsOf(in.Tag)
		if err != nil {
			return nil, err
		}
		protocol := strings.ToLower(cmp.Or(in.Protocol, "HTTP"))
		if protocol != "http" && protocol != "https" {
			return nil, wire.Errorf("UnsupportedOperation", "A server group of a lab's ALB has Protocol HTTP or HTTPS")
		}
		id := c.NewID("sgp")
		v := value{"vpc": vpc.Name, "protocol": protocol, "servers": []value{}}
		said := albGroup{in.Scheduler, in.HealthCheckConfig, in.StickySessionConfig, in.ConnectionDrainConfig,
			in.SlowStartConfig, in.CrossZoneEnabled, in.UpstreamKeepaliveEnabled}
		more, err := said.edits(id)
		if err != nil {
			return nil, err
		}
		more = slices.DeleteFunc(more, topology.Edit.Deletes) // a new group has nothing to take away
		if err := c.Edit(append([]topology.Edit{{Path: path("server_groups", id), Value: text(v), New: true}},
			more...)...); err != nil {
			return nil, err
		}
		c.Created(id, tags, map[string]string{"name": in.ServerGroupName, "resource group": in.ResourceGroupId,
			"type": cmp.Or(in.ServerGroupType, "Instance")})
		return c.job(wire.M{"ServerGroupId": id}), nil
	}, ofChecks...)
	op(a, "UpdateServerGroupAttribute", func(c balancing, in struct {
		ServerGroupId, ServerGroupName, Scheduler  string
		CrossZoneEnabled, UpstreamKeepaliveEnabled *bool
		HealthCheckConfig                          *albCheck
		StickySessionConfig                        *albSticky
		ConnectionDrainConfig                      *albDrain
		SlowStartConfig                            *albSlow
	}) (wire.M, error) {
		_, g, err := c.serverGroup(in.ServerGroupId, ofALB.noGroup)
		if err != nil {
			return nil, err
		}
		said := albGroup{in.Scheduler, in.HealthCheckConfig, in.StickySessionConfig, in.ConnectionDrainConfig,
			in.SlowStartConfig, in.CrossZoneEnabled, in.UpstreamKeepaliveEnabled}
		edits, err := said.edits(g.Name)
		if err != nil {
			return nil, err
		}
		edits = slices.DeleteFunc(edits, func(e topology.Edit) bool {
			return e.Deletes() && (strings.HasSuffix(e.Path, "/persistence") && g.Persistence == nil ||
				strings.HasSuffix(e.Path, "/slow_start") && g.SlowStart == 0)
		})
		if err := c.Edit(edits...); err != nil {
			return nil, err
		}
		c.rename(g.ID, in.ServerGroupName, "")
		return c.job(nil), nil
	}, ofChecks...)
}

func (c balancing) viewALBGroup(vpc *topology.VPC, g *topology.ServerGroup) wire.M {
	h := g.HealthCheck
	sticky := wire.M{"StickySessionEnabled": g.Persistence != nil}
	if p := g.Persistence; p != nil {
		sticky["StickySessionType"], sticky["Cookie"] = "Insert", ""
		sticky["CookieTimeout"] = int(p.Timeout / time.Second)
		if p.Mode == "rewrite" {
			sticky["StickySessionType"], sticky["Cookie"] = "Server", p.Cookie
		}
	}
	listeners, rules := c.leadTo(g)
	return wire.M{
		"ServerGroupId": g.ID, "ServerGroupName": c.name(g.ID, g.Name),
		"ServerGroupStatus": c.stateOf(g.ID, "Provisioning", "Available"),
		"ServerGroupType":   cmp.Or(c.Record.Note(g.ID, "type"), "Instance"), "VpcId": vpc.ID, "Protocol": upper(g.Protocol),
		"Scheduler": albScheduler(g.Scheduler), "ServerCount": len(g.Servers), "ResourceGroupId": c.resourceGroup(g.ID),
		"CreateTime": c.CreatedAt(g.ID), "CrossZoneEnabled": g.CrossZone == nil || *g.CrossZone,
		"UpstreamKeepaliveEnabled": g.Keepalive, "Ipv6Enabled": false, "RelatedLoadBalancerIds": c.users(g),
		"RelatedListenerIds": listeners, "RelatedRuleIds": rules, "Tags": c.tags(g.ID, "Key", "Value"),
		"StickySessionConfig": sticky,
		"ConnectionDrainConfig": wire.M{"ConnectionDrainEnabled": g.Deregistration.Terminate,
			"ConnectionDrainTimeout": int(g.Deregistration.Delay / time.Second)},
		"SlowStartConfig": wire.M{"SlowStartEnabled": g.SlowStart > 0, "SlowStartDuration": int(g.SlowStart / time.Second)},
		"HealthCheckConfig": wire.M{
			"HealthCheckEnabled": h.Protocol != topology.NoProtocol, "HealthCheckProtocol": upper(h.Protocol),
			"HealthCheckConnectPort": int(h.Port), "HealthCheckTimeout": int(h.Timeout / time.Second),
			"HealthCheckInterval": int(h.Interval / time.Second), "HealthyThreshold": h.Healthy,
			"UnhealthyThreshold": h.Unhealthy, "HealthCheckPath": h.Path, "HealthCheckHost": cmp.Or(h.Host, "$SERVER_IP"),
			"HealthCheckMethod": h.Method, "HealthCheckHttpVersion": "HTTP1.1",
			"HealthCheckHttpCodes": classesOf(h.Codes), "HealthCheckCodes": classesOf(h.Codes)},
	}
}

// albScheduler is a scheduler in the words of ALB: Wrr, Wlc or Sch.
func albScheduler(s topology.Scheduler) string {
	word := string(s)
	return strings.ToUpper(word[:min(1, len(word))]) + word[min(1, len(word)):]
}

// leadTo are the listeners and the rules that lead to a group.
func (c balancing) leadTo(g *topology.ServerGroup) (listeners, rules []string) {
	listeners, rules = []string{}, []string{}
	for _, h := range c.listeners(topology.ALB) {
		if action := h.Default(); slices.Contains(action.Groups(), g.Name) {
			listeners = append(listeners, h.id)
		}
		for i := range h.HTTP.Rules {
			if r := &h.HTTP.Rules[i]; slices.Contains(r.Groups(), g.Name) {
				rules = append(rules, c.ruleID(h, r.Priority))
			}
		}
	}
	return listeners, rules
}

// forwarding are the headers that tell servers of the client.
type forwarding struct {
	XForwardedForEnabled, XForwardedForProtoEnabled, XForwardedForSLBPortEnabled string
	XForwardedForSLBIdEnabled, XForwardedForClientSrcPortEnabled                 string
}

// words are what a topology file says of them; what a request does not say stays as it was.
func (f *forwarding) words(before []string) ([]string, error) {
	if f.XForwardedForEnabled == "false" {
		return nil, wire.Errorf("UnsupportedOperation", "An ALB of a lab always sends X-Forwarded-For")
	}
	out := []string{}
	for _, one := range []struct{ word, said string }{
		{"proto", f.XForwardedForProtoEnabled}, {"port", f.XForwardedForSLBPortEnabled},
		{"client_port", f.XForwardedForClientSrcPortEnabled}, {"slb_id", f.XForwardedForSLBIdEnabled},
	} {
		if one.said == "true" || one.said == "" && slices.Contains(before, one.word) {
			out = append(out, one.word)
		}
	}
	return out, nil
}

// forwardsTo is where an action of a listener leads.
type forwardsTo struct {
	Type               string
	ForwardGroupConfig *struct {
		ServerGroupTuples []struct{ ServerGroupId string }
	}
}

// forwarded is the server group of a listener's action.
func (c balancing) forwarded(actions []forwardsTo) (*topology.ServerGroup, error) {
	if len(actions) != 1 || actions[0].Type != "ForwardGroup" || actions[0].ForwardGroupConfig == nil ||
		len(actions[0].ForwardGroupConfig.ServerGroupTuples) != 1 {
		return nil, wire.Errorf("IllegalParam.DefaultActions", "A listener has one default action, ForwardGroup to one"+
			" server group.")
	}
	_, g, err := c.serverGroup(actions[0].ForwardGroupConfig.ServerGroupTuples[0].ServerGroupId, ofALB.noGroup)
	return g, err
}

func albListenerRows(a *adder) {
	ignored := []string{
		"Certificates", "the lab's certificate authority signs one for the names of the listener",
		"SecurityPolicyId", "TLS of a lab is 1.2 or 1.3",
		"GzipEnabled", "an ALB of a lab compresses nothing, which clients must be able to take",
		"Http2Enabled", "clients of a listener for HTTPS may speak HTTP/2 or HTTP/1.1"}
	op(a, "CreateListener", func(c balancing, in struct {
		LoadBalancerId, ListenerProtocol, ListenerDescription string
		ListenerPort, IdleTimeout, RequestTimeout             int
		DefaultActions                                        []forwardsTo
		XForwardedForConfig                                   *forwarding
		Tag                                                   []tag
	}) (wire.M, error) {
		_, l, err := c.balancer(in.LoadBalancerId, topology.ALB, ofALB.noBalancer)
		if err != nil {
			return nil, err
		}
		g, err := c.forwarded(in.DefaultActions)
		if err != nil {
			return nil, err
		}
		protocol := strings.ToLower(in.ListenerProtocol)
		if protocol != "http" && protocol != "https" {
			return nil, wire.Errorf("UnsupportedOperation", "A listener of an ALB of a lab has ListenerProtocol HTTP or HTTPS")
		}
		v := value{"protocol": protocol, "port": in.ListenerPort, "server_group": g.Name}
		if in.IdleTimeout > 0 {
			v["idle_timeout"] = fmt.Sprintf("%ds", in.IdleTimeout)
		}
		if in.RequestTimeout > 0 {
			v["request_timeout"] = fmt.Sprintf("%ds", in.RequestTimeout)
		}
		if in.XForwardedForConfig != nil {
			if v["forwarded"], err = in.XForwardedForConfig.words(nil); err != nil {
				return nil, err
			}
		}
		return ofALB.hear(c, l, v, in.ListenerDescription, in.Tag)
	}, ignored...)
	op(a, "UpdateListenerAttribute", func(c balancing, in struct {
		ListenerId, ListenerDescription string
		IdleTimeout, RequestTimeout     int
		DefaultActions                  []forwardsTo
		XForwardedForConfig             *forwarding
	}) (wire.M, error) {
		h, err := ofALB.running(c, in.ListenerId)
		if err != nil {
			return nil, err
		}
		var edits []topology.Edit
		if len(in.DefaultActions) > 0 {
			g, err := c.forwarded(in.DefaultActions)
			if err != nil {
				return nil, err
			}
			edits = append(edits, topology.Edit{Path: h.at("server_group"), Value: text(g.Name)})
		}
		if in.IdleTimeout > 0 {
			edits = append(edits, topology.Edit{Path: h.at("idle_timeout"), Value: fmt.Sprintf("%ds", in.IdleTimeout)})
		}
		if in.RequestTimeout > 0 {
			edits = append(edits, topology.Edit{Path: h.at("request_timeout"), Value: fmt.Sprintf("%ds", in.RequestTimeout)})
		}
		if in.XForwardedForConfig != nil {
			words, err := in.XForwardedForConfig.words(h.HTTP.Forwarded)
			if err != nil {
				return nil, err
			}
			edits = append(edits, topology.Edit{Path: h.at("forwarded"), Value: text(words)})
		}
		if err := c.Edit(edits...); err != nil {
			return nil, err
		}
		c.rename(h.id, "", in.ListenerDescription)
		return c.job(nil), nil
	}, ignored...)
	list(a, listing{name: "ListListeners", answer: "Listeners", usual: 20, most: 100,
		filters: map[string]filter{"ListenerIds": is("ListenerId"), "LoadBalancerIds": is("LoadBalancerId"),
			"ListenerProtocol": is("ListenerProtocol"), "Status": is("ListenerStatus")},
		all: func(base *call) (out []wire.M, _ error) {
			c := balancing{base}
			for _, h := range c.listeners(topology.ALB) {
				out = append(out, c.viewALBListener(h))
			}
			return out, nil
		}})
	list(a, listing{name: "GetListenerHealthStatus", answer: "ListenerHealthStatus", usual: 20, most: 100,
		also: []string{"ListenerId", "IncludeRule"}, fresh: true,
		all: func(base *call) ([]wire.M, error) {
			c := balancing{base}
			h, err := ofALB.listener(c, c.text("ListenerId"))
			if err != nil {
				return nil, err
			}
			return []wire.M{{"ListenerId": h.id, "ListenerPort": int(h.Port), "ListenerProtocol": upper(h.Protocol),
				"ServerGroupInfos": c.healthOf(h.ServerGroup)}}, nil
		},
		then: func(base *call, answer wire.M) {
			c := balancing{base}
			h, err := ofALB.listener(c, c.text("ListenerId"))
			if with, _ := c.Values["IncludeRule"].(bool); !with || err != nil {
				return
			}
			rules := []wire.M{}
			for _, r := range h.HTTP.Rules {
				if r.ServerGroup != "" {
					rules = append(rules, wire.M{"RuleId": c.ruleID(h, r.Priority), "ServerGroupInfos": c.healthOf(r.ServerGroup)})
				}
			}
			answer["RuleHealthStatus"] = rules
		}})
}

// healthOf is what is told of the servers of a group that are not healthy.
func (c balancing) healthOf(group string) []wire.M {
	g, err := c.Plan.ServerGroup(group)
	if err != nil {
		return []wire.M{}
	}
	enabled := "on"
	if g.HealthCheck.Protocol == topology.NoProtocol {
		enabled = "off"
	}
	return []wire.M{{"ServerGroupId": g.ID, "ActionType": "ForwardGroup", "HealthCheckEnabled": enabled,
		"NonNormalServers": c.sick(g)}}
}

func (c balancing) viewALBListener(h *heard) wire.M {
	has := func(word string) bool { return slices.Contains(h.HTTP.Forwarded, word) }
	m := wire.M{"ListenerId": h.id, "LoadBalancerId": h.of.ID, "ListenerPort": int(h.Port),
		"ListenerStatus": c.listenerState(h), "ListenerProtocol": upper(h.Protocol),
		"IdleTimeout": int(h.IdleTimeout / time.Second), "RequestTimeout": int(h.HTTP.RequestTimeout / time.Second),
		"ListenerDescription": c.Record.Note(h.id, "description"), "GzipEnabled": false,
		"Http2Enabled": h.Protocol == topology.HTTPS, "Tags": c.tags(h.id, "Key", "Value"),
		"DefaultActions": []wire.M{{"Type": "ForwardGroup", "ForwardGroupConfig": wire.M{
			"ServerGroupTuples": []wire.M{{"ServerGroupId": c.groupID(h.ServerGroup)}}}}},
		"XForwardedForConfig": wire.M{"XForwardedForEnabled": true, "XForwardedForProtoEnabled": has("proto"),
			"XForwardedForSLBPortEnabled": has("port"), "XForwardedForClientSrcPortEnabled": has("client_port"),
			"XForwardedForSLBIdEnabled": has("slb_id")}}
	if h.Protocol == topology.HTTPS {
		m["SecurityPolicyId"] = "tls_cipher_policy_1_2"
	}
	return m
}
