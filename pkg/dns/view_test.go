package dns_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	miekg "github.com/miekg/dns"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/plinksim/plinksim/pkg/dns"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	service  = "epsrv-1.eu-central-1.privatelink.aliyuncs.com"
	endpoint = "ep-1." + service
	ttl      = 60 * time.Second
)

var (
	inH       = netip.MustParseAddr("10.0.1.10")
	inI       = netip.MustParseAddr("10.0.2.10")
	elsewhere = netip.MustParseAddr("172.16.0.1")
)

// config has an endpoint in zones h and i, and instances.
func config() dns.Config {
	return dns.Config{
		Subnets: []dns.Subnet{
			{Prefix: netip.MustParsePrefix("10.0.1.0/24"), Zone: "h"},
			{Prefix: netip.MustParsePrefix("10.0.2.0/24"), Zone: "i"},
		},
		Names: []dns.Name{
			{FQDN: "ecs1.vpc1.internal", Addrs: up("10.0.1.10")},
			{FQDN: "deep.down.vpc1.internal", TTL: 5 * time.Second, Addrs: up("10.0.1.11")},
			{FQDN: "dual.vpc1.internal", Addrs: up("10.0.1.12", "2001:db8::12")},
			{FQDN: endpoint, Affinity: true, Addrs: []dns.Address{
				{IP: netip.MustParseAddr("10.0.1.200"), Zone: "h", Up: true},
				{IP: netip.MustParseAddr("10.0.2.200"), Zone: "i", Up: true},
			}},
			{FQDN: "ep-1-h." + service, Addrs: up("10.0.1.200")},
			{FQDN: "db.example.com", Addrs: up("10.0.1.13")},
		},
		Zones: []string{"internal", "eu-central-1.privatelink.aliyuncs.com", "far.below.internal"},
		TTL:   ttl,
	}
}

func up(addrs ...string) (out []dns.Address) {
	for _, a := range addrs {
		out = append(out, dns.Address{IP: netip.MustParseAddr(a), Up: true})
	}
	return out
}

func viewOf(t testing.TB, cfg dns.Config) *dns.View {
	v, err := dns.NewView(cfg)
	require.NoError(t, err)
	return v
}

// question makes a message as a client does: "ecs1.vpc1.internal A".
func question(text string) *miekg.Msg {
	name, qtype, _ := strings.Cut(text, " ")
	m := new(miekg.Msg)
	m.SetQuestion(miekg.Fqdn(name), miekg.StringToType[qtype])
	return m
}

// say writes a reply in one line: code, flags, then the records of each
// section as zone files have them.
func say(m *miekg.Msg) string {
	if m == nil {
		return "no reply"
	}
	out := []string{miekg.RcodeToString[m.Rcode]}
	if m.Authoritative {
		out[0] += " aa"
	}
	for _, rr := range m.Answer {
		out = append(out, strings.ReplaceAll(rr.String(), "\t", " "))
	}
	for _, rr := range m.Ns {
		out = append(out, "; "+strings.ReplaceAll(rr.String(), "\t", " "))
	}
	return strings.Join(out, "\n")
}

const (
	soaInternal = "\n; internal. 60 IN SOA ns.internal. hostmaster.internal. 1 3600 600 86400 60"
	soaEndpoint = "\n; eu-central-1.privatelink.aliyuncs.com. 60 IN SOA ns.eu-central-1.privatelink.aliyuncs.com. hostmaster.eu-central-1.privatelink.aliyuncs.com. 1 3600 600 86400 60"
)

func TestAnswer(t *testing.T) {
	for _, tt := range []struct {
		name  string
		asks  string
		asker netip.Addr
		want  string
	}{
		{"an instance", "ecs1.vpc1.internal A", inH, "NOERROR aa\necs1.vpc1.internal. 60 IN A 10.0.1.10"},
		{"the case of the question comes back", "EcS1.vPc1.INTERNAL A", inH, "NOERROR aa\nEcS1.vPc1.INTERNAL. 60 IN A 10.0.1.10"},
		{"a TTL of its own", "deep.down.vpc1.internal A", inH, "NOERROR aa\ndeep.down.vpc1.internal. 5 IN A 10.0.1.11"},
		{"the other address family", "dual.vpc1.internal AAAA", inH, "NOERROR aa\ndual.vpc1.internal. 60 IN AAAA 2001:db8::12"},
		{"only one address family is asked for", "dual.vpc1.internal A", inH, "NOERROR aa\ndual.vpc1.internal. 60 IN A 10.0.1.12"},
		{"a name without such records is no missing name", "ecs1.vpc1.internal AAAA", inH, "NOERROR aa" + soaInternal},
		{"a type that nobody has", "ecs1.vpc1.internal MX", inH, "NOERROR aa" + soaInternal},
		{"a name that is missing", "ecs9.vpc1.internal A", inH, "NXDOMAIN aa" + soaInternal},
		{"a name between zone and names exists", "vpc1.internal A", inH, "NOERROR aa" + soaInternal},
		{"so does a deeper one", "down.vpc1.internal A", inH, "NOERROR aa" + soaInternal},
		{"and one between two zones", "below.internal A", inH, "NOERROR aa" + soaInternal},
		{"below a host there is nothing", "x.ecs1.vpc1.internal A", inH, "NXDOMAIN aa" + soaInternal},
		{"the zone itself", "internal A", inH, "NOERROR aa" + soaInternal},
		{"SOA of the zone", "internal SOA", inH, "NOERROR aa\ninternal. 60 IN SOA ns.internal. hostmaster.internal. 1 3600 600 86400 60"},
		{"NS of the zone", "internal NS", inH, "NOERROR aa\ninternal. 60 IN NS ns.internal."},
		{"NS of a host", "ecs1.vpc1.internal NS", inH, "NOERROR aa" + soaInternal},
		{"the longest zone has the say", "x.far.below.internal A", inH,
			"NXDOMAIN aa\n; far.below.internal. 60 IN SOA ns.far.below.internal. hostmaster.far.below.internal. 1 3600 600 86400 60"},
		{"everything is one record", "ecs1.vpc1.internal ANY", inH, "NOERROR aa\necs1.vpc1.internal. 60 IN HINFO \"RFC8482\" \"\""},
		{"everything of a missing name", "ecs9.vpc1.internal ANY", inH, "NXDOMAIN aa" + soaInternal},
		{"a foreign name is refused", "www.example.org A", inH, "REFUSED"},
		{"a suffix that only looks like ours is foreign", "notinternal A", inH, "REFUSED"},
		{"the root is foreign", ". NS", inH, "REFUSED"},
		{"a name outside of our zones", "db.example.com A", inH, "NOERROR aa\ndb.example.com. 60 IN A 10.0.1.13"},
		{"is a zone of its own", "db.example.com AAAA", inH,
			"NOERROR aa\n; db.example.com. 60 IN SOA ns.db.example.com. hostmaster.db.example.com. 1 3600 600 86400 60"},
		{"whose neighbours are foreign", "web.example.com A", inH, "REFUSED"},
		{"a zone transfer is refused", "internal AXFR", inH, "REFUSED"},

		{"an asker in zone h gets the endpoint in h", endpoint + " A", inH, "NOERROR aa\n" + endpoint + ". 60 IN A 10.0.1.200"},
		{"an asker in zone i gets the endpoint in i", endpoint + " A", inI, "NOERROR aa\n" + endpoint + ". 60 IN A 10.0.2.200"},
		{"an asker in IPv6 form is in its zone", endpoint + " A", netip.MustParseAddr("::ffff:10.0.2.10"), "NOERROR aa\n" + endpoint + ". 60 IN A 10.0.2.200"},
		{"an asker in no zone gets both", endpoint + " A", elsewhere,
			"NOERROR aa\n" + endpoint + ". 60 IN A 10.0.1.200\n" + endpoint + ". 60 IN A 10.0.2.200"},
		{"a zone name does not depend on the asker", "ep-1-h." + service + " A", inI, "NOERROR aa\nep-1-h." + service + ". 60 IN A 10.0.1.200"},
		{"a zone that the endpoint is not in", "ep-1-j." + service + " A", inI, "NXDOMAIN aa" + soaEndpoint},

		{"the name of an instance's address", "10.1.0.10.in-addr.arpa PTR", inH, "NOERROR aa\n10.1.0.10.in-addr.arpa. 60 IN PTR ecs1.vpc1.internal."},
		{"an address goes by its most special name", "200.1.0.10.in-addr.arpa PTR", inH, "NOERROR aa\n200.1.0.10.in-addr.arpa. 60 IN PTR ep-1-h." + service + "."},
		{"an IPv6 address", "2.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa PTR", inH,
			"NOERROR aa\n2.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. 60 IN PTR dual.vpc1.internal."},
		{"a free address of our subnets", "99.1.0.10.in-addr.arpa PTR", inH,
			"NXDOMAIN aa\n; 1.0.10.in-addr.arpa. 60 IN SOA ns.1.0.10.in-addr.arpa. hostmaster.1.0.10.in-addr.arpa. 1 3600 600 86400 60"},
		{"a known address has no other records", "10.1.0.10.in-addr.arpa A", inH,
			"NOERROR aa\n; 1.0.10.in-addr.arpa. 60 IN SOA ns.1.0.10.in-addr.arpa. hostmaster.1.0.10.in-addr.arpa. 1 3600 600 86400 60"},
		{"an address that is not ours", "1.1.1.1.in-addr.arpa PTR", inH, "REFUSED"},
		{"the zone of reverse names", "1.0.10.in-addr.arpa NS", inH, "NOERROR aa\n1.0.10.in-addr.arpa. 60 IN NS ns.1.0.10.in-addr.arpa."},
		{"has no names itself", "1.0.10.in-addr.arpa PTR", inH,
			"NOERROR aa\n; 1.0.10.in-addr.arpa. 60 IN SOA ns.1.0.10.in-addr.arpa. hostmaster.1.0.10.in-addr.arpa. 1 3600 600 86400 60"},
		{"the zone of others", "9.9.9.in-addr.arpa NS", inH, "REFUSED"},
		{"an address with a leading zero is none", "010.1.0.10.in-addr.arpa PTR", inH, "REFUSED"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req := question(tt.asks)
			m := viewOf(t, config()).Answer(req, tt.asker)
			require.Equal(t, tt.want, say(m))
			require.Equal(t, req.Id, m.Id)
			require.True(t, m.Response)
			require.Equal(t, req.Question, m.Question)
			require.Nil(t, m.IsEdns0(), "no EDNS without EDNS")
		})
	}
}

func TestAnswerToWhatIsNoOrdinaryQuestion(t *testing.T) {
	v := viewOf(t, config())
	for _, tt := range []struct {
		name   string
		change func(*miekg.Msg)
		want   string
	}{
		{"a reply", func(m *miekg.Msg) { m.Response = true }, "no reply"},
		{"no question", func(m *miekg.Msg) { m.Question = nil }, "FORMERR"},
		{"two questions", func(m *miekg.Msg) { m.Question = append(m.Question, m.Question[0]) }, "FORMERR"},
		{"an update", func(m *miekg.Msg) { m.Opcode = miekg.OpcodeUpdate }, "NOTIMP"},
		{"a notification", func(m *miekg.Msg) { m.Opcode = miekg.OpcodeNotify }, "NOTIMP"},
		{"the class CHAOS", func(m *miekg.Msg) { m.Question[0].Qclass = miekg.ClassCHAOS }, "REFUSED"},
		{"any class", func(m *miekg.Msg) { m.Question[0].Qclass = miekg.ClassANY }, "REFUSED"},
		{"the type OPT", func(m *miekg.Msg) { m.Question[0].Qtype = miekg.TypeOPT }, "FORMERR"},
		{"an EDNS version of the future", func(m *miekg.Msg) { m.SetEdns0(1232, false).IsEdns0().SetVersion(1) }, "BADVERS"},
		{"two OPT records", func(m *miekg.Msg) { m.SetEdns0(1232, false); m.Extra = append(m.Extra, m.Extra[0]) }, "FORMERR"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req := question("ecs1.vpc1.internal A")
			tt.change(req)
			m := v.Answer(req, inH)
			if m != nil && m.Rcode == miekg.RcodeBadVers {
				require.Equal(t, "BADVERS", tt.want)
				require.EqualValues(t, 0, m.IsEdns0().Version(), "the version that we know")
				return
			}
			require.Equal(t, tt.want, say(m))
		})
	}
}

func TestEDNSIsEchoed(t *testing.T) {
	v := viewOf(t, config())
	for _, do := range []bool{false, true} {
		m := v.Answer(question("ecs1.vpc1.internal A").SetEdns0(4096, do), inH)
		require.EqualValues(t, 1232, m.IsEdns0().UDPSize())
		require.Equal(t, do, m.IsEdns0().Do())
		require.Len(t, m.Extra, 1)
	}
}

func TestWhichAddressesAreGiven(t *testing.T) {
	for _, tt := range []struct {
		name     string
		affinity bool
		addrs    string // zone and + where it is up, ! where it is unhealthy, - where it is not up otherwise
		asker    netip.Addr
		turn     uint32
		want     string // last bytes of the addresses, 1 for the first and so on
	}{
		{"without affinity all, in order", false, "h+ i+ j+", inH, 0, "1 2 3"},
		{"the order rotates", false, "h+ i+ j+", inH, 1, "2 3 1"},
		{"and comes round", false, "h+ i+ j+", inH, 3, "1 2 3"},
		{"without affinity those that are up", false, "h- i+ j+", inH, 0, "2 3"},
		{"affinity gives the asker's zone alone", true, "h+ i+ j+", inI, 1, "2"},
		{"a zone may have several", true, "h+ i+ i+", inI, 1, "3 2"},
		{"the others where the asker's zone is down", true, "h+ i- j+", inI, 0, "1 3"},
		{"these rotate too", true, "h+ i- j+", inI, 1, "3 1"},
		{"the others where the endpoint is not in the asker's zone", true, "h+ j+", inI, 0, "1 2"},
		{"nothing is up: all of them", false, "h- i-", inH, 0, "1 2"},
		{"nothing is up: the asker's zone comes first", true, "h- i-", inI, 0, "2 1"},
		{"an asker of no zone has no affinity to addresses of none", true, "+ h+", elsewhere, 0, "1 2"},
		{"no address at all", true, "", inH, 5, ""},
		{"nothing is up: those that are only unhealthy", false, "h- i!", inH, 0, "2"},
		{"nothing is up: of the unhealthy the asker's zone first", true, "h! i! j-", inI, 0, "2 1"},
		{"one that is up is better than one that is near and unhealthy", true, "h! i+", inH, 0, "2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := config()
			name := dns.Name{FQDN: "x.internal", Affinity: tt.affinity}
			for i, text := range strings.Fields(tt.addrs) {
				zone := text[:len(text)-1]
				name.Addrs = append(name.Addrs, dns.Address{
					IP: netip.AddrFrom4([4]byte{10, 9, 9, byte(i + 1)}), Zone: zone, Up: strings.HasSuffix(text, "+"), Unhealthy: strings.HasSuffix(text, "!"),
				})
			}
			cfg.Names = []dns.Name{name}
			v := viewOf(t, cfg)
			for range tt.turn {
				v.Answer(question("x.internal A"), tt.asker)
				v.Answer(question("x.internal AAAA"), tt.asker)
			}
			m := v.Answer(question("x.internal A"), tt.asker)
			require.Equal(t, miekg.RcodeSuccess, m.Rcode)
			var got []string
			for _, rr := range m.Answer {
				got = append(got, strings.TrimPrefix(rr.(*miekg.A).A.String(), "10.9.9."))
			}
			require.Equal(t, tt.want, strings.Join(got, " "))
			require.Equal(t, tt.want == "", len(m.Ns) == 1)
		})
	}
}

func TestNewViewRefuses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*dns.Config)
		want   string
	}{
		{"a zone that is not a name", func(c *dns.Config) { c.Zones = []string{"a..b"} }, `zone "a..b" is not a domain name`},
		{"the root as a zone", func(c *dns.Config) { c.Zones = []string{""} }, `zone "" is not a domain name`},
		{"an invalid name", func(c *dns.Config) { c.Names[0].FQDN = "a b" }, `"a b" is not a domain name`},
		{"a final dot", func(c *dns.Config) { c.Names[0].FQDN = "a." }, `"a." is not a domain name`},
		{"a name that is there twice", func(c *dns.Config) { c.Names[1].FQDN = "ECS1.vpc1.internal" }, `name "ECS1.vpc1.internal" is there twice`},
		{"an invalid address", func(c *dns.Config) { c.Names[0].Addrs = []dns.Address{{}} }, `name "ecs1.vpc1.internal" has an invalid address`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := config()
			tt.change(&cfg)
			_, err := dns.NewView(cfg)
			require.EqualError(t, err, tt.want)
		})
	}
}

func TestHostIsNamedInSOAAndNS(t *testing.T) {
	cfg := config()
	cfg.Host = "resolver.internal"
	require.Equal(t, "NOERROR aa\ninternal. 60 IN NS resolver.internal.", say(viewOf(t, cfg).Answer(question("internal NS"), inH)))
}

// TestReverseNames holds reading a reverse name to be the opposite of writing
// one.
func TestReverseNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var addr netip.Addr
		if bytes := rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "bytes"); rapid.Bool().Draw(t, "four") {
			addr = netip.AddrFrom4([4]byte(bytes[:4]))
		} else {
			addr = netip.AddrFrom16([16]byte(bytes))
		}
		v, err := dns.NewView(dns.Config{Zones: []string{"internal"}, Names: []dns.Name{{FQDN: "x.internal", Addrs: []dns.Address{{IP: addr}}}}})
		require.NoError(t, err)
		name, err := miekg.ReverseAddr(addr.String())
		require.NoError(t, err)
		m := v.Answer(question(name+" PTR"), inH)
		require.Len(t, m.Answer, 1)
		require.Equal(t, "x.internal.", m.Answer[0].(*miekg.PTR).Ptr)
	})
}
