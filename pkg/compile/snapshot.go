package compile

import (
	"slices"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/dataplane"
	"github.com/plinksim/plinksim/pkg/fullnat"
	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Status is what a plan and the state of its control plane say of a lab. What
// only a running lab knows is empty, and not null: programs go through it.
func Status(state control.Snapshot) status.Lab {
	plan := state.Plan
	s := status.Lab{
		Schema: status.Schema, Lab: plan.Name, Cloud: string(plan.Cloud), Region: plan.Region, File: plan.File,
		VPCs: []status.VPC{}, Services: []status.EndpointService{}, Endpoints: []status.Endpoint{},
		LoadBalancers: []status.LoadBalancer{}, NATGateways: []status.NATGateway{},
		ServerGroups: []status.ServerGroup{}, Links: []status.Link{},
	}
	short := plan.ShortNames()
	for _, vpc := range plan.VPCs {
		s.VPCs = append(s.VPCs, vpcStatus(short, vpc))
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
	for _, gw := range state.NATGateways {
		s.NATGateways = append(s.NATGateways, gatewayStatus(plan, gw))
	}
	return s
}

// Dataplane is what a data plane and each of its workers have counted.
func Dataplane(stats dataplane.EngineStats, workers []dataplane.WorkerStats) status.Dataplane {
	out := status.Dataplane{
		Sessions: stats.Table.Sessions, MaxSessions: stats.Table.MaxSessions, Verdicts: Verdicts(stats.Table.Verdicts),
		FramesRead: stats.Driver.FramesRead, FramesSent: stats.Driver.FramesWritten,
		Superframes: stats.Driver.SuperframesRead, RingDrops: stats.Driver.RingDrops,
		CopyDrops: stats.Driver.CopyDrops, Crowded: stats.Driver.Crowded, SendErrors: stats.Driver.SendErrors,
	}
	for _, w := range workers {
		out.Workers = append(out.Workers, status.Worker{
			Sessions: w.Sessions, FramesRead: w.Driver.FramesRead, FramesSent: w.Driver.FramesWritten,
			RingDrops: w.Driver.RingDrops, CopyDrops: w.Driver.CopyDrops, Crowded: w.Driver.Crowded,
			SendErrors: w.Driver.SendErrors,
			HandedOver: w.HandedOver, HandedOverDrops: w.Refused,
		})
	}
	return out
}

// FlowCache is what a data plane's flow cache does, nil where there can be none.
func FlowCache(s dataplane.FlowCacheStats) *status.FlowCache {
	if s.Mode == "" {
		return nil
	}
	return &status.FlowCache{
		Mode: string(s.Mode), Hook: s.Hook, Problem: s.Problem, Sessions: s.Sessions, MaxSessions: s.Room,
		Added: s.Added, Refused: s.Refused, Frames: s.Frames, Bytes: s.Bytes,
	}
}

func vpcStatus(short func(topology.Instance) string, vpc topology.VPC) status.VPC {
	out := status.VPC{
		Name: vpc.Name, ID: vpc.ID, Account: vpc.Account, CIDR: vpc.CIDR, SecondaryCIDRs: vpc.SecondaryCIDRs,
		Resolvers: list(vpc.Resolvers), Instances: []status.Instance{},
	}
	for _, instance := range vpc.Instances {
		i := status.Instance{
			Name: short(instance), ID: instance.ID, Subnet: instance.Subnet, Zone: instance.Zone,
			IP: instance.IP, IPv6: instance.IPv6, DNSName: instance.DNSName, State: instance.State(), Services: []status.InstanceService{},
		}
		for _, spec := range instance.Services {
			i.Services = append(i.Services, status.InstanceService{Kind: string(spec.Kind), Port: spec.Port, State: "stopped"})
		}
		out.Instances = append(out.Instances, i)
	}
	return out
}

func serviceStatus(svc topology.EndpointService, state control.Snapshot) status.EndpointService {
	out := status.EndpointService{
		Name: svc.Name, ID: svc.ID, ServiceName: svc.ServiceName, Account: svc.Account,
		Description: svc.Description, Payer: svc.Payer, Domain: svc.Domain,
		AutoAccept: svc.AutoAccept, ZoneAffinity: svc.ZoneAffinity, Bandwidth: svc.Bandwidth,
		Whitelist: list(svc.Whitelist),
		Resources: []string{}, Zones: []string{},
	}
	if o := object(state.Services, svc.Name); o != nil {
		out.State, out.Modified = o.Status, o.Modified
	}
	for _, r := range svc.Resources {
		out.Resources = append(out.Resources, r.String())
		if !slices.Contains(out.Zones, r.Zone) {
			out.Zones = append(out.Zones, r.Zone)
		}
	}
	for _, c := range state.Connections {
		if c.Service == svc.Name {
			out.Connections++
		}
	}
	if p := svc.PrivateName; p != nil {
		out.PrivateName = &status.PrivateName{Name: p.Name, State: p.State, TXTName: p.TXTName, TXTValue: p.TXTValue}
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

func endpointStatus(plan *topology.Plan, ep topology.Endpoint, state control.Snapshot) status.Endpoint {
	connection, _ := state.Connection(ep.Service, ep.Name)
	out := status.Endpoint{
		Name: ep.Name, ID: ep.ID, Account: ep.Account, VPC: ep.VPC, Service: ep.Service, Domain: ep.Domain,
		Modified: connection.Modified, Actions: []string{}, Description: ep.Description,
		State: connection.Status, Since: connection.Since, SecurityGroups: list(ep.SecurityGroups),
		Zones: []status.Zone{},
	}
	out.Bandwidth = connection.Bandwidth
	for _, verb := range connection.Actions {
		out.Actions = append(out.Actions, string(verb))
	}
	if account, err := plan.Account(ep.Account); err == nil {
		out.AccountID = account.ID
	}
	out.VPCID = plan.MustVPC(ep.VPC).ID
	if o := object(state.Endpoints, ep.Name); o != nil {
		out.EndpointState = o.Status
		if plan.Profile.OneEndpointState {
			out.EndpointState = control.EndpointWord(plan.Cloud, *o, connection)
		}
	}
	for _, zone := range ep.Zones {
		z := zoneOf(connection, zone.Zone)
		out.Zones = append(out.Zones, status.Zone{
			Zone: zone.Zone, State: z.Status, Subnet: zone.Subnet, ENI: zone.ENI.ID, IP: zone.ENI.IP,
			IPv6:   zone.ENI.IPv6,
			Domain: zone.Domain, LoadBalancer: z.LoadBalancer, Replaced: z.Replaced,
		})
	}
	out.ZoneAffinity = ep.ZoneAffinity
	if svc, err := plan.Service(ep.Service); err == nil {
		out.PrivateName = privateNameOf(&ep, svc, connection)
	}
	return out
}

func balancerStatus(balancer topology.LoadBalancer) status.LoadBalancer {
	out := status.LoadBalancer{
		Name: balancer.Name, ID: balancer.ID, Type: string(balancer.Type), VPC: balancer.VPC,
		Nodes: []status.Node{}, Listeners: []status.Listener{},
	}
	for _, node := range balancer.Nodes {
		out.Nodes = append(out.Nodes,
			status.Node{Zone: node.Zone, IP: node.IP(), IPv6: node.ENI.IPv6, NATIPs: list(node.Local)})
	}
	for _, listener := range balancer.Listeners {
		protocol := listener.Protocol
		switch {
		case listener.Joint && protocol == topology.UDP:
			continue // told with the one of TCP
		case listener.Joint:
			protocol = topology.TCPUDP
		}
		out.Listeners = append(out.Listeners,
			status.Listener{Protocol: string(protocol), Port: listener.Port, ServerGroup: listener.ServerGroup})
	}
	return out
}

// Links are the counters of a plan's links: see ByReceiver.
func Links(plan *topology.Plan, stats []fullnat.LinkStats) []status.Link {
	out := []status.Link{}
	for _, link := range ByReceiver(plan, stats) {
		out = append(out, linkStatus(link))
	}
	return out
}

func linkStatus(link fullnat.LinkStats) status.Link {
	return status.Link{
		Name: link.Name, Sessions: link.Sessions, SessionsOpened: link.SessionsOpened,
		PacketsToProvider: link.PacketsToProvider, BytesToProvider: link.BytesToProvider,
		PacketsToConsumer: link.PacketsToConsumer, BytesToConsumer: link.BytesToConsumer,
		Superframes: link.Superframes, Segments: link.Segments, Verdicts: Verdicts(link.Verdicts),
	}
}

// list is a list that is empty, and not null, in JSON.
func list[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}

// Verdicts leaves out what never happened.
func Verdicts(counters fullnat.Counters) map[string]uint64 {
	out := map[string]uint64{}
	for v, n := range counters {
		if n > 0 {
			out[fullnat.Verdict(v).String()] = n
		}
	}
	return out
}

// Sessions are the sessions of a plan's data plane, with directions that name
// the receiver: see ByReceiver.
func Sessions(plan *topology.Plan, sessions []fullnat.Session) []status.Session {
	out, reverse := []status.Session{}, reverseLinks(plan)
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

func sessionStatus(s fullnat.Session) status.Session {
	return status.Session{
		Link: s.Link, Protocol: ProtocolName(s.Protocol), State: s.State,
		Consumer: s.Consumer, Endpoint: s.Endpoint, NAT: s.Local, Target: s.Target,
		PacketsToProvider: s.PacketsToProvider, BytesToProvider: s.BytesToProvider,
		PacketsToConsumer: s.PacketsToConsumer, BytesToConsumer: s.BytesToConsumer,
		Cached:      s.Cached,
		IdleSeconds: s.Idle.Seconds(), ExpiresSeconds: s.Expires.Seconds(),
	}
}

// ProtocolName is the name of an IP protocol as people write it.
func ProtocolName(number uint8) string {
	switch number {
	case packet.ProtocolUDP:
		return "udp"
	case packet.ProtocolICMP:
		return "icmp"
	}
	return "tcp"
}
