package dns_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	miekg "github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/dns"
)

// docs/dns.md lists what these tests hold the server to, by the numbers in
// their rows.

// raw sends bytes to a server and gives the bytes of the reply.
func raw(t *testing.T, network, addr string, packet []byte) []byte {
	t.Helper()
	conn, err := net.Dial(network, addr)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	if network == "tcp" {
		packet = append(binary.BigEndian.AppendUint16(nil, uint16(len(packet))), packet...)
	}
	_, err = conn.Write(packet)
	require.NoError(t, err)
	reply := make([]byte, 65535)
	if network == "udp" {
		n, err := conn.Read(reply)
		require.NoError(t, err)
		return reply[:n]
	}
	var length uint16
	require.NoError(t, binary.Read(conn, binary.BigEndian, &length))
	_, err = io.ReadFull(conn, reply[:length])
	require.NoError(t, err)
	return reply[:length]
}

// everything is a server with private zones and a name that is long.
func everything(t *testing.T) string {
	t.Helper()
	cfg := private()
	cfg.Names = append(cfg.Names, wide(100).Names[len(config().Names)])
	s := &dns.Server{}
	s.SetView(viewOf(t, cfg))
	return serve(t, s)
}

func TestMessagesAsTheRFCsHaveThem(t *testing.T) {
	addr := everything(t)
	long := strings.Repeat("a.", 121) + "internal." // 252 characters of text, 253 bytes
	for _, tt := range []struct {
		item    string
		asks    string
		change  func(*miekg.Msg)
		network string // udp where it is empty
		check   func(*testing.T, *miekg.Msg, []byte)
	}{
		{"dns 1: names are compared without regard to case, and come back as they were asked", "eCs1.VPC1.internal A", nil, "", func(t *testing.T, m *miekg.Msg, _ []byte) {
			require.Equal(t, "eCs1.VPC1.internal.", m.Question[0].Name)
			require.Equal(t, "eCs1.VPC1.internal.", m.Answer[0].Header().Name)
		}},
		{"dns 2: ID, opcode and RD are copied, QR and RA are set", "ecs1.vpc1.internal A", func(m *miekg.Msg) { m.Id = 0xbeef }, "", func(t *testing.T, m *miekg.Msg, wire []byte) {
			require.Equal(t, []byte{0xbe, 0xef, 0x85, 0x80}, wire[:4], "QR AA RD RA, nothing else")
		}},
		{"dns 2: without RD", "ecs1.vpc1.internal A", func(m *miekg.Msg) { m.RecursionDesired = false }, "", func(t *testing.T, m *miekg.Msg, _ []byte) {
			require.False(t, m.RecursionDesired)
		}},
		{"dns 3: the bits that are reserved come back as zero, AD too", "ecs1.vpc1.internal A", func(m *miekg.Msg) { m.Zero, m.AuthenticatedData = true, true }, "", func(t *testing.T, m *miekg.Msg, wire []byte) {
			require.Zero(t, wire[3]&0x60)
		}},
		{"dns 4: AA is about the first name", "away.corp.example A", nil, "", func(t *testing.T, m *miekg.Msg, _ []byte) {
			require.True(t, m.Authoritative)
			require.Equal(t, miekg.RcodeRefused, m.Rcode)
		}},
		{"dns 4: and not set where nothing is ours", "www.example.org A", nil, "", func(t *testing.T, m *miekg.Msg, _ []byte) {
			require.False(t, m.Authoritative)
		}},
		{"dns 5: two questions are a format error", "ecs1.vpc1.internal A", func(m *miekg.Msg) { m.Question = append(m.Question, m.Question[0]) }, "", rcode(miekg.RcodeFormatError)},
		{"dns 5: so is none", "ecs1.vpc1.internal A", func(m *miekg.Msg) { m.Question = nil }, "", rcode(miekg.RcodeFormatError)},
		{"dns 6: names of a reply that does not fit otherwise are compressed", "wide.internal A", func(m *miekg.Msg) { m.SetEdns0(1232, false) }, "", func(t *testing.T, m *miekg.Msg, wire []byte) {
			require.Greater(t, len(m.Answer)*16, len(wire)-100, "an owner takes two bytes")
		}},
		{"dns 7: a datagram has at most 512 bytes without EDNS, and says that it is cut", "wide.internal A", nil, "", func(t *testing.T, m *miekg.Msg, wire []byte) {
			require.LessOrEqual(t, len(wire), 512)
			require.True(t, m.Truncated)
		}},
		{"dns 8: by TCP there is room for all", "wide.internal A", nil, "tcp", func(t *testing.T, m *miekg.Msg, _ []byte) {
			require.False(t, m.Truncated)
			require.Len(t, m.Answer, 100)
		}},
		{"dns 9: a name of the greatest length is one", long + " A", nil, "", rcode(miekg.RcodeNameError)},
		{"dns 11: an opcode that we do not know", "ecs1.vpc1.internal A", func(m *miekg.Msg) { m.Opcode = 3 }, "", rcode(miekg.RcodeNotImplemented)},
		{"dns 11: an update", "ecs1.vpc1.internal A", func(m *miekg.Msg) { m.Opcode = miekg.OpcodeUpdate }, "", rcode(miekg.RcodeNotImplemented)},
		{"dns 13: another class is refused", "version.bind TXT", func(m *miekg.Msg) { m.Question[0].Qclass = miekg.ClassCHAOS }, "", rcode(miekg.RcodeRefused)},
		{"dns 14: zones are not transferred", "corp.example AXFR", nil, "tcp", rcode(miekg.RcodeRefused)},
		{"dns 14: nor differences of them", "corp.example IXFR", nil, "", rcode(miekg.RcodeRefused)},
		{"dns 15: a CNAME is followed", "www.corp.example A", nil, "", func(t *testing.T, m *miekg.Msg, _ []byte) {
			require.Equal(t, "CNAME CNAME A A", types(m.Answer))
		}},
		{"dns 16: not where it is asked for itself", "www.corp.example CNAME", nil, "", answers("CNAME")},
		{"dns 17: a circle is a failure", "self.corp.example A", nil, "", rcode(miekg.RcodeServerFailure)},
		{"dns 18: a wildcard stands for what is not there", "x.y.apps.corp.example A", nil, "", func(t *testing.T, m *miekg.Msg, _ []byte) {
			require.Equal(t, "x.y.apps.corp.example.", m.Answer[0].Header().Name)
		}},
		{"dns 19: not below a name that is there", "x.known.apps.corp.example A", nil, "", rcode(miekg.RcodeNameError)},
		{"dns 19: nor for a name that only has others below it", "deep.apps.corp.example A", nil, "", noData},
		{"dns 20: an address has its name, by IPv4", "10.1.0.10.in-addr.arpa PTR", nil, "", answers("PTR")},
		{"dns 20: and by IPv6", "2.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa PTR", nil, "", answers("PTR")},
		{"dns 21: a long text is several strings of 255 bytes", "text.corp.example TXT", nil, "", func(t *testing.T, m *miekg.Msg, _ []byte) {
			require.Len(t, m.Answer[0].(*miekg.TXT).Txt, 2)
		}},
		{"dns 22: SRV", "_mysql._tcp.corp.example SRV", nil, "", answers("SRV")},
		{"dns 23: a zone has SOA and NS", "corp.example SOA", nil, "", answers("SOA")},
		{"dns 23: and its NS", "corp.example NS", nil, "", answers("NS")},
		{"dns 24: a name has a TTL of its own", "deep.down.vpc1.internal A", nil, "", func(t *testing.T, m *miekg.Msg, _ []byte) {
			require.EqualValues(t, 5, m.Answer[0].Header().Ttl)
		}},
		{"dns 25: all records of a name and type have one TTL", endpoint + " A", nil, "", func(t *testing.T, m *miekg.Msg, _ []byte) {
			require.Len(t, m.Answer, 2)
			require.Equal(t, m.Answer[0].Header().Ttl, m.Answer[1].Header().Ttl)
		}},
		{"dns 26: everything is one record", "ecs1.vpc1.internal ANY", nil, "", answers("HINFO")},
		{"dns 27: a type that nobody knows is one that the name has not", "ecs1.vpc1.internal A", func(m *miekg.Msg) { m.Question[0].Qtype = 65280 }, "", noData},
		{"dns 28: a missing name comes with the zone's SOA", "ecs9.vpc1.internal A", nil, "", func(t *testing.T, m *miekg.Msg, _ []byte) {
			require.Equal(t, miekg.RcodeNameError, m.Rcode)
			require.Equal(t, "internal.", m.Ns[0].(*miekg.SOA).Hdr.Name)
		}},
		{"dns 29: a missing record too, and is no missing name", "ecs1.vpc1.internal AAAA", nil, "", noData},
		{"dns 30: the SOA's TTL is how long that may be believed", "ecs9.vpc1.internal A", nil, "", func(t *testing.T, m *miekg.Msg, _ []byte) {
			soa := m.Ns[0].(*miekg.SOA)
			require.EqualValues(t, 60, soa.Hdr.Ttl)
			require.EqualValues(t, 60, soa.Minttl)
		}},
		{"dns 31: the code of a chain is that of its end", "broken.corp.example A", nil, "", func(t *testing.T, m *miekg.Msg, _ []byte) {
			require.Equal(t, "CNAME", types(m.Answer))
			require.Equal(t, miekg.RcodeNameError, m.Rcode)
			require.Equal(t, "SOA", types(m.Ns))
		}},
		{"dns 36: what has something below it exists", "vpc1.internal A", nil, "", noData},
		{"dns 36: below what does not exist there is nothing", "x.ecs9.vpc1.internal A", nil, "", rcode(miekg.RcodeNameError)},
		{"dns 37: no OPT where none was sent", "ecs1.vpc1.internal A", nil, "", func(t *testing.T, m *miekg.Msg, _ []byte) {
			require.Nil(t, m.IsEdns0())
		}},
		{"dns 37: one where one was, also in a reply that is cut", "wide.internal A", func(m *miekg.Msg) { m.SetEdns0(512, false) }, "", func(t *testing.T, m *miekg.Msg, _ []byte) {
			require.True(t, m.Truncated)
			require.NotNil(t, m.IsEdns0())
		}},
		{"dns 38: an EDNS version of the future", "ecs1.vpc1.internal A", func(m *miekg.Msg) { m.SetEdns0(1232, false).IsEdns0().SetVersion(1) }, "", func(t *testing.T, m *miekg.Msg, _ []byte) {
			require.Equal(t, miekg.RcodeBadVers, m.Rcode)
			require.EqualValues(t, 0, m.IsEdns0().Version())
			require.Empty(t, m.Answer)
		}},
		{"dns 39: two OPT records", "ecs1.vpc1.internal A", func(m *miekg.Msg) { m.SetEdns0(1232, false); m.Extra = append(m.Extra, m.Extra[0]) }, "", rcode(miekg.RcodeFormatError)},
		{"dns 40: a size below 512 means 512", "wide.internal A", func(m *miekg.Msg) { m.SetEdns0(100, false) }, "", func(t *testing.T, m *miekg.Msg, wire []byte) {
			require.Greater(t, len(wire), 450)
		}},
		{"dns 41: the asker's size counts, up to 1232", "wide.internal A", func(m *miekg.Msg) { m.SetEdns0(65000, false) }, "", func(t *testing.T, m *miekg.Msg, wire []byte) {
			require.Greater(t, len(wire), 1200)
			require.LessOrEqual(t, len(wire), 1232)
			require.EqualValues(t, 1232, m.IsEdns0().UDPSize())
		}},
		{"dns 42: DO comes back", "ecs1.vpc1.internal A", func(m *miekg.Msg) { m.SetEdns0(1232, true) }, "", func(t *testing.T, m *miekg.Msg, _ []byte) {
			require.True(t, m.IsEdns0().Do())
		}},
		{"dns 43: options that we do not know are passed over", "ecs1.vpc1.internal A", func(m *miekg.Msg) {
			o := m.SetEdns0(1232, false).IsEdns0()
			o.Option = append(o.Option, &miekg.EDNS0_LOCAL{Code: 65001, Data: []byte("any")}, &miekg.EDNS0_COOKIE{Code: miekg.EDNS0COOKIE, Cookie: "0102030405060708"})
		}, "", func(t *testing.T, m *miekg.Msg, _ []byte) {
			require.Len(t, m.Answer, 1)
			require.Empty(t, m.IsEdns0().Option)
		}},
		{"dns 44: the type OPT is no question", "ecs1.vpc1.internal A", func(m *miekg.Msg) { m.Question[0].Qtype = miekg.TypeOPT }, "", rcode(miekg.RcodeFormatError)},
		{"dns 51: who is refused hears why", "www.example.org A", func(m *miekg.Msg) { m.SetEdns0(1232, false) }, "", func(t *testing.T, m *miekg.Msg, _ []byte) {
			require.Equal(t, miekg.RcodeRefused, m.Rcode)
			require.EqualValues(t, 20, m.IsEdns0().Option[0].(*miekg.EDNS0_EDE).InfoCode)
		}},
	} {
		t.Run(tt.item, func(t *testing.T) {
			req := question(tt.asks)
			if tt.change != nil {
				tt.change(req)
			}
			packet, err := req.Pack()
			require.NoError(t, err)
			network := tt.network
			if network == "" {
				network = "udp"
			}
			wire := raw(t, network, addr, packet)
			var m miekg.Msg
			require.NoError(t, m.Unpack(wire))
			tt.check(t, &m, wire)
		})
	}
}

func rcode(want int) func(*testing.T, *miekg.Msg, []byte) {
	return func(t *testing.T, m *miekg.Msg, _ []byte) {
		require.Equal(t, miekg.RcodeToString[want], miekg.RcodeToString[m.Rcode])
		require.Empty(t, m.Answer)
	}
}

func answers(want string) func(*testing.T, *miekg.Msg, []byte) {
	return func(t *testing.T, m *miekg.Msg, _ []byte) {
		require.Equal(t, miekg.RcodeSuccess, m.Rcode)
		require.Equal(t, want, types(m.Answer))
	}
}

func noData(t *testing.T, m *miekg.Msg, _ []byte) {
	require.Equal(t, miekg.RcodeSuccess, m.Rcode)
	require.Empty(t, m.Answer)
	require.Equal(t, "SOA", types(m.Ns))
}

func types(rrs []miekg.RR) string {
	var out []string
	for _, rr := range rrs {
		out = append(out, miekg.TypeToString[rr.Header().Rrtype])
	}
	return strings.Join(out, " ")
}

func TestBytesThatAreNoQuestion(t *testing.T) {
	addr := everything(t)
	header := []byte{0xab, 0xcd, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0}
	formatError := []byte{0xab, 0xcd, 0x80, 0x01, 0, 0, 0, 0, 0, 0, 0, 0}
	aRecord := []byte{0, 1, 0, 1}
	for _, tt := range []struct {
		item string
		body []byte
	}{
		{"dns 9: a name of 256 bytes", append(append(bytes.Repeat([]byte{1, 'a'}, 128), 0), aRecord...)},
		{"dns 9: a label of the type that was never used", append([]byte{0x41, 'a', 0}, aRecord...)},
		{"dns 10: a pointer to itself", append([]byte{0xc0, 12}, aRecord...)},
		{"dns 10: a pointer forwards", append([]byte{0xc0, 20}, aRecord...)},
		{"dns 10: two pointers to each other", append([]byte{1, 'a', 0xc0, 16, 1, 'b', 0xc0, 12}, aRecord...)},
		{"dns 10: a name that ends with the message", []byte{3, 'a', 'b'}},
		{"dns 10: a question without a class", []byte{1, 'a', 0, 0, 1}},
		{"dns 10: a question that is announced and not there", nil},
	} {
		t.Run(tt.item, func(t *testing.T) {
			require.Equal(t, formatError, raw(t, "udp", addr, append(bytes.Clone(header), tt.body...)))
		})
	}
	t.Run("dns 10: an OPT record that is cut", func(t *testing.T) {
		packet, err := question("ecs1.vpc1.internal A").SetEdns0(1232, false).Pack()
		require.NoError(t, err)
		for cut := 1; cut <= 11; cut++ {
			require.EqualValues(t, miekg.RcodeFormatError, raw(t, "udp", addr, packet[:len(packet)-cut])[3]&0xf, "%d bytes", cut)
		}
	})
	t.Run("dns 12: replies and what has no header are not answered", func(t *testing.T) {
		conn, err := net.Dial("udp", addr)
		require.NoError(t, err)
		defer conn.Close()
		reply := question("ecs1.vpc1.internal A")
		reply.Response = true
		packet, err := reply.Pack()
		require.NoError(t, err)
		for _, silent := range [][]byte{packet, []byte("short"), header[:11]} {
			_, err := conn.Write(silent)
			require.NoError(t, err)
		}
		c := miekg.Conn{Conn: conn}
		req := question("ecs1.vpc1.internal A")
		require.NoError(t, c.WriteMsg(req))
		m, err := c.ReadMsg()
		require.NoError(t, err)
		require.Equal(t, req.Id, m.Id, "the first answer is to the question that came last")
	})
}

// oneConn is a listener that has one connection.
type oneConn struct {
	conn   chan net.Conn
	closed chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	select {
	case c := <-l.conn:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}
func (l *oneConn) Close() error   { close(l.closed); return nil }
func (l *oneConn) Addr() net.Addr { return &net.TCPAddr{} }

func TestTCPAsRFC7766HasIt(t *testing.T) {
	// The clock of the bubble is quick, and pipes have its deadlines.
	bubble := func(t *testing.T, test func(t *testing.T, conn net.Conn)) {
		synctest.Test(t, func(t *testing.T) {
			s := &dns.Server{}
			s.SetView(viewOf(t, config()))
			ln := &oneConn{conn: make(chan net.Conn, 1), closed: make(chan struct{})}
			ours, theirs := net.Pipe()
			ln.conn <- theirs
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- s.Serve(ctx, nil, ln) }()
			test(t, ours)
			cancel()
			require.NoError(t, <-done)
		})
	}
	t.Run("dns 45: a connection may be used again", func(t *testing.T) {
		bubble(t, func(t *testing.T, conn net.Conn) {
			c := miekg.Conn{Conn: conn}
			for range 3 {
				require.NoError(t, c.WriteMsg(question("ecs1.vpc1.internal A")))
				_, err := c.ReadMsg()
				require.NoError(t, err)
				time.Sleep(9 * time.Second)
			}
		})
	})
	t.Run("dns 48: one that is silent for ten seconds is closed", func(t *testing.T) {
		bubble(t, func(t *testing.T, conn net.Conn) {
			start := time.Now()
			_, err := conn.Read(make([]byte, 1))
			require.ErrorIs(t, err, io.EOF)
			require.Equal(t, 10*time.Second, time.Since(start))
		})
	})
	t.Run("dns 49: length and message are one write", func(t *testing.T) {
		bubble(t, func(t *testing.T, conn net.Conn) {
			c := miekg.Conn{Conn: conn}
			require.NoError(t, c.WriteMsg(question("ecs1.vpc1.internal A")))
			buf := make([]byte, 65535)
			n, err := conn.Read(buf) // a pipe gives what one write wrote
			require.NoError(t, err)
			require.EqualValues(t, n-2, binary.BigEndian.Uint16(buf))
		})
	})
	t.Run("dns 50: what is cut short ends the connection and nothing else", func(t *testing.T) {
		bubble(t, func(t *testing.T, conn net.Conn) {
			_, err := conn.Write([]byte{0, 99, 1})
			require.NoError(t, err)
			require.NoError(t, conn.Close())
			synctest.Wait()
		})
	})
}

// An upstream that does not know what it was asked is not believed.
func TestAnAnswerOfAnUpstreamBelongsToTheQuestion(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.2:0")
	require.NoError(t, err)
	defer pc.Close()
	ids := map[uint16]bool{}
	ports := map[string]bool{}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buf := make([]byte, 2048)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			req := new(miekg.Msg)
			if req.Unpack(buf[:n]) != nil {
				continue
			}
			ids[req.Id], ports[from.String()] = true, true
			for _, lie := range []func(*miekg.Msg){
				func(m *miekg.Msg) { m.Id++ },
				func(m *miekg.Msg) { m.Question[0].Name = "www.example.net." },
				func(m *miekg.Msg) { m.Question[0].Qtype = miekg.TypeTXT },
				func(m *miekg.Msg) { m.Response = false },
				func(m *miekg.Msg) { m.Question = nil },
				func(m *miekg.Msg) {},
			} {
				m := new(miekg.Msg).SetReply(req)
				rr, _ := miekg.NewRR(req.Question[0].Name + " 0 IN A 192.0.2.66")
				m.Answer = append(m.Answer, rr)
				lie(m)
				packet, _ := m.Pack()
				_, _ = pc.WriteTo(packet, from)
			}
		}
	}()
	addr, _ := forwarding(t, netip.MustParseAddrPort(pc.LocalAddr().String()))
	t.Run("dns 53: ID and question are compared", func(t *testing.T) {
		for range 5 {
			require.Equal(t, "NOERROR\nwww.example.org. 0 IN A 192.0.2.66", say(exchange(t, "udp", addr, question("www.example.org A"))))
		}
	})
	t.Run("dns 54: IDs and ports are not the same ones", func(t *testing.T) {
		require.NoError(t, pc.Close())
		<-ended
		require.Len(t, ports, 5)
		require.Greater(t, len(ids), 1)
	})
}
