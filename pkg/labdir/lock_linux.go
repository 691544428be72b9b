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
	"time"

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

// LockKeeper takes the lock that says which process keeps the namespaces of a
// lab of an ordinary user. It belongs to the process and not to the file (Linux,
// fcntl(2): advisory record locking), so that others can ask for its number, and
// no child has it. It is lost when the process closes any file of that path.
func (d Dir) LockKeeper() error {
	// An os.File would be closed when nothing refers to it any more.
	file, err := unix.Open(d.Path("keeper"), unix.O_CREAT|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return &os.PathError{Op: "open", Path: d.Path("keeper"), Err: err}
	}
	whole := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(uintptr(file), unix.F_SETLK, &whole); err != nil {
		unix.Close(file)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
			return ErrLocked
		}
		return err
	}
	return nil // and the file stays open
}

// Keeper is the process that has called LockKeeper for the lab; 0 where none
// lives. The keeper itself must not ask.
func (d Dir) Keeper() (pid int) {
	file, err := os.Open(d.Path("keeper"))
	if err != nil {
		return 0
	}
	defer file.Close()
	holder := unix.Flock_t{Type: unix.F_RDLCK}
	if unix.FcntlFlock(file.Fd(), unix.F_GETLK, &holder) != nil || holder.Type == unix.F_UNLCK {
		return 0
	}
	return int(holder.Pid)
}

// SignalKeeper sends a signal to the lab's keeper, and returns a file of it for
// AwaitEnd; nil where there is none.
func (d Dir) SignalKeeper(sig syscall.Signal) (*os.File, error) {
	pid := d.Keeper()
	if pid == 0 {
		return nil, nil
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, nil // it has ended
	}
	file := os.NewFile(uintptr(fd), "keeper")
	// An open process is the same one until it is closed.
	if d.Keeper() != pid {
		return nil, file.Close()
	}
	if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return nil, errors.Join(fmt.Errorf("signal process %d: %w", pid, err), file.Close())
	}
	return file, nil
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

// AwaitExit returns when the process that was the lab's daemon has ended for good, or
// after some seconds. The kernel releases its lock before it closes its sockets.
func (d Dir) AwaitExit() {
	pid := d.PID()
	for deadline := time.Now().Add(exitTime); pid != 0 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		// Who is ending has no memory any more, and so no command line; another
		// process of that number has one, and a zombie has closed everything.
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil || len(line) > 0 || isZombie(pid) {
			return
		}
	}
}

const exitTime = 5 * time.Second

func isZombie(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	// proc_pid_stat(5): the state is behind the name, which may have parentheses.
	behind := text[bytes.LastIndexByte(text, ')')+1:]
	return bytes.HasPrefix(behind, []byte(" Z")) || bytes.HasPrefix(behind, []byte(" X"))
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

// ownedBy says whether path is a directory, and no link to one, of a user.
func ownedBy(path string, uid int) bool {
	var st unix.Stat_t
	return unix.Lstat(path, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR && int(st.Uid) == uid
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
