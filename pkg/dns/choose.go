package dns

import "slices"

// choose gives the addresses for an asker of one zone, in the order in which
// they are to be tried; zone is "" for one without affinity.
func (f *family) choose(zone string, turn uint32) []Address {
	if zone != "" {
		if near := which(f.up, func(a Address) bool { return a.Zone == zone }); len(near) > 0 {
			return rotate(near, turn)
		}
	}
	if len(f.up) > 0 {
		return rotate(f.up, turn)
	}
	// Nothing is up: open rather than closed, the asker's own zone first. A
	// Network Load Balancer does so ("Troubleshoot your Network Load Balancer":
	// if there are no healthy targets, all addresses are in DNS). Alibaba Cloud
	// says nothing about it.
	open := which(f.all, func(a Address) bool { return a.Unhealthy })
	if len(open) == 0 {
		open = f.all
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

// rotate gives the addresses beginning at another one each turn. Where there is
// more than one it is a copy.
func rotate(addrs []Address, turn uint32) []Address {
	if len(addrs) < 2 {
		return addrs
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
			c.Reason = "nothing is up, so it is given even so: " + a.Why
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
