package test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/plinktest"
)

// machines is a topology in which much is refused, by everything that can.
const machines = `
name: machines
cloud: aws
region: eu-west-1
accounts: [a, b]
vpcs:
  shop:
    account: a
    cidr: 10.0.0.0/16
    ipv6_cidr: "2001:db8:1::/56"
    subnets:
      a: {zone: eu-west-1a, cidr: 10.0.1.0/24, ipv6_cidr: "2001:db8:1:1::/64"}
      b: {zone: eu-west-1b, cidr: 10.0.2.0/24, ipv6_cidr: "2001:db8:1:2::/64"}
    security_groups:
      default: {ingress: [{protocol: all, source: 10.0.0.0/16}, {protocol: all, source: "2001:db8:1::/56"}]}
      web:
        ingress:
          - {protocol: tcp, ports: 80, source: 10.0.1.0/24}
          - {protocol: tcp, ports: 80, source: "2001:db8:1:1::/64"}
          - {protocol: udp, ports: 7, source: 10.0.0.0/16}
        egress: [{protocol: tcp, ports: 80-90, destination: 10.0.0.0/16}]
    instances:
      open: {subnet: a, ip: 10.0.1.10, services: [{http: 80, body: "open {client}"}, {echo: 7}]}
      web: {subnet: b, ip: 10.0.2.10, security_groups: [web], services: [{http: 80, body: "web {client}"}, {http: 81}, {echo: 7}]}
      far: {subnet: b, ip: 10.0.2.11}
  data:
    account: b
    cidr: 10.0.0.0/16
    subnets: {a: {zone: eu-west-1a, cidr: 10.0.1.0/24}}
    security_groups: {default: {ingress: [{protocol: all, source: 10.0.0.0/16}]}}
    instances:
      db: {subnet: a, ip: 10.0.1.10, services: [{http: 80, body: "db {client}"}, {echo: 7}]}
      none: {subnet: a, ip: 10.0.1.11}
server_groups:
  db: {vpc: data, protocol: tcp, servers: [{instance: db, port: 80}]}
  udp: {vpc: data, protocol: udp, servers: [{instance: db, port: 7}], health_check: {port: 80}}
load_balancers:
  nlb:
    type: nlb
    vpc: data
    subnets: [a]
    listeners: [{protocol: tcp, port: 80, server_group: db}, {protocol: udp, port: 7, server_group: udp}]
endpoint_services:
  data: {resources: [nlb], whitelist: [a]}
endpoints:
  ep: {service: data, vpc: shop, subnets: [a]}
`

// attempts are what programs try, in this order: FROM tcp|udp|name TO, or an
// operation. One alone goes where there is no route: a kernel limits how many ICMP
// errors it sends to a host.
var attempts = []string{
	"open tcp web.shop.internal:80", "far tcp 10.0.2.10:80", "open tcp 10.0.2.10:81", "open tcp 10.0.2.11:80",
	"open tcp [web6]:80", "open tcp [open6]:80", "far tcp [web6]:80", "far tcp [open6]:80",
	"open udp 10.0.2.10:7", "far udp 10.0.2.10:7", "open udp 10.0.2.11:7", "web udp 10.0.1.10:7",
	"web tcp 10.0.1.10:80", "web tcp [open6]:80", "web name open.shop.internal", "web name nowhere.shop.internal",
	"open tcp 10.0.77.1:80", "open tcp 10.0.2.77:80", "open tcp 127.0.0.1:80",
	"open tcp ep:80", "open udp ep:7", "open name ep",
	"accept", "open tcp ep:80", "far tcp ep:80", "web tcp ep:80", "open tcp ep:81", "open udp ep:7", "open name ep",
	"db tcp 10.0.1.10:80", "none tcp 10.0.1.10:80", "none tcp 10.0.2.10:80",
	"reject", "open tcp ep:80", "open udp ep:7",
}

// try says in a word what an attempt came to.
func try(t *testing.T, l *plinktest.Lab, attempt string) string {
	words := strings.Fields(attempt)
	if len(words) == 1 {
		if attempt == "accept" {
			l.Accept("data", "ep")
		} else {
			l.Reject("data", "ep")
		}
		return "done"
	}
	from, to, patience := l.Instance(words[0]), words[2], 1500*time.Millisecond
	if to == "10.0.2.77:80" { // that nobody has: ARP asks three times
		patience = 10 * time.Second
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, name := range []string{"web", "open"} {
		in, err := l.Plan().Instance(name)
		require.NoError(t, err)
		to = strings.Replace(to, name+"6", in.IPv6.String(), 1)
	}
	if rest, ok := strings.CutPrefix(to, "ep"); ok {
		to = l.Name("ep") + rest
	}
	if words[1] == "name" {
		addrs, err := from.Resolver().LookupHost(ctx, to)
		var missing *net.DNSError
		if errors.As(err, &missing) && missing.IsNotFound {
			return "no such name"
		}
		slices.Sort(addrs)
		return fmt.Sprint(addrs, err)
	}
	conn, err := from.DialContext(ctx, words[1], to)
	if err != nil {
		return kind(err)
	}
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(500*time.Millisecond)))
	if words[1] == "udp" {
		if _, err := conn.Write([]byte("hello")); err != nil {
			return kind(err)
		}
		b := make([]byte, 10)
		n, err := conn.Read(b)
		return string(b[:n]) + kind(err)
	}
	if _, err := conn.Write([]byte("GET / HTTP/1.0\r\n\r\n")); err != nil {
		return kind(err)
	}
	answer, err := io.ReadAll(conn)
	_, body, _ := strings.Cut(string(answer), "\r\n\r\n")
	return strings.TrimSpace(body) + kind(err)
}

func kind(err error) string {
	var timeout net.Error
	switch {
	case err == nil:
		return ""
	case errors.Is(err, syscall.EPERM): // the kernel tells a program that its own group denies
		return "timeout"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	}
	for _, number := range []syscall.Errno{
		syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.ENETUNREACH, syscall.EHOSTUNREACH,
	} {
		if errors.Is(err, number) {
			return number.Error()
		}
	}
	return err.Error()
}

// story is what all attempts came to.
func story(t *testing.T, options ...plinktest.Option) (lines []string) {
	l := plinktest.UpText(t, machines, options...)
	for _, attempt := range attempts {
		lines = append(lines, attempt+": "+try(t, l, attempt))
	}
	return lines
}

// A test in one process may not say what a test in the kernel contradicts: who is
// reached, whom servers see, which error it is, what names lead to.
func TestBothMachinesTellTheSameStory(t *testing.T) {
	t.Parallel()
	plinktest.Require(t)
	var inProcess []string
	synctest.Test(t, func(t *testing.T) { inProcess = story(t, plinktest.InProcess()) })
	require.Equal(t, story(t), inProcess)
}
