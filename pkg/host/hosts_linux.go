package host

import "github.com/plinksim/plinksim/pkg/topology"

// SetHosts makes these the names in the hosts file of an instance, beside its
// own.
func SetHosts(dir string, inst *topology.Instance, names []topology.HostName) error {
	_, err := File{inst.Namespace, "hosts", topology.HostsFile(inst, names)}.do(newKernel(dir))
	return err
}
