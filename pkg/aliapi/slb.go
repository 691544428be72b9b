package aliapi

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/plinksim/plinksim/pkg/cloudapi"
	"github.com/plinksim/plinksim/pkg/topology"
	"github.com/plinksim/plinksim/pkg/wire"
)

// Codes of SLB API 2014-05-15 for what is not there.
const (
	noBalancer = "InvalidLoadBalancerId.NotFound"
	noVGroup   = "InvalidParameter.VServerGroupNotFound"
)

func slbRows(a *adder) {
	op(a, "CreateLoadBalancer", createCLB,
		"PayType InstanceChargeType Duration PricingCycle AutoPay InternetChargeType Bandwidth AutoRenew"+
			" AutoRenewPeriod Ratio LoadBalancerSpec", noBill,
		"SlaveZoneId MasterZoneId", "a CLB of a lab is in the zone of its vSwitch alone",
		"SupportPrivateLink", "every CLB of a lab supports PrivateLink",
		"DeleteProtection ModificationProtectionStatus ModificationProtectionReason",
		"load balancers of a lab are not protected")
	op(a, "DeleteLoadBalancer", func(c balancing, in struct{ LoadBalancerId string }) (wire.M, error) {
		_, l, err := c.balancer(in.LoadBalancerId, topology.CLB, noBalancer)
		if err != nil {
			return nil, err
		}
		var groups []topology.Edit
		for _, g := range c.groupsOf(l.ID) {
			groups = append(groups, topology.Edit{Path: path("server_groups", g.Name)})
		}
		return nil, c.deleteBalancer(l, "OperationFailed.ExistsPrivateLink", groups...)
	})
	op(a, "SetLoadBalancerName", func(c balancing, in struct{ LoadBalancerId, LoadBalancerName string }) (wire.M,
		error) {
		if _, _, err := c.balancer(in.LoadBalancerId, topology.CLB, noBalancer); err != nil {
			return nil, err
		}
		c.rename(in.LoadBalancerId, in.LoadBalancerName, "")
		return nil, nil
	})
	op(a, "DescribeLoadBalancerAttribute", func(c balancing, in struct{ LoadBalancerId string }) (wire.M, error) {
		vpc, l, err := c.balancer(in.LoadBalancerId, topology.CLB, noBalancer)
		if err != nil {
			return nil, err
		}
		return c.attributeCLB(vpc, l), nil
	})
	list(a, listing{name: "DescribeLoadBalancers", answer: "LoadBalancers.LoadBalancer", usual: 50, most: 100,
		filters: map[string]filter{"LoadBalancerId": among("LoadBalancerId"), "LoadBalancerName": is("LoadBalancerName"),
			"VpcId": is("VpcId"), "VSwitchId": is("VSwitchId"), "Address": is("Address"), "AddressType": is("AddressType"),
			"LoadBalancerStatus": is("LoadBalancerStatus"), "NetworkType": is("NetworkType"),
			"MasterZoneId": is("MasterZoneId"), "ResourceGroupId": is("ResourceGroupId"), "PayType": is("PayType")},
		all: func(base *call) (out []wire.M, _ error) {
			c := balancing{base}
			for _, l := range c.balancers(topology.CLB) {
				out = append(out, c.viewCLB(c.Plan.MustVPC(l.VPC), l))
			}
			return out, nil
		}})
	vGroupRows(a)
	clbListenerRows(a)
	regionRows(a, "slb", func(_ *call, zone string) wire.M {
		return wire.M{"ZoneId": zone, "LocalName": zone, "SlaveZones": wire.M{"SlaveZone": []wire.M{}}}
	})
	tagRows(a, "UntagResources", taggable{"instance": func(c *call) (out []string) {
		for _, l := range (balancing{c}).balancers(topology.CLB) {
			out = append(out, l.ID)
		}
		return out
	}})
}

func createCLB(c balancing, in struct {
	LoadBalancerName, AddressType, AddressIPVersion, VpcId, VSwitchId, Address string
	ResourceGroupId                                                            string
	Tag                                                                        []tag
}) (wire.M, error) {
	if in.VSwitchId == "" || in.AddressType != "" && !strings.EqualFold(in.AddressType, "intranet") {
		return nil, wire.Errorf("UnsupportedOperation", "A lab has no public addresses: a CLB of it has AddressType intranet"+
			" and a VSwitchId")
	}
	if v := in.AddressIPVersion; v != "" && !strings.EqualFold(v, "ipv4") {
		return nil, wire.Errorf("UnsupportedOperation", "A CLB of a lab has IPv4")
	}
	vpc, s, err := c.vSwitch(in.VSwitchId)
	if err != nil {
		return nil, err
	}
	if in.VpcId != "" && in.VpcId != vpc.ID {
		return nil, wire.Errorf("InvalidVSwitchId.VpcMismatch", "The vSwitch %q is not in the VPC %q.", s.ID, in.VpcId)
	}
	tags, err := tagsOf(in.Tag)
	if err != nil {
		return nil, err
	}
	place := value{}
	if in.Address != "" {
		place["ip"] = in.Address
	}
	id := c.NewID("lb")
	v := value{"type": string(topology.CLB), "vpc": vpc.Name, "subnets": map[string]value{s.Name: place},
		"listeners": []value{}}
	if err := c.Edit(topology.Edit{Path: path("load_balancers", id), Value: text(v), New: true}); err != nil {
		return nil, err
	}
	c.Created(id, tags, map[string]string{"name": in.LoadBalancerName, "resource group": in.ResourceGroupId})
	vpc, l, err := c.balancer(id, topology.CLB, noBalancer)
	if err != nil {
		return nil, err
	}
	return c.only(c.viewCLB(vpc, l)), nil
}

func (c balancing) viewCLB(vpc *topology.VPC, l *topology.LoadBalancer) wire.M {
	m := wire.M{
		"LoadBalancerId": l.ID, "LoadBalancerName": cmp.Or(c.name(l.ID, l.Name), l.ID), "LoadBalancerStatus": "active",
		"AddressType": "intranet", "AddressIPVersion": "ipv4", "NetworkType": "vpc", "VpcId": vpc.ID, "VSwitchId": "",
		"RegionId": c.Plan.Region, "PayType": "PayOnDemand", "CreateTime": c.CreatedAt(l.ID),
		"CreateTimeStamp": c.CreatedAt(l.ID).UnixMilli(), "ResourceGroupId": c.resourceGroup(l.ID), "MasterZoneId": "",
		"LoadBalancerSpec": "slb.s1.small", "Bandwidth": 5120, "BusinessStatus": "Normal", "DeleteProtection": "off",
		"Tags": wire.M{"Tag": c.tags(l.ID, "TagKey", "TagValue")},
	}
	if len(l.Nodes) > 0 {
		m["Address"], m["MasterZoneId"] = l.Nodes[0].IP(), l.Nodes[0].Zone
		if s, err := vpc.Subnet(l.Nodes[0].Subnet); err == nil {
			m["VSwitchId"] = s.ID
		}
	}
	return m
}

func (c balancing) attributeCLB(vpc *topology.VPC, l *topology.LoadBalancer) wire.M {
	ports, both := []int{}, []wire.M{}
	for _, h := range c.clbListeners(l) {
		ports = append(ports, h.Port)
		both = append(both, wire.M{"ListenerPort": h.Port, "ListenerProtocol": h.Protocol})
	}
	m := c.only(c.viewCLB(vpc, l))
	m["ListenerPorts"] = wire.M{"ListenerPort": ports}
	m["ListenerPortsAndProtocol"] = wire.M{"ListenerPortAndProtocol": both}
	m["BackendServers"] = wire.M{"BackendServer": []wire.M{}}
	m["SupportPrivateLink"] = true
	return m
}

func vGroupRows(a *adder) {
	op(a, "CreateVServerGroup", createVGroup)
	op(a, "DeleteVServerGroup", func(c balancing, in struct{ VServerGroupId string }) (wire.M, error) {
		_, g, err := c.serverGroup(in.VServerGroupId, noVGroup)
		if err != nil {
			return nil, err
		}
		if err := c.Edit(topology.Edit{Path: path("server_groups", g.Name)}); err != nil {
			return nil, coded(err, topology.InUse, "RspoolVipExist")
		}
		c.Forget(g.ID)
		return nil, nil
	})
	op(a, "SetVServerGroupAttribute", func(c balancing, in struct {
		VServerGroupId, VServerGroupName, BackendServers string
	}) (wire.M, error) {
		if in.VServerGroupName != "" {
			if _, _, err := c.serverGroup(in.VServerGroupId, noVGroup); err != nil {
				return nil, err
			}
			c.rename(in.VServerGroupId, in.VServerGroupName, "")
		}
		return c.moveBackends(topology.VerbServerWeight, in.VServerGroupId, in.BackendServers)
	})
	op(a, "AddVServerGroupBackendServers", func(c balancing, in struct{ VServerGroupId, BackendServers string }) (wire.M,
		error) {
		return c.moveBackends(topology.VerbServerRegister, in.VServerGroupId, in.BackendServers)
	})
	op(a, "RemoveVServerGroupBackendServers", func(c balancing, in struct {
		VServerGroupId, BackendServers string
	}) (wire.M, error) {
		return c.moveBackends(topology.VerbServerDeregister, in.VServerGroupId, in.BackendServers)
	})
	op(a, "DescribeVServerGroupAttribute", func(c balancing, in struct{ VServerGroupId string }) (wire.M, error) {
		_, g, err := c.serverGroup(in.VServerGroupId, noVGroup)
		if err != nil {
			return nil, err
		}
		return c.viewVGroup(g), nil
	})
	op(a, "DescribeVServerGroups", func(c balancing, in struct{ LoadBalancerId string }) (wire.M, error) {
		_, l, err := c.balancer(in.LoadBalancerId, topology.CLB, noBalancer)
		if err != nil {
			return nil, err
		}
		out := []wire.M{}
		for _, g := range c.groupsOf(l.ID) {
			out = append(out, wire.M{"VServerGroupId": g.ID, "VServerGroupName": c.name(g.ID, g.Name),
				"ServerCount": len(g.Servers), "CreateTime": c.CreatedAt(g.ID)})
		}
		return wire.M{"VServerGroups": wire.M{"VServerGroup": out}}, nil
	})
}

// groupsOf are the server groups that were made for a CLB, and those that it uses.
func (c balancing) groupsOf(balancer string) (out []*topology.ServerGroup) {
	for i := range c.Plan.ServerGroups {
		g := &c.Plan.ServerGroups[i]
		if c.Record.Note(g.ID, "balancer") == balancer || slices.Contains(c.users(g), balancer) {
			out = append(out, g)
		}
	}
	return out
}

// backends reads servers, which are a list in JSON with numbers or texts.
func backends(list string) (out []server, _ error) {
	if list == "" {
		return nil, nil
	}
	var all []struct {
		ServerId, ServerIp string
		Port, Weight       any
	}
	reader := json.NewDecoder(strings.NewReader(list))
	reader.UseNumber()
	if err := reader.Decode(&all); err != nil {
		return nil, wire.Errorf("InvalidParameter", "Specified parameter BackendServers is not valid: %v", err)
	}
	for _, one := range all {
		s := server{id: one.ServerId, ip: one.ServerIp, weight: 100}
		port, err := strconv.Atoi(fmt.Sprint(one.Port))
		if err == nil && one.Weight != nil {
			s.weight, err = strconv.Atoi(fmt.Sprint(one.Weight))
		}
		if err != nil {
			return nil, wire.Errorf("InvalidParameter", "Specified parameter BackendServers is not valid: a Port or a Weight"+
				" is no number")
		}
		s.port = port
		out = append(out, s)
	}
	return out, nil
}

func createVGroup(c balancing, in struct {
	LoadBalancerId, VServerGroupName, BackendServers string
}) (wire.M, error) {
	vpc, l, err := c.balancer(in.LoadBalancerId, topology.CLB, noBalancer)
	if err != nil {
		return nil, err
	}
	all, err := backends(in.BackendServers)
	if err != nil {
		return nil, err
	}
	servers, err := c.serverValues(vpc, all)
	if err != nil {
		return nil, err
	}
	id := c.NewID("rsp")
	v := value{"vpc": vpc.Name, "servers": servers}
	if err := c.Edit(topology.Edit{Path: path("server_groups", id), Value: text(v), New: true}); err != nil {
		return nil, err
	}
	c.Created(id, nil, map[string]string{"name": in.VServerGroupName, "balancer": l.ID})
	_, g, err := c.serverGroup(id, noVGroup)
	if err != nil {
		return nil, err
	}
	return c.only(c.viewVGroup(g)), nil
}

func (c balancing) viewVGroup(g *topology.ServerGroup) wire.M {
	servers := []wire.M{}
	for _, s := range g.Servers {
		servers = append(servers, wire.M{"ServerId": c.serverID(s), "Port": int(s.Port), "Weight": s.Weight, "Type": "ecs"})
	}
	return wire.M{"VServerGroupId": g.ID, "VServerGroupName": c.name(g.ID, g.Name), "CreateTime": c.CreatedAt(g.ID),
		"LoadBalancerId": c.Record.Note(g.ID, "balancer"), "BackendServers": wire.M{"BackendServer": servers}}
}

func (c balancing) moveBackends(verb topology.Verb, group, list string) (wire.M, error) {
	vpc, g, err := c.serverGroup(group, noVGroup)
	if err != nil {
		return nil, err
	}
	servers, err := backends(list)
	if err == nil {
		err = c.moveServers(verb, vpc, g, servers)
	}
	if err != nil {
		return nil, err
	}
	if _, g, err = c.serverGroup(group, noVGroup); err != nil {
		return nil, err
	}
	return c.only(c.viewVGroup(g)), nil
}

// clbListener is a listener of a CLB as it was made. One that is stopped is in no topology.
type clbListener struct {
	Protocol string `json:"protocol"`
	Port     int    `json:"port"`
	Group    string `json:"group"` // identifier
	Idle     int    `json:"idle,omitempty"`
	stopped  bool
}

// clbListeners are those of a CLB by protocol and port: what the topology has, and what is
// stopped.
func (c balancing) clbListeners(l *topology.LoadBalancer) []clbListener {
	all := map[string]clbListener{}
	for key, note := range c.Record.Thing(l.ID).Notes {
		var h clbListener
		if strings.HasPrefix(key, "listener ") && json.Unmarshal([]byte(note), &h) == nil {
			h.stopped = true
			all[key] = h
		}
	}
	for _, h := range l.Listeners {
		one := clbListener{Protocol: string(h.Protocol), Port: int(h.Port), Group: c.groupID(h.ServerGroup),
			Idle: int(h.IdleTimeout / time.Second)}
		all[one.key()] = one
	}
	var out []clbListener
	for _, key := range slices.Sorted(maps.Keys(all)) {
		out = append(out, all[key])
	}
	return out
}

func (h clbListener) key() string { return fmt.Sprintf("listener %s %05d", h.Protocol, h.Port) }

// said is where the record of a CLB has the description of a listener, whether it runs or not.
func (h clbListener) said() string { return "description of " + h.key() }

// clbListener finds a listener by its port, and by its protocol where that is said.
func (c balancing) clbListener(id, protocol string, port int) (*topology.VPC, *topology.LoadBalancer, clbListener,
	error) {
	vpc, l, err := c.balancer(id, topology.CLB, noBalancer)
	if err != nil {
		return nil, nil, clbListener{}, err
	}
	for _, h := range c.clbListeners(l) {
		if h.Port == port && (protocol == "" || strings.EqualFold(protocol, h.Protocol)) {
			return vpc, l, h, nil
		}
	}
	return nil, nil, clbListener{}, notFound("InvalidParameter.ListenerNotFound", "The load balancer %q has no listener on"+
		" port %d.", id, port)
}

type clbListenerIn struct {
	LoadBalancerId                       string
	ListenerPort                         int
	VServerGroupId                       string
	Scheduler, Description               string
	EstablishedTimeout                   int
	HealthCheckType, HealthCheckDomain   string
	HealthCheckURI, HealthCheckHttpCode  string
	HealthCheckMethod, HealthCheckSwitch string
	HealthCheckConnectPort               int
	HealthCheckConnectTimeout            int
	HealthCheckInterval                  int
	HealthyThreshold, UnhealthyThreshold int
}

type udpListenerIn struct {
	LoadBalancerId                       string
	ListenerPort                         int
	VServerGroupId                       string
	Scheduler, Description               string
	HealthCheckSwitch                    string
	HealthCheckConnectPort               int
	HealthCheckConnectTimeout            int
	HealthCheckInterval                  int
	HealthyThreshold, UnhealthyThreshold int
}

func clbListenerRows(a *adder) {
	const unlimited = "a listener of a lab is not limited"
	op(a, "CreateLoadBalancerTCPListener", func(c balancing, in clbListenerIn) (wire.M, error) {
		return nil, c.createCLBListener("tcp", in)
	}, "Bandwidth MaxConnection", unlimited, "BackendServerPort", "the servers of a VServerGroup have ports of their own",
		"PersistenceTimeout", "schedulers sch and tch keep a client at its server")
	op(a, "CreateLoadBalancerUDPListener", func(c balancing, in udpListenerIn) (wire.M, error) {
		return nil, c.createCLBListener("udp", clbListenerIn{LoadBalancerId: in.LoadBalancerId,
			ListenerPort: in.ListenerPort, VServerGroupId: in.VServerGroupId, Scheduler: in.Scheduler,
			Description: in.Description, HealthCheckSwitch: in.HealthCheckSwitch,
			HealthCheckConnectPort: in.HealthCheckConnectPort, HealthCheckConnectTimeout: in.HealthCheckConnectTimeout,
			HealthCheckInterval: in.HealthCheckInterval, HealthyThreshold: in.HealthyThreshold,
			UnhealthyThreshold: in.UnhealthyThreshold})
	}, "Bandwidth", unlimited, "BackendServerPort", "the servers of a VServerGroup have ports of their own")
	type one struct {
		LoadBalancerId   string
		ListenerPort     int
		ListenerProtocol string
	}
	op(a, "StartLoadBalancerListener", func(c balancing, in one) (wire.M, error) {
		_, l, h, err := c.clbListener(in.LoadBalancerId, in.ListenerProtocol, in.ListenerPort)
		if err != nil || !h.stopped {
			return nil, err
		}
		_, g, err := c.serverGroup(h.Group, noVGroup)
		if err != nil {
			return nil, err
		}
		v := value{"protocol": h.Protocol, "port": h.Port, "server_group": g.Name}
		if h.Idle > 0 {
			v["idle_timeout"] = fmt.Sprintf("%ds", h.Idle)
		}
		return nil, c.Edit(topology.Edit{Path: path("load_balancers", l.Name, "listeners", topology.AtEnd), Value: text(v)})
	})
	op(a, "StopLoadBalancerListener", func(c balancing, in one) (wire.M, error) {
		_, l, h, err := c.clbListener(in.LoadBalancerId, in.ListenerProtocol, in.ListenerPort)
		if err != nil || h.stopped {
			return nil, err
		}
		c.keepListener(l, h)
		return nil, c.Edit(topology.Edit{Path: atListener(l, h.Protocol, h.Port)})
	})
	op(a, "DeleteLoadBalancerListener", func(c balancing, in one) (wire.M, error) {
		_, l, h, err := c.clbListener(in.LoadBalancerId, in.ListenerProtocol, in.ListenerPort)
		if err != nil {
			return nil, err
		}
		if !h.stopped {
			if err := c.Edit(topology.Edit{Path: atListener(l, h.Protocol, h.Port)}); err != nil {
				return nil, err
			}
		}
		c.Change(l.ID, func(t *cloudapi.Thing) {
			delete(t.Notes, h.key())
			delete(t.Notes, h.said())
		})
		return nil, nil
	})
	op(a, "DescribeLoadBalancerTCPListenerAttribute", func(c balancing, in struct {
		LoadBalancerId string
		ListenerPort   int
	}) (wire.M, error) {
		return c.attributeListener(in.LoadBalancerId, "tcp", in.ListenerPort)
	})
	op(a, "DescribeLoadBalancerUDPListenerAttribute", func(c balancing, in struct {
		LoadBalancerId string
		ListenerPort   int
	}) (wire.M, error) {
		return c.attributeListener(in.LoadBalancerId, "udp", in.ListenerPort)
	})
}

func (c balancing) keepListener(l *topology.LoadBalancer, h clbListener) {
	c.Change(l.ID, func(t *cloudapi.Thing) { t.Notes[h.key()] = text(h) })
}

// createCLBListener makes a listener that is stopped: StartLoadBalancerListener starts it.
func (c balancing) createCLBListener(protocol string, in clbListenerIn) error {
	_, l, err := c.balancer(in.LoadBalancerId, topology.CLB, noBalancer)
	if err != nil {
		return err
	}
	if in.VServerGroupId == "" {
		return wire.Errorf("UnsupportedOperation", "A listener of a lab leads to a VServerGroup: there is no default server"+
			" group")
	}
	if in.ListenerPort < 1 || in.ListenerPort > 65535 {
		return wire.Errorf("InvalidParameter", "Specified parameter ListenerPort is not valid: it is from 1 to 65535")
	}
	_, g, err := c.serverGroup(in.VServerGroupId, noVGroup)
	if err != nil {
		return err
	}
	h := clbListener{Protocol: protocol, Port: in.ListenerPort, Group: g.ID, Idle: in.EstablishedTimeout}
	for _, other := range c.clbListeners(l) {
		if other.key() == h.key() {
			return wire.Errorf("ListenerAlreadyExists", "There is already a listener on port %d.", h.Port)
		}
	}
	scheduler, err := schedulerOf(in.Scheduler, "wrr", "rr", "sch", "tch")
	if err != nil {
		return err
	}
	if !slices.Contains([]string{"", "on", "off"}, in.HealthCheckSwitch) {
		return wire.Errorf("InvalidParameter", "Specified parameter HealthCheckSwitch is not valid: it is on or off")
	}
	edits := check{off: in.HealthCheckSwitch == "off", protocol: in.HealthCheckType, host: in.HealthCheckDomain,
		page: in.HealthCheckURI, method: in.HealthCheckMethod, codes: codesOf(in.HealthCheckHttpCode),
		port: max(in.HealthCheckConnectPort, 0), interval: in.HealthCheckInterval, timeout: in.HealthCheckConnectTimeout,
		healthy: in.HealthyThreshold, unhealthy: in.UnhealthyThreshold}.edits(g.Name)
	if protocol == "udp" {
		edits = append(edits, topology.Edit{Path: path("server_groups", g.Name, "protocol"), Value: protocol})
	}
	if scheduler != "" {
		edits = append(edits, topology.Edit{Path: path("server_groups", g.Name, "scheduler"), Value: scheduler})
	}
	if err := c.Edit(edits...); err != nil {
		return err
	}
	c.keepListener(l, h)
	c.Change(l.ID, describing(h.said(), in.Description))
	return nil
}

func codesOf(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

func (c balancing) attributeListener(id, protocol string, port int) (wire.M, error) {
	_, l, h, err := c.clbListener(id, protocol, port)
	if err != nil {
		return nil, err
	}
	m := wire.M{"LoadBalancerId": l.ID, "ListenerPort": h.Port, "Status": "running", "VServerGroupId": h.Group,
		"Bandwidth": -1, "Description": c.Record.Note(l.ID, h.said()), "HealthCheck": "on", "BackendServerPort": 0}
	if h.stopped {
		m["Status"] = "stopped"
	}
	if h.Protocol == "tcp" {
		m["EstablishedTimeout"] = cmp.Or(h.Idle, int(c.Plan.Profile.TCPIdle/time.Second))
	}
	if _, g, err := c.serverGroup(h.Group, noVGroup); err == nil {
		m["Scheduler"] = string(g.Scheduler)
		check := g.HealthCheck
		m["HealthyThreshold"], m["UnhealthyThreshold"] = check.Healthy, check.Unhealthy
		m["HealthCheckInterval"] = int(check.Interval / time.Second)
		m["HealthCheckConnectTimeout"] = int(check.Timeout / time.Second)
		m["HealthCheckConnectPort"] = int(check.Port)
		if check.Protocol == topology.NoProtocol {
			m["HealthCheck"] = "off"
		} else if h.Protocol == "tcp" {
			m["HealthCheckType"] = string(check.Protocol)
		}
		if check.Protocol == topology.HTTP {
			m["HealthCheckDomain"], m["HealthCheckURI"] = check.Host, check.Path
			m["HealthCheckMethod"] = strings.ToLower(check.Method)
			m["HealthCheckHttpCode"] = strings.Join(classesOf(check.Codes), ",")
		}
	}
	return c.only(m), nil
}
