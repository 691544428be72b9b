package lb

// smoothOrder is the order in which servers of these weights take turns: each
// as often as its weight says, divided by what the weights have in common, and
// no server many times in a row if others are due. A server with weight 5 among
// two with weight 1 gets a a b a c a a. It is the order that nginx uses
// (ngx_http_upstream_round_robin.c), worked out once.
func smoothOrder(weights []int) []uint16 {
	if len(weights) == 0 {
		return nil
	}
	total, common := 0, 0
	for _, w := range weights {
		common = divisor(common, w)
		total += w
	}
	total /= common
	order := make([]uint16, total)
	current := make([]int, len(weights))
	for turn := range order {
		best := 0
		for i, w := range weights {
			if current[i] += w / common; current[i] > current[best] {
				best = i
			}
		}
		current[best] -= total
		order[turn] = uint16(best)
	}
	return order
}

// divisor is the greatest common one.
func divisor(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
