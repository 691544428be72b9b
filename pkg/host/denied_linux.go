package host

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Denied is what the kernel does not let this process do, although it may be
// root: a container has less than its host.
type Denied struct {
	Err    error
	Remedy string
}

func (d *Denied) Error() string { return d.Err.Error() }
func (d *Denied) Unwrap() error { return d.Err }

// Hint says what helps.
func (d *Denied) Hint() string { return d.Remedy }

// A Capability is one of capabilities(7).
type Capability struct {
	name string
	bit  uint
}

// The capabilities that a lab needs.
var (
	SysAdmin       = Capability{"CAP_SYS_ADMIN", unix.CAP_SYS_ADMIN}               // namespaces and mounts
	NetAdmin       = Capability{"CAP_NET_ADMIN", unix.CAP_NET_ADMIN}               // interfaces, addresses, routes
	NetRaw         = Capability{"CAP_NET_RAW", unix.CAP_NET_RAW}                   // packet sockets
	NetBindService = Capability{"CAP_NET_BIND_SERVICE", unix.CAP_NET_BIND_SERVICE} // ports below 1024
)

// CheckCapabilities says which of some capabilities the process does not have.
func CheckCapabilities(needed ...Capability) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData // 32 capabilities each
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return fmt.Errorf("read the capabilities of this process: %w", err)
	}
	var missing, options []string
	for _, c := range needed {
		options = append(options, "--cap-add "+strings.TrimPrefix(c.name, "CAP_"))
		if sets[c.bit/32].Effective&(1<<(c.bit%32)) == 0 {
			missing = append(missing, c.name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return &Denied{
		fmt.Errorf("this process does not have %s", strings.Join(missing, ", ")),
		"a container has it only when it is told so: docker run " + strings.Join(options, " ") + ", or --privileged",
	}
}

// explain adds to an error of the kernel what a container has to do with it.
func explain(err error) error {
	switch {
	case errors.As(err, new(*Denied)):
	case errors.Is(err, unix.EPERM) && os.Geteuid() == 0:
		return &Denied{err,
			"root may do this on a host, but a container's capabilities, seccomp filter or AppArmor profile may forbid it: " +
				"try docker run --privileged"}
	case errors.Is(err, unix.EPERM):
		return &Denied{err, "run it with sudo"}
	}
	return err
}
