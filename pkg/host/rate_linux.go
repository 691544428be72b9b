package host

import (
	"errors"
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

// RateDrops counts the frames that found the queue of a device full, for devices
// that LimitRates has limited, by place.
func RateDrops(dir string, rates ...Rate) ([]uint64, error) {
	drops := make([]uint64, len(rates))
	err := onThread(func() error {
		k := newKernel(dir)
		defer k.close()
		var errs []error
		for i, r := range rates {
			s, err := k.space(r.Namespace)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			device, err := s.device(r.Device)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			tbf, err := s.bucketOf(device)
			if err != nil {
				errs = append(errs, err)
			} else if tbf != nil && tbf.Statistics != nil && tbf.Statistics.Queue != nil {
				drops[i] = uint64(tbf.Statistics.Queue.Drops)
			}
		}
		return errors.Join(errs...)
	})
	return drops, err
}
