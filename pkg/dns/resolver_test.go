package dns_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	miekg "github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/dns"
)

// instance is a resolver as an instance of VPC c has it, with name servers that
// are at addrs.
func instance(t testing.TB, hosts string, addrs ...string) *dns.Resolver {
	t.Helper()
	r, err := dns.NewResolver("nameserver 192.0.2.53\nsearch c.internal\n", func() string { return hosts }, dial)
	require.NoError(t, err)
	require.Equal(t, []netip.AddrPort{netip.MustParseAddrPort("192.0.2.53:53")}, r.Servers)
	r.Servers = nil
	for _, addr := range addrs {
		r.Servers = append(r.Servers, netip.MustParseAddrPort(addr))
	}
	return r
}

func resolved(t testing.TB) string {
	t.Helper()
	s := &dns.Server{}
	s.SetView(viewOf(t, dns.Config{
		Zones: []string{"internal", "vm", "far.example"},
		Names: []dns.Name{
			{FQDN: "cl.c.internal", Addrs: up("10.0.1.10")},
			{FQDN: "both.c.internal", Addrs: up("10.0.1.11", "2001:db8::11")},
			{FQDN: "both.internal", Addrs: up("10.9.9.9")},
			{FQDN: "vm", Addrs: up("10.0.1.200")},
			{FQDN: "www.far.example", CNAME: "cl.c.internal"},
			{FQDN: "www.far.example.c.internal", Addrs: up("10.9.9.9")},
			{FQDN: "deep.name.c.internal", Addrs: up("10.0.1.12")},
			{FQDN: "many.internal", Addrs: wideAddrs(100)},
			{FQDN: "text.internal", TXT: []string{"hello"}},
		},
		TTL: time.Minute,
	}))
	return serve(t, s)
}

func wideAddrs(n int) (out []dns.Address) {
	for i := range n {
		out = append(out, dns.Address{IP: netip.AddrFrom4([4]byte{10, 8, 0, byte(i)}), Up: true})
	}
	return out
}

func TestAnInstanceFindsNamesByItsOwnFiles(t *testing.T) {
	r := instance(t, "127.0.0.1 localhost\n10.0.1.10\tcl.c.internal cl # me\n10.0.1.77 Mysql1.com\nbad line\n", resolved(t))
	for _, tt := range []struct{ name, asks, network, want string }{
		{"an address stands for itself", "10.1.2.3", "ip", "10.1.2.3"},
		{"an address of the other family is not found", "10.1.2.3", "ip6", "lookup 10.1.2.3: no such host"},
		{"the hosts file comes first", "mysql1.com", "ip", "10.0.1.77"},
		{"whatever the case and the final dot", "MYSQL1.COM.", "ip", "10.0.1.77"},
		{"a second name of a line", "cl", "ip", "10.0.1.10"},
		{"localhost is the instance", "localhost", "ip", "127.0.0.1"},
		{"a name without a dot is looked for in the search list", "both", "ip4", "10.0.1.11"},
		{"then as it is", "vm", "ip", "10.0.1.200"},
		{"with a final dot only as it is", "both.", "ip", "lookup both.: the server answers REFUSED"},
		{"a name with a dot is looked for as it is first", "www.far.example", "ip", "10.0.1.10"},
		{"then in the search list", "deep.name", "ip", "10.0.1.12"},
		{"the other family", "both", "ip6", "2001:db8::11"},
		{"an answer that does not fit comes by TCP", "many.internal", "ip", ""},
		{"a name that nobody has", "runsc.c.internal", "ip", "lookup runsc.c.internal: no such host"},
		{"a name that cannot be one", "a..b", "ip", "lookup a..b: no such host"},
		{"nor is nothing a name", "", "ip", "lookup : no such host"},
		{"one that is too long for the search list", strings.Repeat("a.", 122) + "internal", "ip",
			"lookup " + strings.Repeat("a.", 122) + "internal: no such host"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			addrs, err := r.LookupNetIP(t.Context(), tt.network, tt.asks)
			var got []string
			for _, addr := range addrs {
				got = append(got, addr.String())
			}
			if tt.want == "" {
				require.NoError(t, err)
				require.Len(t, addrs, 100)
				return
			}
			if err != nil {
				var found *net.DNSError
				require.ErrorAs(t, err, &found)
				found.Server = "" // its port is another one each time
				got = []string{err.Error()}
				require.NotErrorIs(t, err, context.DeadlineExceeded)
			}
			require.Equal(t, tt.want, strings.Join(got, " "))
		})
	}
	found, err := r.LookupHost(t.Context(), "both")
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"10.0.1.11", "2001:db8::11"}, found)
	records, err := r.LookupRecords(t.Context(), "text.internal", miekg.TypeTXT)
	require.NoError(t, err)
	require.Equal(t, `TXT "hello"`, dns.Data(records[0]))
}

func TestAResolverSaysWhatWentWrong(t *testing.T) {
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close()
	addr := resolved(t)
	t.Run("a refusal is not a name that is missing", func(t *testing.T) {
		_, err := instance(t, "", addr).LookupHost(t.Context(), "www.elsewhere.example")
		require.EqualError(t, err, "lookup www.elsewhere.example on "+addr+": the server answers REFUSED")
		var problem *net.DNSError
		require.True(t, errors.As(err, &problem) && problem.IsTemporary && !problem.IsNotFound)
	})
	t.Run("silence is a timeout, and names the server that was asked", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		at := silent.LocalAddr().String()
		_, err := instance(t, "", at).LookupHost(ctx, "cl")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		var problem net.Error
		require.True(t, errors.As(err, &problem) && problem.Timeout())
		require.ErrorContains(t, err, "lookup cl on "+at)
	})
	t.Run("the next server is asked where one fails", func(t *testing.T) {
		found, err := instance(t, "", "127.0.0.4:1", addr).LookupHost(t.Context(), "cl")
		require.NoError(t, err)
		require.Equal(t, []string{"10.0.1.10"}, found)
	})
	t.Run("without a server nothing is asked", func(t *testing.T) {
		_, err := instance(t, "").LookupHost(t.Context(), "cl")
		require.EqualError(t, err, "lookup cl: no name server is configured")
	})
	t.Run("a resolv.conf with a name for a server", func(t *testing.T) {
		_, err := dns.NewResolver("nameserver here\n", nil, nil)
		require.EqualError(t, err, `resolv.conf: nameserver "here" is not an address`)
	})
}
