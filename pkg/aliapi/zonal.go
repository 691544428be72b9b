package aliapi

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/plinksim/plinksim/pkg/cloudapi"
	"github.com/plinksim/plinksim/pkg/topology"
	"github.com/plinksim/plinksim/pkg/wire"
)

// family is what the APIs of NLB and of ALB have in common and call by other names.
type family struct {
	kind topology.LoadBalancerType
	// Codes for what is not there, is there already, or is in use.
	noBalancer, noGroup, noListener       string
	listenerExists, groupInUse, linkInUse string
	untag                                 string // the operation
	zone                                  func(zone string) wire.M
	view                                  func(c balancing, vpc *topology.VPC, l *topology.LoadBalancer) wire.M
	viewGroup                             func(c balancing, vpc *topology.VPC, g *topology.ServerGroup) wire.M
	viewListener                          func(c balancing, h *heard) wire.M
}

// rows adds the operations that both APIs have.
func (f *family) rows(a *adder) {
	f.balancerRows(a)
	f.groupRows(a)
	f.listenerRows(a)
	regionRows(a, string(f.kind), func(_ *call, zone string) wire.M { return f.zone(zone) }, f.ignoredOfZones(a)...)
	tagRows(a, f.untag, taggable{
		"loadbalancer": func(c *call) (ids []string) {
			for _, l := range (balancing{c}).balancers(f.kind) {
				ids = append(ids, l.ID)
			}
			return ids
		},
		"servergroup": func(c *call) (ids []string) {
			for _, g := range f.groups(balancing{c}) {
				ids = append(ids, g.ID)
			}
			return ids
		},
		"listener": func(c *call) (ids []string) {
			for _, h := range (balancing{c}).listeners(f.kind) {
				ids = append(ids, h.id)
			}
			return ids
		},
	})
}

// ignoredOfZones are parameters of DescribeZones, of which the two APIs have different ones.
func (f *family) ignoredOfZones(a *adder) (out []string) {
	for _, name := range []string{"AcceptLanguage", "ServiceCode"} {
		if a.service.Operations["DescribeZones"].Input.Member(name) != nil {
			out = append(out, name, "the zones of a lab have one name")
		}
	}
	return out
}

func (f *family) balancerRows(a *adder) {
	op(a, "DeleteLoadBalancer", func(c balancing, in struct{ LoadBalancerId string }) (wire.M, error) {
		_, l, err := c.balancer(in.LoadBalancerId, f.kind, f.noBalancer)
		if err != nil {
			return nil, err
		}
		return c.job(nil), c.deleteBalancer(l, f.linkInUse)
	})
	op(a, "GetLoadBalancerAttribute", func(c balancing, in struct{ LoadBalancerId string }) (wire.M, error) {
		vpc, l, err := c.balancer(in.LoadBalancerId, f.kind, f.noBalancer)
		if err != nil {
			return nil, err
		}
		return c.only(f.view(c, vpc, l)), nil
	})
}

// place is a zone of a load balancer as a request names it.
type place struct{ zone, vSwitch, address string }

// places are the subnets of a load balancer as a topology file has them.
func (c balancing) places(vpc *topology.VPC, all []place) (map[string]value, error) {
	out := map[string]value{}
	for _, p := range all {
		of, s, err := c.vSwitch(p.vSwitch)
		if err != nil {
			return nil, err
		}
		if of.Name != vpc.Name || s.Zone != p.zone {
			return nil, wire.Errorf("InvalidVSwitchId.ZoneMismatch", "The vSwitch %q is in zone %q of the VPC %q.", s.ID,
				s.Zone, of.ID)
		}
		out[s.Name] = value{}
		if p.address != "" {
			out[s.Name]["ip"] = p.address
		}
	}
	if len(out) == 0 {
		return nil, wire.Errorf("MissingZoneMappings", "ZoneMappings is mandatory for this action.")
	}
	return out, nil
}

// make makes a load balancer without listeners, and gives its identifier.
func (f *family) make(c balancing, vpc, name, group string, at []place, given []tag) (id string, _ error) {
	of, err := c.vpc(vpc)
	if err != nil {
		return "", err
	}
	places, err := c.places(of, at)
	if err != nil {
		return "", err
	}
	tags, err := tagsOf(given)
	if err != nil {
		return "", err
	}
	id = c.NewID(string(f.kind))
	v := value{"type": string(f.kind), "vpc": of.Name, "subnets": places, "listeners": []value{}}
	if err := c.Edit(topology.Edit{Path: path("load_balancers", id), Value: text(v), New: true}); err != nil {
		return "", err
	}
	c.Created(id, tags, map[string]string{"name": name, "resource group": group})
	return id, nil
}

// setPlaces gives a load balancer other zones.
func (f *family) setPlaces(c balancing, id string, at []place) (wire.M, error) {
	vpc, l, err := c.balancer(id, f.kind, f.noBalancer)
	if err != nil {
		return nil, err
	}
	places, err := c.places(vpc, at)
	if err != nil {
		return nil, err
	}
	err = c.Edit(topology.Edit{Path: path("load_balancers", l.Name, "subnets"), Value: text(places)})
	if err != nil {
		return nil, coded(err, topology.InUse, f.linkInUse)
	}
	return c.job(nil), nil
}

// zonesOf are the zones of a load balancer; address is what the API calls a node's.
func (c balancing) zonesOf(vpc *topology.VPC, l *topology.LoadBalancer, address func(ip netip.Addr, n *topology.Node) wire.M) []wire.M {
	zones := []wire.M{}
	for i := range l.Nodes {
		n := &l.Nodes[i]
		z := wire.M{"ZoneId": n.Zone, "VSwitchId": "", "Status": "Active",
			"LoadBalancerAddresses": []wire.M{address(n.IP(), n)}}
		if s, err := vpc.Subnet(n.Subnet); err == nil {
			z["VSwitchId"] = s.ID
		}
		zones = append(zones, z)
	}
	return zones
}

// stateOf is the state of an object, which it reaches at once unless the lab has a transition.
func (c balancing) stateOf(id, onTheWay, then string) string {
	if c.OnTheWay(id) {
		return onTheWay
	}
	return then
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

// jobOf is the call that a job belongs to, with its state: calls wait until what they did is in
// force, so that a job is on its way only where the lab has a transition. The log of calls
// ends with the daemon; what it does not know was done.
func (c balancing) jobOf(id string) (of cloudapi.Logged, state string, ok bool) {
	number, ok := strings.CutPrefix(id, jobs)
	if !ok {
		return of, "", false
	}
	of.ID = strings.ToUpper(number)
	calls := c.Calls()
	i := slices.IndexFunc(calls, func(one cloudapi.Logged) bool { return one.ID == of.ID })
	if i >= 0 {
		of = calls[i]
	}
	if i >= 0 && c.Now().Before(of.Time.Add(c.Transition)) {
		return of, "Processing", true
	}
	return of, "Succeeded", true
}

// groups are the caller's server groups of the family: those for HTTP are of ALBs.
func (f *family) groups(c balancing) (out []*topology.ServerGroup) {
	for i := range c.Plan.ServerGroups {
		g := &c.Plan.ServerGroups[i]
		ofHTTP := g.Protocol == topology.HTTP || g.Protocol == topology.HTTPS
		vpc, err := c.Plan.VPC(g.VPC)
		if err == nil && vpc.Account == c.Account.Name && strings.HasPrefix(g.ID, "sgp-") &&
			ofHTTP == (f.kind == topology.ALB) {
			out = append(out, g)
		}
	}
	return out
}

// zonalServer is a server as requests have it.
type zonalServer struct{ ServerId, ServerIp, ServerType, Port, Weight string }

func (s zonalServer) server() (server, error) {
	out := server{id: s.ServerId, weight: 100}
	switch strings.ToLower(s.ServerType) {
	case "", "ecs":
	case "ip":
		out.id, out.ip = "", cmp.Or(s.ServerIp, s.ServerId)
	default:
		return out, wire.Errorf("UnsupportedOperation", "A server of a lab has ServerType Ecs or Ip, and not %s", s.ServerType)
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

func (f *family) groupRows(a *adder) {
	op(a, "DeleteServerGroup", func(c balancing, in struct{ ServerGroupId string }) (wire.M, error) {
		_, g, err := c.serverGroup(in.ServerGroupId, f.noGroup)
		if err != nil {
			return nil, err
		}
		if err := c.Edit(topology.Edit{Path: path("server_groups", g.Name)}); err != nil {
			return nil, coded(err, topology.InUse, f.groupInUse)
		}
		c.Forget(g.ID)
		return f.withGroup(c.job(nil), in.ServerGroupId), nil
	})
	type moved struct {
		ServerGroupId string
		Servers       []zonalServer
	}
	const undescribed = "servers of a lab have no descriptions"
	add := []string{"Servers.Description", undescribed}
	if f.kind == topology.ALB {
		add = append(add, "Servers.RemoteIpEnabled", "a lab knows by itself whether an address is in the group's VPC")
	}
	op(a, "AddServersToServerGroup", func(c balancing, in moved) (wire.M, error) {
		return f.move(c, topology.VerbServerRegister, in.ServerGroupId, in.Servers)
	}, add...)
	op(a, "UpdateServerGroupServersAttribute", func(c balancing, in moved) (wire.M, error) {
		return f.move(c, topology.VerbServerWeight, in.ServerGroupId, in.Servers)
	}, "Servers.Description", undescribed)
	op(a, "RemoveServersFromServerGroup", func(c balancing, in struct {
		ServerGroupId string
		Servers       []struct{ ServerId, ServerIp, ServerType, Port string }
	}) (wire.M, error) {
		var servers []zonalServer
		for _, s := range in.Servers {
			servers = append(servers, zonalServer{s.ServerId, s.ServerIp, s.ServerType, s.Port, ""})
		}
		return f.move(c, topology.VerbServerDeregister, in.ServerGroupId, servers)
	})
	list(a, listing{name: "ListServerGroups", answer: "ServerGroups", usual: 20, most: 100,
		filters: map[string]filter{"ServerGroupIds": is("ServerGroupId"), "ServerGroupNames": is("ServerGroupName"),
			"ServerGroupType": is("ServerGroupType"), "VpcId": is("VpcId"), "ResourceGroupId": is("ResourceGroupId")},
		ignored: f.ignoredOfGroups(a),
		all: func(base *call) (out []wire.M, _ error) {
			c := balancing{base}
			for _, g := range f.groups(c) {
				out = append(out, f.viewGroup(c, c.Plan.MustVPC(g.VPC), g))
			}
			return out, nil
		}})
	list(a, listing{name: "ListServerGroupServers", answer: "Servers", usual: 20, most: 100,
		filters: f.filtersOfServers(a), also: []string{"ServerGroupId"},
		all: func(base *call) (out []wire.M, _ error) {
			c := balancing{base}
			id := c.text("ServerGroupId")
			_, g, err := c.serverGroup(id, f.noGroup)
			if err != nil {
				return nil, err
			}
			for _, s := range g.Servers {
				kind := "Ecs"
				if s.Instance == "" {
					kind = "Ip"
				}
				m := wire.M{"ServerGroupId": g.ID, "ServerId": c.serverID(s), "ServerIp": s.IP, "ServerType": kind,
					"Port": int(s.Port), "Weight": s.Weight, "Status": "Available"}
				if f.kind == topology.NLB {
					m["ZoneId"] = s.Zone
				}
				out = append(out, m)
			}
			return out, nil
		}})
}

func (f *family) ignoredOfGroups(a *adder) []string {
	if a.service.Operations["ListServerGroups"].Input.Member("ShowRelationEnabled") == nil {
		return nil
	}
	return []string{"ShowRelationEnabled", "what a group is behind is always told"}
}

func (f *family) filtersOfServers(a *adder) map[string]filter {
	out := map[string]filter{"ServerIds": is("ServerId")}
	for _, name := range []string{"ServerIps", "ServerIp", "ServerId"} {
		if a.service.Operations["ListServerGroupServers"].Input.Member(name) != nil {
			out[name] = is(strings.TrimSuffix(name, "s"))
		}
	}
	return out
}

// withGroup adds the group's identifier, which NLB answers again.
func (f *family) withGroup(m wire.M, id string) wire.M {
	if f.kind == topology.NLB {
		m["ServerGroupId"] = id
	}
	return m
}

func (f *family) move(c balancing, verb topology.Verb, group string, in []zonalServer) (wire.M, error) {
	vpc, g, err := c.serverGroup(group, f.noGroup)
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
	return f.withGroup(c.job(nil), group), nil
}

// numbers are texts of a request that are numbers, 0 where they are "".
func numbers(texts ...string) (out []int, _ error) {
	for _, text := range texts {
		n, err := strconv.Atoi(cmp.Or(text, "0"))
		if err != nil {
			return nil, wire.Errorf("IllegalParam", "%q is no number.", text)
		}
		out = append(out, n)
	}
	return out, nil
}

// heard is a listener with the load balancer that it is of.
type heard struct {
	topology.Listener
	of      *topology.LoadBalancer
	id      string
	stopped bool // and in no topology
}

// at is the place of the listener in the topology.
func (h *heard) at(more ...string) string {
	return atListener(h.of, string(h.Protocol), int(h.Port)) + pathBelow(more)
}

func pathBelow(parts []string) string {
	if len(parts) == 0 {
		return ""
	}
	return "/" + path(parts...)
}

// stoppedNote is before the identifier of a listener that is stopped, in the record of its load
// balancer: it is in no topology.
const stoppedNote = "stopped "

// value is the listener as a topology file has it.
func (h *heard) value() value {
	v := cloudapi.ActionValue(h.Default())
	v["protocol"], v["port"], v["idle_timeout"] = string(h.Protocol), int(h.Port), h.IdleTimeout.String()
	if h.ProxyProtocol != "" {
		v["proxy_protocol"] = string(h.ProxyProtocol)
	}
	if h.TOA {
		v["toa"] = true
	}
	if h.HTTP == nil {
		return v
	}
	v["request_timeout"] = h.HTTP.RequestTimeout.String()
	if len(h.HTTP.Forwarded) > 0 {
		v["forwarded"] = h.HTTP.Forwarded
	}
	var rules, certificates []value
	for i := range h.HTTP.Rules {
		rules = append(rules, cloudapi.RuleValue(&h.HTTP.Rules[i]))
	}
	for _, one := range h.HTTP.Certificates {
		if len(one.Names) > 0 {
			certificates = append(certificates, value{"names": one.Names})
		} else {
			certificates = append(certificates, value{"certificate": one.Certificate, "key": one.Key})
		}
	}
	if len(rules) > 0 {
		v["rules"] = rules
	}
	if len(certificates) > 0 {
		v["certificates"] = certificates
	}
	return v
}

// listenersOf are those of a load balancer, with those that are stopped.
func (c balancing) listenersOf(l *topology.LoadBalancer) (out []*heard) {
	add := func(h topology.Listener, stopped bool) {
		// NLB API 2022-04-30, CreateListener, ListenerId: the port is behind the identifier.
		id := c.Plan.NewID("lsn", l.ID+" "+string(h.Protocol)+" "+strconv.Itoa(int(h.Port)))
		if l.Type == topology.NLB {
			id = fmt.Sprintf("%s@%d", id, h.Port)
		}
		out = append(out, &heard{h, l, id, stopped})
	}
	for _, h := range l.Listeners {
		add(h, false)
	}
	for note, text := range c.Record.Thing(l.ID).Notes {
		var h topology.Listener
		if strings.HasPrefix(note, stoppedNote) && json.Unmarshal([]byte(text), &h) == nil {
			add(h, true)
		}
	}
	slices.SortFunc(out, func(a, b *heard) int { return cmp.Compare(a.Port, b.Port) })
	return out
}

// listeners are the caller's listeners of load balancers of a type.
func (c balancing) listeners(kind topology.LoadBalancerType) (out []*heard) {
	for _, l := range c.balancers(kind) {
		out = append(out, c.listenersOf(l)...)
	}
	return out
}

func (f *family) listener(c balancing, id string) (*heard, error) {
	for _, h := range c.listeners(f.kind) {
		if h.id == id {
			return h, nil
		}
	}
	return nil, notFound(f.noListener, "The specified listener %q does not exist.", id)
}

// running finds a listener that can be changed.
func (f *family) running(c balancing, id string) (*heard, error) {
	h, err := f.listener(c, id)
	if err == nil && h.stopped {
		err = wire.Errorf("IncorrectStatus.Listener", "The listener %q is stopped: a lab changes listeners that run.", id)
	}
	return h, err
}

func (f *family) listenerRows(a *adder) {
	type one struct{ ListenerId string }
	op(a, "DeleteListener", func(c balancing, in one) (wire.M, error) {
		h, err := f.listener(c, in.ListenerId)
		if err != nil {
			return nil, err
		}
		if h.stopped && c.Dry {
			return nil, nil
		}
		if h.stopped {
			c.Change(h.of.ID, func(t *cloudapi.Thing) { delete(t.Notes, stoppedNote+h.id) })
		} else if err := c.Edit(topology.Edit{Path: h.at()}); err != nil {
			return nil, err
		}
		c.Forget(in.ListenerId)
		return c.job(nil), nil
	})
	op(a, "StopListener", func(c balancing, in one) (wire.M, error) {
		h, err := f.listener(c, in.ListenerId)
		if err != nil || h.stopped {
			return c.job(nil), err
		}
		if err := c.Edit(topology.Edit{Path: h.at()}); err != nil {
			return nil, err
		}
		c.Change(h.of.ID, func(t *cloudapi.Thing) { t.Notes[stoppedNote+h.id] = text(h.Listener) })
		return c.job(nil), nil
	})
	op(a, "StartListener", func(c balancing, in one) (wire.M, error) {
		h, err := f.listener(c, in.ListenerId)
		if err != nil || !h.stopped {
			return c.job(nil), err
		}
		err = c.Edit(topology.Edit{Path: path("load_balancers", h.of.Name, "listeners", topology.AtEnd),
			Value: text(h.value())})
		if err != nil {
			return nil, err
		}
		c.Change(h.of.ID, func(t *cloudapi.Thing) { delete(t.Notes, stoppedNote+h.id) })
		return c.job(nil), nil
	})
	op(a, "GetListenerAttribute", func(c balancing, in one) (wire.M, error) {
		h, err := f.listener(c, in.ListenerId)
		if err != nil {
			return nil, err
		}
		return c.only(f.viewListener(c, h)), nil
	})
}

// hear adds a listener, and gives its identifier.
func (f *family) hear(c balancing, l *topology.LoadBalancer, v value, description string, given []tag) (wire.M, error) {
	protocol, _ := v["protocol"].(string)
	port, _ := v["port"].(int)
	same := func(h *heard) bool { return string(h.Protocol) == protocol && int(h.Port) == port }
	if slices.ContainsFunc(c.listenersOf(l), same) {
		return nil, wire.Errorf(f.listenerExists, "There is already a listener on port %d.", port)
	}
	tags, err := tagsOf(given)
	if err != nil {
		return nil, err
	}
	err = c.Edit(topology.Edit{Path: path("load_balancers", l.Name, "listeners", topology.AtEnd), Value: text(v)})
	if err != nil {
		return nil, err
	}
	if _, l, err = c.balancer(l.ID, f.kind, f.noBalancer); err != nil {
		return nil, err
	}
	all := c.listenersOf(l)
	i := slices.IndexFunc(all, same)
	if i < 0 {
		return nil, notFound(f.noListener, "The listener was deleted meanwhile.")
	}
	c.Created(all[i].id, tags, map[string]string{"description": description})
	return c.job(wire.M{"ListenerId": all[i].id}), nil
}

// listenerState is the state of a listener.
func (c balancing) listenerState(h *heard) string {
	if h.stopped {
		return "Stopped"
	}
	return c.stateOf(h.id, "Provisioning", "Running")
}

// sick are the servers of a group that are not healthy.
func (c balancing) sick(g *topology.ServerGroup) []wire.M {
	out := []wire.M{}
	for _, now := range c.Lab.ServerGroup(*g).Servers {
		for _, s := range g.Servers {
			if !now.Healthy && s.IP == now.Address.Addr() && s.Port == now.Address.Port() {
				out = append(out, wire.M{"ServerId": c.serverID(s), "ServerIp": s.IP, "Port": int(s.Port), "Status": "Unhealthy"})
			}
		}
	}
	return out
}
