package host

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/plinksim/plinksim/pkg/topology"
)

// HostName is a name that programs find in the hosts file of an instance.
type HostName struct {
	IP   netip.Addr
	Name string
}

// HostNames are those of a plan in the hosts files of a VPC: the domains of
// the FullNAT entries of its gateways. One name comes once.
func HostNames(plan *topology.Plan, vpc string) []HostName {
	var out []HostName
	for _, gw := range plan.NATGateways {
		if gw.VPC != vpc {
			continue
		}
		for _, e := range gw.Entries {
			name := HostName{e.NATIP, e.Domain}
			if e.Domain != "" && !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	return out
}

// SetHosts makes these the names in the hosts file of an instance, beside its
// own.
func SetHosts(dir string, inst *topology.Instance, names []HostName) error {
	_, err := File{inst.Namespace, "hosts", hosts(inst, names)}.do(newKernel(dir))
	return err
}

func hosts(inst *topology.Instance, names []HostName) string {
	var b strings.Builder
	fmt.Fprintf(&b, "127.0.0.1\tlocalhost\n%s\t%s %s\n", inst.IP, inst.DNSName, inst.Name)
	for _, n := range names {
		fmt.Fprintf(&b, "%s\t%s\n", n.IP, n.Name)
	}
	return b.String()
}
