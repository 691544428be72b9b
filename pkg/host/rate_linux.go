package host

import (
	"fmt"

	"github.com/vishvananda/netlink"
)

// LimitRates gives devices of the lab in dir a token bucket filter (tc-tbf(8)), or
// changes the one that they have, which loses no frame. A device that has none and
// should have no limit is left alone.
func LimitRates(dir string, rates ...Rate) error {
	return onThread(func() error {
		k := newKernel(dir)
		defer k.close()
		for _, r := range rates {
			if err := k.limit(r); err != nil {
				return fmt.Errorf("limit the rate of %s in namespace %s: %w", r.Device, r.Namespace, err)
			}
		}
		return nil
	})
}

// unlimited is more than any device of a lab can do, in bytes per second.
const unlimited = 1 << 40

func (k *kernel) limit(r Rate) error {
	s, err := k.space(r.Namespace)
	if err != nil {
		return err
	}
	device, err := s.device(r.Device)
	if err != nil {
		return err
	}
	bytes, burst, queue := uint64(r.Bits)/8, uint32(r.Burst), uint32(r.Queue)
	if r.Bits == 0 {
		there, err := s.bucketOf(device)
		if err != nil || there == nil {
			return err
		}
		bytes, burst, queue = unlimited, 1<<24, 1<<24
	}
	return s.link.QdiscReplace(&netlink.Tbf{
		QdiscAttrs: netlink.QdiscAttrs{
			LinkIndex: device.Attrs().Index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT,
		},
		Rate: bytes, Limit: queue, Buffer: netlink.Xmittime(bytes, burst),
	})
}

// bucketOf is the filter that a device has, nil where it has none.
func (s *space) bucketOf(device netlink.Link) (*netlink.Tbf, error) {
	all, err := s.link.QdiscList(device)
	if err != nil {
		return nil, err
	}
	for _, q := range all {
		if tbf, ok := q.(*netlink.Tbf); ok {
			return tbf, nil
		}
	}
	return nil, nil
}

// RateCounts are those of devices that LimitRates has limited, by place. Each
// namespace is asked once.
func RateCounts(dir string, rates ...Rate) ([]RateCount, error) {
	counts := make([]RateCount, len(rates))
	err := onThread(func() error {
		k := newKernel(dir)
		defer k.close()
		known := map[string]map[string]RateCount{}
		for i, r := range rates {
			if known[r.Namespace] == nil {
				s, err := k.space(r.Namespace)
				if err != nil {
					return err
				}
				if known[r.Namespace], err = s.bucketCounts(); err != nil {
					return fmt.Errorf("count the frames of devices in namespace %s: %w", r.Namespace, err)
				}
			}
			counts[i] = known[r.Namespace][r.Device]
		}
		return nil
	})
	return counts, err
}

// bucketCounts are those of all token bucket filters, by the device's name.
func (s *space) bucketCounts() (map[string]RateCount, error) {
	all, err := s.link.QdiscList(nil)
	if err != nil {
		return nil, err
	}
	links, err := s.link.LinkList()
	if err != nil {
		return nil, err
	}
	names, counts := map[int]string{}, map[string]RateCount{}
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	for _, q := range all {
		if tbf, ok := q.(*netlink.Tbf); ok && tbf.Statistics != nil && tbf.Statistics.Queue != nil {
			q := tbf.Statistics.Queue
			counts[names[tbf.LinkIndex]] = RateCount{Dropped: uint64(q.Drops), Delayed: uint64(q.Overlimits)}
		}
	}
	return counts, nil
}
