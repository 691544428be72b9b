package flowcache

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Hook is where the classifier is attached to a device. It stays there when the
// process is killed, and ends with the device.
type Hook string

const (
	// Best is TCX where the kernel has it, and else Clsact.
	Best Hook = ""
	// TCX is the device's list of programs at its ingress, since Linux 6.6.
	TCX Hook = "tcx"
	// Clsact is a filter of a queueing discipline, since Linux 4.5.
	Clsact Hook = "clsact"
)

// attachment is the classifier at a device. Its namespace is that of the calling
// thread.
type attachment interface{ detach() error }

// attach puts the classifier at the ingress of a device.
func (c *Cache) attach(index int) (attachment, error) {
	if c.hook != Clsact {
		err := link.RawAttachProgram(link.RawAttachProgramOptions{
			Target: index, Program: c.objects.EniIn, Attach: ebpf.AttachTCXIngress,
		})
		if err == nil {
			c.hook = TCX
			return tcx{index, c.objects.EniIn}, nil
		}
		if c.hook == TCX || haveTCX(index) {
			return nil, fmt.Errorf("attach by tcx: %w", err)
		}
	}
	a, err := attachClsact(index, c.objects.EniIn)
	if err == nil {
		c.hook = Clsact
	}
	return a, err
}

// haveTCX says whether the kernel has it.
func haveTCX(index int) bool {
	_, err := link.QueryPrograms(link.QueryOptions{Target: index, Attach: ebpf.AttachTCXIngress})
	return err == nil
}

// tcx is by BPF_PROG_ATTACH: a link would end with the process.
type tcx struct {
	index   int
	program *ebpf.Program
}

func (a tcx) detach() error {
	return link.RawDetachProgram(link.RawDetachProgramOptions{
		Target: a.index, Program: a.program, Attach: ebpf.AttachTCXIngress,
	})
}

// classifierName is how "tc filter show" calls it.
const classifierName = "plinksim flow cache"

// clsact is the index of a device.
type clsact int

func (a clsact) qdisc() *netlink.GenericQdisc {
	return &netlink.GenericQdisc{
		QdiscAttrs: netlink.QdiscAttrs{
			LinkIndex: int(a), Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
		},
		QdiscType: "clsact",
	}
}

func attachClsact(index int, program *ebpf.Program) (attachment, error) {
	a := clsact(index)
	if err := netlink.QdiscAdd(a.qdisc()); err != nil {
		return nil, fmt.Errorf("add a clsact queueing discipline: %w", err)
	}
	err := netlink.FilterAdd(&netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: index, Parent: netlink.HANDLE_MIN_INGRESS, Handle: 1, Protocol: unix.ETH_P_ALL, Priority: 1,
		},
		Fd: program.FD(), Name: classifierName, DirectAction: true,
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("add a filter to clsact: %w", err), a.detach())
	}
	return a, nil
}

func (a clsact) detach() error { return netlink.QdiscDel(a.qdisc()) }
