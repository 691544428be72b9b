package dataplane

import (
	"fmt"

	"github.com/plinksim/plinksim/pkg/packet"
)

// eniMap knows which device an ENI is. It is never changed once made.
type eniMap struct {
	byIndex map[int32]packet.ENI
	index   []int32 // by ENI; 0 where there is none
}

func newENIMap(enis map[int]packet.ENI) (*eniMap, error) {
	var highest packet.ENI
	for _, eni := range enis {
		highest = max(highest, eni)
	}
	m := &eniMap{byIndex: make(map[int32]packet.ENI, len(enis)), index: make([]int32, int(highest)+1)}
	for ifindex, eni := range enis {
		if ifindex <= 0 || int(int32(ifindex)) != ifindex {
			return nil, fmt.Errorf("ENI %d cannot have the interface index %d: give it the index of a device", eni,
				ifindex)
		}
		if eni == 0 {
			return nil, fmt.Errorf("interface %d cannot be ENI 0: number ENIs from 1", ifindex)
		}
		if other := m.index[eni]; other != 0 {
			return nil, fmt.Errorf("interfaces %d and %d cannot both be ENI %d", min(ifindex, int(other)),
				max(ifindex, int(other)), eni)
		}
		m.byIndex[int32(ifindex)] = eni
		m.index[eni] = int32(ifindex)
	}
	return m, nil
}

// ifindex is the device of eni, 0 if it has none.
func (m *eniMap) ifindex(eni packet.ENI) int32 {
	if int(eni) >= len(m.index) {
		return 0
	}
	return m.index[eni]
}
