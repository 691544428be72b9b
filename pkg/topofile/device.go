package topofile

import (
	"fmt"
	"strings"

	"github.com/plinksim/plinksim/internal/derive"
)

// maxDevice is what Linux takes as the name of an interface: IFNAMSIZ is 16,
// with a NUL at the end (linux/if.h).
const maxDevice = 15

// devices hands out the interface names of one network namespace.
type devices map[string]bool

// newDevices keeps the names that the kernel has for itself in every
// namespace: the loopback, and "all" and "default" of net.ipv4.conf.
func newDevices() devices {
	return devices{"lo": true, "all": true, "default": true}
}

// name is the wish itself where it is short enough and free, otherwise its
// beginning and a part of a hash.
func (d devices) name(wish string) string {
	name := wish
	for try := 0; d[name] || len(name) > maxDevice; try++ {
		suffix := fmt.Sprintf("-%04x", derive.Hash(wish+strings.Repeat("#", try))&0xffff)
		name = strings.TrimRight(wish[:min(len(wish), maxDevice-len(suffix))], "-") + suffix
	}
	d[name] = true
	return name
}
