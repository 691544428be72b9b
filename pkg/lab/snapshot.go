package lab

import (
	"os"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/fullnat"
	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Status is a copy of everything that people ask about a lab.
func (l *Lab) Status() Status {
	state := l.plane.State()
	plan := state.Plan
	s := Status{
		Schema: Schema, Lab: plan.Name, Cloud: plan.Cloud, Region: plan.Region, File: plan.File,
		Dir: string(l.dir), PID: os.Getpid(), Started: l.started,
		// Empty, and not null, where there is nothing: programs go through them.
		VPCs: []VPCStatus{}, Services: []ServiceStatus{}, Endpoints: []EndpointStatus{},
		LoadBalancers: []LoadBalancerStatus{}, NATGateways: []NATGatewayStatus{}, ServerGroups: []ServerGroupStatus{}, Links: []LinkStatus{},
		Problems: l.kept.problems(),
	}
	for _, vpc := range plan.VPCs {
		s.VPCs = append(s.VPCs, l.vpcStatus(plan, vpc))
	}
	for _, svc := range plan.Services {
		s.Services = append(s.Services, serviceStatus(svc, state))
	}
	for _, ep := range plan.Endpoints {
		s.Endpoints = append(s.Endpoints, endpointStatus(plan, ep, state))
	}
	for _, balancer := range plan.LoadBalancers {
		s.LoadBalancers = append(s.LoadBalancers, balancerStatus(balancer))
	}
	for _, sg := range plan.ServerGroups {
		s.ServerGroups = append(s.ServerGroups, l.groupStatus(plan, sg))
	}
	for _, gw := range state.NATGateways {
		s.NATGateways = append(s.NATGateways, gatewayStatus(plan, gw))
	}
	s.Proxies = l.proxyStatus(plan)
	stats := l.engine.Stats()
	s.Shaping = l.shapedStatus(stats.Shaped)
	for _, link := range turned(plan, stats.Table.Links) {
		s.Links = append(s.Links, linkStatus(link))
	}
	s.Dataplane = DataplaneStatus{
		Sessions: stats.Table.Sessions, Verdicts: verdicts(stats.Table.Verdicts),
		FramesRead: stats.Driver.FramesRead, FramesSent: stats.Driver.FramesWritten,
		Superframes: stats.Driver.SuperframesRead, RingDrops: stats.Driver.RingDrops,
		CopyDrops: stats.Driver.CopyDrops, SendErrors: stats.Driver.SendErrors,
	}
	for _, w := range l.engine.Each() {
		s.Dataplane.Workers = append(s.Dataplane.Workers, WorkerStatus{
			Sessions: w.Sessions, FramesRead: w.Driver.FramesRead, FramesSent: w.Driver.FramesWritten,
			RingDrops: w.Driver.RingDrops, CopyDrops: w.Driver.CopyDrops, SendErrors: w.Driver.SendErrors,
			HandedOver: w.HandedOver, HandedOverDrops: w.Refused,
		})
	}
	return s
}

func (l *Lab) vpcStatus(plan *topology.Plan, vpc topology.VPC) VPCStatus {
	out := VPCStatus{
		Name: vpc.Name, ID: vpc.ID, Account: vpc.Account, CIDR: vpc.CIDR,
		Resolvers: list(vpc.Resolvers), Instances: []InstanceStatus{},
	}
	for _, instance := range vpc.Instances {
		i := InstanceStatus{
			Name: shortName(plan, instance), ID: instance.ID, Subnet: instance.Subnet, Zone: instance.Zone,
			IP: instance.IP, IPv6: instance.IPv6, DNSName: instance.DNSName, Services: []InstanceServiceStatus{},
		}
		if len(instance.SecurityGroups) > 0 {
			// A count that cannot be read stays 0: the rest is still worth showing.
			if ns, err := l.namespace(instance.Namespace); err == nil {
				drops, _ := ns.SecurityGroupDrops()
				i.Denied = drops.Ingress + drops.Egress
			}
		}
		for _, spec := range instance.Services {
			state := "stopped"
			if running := l.service(serviceSpec{instance, spec}.key()); running != nil {
				state = running.State()
			}
			i.Services = append(i.Services, InstanceServiceStatus{Kind: spec.Kind, Port: spec.Port, State: state})
		}
		out.Instances = append(out.Instances, i)
	}
	return out
}

// shortName is the instance's name alone where no other VPC has one of that
// name, else VPC/NAME: what commands take.
func shortName(plan *topology.Plan, instance topology.Instance) string {
	if found, err := plan.Instance(instance.Name); err == nil && found.VPC == instance.VPC {
		return instance.Name
	}
	return instance.VPC + "/" + instance.Name
}

func serviceStatus(svc topology.EndpointService, state control.Snapshot) ServiceStatus {
	out := ServiceStatus{
		Name: svc.Name, ID: svc.ID, ServiceName: svc.ServiceName, Account: svc.Account,
		Description: svc.Description, Payer: svc.Payer, Domain: svc.Domain,
		AutoAccept: svc.AutoAccept, ZoneAffinity: svc.ZoneAffinity, Bandwidth: svc.Bandwidth, Whitelist: list(svc.Whitelist),
		Resources: []string{},
	}
	if o := object(state.Services, svc.Name); o != nil {
		out.State, out.Modified = o.Status, o.Modified
	}
	for _, r := range svc.Resources {
		out.Resources = append(out.Resources, r.String())
	}
	for _, c := range state.Connections {
		if c.Service == svc.Name {
			out.Connections++
		}
	}
	if p := svc.PrivateName; p != nil {
		out.PrivateName = &PrivateNameStatus{Name: p.Name, State: p.State, TXTName: p.TXTName, TXTValue: p.TXTValue}
	}
	return out
}

func object(all []control.Object, name string) *control.Object {
	for i := range all {
		if all[i].Name == name {
			return &all[i]
		}
	}
	return nil
}

func endpointStatus(plan *topology.Plan, ep topology.Endpoint, state control.Snapshot) EndpointStatus {
	connection, _ := state.Connection(ep.Service, ep.Name)
	out := EndpointStatus{
		Name: ep.Name, ID: ep.ID, Account: ep.Account, VPC: ep.VPC, Service: ep.Service, Domain: ep.Domain,
		Modified: connection.Modified, Actions: []string{}, Description: ep.Description,
		State: connection.Status, Since: connection.Since, SecurityGroups: list(ep.SecurityGroups),
		Zones: []ZoneStatus{},
	}
	out.Bandwidth = connection.Bandwidth
	for _, verb := range connection.Actions {
		out.Actions = append(out.Actions, string(verb))
	}
	if account, err := plan.Account(ep.Account); err == nil {
		out.AccountID = account.ID
	}
	if vpc, err := plan.VPC(ep.VPC); err == nil {
		out.VPCID = vpc.ID
	}
	if o := object(state.Endpoints, ep.Name); o != nil {
		out.EndpointState = o.Status
	}
	for _, zone := range ep.Zones {
		z := zoneOf(connection, zone.Zone)
		out.Zones = append(out.Zones, ZoneStatus{
			Zone: zone.Zone, State: z.Status, Subnet: zone.Subnet, ENI: zone.ENI.ID, IP: zone.ENI.IP, IPv6: zone.ENI.IPv6,
			Domain: zone.Domain, LoadBalancer: z.LoadBalancer, Replaced: z.Replaced,
		})
	}
	out.ZoneAffinity = ep.ZoneAffinity
	if p := (&namer{plan: plan, state: state}).privateName(ep); p != nil {
		out.PrivateName = p.Name
	}
	return out
}

func balancerStatus(balancer topology.LoadBalancer) LoadBalancerStatus {
	out := LoadBalancerStatus{
		Name: balancer.Name, ID: balancer.ID, Type: balancer.Type, VPC: balancer.VPC,
		Nodes: []NodeStatus{}, Listeners: []ListenerStatus{},
	}
	for _, node := range balancer.Nodes {
		out.Nodes = append(out.Nodes, NodeStatus{Zone: node.Zone, IP: node.IP(), IPv6: node.ENI.IPv6, NATIPs: list(node.Local)})
	}
	for _, listener := range balancer.Listeners {
		out.Listeners = append(out.Listeners, ListenerStatus{Protocol: listener.Protocol, Port: listener.Port, ServerGroup: listener.ServerGroup})
	}
	return out
}

func linkStatus(link fullnat.LinkStats) LinkStatus {
	return LinkStatus{
		Name: link.Name, Sessions: link.Sessions, SessionsOpened: link.SessionsOpened,
		PacketsToProvider: link.PacketsToProvider, BytesToProvider: link.BytesToProvider,
		PacketsToConsumer: link.PacketsToConsumer, BytesToConsumer: link.BytesToConsumer,
		Superframes: link.Superframes, Segments: link.Segments, Verdicts: verdicts(link.Verdicts),
	}
}

// list is a list that is empty, and not null, in JSON.
func list[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}

// verdicts leaves out what never happened.
func verdicts(counters fullnat.Counters) map[string]uint64 {
	out := map[string]uint64{}
	for v, n := range counters {
		if n > 0 {
			out[fullnat.Verdict(v).String()] = n
		}
	}
	return out
}

// Sessions is a copy of the session table.
func (l *Lab) Sessions() []SessionStatus {
	return sessionsStatus(l.plane.State().Plan, l.engine.Sessions())
}

func sessionsStatus(plan *topology.Plan, sessions []fullnat.Session) []SessionStatus {
	out, reverse := []SessionStatus{}, reverseLinks(plan)
	for _, s := range sessions {
		status := sessionStatus(s)
		if reverse[s.Link] {
			status.PacketsToProvider, status.PacketsToConsumer = status.PacketsToConsumer, status.PacketsToProvider
			status.BytesToProvider, status.BytesToConsumer = status.BytesToConsumer, status.BytesToProvider
		}
		out = append(out, status)
	}
	return out
}

func sessionStatus(s fullnat.Session) SessionStatus {
	return SessionStatus{
		Link: s.Link, Protocol: protocolName(s.Protocol), State: s.State,
		Consumer: s.Consumer, Endpoint: s.Endpoint, NAT: s.Local, Target: s.Target,
		PacketsToProvider: s.PacketsToProvider, BytesToProvider: s.BytesToProvider,
		PacketsToConsumer: s.PacketsToConsumer, BytesToConsumer: s.BytesToConsumer,
		IdleSeconds: s.Idle.Seconds(), ExpiresSeconds: s.Expires.Seconds(),
	}
}

func protocolName(number uint8) string {
	switch number {
	case packet.ProtocolUDP:
		return "udp"
	case packet.ProtocolICMP:
		return "icmp"
	}
	return "tcp"
}
