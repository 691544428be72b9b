package awsapi

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/plinksim/plinksim/pkg/cloudapi"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
	"github.com/plinksim/plinksim/pkg/wire"
)

func targetRows(a *adder) {
	op(a, "CreateTargetGroup", createTargetGroup)
	op(a, "ModifyTargetGroup", modifyTargetGroup)
	op(a, "DeleteTargetGroup", deleteTargetGroup)
	op(a, "RegisterTargets", func(c balancing, in targetsIn) (wire.M, error) { return registerTargets(c, in, true) },
		"Targets.AvailabilityZone", "the zone of a target follows from its address")
	op(a, "DeregisterTargets", func(c balancing, in targetsIn) (wire.M, error) { return registerTargets(c, in, false) },
		"Targets.AvailabilityZone", "the zone of a target follows from its address")
	op(a, "DescribeTargetHealth", describeTargetHealth,
		"Include", "there are no anomalies in a lab",
		"Targets.AvailabilityZone", "the zone of a target follows from its address")
	list(a, listing{name: "DescribeTargetGroups", answer: "TargetGroups", ids: "TargetGroupArns", id: "TargetGroupArn",
		missing: "TargetGroupNotFound", text: "One or more target groups not found: %s",
		more: map[string]string{"Names": "TargetGroupName"}, also: []string{"LoadBalancerArn"},
		all: func(base *call) (out []wire.M, _ error) {
			c := balancing{base}
			only, _ := c.Values["LoadBalancerArn"].(string)
			if only != "" {
				if _, err := c.balancer(only); err != nil {
					return nil, err
				}
			}
			for _, g := range c.ownGroups() {
				view := c.viewTargetGroup(g)
				if only == "" || slices.Contains(view["LoadBalancerArns"].([]string), only) {
					out = append(out, view)
				}
			}
			return out, nil
		}})
	op(a, "DescribeTargetGroupAttributes", func(c balancing, in struct{ TargetGroupArn string }) (wire.M, error) {
		g, err := c.targetGroup(in.TargetGroupArn)
		if err != nil {
			return nil, err
		}
		return wire.M{"Attributes": viewAttributes(c.call, groupAttributes, g)}, nil
	})
	op(a, "ModifyTargetGroupAttributes", func(c balancing, in struct {
		TargetGroupArn string
		Attributes     []tag
	}) (wire.M, error) {
		defer c.Locks.Hold("group " + in.TargetGroupArn)()
		c.Plan = c.CurrentPlan()
		g, err := c.targetGroup(in.TargetGroupArn)
		if err == nil {
			err = setAttributes(c.call, groupAttributes, g, in.Attributes)
		}
		if err == nil {
			g, err = c.targetGroup(in.TargetGroupArn)
		}
		if err != nil {
			return nil, err
		}
		return wire.M{"Attributes": viewAttributes(c.call, groupAttributes, g)}, nil
	})
}

func (c balancing) ownGroups() (out []*topology.ServerGroup) {
	for i := range c.Plan.ServerGroups {
		if g := &c.Plan.ServerGroups[i]; c.Plan.MustVPC(g.VPC).Account == c.Account.Name {
			out = append(out, g)
		}
	}
	return out
}

func (c balancing) groupARN(g *topology.ServerGroup) string {
	return arnOf("elasticloadbalancing", c.Plan.Region, c.accountID(c.Plan.MustVPC(g.VPC).Account), g.ID)
}

func (c balancing) targetGroup(arn string) (*topology.ServerGroup, error) {
	for _, g := range c.ownGroups() {
		if c.groupARN(g) == arn {
			return g, nil
		}
	}
	return nil, wire.Errorf("TargetGroupNotFound", "One or more target groups not found: %s", arn)
}

// usersOf are the load balancers that lead to a group.
func (c balancing) usersOf(g *topology.ServerGroup) (out []*topology.LoadBalancer) {
	for _, l := range c.ownBalancers() {
		if slices.ContainsFunc(l.Listeners, func(l topology.Listener) bool {
			return slices.Contains(l.Groups(),
				g.Name)
		}) {
			out = append(out, l)
		}
	}
	return out
}

// protocolName is a protocol as Elastic Load Balancing writes it.
func protocolName(p topology.Protocol) string { return strings.ToUpper(string(p)) }

// targetType is what the targets of a group are.
func (c balancing) targetType(g *topology.ServerGroup) string {
	if t := c.Record.Note(c.groupARN(g), "type"); t != "" {
		return t
	}
	for _, s := range g.Servers {
		switch {
		case s.Balancer != "":
			return "alb"
		case s.Instance == "":
			return "ip"
		}
	}
	return "instance"
}

// port is the port of a group's targets that name none.
func (c balancing) port(g *topology.ServerGroup) int {
	if n, err := strconv.Atoi(c.Record.Note(c.groupARN(g), "port")); err == nil {
		return n
	}
	for _, s := range g.Servers {
		return int(s.Port)
	}
	return 80
}

func (c balancing) viewTargetGroup(g *topology.ServerGroup) wire.M {
	vpc := c.Plan.MustVPC(g.VPC)
	arn := c.groupARN(g)
	users := []string{}
	for _, l := range c.usersOf(g) {
		users = append(users, c.balancerARN(l))
	}
	h := g.HealthCheck
	port := "traffic-port"
	if h.Port != 0 {
		port = strconv.Itoa(int(h.Port))
	}
	addresses := "ipv4"
	if g.IPv6 {
		addresses = "ipv6"
	}
	m := wire.M{
		"TargetGroupArn": arn, "TargetGroupName": c.nameOf(arn, g.Name), "Protocol": protocolName(g.Protocol),
		"Port": c.port(g), "VpcId": vpc.ID, "TargetType": c.targetType(g), "LoadBalancerArns": users,
		"IpAddressType":      addresses,
		"HealthCheckEnabled": h.Protocol != topology.NoProtocol, "HealthCheckPort": port,
		"HealthCheckProtocol": protocolName(h.Protocol), "HealthCheckIntervalSeconds": int(h.Interval / time.Second),
		"HealthCheckTimeoutSeconds": int(h.Timeout / time.Second), "HealthyThresholdCount": h.Healthy,
		"UnhealthyThresholdCount": h.Unhealthy,
	}
	if h.Protocol == topology.NoProtocol {
		m["HealthCheckProtocol"] = "TCP"
	}
	if h.Protocol == topology.HTTP {
		m["HealthCheckPath"], m["Matcher"] = h.Path, wire.M{"HttpCode": string(h.Codes)}
	}
	if g.Protocol.IsHTTP() {
		m["ProtocolVersion"] = "HTTP1"
	}
	return m
}

type matcher struct{ HttpCode string }

// healthCheckIn are the parameters of a health check.
type healthCheckIn struct {
	Enabled                                         *bool
	Protocol, Port, Path                            string
	Interval, Timeout, HealthyCount, UnhealthyCount int
	Matcher                                         *matcher
}

// values are those keys of a file's health check that are given.
func (h healthCheckIn) values() (value, error) {
	v := value{}
	switch h.Protocol {
	case "":
	case "TCP", "HTTP":
		v["protocol"] = strings.ToLower(h.Protocol)
	default:
		return nil, wire.Errorf("UnsupportedOperation", "plinksim has no health checks by %s: TCP or HTTP", h.Protocol)
	}
	if h.Enabled != nil && !*h.Enabled {
		return value{"protocol": "none"}, nil
	}
	if h.Port != "" && h.Port != "traffic-port" {
		n, err := parseNumber("HealthCheckPort", h.Port, 1, 65535)
		if err != nil {
			return nil, err
		}
		v["port"] = n
	}
	if h.Path != "" {
		v["path"] = h.Path
	}
	for key, n := range map[string]int{"interval": h.Interval, "timeout": h.Timeout} {
		if n != 0 {
			v[key] = fmt.Sprintf("%ds", n)
		}
	}
	for key, n := range map[string]int{"healthy": h.HealthyCount, "unhealthy": h.UnhealthyCount} {
		if n != 0 {
			v[key] = n
		}
	}
	if h.Matcher != nil && h.Matcher.HttpCode != "" {
		v["codes"] = h.Matcher.HttpCode
	}
	return v, nil
}

func createTargetGroup(c balancing, in struct {
	Name, Protocol, ProtocolVersion, VpcId, TargetType, IpAddressType string
	Port                                                              int
	HealthCheckEnabled                                                *bool
	HealthCheckProtocol, HealthCheckPort, HealthCheckPath             string
	HealthCheckIntervalSeconds, HealthCheckTimeoutSeconds             int
	HealthyThresholdCount, UnhealthyThresholdCount                    int
	Matcher                                                           *matcher
	Tags                                                              []tag
}) (wire.M, error) {
	if err := checkName(in.Name, "Target group"); err != nil {
		return nil, err
	}
	if in.TargetType == "lambda" || !slices.Contains([]string{"TCP", "UDP", "TCP_UDP", "HTTP", "HTTPS"}, in.Protocol) {
		return nil, wire.Errorf("UnsupportedOperation",
			"plinksim has target groups of TCP, UDP, TCP_UDP, HTTP and HTTPS for"+
				" instances, addresses and ALBs, and not of protocol %q for %q", in.Protocol, in.TargetType)
	}
	if in.ProtocolVersion != "" && in.ProtocolVersion != "HTTP1" {
		return nil, wire.Errorf("UnsupportedOperation", "plinksim's ALBs speak HTTP1 and not %s", in.ProtocolVersion)
	}
	if in.Port < 1 || in.Port > 65535 {
		return nil, wire.Errorf("ValidationError", "A port must be specified, from 1 to 65535")
	}
	vpc, err := c.vpc(in.VpcId)
	if in.VpcId == "" {
		err = wire.Errorf("ValidationError", "A VPC ID must be specified")
	}
	if err != nil {
		return nil, wire.Errorf("ValidationError", "%s", c.errorOf(err).Message)
	}
	check, err := healthCheckIn{in.HealthCheckEnabled, in.HealthCheckProtocol, in.HealthCheckPort, in.HealthCheckPath,
		in.HealthCheckIntervalSeconds, in.HealthCheckTimeoutSeconds, in.HealthyThresholdCount,
		in.UnhealthyThresholdCount,
		in.Matcher}.values()
	if err != nil {
		return nil, err
	}
	tags, err := tagsOf(in.Tags)
	if err != nil {
		return nil, err
	}
	defer c.Locks.Hold("groups")()
	c.Plan = c.CurrentPlan()
	for _, g := range c.ownGroups() {
		if c.nameOf(c.groupARN(g), g.Name) == in.Name {
			return nil, wire.Errorf("DuplicateTargetGroupName",
				"A target group with the same name '%s' exists, but with different settings", in.Name)
		}
	}
	name := fileName(in.Name, func(name string) bool { _, err := c.Plan.ServerGroup(name); return err == nil })
	v := withTags(value{"vpc": vpc.Name, "protocol": strings.ToLower(in.Protocol), "servers": []value{}}, tags)
	if len(check) > 0 {
		v["health_check"] = check
	}
	if in.IpAddressType == "ipv6" {
		v["ip_address_type"] = "ipv6"
	}
	err = c.Edit(topology.Edit{Path: topology.JoinPath("server_groups", name), Value: text(v), New: true})
	if err != nil {
		return nil, conflictOf(err, map[topology.Refusal]string{topology.Invalid: "InvalidConfigurationRequest"},
			"The target group '%s' cannot be created", in.Name)
	}
	g, err := c.Plan.ServerGroup(name)
	if err != nil {
		return nil, err
	}
	kind := in.TargetType
	if kind == "" {
		kind = "instance"
	}
	c.Created(c.groupARN(g), nil, map[string]string{"name": in.Name, "port": strconv.Itoa(in.Port), "type": kind})
	return wire.M{"TargetGroups": []wire.M{c.viewTargetGroup(g)}}, nil
}

func modifyTargetGroup(c balancing, in struct {
	TargetGroupArn                                        string
	HealthCheckEnabled                                    *bool
	HealthCheckProtocol, HealthCheckPort, HealthCheckPath string
	HealthCheckIntervalSeconds, HealthCheckTimeoutSeconds int
	HealthyThresholdCount, UnhealthyThresholdCount        int
	Matcher                                               *matcher
}) (wire.M, error) {
	defer c.Locks.Hold("group " + in.TargetGroupArn)()
	c.Plan = c.CurrentPlan()
	g, err := c.targetGroup(in.TargetGroupArn)
	if err != nil {
		return nil, err
	}
	check, err := healthCheckIn{in.HealthCheckEnabled, in.HealthCheckProtocol, in.HealthCheckPort, in.HealthCheckPath,
		in.HealthCheckIntervalSeconds, in.HealthCheckTimeoutSeconds, in.HealthyThresholdCount,
		in.UnhealthyThresholdCount,
		in.Matcher}.values()
	if err != nil {
		return nil, err
	}
	var edits []topology.Edit
	if check["protocol"] == "none" {
		edits = at(check, groupPath(g, "health_check")...)
	} else {
		for key, v := range check {
			edits = append(edits, at(v, groupPath(g, "health_check", key)...)...)
		}
		if in.HealthCheckPort == "traffic-port" && g.HealthCheck.Port != 0 {
			edits = append(edits, at(nil, groupPath(g, "health_check", "port")...)...)
		}
	}
	if err := c.Edit(edits...); err != nil {
		return nil, conflictOf(err, map[topology.Refusal]string{topology.Invalid: "InvalidConfigurationRequest"},
			"The target group cannot be changed")
	}
	if g, err = c.targetGroup(in.TargetGroupArn); err != nil {
		return nil, err
	}
	return wire.M{"TargetGroups": []wire.M{c.viewTargetGroup(g)}}, nil
}

func deleteTargetGroup(c balancing, in struct{ TargetGroupArn string }) (wire.M, error) {
	g, err := c.targetGroup(in.TargetGroupArn)
	if err != nil {
		return nil, nil // as Elastic Load Balancing does
	}
	inUse := wire.Errorf("ResourceInUse", "Target group '%s' is currently in use by a listener or a rule",
		in.TargetGroupArn)
	if len(c.usersOf(g)) > 0 {
		return nil, inUse
	}
	if err := c.Edit(topology.Edit{Path: topology.JoinPath("server_groups", g.Name)}); err != nil {
		return nil, conflictOf(err, inUseIs(inUse.Code), "%s", inUse.Message)
	}
	c.Forget(in.TargetGroupArn)
	return nil, nil
}

type target struct {
	Id   string
	Port int
}

type targetsIn struct {
	TargetGroupArn string
	Targets        []target
}

// serverName is a target as operations name it, INSTANCE:PORT or ADDRESS:PORT.
func (c balancing) serverName(g *topology.ServerGroup, t target) (string, error) {
	port := t.Port
	if port == 0 {
		port = c.port(g)
	}
	if c.targetType(g) == "ip" {
		ip, err := netip.ParseAddr(t.Id)
		if err != nil {
			return "", wire.Errorf("ValidationError", "The IP address '%s' is not a valid IPv4 address", t.Id)
		}
		return netip.AddrPortFrom(ip, uint16(port)).String(), nil
	}
	vpc, in, err := c.instance(t.Id)
	if err != nil {
		return "", wire.Errorf("InvalidTarget", "The following targets do not exist: '%s'", t.Id)
	}
	if vpc.Name != g.VPC {
		return "", wire.Errorf("InvalidTarget", "The following targets are not in the target group VPC '%s': '%s'",
			c.Plan.MustVPC(g.VPC).ID, t.Id)
	}
	return fmt.Sprintf("%s:%d", in.Name, port), nil
}

func registerTargets(c balancing, in targetsIn, register bool) (wire.M, error) {
	g, err := c.targetGroup(in.TargetGroupArn)
	if err != nil {
		return nil, err
	}
	if c.targetType(g) == "alb" {
		return nil, c.registerALB(g, in.Targets, register)
	}
	var servers []string
	for _, t := range in.Targets {
		if t.Port == 0 && !register {
			// All of its ports leave.
			all, err := c.registered(g, t)
			if err != nil {
				return nil, err
			}
			servers = append(servers, all...)
			continue
		}
		name, err := c.serverName(g, t)
		if err != nil {
			return nil, err
		}
		servers = append(servers, name)
	}
	verb, done := topology.VerbServerRegister, topology.WrongState
	if !register {
		verb, done = topology.VerbServerDeregister, topology.NotFound
	}
	for _, name := range servers {
		// A client asks DescribeTargetHealth what the health checks find.
		err := c.OperateWithin(topology.Operation{Verb: verb, ServerGroup: g.Name, Server: name}, 0)
		if err != nil && !cloudapi.IsRefused(err, done) {
			return nil, err
		}
	}
	return nil, nil
}

// registered are the servers of a group that a target without a port stands for.
func (c balancing) registered(g *topology.ServerGroup, t target) (out []string, _ error) {
	name, err := c.serverName(g, t)
	if err != nil {
		return nil, err
	}
	host := name[:strings.LastIndex(name, ":")]
	for _, s := range g.Servers {
		if s.Instance == g.VPC+"/"+host || s.Instance == "" && s.IP.String() == host {
			out = append(out, fmt.Sprintf("%s:%d", host, s.Port))
		}
	}
	return out, nil
}

// registerALB makes an ALB the only target of a group, or takes it out.
func (c balancing) registerALB(g *topology.ServerGroup, targets []target, register bool) error {
	servers := []value{}
	if register {
		if len(targets) != 1 || len(g.Servers) > 0 {
			return wire.Errorf("InvalidTarget", "A target group of type alb has one target")
		}
		l, err := c.balancer(targets[0].Id)
		if err != nil || l.Type != topology.ALB {
			return wire.Errorf("InvalidTarget", "'%s' is not an Application Load Balancer", targets[0].Id)
		}
		port := targets[0].Port
		if port == 0 {
			port = c.port(g)
		}
		servers = append(servers, value{"load_balancer": l.Name, "port": port})
	}
	err := c.Edit(topology.Edit{Path: topology.JoinPath("server_groups", g.Name, "servers"), Value: text(servers)})
	return conflictOf(err, map[topology.Refusal]string{topology.Invalid: "InvalidTarget"},
		"The target cannot be registered")
}

func describeTargetHealth(c balancing, in targetsIn) (wire.M, error) {
	g, err := c.targetGroup(in.TargetGroupArn)
	if err != nil {
		return nil, err
	}
	used := len(c.usersOf(g)) > 0
	views := []wire.M{}
	for _, s := range c.Lab.ServerGroup(*g).Servers {
		views = append(views, c.viewHealth(g, s, used))
	}
	if len(in.Targets) == 0 {
		return wire.M{"TargetHealthDescriptions": views}, nil
	}
	asked := []wire.M{}
	for _, t := range in.Targets {
		found := false
		for _, v := range views {
			described := v["Target"].(wire.M)
			if described["Id"] == t.Id && (t.Port == 0 || described["Port"] == t.Port) {
				asked, found = append(asked, v), true
			}
		}
		if !found {
			port := t.Port
			if port == 0 {
				port = c.port(g)
			}
			asked = append(asked, wire.M{"Target": wire.M{"Id": t.Id, "Port": port},
				"TargetHealth": wire.M{"State": "unused",
					"Reason": "Target.NotRegistered", "Description": "Target is not registered to the target group"}})
		}
	}
	return wire.M{"TargetHealthDescriptions": asked}, nil
}

func (c balancing) viewHealth(g *topology.ServerGroup, s status.Server, used bool) wire.M {
	id, zone := s.Address.Addr().String(), "all"
	if in, err := c.Plan.Instance(s.Instance); err == nil && c.targetType(g) == "instance" {
		id = in.ID
	}
	if subnet := c.Plan.MustVPC(g.VPC).SubnetOf(s.Address.Addr()); subnet != nil {
		zone = subnet.Zone
	}
	if c.targetType(g) == "alb" {
		for _, server := range g.Servers {
			if l, err := c.Plan.LoadBalancer(server.Balancer); err == nil {
				id = c.balancerARN(l)
			}
		}
	}
	checkPort := int(s.Address.Port())
	if g.HealthCheck.Port != 0 {
		checkPort = int(g.HealthCheck.Port)
	}
	health := wire.M{"State": s.State}
	switch {
	case !used && s.State != "draining":
		health = wire.M{"State": "unused", "Reason": "Target.NotInUse",
			"Description": "Target group is not configured to receive traffic from the load balancer"}
	case s.Code != "":
		health["Reason"], health["Description"] = s.Code, s.Reason
	}
	described := wire.M{"Id": id, "Port": int(s.Address.Port())}
	if c.targetType(g) == "ip" {
		described["AvailabilityZone"] = zone
	}
	return wire.M{"Target": described, "HealthCheckPort": strconv.Itoa(checkPort), "TargetHealth": health}
}
