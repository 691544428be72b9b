package host

import (
	"fmt"
	"strings"

	"github.com/plinksim/plinksim/pkg/topology"
)

// SetHosts makes these the names in the hosts file of an instance, beside its
// own.
func SetHosts(dir string, inst *topology.Instance, names []topology.HostName) error {
	_, err := File{inst.Namespace, "hosts", hosts(inst, names)}.do(newKernel(dir))
	return err
}

func hosts(inst *topology.Instance, names []topology.HostName) string {
	var b strings.Builder
	fmt.Fprintf(&b, "127.0.0.1\tlocalhost\n%s\t%s %s\n", inst.IP, inst.DNSName, inst.Name)
	for _, n := range names {
		fmt.Fprintf(&b, "%s\t%s\n", n.IP, n.Name)
	}
	return b.String()
}
