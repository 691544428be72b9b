package compile

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	mdns "github.com/miekg/dns"

	"github.com/plinksim/plinksim/pkg/dns"
	"github.com/plinksim/plinksim/pkg/fullnat"
	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
)

// place is where a packet is to go.
type place struct {
	protocol topology.Protocol // TCP or UDP
	host     string            // a reference, a domain name or an address
	port     uint16            // 0 where none was named
}

func (s Situation) place(to string) (place, error) {
	p := place{protocol: topology.TCP}
	rest := to
	if scheme, after, ok := strings.Cut(to, "://"); ok {
		// Not url.Parse: in http://ep1@zone/ it takes ep1 for a user.
		rest = after
		if end := strings.IndexAny(after, "/?#"); end >= 0 {
			rest = after[:end]
		}
		switch topology.Protocol(scheme) {
		case topology.TCP:
		case topology.UDP:
			p.protocol = topology.UDP
		case topology.HTTP:
			p.port = 80
		case topology.HTTPS:
			p.port = 443
		default:
			return p, fmt.Errorf("%q: %q cannot be followed: want tcp, udp, http or https", to, scheme)
		}
	}
	host, port, err := splitPort(rest)
	if err != nil {
		return p, fmt.Errorf("%q: %w", to, err)
	}
	if port != 0 {
		p.port = port
	}
	if p.host = host; host == "" {
		return p, fmt.Errorf("%q names no place: write for example ep1, ep1:80 or http://ep1/", to)
	}
	return p, nil
}

func splitPort(text string) (host string, port uint16, err error) {
	if addr, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		return addr.String(), 0, nil
	}
	host, digits, err := net.SplitHostPort(text)
	if err != nil {
		return text, 0, nil
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || n == 0 {
		return "", 0, fmt.Errorf("%q is not a port: want 1 to 65535", digits)
	}
	return host, uint16(n), nil
}

// resolve finds the addresses of a host as the instance's programs would.
func (s Situation) resolve(from *topology.Instance, host string) ([]netip.Addr, status.Station, error) {
	station := status.Station{Name: "name", Passes: true}
	if addr, err := netip.ParseAddr(host); err == nil {
		station.Text = "an address needs no resolver"
		return []netip.Addr{addr}, station, nil
	}
	if addrs := s.inHosts(from, host); len(addrs) > 0 {
		station.Text = fmt.Sprintf("the hosts file of %s has %s for %s", from.Name, addrs[0], host)
		return addrs[:1], station, nil
	}
	name, err := s.Plan.Lookup(host)
	var missing *topology.NotFoundError
	switch {
	case err == nil:
	case errors.As(err, &missing):
		if name = s.candidate(from, host); name == "" {
			return nil, station, err
		}
	default:
		return nil, station, err
	}
	if addr, err := netip.ParseAddr(name); err == nil {
		station.Text = fmt.Sprintf("%s is the address %s", host, addr)
		return []netip.Addr{addr}, station, nil
	}
	addrs, text, err := s.ask(from, name)
	if err != nil {
		return nil, station, err
	}
	station.Text, station.Passes = text, len(addrs) > 0
	if len(addrs) == 0 {
		station.Remedy = s.nameRemedy(from, name)
	}
	return addrs, station, nil
}

// candidate is the first of the names along the instance's search list that has
// addresses, the name itself where none has and it has a dot, else "".
func (s Situation) candidate(from *topology.Instance, host string) string {
	_, domain, _ := strings.Cut(from.DNSName, ".")
	for _, name := range dns.Candidates(host, []string{domain}, 1) {
		if addrs, _, err := s.ask(from, name); err == nil && len(addrs) > 0 {
			return strings.TrimSuffix(name, ".")
		}
	}
	if strings.Contains(host, ".") {
		return strings.TrimSuffix(host, ".")
	}
	return ""
}

// ask asks the view of the VPC's resolver.
func (s Situation) ask(from *topology.Instance, name string) (addrs []netip.Addr, text string, err error) {
	view, err := s.Names.View(from.VPC)
	if err != nil {
		return nil, "", err
	}
	rcode := 0
	for _, kind := range []uint16{mdns.TypeA, mdns.TypeAAAA} {
		reply := view.Answer(new(mdns.Msg).SetQuestion(mdns.Fqdn(name), kind), from.IP)
		rcode = reply.Rcode
		for _, rr := range reply.Answer {
			switch rr := rr.(type) {
			case *mdns.A:
				addr, _ := netip.AddrFromSlice(rr.A.To4())
				addrs = append(addrs, addr)
			case *mdns.AAAA:
				addr, _ := netip.AddrFromSlice(rr.AAAA)
				addrs = append(addrs, addr)
			}
		}
	}
	if len(addrs) == 0 {
		return nil, fmt.Sprintf("the resolver of VPC %s answers %s for %s",
			from.VPC, mdns.RcodeToString[rcode], name), nil
	}
	var texts []string
	for _, addr := range addrs {
		texts = append(texts, addr.String())
	}
	return addrs, fmt.Sprintf("%s is %s, asked from zone %s", name, strings.Join(texts, ", "), from.Zone), nil
}

func (s Situation) nameRemedy(from *topology.Instance, name string) string {
	for i := range s.Plan.VPCs {
		for _, other := range s.Plan.VPCs[i].Instances {
			if other.VPC != from.VPC && strings.EqualFold(other.DNSName, name) {
				return fmt.Sprintf("names of instances are known in their own VPC alone; use the name of an endpoint in VPC %s", from.VPC)
			}
		}
	}
	return "use the name of an endpoint, or one of the instance's own VPC"
}

// onlyPort is the port where the place has only one.
func (s Situation) onlyPort(from *topology.Instance, p place, addrs []netip.Addr) (uint16, error) {
	var ports []uint16
	for _, addr := range addrs {
		for _, l := range s.linksAt(from.VPC, addr) {
			if l.Protocol == p.protocol.Transport().Number() && !slices.Contains(ports, l.Match.Port()) {
				ports = append(ports, l.Match.Port())
			}
		}
	}
	switch len(ports) {
	case 0:
		return 0, fmt.Errorf("%s has no %s listener to tell the port by: write %s:PORT", p.host, p.protocol, p.host)
	case 1:
		return ports[0], nil
	}
	return 0, fmt.Errorf("%s listens on several %s ports: write %s",
		p.host, p.protocol, orList(ports, func(port uint16) string {
			return fmt.Sprintf("%s:%d", p.host, port)
		}))
}

func orList[T any](items []T, text func(T) string) string {
	var out []string
	for _, item := range items {
		out = append(out, text(item))
	}
	return strings.Join(out, " or ")
}

// linksAt are the links that start at an address in a VPC.
func (s Situation) linksAt(vpc string, addr netip.Addr) (links []*fullnat.Link) {
	for i := range s.Desired.Dataplane.NAT.Links {
		l := &s.Desired.Dataplane.NAT.Links[i]
		if l.Match.Addr() == addr && s.eniOf(l.Ingress).VPC == vpc {
			links = append(links, l)
		}
	}
	return links
}

func (s Situation) eniOf(number packet.ENI) *topology.ENI {
	for _, eni := range s.Plan.ENIs() {
		if s.Numbers[eni.Device] == number {
			return eni
		}
	}
	return &topology.ENI{}
}
