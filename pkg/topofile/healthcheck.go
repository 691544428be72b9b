package topofile

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
	"go.yaml.in/yaml/v3"

	"github.com/plinksim/plinksim/pkg/topology"
)

// healthCheckBuilder builds the health checks of server groups.
type healthCheckBuilder struct{ *draft }

// check is the cloud's default with what the file says about it.
func (b healthCheckBuilder) check(who string, group topology.ServerGroup, all rawServerGroup) topology.HealthCheck {
	raw := all.HealthCheck
	protocol := topology.Protocol(raw.Protocol.V)
	if protocol == "" && hasALB(all) {
		protocol = topology.HTTP
	}
	check := b.defaults(group, protocol)
	if check.Protocol == topology.UDP && !b.can.UDPChecks && raw.Protocol.given() {
		b.problem(raw.Protocol.Node, "write protocol: tcp, http or none",
			"%s: %s has no health checks by udp", who, b.plan.Cloud)
	}
	check.Port = uint16(raw.Port.V)
	check.Interval = b.span(who, "health check interval", raw.Interval, check.Interval, 10*time.Millisecond,
		5*time.Minute)
	check.Timeout = b.span(who, "health check timeout", raw.Timeout, check.Timeout, 10*time.Millisecond, 5*time.Minute)
	check.Healthy = raw.Healthy.or(check.Healthy)
	check.Unhealthy = raw.Unhealthy.or(check.Unhealthy)
	b.withinBounds(who, raw)
	b.http(who, &check, raw)
	b.only(who, topology.UDP, check.Protocol, "request", raw.Request.Node)
	b.only(who, topology.UDP, check.Protocol, "response", raw.Response.Node)
	check.Request, check.Response = raw.Request.V, raw.Response.V
	check.ProxyHeader = b.proxied(group, check)
	return check
}

// defaults is how servers of a group are probed where the file says
// nothing. protocol is that of the check, or "" for the usual one.
func (b healthCheckBuilder) defaults(group topology.ServerGroup, protocol topology.Protocol) topology.HealthCheck {
	if protocol == "" {
		protocol = b.usual(group.Protocol)
	}
	if protocol == topology.NoProtocol {
		return topology.HealthCheck{Protocol: topology.NoProtocol}
	}
	for _, balancer := range []topology.LoadBalancerType{b.balancerOf[group.Name], topology.CLB, topology.NLB} {
		if check, ok := healthDefaults[b.plan.Cloud][checkKey{balancer, protocol}]; ok {
			return check
		}
	}
	return healthDefaults[topology.RFC][checkKey{topology.CLB, protocol}]
}

// usual is the protocol by which the servers of a group are probed. AWS
// probes those of UDP groups by TCP (User Guide for Network Load Balancers,
// "Health checks for target groups").
func (b healthCheckBuilder) usual(group topology.Protocol) topology.Protocol {
	switch {
	case group == topology.UDP && b.can.UDPChecks:
		return topology.UDP
	case group.IsHTTP():
		return topology.HTTP
	}
	return topology.TCP
}

func (b healthCheckBuilder) http(who string, check *topology.HealthCheck, raw rawHealthCheck) {
	b.only(who, topology.HTTP, check.Protocol, "method", raw.Method.Node)
	b.only(who, topology.HTTP, check.Protocol, "path", raw.Path.Node)
	b.only(who, topology.HTTP, check.Protocol, "host", raw.Host.Node)
	b.only(who, topology.HTTP, check.Protocol, "codes", raw.Codes.Node)
	check.Method = raw.Method.or(check.Method)
	check.Path = raw.Path.or(check.Path)
	check.Host = raw.Host.V
	if raw.Path.given() && (!strings.HasPrefix(raw.Path.V, "/") || strings.ContainsAny(raw.Path.V, " \t\r\n")) {
		b.problem(raw.Path.Node, "write a path such as /health",
			"%s: health check path %q does not begin with / or has blanks", who, raw.Path.V)
	}
	if raw.Host.given() && (raw.Host.V == "" || strings.ContainsAny(raw.Host.V, " /\t\r\n")) {
		b.problem(raw.Host.Node, "write a name such as www.example.com",
			"%s: health check host %q is not a name", who, raw.Host.V)
	}
	if raw.Codes.given() {
		check.Codes = b.codes(who, raw.Codes)
	}
}

// codes writes all forms of codes in one.
func (b healthCheckBuilder) codes(who string, raw codes) topology.Codes {
	var out []string
	for part := range strings.SplitSeq(strings.Join(raw.V, ","), ",") {
		if strings.TrimSpace(part) == "" {
			continue // a comma before a blank
		}
		first, last, ok := topology.CodeRange(part)
		switch {
		case !ok:
			b.problem(raw.Node, "write such as 200, 200-399 or http_2xx",
				"%s: health check codes: %q is not an HTTP status from 100 to 599, nor a range of them", who, part)
		case first == last:
			out = append(out, strconv.Itoa(first))
		default:
			out = append(out, fmt.Sprintf("%d-%d", first, last))
		}
	}
	return topology.Codes(strings.Join(out, ","))
}

// only notes a key that another kind of check has.
func (b healthCheckBuilder) only(who string, of, protocol topology.Protocol, key string, node *yaml.Node) {
	if node != nil && protocol != of {
		b.problem(node, fmt.Sprintf("write protocol: %s, or remove %s", of, key),
			"%s: %s is for health checks by %s, and this one is by %s", who, key, of, protocol)
	}
}

// withinBounds warns where the cloud would refuse a value, which is used all
// the same: a test need not wait as long as the cloud would.
func (b healthCheckBuilder) withinBounds(who string, raw rawHealthCheck) {
	bounds, ok := healthBounds[b.plan.Cloud]
	if !ok {
		return
	}
	warn := func(node *yaml.Node, key, value, least, most string) {
		b.warn(node, "it is used as it is",
			"%s: health check %s %s is outside what %s takes, %s to %s", who, key, value, b.plan.Cloud, least, most)
	}
	if v := raw.Interval; v.given() && outside(v.V, bounds.intervalMin, bounds.intervalMax) {
		warn(v.Node, "interval", short(v.V), short(bounds.intervalMin), short(bounds.intervalMax))
	}
	if v := raw.Timeout; v.given() && outside(v.V, bounds.timeoutMin, bounds.timeoutMax) {
		warn(v.Node, "timeout", short(v.V), short(bounds.timeoutMin), short(bounds.timeoutMax))
	}
	if v := raw.Healthy; v.given() && outside(v.V, bounds.thresholdMin, bounds.thresholdMax) {
		warn(v.Node, "healthy", strconv.Itoa(v.V), strconv.Itoa(bounds.thresholdMin), strconv.Itoa(bounds.thresholdMax))
	}
	if v := raw.Unhealthy; v.given() && outside(v.V, bounds.thresholdMin, bounds.thresholdMax) {
		warn(v.Node, "unhealthy",
			strconv.Itoa(v.V), strconv.Itoa(bounds.thresholdMin), strconv.Itoa(bounds.thresholdMax))
	}
}

// proxied says whether checks carry a PROXY header: at AWS they do where
// sessions do (User Guide for Network Load Balancers, "Edit target group
// attributes", Proxy Protocol).
func (b healthCheckBuilder) proxied(group topology.ServerGroup, check topology.HealthCheck) bool {
	if !b.can.HeaderInChecks || check.Protocol != topology.TCP && check.Protocol != topology.HTTP {
		return false
	}
	for _, lb := range b.raw.LoadBalancers.Entries {
		if slices.ContainsFunc(lb.Value.Listeners.Items, func(l rawListener) bool {
			return l.ServerGroup.V == group.Name && l.ProxyProtocol.given()
		}) {
			return true
		}
	}
	return false
}

// codes is one status or range of them, or a list.
type codes struct{ words }

func (codes) schema(t tag) *jsonschema.Schema {
	const code = `((http_)?[1-5]xx|[1-5][0-9][0-9](-[1-5][0-9][0-9])?)`
	const pattern = `^` + code + `(, *` + code + `)*$`
	return &jsonschema.Schema{
		Description: t.doc,
		Types:       []string{"integer", "string", "array"},
		Pattern:     pattern,
		Items:       &jsonschema.Schema{Types: []string{"integer", "string"}, Pattern: pattern},
	}
}

// checkKey is what a health check's defaults depend on.
type checkKey struct {
	balancer topology.LoadBalancerType
	protocol topology.Protocol
}

// healthDefaults are those of the clouds.
//
// Alibaba Cloud: Server Load Balancer API 2014-05-15,
// CreateLoadBalancerTCPListener, CreateLoadBalancerUDPListener (thresholds 3,
// timeouts 5 s and 10 s) and the CLB user guide, "Configure health checks"
// (intervals 2 s and 5 s; HEAD; 2xx and 3xx); Network Load Balancer API
// 2022-04-30, CreateServerGroup (interval and timeout 5 s, thresholds 2);
// Application Load Balancer API 2020-06-16, CreateServerGroup.
//
// AWS: User Guide for Network Load Balancers and for Application Load
// Balancers, "Health checks for target groups"; the user agent from "Health
// checks for Application Load Balancer target groups".
var healthDefaults = map[topology.Cloud]map[checkKey]topology.HealthCheck{
	topology.Alibaba: {
		{topology.CLB, topology.TCP}:  checkOf(topology.TCP, 2, 5, 3, 3),
		{topology.CLB, topology.UDP}:  checkOf(topology.UDP, 5, 10, 3, 3),
		{topology.CLB, topology.HTTP}: httpCheck(checkOf(topology.HTTP, 2, 5, 3, 3), "HEAD", "200-399", ""),
		{topology.NLB, topology.TCP}:  checkOf(topology.TCP, 5, 5, 2, 2),
		{topology.NLB, topology.UDP}:  checkOf(topology.UDP, 5, 5, 2, 2),
		{topology.NLB, topology.HTTP}: httpCheck(checkOf(topology.HTTP, 5, 5, 2, 2), "GET", "200-299", ""),
		{topology.ALB, topology.TCP}:  checkOf(topology.TCP, 2, 5, 3, 3),
		{topology.ALB, topology.HTTP}: httpCheck(checkOf(topology.HTTP, 2, 5, 3, 3), "HEAD", "200-299", ""),
	},
	topology.AWS: {
		{topology.NLB, topology.TCP}:  checkOf(topology.TCP, 30, 10, 5, 2),
		{topology.NLB, topology.HTTP}: httpCheck(checkOf(topology.HTTP, 30, 6, 5, 2), "GET", "200-399", awsAgent),
		{topology.ALB, topology.HTTP}: httpCheck(checkOf(topology.HTTP, 30, 5, 5, 2), "GET", "200", awsAgent),
	},
	// No cloud says; what is usual.
	topology.RFC: {
		{topology.CLB, topology.TCP}:  checkOf(topology.TCP, 2, 5, 3, 3),
		{topology.CLB, topology.UDP}:  checkOf(topology.UDP, 5, 10, 3, 3),
		{topology.CLB, topology.HTTP}: httpCheck(checkOf(topology.HTTP, 2, 5, 3, 3), "GET", "200-399", ""),
	},
}

const awsAgent = "ELB-HealthChecker/2.0"

func checkOf(protocol topology.Protocol, interval, timeout time.Duration, healthy, unhealthy int) topology.HealthCheck {
	return topology.HealthCheck{Protocol: protocol, Interval: interval * time.Second, Timeout: timeout * time.Second,
		Healthy: healthy, Unhealthy: unhealthy}
}

func httpCheck(check topology.HealthCheck, method string, codes topology.Codes, agent string) topology.HealthCheck {
	check.Method, check.Path, check.Codes, check.UserAgent = method, "/", codes, agent
	return check
}

// checkBounds is what a cloud takes, in seconds and results in a row. The
// sources are those of healthDefaults.
type checkBounds struct {
	intervalMin, intervalMax   time.Duration
	timeoutMin, timeoutMax     time.Duration
	thresholdMin, thresholdMax int
}

var healthBounds = map[topology.Cloud]checkBounds{
	topology.Alibaba: {time.Second, 50 * time.Second, time.Second, 300 * time.Second, 2, 10},
	topology.AWS:     {5 * time.Second, 300 * time.Second, 2 * time.Second, 120 * time.Second, 2, 10},
}

func outside[T cmp.Ordered](v, least, most T) bool { return v < least || v > most }
