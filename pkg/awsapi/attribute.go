package awsapi

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/plinksim/plinksim/pkg/cloudapi"
	"github.com/plinksim/plinksim/pkg/topology"
	"github.com/plinksim/plinksim/pkg/wire"
)

// attribute is a key of a load balancer, a target group or a listener. What can be set
// leads to an edit; another value of what cannot is refused.
type attribute[T any] struct {
	key string
	// of are the types of load balancer that have it; any where it is nil.
	of  []topology.LoadBalancerType
	get func(c *call, of T) string
	// set makes the edits for a value, nil where there is only the one that get gives.
	set func(c *call, of T, value string) ([]topology.Edit, error)
	// why says of one that is only kept why it changes nothing.
	why string
	// usual is the value of one that is fixed or kept.
	usual string
}

func viewAttributes[T any](c *call, all []attribute[T], of T) []wire.M {
	out := []wire.M{}
	for _, a := range all {
		if a.fits(c, of) {
			out = append(out, wire.M{"Key": a.key, "Value": a.get(c, of)})
		}
	}
	return out
}

func (a attribute[T]) fits(c *call, of T) bool {
	kind := kindOf(c, of)
	return a.of == nil || kind == "" || slices.Contains(a.of, kind)
}

// kindOf is the type of the load balancer that something is or belongs to.
func kindOf(c *call, of any) topology.LoadBalancerType {
	switch v := of.(type) {
	case *topology.LoadBalancer:
		return v.Type
	case *topology.ServerGroup:
		if v.Protocol.IsHTTP() {
			return topology.ALB
		}
		return topology.NLB
	case *heard:
		return v.balancer.Type
	}
	return ""
}

// setAttributes sets all or none. What is set together is taken in the order of the
// attributes, in which an attribute is before the one that switches it on.
func setAttributes[T any](c *call, all []attribute[T], of T, wanted []tag) error {
	place := func(w tag) int { return slices.IndexFunc(all, func(a attribute[T]) bool { return a.key == w.Key }) }
	slices.SortStableFunc(wanted, func(a, b tag) int { return place(a) - place(b) })
	var edits []topology.Edit
	for _, w := range wanted {
		i := slices.IndexFunc(all, func(a attribute[T]) bool { return a.key == w.Key && a.fits(c, of) })
		if i < 0 {
			return wire.Errorf("ValidationError", "The attribute key '%s' is not recognized", w.Key)
		}
		a := all[i]
		if a.get(c, of) == w.Value {
			continue
		}
		if a.set == nil {
			return wire.Errorf("UnsupportedOperation", "In a lab the attribute '%s' is %q, and not %q", w.Key,
				a.get(c, of), w.Value)
		}
		if a.why != "" {
			c.Ignored = append(c.Ignored, a.key+": "+a.why)
		}
		more, err := a.set(c, of, w.Value)
		if err != nil {
			return err
		}
		edits = append(edits, more...)
	}
	return c.Edit(edits...)
}

// fixed is an attribute with one value.
func fixed[T any](key, value string, of ...topology.LoadBalancerType) attribute[T] {
	return attribute[T]{key: key, of: of, usual: value, get: func(*call, T) string { return value }}
}

// kept is an attribute that changes nothing, for a reason.
func kept[T any](key, usual, why string, of ...topology.LoadBalancerType) attribute[T] {
	return attribute[T]{key: key, of: of, usual: usual, why: why,
		get: func(c *call, o T) string { return c.meant(o, key, usual) },
		set: func(c *call, o T, v string) ([]topology.Edit, error) {
			_, err := parseBool(key, v)
			if err == nil {
				c.mean(o, key, v)
			}
			return nil, err
		}}
}

func seconds(d time.Duration) string { return strconv.Itoa(int(d / time.Second)) }

func isTrue(b bool) string { return strconv.FormatBool(b) }

// parse* read the values of attributes.

func parseBool(key, text string) (bool, error) {
	switch text {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, wire.Errorf("ValidationError", "The value '%s' of '%s' must be true or false", text, key)
}

func parseNumber(key, text string, least, most int) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, wire.Errorf("ValidationError", "The value '%s' of '%s' must be from %d to %d", text, key, least, most)
	}
	return n, nil
}

// at is an edit of a key of an object; a nil value takes it away.
func at(v any, path ...string) []topology.Edit {
	e := topology.Edit{Path: topology.JoinPath(path...)}
	if v != nil {
		e.Value = text(v)
	}
	return []topology.Edit{e}
}

// Attributes that are kept while what they are of is switched off.
const (
	cookieDuration  = "stickiness.lb_cookie.duration_seconds"
	idleTimeout     = "idle_timeout.timeout_seconds" // of a load balancer that has no listener yet
	headerPlacement = "proxy_protocol_v2.client_to_server.header_placement"
)

// mean notes the value of an attribute that nothing else keeps, and meant is that value.
func (c *call) mean(of any, key, value string) {
	c.Change(c.arnOfAny(of), func(t *cloudapi.Thing) { t.Notes[key] = value })
}

func (c *call) meant(of any, key, usual string) string {
	return cmp.Or(c.Record.Note(c.arnOfAny(of), key), usual)
}

// arnOfAny is the ARN of what has attributes.
func (c *call) arnOfAny(of any) string {
	switch v := of.(type) {
	case *topology.LoadBalancer:
		return c.balancerARN(v)
	case *topology.ServerGroup:
		return balancing{c}.groupARN(v)
	case *heard:
		return balancing{c}.listenerARN(v)
	}
	panic(fmt.Sprintf("a %T has no attributes", of))
}

const deletionProtection = "deletion_protection.enabled"

func balancerPath(l *topology.LoadBalancer, keys ...string) []string {
	return append([]string{"load_balancers", l.Name}, keys...)
}

func groupPath(g *topology.ServerGroup, keys ...string) []string {
	return append([]string{"server_groups", g.Name}, keys...)
}

var nlbAlone, albAlone = []topology.LoadBalancerType{topology.NLB}, []topology.LoadBalancerType{topology.ALB}

var balancerAttributes = []attribute[*topology.LoadBalancer]{
	{
		key: "load_balancing.cross_zone.enabled",
		get: func(_ *call, l *topology.LoadBalancer) string { return isTrue(l.CrossZone) },
		set: func(_ *call, l *topology.LoadBalancer, v string) ([]topology.Edit, error) {
			on, err := parseBool("load_balancing.cross_zone.enabled", v)
			return at(on, balancerPath(l, "cross_zone")...), err
		},
	},
	{
		key: deletionProtection,
		get: func(c *call, l *topology.LoadBalancer) string {
			return c.meant(l, deletionProtection, "false")
		},
		set: func(c *call, l *topology.LoadBalancer, v string) ([]topology.Edit, error) {
			if _, err := parseBool(deletionProtection, v); err != nil {
				return nil, err
			}
			c.mean(l, deletionProtection, v)
			return nil, nil
		},
	},
	fixed[*topology.LoadBalancer]("access_logs.s3.enabled", "false"),
	fixed[*topology.LoadBalancer]("access_logs.s3.bucket", ""),
	fixed[*topology.LoadBalancer]("access_logs.s3.prefix", ""),
	fixed[*topology.LoadBalancer]("ipv6.deny_all_igw_traffic", "false"),
	fixed[*topology.LoadBalancer]("zonal_shift.config.enabled", "false"),
	fixed[*topology.LoadBalancer]("dns_record.client_routing_policy", "any_availability_zone", topology.NLB),
	{
		key: "secondary_ips.auto_assigned.per_subnet", of: nlbAlone,
		get: func(_ *call, l *topology.LoadBalancer) string { return strconv.Itoa(l.SecondaryIPs) },
		set: func(_ *call, l *topology.LoadBalancer, v string) ([]topology.Edit, error) {
			n, err := parseNumber("secondary_ips.auto_assigned.per_subnet", v, 0, 7)
			return at(n, balancerPath(l, "secondary_ips")...), err
		},
	},
	{
		key: idleTimeout, of: albAlone,
		get: func(c *call, l *topology.LoadBalancer) string {
			for _, listener := range l.Listeners {
				return seconds(listener.IdleTimeout)
			}
			return c.meant(l, idleTimeout, seconds(c.Plan.Profile.HTTP.Idle))
		},
		set: func(c *call, l *topology.LoadBalancer, v string) (edits []topology.Edit, _ error) {
			n, err := parseNumber(idleTimeout, v, 1, 4000)
			if err != nil {
				return nil, err
			}
			c.mean(l, idleTimeout, v) // for listeners that come later
			for i := range l.Listeners {
				edits = append(edits, at(fmt.Sprintf("%ds", n), balancerPath(l, "listeners",
					listenerPart(&l.Listeners[i]), "idle_timeout")...)...)
			}
			return edits, nil
		},
	},
	kept[*topology.LoadBalancer]("routing.http2.enabled", "true",
		"a lab's listeners speak HTTP/1.1, on which clients of HTTP/2 agree with them", topology.ALB),
	fixed[*topology.LoadBalancer]("routing.http.desync_mitigation_mode", "defensive", topology.ALB),
	fixed[*topology.LoadBalancer]("routing.http.drop_invalid_header_fields.enabled", "false", topology.ALB),
	kept[*topology.LoadBalancer]("routing.http.preserve_host_header.enabled", "false",
		"servers get the Host header as the client sent it", topology.ALB),
	fixed[*topology.LoadBalancer]("routing.http.xff_client_port.enabled", "false", topology.ALB),
	fixed[*topology.LoadBalancer]("routing.http.xff_header_processing.mode", "append", topology.ALB),
	fixed[*topology.LoadBalancer]("routing.http.x_amzn_tls_version_and_cipher_suite.enabled", "false", topology.ALB),
	fixed[*topology.LoadBalancer]("waf.fail_open.enabled", "false", topology.ALB),
	fixed[*topology.LoadBalancer]("connection_logs.s3.enabled", "false", topology.ALB),
	fixed[*topology.LoadBalancer]("client_keep_alive.seconds", "3600", topology.ALB),
}

var groupAttributes = []attribute[*topology.ServerGroup]{
	{
		key: "deregistration_delay.timeout_seconds",
		get: func(_ *call, g *topology.ServerGroup) string { return seconds(g.Deregistration.Delay) },
		set: func(_ *call, g *topology.ServerGroup, v string) ([]topology.Edit, error) {
			n, err := parseNumber("deregistration_delay.timeout_seconds", v, 0, 3600)
			return at(fmt.Sprintf("%ds", n), groupPath(g, "deregistration", "delay")...), err
		},
	},
	{
		key: "deregistration_delay.connection_termination.enabled", of: nlbAlone,
		get: func(_ *call, g *topology.ServerGroup) string { return isTrue(g.Deregistration.Terminate) },
		set: func(_ *call, g *topology.ServerGroup, v string) ([]topology.Edit, error) {
			on, err := parseBool("deregistration_delay.connection_termination.enabled", v)
			return at(on, groupPath(g, "deregistration", "terminate")...), err
		},
	},
	{
		key: "target_health_state.unhealthy.connection_termination.enabled", of: nlbAlone,
		get: func(_ *call, g *topology.ServerGroup) string { return isTrue(g.Unhealthy.Terminate) },
		set: func(_ *call, g *topology.ServerGroup, v string) ([]topology.Edit, error) {
			on, err := parseBool("target_health_state.unhealthy.connection_termination.enabled", v)
			return at(on, groupPath(g, "unhealthy", "terminate")...), err
		},
	},
	{
		key: "target_health_state.unhealthy.draining_interval_seconds", of: nlbAlone,
		get: func(_ *call, g *topology.ServerGroup) string { return seconds(g.Unhealthy.Delay) },
		set: func(_ *call, g *topology.ServerGroup, v string) ([]topology.Edit, error) {
			n, err := parseNumber("target_health_state.unhealthy.draining_interval_seconds", v, 0, 360000)
			return at(fmt.Sprintf("%ds", n), groupPath(g, "unhealthy", "delay")...), err
		},
	},
	{
		key: "load_balancing.cross_zone.enabled",
		get: func(_ *call, g *topology.ServerGroup) string {
			if g.CrossZone == nil {
				return "use_load_balancer_configuration"
			}
			return isTrue(*g.CrossZone)
		},
		set: func(_ *call, g *topology.ServerGroup, v string) ([]topology.Edit, error) {
			if v == "use_load_balancer_configuration" {
				return at(nil, groupPath(g, "cross_zone")...), nil
			}
			on, err := parseBool("load_balancing.cross_zone.enabled", v)
			return at(on, groupPath(g, "cross_zone")...), err
		},
	},
	{
		key: headerPlacement, of: nlbAlone,
		get: func(c *call, g *topology.ServerGroup) string {
			if g.ProxyProtocol != "" {
				return string(g.ProxyProtocol)
			}
			return c.meant(g, headerPlacement, string(topology.OnFirstPayload))
		},
		set: func(c *call, g *topology.ServerGroup, v string) ([]topology.Edit, error) {
			if v != string(topology.OnFirstAck) && v != string(topology.OnFirstPayload) {
				return nil, wire.Errorf("ValidationError",
					"The header placement '%s' must be on_first_ack_with_payload or on_first_ack", v)
			}
			c.mean(g, headerPlacement, v)
			if g.ProxyProtocol == "" {
				return nil, nil
			}
			return at(v, groupPath(g, "proxy_protocol")...), nil
		},
	},
	{
		key: "proxy_protocol_v2.enabled", of: nlbAlone,
		get: func(_ *call, g *topology.ServerGroup) string { return isTrue(g.ProxyProtocol != "") },
		set: func(c *call, g *topology.ServerGroup, v string) ([]topology.Edit, error) {
			on, err := parseBool("proxy_protocol_v2.enabled", v)
			if on {
				return at(c.meant(g, headerPlacement, string(topology.OnFirstPayload)),
					groupPath(g, "proxy_protocol")...), err
			}
			return at(nil, groupPath(g, "proxy_protocol")...), err
		},
	},
	fixed[*topology.ServerGroup]("preserve_client_ip.enabled", "true", topology.NLB),
	{
		key: cookieDuration, of: albAlone,
		get: func(c *call, g *topology.ServerGroup) string {
			if g.Persistence != nil {
				return seconds(g.Persistence.Timeout)
			}
			return c.meant(g, cookieDuration, seconds(c.Plan.Profile.HTTP.Persistence.Timeout))
		},
		set: func(c *call, g *topology.ServerGroup, v string) ([]topology.Edit, error) {
			n, err := parseNumber(cookieDuration, v, 1, 604800)
			if err != nil {
				return nil, err
			}
			c.mean(g, cookieDuration, v)
			if g.Persistence == nil {
				return nil, nil
			}
			return at(fmt.Sprintf("%ds", n), groupPath(g, "persistence", "timeout")...), nil
		},
	},
	{
		key: "stickiness.enabled",
		get: func(_ *call, g *topology.ServerGroup) string { return isTrue(sticky(g)) },
		set: func(c *call, g *topology.ServerGroup, v string) ([]topology.Edit, error) {
			on, err := parseBool("stickiness.enabled", v)
			switch {
			case g.Protocol.IsHTTP() && on:
				usual := seconds(c.Plan.Profile.HTTP.Persistence.Timeout)
				return at(value{"mode": "insert", "timeout": c.meant(g, cookieDuration, usual) + "s"},
					groupPath(g, "persistence")...), err
			case g.Protocol.IsHTTP():
				return at(nil, groupPath(g, "persistence")...), err
			case on:
				return at("sch", groupPath(g, "scheduler")...), err
			}
			return at(nil, groupPath(g, "scheduler")...), err
		},
	},
	{key: "stickiness.type", get: func(_ *call, g *topology.ServerGroup) string {
		if g.Protocol.IsHTTP() {
			return "lb_cookie"
		}
		return "source_ip"
	}},
	{
		key: "slow_start.duration_seconds", of: albAlone,
		get: func(_ *call, g *topology.ServerGroup) string { return seconds(g.SlowStart) },
		set: func(_ *call, g *topology.ServerGroup, v string) ([]topology.Edit, error) {
			n, err := parseNumber("slow_start.duration_seconds", v, 0, 900)
			return at(fmt.Sprintf("%ds", n), groupPath(g, "slow_start")...), err
		},
	},
	{
		key: "load_balancing.algorithm.type", of: albAlone,
		get: func(_ *call, g *topology.ServerGroup) string {
			if g.Scheduler == topology.Scheduler("wlc") {
				return "least_outstanding_requests"
			}
			return "round_robin"
		},
		set: func(_ *call, g *topology.ServerGroup, v string) ([]topology.Edit, error) {
			scheduler := map[string]string{"round_robin": "rr", "least_outstanding_requests": "wlc"}[v]
			if scheduler == "" {
				return nil, wire.Errorf("UnsupportedOperation", "plinksim has no algorithm '%s'", v)
			}
			return at(scheduler, groupPath(g, "scheduler")...), nil
		},
	},
	fixed[*topology.ServerGroup]("target_group_health.dns_failover.minimum_healthy_targets.count", "1"),
	fixed[*topology.ServerGroup]("target_group_health.dns_failover.minimum_healthy_targets.percentage", "off"),
	fixed[*topology.ServerGroup]("target_group_health.unhealthy_state_routing.minimum_healthy_targets.count", "1"),
	fixed[*topology.ServerGroup]("target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage",
		"off"),
}

func sticky(g *topology.ServerGroup) bool {
	if g.Protocol.IsHTTP() {
		return g.Persistence != nil
	}
	return g.Scheduler == topology.Scheduler("sch")
}

var listenerAttributes = []attribute[*heard]{
	{
		key: "tcp.idle_timeout.seconds", of: nlbAlone,
		get: func(_ *call, h *heard) string { return seconds(h.IdleTimeout) },
		set: func(_ *call, h *heard, v string) ([]topology.Edit, error) {
			n, err := parseNumber("tcp.idle_timeout.seconds", v, 60, 6000)
			if err == nil && h.Protocol != topology.TCP {
				err = wire.Errorf("InvalidConfigurationRequest", "tcp.idle_timeout.seconds is of TCP listeners")
			}
			return at(fmt.Sprintf("%ds", n), balancerPath(h.balancer, "listeners", listenerPart(h.Listener),
				"idle_timeout")...), err
		},
	},
	fixed[*heard]("routing.http.response.server.enabled", "true", topology.ALB),
}
