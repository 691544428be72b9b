package topofile

import (
	"fmt"
	"strconv"

	"github.com/plinksim/plinksim/pkg/topology"
)

// share, rate and megabits are values of the file.
type (
	share    float64
	rate     int64 // bit/s
	megabits int   // Mbit/s; 0: not limited
)

const (
	rateHint  = "write a number and a unit, such as 100Mbit or 2.5Gbit, or none"
	shareHint = "write a percentage, such as 1% or 0.5%"
)

func parseMegabits(text string, v *megabits) (hint string, err error) {
	if text == "none" {
		*v = 0
		return "", nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		hint = fmt.Sprintf("write a number of Mbit/s from %d to %d, or none", topology.MinMegabits,
			topology.MaxMegabits)
		return hint, fmt.Errorf("is %q, not a whole number", text)
	}
	if n < topology.MinMegabits || n > topology.MaxMegabits {
		return fmt.Sprintf("write a number from %d to %d, or none", topology.MinMegabits, topology.MaxMegabits),
			fmt.Errorf("is %d, outside %d to %d", n, topology.MinMegabits, topology.MaxMegabits)
	}
	*v = megabits(n)
	return "", nil
}

// over is base with what the file says in its place.
func (w rawOneWay) over(base topology.Impairment) topology.Impairment {
	return topology.Impairment{
		Bandwidth: int64(w.Bandwidth.or(rate(base.Bandwidth))),
		Delay:     w.Delay.or(base.Delay),
		Jitter:    w.Jitter.or(base.Jitter),
		Loss:      float64(w.Loss.or(share(base.Loss))),
		Reorder:   float64(w.Reorder.or(share(base.Reorder))),
		Duplicate: float64(w.Duplicate.or(share(base.Duplicate))),
		Corrupt:   float64(w.Corrupt.or(share(base.Corrupt))),
	}
}

func (r rawImpairments) oneWay() rawOneWay {
	return rawOneWay{
		Bandwidth: r.Bandwidth, Delay: r.Delay, Jitter: r.Jitter, Loss: r.Loss,
		Reorder: r.Reorder, Duplicate: r.Duplicate, Corrupt: r.Corrupt, Node: r.Node,
	}
}
