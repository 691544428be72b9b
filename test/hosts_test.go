package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/labdir"
)

// overHosts is a service in two zones, each on a host, that is offered twice: by a load
// balancer that keeps to its zone, and by one that does not. Both VPCs have the same addresses,
// and an instance at each address of a server. Nothing is probed, so that what is between the
// hosts is what the test sends.
const overHosts = `
name: over-hosts
cloud: alibaba
region: r1
accounts: [shop, vendor]
hosts:
  a: {address: 198.18.0.1, zones: [r1-h]}
  b: {address: 198.18.0.2, zones: [r1-i]}
underlay: {mtu: 1550}
vpcs:
  shop:
    account: shop
    cidr: 10.0.0.0/16
    subnets: {h: {zone: r1-h, cidr: 10.0.1.0/24}, i: {zone: r1-i, cidr: 10.0.2.0/24}}
    instances:
      web-h: {subnet: h, ip: 10.0.1.10, services: [{http: 80}, {echo: 7}]}
      web-i: {subnet: i, ip: 10.0.2.10, services: [{http: 80}, {echo: 7}]}
  vendor:
    account: vendor
    cidr: 10.0.0.0/16
    subnets: {h: {zone: r1-h, cidr: 10.0.1.0/24}, i: {zone: r1-i, cidr: 10.0.2.0/24}}
    instances:
      api-h: {subnet: h, ip: 10.0.1.10, services: [{http: 80}]}
      api-i: {subnet: i, ip: 10.0.2.10, services: [{http: 80}]}
server_groups:
  near: {vpc: vendor, health_check: {protocol: none}, servers: [{instance: api-h, port: 80}, {instance: api-i, port: 80}]}
  far: {vpc: vendor, health_check: {protocol: none}, servers: [{instance: api-h, port: 80}, {instance: api-i, port: 80}]}
load_balancers:
  near: {type: nlb, vpc: vendor, subnets: [h, i], cross_zone: false, listeners: [{protocol: tcp, port: 80, server_group: near}]}
  far: {type: nlb, vpc: vendor, subnets: [h, i], cross_zone: true, listeners: [{protocol: tcp, port: 80, server_group: far}]}
endpoint_services:
  near: {resources: [near], auto_accept: true, zone_affinity: true, whitelist: [shop]}
  far: {resources: [far], auto_accept: true, zone_affinity: true, whitelist: [shop]}
endpoints:
  ep-near: {service: near, vpc: shop, subnets: {h: {ip: 10.0.1.200}, i: {ip: 10.0.2.200}}}
  ep-far: {service: far, vpc: shop, subnets: {h: {ip: 10.0.1.201}, i: {ip: 10.0.2.201}}}
checks:
  - {name: zone h has its own, from: web-h, get: "http://${ep-near}/", times: 4, expect: {bodies: [api-h]}}
  - {name: zone i has its own, from: web-i, get: "http://${ep-near}/", times: 4, expect: {bodies: [api-i]}}
  - {name: and both by the other load balancer, from: web-h, get: "http://${ep-far}/", times: 10, expect: {bodies: [api-h, api-i]}}
  - {name: from zone i too, from: web-i, get: "http://${ep-far}/", times: 10, expect: {bodies: [api-h, api-i]}}
  - {name: the interface in the other zone, from: web-h, get: "http://${ep-near@r1-i}/", expect: {bodies: [api-i]}}
  - {name: an instance of one's own VPC, from: web-h, get: "http://10.0.2.10/", expect: {bodies: [web-i]}}
  - {name: a packet as long as they get, from: web-h, udp: "10.0.2.10:7", send: "LONG", expect: {bodies: ["LONG"]}}
`

// hostMachine is a host of the test: a namespace with a card on the bridge between the hosts.
type hostMachine struct {
	t             *testing.T
	name          string // of the host in the topology
	netns         string
	bin, dir, lab string
}

func (h hostMachine) enter(program string, args ...string) (string, error) {
	cmd := exec.Command("nsenter", append([]string{"--net=/run/netns/" + h.netns, program}, args...)...)
	cmd.Env = append(os.Environ(), labdir.RootVariable+"="+h.dir)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// run is a command of the program on the host.
func (h hostMachine) run(args ...string) string {
	h.t.Helper()
	out, err := h.enter(h.bin, args...)
	require.NoError(h.t, err, "host %s: %v: %s", h.name, args, out)
	return out
}

// refused is what a command says that must fail.
func (h hostMachine) refused(args ...string) string {
	h.t.Helper()
	out, err := h.enter(h.bin, args...)
	require.Error(h.t, err, "host %s: %v: %s", h.name, args, out)
	return out
}

// kill ends the daemon, if one runs: a number that it wrote down may be another process's by now.
func (h hostMachine) kill() {
	h.t.Helper()
	require.NoError(h.t, labdir.Dir(filepath.Join(h.dir, h.lab)).Signal(syscall.SIGKILL))
}

// nft runs nft in a VPC.
func (h hostMachine) nft(vpc string, args ...string) string {
	h.t.Helper()
	out, err := exec.Command("nsenter", append([]string{"--net=" + filepath.Join(h.dir, h.lab, "netns", vpc), "nft"}, args...)...).CombinedOutput()
	require.NoError(h.t, err, "%s", out)
	return string(out)
}

// countTCP lets packets count in a VPC: hosts ask each other whether they are there by UDP.
func (h hostMachine) countTCP(vpc string) {
	h.t.Helper()
	h.nft(vpc, `table ip test {
		counter crossed {}
		chain from { type filter hook prerouting priority 0; iifname "_vxlan" meta l4proto tcp counter name crossed; }
		chain to { type filter hook postrouting priority 0; oifname "_vxlan" meta l4proto tcp counter name crossed; }
	}`)
}

// packets are those of TCP that a VPC has sent to other hosts and got from there.
func (h hostMachine) packets(vpc string) int {
	h.t.Helper()
	_, rest, found := strings.Cut(h.nft(vpc, "list", "counter", "ip", "test", "crossed"), "packets ")
	require.True(h.t, found)
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	require.NoError(h.t, err)
	return n
}

// calls counts the answers to so many calls from an instance.
func (h hostMachine) calls(from, url string, n int) map[string]int {
	h.t.Helper()
	loop := fmt.Sprintf("i=0; while [ $i -lt %d ]; do curl -s -m 5 %s || echo failed; echo; i=$((i+1)); done", n, url)
	answers := map[string]int{}
	for _, word := range strings.Fields(h.run("exec", from, "--", "sh", "-c", loop)) {
		answers[word]++
	}
	return answers
}

// requireClean says what a lab has left on a host.
func (h hostMachine) requireClean() {
	h.t.Helper()
	sockets, err := h.enter("ss", "-Hlnu")
	require.NoError(h.t, err)
	require.Empty(h.t, sockets, "host %s: UDP sockets", h.name)
	devices, err := h.enter("ip", "-br", "link")
	require.NoError(h.t, err)
	require.Len(h.t, strings.Split(strings.TrimSpace(devices), "\n"), 2, "host %s has lo and its card: %s", h.name, devices)
	require.NoDirExists(h.t, filepath.Join(h.dir, h.lab))
}

// underlays counts the networks that tests have made between hosts.
var underlays atomic.Int64

// hostMachines makes hosts on a bridge between them, in namespaces of their own.
func hostMachines(t *testing.T, lab string, mtu int, names ...string) (hosts []hostMachine) {
	t.Helper()
	root, err := os.MkdirTemp("", "plinksim") // a socket's path must be short
	require.NoError(t, err)
	bin := testenv.BuildProgram(t, "..")
	ip := func(args ...string) {
		t.Helper()
		out, err := exec.Command("ip", args...).CombinedOutput()
		require.NoError(t, err, "ip %v: %s", args, out)
	}
	number := underlays.Add(1)
	netns := func(name string) string {
		ns := fmt.Sprintf("plinksim-%d-%d-%s", os.Getpid(), number, name)
		ip("netns", "add", ns)
		t.Cleanup(func() { ip("netns", "del", ns) })
		return ns
	}
	between := netns("between")
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(root)) })
	ip("-n", between, "link", "add", "underlay", "up", "type", "bridge")
	for i, name := range names {
		h := hostMachine{t: t, name: name, netns: netns(name), bin: bin, dir: filepath.Join(root, name), lab: lab}
		m := strconv.Itoa(mtu)
		ip("-n", between, "link", "add", "to-"+name, "mtu", m, "master", "underlay", "up", "type", "veth",
			"peer", "name", "eth0", "mtu", m, "netns", h.netns)
		ip("-n", h.netns, "addr", "add", fmt.Sprintf("198.18.0.%d/24", i+1), "dev", "eth0")
		ip("-n", h.netns, "link", "set", "eth0", "up")
		ip("-n", h.netns, "link", "set", "lo", "up")
		t.Cleanup(func() { h.run("down", lab) })
		hosts = append(hosts, h)
	}
	return hosts
}

func TestOneTopologyOverTwoHosts(t *testing.T) {
	t.Parallel()
	testenv.NeedRoot(t)
	testenv.NeedNoRace(t) // the program is built without it
	testenv.NeedPrograms(t, "ip", "nsenter", "unshare", "ss", "curl", "nft")
	hosts := hostMachines(t, "over-hosts", 1550, "a", "b")
	a, b := hosts[0], hosts[1]
	file := filepath.Join(t.TempDir(), "over.yaml")
	long := strings.Repeat("x", 1500-28)
	write := func(edits ...string) {
		t.Helper()
		text := strings.NewReplacer(append(edits, "LONG", long)...).Replace(overHosts)
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	}
	write()
	up := func(h hostMachine) { t.Helper(); h.run("up", file, "--host", h.name) }

	require.Contains(t, a.refused("up", file), "spread over the hosts a, b")
	require.Contains(t, a.refused("up", file, "--host", "c"), `there is no host "c"`)
	require.Contains(t, a.refused("up", file, "--host", "b"), "198.18.0.2, and this machine has not")
	_, err := a.enter("ip", "link", "set", "eth0", "mtu", "1500")
	require.NoError(t, err)
	require.Regexp(t, `carries packets of 1500 bytes, and the underlay's mtu is 1550`, a.refused("up", file, "--host", "a"))
	_, err = a.enter("ip", "link", "set", "eth0", "mtu", "1550")
	require.NoError(t, err)
	a.requireClean()

	up(a)
	up(b)
	meet(a, b)
	require.Regexp(t, `\n5 passed, 0 failed, 2 not run on this host`, a.run("check"))
	require.Regexp(t, `\n2 passed, 0 failed, 5 not run on this host`, b.run("check"))
	require.Contains(t, a.run("status"), "host a of a, b")
	require.Contains(t, a.refused("exec", "web-i", "--", "true"), `is on host "b", and this is host "a"`)
	for _, change := range [][]string{{"reject", "near", "ep-near"}, {"instance", "stop", "web-h"}} {
		require.Contains(t, a.refused(change...), "one part of a topology over several hosts")
	}

	a.countTCP("shop")
	a.countTCP("vendor")
	between := func(do func()) (shop, vendor int) {
		before := [2]int{a.packets("shop"), a.packets("vendor")}
		do()
		return a.packets("shop") - before[0], a.packets("vendor") - before[1]
	}
	shop, vendor := between(func() {
		require.Equal(t, map[string]int{"api-h": 100}, a.calls("web-h", "http://10.0.1.200/", 100))
	})
	require.Zero(t, shop+vendor, "packets between the hosts of calls that keep to their zone")
	shop, vendor = between(func() {
		require.Equal(t, map[string]int{"web-i": 20}, a.calls("web-h", "http://10.0.2.10/", 20))
	})
	require.Zero(t, vendor, "packets of one VPC in the other, which has the same addresses")
	require.Greater(t, shop, 100)
	shop, vendor = between(func() {
		answers := a.calls("web-h", "http://10.0.1.201/", 200)
		require.Equal(t, 200, answers["api-h"]+answers["api-i"], "%v", answers)
		require.InDelta(t, 100, answers["api-i"], 20, "%v", answers)
		t.Logf("calls across zones: %v", answers)
	})
	require.Zero(t, shop)
	require.Greater(t, vendor, 500)

	// What a killed daemon has left is taken over, or removed.
	a.kill()
	b.kill()
	up(a)
	up(b)
	meet(a, b)
	require.Regexp(t, `\n5 passed, 0 failed, 2 not run on this host`, a.run("check"))
	// Another file changes what it changes: a subnet that only one host has, and the port.
	subnet, instance := "10.0.2.0/24}}\n    instances:\n      web-h:", "web-i: {subnet: i,"
	write(subnet, "10.0.2.0/24}, i2: {zone: r1-i, cidr: 10.0.3.0/24}}\n    instances:\n      web-h:",
		instance, "web-3: {subnet: i2, ip: 10.0.3.10, services: [{http: 80}]}\n      "+instance)
	up(a)
	up(b)
	meet(a, b)
	require.Equal(t, map[string]int{"web-3": 3}, a.calls("web-h", "http://10.0.3.10/", 3))
	write("mtu: 1550", "mtu: 1550, port: 14790")
	up(a)
	up(b)
	meet(a, b)
	for _, h := range hosts {
		sockets, err := h.enter("ss", "-Hlnu")
		require.NoError(t, err)
		require.Contains(t, sockets, ":14790 ")
		require.NotContains(t, sockets, ":14789 ")
	}
	require.Regexp(t, `\n5 passed, 0 failed, 2 not run on this host`, a.run("check"))
	for _, h := range hosts {
		h.run("down")
		h.requireClean()
		up(h)
		h.kill()
		h.run("down", h.lab)
		h.requireClean()
		up(h)
	}
	meet(a, b)
	require.Regexp(t, `\n2 passed, 0 failed, 5 not run on this host`, b.run("check"))
	for _, h := range hosts {
		h.run("upgrade")
		h.run("down")
		h.requireClean()
	}
}
