package lab

import (
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/topology"
)

func planOfDevices(devices ...string) *topology.Plan {
	plan := &topology.Plan{}
	for _, device := range devices {
		zone := topology.EndpointZone{ENI: topology.ENI{Device: device}}
		plan.Endpoints = append(plan.Endpoints, topology.Endpoint{Zones: []topology.EndpointZone{zone}})
	}
	return plan
}

// Numbers go from ENIs that have left to new ones: there are not more than ENIs at a time,
// with those of a minute, and no two ENIs have one.
func TestNumbersOfENIsThatAreGoneAreGivenAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n numbering
		const perMinute = 10
		for i := range 1000 {
			numbers := n.add(planOfDevices("stays", fmt.Sprint("comes", i)))
			seen := map[packet.ENI]bool{}
			for _, number := range numbers {
				require.False(t, seen[number])
				seen[number] = true
			}
			require.Equal(t, packet.ENI(1), numbers["stays"])
			require.LessOrEqual(t, len(numbers), perMinute+3)
			time.Sleep(time.Minute / perMinute)
		}
		require.LessOrEqual(t, n.highest, packet.ENI(perMinute+3))
	})
}

// An ENI that comes back within a while has its number, and no other has it meanwhile.
func TestAnENIThatComesBackHasItsNumber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n numbering
		was := n.add(planOfDevices("a", "b"))["b"]
		n.add(planOfDevices("a"))
		time.Sleep(numberRest - time.Second)
		require.NotEqual(t, was, n.add(planOfDevices("a", "c"))["c"])
		require.Equal(t, was, n.add(planOfDevices("a", "b", "c"))["b"])
		time.Sleep(numberRest)
		require.NotEqual(t, was, n.add(planOfDevices("a", "b", "c", "d"))["d"])
	})
}

// A lab goes on when all numbers that there are were given.
func TestNumbersOfENIsDoNotRunOut(t *testing.T) {
	n := numbering{highest: math.MaxUint16 - 3}
	for round := range 10 { // in less than the rest
		one, other := fmt.Sprint("a", round), fmt.Sprint("b", round)
		numbers := n.add(planOfDevices(one, other))
		require.NotZero(t, numbers[one])
		require.NotZero(t, numbers[other])
		require.NotEqual(t, numbers[one], numbers[other])
		require.LessOrEqual(t, len(numbers), 4)
	}
}
