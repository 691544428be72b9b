package host

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// What Exec says of a program that it cannot start. A shell's exit codes for
// them are 127 and 126 (POSIX.1-2024, 2.8.2).
var (
	ErrNotFound      = errors.New("no such program")
	ErrNotExecutable = errors.New("cannot be executed")
)

// Exec replaces the calling process by a program in a namespace of the lab. In
// a mount namespace of its own the program sees the namespace's files and the
// lab's certificate authority in /etc, and its devices in /sys; its host has the
// name of the instance. The program is
// argv[0], which is looked up in the PATH of env if it has no slash; env is the
// program's whole environment.
//
// Exec returns only if it fails, with ErrNotFound or ErrNotExecutable where it
// is the program's fault. The calling thread is no longer what it was then: the
// process should end.
func Exec(dir, namespace string, argv, env []string) error {
	return execIn(dir, namespace, argv, env, func() error { return nil })
}

// execIn is Exec with a last step in the namespaces, before the program.
func execIn(dir, namespace string, argv, env []string, last func() error) error {
	if len(argv) == 0 || argv[0] == "" {
		return fmt.Errorf("%w: no program is named", ErrNotFound)
	}
	ns, err := openNamespace(dir, namespace)
	if err != nil {
		return err
	}
	defer ns.Close()
	// The thread that calls execve is the one whose namespaces the program gets.
	runtime.LockOSThread()
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter namespace %s: %w", namespace, err)
	}
	if err := ownMounts(etcDir(dir, namespace)); err != nil {
		return err
	}
	if err := showTrust(dir); err != nil {
		return err
	}
	if err := ownHostname(namespace); err != nil {
		return err
	}
	path, err := findProgram(argv[0], env)
	if err != nil {
		return err
	}
	if err := last(); err != nil {
		return err
	}
	err = syscall.Exec(path, argv, env)
	return fmt.Errorf("%s %w: %w", path, ErrNotExecutable, err)
}

// ownHostname gives the calling thread the host name by which its hosts file
// knows the instance. Where no instance is meant, it is the namespace's name.
func ownHostname(namespace string) error {
	_, instance, ok := strings.Cut(namespace, ".")
	if !ok {
		instance = namespace
	}
	if err := unix.Unshare(unix.CLONE_NEWUTS); err != nil {
		return fmt.Errorf("make a namespace for the host name: %w", err)
	}
	if err := unix.Sethostname([]byte(instance)); err != nil {
		return fmt.Errorf("name the host %s: %w", instance, err)
	}
	return nil
}

// ownMounts gives the calling thread a mount namespace in which it sees the
// files below etc.
func ownMounts(etc string) error {
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("make a mount namespace: %w", err)
	}
	// What is mounted here stays here; what the host unmounts goes here too.
	if err := unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("separate the mount namespace: %w", err)
	}
	for _, name := range []string{"resolv.conf", "hosts", "nsswitch.conf"} {
		if err := showFile(filepath.Join(etc, name), "/etc/"+name); err != nil {
			return err
		}
	}
	showDevices()
	return hideNameServices()
}

// showFile mounts a namespace's file over the host's, where both are there.
func showFile(own, target string) error {
	if _, err := os.Stat(own); errors.Is(err, fs.ErrNotExist) {
		return nil // of a namespace that is not an instance's, or a lab without an authority
	}
	// The host's may be a link to a file that a resolver daemon writes.
	path, err := filepath.EvalSymlinks(target)
	if errors.Is(err, fs.ErrNotExist) {
		if filepath.Base(target) == "nsswitch.conf" {
			return nil // C libraries that do without it look at files, then DNS
		}
		return fmt.Errorf("%s is not there, or is a link to nothing, so that the instance's own cannot be shown "+
			"in its place: create the file, it may be empty", target)
	}
	if err != nil {
		return err
	}
	if err := unix.Mount(own, path, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("show %s as %s: %w", own, target, err)
	}
	return nil
}

func showTrust(dir string) error {
	for _, target := range HostTrust {
		if _, err := os.Stat(target); err != nil {
			continue
		}
		if err := showFile(filepath.Join(dir, TrustFile), target); err != nil {
			return err
		}
	}
	return nil
}

// showDevices mounts a /sys that shows the network namespace's devices. Few
// programs look there, so it is no reason to fail.
func showDevices() {
	cgroups, err := unix.Open("/sys/fs/cgroup", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == nil {
		defer unix.Close(cgroups)
	}
	if unix.Mount("sysfs", "/sys", "sysfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "") != nil || err != nil {
		return
	}
	// Keep what was mounted in the old one: programs read their limits there.
	_ = unix.Mount(fmt.Sprintf("/proc/self/fd/%d", cgroups), "/sys/fs/cgroup", "", unix.MS_BIND|unix.MS_REC, "")
}

// hideNameServices hides what answers with the host's names: the name service
// cache, and the socket of systemd-resolved, whose directory has the host's
// resolv.conf in it and must stay.
func hideNameServices() error {
	const cache, resolved = "/run/nscd", "/run/systemd/resolve/io.systemd.Resolve"
	if _, err := os.Stat(cache); err == nil {
		if err := unix.Mount("tmpfs", cache, "tmpfs", unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, ""); err != nil {
			return fmt.Errorf("hide %s: %w", cache, err)
		}
	}
	if _, err := os.Stat(resolved); err == nil {
		if err := unix.Mount("/dev/null", resolved, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("hide %s: %w", resolved, err)
		}
	}
	return nil
}

// findProgram looks for a program as a shell would.
func findProgram(name string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		return name, checkProgram(name)
	}
	var denied error
	closed := ""
	for _, dir := range filepath.SplitList(pathOf(env)) {
		path := filepath.Join(dir, name)
		err := checkProgram(path)
		switch {
		case err == nil:
			return path, nil
		case errors.Is(err, fs.ErrPermission): // whether it is there, nobody may know
			closed = cmp.Or(closed, " that may be looked into: "+dir+" may not")
		case errors.Is(err, ErrNotExecutable) && denied == nil:
			denied = err
		}
	}
	if denied != nil {
		return "", denied
	}
	return "", fmt.Errorf("%s: %w in PATH%s", name, ErrNotFound, closed)
}

func checkProgram(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR):
		return fmt.Errorf("%s: %w", path, ErrNotFound)
	case err != nil:
		return fmt.Errorf("%s %w: %w", path, ErrNotExecutable, err)
	case info.IsDir():
		return fmt.Errorf("%s %w: it is a directory", path, ErrNotExecutable)
	case info.Mode()&0o111 == 0:
		return fmt.Errorf("%s %w: it has no execute permission", path, ErrNotExecutable)
	}
	return nil
}

// pathOf is the last PATH of an environment, or what shells use without one.
func pathOf(env []string) string {
	path := "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	for _, e := range env {
		if value, ok := strings.CutPrefix(e, "PATH="); ok {
			path = value
		}
	}
	return path
}
