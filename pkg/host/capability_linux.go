package host

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

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

// ofDaemon is what a lab's daemon keeps: what labs need, and what it takes to find
// and end programs of other users, to reach files of the user who has typed sudo,
// and, before Linux 5.11, to have BPF maps.
var ofDaemon = []uint{
	unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN, unix.CAP_NET_RAW, unix.CAP_NET_BIND_SERVICE,
	unix.CAP_KILL, unix.CAP_SYS_PTRACE, unix.CAP_DAC_OVERRIDE, unix.CAP_SYS_RESOURCE,
}

// ofService is what root has on an instance as a service: it may become another
// user, change the instance's network, and nothing outside of it.
var ofService = []uint{
	unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE, unix.CAP_FOWNER, unix.CAP_FSETID, unix.CAP_KILL, unix.CAP_SETGID,
	unix.CAP_SETUID, unix.CAP_SETPCAP, unix.CAP_SYS_CHROOT, unix.CAP_NET_BIND_SERVICE, unix.CAP_NET_RAW,
	unix.CAP_NET_ADMIN,
}

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

// KeepDaemonCapabilities gives up what a lab's daemon does not need, in all threads
// of this process, for good. Programs that it starts as root have what a program of
// root has.
func KeepDaemonCapabilities() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return fmt.Errorf("read the capabilities of this process: %w", err)
	}
	for i := range sets {
		keep := sets[i].Permitted & maskOf(ofDaemon, i)
		sets[i] = unix.CapUserData{Permitted: keep, Effective: keep}
	}
	// A capability belongs to a thread, and Go has several.
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)),
		uintptr(unsafe.Pointer(&sets[0])), 0)
	runtime.KeepAlive(&header)
	runtime.KeepAlive(&sets)
	switch errno {
	case 0:
		return nil
	case syscall.ENOTSUP:
		return errors.New("a program that is built with cgo keeps all capabilities of its user")
	}
	return fmt.Errorf("give up capabilities: %w", errno)
}

// maskOf has the bits of a word of capabilities, of 32 each.
func maskOf(capabilities []uint, word int) (mask uint32) {
	for _, c := range capabilities {
		if int(c/32) == word {
			mask |= 1 << (c % 32)
		}
	}
	return mask
}

// boundToService limits what the program of the next execve of this thread, and all
// that it starts, can ever do.
func boundToService() error {
	for c := range uint(64) { // the kernel may know more than this program
		if slices.Contains(ofService, c) {
			continue
		}
		// EINVAL: this kernel has no such capability.
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("limit the capabilities of a service: %w", err)
		}
	}
	return nil
}

// serviceVariables are the variables of the machine that a service gets. Those of
// the locale begin with LC_.
var serviceVariables = []string{"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR"}

// ServiceEnviron is the environment of a service: of env what every program may
// expect, and nothing that the user of "up" has for other purposes, for example
// credentials.
func ServiceEnviron(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(e string) bool {
		name, _, _ := strings.Cut(e, "=")
		return !slices.Contains(serviceVariables, name) && !strings.HasPrefix(name, "LC_")
	})
}

// ExecService is Exec for a service: it has only what root of an instance needs.
func ExecService(dir, namespace string, argv, env []string) error {
	return execIn(dir, namespace, argv, env, boundToService)
}

// ExecTied is Exec for a program that ends with the thread that has started this process. What
// that has asked for is gone here: a process that gets capabilities by execve loses it (Linux,
// PR_SET_PDEATHSIG(2const)).
func ExecTied(dir, namespace string, argv, env []string) error {
	parent := unix.Getppid()
	return execIn(dir, namespace, argv, env, func() error {
		if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
			return fmt.Errorf("tie the program to the daemon: %w", err)
		}
		if unix.Getppid() != parent {
			return errors.New("the lab's daemon has ended meanwhile")
		}
		return nil
	})
}
