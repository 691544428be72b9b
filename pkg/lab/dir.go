package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"

	"golang.org/x/sys/unix"

	"github.com/plinksim/plinksim/pkg/host"
)

// DefaultRoot holds a directory for each lab. It is on a file system that a
// reboot empties, as a reboot empties the kernel of the lab's namespaces.
const DefaultRoot = "/run/plinksim"

// RootVariable is the environment variable that moves the labs elsewhere.
const RootVariable = "PLINKSIM_STATE_DIR"

// Root is the directory of all labs: $PLINKSIM_STATE_DIR or DefaultRoot.
func Root() string {
	dir := os.Getenv(RootVariable)
	if dir == "" {
		return DefaultRoot
	}
	if absolute, err := filepath.Abs(dir); err == nil {
		return absolute
	}
	return dir
}

// Dir is the directory of one lab. It is all that a lab leaves outside of the
// kernel's memory, and the only thing needed to find and remove one:
//
//	netns/       a bind mount for each network namespace
//	etc/         resolv.conf, hosts and nsswitch.conf of each instance
//	log/         what the programs of the instances print, and the daemon's log
//	control.sock the daemon's API
//	lock         held by the daemon while it lives; says that this is a lab
//	pid          the daemon's process id
//	topology.yaml, state.json, faults.json, added.json   what a restarted daemon goes on with
//	ca.pem, ca-key.pem, ca-certificates.crt   see certificates.go; where it has made any
//	changing     there while the kernel is between two topologies
type Dir string

// own are the names above, without the lock, and those of files that are
// being written. What else is in the directory is not ours to remove.
var own = []string{
	"netns", "etc", "log", "control.sock", "pid", "changing",
	"topology.yaml", "topology.yaml.next", "state.json", "state.json.next",
	"faults.json", "faults.json.next", "added.json", "added.json.next",
	authorityFile, authorityFile + ".next", authorityKeyFile, authorityKeyFile + ".next",
	host.TrustFile, host.TrustFile + ".next",
}

// DirOf is the directory of the lab with that name.
func DirOf(name string) Dir { return Dir(filepath.Join(Root(), name)) }

// CheckName says whether there can be a lab of that name. Whoever removes a
// lab must know, as "../.." leads to somebody else's directory.
func CheckName(name string) error {
	if !filepath.IsLocal(name) || filepath.Base(name) != name || name == "." {
		return fmt.Errorf("%q is not the name of a lab", name)
	}
	return nil
}

// Name is the lab's name.
func (d Dir) Name() string { return filepath.Base(string(d)) }

// Path joins elements to the directory.
func (d Dir) Path(elem ...string) string {
	return filepath.Join(append([]string{string(d)}, elem...)...)
}

// Socket is where the lab's daemon listens.
func (d Dir) Socket() string { return d.Path("control.sock") }

// CheckSocket says whether the path of the lab's socket is short enough for
// the kernel (Linux, unix(7): sun_path has 108 bytes with the final zero).
func (d Dir) CheckSocket() error {
	const longest = 107
	if n := len(d.Socket()); n > longest {
		return fmt.Errorf("the path of the lab's socket, %s, has %d characters, and a socket's may have %d", d.Socket(), n, longest)
	}
	return nil
}

// Exists says whether there is anything of the lab, running or left behind. A
// directory without a lock is no lab's.
func (d Dir) Exists() bool {
	info, err := os.Lstat(d.Path("lock"))
	return err == nil && info.Mode().IsRegular()
}

// Names lists the labs that exist, in alphabetical order.
func Names() ([]string, error) {
	entries, err := os.ReadDir(Root())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && DirOf(e.Name()).Exists() {
			names = append(names, e.Name())
		}
	}
	sort.Strings(names)
	return names, nil
}

// ErrLocked says that somebody holds the lab: its daemon, or who is just
// building or removing it.
var ErrLocked = errors.New("the lab is held by a running process")

// Lock is held by a lab's daemon for its whole life. It belongs to the open
// file and not to a process (Linux, fcntl(2): open file description locks), so
// that it can be handed to a child with its file; the kernel releases it when
// the last process that has the file ends, however it ends.
type Lock struct{ file *os.File }

// Lock takes the lock, or returns ErrLocked at once.
func (d Dir) Lock() (*Lock, error) {
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return nil, fmt.Errorf("make the lab's directory: %w", err)
	}
	file, err := os.OpenFile(d.Path("lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if errors.Is(err, os.ErrNotExist) {
		return nil, ErrLocked // whoever held it has just removed the directory
	}
	if err != nil {
		return nil, err
	}
	whole := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(file.Fd(), unix.F_OFD_SETLK, &whole); err != nil {
		file.Close()
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
			return nil, ErrLocked
		}
		return nil, fmt.Errorf("lock %s: %w", d.Path("lock"), err)
	}
	// The directory may have been removed between the two steps, by a "down"
	// that held the lock until then.
	if !sameFile(file, d.Path("lock")) {
		file.Close()
		return nil, ErrLocked
	}
	return &Lock{file}, nil
}

func sameFile(open *os.File, path string) bool {
	held, err := open.Stat()
	if err != nil {
		return false
	}
	now, err := os.Stat(path)
	return err == nil && os.SameFile(held, now)
}

// InheritLock is the lock whose File another process has handed to this one.
func InheritLock(file *os.File) *Lock { return &Lock{file} }

// File is what to hand to a child that shall hold the lock, too.
func (l *Lock) File() *os.File { return l.file }

// Release lets go of the lock. A child that it was handed to still holds it.
func (l *Lock) Release() { l.file.Close() }

// Running says whether somebody holds the lab. Asking does not get into the
// way of who takes the lock.
func (d Dir) Running() bool {
	file, err := os.Open(d.Path("lock"))
	if err != nil {
		return false
	}
	defer file.Close()
	holder := unix.Flock_t{Type: unix.F_RDLCK}
	err = unix.FcntlFlock(file.Fd(), unix.F_OFD_GETLK, &holder)
	return err == nil && holder.Type != unix.F_UNLCK
}

// PID is the process id that the lab's daemon wrote down, or 0.
func (d Dir) PID() int {
	text, err := os.ReadFile(d.Path("pid"))
	if err != nil {
		return 0
	}
	var pid int
	if _, err := fmt.Sscan(string(text), &pid); err != nil {
		return 0
	}
	return pid
}

// Erase removes what is left of the directory once host.Remove has emptied it
// of everything that the kernel holds. The lock's file goes last.
func (d Dir) Erase() error {
	for _, name := range append(own, "lock") {
		if err := os.RemoveAll(d.Path(name)); err != nil {
			return err
		}
	}
	err := os.Remove(string(d))
	if err != nil && !errors.Is(err, os.ErrNotExist) && !d.Exists() { // it exists where another has just begun
		return fmt.Errorf("something that is not of the lab stays: %w", err)
	}
	os.Remove(Root()) // only when no other lab is left
	return nil
}

// Clear takes down a lab that nobody runs. Where the lock is not the lab's any
// more, because a child that had it has removed everything, it does nothing.
func (d Dir) Clear(ctx context.Context, lock *Lock) error {
	if !sameFile(lock.file, d.Path("lock")) {
		return nil
	}
	if err := host.Remove(ctx, string(d)); err != nil {
		return err
	}
	return d.Erase()
}

// Remove takes down a lab that nobody runs. Where nothing of it is left it
// does nothing.
func Remove(ctx context.Context, name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	dir := DirOf(name)
	if !dir.Exists() {
		return nil
	}
	lock, err := dir.Lock()
	if err != nil {
		return err
	}
	defer lock.Release()
	return dir.Clear(ctx, lock)
}

// writeFile replaces a file at once: a reader sees the old text or the new.
func writeFile(path string, text []byte) error {
	next := path + ".next"
	if err := os.WriteFile(next, text, 0o600); err != nil {
		return err
	}
	return os.Rename(next, path)
}
