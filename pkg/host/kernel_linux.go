package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// kernel does steps. It lives on one thread, which wanders between the lab's
// namespaces, and keeps a netlink socket for each of those it works in.
type kernel struct {
	dir    string
	at     string // the namespace that the thread is in; "" where it started
	there  presence
	spaces map[string]*space
	// outside is in the namespace of the process; nil before something was made there.
	outside *netlink.Handle
	proc    *sysctls // nil before a parameter was set
}

// presence is what is known of how much of the steps is there before they are done.
type presence int

const (
	unknown   presence = iota
	different          // each of them is missing, or there is another in its place
	nothing            // all of them are missing
)

// space is one namespace while steps are done in it.
type space struct {
	file    *os.File
	link    *netlink.Handle
	indexes map[string]int // of devices, by name
}

// maxSpaces bounds the open files: two for each namespace.
const maxSpaces = 64

func newKernel(dir string) *kernel {
	return &kernel{dir: dir, spaces: map[string]*space{}}
}

// errNoNamespace means that nothing is pinned under a name.
var errNoNamespace = fmt.Errorf("the namespace %w", fs.ErrNotExist)

// space opens the namespace called name, or returns the open one.
func (k *kernel) space(name string) (*space, error) {
	if s, ok := k.spaces[name]; ok {
		return s, nil
	}
	file, err := openNamespace(k.dir, name)
	if err != nil {
		return nil, err
	}
	if err := k.enterFile(name, file); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	link, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open a netlink socket in %s: %w", name, err), file.Close())
	}
	s := &space{file: file, link: link, indexes: map[string]int{}}
	k.spaces[name] = s
	return s, nil
}

// enter moves the thread into the namespace called name.
func (k *kernel) enter(name string) error {
	s, err := k.space(name)
	if err != nil || k.at == name {
		return err
	}
	return k.enterFile(name, s.file)
}

// nftBuffer has room for some thousand rules of one transaction, and for the kernel's
// answers to them.
const nftBuffer = 16 << 20

// nft opens a socket for nftables in the namespace called name, and done closes it.
// The kernel lets who closes one wait until all packets have let go of the rules
// that were there before (linux: net/netfilter/nf_tables_api.c, nft_rcv_nl_event),
// which nobody here need do.
func (k *kernel) nft(name string) (conn *nftables.Conn, done func(), err error) {
	if err := k.enter(name); err != nil {
		return nil, nil, err
	}
	if conn, err = nftables.New(nftables.AsLasting(), nftables.WithSockOptions(roomy)); err != nil {
		return nil, nil, fmt.Errorf("open a socket for nftables in %s: %w", name, err)
	}
	return conn, func() { go conn.CloseLasting() }, nil
}

func roomy[C interface {
	SetReadBuffer(bytes int) error
	SetWriteBuffer(bytes int) error
}](conn C) error {
	return errors.Join(conn.SetReadBuffer(nftBuffer), conn.SetWriteBuffer(nftBuffer))
}

func (k *kernel) enterFile(name string, file *os.File) error {
	if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter namespace %s: %w", name, err)
	}
	k.at = name
	return nil
}

// forget closes what is open of the namespace called name.
func (k *kernel) forget(name string) {
	if s, ok := k.spaces[name]; ok {
		s.link.Close()
		s.file.Close()
		delete(k.spaces, name)
	}
	if k.at == name {
		k.at = ""
	}
}

// trim closes everything when too much is open. It is called between steps,
// for a step may hold two spaces.
func (k *kernel) trim() {
	if len(k.spaces) > maxSpaces {
		k.close()
	}
}

func (k *kernel) close() {
	for name := range k.spaces {
		k.forget(name)
	}
	k.proc.close()
	k.proc = nil
	if k.outside != nil {
		k.outside.Close()
		k.outside = nil
	}
}

// index gives the number of a device.
func (s *space) index(device string) (int, error) {
	if device == "lo" {
		return 1, nil // the first device of every namespace
	}
	if i, ok := s.indexes[device]; ok {
		return i, nil
	}
	link, err := s.link.LinkByName(device)
	if err != nil {
		return 0, err
	}
	s.indexes[device] = link.Attrs().Index
	return link.Attrs().Index, nil
}

// device is what netlink's calls take for a link of which the index is known.
func (s *space) device(name string) (netlink.Link, error) {
	i, err := s.index(name)
	if err != nil {
		return nil, err
	}
	return &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: i, Name: name}}, nil
}

// isGone says that err means that what should be removed is not there.
func isGone(err error) bool {
	var noLink netlink.LinkNotFoundError
	return errors.As(err, &noLink) || errors.Is(err, fs.ErrNotExist) ||
		errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EADDRNOTAVAIL)
}

func netnsDir(dir string) string        { return filepath.Join(dir, "netns") }
func netnsFile(dir, name string) string { return filepath.Join(dir, "netns", name) }
func etcDir(dir, name string) string    { return filepath.Join(dir, "etc", name) }

// trees are the directories of a lab that are memory file systems.
func trees(dir string) []string {
	return []string{netnsDir(dir), filepath.Join(dir, "etc"), Sessions(dir)}
}

// Sessions is the directory of a lab that is for its data plane's sessions, which
// outlive the process that forwards them. Only its owner may look into it.
func Sessions(dir string) string { return filepath.Join(dir, "sessions") }
