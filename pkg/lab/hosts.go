package lab

import (
	"fmt"
	"slices"
	"sync"

	"github.com/plinksim/plinksim/pkg/dns"
	"github.com/plinksim/plinksim/pkg/topology"
)

// hostsFiles are the hosts files of the instances.
type hostsFiles struct {
	machine Machine

	mu    sync.Mutex
	names map[string][]topology.HostName // beside the instances' own, by VPC
}

func (h *hostsFiles) of(vpc string) []topology.HostName {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.names[vpc]
}

// set writes the hosts files of every instance. Those that are as the machine
// made them for the plan, and were before, need no look.
func (h *hostsFiles) set(plan *topology.Plan, names map[string][]topology.HostName) error {
	for i := range plan.VPCs {
		vpc := &plan.VPCs[i]
		now := names[vpc.Name]
		if slices.Equal(now, plan.HostNames(vpc.Name)) && slices.Equal(now, h.of(vpc.Name)) {
			continue
		}
		for j := range vpc.Instances {
			if vpc.Instances[j].Stopped {
				continue // it gets its file when it starts
			}
			if err := h.machine.SetHosts(&vpc.Instances[j], now); err != nil {
				return fmt.Errorf("instance %q: write its hosts file: %w", plan.ShortName(vpc.Instances[j]), err)
			}
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.names = names
	return nil
}

// resolver finds names as the programs of an instance do.
func (h *hostsFiles) resolver(vpc *topology.VPC, instance *topology.Instance, dial dns.Dial) (*dns.Resolver, error) {
	return dns.NewResolver(topology.ResolvConf(vpc), func() string {
		return topology.HostsFile(instance, h.of(vpc.Name))
	}, dial)
}
