package dns

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"
)

func fuzzServer(t testing.TB) *Server {
	name := Name{FQDN: "wide.internal", Affinity: true}
	for i := range 60 {
		name.Addrs = append(name.Addrs, Address{IP: netip.AddrFrom4([4]byte{10, 8, 0, byte(i)}), Zone: "i", Up: i%3 > 0})
	}
	v, err := NewView(Config{
		Subnets: []Subnet{{Prefix: netip.MustParsePrefix("10.0.1.0/24"), Zone: "h"}, {Prefix: netip.MustParsePrefix("10.0.2.0/24"), Zone: "i"}},
		Names:   []Name{name, {FQDN: "a.b.internal", Addrs: []Address{{IP: netip.MustParseAddr("10.0.1.1"), Up: true}}}},
		Zones:   []string{"internal"},
		TTL:     time.Minute,
	})
	require.NoError(t, err)
	s := &Server{}
	s.SetView(v)
	return s
}

// FuzzMessage sends any bytes: there is no panic, what comes back can be read,
// belongs to the question and has the length that it may have.
func FuzzMessage(f *testing.F) {
	for _, name := range []string{"wide.internal.", "a.b.internal.", "b.internal.", "1.1.0.10.in-addr.arpa.", "example.org."} {
		for _, qtype := range []uint16{dns.TypeA, dns.TypePTR, dns.TypeANY, dns.TypeSOA} {
			m := new(dns.Msg)
			m.SetQuestion(name, qtype)
			m.Id = 7
			packet, err := m.Pack()
			require.NoError(f, err)
			f.Add(packet, true)
			packet, err = m.SetEdns0(1232, true).Pack()
			require.NoError(f, err)
			f.Add(packet, false)
			f.Add(packet[:len(packet)-5], true)
		}
	}
	s := fuzzServer(f)
	f.Fuzz(func(t *testing.T, packet []byte, udp bool) {
		e := exchange{from: netip.MustParseAddrPort("10.0.1.1:4000"), udp: udp, buf: make([]byte, payload)}
		reply := s.handle(t.Context(), packet, e, nil, nil)
		if len(packet) < headerLen || isResponse(packet) {
			require.Nil(t, reply)
			return
		}
		var m dns.Msg
		require.NoError(t, m.Unpack(reply))
		require.True(t, m.Response)
		require.Equal(t, packet[:2], reply[:2], "the ID")
		require.Equal(t, packet[2]&0x78, reply[2]&0x78, "the opcode")
		var req dns.Msg
		if req.Unpack(packet) == nil && isWhole(packet, &req) {
			require.LessOrEqual(t, len(reply), limit(&req, udp))
			if len(req.Question) == 1 {
				require.Equal(t, req.Question, m.Question)
			}
		}
	})
}

// FuzzAnswer asks for any name: authority and code follow from the name alone.
func FuzzAnswer(f *testing.F) {
	f.Add("wide.internal", dns.TypeA)
	f.Add("x.wide.INTERNAL", dns.TypeAAAA)
	f.Add("b.internal", dns.TypeTXT)
	f.Add("internal.", dns.TypeNS)
	f.Add("1.1.0.10.in-addr.arpa", dns.TypePTR)
	view := fuzzServer(f).view.Load()
	f.Fuzz(func(t *testing.T, name string, qtype uint16) {
		name = dns.Fqdn(name)
		if _, ok := dns.IsDomainName(name); !ok {
			return
		}
		req := new(dns.Msg)
		req.SetQuestion(name, qtype)
		if refusal(req) != dns.RcodeSuccess {
			return
		}
		m := view.Answer(req, netip.MustParseAddr("10.0.2.1"))
		key := dns.CanonicalName(name)
		if strings.HasSuffix(key, ".arpa.") {
			return
		}
		require.Equal(t, dns.IsSubDomain("internal.", key), m.Authoritative)
		require.Equal(t, !m.Authoritative, m.Rcode == dns.RcodeRefused)
		require.Equal(t, m.Authoritative && len(m.Answer) == 0, len(m.Ns) == 1, "a negative answer has its SOA")
		for _, rr := range m.Answer {
			require.Equal(t, name, rr.Header().Name)
		}
		if m.Rcode == dns.RcodeNameError {
			require.Empty(t, m.Answer)
			for known := range view.own.names {
				require.False(t, dns.IsSubDomain(key, known), "%s is above %s", name, known)
			}
		}
	})
}

// BenchmarkReply is what an answer costs without the way into the kernel.
func BenchmarkReply(b *testing.B) {
	for _, name := range []string{"a.b.internal.", "wide.internal."} {
		b.Run("name="+name, func(b *testing.B) {
			s := fuzzServer(b)
			packet, err := new(dns.Msg).SetQuestion(name, dns.TypeA).SetEdns0(payload, false).Pack()
			require.NoError(b, err)
			e := exchange{from: netip.MustParseAddrPort("10.0.1.1:4000"), udp: true, buf: make([]byte, payload)}
			b.ReportAllocs()
			for b.Loop() {
				s.handle(b.Context(), packet, e, nil, nil)
			}
		})
	}
}
