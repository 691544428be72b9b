package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/plinksim/plinksim/pkg/host"
)

// DefaultRoot holds a directory for each lab. It is on a file system that a
// reboot empties, as a reboot empties the kernel of the lab's namespaces.
const DefaultRoot = "/run/plinksim"

// Root is the directory of all labs: $PLINKSIM_STATE_DIR or DefaultRoot.
func Root() string {
	if dir := os.Getenv("PLINKSIM_STATE_DIR"); dir != "" {
		return dir
	}
	return DefaultRoot
}

// Dir is the directory of one lab. It is all that a lab leaves outside of the
// kernel's memory, and the only thing needed to find and remove one:
//
//	netns/       a bind mount for each network namespace
//	etc/         resolv.conf, hosts and nsswitch.conf of each instance
//	log/         what the programs of the instances print, and the daemon's log
//	control.sock the daemon's API
//	lock         held by the daemon while it lives
//	topology.yaml, state.json   what a restarted daemon goes on with
type Dir string

// DirOf is the directory of the lab with that name.
func DirOf(name string) Dir { return Dir(filepath.Join(Root(), name)) }

// Name is the lab's name.
func (d Dir) Name() string { return filepath.Base(string(d)) }

// Path joins elements to the directory.
func (d Dir) Path(elem ...string) string {
	return filepath.Join(append([]string{string(d)}, elem...)...)
}

// Socket is where the lab's daemon listens.
func (d Dir) Socket() string { return d.Path("control.sock") }

// Exists says whether there is anything of the lab, running or left behind.
func (d Dir) Exists() bool {
	_, err := os.Lstat(string(d))
	return err == nil
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
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	sort.Strings(names)
	return names, nil
}

// ErrLocked says that a daemon holds the lab.
var ErrLocked = errors.New("the lab is held by a running daemon")

// Lock is held by a lab's daemon for its whole life. The kernel releases it
// when the process ends, however it ends.
type Lock struct{ f *os.File }

// Lock takes the lock, or returns ErrLocked at once.
func (d Dir) Lock() (*Lock, error) {
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return nil, fmt.Errorf("make the lab's directory: %w", err)
	}
	f, err := os.OpenFile(d.Path("lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, ErrLocked
		}
		return nil, fmt.Errorf("lock %s: %w", d.Path("lock"), err)
	}
	// The directory may have been removed between the two steps, by a "down"
	// that held the lock until then.
	if held, err := f.Stat(); err == nil {
		if now, err := os.Stat(d.Path("lock")); err != nil || !os.SameFile(held, now) {
			f.Close()
			return nil, ErrLocked
		}
	}
	return &Lock{f}, nil
}

// Release gives the lock back.
func (l *Lock) Release() { l.f.Close() }

// Running says whether a daemon holds the lab.
func (d Dir) Running() bool {
	f, err := os.OpenFile(d.Path("lock"), os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	// A shared lock fails against the daemon's and is gone with f.
	return errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
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
	entries, err := os.ReadDir(string(d))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if e.Name() != "lock" {
			if err := os.RemoveAll(d.Path(e.Name())); err != nil {
				return err
			}
		}
	}
	if err := os.RemoveAll(string(d)); err != nil {
		return err
	}
	os.Remove(Root()) // only when no other lab is left
	return nil
}

// Remove takes down a lab that no daemon runs. Where nothing of it is left it
// does nothing.
func Remove(ctx context.Context, name string) error {
	dir := DirOf(name)
	if !dir.Exists() {
		return nil
	}
	lock, err := dir.Lock()
	if err != nil {
		return err
	}
	defer lock.Release()
	if err := host.Remove(ctx, string(dir)); err != nil {
		return err
	}
	return dir.Erase()
}

// writeFile replaces a file at once: a reader sees the old text or the new.
func writeFile(path string, text []byte) error {
	next := path + ".next"
	if err := os.WriteFile(next, text, 0o600); err != nil {
		return err
	}
	return os.Rename(next, path)
}
