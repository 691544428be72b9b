package host

import (
	"fmt"

	"github.com/plinksim/plinksim/pkg/topology"
)

// ENIIndexes gives the interface index of every ENI's device in the data plane
// namespace, by the device's name. It fails if one is missing. Those that are known are
// not looked up again; where these are all that there are, known itself is the answer.
func ENIIndexes(dir string, plan *topology.Plan, known map[string]int) (map[string]int, error) {
	indexes, enis := map[string]int{}, plan.ENIs()
	for _, eni := range enis {
		if i, ok := known[eni.Device]; ok {
			indexes[eni.Device] = i
		}
	}
	switch {
	case len(indexes) == len(enis) && len(known) == len(enis):
		return known, nil
	case len(indexes) == len(enis):
		return indexes, nil
	}
	err := onThread(func() error {
		k := newKernel(dir)
		defer k.close()
		s, err := k.space(plan.Dataplane)
		if err != nil {
			return err
		}
		if len(enis)-len(indexes) > fewDevices {
			links, err := s.link.LinkList()
			if err != nil {
				return fmt.Errorf("list the devices of namespace %s: %w", plan.Dataplane, err)
			}
			for _, l := range links {
				s.indexes[l.Attrs().Name] = l.Attrs().Index
			}
		}
		for _, eni := range enis {
			if _, ok := indexes[eni.Device]; ok {
				continue
			}
			i, err := s.index(eni.Device)
			if err != nil {
				return fmt.Errorf("ENI %s has no device %s in namespace %s: build the lab again",
					eni.Name, eni.Device, plan.Dataplane)
			}
			indexes[eni.Device] = i
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return indexes, nil
}
