package topology

import (
	"fmt"
	"strings"
)

// HostsFile is the /etc/hosts of an instance: its own names and those that it
// is given.
func HostsFile(inst *Instance, names []HostName) string {
	var b strings.Builder
	fmt.Fprintf(&b, "127.0.0.1\tlocalhost\n%s\t%s %s\n", inst.IP, inst.DNSName, inst.Name)
	for _, n := range names {
		fmt.Fprintf(&b, "%s\t%s\n", n.IP, n.Name)
	}
	return b.String()
}

// ResolvConf is the /etc/resolv.conf of the instances of a VPC.
func ResolvConf(vpc *VPC) string {
	var b strings.Builder
	for _, r := range vpc.Resolvers {
		fmt.Fprintf(&b, "nameserver %s\n", r)
	}
	fmt.Fprintf(&b, "search %s.internal\n", vpc.Name)
	return b.String()
}
