package rootless

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Check says why this process cannot make the namespaces of a lab; nil where it
// can. It tries, in a process that ends at once.
func Check() error { return check() }

var check = sync.OnceValue(func() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var words strings.Builder
	probe := exec.Command(self, ProbeCommand)
	probe.Stderr = &words
	if err := Start(probe); err != nil {
		return err
	}
	if err := probe.Wait(); err != nil {
		return &Refused{
			fmt.Errorf("this user can make a user namespace, and may do nothing in it: %s",
				strings.TrimSpace(words.String())),
			restriction(),
		}
	}
	return nil
})

// ProbeCommand is the argument with which this program, or a test binary, calls
// Probe.
const ProbeCommand = "__probe"

// Probe does in new namespaces what a lab begins with. It returns an exit code.
func Probe() int {
	Arrive(true)
	runtime.LockOSThread() // which moves to the new network namespace
	for _, try := range []struct {
		what string
		do   func() error
	}{
		{"make a network namespace", func() error { return unix.Unshare(unix.CLONE_NEWNET) }},
		{"mount a tmpfs", func() error { return unix.Mount("plinksim", os.TempDir(), "tmpfs", 0, "") }},
		{"open a packet socket", func() error {
			fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
			if err == nil {
				unix.Close(fd)
			}
			return err
		}},
	} {
		if err := try.do(); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", try.what, err)
			return 1
		}
	}
	return 0
}

// restriction is what forbids ordinary users to use user namespaces, as far as
// this machine says.
func restriction() string {
	for _, r := range restrictions {
		if text, err := os.ReadFile(r.file); err == nil && strings.TrimSpace(string(text)) == r.on {
			return r.remedy
		}
	}
	if text, err := os.ReadFile("/proc/self/status"); err == nil && strings.Contains(string(text), "\nSeccomp:\t2\n") {
		return "a seccomp filter forbids it, as containers have: docker run --security-opt seccomp=unconfined"
	}
	return "a security module forbids it"
}
