package host

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func (u LinkUp) do(k *kernel) (bool, error) {
	s, err := k.space(u.Namespace)
	if err != nil {
		return false, err
	}
	return false, s.up(u.Device)
}

// undo leaves the device as it is: it goes with its namespace or its step.
func (u LinkUp) undo(*kernel) error { return nil }

func (s *space) up(device string) error {
	link, err := s.device(device)
	if err != nil {
		return err
	}
	return s.link.LinkSetUp(link)
}

// remove deletes a device.
func (s *space) remove(device string) error {
	link, err := s.device(device)
	if err == nil {
		err = s.link.LinkDel(link)
	}
	delete(s.indexes, device)
	if isGone(err) {
		return nil
	}
	return err
}

func (b Bridge) do(k *kernel) (bool, error) {
	s, err := k.space(b.Namespace)
	if err != nil {
		return false, err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = b.Device
	attrs.HardwareAddr = net.HardwareAddr(b.MAC[:])
	attrs.Flags = net.FlagUp
	snooping := false
	err = s.link.LinkAdd(&netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &snooping})
	if errors.Is(err, unix.EEXIST) {
		return false, s.up(b.Device)
	}
	if err != nil {
		return false, err
	}
	device, err := s.device(b.Device)
	if err == nil {
		err = s.link.LinkSetMTU(device, b.MTU)
	}
	return true, err
}

func (b Bridge) undo(k *kernel) error {
	s, err := k.space(b.Namespace)
	if err != nil {
		return ignoreGone(err)
	}
	return s.remove(b.Device)
}

func (v Veth) do(k *kernel) (bool, error) {
	peer, err := k.space(v.PeerNamespace)
	if err != nil {
		return false, err
	}
	s, err := k.space(v.Namespace)
	if err != nil {
		return false, err
	}
	bridge := 0
	if v.Bridge != "" {
		if bridge, err = s.index(v.Bridge); err != nil {
			return false, err
		}
	}
	err = s.link.LinkAdd(v.link(bridge, peer))
	if errors.Is(err, unix.EEXIST) {
		return v.adopt(s, bridge, peer)
	}
	if err != nil {
		return false, err
	}
	return true, peer.up(v.Peer)
}

func (v Veth) link(bridge int, peer *space) *netlink.Veth {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = v.Port
	attrs.HardwareAddr = net.HardwareAddr(v.PortMAC[:])
	attrs.MTU = v.MTU
	attrs.Flags = net.FlagUp
	attrs.MasterIndex = bridge
	// By default a pair has as many queues as the machine has CPUs, and memory
	// for each of them.
	attrs.NumTxQueues, attrs.NumRxQueues = 1, 1
	link := netlink.NewVeth(attrs)
	link.PeerName = v.Peer
	link.PeerHardwareAddr = net.HardwareAddr(v.PeerMAC[:])
	link.PeerNamespace = netlink.NsFd(int(peer.file.Fd()))
	return link
}

// adopt takes a pair that exists, or makes it again where the other end is
// in a namespace that has gone and the kernel has not come to remove it yet.
func (v Veth) adopt(s *space, bridge int, peer *space) (made bool, err error) {
	port, err := s.device(v.Port)
	if err != nil {
		return false, fmt.Errorf("the name %s is taken in %s: %w", v.Peer, v.PeerNamespace, err)
	}
	if _, err := peer.index(v.Peer); err != nil {
		if err := s.remove(v.Port); err != nil {
			return false, err
		}
		if err := s.link.LinkAdd(v.link(bridge, peer)); err != nil {
			return false, err
		}
		return true, peer.up(v.Peer)
	}
	if bridge != 0 {
		if err := s.link.LinkSetMasterByIndex(port, bridge); err != nil {
			return false, err
		}
	}
	if err := s.link.LinkSetUp(port); err != nil {
		return false, err
	}
	return false, peer.up(v.Peer)
}

func (v Veth) undo(k *kernel) error {
	if peer, ok := k.spaces[v.PeerNamespace]; ok {
		delete(peer.indexes, v.Peer)
	}
	s, err := k.space(v.Namespace)
	if err != nil {
		return ignoreGone(err)
	}
	return s.remove(v.Port)
}

func ignoreGone(err error) error {
	if isGone(err) {
		return nil
	}
	return err
}
