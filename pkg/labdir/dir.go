// Package labdir knows the directories in which labs keep what must outlive a
// process: their names, their files and the lock that says that a lab lives.
package labdir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// Dir is the directory of one lab. It is all that a lab leaves outside of the
// kernel's memory, and the only thing needed to find and remove one:
//
//	netns/       a bind mount for each network namespace
//	etc/         resolv.conf, hosts and nsswitch.conf of each instance
//	sessions/    the data plane's sessions, in memory that outlives the daemon
//	programs/    which processes the programs of the instances are
//	log/         what the programs of the instances print, and the daemon's log
//	control.sock the daemon's API
//	lock         held by the daemon while it lives; says that this is a lab
//	pid          the daemon's process id
//	keeper       locked by the process that keeps the namespaces of an ordinary user's lab
//	topology.yaml, topology.edits, state.json, faults.json, health.json, pace.json
//	    what a restarted daemon goes on with
//	ca.pem, ca-key.pem, ca-certificates.crt   the certificate authority, where the lab has made one
//	api-cloud.json, api-keys.json, api.json, aws/   the API for clients of the cloud, where it was started
//	changing     what topology the kernel becomes, while it is between two
//	host         which host of a topology over several this is
//	agreed.json  what the hosts agreed on last
//	etcd.json    where the hosts agree
type Dir string

// own are the names above, without the lock, and those of files that are
// being written. What else is in the directory is not ours to remove.
var own = []string{
	"netns", "etc", "sessions", "programs", "log", "control.sock", "pid", "keeper", "changing", "host", "host.next",
	"topology.yaml", "topology.yaml.next", "topology.new.yaml", "topology.new.yaml.next", "topology.edits", "topology.edits.next",
	"state.json", "state.json.next",
	"faults.json", "faults.json.next", "edits.json", "edits.json.next", "added.json",
	"agreed.json", "agreed.json.next", "etcd.json", "etcd.json.next",
	"health.json", "health.json.next", "pace.json", "pace.json.next",
	"ca.pem", "ca.pem.next", "ca-key.pem", "ca-key.pem.next", "ca-certificates.crt", "ca-certificates.crt.next",
	"api-cloud.json", "api-cloud.json.next", "api-keys.json", "api-keys.json.next", "api.json", "api.json.next", "aws",
}

// Of is the directory of the lab with that name.
func Of(name string) Dir { return Dir(filepath.Join(Root(), name)) }

// CheckName says whether there can be a lab of that name. Code that removes a
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
		return fmt.Errorf("the path of the lab's socket, %s, has %d characters, and a socket's may have %d",
			d.Socket(), n, longest)
	}
	return nil
}

// Exists says whether there is anything of the lab, running or left behind. A
// directory without a lock does not belong to a lab, and a link to a directory
// is none.
func (d Dir) Exists() bool {
	info, err := os.Lstat(string(d))
	if err != nil || !info.IsDir() {
		return false
	}
	info, err = os.Lstat(d.Path("lock"))
	return err == nil && info.Mode().IsRegular()
}

// PID is the process id that the lab's daemon wrote down, or 0. The process may
// have ended since, and the number be another's: Signal knows better.
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
	tidy(filepath.Dir(string(d)))
	return nil
}

// Load reads one of the lab's files.
func (d Dir) Load(name string) ([]byte, error) { return os.ReadFile(d.Path(name)) }

// Save replaces one of the lab's files at once: a reader sees the old text or
// the new. A nil text removes it. It is an error to save what Erase would leave.
func (d Dir) Save(name string, text []byte) error {
	if !slices.Contains(own, filepath.Dir(name)) && !slices.Contains(own, name) {
		return fmt.Errorf("%s: the directory of a lab has no such file", name)
	}
	if text == nil {
		err := os.Remove(d.Path(name))
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	}
	mode := os.FileMode(0o600)
	if slices.Contains(public, name) {
		mode = 0o644
	}
	next := d.Path(name + ".next")
	if err := os.WriteFile(next, text, mode); err != nil {
		return err
	}
	return os.Rename(next, d.Path(name))
}

// public are the files that any program on an instance may read.
var public = []string{"ca.pem", "ca-certificates.crt"}

func (d Dir) String() string { return string(d) }
