package host

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/plinksim/plinksim/pkg/topology"
)

// vniPatience is how long the kernel may take to let go of the device of a namespace that
// is gone: until then its VNI is taken.
const vniPatience = 5 * time.Second

func (v VXLAN) do(k *kernel) (bool, error) {
	s, err := k.space(v.Namespace)
	if err != nil {
		return false, err
	}
	outside, err := k.outsideLink()
	if err != nil {
		return false, err
	}
	// First the note that Remove goes by.
	if _, err := v.note().do(k); err != nil {
		return false, err
	}
	for deadline := time.Now().Add(vniPatience); ; time.Sleep(20 * time.Millisecond) {
		err := outside.LinkAdd(v.link(s))
		if !errors.Is(err, unix.EEXIST) {
			if err == nil {
				err = v.inheritDF(k)
			}
			return err == nil, err
		}
		if _, known := s.index(v.Device); known == nil {
			return false, errors.Join(s.up(v.Device), v.inheritDF(k))
		}
		if time.Now().After(deadline) {
			return false, fmt.Errorf("VXLAN %d at UDP port %d is that of something else on this machine, "+
				"perhaps of another lab: give the underlay another port: %w", v.VNI, v.Port, err)
		}
	}
}

func (v VXLAN) link(s *space) *netlink.Vxlan {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = v.Device
	attrs.HardwareAddr = net.HardwareAddr(v.MAC[:])
	attrs.MTU = v.MTU
	attrs.Flags = net.FlagUp
	attrs.Namespace = netlink.NsFd(int(s.file.Fd()))
	return &netlink.Vxlan{
		LinkAttrs: attrs, VxlanId: v.VNI, SrcAddr: v.Local.AsSlice(), Port: int(v.Port), UDPCSum: true,
	}
}

// vxlanDFInherit lets the packets of the underlay have the DF of what is in them (linux:
// include/uapi/linux/if_link.h, VXLAN_DF_INHERIT).
const vxlanDFInherit = 2

// inheritDF tells the device so, for which the netlink package has no word.
func (v VXLAN) inheritDF(k *kernel) error {
	s, err := k.space(v.Namespace)
	if err != nil {
		return err
	}
	index, err := s.index(v.Device)
	if err != nil {
		return err
	}
	if err := k.enter(v.Namespace); err != nil {
		return err
	}
	req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_ACK)
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(index)
	req.AddData(msg)
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("vxlan"))
	info.AddRtAttr(nl.IFLA_INFO_DATA, nil).AddRtAttr(nl.IFLA_VXLAN_DF, nl.Uint8Attr(vxlanDFInherit))
	req.AddData(info)
	_, err = req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

func (v VXLAN) undo(k *kernel) error {
	s, err := k.space(v.Namespace)
	if err != nil {
		return ignoreGone(err)
	}
	return errors.Join(s.remove(v.Device), v.note().undo(k))
}

// vxlanNote is the file of a namespace that names its VXLAN device.
const vxlanNote = "vxlan"

func (v VXLAN) note() File { return File{v.Namespace, vxlanNote, v.Device} }

// removeVXLANs deletes the VXLAN devices of a lab. They would go with their namespaces, but
// some time later, and until then their VNIs are taken.
func removeVXLANs(dir string) error {
	notes, err := filepath.Glob(etcDir(dir, "*") + "/" + vxlanNote)
	if err != nil || len(notes) == 0 {
		return err
	}
	return onThread(func() error {
		k := newKernel(dir)
		defer k.close()
		var errs []error
		for _, note := range notes {
			device, err := os.ReadFile(note)
			if err == nil {
				v := VXLAN{Namespace: filepath.Base(filepath.Dir(note)), Device: string(device)}
				err = v.undo(k)
			}
			errs = append(errs, err)
			k.trim()
		}
		return errors.Join(errs...)
	})
}

// outsideLink is a netlink socket in the namespace of the process, which no thread of its
// own has left.
func (k *kernel) outsideLink() (*netlink.Handle, error) {
	if k.outside != nil {
		return k.outside, nil
	}
	err := onThread(func() (err error) {
		k.outside, err = netlink.NewHandle(unix.NETLINK_ROUTE)
		return err
	})
	return k.outside, err
}

func (p Peer) do(k *kernel) (bool, error) {
	s, err := k.space(p.Namespace)
	if err != nil {
		return false, err
	}
	all, err := p.neighbours(s)
	if err != nil {
		return false, err
	}
	var errs []error
	for _, n := range all {
		errs = append(errs, s.link.NeighSet(n))
	}
	return true, errors.Join(errs...)
}

func (p Peer) undo(k *kernel) error {
	s, err := k.space(p.Namespace)
	if err != nil {
		return ignoreGone(err)
	}
	all, err := p.neighbours(s)
	if err != nil {
		return ignoreGone(err)
	}
	var errs []error
	for _, n := range all {
		errs = append(errs, ignoreGone(s.link.NeighDel(n)))
	}
	return errors.Join(errs...)
}

// neighbours are the host of the device's Ethernet address, and who has that address.
func (p Peer) neighbours(s *space) ([]*netlink.Neigh, error) {
	i, err := s.index(p.Device)
	mac := net.HardwareAddr(p.MAC[:])
	all := []*netlink.Neigh{{
		LinkIndex: i, Family: unix.AF_BRIDGE, Flags: unix.NTF_SELF, State: unix.NUD_PERMANENT | unix.NUD_NOARP,
		IP: p.Address.AsSlice(), HardwareAddr: mac,
	}}
	for _, ip := range p.addresses() {
		all = append(all, &netlink.Neigh{LinkIndex: i, State: unix.NUD_PERMANENT, IP: ip.AsSlice(), HardwareAddr: mac})
	}
	return all, err
}

// CheckUnderlay says why a slice of a plan cannot be on this machine: the host's address
// is not here, or the card that has it carries shorter packets than the underlay. A plan
// that is on no host is right everywhere.
func CheckUnderlay(plan *topology.Plan) error {
	if plan.OnHost == "" {
		return nil
	}
	h, err := plan.Host(plan.OnHost)
	if err != nil {
		return err
	}
	links, err := net.Interfaces()
	if err != nil {
		return err
	}
	for _, link := range links {
		addrs, err := link.Addrs()
		if err != nil {
			return err
		}
		for _, a := range addrs {
			if block, ok := a.(*net.IPNet); !ok || !block.IP.Equal(h.Address.AsSlice()) {
				continue
			}
			if link.MTU < plan.Underlay.MTU {
				return fmt.Errorf("host %q: device %s, which has %s, carries packets of %d bytes, and the underlay's mtu is %d",
					h.Name, link.Name, h.Address, link.MTU, plan.Underlay.MTU)
			}
			return nil
		}
	}
	return fmt.Errorf("host %q has the address %s, and this machine has not: is it another host?", h.Name, h.Address)
}
