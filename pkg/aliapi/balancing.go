package aliapi

import (
	"fmt"
	"slices"
	"strings"

	"github.com/plinksim/plinksim/pkg/topology"
	"github.com/plinksim/plinksim/pkg/wire"
)

// balancer is one of the caller's load balancers of a type, with its VPC.
func (c balancing) balancer(id string, kind topology.LoadBalancerType, code string) (*topology.VPC,
	*topology.LoadBalancer, error) {
	for i := range c.Plan.LoadBalancers {
		l := &c.Plan.LoadBalancers[i]
		if vpc, err := c.Plan.VPC(l.VPC); err == nil && l.ID == id && l.Type == kind && vpc.Account == c.Account.Name {
			return vpc, l, nil
		}
	}
	return nil, nil, notFound(code, "The specified load balancer %q does not exist.", id)
}

// balancers are the caller's load balancers of a type.
func (c balancing) balancers(kind topology.LoadBalancerType) (out []*topology.LoadBalancer) {
	for i := range c.Plan.LoadBalancers {
		l := &c.Plan.LoadBalancers[i]
		if vpc, err := c.Plan.VPC(l.VPC); err == nil && l.Type == kind && vpc.Account == c.Account.Name {
			out = append(out, l)
		}
	}
	return out
}

// deleteBalancer deletes a load balancer with more, unless a service offers it: then it is refused
// with a code.
func (c balancing) deleteBalancer(l *topology.LoadBalancer, offered string, more ...topology.Edit) error {
	for i := range c.Plan.Services {
		if s := &c.Plan.Services[i]; !s.Absent && s.Offers(l.Name) {
			return wire.Errorf(offered, "The load balancer %q is a resource of the endpoint service %q: detach it first.", l.ID,
				s.ID)
		}
	}
	if err := c.Edit(append([]topology.Edit{{Path: path("load_balancers", l.Name)}}, more...)...); err != nil {
		return coded(err, topology.InUse, offered)
	}
	c.Forget(l.ID)
	return nil
}

// serverGroup is one of the caller's server groups, with its VPC.
func (c balancing) serverGroup(id, code string) (*topology.VPC, *topology.ServerGroup, error) {
	for i := range c.Plan.ServerGroups {
		g := &c.Plan.ServerGroups[i]
		if vpc, err := c.Plan.VPC(g.VPC); err == nil && g.ID == id && vpc.Account == c.Account.Name {
			return vpc, g, nil
		}
	}
	return nil, nil, notFound(code, "The specified server group %q does not exist.", id)
}

// server is a server as a request has it.
type server struct {
	id, ip       string
	port, weight int
}

// ref is what operations call a server: an instance or an address, and the port.
func (c balancing) ref(vpc *topology.VPC, s server) (string, error) {
	if s.port < 1 || s.port > 65535 || s.weight < 0 || s.weight > 100 {
		return "", wire.Errorf("InvalidParameter", "A server has a port from 1 to 65535 and a weight from 0 to 100.")
	}
	if s.ip != "" && (s.id == "" || s.id == s.ip) {
		return fmt.Sprintf("%s:%d", s.ip, s.port), nil
	}
	of, in, err := c.instance(s.id)
	if err != nil {
		return "", err
	}
	if of.Name != vpc.Name {
		return "", wire.Errorf("InvalidParameter", "The instance %q is not in the VPC %q of the server group.", s.id, vpc.ID)
	}
	return fmt.Sprintf("%s:%d", in.Name, s.port), nil
}

// serverValue is a server as a topology file has it.
func (c balancing) serverValue(vpc *topology.VPC, s server) (value, error) {
	ref, err := c.ref(vpc, s)
	if err != nil {
		return nil, err
	}
	v := value{"port": s.port, "weight": s.weight}
	at := strings.LastIndex(ref, ":")
	if s.ip != "" && (s.id == "" || s.id == s.ip) {
		v["ip"] = ref[:at]
	} else {
		v["instance"] = ref[:at]
	}
	return v, nil
}

func (c balancing) serverValues(vpc *topology.VPC, servers []server) ([]value, error) {
	out := []value{}
	for _, s := range servers {
		v, err := c.serverValue(vpc, s)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// moveServers registers servers, takes them away, or weighs them again, one after the other.
func (c balancing) moveServers(verb topology.Verb, vpc *topology.VPC, g *topology.ServerGroup, servers []server) error {
	for _, s := range servers {
		ref, err := c.ref(vpc, s)
		if err != nil {
			return err
		}
		o := topology.Operation{Verb: verb, ServerGroup: g.Name, Server: ref}
		if verb != topology.VerbServerDeregister {
			weight := s.weight
			o.Weight = &weight
		}
		if err := c.Operate(o); err != nil {
			return err
		}
	}
	return nil
}

// serverID is what clients call a server: its instance or its address.
func (c balancing) serverID(s topology.Server) string {
	if in, err := c.Plan.Instance(s.Instance); s.Instance != "" && err == nil {
		return in.ID
	}
	return s.IP.String()
}

// check is a health check as a request has it; 0 and "" leave what is usual.
type check struct {
	off                                         bool
	protocol, host, page, method                string
	codes                                       []string
	port, interval, timeout, healthy, unhealthy int
}

// edits make it the health check of a group. What nobody has said stays.
func (h check) edits(group string) (out []topology.Edit) {
	v := value{}
	set := func(key string, given bool, what any) {
		if given {
			v[key] = what
		}
	}
	seconds := func(n int) string { return fmt.Sprintf("%ds", n) }
	http := strings.EqualFold(h.protocol, "http")
	set("protocol", h.protocol != "", strings.ToLower(h.protocol))
	set("protocol", h.off, "none")
	set("port", h.port > 0, h.port)
	set("interval", h.interval > 0, seconds(h.interval))
	set("timeout", h.timeout > 0, seconds(h.timeout))
	set("healthy", h.healthy > 0, h.healthy)
	set("unhealthy", h.unhealthy > 0, h.unhealthy)
	set("path", http && h.page != "", h.page)
	set("host", http && h.host != "" && h.host != "$_ip" && h.host != "$SERVER_IP", h.host)
	set("method", http && h.method != "", strings.ToUpper(h.method))
	set("codes", http && len(h.codes) > 0, h.codes)
	if len(v) == 0 {
		return nil
	}
	return []topology.Edit{{Path: path("server_groups", group, "health_check"), Value: text(v)}}
}

// classesOf are the statuses that a health check takes for healthy, as the clouds write them: http_2xx
// where that is all of a hundred.
func classesOf(codes topology.Codes) []string {
	out := []string{}
	for hundred := 100; hundred <= 500; hundred += 100 {
		if codes.Contains(hundred) && codes.Contains(hundred+99) {
			out = append(out, fmt.Sprintf("http_%dxx", hundred/100))
		}
	}
	if len(out) == 0 {
		return codesOf(string(codes))
	}
	return out
}

// schedulers are those of layer 4, which a file names in the same words.
func schedulerOf(text string, known ...string) (string, error) {
	text = strings.ToLower(text)
	if text != "" && !slices.Contains(known, text) {
		return "", wire.Errorf("InvalidParameter", "Specified parameter Scheduler is not valid: it is one of %s",
			strings.Join(known, ", "))
	}
	return text, nil
}

// atListener is the place of a listener in the topology.
func atListener(l *topology.LoadBalancer, protocol string, port int) string {
	return path("load_balancers", l.Name, "listeners", fmt.Sprintf("protocol=%s,port=%d", protocol, port))
}

// groupID is the identifier of a server group, by its name.
func (c balancing) groupID(name string) string {
	if g, err := c.Plan.ServerGroup(name); err == nil {
		return g.ID
	}
	return ""
}

// users are the load balancers that a group is behind.
func (c balancing) users(g *topology.ServerGroup) []string {
	out := []string{}
	for _, l := range c.Plan.LoadBalancers {
		if slices.ContainsFunc(l.Listeners, func(h topology.Listener) bool { return h.ServerGroup == g.Name }) {
			out = append(out, l.ID)
		}
	}
	return out
}
