package awsapi

import (
	"fmt"
	"slices"
	"strings"

	"github.com/plinksim/plinksim/internal/derive"
	"github.com/plinksim/plinksim/pkg/cloudapi"
	"github.com/plinksim/plinksim/pkg/topology"
	"github.com/plinksim/plinksim/pkg/wire"
)

func listenerRows(a *adder) {
	ignored := []string{"AlpnPolicy", "clients of a lab's https listener may always speak HTTP/2",
		"DefaultActions.ForwardConfig.TargetGroupStickinessConfig.DurationSeconds", notSticky,
		"DefaultActions.Order", "a lab's listener has one action"}
	op(a, "CreateListener", createListener, ignored...)
	op(a, "ModifyListener", modifyListener, ignored...)
	op(a, "DeleteListener", func(c balancing, in struct{ ListenerArn string }) (wire.M, error) {
		h, err := c.listener(in.ListenerArn)
		if err != nil {
			return nil, err
		}
		defer c.Locks.Hold("balancer " + c.balancerARN(h.balancer))()
		err = c.Edit(at(nil, balancerPath(h.balancer, "listeners", listenerPart(h.Listener))...)...)
		if err == nil {
			c.Forget(in.ListenerArn)
		}
		return nil, err
	})
	list(a, listing{name: "DescribeListeners", answer: "Listeners", ids: "ListenerArns", id: "ListenerArn",
		missing: "ListenerNotFound", text: "One or more listeners not found: %s", also: []string{"LoadBalancerArn"},
		all: func(base *call) (out []wire.M, _ error) {
			c := balancing{base}
			only, _ := c.Values["LoadBalancerArn"].(string)
			if only != "" {
				if _, err := c.balancer(only); err != nil {
					return nil, err
				}
			}
			if only == "" && len(stringsOf(c.Values["ListenerArns"])) == 0 {
				return nil, wire.Errorf("ValidationError",
					"You must specify either listener ARNs or a load balancer ARN")
			}
			for _, l := range c.ownBalancers() {
				if only == "" || c.balancerARN(l) == only {
					for _, h := range listenersOf(l) {
						out = append(out, c.viewListener(h))
					}
				}
			}
			return out, nil
		}})
	op(a, "DescribeListenerAttributes", func(c balancing, in struct{ ListenerArn string }) (wire.M, error) {
		h, err := c.listener(in.ListenerArn)
		if err != nil {
			return nil, err
		}
		return wire.M{"Attributes": viewAttributes(c.call, listenerAttributes, h)}, nil
	})
	op(a, "ModifyListenerAttributes", func(c balancing, in struct {
		ListenerArn string
		Attributes  []tag
	}) (wire.M, error) {
		h, err := c.listener(in.ListenerArn)
		if err == nil {
			err = setAttributes(c.call, listenerAttributes, h, in.Attributes)
		}
		if err == nil {
			h, err = c.listener(in.ListenerArn)
		}
		if err != nil {
			return nil, err
		}
		return wire.M{"Attributes": viewAttributes(c.call, listenerAttributes, h)}, nil
	})
	certificateRows(a)
}

// heard is a listener with its load balancer. One of TCP and UDP is one, of protocol
// TCPUDP.
type heard struct {
	*topology.Listener
	balancer *topology.LoadBalancer
}

func listenersOf(l *topology.LoadBalancer) (out []*heard) {
	for i := range l.Listeners {
		one := l.Listeners[i]
		if one.Joint {
			if one.Protocol == topology.UDP {
				continue
			}
			one.Protocol = topology.TCPUDP
		}
		out = append(out, &heard{&one, l})
	}
	return out
}

// listenerPart is the part of a path that leads to a listener.
func listenerPart(l *topology.Listener) string {
	protocol := l.Protocol
	if l.Joint {
		protocol = topology.TCPUDP
	}
	return fmt.Sprintf("protocol=%s,port=%d", protocol, l.Port)
}

// listenerARN keeps its end when the port or the protocol of a listener changes.
func (c balancing) listenerARN(h *heard) string {
	end := c.Record.Note(c.balancerARN(h.balancer), "listener "+listenerPart(h.Listener))
	if end == "" {
		end = listenerEnd(h)
	}
	return arnOf("elasticloadbalancing", c.Plan.Region, c.accountID(c.Plan.MustVPC(h.balancer.VPC).Account),
		"listener/"+h.balancer.ID+"/"+end)
}

func listenerEnd(h *heard) string {
	return derive.Text("listener "+h.balancer.ID+" "+listenerPart(h.Listener), 16, "0123456789abcdef")
}

func (c balancing) listener(arn string) (*heard, error) {
	for _, l := range c.ownBalancers() {
		for _, h := range listenersOf(l) {
			if c.listenerARN(h) == arn {
				return h, nil
			}
		}
	}
	return nil, wire.Errorf("ListenerNotFound", "One or more listeners not found: %s", arn)
}

func (c balancing) viewListener(h *heard) wire.M {
	m := wire.M{
		"ListenerArn": c.listenerARN(h), "LoadBalancerArn": c.balancerARN(h.balancer), "Port": int(h.Port),
		"Protocol": protocolName(h.Protocol), "DefaultActions": []wire.M{c.viewAction(h.Default(), h.HTTP != nil)},
	}
	if h.Protocol == topology.HTTPS {
		m["SslPolicy"] = c.meant(h, sslPolicy, usualPolicy)
		m["Certificates"] = []wire.M{{"CertificateArn": c.certificates(h)[0]}}
	}
	return m
}

func createListener(c balancing, in struct {
	LoadBalancerArn, Protocol, SslPolicy string
	Port                                 int
	DefaultActions                       []action
	Certificates                         []certificate
	Tags                                 []tag
}) (wire.M, error) {
	defer c.Locks.Hold("balancer " + in.LoadBalancerArn)()
	c.Plan = c.CurrentPlan()
	l, err := c.balancer(in.LoadBalancerArn)
	if err != nil {
		return nil, err
	}
	if in.Port < 1 || in.Port > 65535 || in.Protocol == "" {
		return nil, wire.Errorf("ValidationError", "A listener must have a protocol and a port from 1 to 65535")
	}
	v, err := c.actionValue(in.DefaultActions, l.Type == topology.ALB)
	if err != nil {
		return nil, err
	}
	tags, err := tagsOf(in.Tags)
	if err != nil {
		return nil, err
	}
	for _, h := range listenersOf(l) {
		if int(h.Port) == in.Port {
			return nil, wire.Errorf("DuplicateListener",
				"A listener already exists on this port for this load balancer '%s'",
				in.LoadBalancerArn)
		}
	}
	if err := c.supports(in.Protocol); err != nil {
		return nil, err
	}
	v["protocol"], v["port"] = strings.ToLower(in.Protocol), in.Port
	given, err := c.given(in.Certificates, in.Protocol)
	if err != nil {
		return nil, err
	}
	if certificates := certificateValues(given); certificates != nil {
		v["certificates"] = certificates
	}
	if idle := c.meant(l, idleTimeout, ""); idle != "" && l.Type == topology.ALB {
		v["idle_timeout"] = idle + "s"
	}
	err = c.Edit(at(v, balancerPath(l, "listeners", topology.AtEnd)...)...)
	if err != nil {
		return nil, conflictOf(err, map[topology.Refusal]string{topology.Invalid: "InvalidConfigurationRequest"},
			"The listener cannot be created")
	}
	if l, err = c.balancer(in.LoadBalancerArn); err != nil {
		return nil, err
	}
	for _, h := range listenersOf(l) {
		if int(h.Port) == in.Port {
			c.Created(c.listenerARN(h), tags, nil)
			c.keep(h, given, in.SslPolicy)
			return wire.M{"Listeners": []wire.M{c.viewListener(h)}}, nil
		}
	}
	return nil, wire.Errorf("ListenerNotFound", "The listener was deleted meanwhile")
}

func (c balancing) supports(protocol string) error {
	if !slices.Contains([]string{"TCP", "UDP", "TCP_UDP", "HTTP", "HTTPS"}, protocol) {
		return wire.Errorf("UnsupportedOperation",
			"plinksim has listeners of TCP, UDP and TCP_UDP, HTTP and HTTPS, and not of %s: a Network Load Balancer"+
				" ends no TLS in a lab; let its TCP listener lead to an Application Load Balancer or to servers that do",
			protocol)
	}
	return nil
}

func modifyListener(c balancing, in struct {
	ListenerArn, Protocol, SslPolicy string
	Port                             int
	DefaultActions                   []action
	Certificates                     []certificate
}) (wire.M, error) {
	defer c.Locks.Hold("listener " + in.ListenerArn)()
	c.Plan = c.CurrentPlan()
	h, err := c.listener(in.ListenerArn)
	if err != nil {
		return nil, err
	}
	path := balancerPath(h.balancer, "listeners", listenerPart(h.Listener))
	var edits []topology.Edit
	if len(in.DefaultActions) > 0 {
		v, err := c.actionValue(in.DefaultActions, h.HTTP != nil)
		if err != nil {
			return nil, err
		}
		edits = actionEdits(path, h.Default(), v)
	}
	now := *h.Listener
	if in.Port != 0 && in.Port != int(h.Port) {
		for _, other := range listenersOf(h.balancer) {
			if int(other.Port) == in.Port {
				return nil, wire.Errorf("DuplicateListener", "A listener already exists on port %d", in.Port)
			}
		}
		now.Port = uint16(in.Port)
	}
	if in.Protocol != "" && in.Protocol != protocolName(h.Protocol) {
		if err := c.supports(in.Protocol); err != nil {
			return nil, err
		}
		now.Protocol = topology.Protocol(strings.ToLower(in.Protocol))
		now.Joint = now.Protocol == topology.TCPUDP
	}
	certificates, err := c.given(in.Certificates, protocolName(now.Protocol))
	if err != nil {
		return nil, err
	}
	if len(certificates) > 0 {
		certificates = append(certificates, c.certificates(h)[1:]...) // the default one is another
		edits = append(edits, certificateEdits(path, h, certificates)...)
	} else if now.Protocol != topology.HTTPS {
		edits = append(edits, certificateEdits(path, h, nil)...)
	}
	// What a path leads to changes its name with its port and protocol, so these are last.
	if now.Port != h.Port {
		edits = append(edits, at(int(now.Port), append(path, "port")...)...)
		path = balancerPath(h.balancer, "listeners", fmt.Sprintf("protocol=%s,port=%d", h.Protocol, now.Port))
	}
	if now.Protocol != h.Protocol {
		edits = append(edits, at(string(now.Protocol), append(path, "protocol")...)...)
	}
	if err := c.Edit(edits...); err != nil {
		return nil, conflictOf(err, map[topology.Refusal]string{topology.Invalid: "InvalidConfigurationRequest"},
			"The listener cannot be changed")
	}
	if now.Port != h.Port || now.Protocol != h.Protocol {
		end := in.ListenerArn[strings.LastIndex(in.ListenerArn, "/")+1:]
		c.Change(c.balancerARN(h.balancer), func(t *cloudapi.Thing) {
			delete(t.Notes, "listener "+listenerPart(h.Listener))
			t.Notes["listener "+listenerPart(&now)] = end
		})
	}
	if h, err = c.listener(in.ListenerArn); err != nil {
		return nil, err
	}
	c.keep(h, certificates, in.SslPolicy)
	return wire.M{"Listeners": []wire.M{c.viewListener(h)}}, nil
}
