package aliapi

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/plinksim/plinksim/pkg/topology"
	"github.com/plinksim/plinksim/pkg/wire"
)

// ofNLB has the codes of NLB API 2022-04-30.
var ofNLB = &family{
	kind: topology.NLB, noBalancer: "ResourceNotFound.loadBalancer", noGroup: "ResourceNotFound.serverGroup",
	noListener: "ResourceNotFound.listener", listenerExists: "ResourceAlreadyExist.listener",
	groupInUse: "ResourceInUse.serverGroup", linkInUse: "OperationDenied.PrivateLinkExist", untag: "UntagResources",
	zone:         func(zone string) wire.M { return wire.M{"ZoneId": zone, "LocalName": zone} },
	view:         balancing.viewNLB,
	viewGroup:    balancing.viewNLBGroup,
	viewListener: balancing.viewNLBListener,
}

const notProtected = "load balancers of a lab are not protected"

func nlbRows(a *adder) {
	ofNLB.rows(a)
	op(a, "CreateLoadBalancer", createNLB, "LoadBalancerBillingConfig", noBill,
		"DeletionProtectionConfig ModificationProtectionConfig", notProtected)
	op(a, "UpdateLoadBalancerZones", func(c balancing, in struct {
		LoadBalancerId string
		ZoneMappings   []nlbZone
	}) (wire.M, error) {
		return ofNLB.setPlaces(c, in.LoadBalancerId, placesOf(in.ZoneMappings))
	})
	op(a, "UpdateLoadBalancerAttribute", func(c balancing, in struct {
		LoadBalancerId, LoadBalancerName string
		CrossZoneEnabled                 *bool
	}) (wire.M, error) {
		_, l, err := c.balancer(in.LoadBalancerId, topology.NLB, ofNLB.noBalancer)
		if err == nil && in.CrossZoneEnabled != nil {
			err = c.Edit(topology.Edit{Path: path("load_balancers", l.Name, "cross_zone"),
				Value: fmt.Sprint(*in.CrossZoneEnabled)})
		}
		if err != nil {
			return nil, err
		}
		c.rename(l.ID, in.LoadBalancerName, "")
		return c.job(nil), nil
	})
	list(a, listing{name: "ListLoadBalancers", answer: "LoadBalancers", usual: 20, most: 100,
		filters: map[string]filter{"LoadBalancerIds": is("LoadBalancerId"), "LoadBalancerNames": is("LoadBalancerName"),
			"VpcIds": is("VpcId"), "ZoneId": is("ZoneMappings.ZoneId"), "LoadBalancerStatus": is("LoadBalancerStatus"),
			"AddressType": is("AddressType"), "ResourceGroupId": is("ResourceGroupId"), "DNSName": is("DNSName")},
		all: func(base *call) (out []wire.M, _ error) {
			c := balancing{base}
			for _, l := range c.balancers(topology.NLB) {
				out = append(out, c.viewNLB(c.Plan.MustVPC(l.VPC), l))
			}
			return out, nil
		}})
	nlbGroupRows(a)
	nlbListenerRows(a)
	op(a, "GetJobStatus", func(c balancing, in struct{ JobId string }) (wire.M, error) {
		_, state, ok := c.jobOf(in.JobId)
		if !ok {
			return nil, notFound("ResourceNotFound.job", "The specified job %q does not exist.", in.JobId)
		}
		return wire.M{"Status": state}, nil
	})
}

type nlbZone struct{ ZoneId, VSwitchId, PrivateIPv4Address string }

func placesOf(all []nlbZone) (out []place) {
	for _, z := range all {
		out = append(out, place{z.ZoneId, z.VSwitchId, z.PrivateIPv4Address})
	}
	return out
}

// intranet refuses what has public or other addresses.
func intranet(what, addressType, version string) error {
	if !strings.EqualFold(addressType, "Intranet") || version != "" && !strings.EqualFold(version, "ipv4") {
		return wire.Errorf("UnsupportedOperation", "A lab has no public addresses: an %s that is made by the API has"+
			" AddressType Intranet and AddressIpVersion ipv4", what)
	}
	return nil
}

func createNLB(c balancing, in struct {
	LoadBalancerName, LoadBalancerType, AddressType, AddressIpVersion, VpcId, ResourceGroupId string
	ZoneMappings                                                                              []nlbZone
	Tag                                                                                       []tag
}) (wire.M, error) {
	if err := intranet("NLB", in.AddressType, in.AddressIpVersion); err != nil {
		return nil, err
	}
	if !strings.EqualFold(cmp.Or(in.LoadBalancerType, "Network"), "Network") {
		return nil, wire.Errorf("IllegalParam.LoadBalancerType", "The LoadBalancerType of an NLB is Network.")
	}
	id, err := ofNLB.make(c, in.VpcId, in.LoadBalancerName, in.ResourceGroupId, placesOf(in.ZoneMappings), in.Tag)
	if err != nil {
		return nil, err
	}
	return c.job(wire.M{"LoadbalancerId": id}), nil
}

func (c balancing) viewNLB(vpc *topology.VPC, l *topology.LoadBalancer) wire.M {
	return wire.M{
		"LoadBalancerId": l.ID, "LoadBalancerName": cmp.Or(c.name(l.ID, l.Name), l.ID), "LoadBalancerType": "Network",
		"LoadBalancerStatus": c.stateOf(l.ID, "Provisioning", "Active"), "LoadBalancerBusinessStatus": "Normal",
		"AddressType": "Intranet", "AddressIpVersion": "ipv4", "VpcId": vpc.ID, "RegionId": c.Plan.Region,
		"CrossZoneEnabled": l.CrossZone, "CreateTime": c.CreatedAt(l.ID), "ResourceGroupId": c.resourceGroup(l.ID),
		"ZoneMappings": c.zonesOf(vpc, l, func(ip netip.Addr, n *topology.Node) wire.M {
			return wire.M{"PrivateIPv4Address": ip, "EniId": n.ENI.ID}
		}),
		"DNSName": l.ID + "." + c.Plan.Region + ".nlb.aliyuncs.com", "Tags": c.tags(l.ID, "Key", "Value"),
		"SecurityGroupIds": []string{},
	}
}

type nlbCheck struct {
	HealthCheckEnabled, HealthCheckType, HealthCheckConnectPort, HealthCheckConnectTimeout string
	HealthCheckInterval, HealthyThreshold, UnhealthyThreshold                              string
	HealthCheckDomain, HealthCheckUrl, HttpCheckMethod                                     string
	HealthCheckHttpCode                                                                    []string
}

// edits make it the health check of a group.
func (h *nlbCheck) edits(group string) ([]topology.Edit, error) {
	if h == nil {
		return nil, nil
	}
	n, err := numbers(h.HealthCheckConnectPort, h.HealthCheckInterval, h.HealthCheckConnectTimeout, h.HealthyThreshold,
		h.UnhealthyThreshold)
	if err != nil {
		return nil, err
	}
	return check{off: h.HealthCheckEnabled == "false", protocol: h.HealthCheckType, host: h.HealthCheckDomain,
		page: h.HealthCheckUrl, method: h.HttpCheckMethod, codes: h.HealthCheckHttpCode, port: n[0], interval: n[1],
		timeout: n[2], healthy: n[3], unhealthy: n[4]}.edits(group), nil
}

const neverPreserved = "what comes through PrivateLink never has the client's address"

func nlbGroupRows(a *adder) {
	op(a, "CreateServerGroup", createNLBGroup,
		"AddressIPVersion", "the servers of a group that is made by the API are reached by IPv4",
		"PreserveClientIpEnabled", neverPreserved)
	op(a, "UpdateServerGroupAttribute", func(c balancing, in struct {
		ServerGroupId, ServerGroupName, Scheduler string
		ConnectionDrainEnabled                    *bool
		ConnectionDrainTimeout                    int
		HealthCheckConfig                         *nlbCheck
	}) (wire.M, error) {
		_, g, err := c.serverGroup(in.ServerGroupId, ofNLB.noGroup)
		if err != nil {
			return nil, err
		}
		edits, err := in.HealthCheckConfig.edits(g.Name)
		if err != nil {
			return nil, err
		}
		scheduler, err := schedulerOf(in.Scheduler, nlbSchedulers...)
		if err != nil {
			return nil, err
		}
		if scheduler != "" {
			edits = append(edits, topology.Edit{Path: path("server_groups", g.Name, "scheduler"), Value: scheduler})
		}
		if on := in.ConnectionDrainEnabled; on != nil {
			edits = append(edits, topology.Edit{Path: path("server_groups", g.Name, "deregistration"),
				Value: text(draining(*on, in.ConnectionDrainTimeout))})
		}
		if err := c.Edit(edits...); err != nil {
			return nil, err
		}
		c.rename(g.ID, in.ServerGroupName, "")
		return c.job(wire.M{"ServerGroupId": g.ID}), nil
	}, "PreserveClientIpEnabled", neverPreserved)
}

var nlbSchedulers = []string{"wrr", "wlc", "rr", "sch", "tch"}

// draining is what becomes of the sessions of a server that leaves.
func draining(on bool, seconds int) value {
	if !on {
		return value{"terminate": false}
	}
	return value{"delay": fmt.Sprintf("%ds", seconds), "terminate": true}
}

func createNLBGroup(c balancing, in struct {
	ServerGroupName, ServerGroupType, VpcId, Protocol, Scheduler, ResourceGroupId string
	ConnectionDrainEnabled                                                        *bool
	ConnectionDrainTimeout                                                        int
	HealthCheckConfig                                                             *nlbCheck
	Tag                                                                           []tag
}) (wire.M, error) {
	vpc, err := c.vpc(in.VpcId)
	if err != nil {
		return nil, err
	}
	scheduler, err := schedulerOf(in.Scheduler, nlbSchedulers...)
	if err != nil {
		return nil, err
	}
	protocol := strings.ToLower(cmp.Or(in.Protocol, "TCP"))
	if protocol != "tcp" && protocol != "udp" {
		return nil, wire.Errorf("UnsupportedOperation", "A server group that is made by the API has Protocol TCP or UDP")
	}
	tags, err := tagsOf(in.Tag)
	if err != nil {
		return nil, err
	}
	id := c.NewID("sgp")
	v := value{"vpc": vpc.Name, "protocol": protocol, "servers": []value{}}
	if scheduler != "" {
		v["scheduler"] = scheduler
	}
	if on := in.ConnectionDrainEnabled; on != nil && *on {
		v["deregistration"] = draining(true, in.ConnectionDrainTimeout)
	}
	checks, err := in.HealthCheckConfig.edits(id)
	if err != nil {
		return nil, err
	}
	edits := append([]topology.Edit{{Path: path("server_groups", id), Value: text(v), New: true}}, checks...)
	if err := c.Edit(edits...); err != nil {
		return nil, err
	}
	c.Created(id, tags, map[string]string{"name": in.ServerGroupName, "resource group": in.ResourceGroupId,
		"type": cmp.Or(in.ServerGroupType, "Instance")})
	return c.job(wire.M{"ServerGroupId": id}), nil
}

func (c balancing) viewNLBGroup(vpc *topology.VPC, g *topology.ServerGroup) wire.M {
	h := g.HealthCheck
	return wire.M{
		"ServerGroupId": g.ID, "ServerGroupName": c.name(g.ID, g.Name),
		"ServerGroupStatus": c.stateOf(g.ID, "Creating", "Available"),
		"ServerGroupType":   cmp.Or(c.Record.Note(g.ID, "type"), "Instance"), "VpcId": vpc.ID,
		"Protocol": strings.ToUpper(string(g.Protocol)), "Scheduler": string(g.Scheduler), "ServerCount": len(g.Servers),
		"RelatedLoadBalancerIds": c.users(g), "RegionId": c.Plan.Region, "ResourceGroupId": c.resourceGroup(g.ID),
		"AddressIPVersion": "ipv4", "AnyPortEnabled": false, "ConnectionDrainEnabled": g.Deregistration.Terminate,
		"ConnectionDrainTimeout": int(g.Deregistration.Delay / time.Second), "PreserveClientIpEnabled": true,
		"Tags": c.tags(g.ID, "Key", "Value"), "HealthCheck": wire.M{
			"HealthCheckEnabled": h.Protocol != topology.NoProtocol, "HealthCheckType": strings.ToUpper(string(h.Protocol)),
			"HealthCheckConnectPort": int(h.Port), "HealthCheckConnectTimeout": int(h.Timeout / time.Second),
			"HealthCheckInterval": int(h.Interval / time.Second), "HealthyThreshold": h.Healthy,
			"UnhealthyThreshold": h.Unhealthy, "HealthCheckDomain": cmp.Or(h.Host, "$SERVER_IP"), "HealthCheckUrl": h.Path,
			"HttpCheckMethod": h.Method, "HealthCheckHttpCode": classesOf(h.Codes)},
	}
}

func nlbListenerRows(a *adder) {
	const bySecond = "a lab counts by the second, whatever it says"
	op(a, "CreateListener", createNLBListener, "SecSensorEnabled", bySecond)
	op(a, "UpdateListenerAttribute", func(c balancing, in struct {
		ListenerId, ListenerDescription, ServerGroupId string
		IdleTimeout                                    int
		ProxyProtocolEnabled                           *bool
	}) (wire.M, error) {
		h, err := ofNLB.running(c, in.ListenerId)
		if err != nil {
			return nil, err
		}
		var edits []topology.Edit
		if in.ServerGroupId != "" {
			_, g, err := c.serverGroup(in.ServerGroupId, ofNLB.noGroup)
			if err != nil {
				return nil, err
			}
			edits = append(edits, topology.Edit{Path: h.at("server_group"), Value: text(g.Name)})
		}
		if in.IdleTimeout > 0 {
			edits = append(edits, topology.Edit{Path: h.at("idle_timeout"), Value: fmt.Sprintf("%ds", in.IdleTimeout)})
		}
		switch on := in.ProxyProtocolEnabled; {
		case on != nil && *on:
			edits = append(edits, topology.Edit{Path: h.at("proxy_protocol"), Value: string(topology.OnFirstPayload)})
		case on != nil && h.ProxyProtocol != "":
			edits = append(edits, topology.Edit{Path: h.at("proxy_protocol")})
		}
		if err := c.Edit(edits...); err != nil {
			return nil, err
		}
		c.rename(h.id, "", in.ListenerDescription)
		return c.job(nil), nil
	}, "SecSensorEnabled", bySecond)
	list(a, listing{name: "ListListeners", answer: "Listeners", usual: 20, most: 100,
		filters: map[string]filter{"ListenerIds": is("ListenerId"), "LoadBalancerIds": is("LoadBalancerId"),
			"ListenerProtocol": is("ListenerProtocol")},
		all: func(base *call) (out []wire.M, _ error) {
			c := balancing{base}
			for _, h := range c.listeners(topology.NLB) {
				out = append(out, c.viewNLBListener(h))
			}
			return out, nil
		}})
	list(a, listing{name: "GetListenerHealthStatus", answer: "ListenerHealthStatus", usual: 20, most: 100,
		also: []string{"ListenerId"}, fresh: true,
		all: func(base *call) ([]wire.M, error) {
			c := balancing{base}
			id := c.text("ListenerId")
			h, err := ofNLB.listener(c, id)
			if err != nil {
				return nil, err
			}
			groups := []wire.M{}
			if g, err := c.Plan.ServerGroup(h.ServerGroup); err == nil {
				groups = append(groups, wire.M{"ServerGroupId": g.ID, "NonNormalServers": c.sick(g),
					"HeathCheckEnabled": g.HealthCheck.Protocol != topology.NoProtocol})
			}
			return []wire.M{{"ListenerId": h.id, "ListenerPort": int(h.Port), "ListenerProtocol": upper(h.Protocol),
				"ServerGroupInfos": groups}}, nil
		}})
}

func upper(p topology.Protocol) string { return strings.ToUpper(string(p)) }

func createNLBListener(c balancing, in struct {
	LoadBalancerId, ListenerProtocol, ServerGroupId, ListenerDescription string
	ListenerPort, IdleTimeout                                            int
	ProxyProtocolEnabled                                                 *bool
	Tag                                                                  []tag
}) (wire.M, error) {
	_, l, err := c.balancer(in.LoadBalancerId, topology.NLB, ofNLB.noBalancer)
	if err != nil {
		return nil, err
	}
	_, g, err := c.serverGroup(in.ServerGroupId, ofNLB.noGroup)
	if err != nil {
		return nil, err
	}
	protocol := strings.ToLower(in.ListenerProtocol)
	if protocol != "tcp" && protocol != "udp" {
		return nil, wire.Errorf("UnsupportedOperation", "A listener of an NLB of a lab has ListenerProtocol TCP or UDP:"+
			" PrivateLink does not lead to TCPSSL")
	}
	v := value{"protocol": protocol, "port": in.ListenerPort, "server_group": g.Name}
	if in.IdleTimeout > 0 {
		v["idle_timeout"] = fmt.Sprintf("%ds", in.IdleTimeout)
	}
	if on := in.ProxyProtocolEnabled; on != nil && *on {
		v["proxy_protocol"] = string(topology.OnFirstPayload)
	}
	return ofNLB.hear(c, l, v, in.ListenerDescription, in.Tag)
}

func (c balancing) viewNLBListener(h *heard) wire.M {
	return wire.M{"ListenerId": h.id, "LoadBalancerId": h.of.ID, "ListenerPort": int(h.Port),
		"ListenerStatus": c.listenerState(h), "ListenerProtocol": upper(h.Protocol),
		"ServerGroupId": c.groupID(h.ServerGroup), "IdleTimeout": int(h.IdleTimeout / time.Second),
		"ProxyProtocolEnabled": h.ProxyProtocol != "", "ListenerDescription": c.Record.Note(h.id, "description"),
		"RegionId": c.Plan.Region, "Tags": c.tags(h.id, "Key", "Value")}
}
