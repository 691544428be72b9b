package status

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// DaemonOK is what Host.Daemon says of one that answered.
const DaemonOK = "ok"

// unknown is the state of what only a host knows that does not answer.
const unknown = "unknown"

// Merge makes one status of those of all hosts of a lab, of which own is that of the host
// that is asked: what runs in a zone is told by the host of the zone, counters of what all
// have are added up, and the rest is the same everywhere. Others are by the names of their
// hosts, and silent says why hosts have not answered; what is only there is as own has it.
func Merge(own Lab, others map[string]Lab, silent map[string]string) Lab {
	m := merger{&own, others, silent}
	m.hosts()
	m.instances()
	m.servers()
	for _, host := range own.Hosts {
		other, ok := others[host.Name]
		if !ok {
			continue
		}
		own.Links = append(own.Links, other.Links...)
		own.Proxies = append(own.Proxies, other.Proxies...)
		own.Shaping = addedFrames(own.Shaping, other.Shaping)
		own.Dataplane = added(own.Dataplane, other.Dataplane, host.Name)
		for _, problem := range other.Problems {
			own.Problems = append(own.Problems, "host "+host.Name+": "+problem)
		}
	}
	m.sortLinks()
	return own
}

// MergeFaults is what goes wrong on purpose with the counters of all hosts.
func MergeFaults(own Faults, others map[string]Faults, _ map[string]string) Faults {
	for _, other := range others {
		own.Links = addedFrames(own.Links, other.Links)
		own.DroppedDown += other.DroppedDown
		own.DroppedBlackholed += other.DroppedBlackholed
		own.HeldBytes += other.HeldBytes
	}
	return own
}

type merger struct {
	own    *Lab
	others map[string]Lab
	silent map[string]string
}

func (m merger) hosts() {
	m.own.Hosts = slices.Clone(m.own.Hosts)
	for i := range m.own.Hosts {
		h := &m.own.Hosts[i]
		if h.Daemon = DaemonOK; m.silent[h.Name] != "" {
			h.Daemon = m.silent[h.Name]
		}
	}
}

// instances are from the hosts that they are on.
func (m merger) instances() {
	there := map[string]Instance{}
	for host, other := range m.others {
		for _, vpc := range other.VPCs {
			for _, in := range vpc.Instances {
				if in.Host == "" {
					in.Host = host
					there[host+" "+vpc.Name+" "+in.Name] = in
				}
			}
		}
	}
	m.own.VPCs = slices.Clone(m.own.VPCs)
	for i := range m.own.VPCs {
		vpc := &m.own.VPCs[i]
		vpc.Instances = slices.Clone(vpc.Instances)
		for j := range vpc.Instances {
			in := &vpc.Instances[j]
			if other, ok := there[in.Host+" "+vpc.Name+" "+in.Name]; ok {
				*in = other
			} else if m.silent[in.Host] != "" {
				in.Services = slices.Clone(in.Services)
				for k := range in.Services {
					in.Services[k].State = unknown
				}
			}
		}
	}
}

// servers are as the hosts find them that they are on: those ask them over no other network.
// Where another host finds them unhealthy, and sends them nothing, the reason says that.
func (m merger) servers() {
	hostOf := map[string]string{} // by VPC/NAME
	for _, vpc := range m.own.VPCs {
		for _, in := range vpc.Instances {
			hostOf[vpc.Name+"/"+in.Name[strings.LastIndex(in.Name, "/")+1:]] = in.Host
		}
	}
	m.own.ServerGroups = slices.Clone(m.own.ServerGroups)
	for i := range m.own.ServerGroups {
		g := &m.own.ServerGroups[i]
		g.Servers = slices.Clone(g.Servers)
		for j := range g.Servers {
			g.Servers[j] = m.server(g.Name, g.Servers[j], hostOf[g.Servers[j].Instance])
		}
	}
}

func (m merger) server(group string, own Server, host string) Server {
	out, sessions := own, own.Sessions
	found := map[string]Server{m.own.Host: own}
	for name, other := range m.others {
		if s := serverOf(other, group, own); s != nil {
			found[name] = *s
			sessions += s.Sessions
			if name == host {
				out = *s
			}
		}
	}
	var elsewhere []string
	for _, h := range m.own.Hosts {
		if s, ok := found[h.Name]; ok && out.Healthy && !s.Healthy {
			why := s.State
			if s.Reason != "" {
				why += ": " + s.Reason
			}
			elsewhere = append(elsewhere, fmt.Sprintf("not for host %s (%s)", h.Name, why))
		}
	}
	if len(elsewhere) > 0 {
		out.Reason = strings.Join(elsewhere, ", ")
	}
	out.Sessions = sessions
	return out
}

func serverOf(s Lab, group string, server Server) *Server {
	for _, g := range s.ServerGroups {
		for i := range g.Servers {
			if g.Name == group && g.Servers[i].Instance == server.Instance && g.Servers[i].Address == server.Address {
				return &g.Servers[i]
			}
		}
	}
	return nil
}

// sortLinks has them in the order of endpoints, load balancers and their zones, as on one machine.
func (m merger) sortLinks() {
	rank := map[string]int{}
	for _, ep := range m.own.Endpoints {
		for _, z := range ep.Zones {
			rank[ep.Name+"@"+z.Zone] = len(rank) + 1
		}
	}
	for _, lb := range m.own.LoadBalancers {
		for _, n := range lb.Nodes {
			rank[lb.Name+"@"+n.Zone] = len(rank) + 1
		}
	}
	at := func(l Link) int {
		eni, _, _ := strings.Cut(l.Name, " ")
		if n := rank[eni]; n > 0 {
			return n
		}
		return math.MaxInt
	}
	slices.SortStableFunc(m.own.Links, func(a, b Link) int { return cmp.Compare(at(a), at(b)) })
}

// addedFrames adds the counters of the same connections.
func addedFrames(own, other []Shaped) []Shaped {
	own = slices.Clone(own)
	for i := range own {
		for _, o := range other {
			if o.Name == own[i].Name {
				own[i].ToProvider.Frames = own[i].ToProvider.Frames.plus(o.ToProvider.Frames)
				own[i].ToConsumer.Frames = own[i].ToConsumer.Frames.plus(o.ToConsumer.Frames)
			}
		}
	}
	return own
}

func (f ShapedFrames) plus(o ShapedFrames) ShapedFrames {
	return ShapedFrames{
		Passed: f.Passed + o.Passed, Delayed: f.Delayed + o.Delayed, Waiting: f.Waiting + o.Waiting,
		Reordered: f.Reordered + o.Reordered, Duplicated: f.Duplicated + o.Duplicated, Corrupted: f.Corrupted + o.Corrupted,
		Lost: f.Lost + o.Lost, QueueFull: f.QueueFull + o.QueueFull, NoRoom: f.NoRoom + o.NoRoom, Cut: f.Cut + o.Cut,
	}
}

// added adds the counters of two data planes. The workers stay those of own.
func added(own, other Dataplane, host string) Dataplane {
	own.Sessions += other.Sessions
	own.MaxSessions += other.MaxSessions
	own.Verdicts = maps.Clone(own.Verdicts)
	for verdict, n := range other.Verdicts {
		own.Verdicts[verdict] += n
	}
	own.FramesRead += other.FramesRead
	own.FramesSent += other.FramesSent
	own.Superframes += other.Superframes
	own.RingDrops += other.RingDrops
	own.CopyDrops += other.CopyDrops
	own.Crowded += other.Crowded
	own.SendErrors += other.SendErrors
	if own.FlowCache != nil && other.FlowCache != nil {
		c, o := *own.FlowCache, other.FlowCache
		c.Sessions += o.Sessions
		c.MaxSessions += o.MaxSessions
		c.Added += o.Added
		c.Refused += o.Refused
		c.Frames += o.Frames
		c.Bytes += o.Bytes
		if c.Problem == "" && o.Problem != "" {
			c.Problem = "host " + host + ": " + o.Problem
		}
		own.FlowCache = &c
	}
	return own
}
