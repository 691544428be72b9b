package console

import (
	"cmp"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"

	"github.com/plinksim/plinksim/internal/spell"
	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/graph"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
)

// overviewBody is what a lab does at a glance.
type overviewBody struct {
	Figures []figure
	Notices []notice
	Picture picture
	Events  []control.Event
	Empty   bool
}

type figure struct{ Value, Label, State, URL string }

// notice is something that does not pass, or not yet.
type notice struct{ Text, State, URL string }

func (c *Console) overview(q *request) error {
	now, err := q.now()
	if err != nil {
		return err
	}
	body := overviewBody{
		Figures: c.glance(now), Notices: notices(now), Picture: c.picture(now),
		Events: c.live.newest(8, nil), Empty: len(now.VPCs) == 0,
	}
	return q.render(http.StatusOK, "overview", "Overview", body)
}

func (c *Console) glance(now *snapshot) []figure {
	states, open, all := map[string]int{}, 0, 0
	for _, ep := range now.Endpoints {
		states[ep.State]++
		if isOpen(ep.State) {
			open++
		}
		all++
	}
	servers, healthy := 0, 0
	for _, g := range now.ServerGroups {
		for _, s := range g.Servers {
			servers++
			if s.Healthy {
				healthy++
			}
		}
	}
	drops := uint64(0)
	for verdict, n := range now.Dataplane.Verdicts {
		if verdict != "Forwarded" {
			drops += n
		}
	}
	instances := 0
	for _, v := range now.VPCs {
		instances += len(v.Instances)
	}
	return []figure{
		{share(open, all), "connections open", shareState(open, all), "/objects"},
		{share(healthy, servers), "servers healthy", shareState(healthy, servers), "/objects"},
		{fmt.Sprint(now.Dataplane.Sessions), "sessions now", "", "/sessions"},
		{fmt.Sprint(drops), "packets dropped", "", "/figures"},
		{fmt.Sprint(instances), "instances", "", "/objects"},
		{fmt.Sprint(len(now.VPCs)), "VPCs", "", "/objects"},
	}
}

func share(some, all int) string { return fmt.Sprintf("%d / %d", some, all) }

func shareState(some, all int) string {
	switch {
	case all == 0:
		return ""
	case some == all:
		return "good"
	}
	return "waits"
}

// mostNotices bounds the list of what does not pass.
const mostNotices = 12

func notices(now *snapshot) (out []notice) {
	for _, ep := range now.Endpoints {
		if !isOpen(ep.State) {
			out = append(out, notice{fmt.Sprintf("endpoint %s to %s is %s", ep.Name, ep.Service, ep.State),
				stateClass(ep.State), objectURL(topology.JoinPath("endpoints", ep.Name))})
		}
	}
	for _, g := range now.ServerGroups {
		for _, s := range g.Servers {
			if !s.Healthy {
				text := fmt.Sprintf("server %s of %s is %s", cmp.Or(s.Instance, s.Address.String()), g.Name, s.State)
				if s.Reason != "" {
					text += ": " + s.Reason
				}
				out = append(out, notice{text, stateClass(s.State), objectURL(topology.JoinPath("server_groups", g.Name))})
			}
		}
	}
	for _, f := range now.ENIFaults {
		out = append(out, notice{fmt.Sprintf("fault at %s: %s", f.Name, f.Fault), "bad", ""})
	}
	if n := len(out); n > mostNotices {
		out = append(out[:mostNotices:mostNotices], notice{Text: fmt.Sprintf("and %d more", n-mostNotices)})
	}
	return out
}

// picture is a drawing in a page.
type picture struct {
	SVG    template.HTML
	Routes []graph.Route
	Coarse bool // the lab is too large for a node for each object
}

// mostNodes is how many nodes a drawing can have that people still read.
const mostNodes = 160

func (c *Console) picture(now *snapshot) picture {
	return once(now, "picture", func() picture { return c.drawn(graph.Of(now.plan, c.liveOf(now))) })
}

// around is a drawing of what packets from and to an object cross.
func (c *Console) around(now *snapshot, path string) picture {
	return once(now, "around "+path, func() picture { return c.drawn(graph.Around(now.plan, c.liveOf(now), path)) })
}

func (c *Console) liveOf(now *snapshot) graph.Live {
	live := graph.LiveOf(now.Lab)
	c.live.mu.Lock()
	live.Traffic = c.live.figures.passing()
	c.live.mu.Unlock()
	return live
}

func (c *Console) drawn(g *graph.Graph) (p picture) {
	if len(g.Nodes) == 0 {
		return p
	}
	if len(g.Nodes) > mostNodes {
		g, p.Coarse = g.Coarse(), true
	}
	// Package graph escapes whatever comes from a topology.
	p.SVG = template.HTML(g.Inline(objectURL))
	p.Routes = g.Routes()
	return p
}

// objectsBody are the objects of a lab, by account and VPC.
type objectsBody struct {
	Query    string
	Accounts []accountOf
	Creates  []*Action
	Found    int
}

type accountOf struct {
	Name, ID string
	Services []entry
	VPCs     []vpcOf
}

type vpcOf struct {
	Path, Name, CIDR string
	Groups           []entries
	Count            int
}

// entries are objects of one kind.
type entries struct {
	Title string
	List  []entry
	Open  bool
}

// entry is an object in a list.
type entry struct{ Path, Name, Note, State string }

// mostOpen is how many entries are shown before somebody asks for them.
const mostOpen = 12

func (c *Console) objects(q *request) error {
	now, err := q.now()
	if err != nil {
		return err
	}
	body := objectsBody{Query: strings.TrimSpace(q.URL.Query().Get("q"))}
	say := now.plan.Cloud.Say
	matches := func(e entry) bool { return contains(e.Name+" "+e.Note, body.Query) }
	keep := func(list []entry) []entry {
		list = slices.DeleteFunc(list, func(e entry) bool { return !matches(e) })
		body.Found += len(list)
		return list
	}
	for _, account := range now.plan.Accounts {
		a := accountOf{Name: account.Name, ID: account.ID}
		for _, s := range now.Services {
			if s.Account == account.Name {
				a.Services = append(a.Services, entry{topology.JoinPath("endpoint_services", s.Name), s.Name,
					spell.Count(s.Connections, "connection"), s.State})
			}
		}
		a.Services = keep(a.Services)
		for i := range now.plan.VPCs {
			vpc := &now.plan.VPCs[i]
			if vpc.Account != account.Name {
				continue
			}
			v := vpcOf{Path: topology.JoinPath("vpcs", vpc.Name), Name: vpc.Name, CIDR: vpc.Blocks()}
			for _, g := range inVPC(now, vpc, say) {
				if g.List = keep(g.List); len(g.List) > 0 {
					g.Open = len(g.List) <= mostOpen || body.Query != ""
					v.Groups, v.Count = append(v.Groups, g), v.Count+len(g.List)
				}
			}
			if v.Count > 0 || matches(entry{Name: v.Name, Note: v.CIDR}) {
				a.VPCs = append(a.VPCs, v)
			}
		}
		if len(a.Services)+len(a.VPCs) > 0 || body.Query == "" {
			body.Accounts = append(body.Accounts, a)
		}
	}
	for i := range c.cfg.Actions {
		if a := &c.cfg.Actions[i]; a.Does == Creates {
			body.Creates = append(body.Creates, a)
		}
	}
	return q.render(http.StatusOK, "objects", "Objects", body)
}

func inVPC(now *snapshot, vpc *topology.VPC, say func(string) string) []entries {
	at := topology.JoinPath("vpcs", vpc.Name) + "/"
	subnets := entries{Title: say("subnets")}
	for _, s := range vpc.Subnets {
		subnets.List = append(subnets.List, entry{at + topology.JoinPath("subnets", s.Name), s.Name,
			s.Zone + ", " + s.CIDR.String(), ""})
	}
	instances := entries{Title: say("instances")}
	states := once(now, "instances", func() map[string]string { return instanceStates(now.Lab) })
	for _, i := range vpc.Instances {
		instances.List = append(instances.List, entry{at + topology.JoinPath("instances", i.Name), i.Name,
			i.Zone + ", " + i.IP.String(), states[i.ID]})
	}
	endpoints := entries{Title: say("endpoints")}
	for _, ep := range now.Endpoints {
		if ep.VPC == vpc.Name {
			endpoints.List = append(endpoints.List, entry{topology.JoinPath("endpoints", ep.Name), ep.Name,
				"to " + ep.Service, ep.State})
		}
	}
	balancers := entries{Title: say("load balancers")}
	for _, b := range now.LoadBalancers {
		if b.VPC == vpc.Name {
			balancers.List = append(balancers.List, entry{topology.JoinPath("load_balancers", b.Name), b.Name,
				b.Type + ", " + spell.Count(len(b.Listeners), "listener"), ""})
		}
	}
	groups := entries{Title: say("server groups")}
	for i := range now.plan.ServerGroups {
		if g := &now.plan.ServerGroups[i]; g.VPC == vpc.Name {
			groups.List = append(groups.List, groupEntry(now, g.Name))
		}
	}
	gateways := entries{Title: say("NAT gateways")}
	for _, g := range now.NATGateways {
		if g.VPC == vpc.Name {
			gateways.List = append(gateways.List, entry{topology.JoinPath("nat_gateways", g.Name), g.Name,
				spell.Count(len(g.Entries), "entry"), g.State})
		}
	}
	security := entries{Title: say("security groups")}
	for _, g := range vpc.SecurityGroups {
		security.List = append(security.List, entry{at + topology.JoinPath("security_groups", g.Name), g.Name,
			fmt.Sprintf("%d in, %d out", len(g.Ingress), len(g.Egress)), ""})
	}
	return []entries{endpoints, balancers, groups, gateways, instances, subnets, security}
}

// instanceStates are those of instances, by identifier.
func instanceStates(s status.Lab) map[string]string {
	out := map[string]string{}
	for _, v := range s.VPCs {
		for _, i := range v.Instances {
			out[i.ID] = i.State
		}
	}
	return out
}

func groupEntry(now *snapshot, name string) entry {
	e := entry{Path: topology.JoinPath("server_groups", name), Name: name}
	for _, g := range now.ServerGroups {
		if g.Name != name {
			continue
		}
		healthy := 0
		for _, s := range g.Servers {
			if s.Healthy {
				healthy++
			}
		}
		e.Note = fmt.Sprintf("%d of %d healthy", healthy, len(g.Servers))
		if e.State = "healthy"; healthy < len(g.Servers) {
			e.State = "unhealthy"
		}
	}
	return e
}

// contains says whether a text has what somebody looks for, the case aside.
func contains(text, query string) bool {
	return strings.Contains(strings.ToLower(text), strings.ToLower(query))
}
