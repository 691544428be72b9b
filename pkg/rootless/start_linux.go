package rootless

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Start starts a command in a user namespace and a mount namespace of its own, in
// which it is root. Its process must call Arrive before it does anything else, so
// that the command is one of this program or of a test binary.
func Start(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	attr := cmd.SysProcAttr
	attr.Cloneflags |= unix.CLONE_NEWUSER | unix.CLONE_NEWNS
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	if maps, ok := manyUsers(); ok {
		return startWithMany(cmd, maps)
	}
	cmd.Env = append(cmd.Env, arrival+"=")
	attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
	attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	return explain(cmd.Start())
}

// arrival is the variable that tells a process that Start has started it. Its
// value is the number of the file that says when the users are there; "" where
// they have been from the start.
const arrival = "PLINKSIM_ROOTLESS"

// startWithMany starts a command that has nobody to be at first: the programs
// that may give it users need its number.
func startWithMany(cmd *exec.Cmd, maps [2]idMap) error {
	wait, ready, err := os.Pipe()
	if err != nil {
		return err
	}
	defer wait.Close()
	defer ready.Close()
	cmd.ExtraFiles = append(cmd.ExtraFiles, wait)
	cmd.Env = append(cmd.Env, fmt.Sprintf("%s=%d", arrival, 2+len(cmd.ExtraFiles)))
	if err := explain(cmd.Start()); err != nil {
		return err
	}
	for _, m := range maps {
		if err := m.write(cmd.Process.Pid); err != nil {
			ready.Close() // it ends, as it hears nothing
			return errors.Join(err, cmd.Wait())
		}
	}
	_, err = ready.Write([]byte{1})
	return err
}

// Arrived says whether this process is in namespaces that Start or a test has
// made, so that it is root only there.
func Arrived() bool {
	text, err := os.ReadFile("/proc/self/uid_map")
	var inside, outside, size uint32
	if err == nil {
		_, err = fmt.Sscan(string(text), &inside, &outside, &size)
	}
	return err == nil && (outside != 0 || size != 1<<32-1)
}

// Arrive is the first thing that a program calls that may have been started by
// Start. It does nothing elsewhere. parent says that the process ends with the
// one that started it.
func Arrive(parent bool) {
	file, told := os.LookupEnv(arrival)
	if !told {
		return
	}
	os.Unsetenv(arrival)
	if file != "" {
		becomeRoot(file)
	}
	if parent {
		// Where the parent has ended meanwhile, nobody is there to wait.
		_ = unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0)
	}
	// The user outside looks for the files that a process has open, and for its
	// namespaces (proc(5): only those of a dumpable process are his).
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0)
}

// becomeRoot waits for its users, and gets what root may do by another execve
// (capabilities(7)).
func becomeRoot(file string) {
	fail := func(err error) {
		fmt.Fprintln(os.Stderr, "plinksim: become root of a user namespace:", err)
		os.Exit(1)
	}
	fd, err := strconv.Atoi(file)
	if err != nil {
		fail(err)
	}
	wait := os.NewFile(uintptr(fd), "users")
	if _, err := io.ReadFull(wait, make([]byte, 1)); err != nil {
		os.Exit(1) // whoever started it says why
	}
	wait.Close()
	self, err := os.Executable()
	if err != nil {
		fail(err)
	}
	fail(syscall.Exec(self, os.Args, append(os.Environ(), arrival+"=")))
}
