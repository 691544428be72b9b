package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// Timeouts and tries of a program that looks a name up: the defaults of
// resolv.conf(5).
const (
	resolverTimeout  = 5 * time.Second
	resolverAttempts = 2
)

// Resolver finds names as the programs of an instance do: in its hosts file,
// then at its name servers, along its search list. Go's own resolver with a
// dialer of ours would do that too, but for the /etc/hosts, the /etc/resolv.conf
// and the environment of this process (golang/go#17329), which are another
// machine's. The zero value finds addresses alone.
type Resolver struct {
	// Hosts is the hosts file; nil is an empty one.
	Hosts func() []Host
	// Servers are asked in this order, the next one where one fails.
	Servers []netip.AddrPort
	// Search and Ndots are as in resolv.conf(5), where Ndots is 1 by default.
	// The domains have no final dot.
	Search []string
	Ndots  int
	// Dial opens a connection to a server.
	Dial Dial
}

// Host is a name in a hosts file.
type Host struct {
	IP   netip.Addr
	Name string
}

// NewResolver makes a resolver of the text of a resolv.conf and of a hosts
// file, which may be another one for each name.
func NewResolver(resolvConf string, hosts func() string, dial Dial) (*Resolver, error) {
	config, err := dns.ClientConfigFromReader(strings.NewReader(resolvConf))
	if err != nil {
		return nil, err
	}
	r := &Resolver{Search: config.Search, Ndots: config.Ndots, Dial: dial}
	for _, server := range config.Servers {
		addr, err := netip.ParseAddr(server)
		if err != nil {
			return nil, fmt.Errorf("resolv.conf: nameserver %q is not an address", server)
		}
		r.Servers = append(r.Servers, netip.AddrPortFrom(addr, 53))
	}
	r.Hosts = func() []Host { return parseHosts(hosts()) }
	return r, nil
}

// parseHosts reads a hosts file; what is not a line of one is left out, as the
// C libraries do.
func parseHosts(text string) (hosts []Host) {
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		addr, err := netip.ParseAddr(fields[0])
		if err != nil {
			continue
		}
		for _, name := range fields[1:] {
			hosts = append(hosts, Host{addr.Unmap(), name})
		}
	}
	return hosts
}

// Candidates are the names to ask for in turn, with a final dot, where a
// program wants name: resolv.conf(5), "search".
func Candidates(name string, search []string, ndots int) []string {
	return (&dns.ClientConfig{Search: search, Ndots: ndots}).NameList(name)
}

// LookupHost is as net.Resolver's.
func (r *Resolver) LookupHost(ctx context.Context, name string) ([]string, error) {
	addrs, err := r.LookupNetIP(ctx, "ip", name)
	var out []string
	for _, addr := range addrs {
		out = append(out, addr.String())
	}
	return out, err
}

// LookupNetIP is as net.Resolver's: network is ip, ip4 or ip6. IPv6 addresses
// come first where there is a route to one (RFC 6724, 6, rules 1 and 6).
func (r *Resolver) LookupNetIP(ctx context.Context, network, name string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(name); err == nil {
		return inFamily(network, []netip.Addr{addr.Unmap()}, name)
	}
	if addrs := r.InHosts(name); len(addrs) > 0 {
		return inFamily(network, addrs, name)
	}
	var addrs []netip.Addr
	err := r.inTurn(name, func(candidate string) (found bool, err error) {
		addrs, err = r.addresses(ctx, network, candidate)
		return len(addrs) > 0, err
	})
	if err != nil {
		return nil, err
	}
	four, six := split(addrs)
	if len(four) > 0 && len(six) > 0 && !r.reaches(ctx, six[0]) {
		return slices.Concat(four, six), nil
	}
	return slices.Concat(six, four), nil
}

// LookupRecords gives the records of one type, and those of CNAMEs that led to
// them. The hosts file has no say.
func (r *Resolver) LookupRecords(ctx context.Context, name string, qtype uint16) ([]dns.RR, error) {
	var records []dns.RR
	err := r.inTurn(name, func(candidate string) (found bool, err error) {
		records, err = r.ask(ctx, candidate, qtype)
		return len(records) > 0, err
	})
	return records, err
}

// InHosts are the addresses that the hosts file has for a name.
func (r *Resolver) InHosts(name string) (addrs []netip.Addr) {
	if r.Hosts == nil {
		return nil
	}
	for _, h := range r.Hosts() {
		if strings.EqualFold(h.Name, strings.TrimSuffix(name, ".")) {
			addrs = append(addrs, h.IP)
		}
	}
	return addrs
}

// inTurn looks for one candidate after the other until one is found. A server
// that fails hides no name that another candidate has, as in glibc.
func (r *Resolver) inTurn(name string, look func(candidate string) (found bool, err error)) error {
	failed := notFound(name, "")
	if len(r.Servers) > 0 {
		failed.Server = r.Servers[0].String()
	}
	if _, ok := dns.IsDomainName(name); !ok || name == "" {
		return failed
	}
	for _, candidate := range Candidates(name, r.Search, r.Ndots) {
		if _, ok := dns.IsDomainName(candidate); !ok {
			continue // too long with this domain
		}
		found, err := look(candidate)
		var problem *net.DNSError
		switch {
		case found:
			return nil
		case errors.As(err, &problem) && failed.IsNotFound:
			failed = problem
			failed.Name = name
		}
		if failed.IsTimeout {
			break // the next candidate would not get an answer either
		}
	}
	return failed
}

// addresses asks for both families at a time.
func (r *Resolver) addresses(ctx context.Context, network, name string) ([]netip.Addr, error) {
	types := map[string][]uint16{"ip": {dns.TypeA, dns.TypeAAAA}, "ip4": {dns.TypeA}, "ip6": {dns.TypeAAAA}}[network]
	if types == nil {
		return nil, &net.DNSError{Err: net.UnknownNetworkError(network).Error(), Name: name}
	}
	records, errs := make([][]dns.RR, len(types)), make([]error, len(types))
	var asking sync.WaitGroup
	for i, qtype := range types {
		asking.Go(func() { records[i], errs[i] = r.ask(ctx, name, qtype) })
	}
	asking.Wait()
	var addrs []netip.Addr
	for _, rr := range slices.Concat(records...) {
		if addr, ok := addressOf(rr); ok {
			addrs = append(addrs, addr)
		}
	}
	if len(addrs) > 0 {
		return addrs, nil
	}
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// addressOf is the address in an A or AAAA record.
func addressOf(rr dns.RR) (addr netip.Addr, ok bool) {
	switch rr := rr.(type) {
	case *dns.A:
		addr, ok = netip.AddrFromSlice(rr.A)
	case *dns.AAAA:
		return netip.AddrFromSlice(rr.AAAA)
	}
	return addr.Unmap(), ok
}

// ask asks for a whole name. There is no error where the name or the record is
// not there, and a *net.DNSError where no server can say.
func (r *Resolver) ask(ctx context.Context, name string, qtype uint16) ([]dns.RR, error) {
	failed := &net.DNSError{Err: "no name server is configured", Name: name}
	q := dns.Question{Name: name, Qtype: qtype, Qclass: dns.ClassINET}
	for range resolverAttempts {
		for _, server := range r.Servers {
			m, err := r.exchange(ctx, server, q)
			switch {
			case err != nil:
				failed = lookupError(ctx, name, server, err)
			case m.Rcode == dns.RcodeSuccess, m.Rcode == dns.RcodeNameError:
				return m.Answer, nil
			default:
				failed = &net.DNSError{
					Err: "the server answers " + dns.RcodeToString[m.Rcode], Name: name, Server: server.String(),
					IsTemporary: true,
				}
			}
			if ctx.Err() != nil {
				return nil, failed
			}
		}
	}
	return nil, failed
}

func (r *Resolver) exchange(ctx context.Context, server netip.AddrPort, q dns.Question) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, resolverTimeout)
	defer cancel()
	return ask(ctx, r.Dial, server, q, false)
}

func lookupError(ctx context.Context, name string, server netip.AddrPort, err error) *net.DNSError {
	// The context's error, and not what it did to a connection, whose clock may
	// be the faster one.
	if deadline, ok := ctx.Deadline(); ctx.Err() != nil {
		err = ctx.Err()
	} else if ok && !time.Now().Before(deadline) {
		err = context.DeadlineExceeded
	}
	var timeout net.Error
	return &net.DNSError{
		UnwrapErr: err, Err: err.Error(), Name: name, Server: server.String(), IsTemporary: true,
		IsTimeout: errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout(),
	}
}

func notFound(name, server string) *net.DNSError {
	return &net.DNSError{Err: "no such host", Name: name, Server: server, IsNotFound: true}
}

// reaches reports whether there is a route to an address. To connect a
// datagram socket sends nothing.
func (r *Resolver) reaches(ctx context.Context, addr netip.Addr) bool {
	conn, err := r.Dial(ctx, "udp", netip.AddrPortFrom(addr, 9).String())
	if err == nil {
		conn.Close()
	}
	return err == nil
}

// inFamily leaves out the addresses that a network does not have.
func inFamily(network string, addrs []netip.Addr, name string) ([]netip.Addr, error) {
	four, six := split(addrs)
	switch network {
	case "ip4":
		addrs = four
	case "ip6":
		addrs = six
	}
	if len(addrs) == 0 {
		return nil, notFound(name, "")
	}
	return addrs, nil
}

func split(addrs []netip.Addr) (four, six []netip.Addr) {
	for _, addr := range addrs {
		if addr.Is4() {
			four = append(four, addr)
		} else {
			six = append(six, addr)
		}
	}
	return four, six
}
