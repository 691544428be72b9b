package dns_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	miekg "github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/dns"
)

// serve runs a server on loopback until the test ends and gives its address.
func serve(t testing.TB, s *dns.Server) string {
	pc, ln := listen(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, pc, ln) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	return pc.LocalAddr().String()
}

// listen finds a port that is free for both protocols: where TCP has a free
// one, UDP may not.
func listen(t testing.TB) (net.PacketConn, net.Listener) { return listenOn(t, "127.0.0.1") }

func listenOn(t testing.TB, ip string) (net.PacketConn, net.Listener) {
	for range 100 {
		ln, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
		require.NoError(t, err)
		pc, err := net.ListenPacket("udp", ln.Addr().String())
		if err == nil {
			return pc, ln
		}
		require.NoError(t, ln.Close())
	}
	t.Fatal("no port is free for UDP and TCP")
	return nil, nil
}

func exchange(t testing.TB, network, addr string, req *miekg.Msg) *miekg.Msg {
	c := miekg.Client{Net: network, Timeout: 10 * time.Second}
	m, _, err := c.Exchange(req, addr)
	require.NoError(t, err)
	return m
}

// wide is a name with so many addresses that a reply does not fit.
func wide(n int) dns.Config {
	cfg := config()
	name := dns.Name{FQDN: "wide.internal"}
	for i := range n {
		name.Addrs = append(name.Addrs, dns.Address{IP: netip.AddrFrom4([4]byte{10, 8, byte(i >> 8), byte(i)}), Up: true})
	}
	cfg.Names = append(cfg.Names, name)
	return cfg
}

func TestServer(t *testing.T) {
	s := &dns.Server{}
	addr := serve(t, s)
	require.Equal(t, "REFUSED", say(exchange(t, "udp", addr, question("ecs1.vpc1.internal A"))), "no view yet")
	s.SetView(viewOf(t, config()))
	for _, network := range []string{"udp", "tcp"} {
		m := exchange(t, network, addr, question("eCs1.vpc1.internal A"))
		require.Equal(t, "NOERROR aa\neCs1.vpc1.internal. 60 IN A 10.0.1.10", say(m))
	}
	require.Equal(t, "NXDOMAIN aa"+soaInternal, say(exchange(t, "udp", addr, question("ecs9.internal A"))))
	require.Equal(t, dns.Stats{
		UDP: 3, TCP: 1, Rcodes: map[string]uint64{"REFUSED": 1, "NOERROR": 2, "NXDOMAIN": 1},
	}, s.Stats())
}

// socketless is a packet connection that is not a socket of the kernel.
type socketless struct{ net.PacketConn }

func TestDatagramsOfWhatIsNotASocket(t *testing.T) {
	upstream, _ := upstreamAt(t, "127.0.0.2", outside())
	s := &dns.Server{Forwarder: &dns.Forwarder{Upstreams: []netip.AddrPort{upstream}, Dial: dial}}
	s.SetView(viewOf(t, private()))
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, socketless{pc}, nil) }()
	addr := pc.LocalAddr().String()
	for range 2 {
		m := exchange(t, "udp", addr, question("ecs1.vpc1.internal A"))
		require.Equal(t, "NOERROR aa\necs1.vpc1.internal. 60 IN A 10.0.1.10", say(m))
		m = exchange(t, "udp", addr, question("www.example.org A"))
		require.Equal(t, "NOERROR\nwww.example.org. 60 IN A 192.0.2.1", say(m))
	}
	require.EqualValues(t, 4, s.Stats().UDP)
	cancel()
	require.NoError(t, <-done)
}

func TestTheOrderRotatesFromQuestionToQuestion(t *testing.T) {
	s := &dns.Server{}
	s.SetView(viewOf(t, wide(3)))
	addr := serve(t, s)
	first := map[string]int{}
	for range 6 {
		first[exchange(t, "udp", addr, question("wide.internal A")).Answer[0].(*miekg.A).A.String()]++
	}
	require.Equal(t, map[string]int{"10.8.0.0": 2, "10.8.0.1": 2, "10.8.0.2": 2}, first)
}

func TestTruncation(t *testing.T) {
	s := &dns.Server{}
	s.SetView(viewOf(t, wide(100)))
	addr := serve(t, s)
	for _, tt := range []struct {
		name    string
		network string
		size    uint16 // of EDNS; 0: none
		want    int    // addresses in the reply
	}{
		{"without EDNS a reply has 512 bytes", "udp", 0, 30},
		{"a size below 512 means 512", "udp", 100, 29},
		{"the asker's size counts", "udp", 800, 47},
		{"up to what fits every path", "udp", 4096, 74},
		{"TCP has room for all", "tcp", 0, 100},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req := question("wide.internal A")
			if tt.size > 0 {
				req.SetEdns0(tt.size, false)
			}
			c := miekg.Client{Net: tt.network, Timeout: 10 * time.Second, UDPSize: 65535}
			m, _, err := c.Exchange(req, addr)
			require.NoError(t, err)
			require.Equal(t, tt.want < 100, m.Truncated)
			require.Len(t, m.Answer, tt.want)
		})
	}
	require.EqualValues(t, 4, s.Stats().Truncated)
}

func TestSeveralQuestionsOnOneConnection(t *testing.T) { // dns 46
	s := &dns.Server{}
	s.SetView(viewOf(t, config()))
	conn, err := net.Dial("tcp", serve(t, s))
	require.NoError(t, err)
	defer conn.Close()
	// All of them in one write, and cut where no message ends.
	var stream bytes.Buffer
	for i := range 10 {
		req := question("ecs1.vpc1.internal A")
		req.Id = uint16(i)
		packet, err := req.Pack()
		require.NoError(t, err)
		stream.Write(binary.BigEndian.AppendUint16(nil, uint16(len(packet))))
		stream.Write(packet)
	}
	_, err = conn.Write(stream.Next(stream.Len() - 7))
	require.NoError(t, err)
	_, err = conn.Write(stream.Bytes())
	require.NoError(t, err)
	c := miekg.Conn{Conn: conn}
	for i := range 10 {
		m, err := c.ReadMsg()
		require.NoError(t, err)
		require.EqualValues(t, i, m.Id)
	}
}

func TestMessagesThatCannotBeRead(t *testing.T) {
	s := &dns.Server{}
	s.SetView(viewOf(t, config()))
	conn, err := net.Dial("udp", serve(t, s))
	require.NoError(t, err)
	defer conn.Close()
	reply := question("ecs1.vpc1.internal A")
	reply.Response = true
	packed, err := reply.Pack()
	require.NoError(t, err)
	for _, silent := range [][]byte{{}, []byte("short"), packed} {
		_, err = conn.Write(silent)
		require.NoError(t, err)
	}
	// A question whose only label is longer than the message.
	_, err = conn.Write([]byte{0xab, 0xcd, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0, 9, 'a'})
	require.NoError(t, err)
	got := make([]byte, 512)
	n, err := conn.Read(got)
	require.NoError(t, err)
	require.Equal(t, []byte{0xab, 0xcd, 0x80, 0x01, 0, 0, 0, 0, 0, 0, 0, 0}, got[:n], "only this one gets a reply, FORMERR")
	require.EqualValues(t, 3, s.Stats().Unanswered)
}

func TestServeEndsWhenASocketFails(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, pc.Close())
	err = (&dns.Server{}).Serve(t.Context(), pc, ln)
	require.ErrorIs(t, err, net.ErrClosed)
	_, err = ln.Accept()
	require.ErrorIs(t, err, net.ErrClosed, "the other one is closed too")
}

func TestServeEndsWithOpenConnections(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	go func() { done <- (&dns.Server{}).Serve(ctx, nil, ln) }()
	conn, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	exchangeOn(t, conn)
	cancel(errors.New("the lab goes down"))
	require.NoError(t, <-done)
	_, err = conn.Read(make([]byte, 1))
	require.Error(t, err)
}

func exchangeOn(t *testing.T, conn net.Conn) {
	c := miekg.Conn{Conn: conn}
	require.NoError(t, c.WriteMsg(question("ecs1.vpc1.internal A")))
	_, err := c.ReadMsg()
	require.NoError(t, err)
}

func TestGoResolver(t *testing.T) {
	s := &dns.Server{}
	s.SetView(viewOf(t, wide(100)))
	addr := serve(t, s)
	r := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}}
	addrs, err := r.LookupHost(t.Context(), "dual.vpc1.internal.")
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"10.0.1.12", "2001:db8::12"}, addrs)
	addrs, err = r.LookupHost(t.Context(), "wide.internal.")
	require.NoError(t, err)
	require.Len(t, addrs, 100, "it asks again by TCP")
	names, err := r.LookupAddr(t.Context(), "10.0.1.10")
	require.NoError(t, err)
	require.Equal(t, []string{"ecs1.vpc1.internal."}, names)
	_, err = r.LookupHost(t.Context(), "ecs9.internal.")
	var dnsErr *net.DNSError
	require.ErrorAs(t, err, &dnsErr)
	require.True(t, dnsErr.IsNotFound)
}

func TestManyAskersWhileTheViewChanges(t *testing.T) {
	s := &dns.Server{}
	views := []*dns.View{viewOf(t, config()), viewOf(t, wide(20))}
	s.SetView(views[0])
	addr := serve(t, s)
	var askers sync.WaitGroup
	for i := range 4 {
		askers.Go(func() {
			c := miekg.Client{Net: []string{"udp", "tcp"}[i%2], Timeout: 10 * time.Second}
			for range 50 {
				m, _, err := c.Exchange(question("ecs1.vpc1.internal A"), addr)
				if err != nil || len(m.Answer) != 1 {
					t.Errorf("%v %v", m, err)
				}
			}
		})
	}
	for i := range 100 {
		s.SetView(views[i%2])
	}
	askers.Wait()
}

func BenchmarkAnswer(b *testing.B) {
	for _, n := range []int{1, 10} {
		b.Run(fmt.Sprintf("addresses=%d", n), func(b *testing.B) {
			v := viewOf(b, wide(n))
			req := question("wide.internal A")
			b.ReportAllocs()
			for b.Loop() {
				v.Answer(req, inH)
			}
		})
	}
}
