package labdir

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// lock takes the lock of an open file, or returns ErrLocked.
func lock(file *os.File) error {
	whole := unix.Flock_t{Type: unix.F_WRLCK}
	err := unix.FcntlFlock(file.Fd(), unix.F_OFD_SETLK, &whole)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return ErrLocked
	}
	return err
}

// locked says whether somebody holds the lock of a file.
func locked(file *os.File) bool {
	holder := unix.Flock_t{Type: unix.F_RDLCK}
	err := unix.FcntlFlock(file.Fd(), unix.F_OFD_GETLK, &holder)
	return err == nil && holder.Type != unix.F_UNLCK
}

// Signal sends a signal to every process that holds the lab's lock: its daemon,
// or the command that builds or removes the lab. It is no error where none
// does. The lock decides, since a number that was written down may be another
// process's by now.
func (d Dir) Signal(sig syscall.Signal) error {
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return err
	}
	var errs []error
	for _, process := range processes {
		pid, _ := strconv.Atoi(filepath.Base(process))
		// An open process is the same one until it is closed.
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue // it has ended
		}
		if holds(process, d.Path("lock")) {
			if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
				errs = append(errs, fmt.Errorf("signal process %d: %w", pid, err))
			}
		}
		unix.Close(fd)
	}
	return errors.Join(errs...)
}

// holds says whether a process has an open file description that holds a lock
// of the file at path (proc_pid_fdinfo(5)).
func holds(process, path string) bool {
	lock, err := os.Stat(path)
	if err != nil {
		return false
	}
	files, _ := os.ReadDir(process + "/fd")
	for _, f := range files {
		info, err := os.Stat(process + "/fd/" + f.Name())
		if err != nil || !os.SameFile(info, lock) {
			continue
		}
		text, err := os.ReadFile(process + "/fdinfo/" + f.Name())
		if err == nil && bytes.Contains(text, []byte("\nlock:")) {
			return true
		}
	}
	return false
}

// ownerOf is the name of the user that a file belongs to.
func ownerOf(path string) string {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return "another user"
	}
	if st.Uid == 0 {
		return "root"
	}
	if u, err := user.LookupId(strconv.Itoa(int(st.Uid))); err == nil {
		return u.Username
	}
	return fmt.Sprintf("user %d", st.Uid)
}
