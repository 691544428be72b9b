package dns_test

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	miekg "github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/dns"
)

// outside is what an upstream knows.
func outside() dns.Config {
	wide := dns.Name{FQDN: "wide.example.org"}
	for i := range 100 {
		wide.Addrs = append(wide.Addrs, dns.Address{IP: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), Up: true})
	}
	return dns.Config{
		Names: []dns.Name{wide, {FQDN: "www.example.org", Addrs: up("192.0.2.1")}, {FQDN: "ecs9.vpc1.internal", Addrs: up("192.0.2.66")}},
		Zones: []string{"example.org", "internal"},
		TTL:   time.Minute,
	}
}

// upstreamAt serves cfg on an address of the loopback that is not the
// askers', for who is an upstream is not answered by asking upstreams.
func upstreamAt(t *testing.T, ip string, cfg dns.Config) (netip.AddrPort, *dns.Server) {
	t.Helper()
	s := &dns.Server{}
	s.SetView(viewOf(t, cfg))
	pc, ln := listenOn(t, ip)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, pc, ln) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	return netip.MustParseAddrPort(pc.LocalAddr().String()), s
}

func dial(ctx context.Context, network, address string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

func forwarding(t *testing.T, upstreams ...netip.AddrPort) (addr string, s *dns.Server) {
	t.Helper()
	s = &dns.Server{Forwarder: &dns.Forwarder{Upstreams: upstreams, Dial: dial}}
	s.SetView(viewOf(t, private()))
	return serve(t, s), s
}

func TestForeignNamesAreForwardedAndRemembered(t *testing.T) {
	upstream, asked := upstreamAt(t, "127.0.0.2", outside())
	addr, s := forwarding(t, upstream)
	const soa = "\n; example.org. 60 IN SOA ns.example.org. hostmaster.example.org. 1 3600 600 86400 60"
	for _, tt := range []struct {
		name, asks, want string
		upstream         uint64 // how many questions the upstream has had by then
	}{
		{"a foreign name", "www.example.org A", "NOERROR\nwww.example.org. 60 IN A 192.0.2.1", 1},
		{"is asked for once", "www.example.org A", "NOERROR\nwww.example.org. 60 IN A 192.0.2.1", 1},
		{"whatever its case", "WWW.example.ORG A", "NOERROR\nWWW.example.ORG. 60 IN A 192.0.2.1", 1},
		{"another type is another question", "www.example.org TXT", "NOERROR" + soa, 2},
		{"that there is none is remembered", "www.example.org TXT", "NOERROR" + soa, 2},
		{"a foreign name that is missing", "no.example.org A", "NXDOMAIN" + soa, 3},
		{"is remembered, too", "no.example.org A", "NXDOMAIN" + soa, 3},
		{"a name of ours is never forwarded", "ecs1.vpc1.internal A", "NOERROR aa\necs1.vpc1.internal. 60 IN A 10.0.1.10", 3},
		{"nor one that is missing in our zones", "ecs9.vpc1.internal A", "NXDOMAIN aa" + soaInternal, 3},
		{"nor one in a private zone", "nobody.corp.example A", "NXDOMAIN aa" + soaCorp, 3},
		{"a CNAME that leads away is followed there", "away.corp.example A",
			"NOERROR aa\naway.corp.example. 60 IN CNAME www.example.org.\nwww.example.org. 60 IN A 192.0.2.1", 3},
		{"what the upstream refuses", "www.example.net A", "SERVFAIL", 4},
		{"is remembered for a moment", "www.example.net A", "SERVFAIL", 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := exchange(t, "udp", addr, question(tt.asks))
			require.Equal(t, tt.want, say(m))
			require.True(t, m.RecursionAvailable)
			require.Equal(t, tt.upstream, asked.Stats().UDP)
		})
	}
	require.EqualValues(t, 4, s.Stats().Forwarded)
	require.EqualValues(t, 1, s.Stats().ForwardsFailed)
	require.EqualValues(t, 6, s.Stats().Cached)
}

func TestALongAnswerComesByTCP(t *testing.T) { // dns 56
	upstream, asked := upstreamAt(t, "127.0.0.2", outside())
	addr, _ := forwarding(t, upstream)
	require.True(t, exchange(t, "udp", addr, question("wide.example.org A")).Truncated)
	require.Len(t, exchange(t, "tcp", addr, question("wide.example.org A")).Answer, 100)
	require.EqualValues(t, 1, asked.Stats().TCP)
}

func TestTheNextUpstreamIsAskedWhereOneFails(t *testing.T) { // dns 52
	refuses, first := upstreamAt(t, "127.0.0.2", dns.Config{})
	upstream, _ := upstreamAt(t, "127.0.0.3", outside())
	gone := netip.MustParseAddrPort("127.0.0.4:1") // refused by the kernel
	addr, _ := forwarding(t, refuses, gone, upstream)
	require.Equal(t, "NOERROR\nwww.example.org. 60 IN A 192.0.2.1", say(exchange(t, "udp", addr, question("www.example.org A"))))
	require.EqualValues(t, 1, first.Stats().UDP)
	addr, _ = forwarding(t, gone)
	m := exchange(t, "udp", addr, question("www.example.org A").SetEdns0(1232, false))
	require.Equal(t, "SERVFAIL", say(m))
	require.Equal(t, "22 (No Reachable Authority): (no upstream of this VPC has an answer)", m.IsEdns0().Option[0].String())
}

func TestWhatIsNotForwarded(t *testing.T) { // dns 55
	upstream, asked := upstreamAt(t, "127.0.0.2", outside())
	addr, _ := forwarding(t, upstream)
	req := question("www.example.org A")
	req.RecursionDesired = false
	require.Equal(t, "REFUSED", say(exchange(t, "udp", addr, req)), "who wants no recursion gets none")
	req = question("www.example.org AXFR")
	require.Equal(t, "REFUSED", say(exchange(t, "tcp", addr, req)), "zones are not transferred")
	// The asker is itself an upstream: its question would come back to it.
	addr, _ = forwarding(t, upstream, netip.MustParseAddrPort("127.0.0.1:5353"))
	require.Equal(t, "REFUSED", say(exchange(t, "udp", addr, question("www.example.org A"))))
	require.Zero(t, asked.Stats().UDP)
}

// gate is an upstream that answers when it is opened.
type gate struct {
	open  chan struct{}
	mu    sync.Mutex
	asked int
}

func (g *gate) dial(ctx context.Context, network, address string) (net.Conn, error) {
	g.mu.Lock()
	g.asked++
	g.mu.Unlock()
	select {
	case <-g.open:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return dial(ctx, network, address)
}

func TestOneQuestionIsAskedOnceAndHoldsUpNobody(t *testing.T) { // dns 47
	upstream, _ := upstreamAt(t, "127.0.0.2", outside())
	g := &gate{open: make(chan struct{})}
	s := &dns.Server{Forwarder: &dns.Forwarder{Upstreams: []netip.AddrPort{upstream}, Dial: g.dial}}
	s.SetView(viewOf(t, config()))
	conn, err := net.Dial("tcp", serve(t, s))
	require.NoError(t, err)
	defer conn.Close()
	c := miekg.Conn{Conn: conn}
	for i := range 5 {
		req := question("www.example.org A")
		req.Id = uint16(i)
		require.NoError(t, c.WriteMsg(req))
	}
	own := question("ecs1.vpc1.internal A")
	own.Id = 99
	require.NoError(t, c.WriteMsg(own))
	m, err := c.ReadMsg()
	require.NoError(t, err)
	require.EqualValues(t, 99, m.Id, "it came last, and what it asked for is known here")
	close(g.open)
	ids := map[uint16]bool{}
	for range 5 {
		m, err := c.ReadMsg()
		require.NoError(t, err)
		require.Len(t, m.Answer, 1)
		ids[m.Id] = true
	}
	require.Len(t, ids, 5)
	require.Equal(t, 1, g.asked)
}

func TestWatch(t *testing.T) {
	upstream, _ := upstreamAt(t, "127.0.0.2", outside())
	addr, s := forwarding(t, upstream)
	exchange(t, "udp", addr, question("ecs1.vpc1.internal A")) // before anybody watches
	var mu sync.Mutex
	var seen []string
	stop := s.Watch(func(q dns.Query) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, strings.TrimSpace(strings.Join([]string{q.Name, q.Type, q.Code, q.Source, strings.Join(q.Data, ", ")}, " ")))
		if q.Size == 0 || q.Took <= 0 || q.Asker.Addr().String() != "127.0.0.1" || q.Time.IsZero() {
			t.Errorf("%+v", q)
		}
	})
	for _, asks := range []string{"API.corp.example A", "www.example.org A", "www.example.org A", "no.internal AAAA"} {
		exchange(t, "udp", addr, question(asks))
	}
	stop()
	exchange(t, "udp", addr, question("ecs1.vpc1.internal A"))
	mu.Lock()
	defer mu.Unlock()
	require.Equal(t, []string{
		"API.corp.example. A NOERROR authority CNAME " + endpoint + "., 10.0.1.200, 10.0.2.200",
		"www.example.org. A NOERROR upstream 192.0.2.1",
		"www.example.org. A NOERROR cache 192.0.2.1",
		"no.internal. AAAA NXDOMAIN authority",
	}, seen)
}
