package flowcache

import (
	"errors"
	"fmt"
	"io"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Hook is where the classifier is attached to a device.
type Hook string

const (
	// Best is TCX where the kernel has it, and else Clsact.
	Best Hook = ""
	// TCX is a link at the device's ingress, since Linux 6.6. It ends with the
	// process.
	TCX Hook = "tcx"
	// Clsact is a filter of a queueing discipline, since Linux 4.5. It ends with
	// the device, or by Detach.
	Clsact Hook = "clsact"
)

// attach puts the classifier at the ingress of a device.
func (c *Cache) attach(index int) (io.Closer, error) {
	if c.hook != Clsact {
		l, err := link.AttachTCX(link.TCXOptions{
			Interface: index, Program: c.objects.EniIn, Attach: ebpf.AttachTCXIngress,
		})
		if err == nil {
			c.hook = TCX
			return l, nil
		}
		if c.hook == TCX || !errors.Is(err, ebpf.ErrNotSupported) {
			return nil, err
		}
	}
	closer, err := attachClsact(index, c.objects.EniIn)
	if err == nil {
		c.hook = Clsact
	}
	return closer, err
}

const clsactType = "clsact"

// classifierName is how "tc filter show" calls it.
const classifierName = "plinksim flow cache"

type clsact struct {
	handle *netlink.Handle // of the namespace
	qdisc  *netlink.GenericQdisc
}

func attachClsact(index int, program *ebpf.Program) (io.Closer, error) {
	handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	a := &clsact{handle, &netlink.GenericQdisc{
		QdiscAttrs: netlink.QdiscAttrs{
			LinkIndex: index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
		},
		QdiscType: clsactType,
	}}
	if err := handle.QdiscAdd(a.qdisc); err != nil {
		handle.Close()
		return nil, fmt.Errorf("add a clsact queueing discipline: %w", err)
	}
	err = handle.FilterAdd(&netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: index, Parent: netlink.HANDLE_MIN_INGRESS, Handle: 1, Protocol: unix.ETH_P_ALL, Priority: 1,
		},
		Fd: program.FD(), Name: classifierName, DirectAction: true,
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("add a filter to clsact: %w", err), a.Close())
	}
	return a, nil
}

// Detach takes away what the cache of a process that was killed has left at the
// devices in the network namespace of the calling thread: it would go on to forward
// packets of which nobody knows any more.
func Detach() error {
	handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer handle.Close()
	all, err := handle.QdiscList(nil)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil // a kernel without queueing disciplines
	}
	if err != nil {
		return fmt.Errorf("list the queueing disciplines of ENIs: %w", err)
	}
	var errs []error
	for _, qdisc := range all {
		if qdisc.Type() == clsactType {
			errs = append(errs, handle.QdiscDel(qdisc))
		}
	}
	return errors.Join(errs...)
}

// Close takes the classifier from its device.
func (a *clsact) Close() error {
	defer a.handle.Close()
	return a.handle.QdiscDel(a.qdisc)
}
