package topofile

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/plinksim/plinksim/internal/spell"
	"github.com/plinksim/plinksim/pkg/topology"
)

// checkBuilder builds checks.
type checkBuilder struct{ *draft }

func (b checkBuilder) build() {
	for _, raw := range b.raw.Checks.Items {
		if raw.Node != nil {
			b.check(raw)
		}
	}
}

func (b checkBuilder) check(raw rawCheck) {
	who := fmt.Sprintf("check %q", raw.Name.V)
	c := topology.Check{
		Name:    raw.Name.V,
		Times:   raw.Times.or(1),
		Timeout: b.span(who, "timeout", raw.Timeout, checkTimeout, 10*time.Millisecond, maxCheckTimeout),
		Expect:  topology.Expect{Status: raw.Expect.Status.V, Error: raw.Expect.Error.V},

		Send:       b.expanded(who, raw.Send),
		Idle:       b.span(who, "idle", raw.Idle, 0, time.Millisecond, 24*time.Hour),
		ServerName: b.expanded(who, raw.ServerName),
		Parallel:   raw.Parallel.or(1),
	}
	c.Expect.Within = b.span(who, "expect.within", raw.Expect.Within, 0, time.Millisecond, maxCheckTimeout)
	c.Expect.After = b.span(who, "expect.after", raw.Expect.After, 0, time.Millisecond, maxCheckTimeout)
	action, ok := b.action(who, raw)
	if !ok {
		return
	}
	switch action {
	case "get":
		c.Get = b.expanded(who, raw.Get)
		b.getURL(who, raw.Get, c.Get)
	case "connect":
		c.Connect = b.expanded(who, raw.Connect)
		b.hostPort(who, raw.Connect, c.Connect)
	case "udp":
		c.UDP = b.expanded(who, raw.UDP)
		b.hostPort(who, raw.UDP, c.UDP)
	case "resolve":
		c.Resolve = b.expanded(who, raw.Resolve)
	case "accept", "reject":
		c.Do = b.decision(who, action, raw)
	case "do":
		c.Do = operationBuilder(b).operation(who, raw.Do, raw.Expect.Error.given())
	}
	b.from(who, action, raw, &c)
	b.expect(who, action, raw, &c)
	b.plan.Checks = append(b.plan.Checks, c)
}

// action is what a check does, which must be one thing.
func (b checkBuilder) action(who string, raw rawCheck) (string, bool) {
	var found []string
	for _, a := range []struct {
		key   string
		given bool
	}{
		{"get", raw.Get.given() || raw.Get.Bad},
		{"connect", raw.Connect.given() || raw.Connect.Bad},
		{"udp", raw.UDP.given() || raw.UDP.Bad},
		{"resolve", raw.Resolve.given() || raw.Resolve.Bad},
		{"accept", raw.Accept != nil},
		{"reject", raw.Reject != nil},
		{"do", raw.Do != nil},
	} {
		if a.given {
			found = append(found, a.key)
		}
	}
	switch len(found) {
	case 0:
		b.problem(raw.Node, "add one of get, connect, udp, resolve, accept, reject and do", "%s does nothing", who)
		return "", false
	case 1:
		return found[0], true
	}
	b.problem(raw.Node, "make a check of each", "%s does several things: %s", who, strings.Join(found, " and "))
	return "", false
}

// from is the instance that a check runs on; operations run on none.
func (b checkBuilder) from(who, action string, raw rawCheck, c *topology.Check) {
	if c.Do != nil {
		for _, extra := range []struct {
			key  string
			node *yaml.Node
		}{{"from", raw.From.Node}, {"times", raw.Times.Node}, {"timeout", raw.Timeout.Node}} {
			if extra.node != nil {
				b.problem(extra.node, "remove it", "%s: %s has no %s", who, action, extra.key)
			}
		}
		return
	}
	if in := refer(b.draft, who, raw.From, b.plan.Instance); in != nil {
		c.From = in.Ref()
	}
	if !raw.From.given() && !raw.From.Bad {
		b.problem(raw.Node, "add from: and an instance", "%s does not say from where", who)
	}
}

const (
	checkTimeout    = 5 * time.Second // of a check that names none: longer than a lost SYN's first two repetitions
	maxCheckTimeout = 10 * time.Minute
)

func (b checkBuilder) getURL(who string, v value[string], text string) {
	if !v.given() || len(b.problems) > 0 {
		return
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "":
		b.problem(v.Node, `write it like "http://${ep1}/"`, "%s: %q is not a URL", who, v.V)
	case !topology.Protocol(u.Scheme).IsHTTP():
		b.problem(v.Node, "write http:// or https://", "%s: get speaks http and https, not %s", who, u.Scheme)
	}
}

func (b checkBuilder) hostPort(who string, v value[string], text string) {
	if !v.given() || len(b.problems) > 0 {
		return
	}
	host, port, err := net.SplitHostPort(text)
	n, numErr := strconv.ParseUint(port, 10, 16)
	if err != nil || numErr != nil || host == "" || n == 0 {
		b.problem(v.Node, `write it like "${ep1}:80"`, "%s: %q is not HOST:PORT", who, v.V)
	}
}

// decision is the operation that accept and reject are short for.
func (b checkBuilder) decision(who, verb string, raw rawCheck) *topology.Operation {
	ref := raw.Accept
	if verb == "reject" {
		ref = raw.Reject
	}
	if !raw.Expect.Error.given() {
		words := map[string]value[string]{"service": ref.Service, "endpoint": ref.Endpoint}
		operationBuilder(b).names(who, func(key string) value[string] { return words[key] })
	}
	return &topology.Operation{Verb: topology.Verb(verb), Service: ref.Service.V, Endpoint: ref.Endpoint.V}
}

// expect reads what must come out and notes what an action cannot do or show.
func (b checkBuilder) expect(who, action string, raw rawCheck, c *topology.Check) {
	only := func(node *yaml.Node, key string, actions ...string) {
		if node != nil && !slices.Contains(actions, action) {
			b.problem(node, "", "%s: %s is for %s, not for %s", who, key, strings.Join(actions, " and "), action)
		}
	}
	only(raw.Send.Node, "send", "connect", "udp")
	only(raw.Idle.Node, "idle", "connect", "udp")
	only(raw.ServerName.Node, "server_name", "get", "connect")
	only(raw.Parallel.Node, "parallel", "get", "connect", "udp")
	only(raw.Expect.Status.Node, "expect.status", "get")
	only(raw.Expect.Bodies.Node, "expect.bodies", "get", "connect", "udp")
	only(raw.Expect.Addresses.Node, "expect.addresses", "resolve")
	only(raw.Expect.Within.Node, "expect.within", "get", "connect", "udp")
	only(raw.Expect.After.Node, "expect.after", "get", "connect", "udp")
	if (c.Idle > 0 || action == "udp") && c.Send == "" {
		b.problem(raw.Node, "add send: and a line", "%s says nothing that could be answered", who)
	}
	if err := raw.Expect.Error; err.given() && err.V != "any" &&
		(c.Do != nil) != slices.Contains(topology.Refusals(), err.V) {
		b.problem(err.Node, "write "+spell.Either(errorsOf(c)), "%s: %s cannot end in %s", who, action, err.V)
	}
	if raw.Expect.Error.given() &&
		(raw.Expect.Status.given() || raw.Expect.Bodies.Node != nil || raw.Expect.Addresses.Node != nil) {
		b.problem(raw.Expect.Error.Node, "expect one or the other", "%s expects an error and an answer", who)
	}
	for _, body := range raw.Expect.Bodies.Items {
		c.Expect.Bodies = append(c.Expect.Bodies, b.expanded(who, body))
	}
	if n := len(c.Expect.Bodies); n > c.Times {
		b.problem(raw.Expect.Bodies.Node, fmt.Sprintf("add times: %d or more", n),
			"%s: %d bodies must come at least once each, and it is done %s", who, n, times(c.Times))
	}
	for _, address := range raw.Expect.Addresses.Items {
		c.Expect.Addresses = append(c.Expect.Addresses, b.expectedAddress(who, address))
	}
}

// errorsOf are the errors in which a check may end.
func errorsOf(c *topology.Check) []string {
	if c.Do != nil {
		return append(topology.Refusals(), "any")
	}
	return []string{"timeout", "refused", "reset", "certificate", "any"}
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

func (b checkBuilder) expectedAddress(who string, v value[string]) string {
	text := b.expanded(who, v)
	if _, err := netip.ParseAddr(text); err != nil && v.given() && len(b.problems) == 0 {
		b.problem(v.Node, `write an address, or a reference such as "${ep1.ip}"`, "%s: %q is not an address", who, v.V)
	}
	return text
}
