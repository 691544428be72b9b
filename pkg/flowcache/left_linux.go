package flowcache

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A classifier stays at its device when the process that attached it is killed, and
// with it the flows: their packets pass while nobody runs the session table. The
// next process finds it. Its first packet socket gets a filter that knows the same
// flows, so that no packet is taken twice or by nobody, and when the sessions have
// been taken over all of those flows come to userspace, and the classifiers go.

// left is what a process that has ended has left at the devices of a namespace.
type left struct {
	attached []attachment
	programs []*ebpf.Program
	filter   *ebpf.Program // for packet sockets as long as the programs are there; nil where they are another version's
	gates    *ebpf.Map
}

// isOurs says whether a program is a flow cache's classifier.
func isOurs(p *ebpf.Program) (info *ebpf.ProgramInfo, ok bool) {
	info, err := p.Info()
	return info, err == nil && info.Name == programName && info.Type == ebpf.SchedCLS
}

// programName is that of the classifier in flowcache.bpf.c.
const programName = "eni_in"

// findLeft looks at all devices of the namespace of the calling thread.
func findLeft() (*left, error) {
	l := &left{}
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list the devices: %w", err)
	}
	filtered, err := clsactDevices()
	if err != nil {
		return nil, err
	}
	for _, device := range links {
		index := device.Attrs().Index
		if there, err := link.QueryPrograms(link.QueryOptions{Target: index, Attach: ebpf.AttachTCXIngress}); err == nil {
			for _, p := range there.Programs {
				l.note(p.ID, func(p *ebpf.Program) attachment { return tcx{index, p} })
			}
		}
		if !filtered[index] {
			continue
		}
		filters, err := netlink.FilterList(device, netlink.HANDLE_MIN_INGRESS)
		if err != nil {
			continue // the device is just going
		}
		for _, f := range filters {
			if f, ok := f.(*netlink.BpfFilter); ok && f.Name == classifierName {
				l.note(ebpf.ProgramID(f.Id), func(*ebpf.Program) attachment { return clsact(index) })
			}
		}
	}
	return l, nil
}

func (l *left) note(id ebpf.ProgramID, at func(*ebpf.Program) attachment) {
	p, err := ebpf.NewProgramFromID(id)
	if err != nil {
		return
	}
	if _, ok := isOurs(p); !ok {
		p.Close()
		return
	}
	l.programs = append(l.programs, p)
	l.attached = append(l.attached, at(p))
}

// clsactDevices are those with such a queueing discipline.
func clsactDevices() (map[int]bool, error) {
	all, err := netlink.QdiscList(nil)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil // a kernel without queueing disciplines
	}
	if err != nil {
		return nil, fmt.Errorf("list the queueing disciplines: %w", err)
	}
	have := map[int]bool{}
	for _, q := range all {
		if q.Type() == "clsact" {
			have[q.Attrs().LinkIndex] = true
		}
	}
	return have, nil
}

// adopt makes the filter. It fails where the programs are not the same as own, since
// a filter and a classifier must agree.
func (l *left) adopt(own *ebpf.Program) error {
	want, err := own.Info()
	if err != nil {
		return err
	}
	var ids []ebpf.MapID
	for _, p := range l.programs {
		info, _ := isOurs(p)
		if info.Tag != want.Tag {
			return errors.New("they are another version's")
		}
		these, ok := info.MapIDs()
		if !ok || ids != nil && these[0] != ids[0] {
			return errors.New("they do not belong together")
		}
		ids = these
	}
	spec, err := loadFlowcache()
	if err != nil {
		return err
	}
	maps := map[string]*ebpf.Map{}
	for _, id := range ids {
		m, err := ebpf.NewMapFromID(id)
		if err != nil {
			return err
		}
		info, err := m.Info()
		if err != nil {
			return errors.Join(err, m.Close())
		}
		if !slices.Contains(filterMaps, info.Name) {
			m.Close()
			continue
		}
		spec.Maps[info.Name].MaxEntries = m.MaxEntries()
		maps[info.Name] = m
	}
	defer func() {
		for _, m := range maps {
			if m != l.gates {
				m.Close()
			}
		}
	}()
	var half struct {
		Filter *ebpf.Program `ebpf:"ring_filter"`
	}
	if err := spec.LoadAndAssign(&half, &ebpf.CollectionOptions{MapReplacements: maps}); err != nil {
		return err
	}
	l.filter, l.gates = half.Filter, maps["gates"]
	return nil
}

// filterMaps are what the filter and the classifier share.
var filterMaps = []string{"numbers", "slots", "gates", "ruled"}

// shut lets no packet pass by the flows any more.
func (l *left) shut() error {
	memory, err := mapArray(l.gates, gateSize)
	if err != nil {
		return err
	}
	for i := range words(memory) {
		atomic.AddUint64(&words(memory)[i], 1)
	}
	return unix.Munmap(memory)
}

// detach takes the programs away.
func (l *left) detach() {
	for _, a := range l.attached {
		_ = a.detach()
	}
	l.close()
}

// close gives back what this process has of them.
func (l *left) close() {
	for _, p := range l.programs {
		_ = p.Close()
	}
	if l.filter != nil {
		_ = l.filter.Close()
	}
	if l.gates != nil {
		_ = l.gates.Close()
	}
}

// DetachLeft takes away what a Cache of a process that was killed has left in the
// network namespace of the calling thread. It is for those who open none: packets
// would be forwarded twice.
func DetachLeft() error {
	l, err := findLeft()
	if err == nil {
		l.detach()
	}
	return err
}

// inherit finds what an earlier process has left, before there is a packet socket.
func (c *Cache) inherit() {
	l, err := findLeft()
	if err != nil || len(l.attached) == 0 {
		return
	}
	if err := l.adopt(c.objects.EniIn); err != nil {
		l.detach()
		return
	}
	c.left = l
}

// Settle is for when the session tables have taken over the sessions of an earlier
// process. Until then flows that it had cached go on.
func (c *Cache) Settle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.left == nil {
		return
	}
	_ = c.left.shut()
	quiesce()
	// Now the filter keeps nothing from the sockets, and there may be none.
	for socket := range c.sockets {
		_ = unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0)
	}
	quiesce()
	c.inNamespaceDo(c.left.detach)
	c.left = nil
	c.attachWanted()
}
