package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

func (c Sysctl) do(k *kernel) (bool, error) {
	// The kernel chooses the parameters of whoever opens the file.
	if err := k.enter(c.Namespace); err != nil {
		return false, err
	}
	proc := k.parameters()
	for _, setting := range strings.Fields(c.Settings) {
		key, value, _ := strings.Cut(setting, "=")
		err := proc.set(key, value)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
	}
	return false, nil
}

// undo leaves the parameters as they are: they go with their namespace.
func (c Sysctl) undo(*kernel) error { return nil }

// sysctls is a proc file system through which some namespaces' parameters are set. The
// kernel finds a parameter by its name among those of all namespaces that were asked for
// it through the same file system (linux: fs/proc/proc_sysctl.c, proc_sys_compare), so
// that one for all would be slower with each namespace.
type sysctls struct {
	root int // of the file system; -1: that of the process is to be used
	uses int
}

// mostUses is for how many namespaces a file system is used.
const mostUses = 64

// parameters is the file system for the namespace in which the thread is.
func (k *kernel) parameters() *sysctls {
	if k.proc == nil || k.proc.uses >= mostUses && k.proc.root >= 0 {
		k.proc.close()
		k.proc = newSysctls()
	}
	k.proc.uses++
	return k.proc
}

// newSysctls makes a file system where the process may do that, and where /proc/sys may
// be written: whoever mounted that read-only wants to be asked.
func newSysctls() *sysctls {
	s := &sysctls{root: -1}
	var st unix.Statfs_t
	if unix.Statfs("/proc/sys", &st) != nil || st.Flags&unix.ST_RDONLY != 0 {
		return s
	}
	config, err := unix.Fsopen("proc", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return s
	}
	defer unix.Close(config)
	if unix.FsconfigCreate(config) != nil {
		return s
	}
	root, err := unix.Fsmount(config, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
	if err == nil {
		s.root = root
	}
	return s
}

func (s *sysctls) close() {
	if s != nil && s.root >= 0 {
		unix.Close(s.root)
	}
}

// set writes a parameter. Where it cannot, as in a container with a
// read-only /proc/sys, it is enough that the parameter has the value already.
// It is not enough elsewhere: the kernel hands what is written to conf.all on
// to the devices, whatever conf.all had before.
func (s *sysctls) set(key, value string) error {
	path := filepath.Join("sys", strings.ReplaceAll(key, ".", "/"))
	err := s.write(path, value)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if has, readErr := os.ReadFile("/proc/" + path); readErr == nil && strings.TrimSpace(string(has)) == value {
		return nil
	}
	err = fmt.Errorf("set %s to %s: %w", key, value, err)
	if errors.Is(err, unix.EROFS) {
		return &Denied{err,
			"containers have /proc/sys read-only: start it with docker run --security-opt systempaths=unconfined, " +
				"or make it writable with mount -o remount,rw /proc/sys"}
	}
	return err
}

// write does without os.File, which would ask more of the kernel than the parameter
// itself does.
func (s *sysctls) write(path, value string) error {
	at := s.root
	if at < 0 {
		path = "/proc/" + path
	}
	file, err := unix.Openat(at, path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: path, Err: err}
	}
	_, err = unix.Write(file, []byte(value))
	return errors.Join(err, unix.Close(file))
}
