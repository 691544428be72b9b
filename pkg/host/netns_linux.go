package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"

	"golang.org/x/sys/unix"
)

func (n Netns) do(k *kernel) (bool, error) {
	path := netnsFile(k.dir, n.Name)
	if isNamespace(path) {
		return false, nil
	}
	// A file without a namespace is what an interrupted build leaves.
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o444)
	if err != nil {
		return false, err
	}
	file.Close()
	k.at = ""
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return false, errors.Join(fmt.Errorf("make a network namespace: %w", err), os.Remove(path))
	}
	if err := unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, ""); err != nil {
		return false, errors.Join(fmt.Errorf("pin the namespace at %s: %w", path, err), os.Remove(path))
	}
	k.at = n.Name
	return true, nil
}

func (n Netns) undo(k *kernel) error {
	k.forget(n.Name)
	path := netnsFile(k.dir, n.Name)
	if err := killInside(k.dir, n.Name); err != nil {
		return err
	}
	if err := unmount(path); err != nil {
		return err
	}
	// Removing the file also unpins the namespace in the mount namespaces that
	// were copied from ours meanwhile.
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// makeTrees makes the directories that hold a lab: the pins of its namespaces,
// the files for its instances and the sessions. Each is a memory file system of
// its own, and private: a pin is then one mount, however many mount namespaces
// the host has, one unmount takes all pins away, and no disk has to be waited
// for.
func makeTrees(dir string) error {
	for _, tree := range trees(dir) {
		if err := os.MkdirAll(tree, 0o755); err != nil {
			return err
		}
		mounted, err := isMountPoint(tree)
		if err != nil {
			return err
		}
		if !mounted {
			const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
			options := "mode=0755"
			if tree == Sessions(dir) {
				options = "mode=0700,size=0" // which is no limit but that of the machine
			}
			if err := unix.Mount("plinksim", tree, "tmpfs", flags, options); err != nil {
				return fmt.Errorf("mount a tmpfs at %s: %w", tree, err)
			}
		}
		if err := unix.Mount("", tree, "", unix.MS_PRIVATE, ""); err != nil {
			return fmt.Errorf("make the mount %s private: %w", tree, err)
		}
	}
	return nil
}

// removeTrees takes the directories away, and with the pins the
// namespaces.
func removeTrees(dir string) error {
	if err := removeVXLANs(dir); err != nil {
		return err
	}
	for _, tree := range trees(dir) {
		if err := removeTree(tree); err != nil {
			return err
		}
	}
	return nil
}

func removeTree(tree string) error {
	// Held open, the file system can be emptied after the unmount. Removing a
	// file takes away what is mounted there in the mount namespaces that were
	// copied from ours meanwhile; without that, they would keep the lab alive.
	root, err := os.OpenRoot(tree)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer root.Close()
	if err := unmount(tree); err != nil {
		return err
	}
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := root.RemoveAll(e.Name()); err != nil {
			return err
		}
	}
	return os.RemoveAll(tree)
}

// unmount takes away every mount at path with all below it.
func unmount(path string) error {
	for {
		err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
			return nil // not mounted, or not there
		}
		if err == nil {
			continue
		}
		if mounted, statErr := isMountPoint(path); statErr == nil && !mounted {
			return nil // one that may not unmount may not have mounted either
		}
		return fmt.Errorf("unmount %s: %w", path, err)
	}
}

func isMountPoint(path string) (bool, error) {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, 0, &st); err != nil {
		return false, fmt.Errorf("statx %s: %w", path, err)
	}
	return st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0, nil
}

func isNamespace(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && st.Type == unix.NSFS_MAGIC
}

// openNamespace opens the namespace that is pinned under name.
func openNamespace(dir, name string) (*os.File, error) {
	path := netnsFile(dir, name)
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", path, errNoNamespace)
	}
	if err != nil {
		return nil, err
	}
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(file.Fd()), &st); err != nil || st.Type != unix.NSFS_MAGIC {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, errNoNamespace), err, file.Close())
	}
	return file, nil
}

// Namespaces lists the names of a lab's namespaces, sorted. A directory that
// is not there is a lab without namespaces.
func Namespaces(dir string) ([]string, error) {
	entries, err := os.ReadDir(netnsDir(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if isNamespace(filepath.Join(netnsDir(dir), e.Name())) {
			names = append(names, e.Name())
		}
	}
	sort.Strings(names)
	return names, nil
}
