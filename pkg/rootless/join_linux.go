package rootless

import (
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"strconv"
	"syscall"
)

// Join is the command line that runs another one in the user and mount
// namespaces of a process. What it runs is the same process, and its directory
// is /. It takes the program nsenter (util-linux, BusyBox), since a Go program
// has threads, and one that has may not change its user namespace (setns(2)).
func Join(pid int, argv []string) ([]string, error) {
	nsenter, err := exec.LookPath("nsenter")
	if err != nil {
		return nil, &Refused{
			fmt.Errorf("join the namespaces of an ordinary user's lab: %w", err),
			"install util-linux, which has nsenter",
		}
	}
	enter := []string{nsenter, "-t", strconv.Itoa(pid), "-U", "-m", "--preserve-credentials"}
	return append(enter, argv...), nil
}

// Refused says what an ordinary user may not do here, or what is missing.
type Refused struct {
	Err    error
	Remedy string
}

func (r *Refused) Error() string { return r.Err.Error() }
func (r *Refused) Unwrap() error { return r.Err }

// Hint says what helps.
func (r *Refused) Hint() string { return r.Remedy }

// explain says why a user namespace was refused.
func explain(err error) error {
	if err == nil {
		return nil
	}
	var start *fs.PathError // the program is there: it is this one
	if errors.As(err, &start) {
		err = start.Err
	}
	made := fmt.Errorf("make a user namespace: %w", err)
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return &Refused{made, "the machine's limit of user namespaces is reached or 0: " +
			"sudo sysctl user.max_user_namespaces=15000"}
	case errors.Is(err, syscall.EINVAL):
		return &Refused{made, "this kernel has no user namespaces (CONFIG_USER_NS)"}
	case errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES):
		return &Refused{made, restriction()}
	}
	return made
}

// restrictions are the parameters that keep user namespaces from ordinary users:
// of AppArmor (Ubuntu 23.10 and later), and of Debian's kernels.
var restrictions = []struct{ file, on, remedy string }{
	{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1",
		"AppArmor keeps user namespaces from ordinary users: sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0"},
	{"/proc/sys/kernel/unprivileged_userns_clone", "0",
		"this kernel keeps user namespaces from ordinary users: sudo sysctl kernel.unprivileged_userns_clone=1"},
}
