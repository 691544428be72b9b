package host

import (
	"fmt"

	"github.com/plinksim/plinksim/pkg/topology"
)

// ENIIndexes gives the interface index of every ENI's device in the data plane
// namespace, by the device's name. It fails if one is missing.
func ENIIndexes(dir string, plan *topology.Plan) (map[string]int, error) {
	indexes := map[string]int{}
	err := onThread(func() error {
		k := newKernel(dir)
		defer k.close()
		s, err := k.space(plan.Dataplane)
		if err != nil {
			return err
		}
		links, err := s.link.LinkList()
		if err != nil {
			return fmt.Errorf("list the devices of namespace %s: %w", plan.Dataplane, err)
		}
		all := map[string]int{}
		for _, l := range links {
			all[l.Attrs().Name] = l.Attrs().Index
		}
		for _, eni := range plan.ENIs() {
			i, ok := all[eni.Device]
			if !ok {
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
