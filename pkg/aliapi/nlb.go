package aliapi

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/plinksim/plinksim/pkg/topology"
	"github.com/plinksim/plinksim/pkg/wire"
)

// Codes of NLB API 2022-04-30 for what is not there.
const (
	noNLB      = "ResourceNotFound.loadBalancer"
	noNLBGroup = "ResourceNotFound.serverGroup"
)

func nlbRows(a *adder) {
	const notProtected = "load balancers of a lab are not protected"
	op(a, "CreateLoadBalancer", createNLB, "LoadBalancerBillingConfig", noBill,
		"DeletionProtectionConfig ModificationProtectionConfig", notProtected)
	op(a, "DeleteLoadBalancer", func(c balancing, in struct{ LoadBalancerId string }) (wire.M, error) {
		_, l, err := c.balancer(in.LoadBalancerId, topology.NLB, noNLB)
		if err != nil {
			return nil, err
		}
		if err := c.Edit(topology.Edit{Path: path("load_balancers", l.Name)}); err != nil {
			return nil, coded(err, topology.InUse, "OperationDenied.PrivateLinkExist")
		}
		c.Forget(l.ID)
		return c.job(nil), nil
	})
	op(a, "GetLoadBalancerAttribute", func(c balancing, in struct{ LoadBalancerId string }) (wire.M, error) {
		vpc, l, err := c.balancer(in.LoadBalancerId, topology.NLB, noNLB)
		if err != nil {
			return nil, err
		}
		return c.viewNLB(vpc, l), nil
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
	op(a, "GetJobStatus", func(_ balancing, in struct{ JobId string }) (wire.M, error) {
		// Calls wait until what they did is in force, so that no job is on its way.
		if !strings.HasPrefix(in.JobId, jobs) {
			return nil, notFound("ResourceNotFound.job", "The specified job %q does not exist.", in.JobId)
		}
		return wire.M{"Status": "Succeeded"}, nil
	})
}

const jobs = "job-"

// job adds the job of a call to its answer.
func (c balancing) job(m wire.M) wire.M {
	if m == nil {
		m = wire.M{}
	}
	m["JobId"] = jobs + strings.ToLower(c.ID)
	return m
}

func createNLB(c balancing, in struct {
	LoadBalancerName, LoadBalancerType, AddressType, AddressIpVersion, VpcId, ResourceGroupId string
	ZoneMappings                                                                              []struct {
		ZoneId, VSwitchId, PrivateIPv4Address string
	}
	Tag []tag
}) (wire.M, error) {
	if !strings.EqualFold(in.AddressType, "Intranet") || in.AddressIpVersion != "" &&
		!strings.EqualFold(in.AddressIpVersion, "ipv4") {
		return nil, wire.Errorf("UnsupportedOperation", "A lab has no public addresses: an NLB that is made by the API has"+
			" AddressType Intranet and AddressIpVersion ipv4")
	}
	vpc, err := c.vpc(in.VpcId)
	if err != nil {
		return nil, err
	}
	places := map[string]value{}
	for _, z := range in.ZoneMappings {
		of, s, err := c.vSwitch(z.VSwitchId)
		if err != nil {
			return nil, err
		}
		if of.Name != vpc.Name || s.Zone != z.ZoneId {
			return nil, wire.Errorf("InvalidVSwitchId.ZoneMismatch", "The vSwitch %q is in zone %q of the VPC %q.", s.ID,
				s.Zone, of.ID)
		}
		places[s.Name] = value{}
		if z.PrivateIPv4Address != "" {
			places[s.Name]["ip"] = z.PrivateIPv4Address
		}
	}
	if len(places) == 0 {
		return nil, wire.Errorf("MissingZoneMappings", "ZoneMappings is mandatory for this action.")
	}
	tags, err := tagsOf(in.Tag)
	if err != nil {
		return nil, err
	}
	id := c.NewID("nlb")
	v := value{"type": string(topology.NLB), "vpc": vpc.Name, "subnets": places, "listeners": []value{}}
	if err := c.Edit(topology.Edit{Path: path("load_balancers", id), Value: text(v), New: true}); err != nil {
		return nil, err
	}
	c.Created(id, tags, map[string]string{"name": in.LoadBalancerName, "resource group": in.ResourceGroupId})
	return c.job(wire.M{"LoadbalancerId": id}), nil
}

func (c balancing) viewNLB(vpc *topology.VPC, l *topology.LoadBalancer) wire.M {
	zones := []wire.M{}
	for _, n := range l.Nodes {
		z := wire.M{"ZoneId": n.Zone, "VSwitchId": "", "Status": "Active", "LoadBalancerAddresses": []wire.M{
			{"PrivateIPv4Address": n.IP(), "EniId": n.ENI.ID}}}
		if s, err := vpc.Subnet(n.Subnet); err == nil {
			z["VSwitchId"] = s.ID
		}
		zones = append(zones, z)
	}
	return wire.M{
		"LoadBalancerId": l.ID, "LoadBalancerName": cmp.Or(c.name(l.ID, l.Name), l.ID), "LoadBalancerType": "Network",
		"LoadBalancerStatus": "Active", "LoadBalancerBusinessStatus": "Normal", "AddressType": "Intranet",
		"AddressIpVersion": "ipv4", "VpcId": vpc.ID, "RegionId": c.Plan.Region, "CrossZoneEnabled": l.CrossZone,
		"CreateTime": c.CreatedAt(l.ID), "ResourceGroupId": c.resourceGroup(l.ID), "ZoneMappings": zones,
		"DNSName": l.ID + "." + c.Plan.Region + ".nlb.aliyuncs.com", "Tags": c.tags(l.ID, "Key", "Value"),
		"SecurityGroupIds": []string{},
	}
}

// nlbServer is a server as requests have it.
type nlbServer struct{ ServerId, ServerIp, ServerType, Port, Weight string }

func (s nlbServer) server() (server, error) {
	out := server{id: s.ServerId, ip: s.ServerIp, weight: 100}
	if strings.EqualFold(s.ServerType, "Ip") {
		out.id, out.ip = "", cmp.Or(s.ServerIp, s.ServerId)
	} else {
		out.ip = ""
	}
	var err error
	if out.port, err = strconv.Atoi(s.Port); err == nil && s.Weight != "" {
		out.weight, err = strconv.Atoi(s.Weight)
	}
	if err != nil {
		return out, wire.Errorf("IllegalParam.Servers", "A Port or a Weight of Servers is no number.")
	}
	return out, nil
}

func nlbGroupRows(a *adder) {
	op(a, "CreateServerGroup", createNLBGroup,
		"AddressIPVersion", "the servers of a group that is made by the API are reached by IPv4",
		"PreserveClientIpEnabled", "what comes through PrivateLink never has the client's address")
	op(a, "DeleteServerGroup", func(c balancing, in struct{ ServerGroupId string }) (wire.M, error) {
		_, g, err := c.serverGroup(in.ServerGroupId, noNLBGroup)
		if err != nil {
			return nil, err
		}
		if err := c.Edit(topology.Edit{Path: path("server_groups", g.Name)}); err != nil {
			return nil, coded(err, topology.InUse, "ResourceInUse.serverGroup")
		}
		c.Forget(g.ID)
		return c.job(wire.M{"ServerGroupId": in.ServerGroupId}), nil
	})
	move := func(verb topology.Verb) func(c balancing, in struct {
		ServerGroupId string
		Servers       []nlbServer
	}) (wire.M, error) {
		return func(c balancing, in struct {
			ServerGroupId string
			Servers       []nlbServer
		}) (wire.M, error) {
			return c.moveNLBServers(verb, in.ServerGroupId, in.Servers)
		}
	}
	op(a, "AddServersToServerGroup", move(topology.VerbServerRegister), "Servers.Description",
		"servers of a lab have no descriptions")
	op(a, "UpdateServerGroupServersAttribute", move(topology.VerbServerWeight), "Servers.Description",
		"servers of a lab have no descriptions")
	op(a, "RemoveServersFromServerGroup", func(c balancing, in struct {
		ServerGroupId string
		Servers       []struct{ ServerId, ServerIp, ServerType, Port string }
	}) (wire.M, error) {
		var servers []nlbServer
		for _, s := range in.Servers {
			servers = append(servers, nlbServer{s.ServerId, s.ServerIp, s.ServerType, s.Port, ""})
		}
		return c.moveNLBServers(topology.VerbServerDeregister, in.ServerGroupId, servers)
	})
	list(a, listing{name: "ListServerGroups", answer: "ServerGroups", usual: 20, most: 100,
		filters: map[string]filter{"ServerGroupIds": is("ServerGroupId"), "ServerGroupNames": is("ServerGroupName"),
			"ServerGroupType": is("ServerGroupType"), "VpcId": is("VpcId"), "ResourceGroupId": is("ResourceGroupId")},
		all: func(base *call) (out []wire.M, _ error) {
			c := balancing{base}
			for i := range c.Plan.ServerGroups {
				g := &c.Plan.ServerGroups[i]
				if vpc, _, err := c.serverGroup(g.ID, noNLBGroup); err == nil && strings.HasPrefix(g.ID, "sgp-") {
					out = append(out, c.viewNLBGroup(vpc, g))
				}
			}
			return out, nil
		}})
	list(a, listing{name: "ListServerGroupServers", answer: "Servers", usual: 20, most: 100,
		filters: map[string]filter{"ServerIds": is("ServerId"), "ServerIps": is("ServerIp")},
		also:    []string{"ServerGroupId"},
		all: func(base *call) (out []wire.M, _ error) {
			c := balancing{base}
			id, _ := c.Values["ServerGroupId"].(string)
			_, g, err := c.serverGroup(id, noNLBGroup)
			if err != nil {
				return nil, err
			}
			for _, s := range g.Servers {
				kind := "Ecs"
				if s.Instance == "" {
					kind = "Ip"
				}
				out = append(out, wire.M{"ServerGroupId": g.ID, "ServerId": c.serverID(s), "ServerIp": s.IP,
					"ServerType": kind, "Port": int(s.Port), "Weight": s.Weight, "ZoneId": s.Zone, "Status": "Available"})
			}
			return out, nil
		}})
}

func createNLBGroup(c balancing, in struct {
	ServerGroupName, ServerGroupType, VpcId, Protocol, Scheduler, ResourceGroupId string
	ConnectionDrainEnabled                                                        *bool
	ConnectionDrainTimeout                                                        int
	HealthCheckConfig                                                             *struct {
		HealthCheckEnabled, HealthCheckType, HealthCheckConnectPort, HealthCheckConnectTimeout string
		HealthCheckInterval, HealthyThreshold, UnhealthyThreshold                              string
		HealthCheckDomain, HealthCheckUrl, HttpCheckMethod                                     string
		HealthCheckHttpCode                                                                    []string
	}
	Tag []tag
}) (wire.M, error) {
	vpc, err := c.vpc(in.VpcId)
	if err != nil {
		return nil, err
	}
	scheduler, err := schedulerOf(in.Scheduler, "wrr", "wlc", "rr", "sch", "tch")
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
		v["deregistration"] = value{"delay": fmt.Sprintf("%ds", in.ConnectionDrainTimeout), "terminate": true}
	}
	edits := []topology.Edit{{Path: path("server_groups", id), Value: text(v), New: true}}
	if h := in.HealthCheckConfig; h != nil {
		numbers := map[string]int{}
		for name, text := range map[string]string{"HealthCheckConnectPort": h.HealthCheckConnectPort,
			"HealthCheckConnectTimeout": h.HealthCheckConnectTimeout, "HealthCheckInterval": h.HealthCheckInterval,
			"HealthyThreshold": h.HealthyThreshold, "UnhealthyThreshold": h.UnhealthyThreshold} {
			if numbers[name], err = strconv.Atoi(cmp.Or(text, "0")); err != nil {
				return nil, wire.Errorf("IllegalParam."+name, "The parameter %s is no number.", name)
			}
		}
		edits = append(edits, check{off: h.HealthCheckEnabled == "false", protocol: h.HealthCheckType,
			host: h.HealthCheckDomain, page: h.HealthCheckUrl, method: h.HttpCheckMethod, codes: h.HealthCheckHttpCode,
			port: numbers["HealthCheckConnectPort"], interval: numbers["HealthCheckInterval"],
			timeout: numbers["HealthCheckConnectTimeout"], healthy: numbers["HealthyThreshold"],
			unhealthy: numbers["UnhealthyThreshold"]}.edits(id)...)
	}
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
		"ServerGroupId": g.ID, "ServerGroupName": c.name(g.ID, g.Name), "ServerGroupStatus": "Available",
		"ServerGroupType": cmp.Or(c.Record.Note(g.ID, "type"), "Instance"), "VpcId": vpc.ID,
		"Protocol": strings.ToUpper(string(g.Protocol)), "Scheduler": string(g.Scheduler), "ServerCount": len(g.Servers),
		"RelatedLoadBalancerIds": c.users(g), "RegionId": c.Plan.Region, "ResourceGroupId": c.resourceGroup(g.ID),
		"AddressIPVersion": "ipv4", "AnyPortEnabled": false, "ConnectionDrainEnabled": g.Deregistration.Terminate,
		"ConnectionDrainTimeout": int(g.Deregistration.Delay / time.Second), "PreserveClientIpEnabled": true,
		"Tags": c.tags(g.ID, "Key", "Value"), "HealthCheck": wire.M{
			"HealthCheckEnabled": h.Protocol != topology.NoProtocol, "HealthCheckType": strings.ToUpper(string(h.Protocol)),
			"HealthCheckConnectPort": int(h.Port), "HealthCheckConnectTimeout": int(h.Timeout / time.Second),
			"HealthCheckInterval": int(h.Interval / time.Second), "HealthyThreshold": h.Healthy,
			"UnhealthyThreshold": h.Unhealthy},
	}
}

func (c balancing) moveNLBServers(verb topology.Verb, group string, in []nlbServer) (wire.M, error) {
	vpc, g, err := c.serverGroup(group, noNLBGroup)
	if err != nil {
		return nil, err
	}
	var servers []server
	for _, one := range in {
		s, err := one.server()
		if err != nil {
			return nil, err
		}
		servers = append(servers, s)
	}
	if err := c.moveServers(verb, vpc, g, servers); err != nil {
		return nil, err
	}
	return c.job(wire.M{"ServerGroupId": group}), nil
}

func nlbListenerRows(a *adder) {
	op(a, "CreateListener", createNLBListener,
		"SecSensorEnabled", "a lab counts by the second, whatever it says")
	op(a, "DeleteListener", func(c balancing, in struct{ ListenerId string }) (wire.M, error) {
		l, h, err := c.nlbListener(in.ListenerId)
		if err != nil {
			return nil, err
		}
		if err := c.Edit(topology.Edit{Path: atListener(l, string(h.Protocol), int(h.Port))}); err != nil {
			return nil, err
		}
		c.Forget(in.ListenerId)
		return c.job(nil), nil
	})
	op(a, "GetListenerAttribute", func(c balancing, in struct{ ListenerId string }) (wire.M, error) {
		l, h, err := c.nlbListener(in.ListenerId)
		if err != nil {
			return nil, err
		}
		return c.viewNLBListener(l, h), nil
	})
	list(a, listing{name: "ListListeners", answer: "Listeners", usual: 20, most: 100,
		filters: map[string]filter{"ListenerIds": is("ListenerId"), "LoadBalancerIds": is("LoadBalancerId"),
			"ListenerProtocol": is("ListenerProtocol")},
		all: func(base *call) (out []wire.M, _ error) {
			c := balancing{base}
			for _, l := range c.balancers(topology.NLB) {
				for i := range l.Listeners {
					out = append(out, c.viewNLBListener(l, &l.Listeners[i]))
				}
			}
			return out, nil
		}})
}

// nlbListenerID is the identifier of a listener (NLB API 2022-04-30, CreateListener,
// ListenerId).
func (c balancing) nlbListenerID(l *topology.LoadBalancer, h *topology.Listener) string {
	return fmt.Sprintf("%s@%d", c.Plan.NewID("lsn", l.ID+" "+string(h.Protocol)+" "+strconv.Itoa(int(h.Port))), h.Port)
}

func (c balancing) nlbListener(id string) (*topology.LoadBalancer, *topology.Listener, error) {
	for _, l := range c.balancers(topology.NLB) {
		i := slices.IndexFunc(l.Listeners, func(h topology.Listener) bool { return c.nlbListenerID(l, &h) == id })
		if i >= 0 {
			return l, &l.Listeners[i], nil
		}
	}
	return nil, nil, notFound("ResourceNotFound.listener", "The specified listener %q does not exist.", id)
}

func createNLBListener(c balancing, in struct {
	LoadBalancerId, ListenerProtocol, ServerGroupId, ListenerDescription string
	ListenerPort, IdleTimeout                                            int
	ProxyProtocolEnabled                                                 *bool
	Tag                                                                  []tag
}) (wire.M, error) {
	_, l, err := c.balancer(in.LoadBalancerId, topology.NLB, noNLB)
	if err != nil {
		return nil, err
	}
	_, g, err := c.serverGroup(in.ServerGroupId, noNLBGroup)
	if err != nil {
		return nil, err
	}
	protocol := strings.ToLower(in.ListenerProtocol)
	if protocol != "tcp" && protocol != "udp" {
		return nil, wire.Errorf("UnsupportedOperation", "A listener of an NLB of a lab has ListenerProtocol TCP or UDP:"+
			" PrivateLink does not lead to TCPSSL")
	}
	if listener(l, protocol, in.ListenerPort) != nil {
		return nil, wire.Errorf("ResourceAlreadyExist.listener", "There is already a listener on port %d.", in.ListenerPort)
	}
	tags, err := tagsOf(in.Tag)
	if err != nil {
		return nil, err
	}
	v := value{"protocol": protocol, "port": in.ListenerPort, "server_group": g.Name}
	if in.IdleTimeout > 0 {
		v["idle_timeout"] = fmt.Sprintf("%ds", in.IdleTimeout)
	}
	if on := in.ProxyProtocolEnabled; on != nil && *on {
		v["proxy_protocol"] = string(topology.OnFirstPayload)
	}
	err = c.Edit(topology.Edit{Path: path("load_balancers", l.Name, "listeners", topology.AtEnd), Value: text(v)})
	if err != nil {
		return nil, err
	}
	_, l, err = c.balancer(in.LoadBalancerId, topology.NLB, noNLB)
	if err != nil {
		return nil, err
	}
	h := listener(l, protocol, in.ListenerPort)
	if h == nil {
		return nil, notFound("ResourceNotFound.listener", "The listener was deleted meanwhile.")
	}
	id := c.nlbListenerID(l, h)
	c.Created(id, tags, map[string]string{"description": in.ListenerDescription})
	return c.job(wire.M{"ListenerId": id}), nil
}

func (c balancing) viewNLBListener(l *topology.LoadBalancer, h *topology.Listener) wire.M {
	id := c.nlbListenerID(l, h)
	return wire.M{"ListenerId": id, "LoadBalancerId": l.ID, "ListenerPort": int(h.Port), "ListenerStatus": "Running",
		"ListenerProtocol": strings.ToUpper(string(h.Protocol)), "ServerGroupId": c.groupID(h.ServerGroup),
		"IdleTimeout": int(h.IdleTimeout / time.Second), "ProxyProtocolEnabled": h.ProxyProtocol != "",
		"ListenerDescription": c.Record.Note(id, "description"), "RegionId": c.Plan.Region,
		"Tags": c.tags(id, "Key", "Value")}
}
