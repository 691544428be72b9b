package lb

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTableIsItsTwin fills tables as the paper explains it: with the whole
// permutation of every server written down, and turns counted as fractions.
func TestTableIsItsTwin(t *testing.T) {
	for _, weights := range [][]int{{1}, {1, 1}, {100, 50, 1}, {3, 7, 7, 20, 1}, {1, 2, 3, 4, 5, 6}} {
		t.Run(fmt.Sprint(weights), func(t *testing.T) {
			servers := make([]*server, len(weights))
			for i := range servers {
				servers[i] = &server{addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 80)}
			}
			require.Equal(t, tableTwin(servers, weights), newTable(servers, weights))
		})
	}
}

func tableTwin(servers []*server, weights []int) []uint16 {
	heaviest := 0
	permutations := make([][]int, len(servers))
	for i, s := range servers {
		heaviest = max(heaviest, weights[i])
		h := hashEnd(s.addr)
		offset, skip := int(mix(h, 1)%tableSize), int(mix(h, 2)%(tableSize-1))+1
		for j := range tableSize {
			permutations[i] = append(permutations[i], (offset+j*skip)%tableSize)
		}
	}
	owner := map[int]int{}
	for round := 1; len(owner) < tableSize; round++ {
		for i := range servers {
			// In so many rounds a server has had so many turns, to the last.
			if round*weights[i]/heaviest == (round-1)*weights[i]/heaviest || len(owner) == tableSize {
				continue
			}
			for _, entry := range permutations[i] {
				permutations[i] = permutations[i][1:]
				if _, taken := owner[entry]; !taken {
					owner[entry] = i
					break
				}
			}
		}
	}
	table := make([]uint16, tableSize)
	for entry, i := range owner {
		table[entry] = uint16(i)
	}
	return table
}

func TestNoServersMakeNoTable(t *testing.T) { require.Nil(t, newTable(nil, nil)) }
