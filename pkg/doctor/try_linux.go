package doctor

import (
	"os"
	"path/filepath"

	"github.com/plinksim/plinksim/pkg/dataplane"
	"github.com/plinksim/plinksim/pkg/fullnat"
	"github.com/plinksim/plinksim/pkg/host"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

// small has a step of every kind.
const small = `
name: doctor
cloud: alibaba
region: eu-central-1
vpcs:
  v:
    cidr: 10.0.0.0/16
    subnets: {s: {zone: eu-central-1b, cidr: 10.0.0.0/24}}
    security_groups: {g: {ingress: [{protocol: tcp, ports: 80, source: 10.0.0.0/16}]}}
    instances: {i: {subnet: s, security_groups: [g]}}
endpoint_services: {svc: {resources: []}}
endpoints: {ep: {service: svc, vpc: v, subnets: [s]}}
`

// What a lab needs of the kernel, in the order in which it is tried.
const (
	mounts     = "mounts"
	namespaces = "network namespaces"
	procSys    = "/proc/sys"
	bridges    = "bridges"
	veths      = "veth pairs"
	addresses  = "addresses and routes"
	groups     = "nftables, inet"
	guards     = "nftables, netdev"
	rings      = "packet rings"
	fanout     = "BPF and fanout"
)

var needs = []struct{ name, found, means string }{
	{mounts, "tmpfs and bind mounts", "namespaces cannot be kept"},
	{namespaces, "can be made", "no lab can come up"},
	{procSys, "parameters of a namespace can be set", "VPCs do not route"},
	{bridges, "can be made", "there are no subnets"},
	{veths, "can be made", "there are no interfaces of instances and endpoints"},
	{addresses, "can be given", "instances have no network"},
	{groups, "security groups of instances", "the security groups of instances cannot be enforced"},
	{guards, "source/destination check",
		"instances could send from any address: labs come up with source_dest_check: false at each instance"},
	{rings, "AF_PACKET with TPACKET_V2 and virtio headers", "nothing carries the packets of endpoints"},
	{fanout, "several workers can share the packets", "labs have one worker: up --workers 1"},
}

// Try builds a small lab, step by step, and removes it.
func Try() []Check {
	found := map[string]error{}
	plan, err := topofile.Parse("doctor.yaml", []byte(small))
	if err == nil {
		err = try(plan, found)
	}
	var checks []Check
	broken := false
	for _, n := range needs {
		c := ok(n.name, n.found)
		switch err, tried := found[n.name]; {
		case !tried:
			c = Check{Name: n.name, State: NotTried, Found: "what it needs is missing"}
		case err != nil:
			c = Check{n.name, Missing, err.Error(), n.means, hintOf(err)}
			broken = true
		}
		if c.State == Missing && n.name == fanout {
			c.State = Warning
		}
		checks = append(checks, c)
	}
	if err != nil && !broken {
		checks = append(checks, Check{"a lab", Missing, err.Error(), "no lab can come up", hintOf(err)})
	}
	return checks
}

func try(plan *topology.Plan, found map[string]error) error {
	tmp, err := os.MkdirTemp("", "plinksim-doctor")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	dir := filepath.Join(tmp, "doctor")
	kept, err := host.Try(dir, plan, func(step host.Step, err error) {
		kind := kindOf(step)
		if had, tried := found[kind]; !tried || had == nil {
			found[kind] = err
		}
	})
	found[mounts] = err
	if err != nil {
		return err
	}
	defer kept.Remove()
	if found[namespaces] != nil || found[veths] != nil {
		return nil
	}
	ns, err := host.Open(dir, plan.Dataplane)
	if err != nil {
		return err
	}
	defer ns.Close()
	engine := dataplane.EngineConfig{Table: fullnat.Options{MaxSessions: 1024}}
	for name, workers := range map[string]int{rings: 1, fanout: 2} {
		found[name] = ns.Do(func() error {
			rings, err := dataplane.OpenWorkers(dataplane.RingConfig{}, engine, workers)
			if err != nil {
				return err
			}
			return rings.Close()
		})
	}
	return nil
}

func kindOf(step host.Step) string {
	switch step.(type) {
	case host.Netns:
		return namespaces
	case host.Sysctl:
		return procSys
	case host.Bridge:
		return bridges
	case host.Veth:
		return veths
	case host.Firewall:
		return groups
	case host.PortGuard, host.ReceiverGuard:
		return guards
	}
	return addresses
}
