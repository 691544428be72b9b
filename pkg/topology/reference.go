package topology

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/plinksim/plinksim/internal/spell"
)

// Expand replaces every ${reference} in text by what it stands for, see
// Lookup. The error names the first reference that stands for nothing.
func (p *Plan) Expand(text string) (string, error) {
	out, errs := p.ExpandAll(text)
	if len(errs) > 0 {
		return "", errs[0]
	}
	return out, nil
}

// ReferenceError says which reference of a text is wrong.
type ReferenceError struct {
	Text string // with ${ and }
	err  error
}

func (e *ReferenceError) Error() string { return fmt.Sprintf("%s: %s", e.Text, e.err) }
func (e *ReferenceError) Unwrap() error { return e.err }

var errNoEnd = errors.New(`"${" has no "}" that ends it`)

// ExpandAll is Expand that goes on after a wrong reference and returns all
// errors.
func (p *Plan) ExpandAll(text string) (string, []*ReferenceError) {
	var out strings.Builder
	var errs []*ReferenceError
	for {
		before, rest, found := strings.Cut(text, "${")
		out.WriteString(before)
		if !found {
			return out.String(), errs
		}
		ref, after, closed := strings.Cut(rest, "}")
		if !closed {
			return out.String(), append(errs, &ReferenceError{"${" + rest, errNoEnd})
		}
		value, err := p.Lookup(ref)
		if err != nil {
			errs = append(errs, &ReferenceError{"${" + ref + "}", err})
		}
		out.WriteString(value)
		text = after
	}
}

// Lookup is what one bare reference stands for:
//
//	ep1             the domain name of the endpoint
//	ep1@zone        its domain name in a zone
//	ep1.ip          the address of its ENI, of the first one if it has several
//	ep1@zone.ip     the address of its ENI in a zone
//	ep1.id          its identifier
//	clb1.ip         the address of the load balancer's node, and so on as above
//	ngw1.ip         the address of the NAT gateway
//	ecs1, vpc1/ecs1 the domain name of the instance
//	ecs1.ip         its address
//
// With .ipv6 instead of .ip it is the IPv6 address.
//
// The identifier of an endpoint, a load balancer or an instance, or its tag Name, stands
// for its name. Where an endpoint and an instance have one name, it is the endpoint's;
// VPC/NAME always is an instance.
func (p *Plan) Lookup(ref string) (string, error) {
	if path, six := strings.CutSuffix(ref, ".ipv6"); six {
		return p.lookupIPv6(path)
	}
	if name, id := strings.CutSuffix(ref, ".id"); id {
		return p.lookupID(name)
	}
	path, address := strings.CutSuffix(ref, ".ip")
	name, zone, zoned := strings.Cut(path, "@")
	if alias, err := p.unaliased(name); err != nil {
		return "", err
	} else if alias != name {
		return p.Lookup(strings.Replace(ref, name, alias, 1))
	}
	endpoint, isEndpoint := p.Endpoint(name)
	balancer, isBalancer := p.LoadBalancer(name)
	gateway, isGateway := p.NATGateway(name)
	switch {
	case isEndpoint == nil:
		return endpoint.lookup(zone, zoned, address)
	case isBalancer == nil:
		return balancer.lookup(zone, zoned, address)
	case isGateway == nil && !zoned && address:
		return addressText(gateway.ENI.IP), nil
	case isGateway == nil:
		return "",
			fmt.Errorf("NAT gateway %q has an address and no domain name: write %s.ip", gateway.Name, gateway.Name)
	}
	instance, err := p.Instance(name)
	var missing *NotFoundError
	switch {
	case errors.As(err, &missing) && p.nameOf(name) != name:
		return p.Lookup(strings.Replace(ref, name, p.nameOf(name), 1))
	case errors.As(err, &missing):
		known := spell.Names(p.Endpoints, func(e *Endpoint) string { return e.Name })
		known = append(known, spell.Names(p.LoadBalancers, func(l *LoadBalancer) string { return l.Name })...)
		return "", &NotFoundError{"endpoint, load balancer or instance", name, append(known, missing.Known...)}
	case err != nil:
		return "", err
	case zoned:
		return "", fmt.Errorf("instance %q is in one place: write %s", name, strings.Replace(ref, "@"+zone, "", 1))
	case address:
		return addressText(instance.IP), nil
	}
	return instance.DNSName, nil
}

// lookupID is Lookup for NAME.id.
func (p *Plan) lookupID(name string) (string, error) {
	alias, err := p.unaliased(name)
	if err != nil {
		return "", err
	}
	if endpoint, err := p.Endpoint(alias); err == nil {
		return endpoint.ID, nil
	}
	_, err = p.Lookup(name)
	if err == nil {
		err = fmt.Errorf("%s is not an endpoint: endpoints alone have .id", name)
	}
	return "", err
}

// unaliased is the name of the endpoint, load balancer or gateway that has a tag Name, or the
// text itself. Plan.Instance knows those of instances.
func (p *Plan) unaliased(text string) (string, error) {
	for _, section := range []string{"endpoints", "load_balancers", "nat_gateways"} {
		if _, name, ok, err := p.Alias(section, "", text); ok || err != nil {
			return name, err
		}
	}
	return text, nil
}

// lookupIPv6 is Lookup for PATH.ipv6.
func (p *Plan) lookupIPv6(path string) (string, error) {
	// Whatever is wrong with the path is wrong with PATH.ip as well.
	if _, err := p.Lookup(path + ".ip"); err != nil {
		return "", err
	}
	name, zone, zoned := strings.Cut(path, "@")
	if alias, err := p.unaliased(name); err == nil { // it was looked up
		name = alias
	}
	var addr netip.Addr
	if ep, err := p.Endpoint(name); err == nil {
		for i := len(ep.Zones) - 1; i >= 0; i-- {
			if z := &ep.Zones[i]; !zoned || z.Zone == zone {
				addr = z.ENI.IPv6
			}
		}
		if !ep.DualStack {
			return "", fmt.Errorf("endpoint %q has no IPv6 address: write ip_address_type: dualstack in it", name)
		}
	} else if lb, err := p.LoadBalancer(name); err == nil {
		for i := len(lb.Nodes) - 1; i >= 0; i-- {
			if n := &lb.Nodes[i]; !zoned || n.Zone == zone {
				addr = n.ENI.IPv6
			}
		}
		if !lb.DualStack {
			return "", fmt.Errorf("load balancer %q has no IPv6 address: write ip_address_type: dualstack in it", name)
		}
	} else if in, err := p.Instance(name); err == nil {
		addr = in.IPv6
		if vpc, err := p.VPC(in.VPC); err == nil {
			if subnet, err := vpc.Subnet(in.Subnet); err == nil && !subnet.IPv6CIDR.IsValid() {
				return "",
					fmt.Errorf("instance %q has no IPv6 address: write an ipv6_cidr in subnet %s", name, subnet.Name)
			}
		}
	} else if known := p.nameOf(name); known != name {
		return p.lookupIPv6(strings.Replace(path, name, known, 1))
	}
	return addressText(addr), nil
}

func (e *Endpoint) lookup(zone string, zoned, address bool) (string, error) {
	if !zoned && !address {
		return e.Domain, nil
	}
	if !zoned {
		if len(e.Zones) == 0 {
			return "", fmt.Errorf("endpoint %q is in no zone", e.Name)
		}
		zone = e.Zones[0].Zone
	}
	z, err := e.Zone(zone)
	if err != nil {
		return "", err
	}
	if address {
		return addressText(z.ENI.IP), nil
	}
	return z.Domain, nil
}

func (l *LoadBalancer) lookup(zone string, zoned, address bool) (string, error) {
	if !address {
		return "", fmt.Errorf("load balancer %q has no domain name: write %s.ip", l.Name, l.Name)
	}
	if !zoned {
		if len(l.Nodes) == 0 {
			return "", fmt.Errorf("load balancer %q is in no zone", l.Name)
		}
		zone = l.Nodes[0].Zone
	}
	n, err := l.Node(zone)
	if err != nil {
		return "", err
	}
	return addressText(n.IP()), nil
}

// addressText is empty for an address that a plan with problems does not have.
func addressText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}
