package host

import "fmt"

// Sysctl is the step that sets kernel parameters of a namespace. A parameter
// that the kernel does not have is left out: a kernel without IPv6 has nothing
// to switch off.
type Sysctl struct {
	Namespace string
	Settings  string // KEY=VALUE, separated by spaces, in the order of writing
}

func (c Sysctl) String() string {
	return fmt.Sprintf("ip netns exec %s sysctl -q -e -w %s", c.Namespace, c.Settings)
}

func (c Sysctl) replaces() string { return "sysctl " + c.Namespace }
