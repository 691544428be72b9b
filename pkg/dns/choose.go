package dns

import "slices"

// choose gives the addresses for an asker of one zone, in the order in which
// they are to be tried; zone is "" for one without affinity.
func choose(addrs []Address, zone string, turn uint32) []Address {
	up := which(addrs, func(a Address) bool { return a.Up })
	near := which(up, func(a Address) bool { return isNear(a, zone) })
	switch {
	case len(near) > 0:
		return rotate(near, turn)
	case len(up) > 0:
		return rotate(up, turn)
	}
	// Nothing is up: open rather than closed, the asker's own zone first. A
	// Network Load Balancer does so ("Troubleshoot your Network Load Balancer":
	// if there are no healthy targets, all addresses are in DNS). Alibaba Cloud
	// says nothing about it.
	open := which(addrs, func(a Address) bool { return a.Unhealthy })
	if len(open) == 0 {
		open = addrs
	}
	open = rotate(open, turn)
	slices.SortStableFunc(open, func(a, b Address) int { return rank(a, zone) - rank(b, zone) })
	return open
}

// which is a copy of the addresses for which keep is true.
func which(addrs []Address, keep func(Address) bool) (out []Address) {
	for _, a := range addrs {
		if keep(a) {
			out = append(out, a)
		}
	}
	return out
}

func isNear(a Address, zone string) bool { return zone != "" && a.Zone == zone }

func rank(a Address, zone string) int {
	if isNear(a, zone) {
		return 0
	}
	return 1
}

// rotate is a copy that begins at another address each turn.
func rotate(addrs []Address, turn uint32) []Address {
	if len(addrs) == 0 {
		return nil
	}
	n := int(turn % uint32(len(addrs)))
	return slices.Concat(addrs[n:], addrs[:n])
}

// Choice is an address of a name and what became of it in one answer.
type Choice struct {
	Address
	Given  bool
	Reason string // for people
}

// explain says of every candidate why it was given or left out.
func explain(candidates, given []Address, zone string) []Choice {
	var out []Choice
	for _, a := range candidates {
		c := Choice{Address: a, Given: slices.Contains(given, a)}
		switch near := isNear(a, zone); {
		case !a.Up && c.Given:
			c.Reason = "nothing is up, so it is given all the same: " + a.Why
		case !a.Up:
			c.Reason = a.Why
		case c.Given && near:
			c.Reason = "it is in the asker's zone"
		case c.Given && zone != "":
			c.Reason = "nothing is up in the asker's zone"
		case c.Given:
			c.Reason = "it is up"
		default:
			c.Reason = "zone affinity: the asker's own zone has one that is up"
		}
		out = append(out, c)
	}
	return out
}
