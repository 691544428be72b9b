package dns_test

import (
	"strings"
	"testing"

	miekg "github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/dns"
)

// private is a view with a zone that somebody wrote himself beside the names
// of the lab.
func private() dns.Config {
	cfg := config()
	cfg.Zones = append(cfg.Zones, "corp.example", "1.16.172.in-addr.arpa")
	cfg.Names = append(cfg.Names,
		dns.Name{FQDN: "corp.example", TXT: []string{"v=spf1 -all"}, Alias: true},
		dns.Name{FQDN: "api.corp.example", CNAME: endpoint},
		dns.Name{FQDN: "www.corp.example", CNAME: "API.corp.example"},
		dns.Name{FQDN: "away.corp.example", CNAME: "www.example.org"},
		dns.Name{FQDN: "broken.corp.example", CNAME: "nobody.corp.example"},
		dns.Name{FQDN: "*.apps.corp.example", Addrs: up("10.0.1.50"), Alias: true},
		dns.Name{FQDN: "known.apps.corp.example", Addrs: up("10.0.1.51"), Alias: true},
		dns.Name{FQDN: "x.deep.apps.corp.example", Addrs: up("10.0.1.52"), Alias: true},
		dns.Name{FQDN: "*.links.corp.example", CNAME: "api.corp.example"},
		dns.Name{FQDN: "self.corp.example", CNAME: "self.corp.example"},
		dns.Name{FQDN: "*.round.corp.example", CNAME: "x.round.corp.example"},
		dns.Name{FQDN: "_mysql._tcp.corp.example", SRV: []dns.SRV{{Priority: 10, Weight: 5, Port: 3306, Target: "ecs1.vpc1.internal"}}},
		dns.Name{FQDN: "text.corp.example", TXT: []string{strings.Repeat("a", 300), `quote " and \`, ""}},
		dns.Name{FQDN: "9.1.16.172.in-addr.arpa", CNAME: "corp.example"},
	)
	return cfg
}

const soaCorp = "\n; corp.example. 60 IN SOA ns.corp.example. hostmaster.corp.example. 1 3600 600 86400 60"

func TestPrivateZones(t *testing.T) {
	v := viewOf(t, private())
	for _, tt := range []struct {
		name, asks, want string
	}{
		{"a CNAME is followed to the asker's zone", "api.corp.example A",
			"NOERROR aa\napi.corp.example. 60 IN CNAME " + endpoint + ".\n" + endpoint + ". 60 IN A 10.0.1.200"},
		{"a chain of them, the case as it was asked", "WWW.corp.example A",
			"NOERROR aa\nWWW.corp.example. 60 IN CNAME API.corp.example.\nAPI.corp.example. 60 IN CNAME " + endpoint + ".\n" + endpoint + ". 60 IN A 10.0.1.200"},
		{"a chain that ends without such a record", "api.corp.example AAAA",
			"NOERROR aa\napi.corp.example. 60 IN CNAME " + endpoint + "." + soaEndpoint},
		{"a chain that ends at a name that is missing", "broken.corp.example A",
			"NXDOMAIN aa\nbroken.corp.example. 60 IN CNAME nobody.corp.example." + soaCorp},
		{"a chain that leads away has the code of its end", "away.corp.example A",
			"REFUSED aa\naway.corp.example. 60 IN CNAME www.example.org."},
		{"the CNAME itself", "api.corp.example CNAME", "NOERROR aa\napi.corp.example. 60 IN CNAME " + endpoint + "."},
		{"a wildcard", "any.apps.corp.example A", "NOERROR aa\nany.apps.corp.example. 60 IN A 10.0.1.50"},
		{"a wildcard stands for several labels", "a.b.apps.corp.example A", "NOERROR aa\na.b.apps.corp.example. 60 IN A 10.0.1.50"},
		{"not for a name that is there", "known.apps.corp.example A", "NOERROR aa\nknown.apps.corp.example. 60 IN A 10.0.1.51"},
		{"nor below one", "x.known.apps.corp.example A", "NXDOMAIN aa" + soaCorp},
		{"nor for one that has only others below it", "deep.apps.corp.example A", "NOERROR aa" + soaCorp},
		{"a wildcard has no other types", "any.apps.corp.example TXT", "NOERROR aa" + soaCorp},
		{"the wildcard by its own name", "*.apps.corp.example A", "NOERROR aa\n*.apps.corp.example. 60 IN A 10.0.1.50"},
		{"its place has no records", "apps.corp.example A", "NOERROR aa" + soaCorp},
		{"a wildcard may be a CNAME", "x.links.corp.example A",
			"NOERROR aa\nx.links.corp.example. 60 IN CNAME api.corp.example.\napi.corp.example. 60 IN CNAME " + endpoint + ".\n" + endpoint + ". 60 IN A 10.0.1.200"},
		{"a CNAME to itself", "self.corp.example A", "SERVFAIL aa"},
		{"a circle through a wildcard", "z.round.corp.example A", "SERVFAIL aa"},
		{"a circle, and only one step of it is asked for", "self.corp.example CNAME", "NOERROR aa\nself.corp.example. 60 IN CNAME self.corp.example."},
		{"SRV", "_mysql._tcp.corp.example SRV", "NOERROR aa\n_mysql._tcp.corp.example. 60 IN SRV 10 5 3306 ecs1.vpc1.internal."},
		{"TXT of the zone itself", "corp.example TXT", "NOERROR aa\ncorp.example. 60 IN TXT \"v=spf1 -all\""},
		{"TXT that is long, has a backslash, is empty", "text.corp.example TXT",
			"NOERROR aa\ntext.corp.example. 60 IN TXT \"" + strings.Repeat("a", 255) + "\" \"" + strings.Repeat("a", 45) + "\"\n" +
				"text.corp.example. 60 IN TXT \"quote \\\" and \\\\\"\ntext.corp.example. 60 IN TXT \"\""},
		{"NS of the zone", "corp.example NS", "NOERROR aa\ncorp.example. 60 IN NS ns.corp.example."},
		{"an alias is no reverse name", "50.1.0.10.in-addr.arpa PTR", "NXDOMAIN aa\n; 1.0.10.in-addr.arpa. 60 IN SOA ns.1.0.10.in-addr.arpa. hostmaster.1.0.10.in-addr.arpa. 1 3600 600 86400 60"},
		{"a reverse zone may be written by hand", "9.1.16.172.in-addr.arpa CNAME", "NOERROR aa\n9.1.16.172.in-addr.arpa. 60 IN CNAME corp.example."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := v.Answer(question(tt.asks), inH)
			require.Equal(t, tt.want, say(m))
			packed, err := m.Pack()
			require.NoError(t, err)
			var again miekg.Msg
			require.NoError(t, again.Unpack(packed))
			require.Equal(t, tt.want, say(&again), "it is the same on the wire")
		})
	}
}

func TestNewViewRefusesRecords(t *testing.T) {
	for _, tt := range []struct {
		name  string
		names []dns.Name
		want  string
	}{
		{"a CNAME beside other records", []dns.Name{{FQDN: "a.internal", CNAME: "b.internal", TXT: []string{"x"}}}, `name "a.internal" has a CNAME and other records`},
		{"a CNAME that is no name", []dns.Name{{FQDN: "a.internal", CNAME: "b b"}}, `name "a.internal": its CNAME "b b" is not a domain name`},
		{"a CNAME of a zone", []dns.Name{{FQDN: "internal", CNAME: "a.b"}}, `name "internal" is a zone and cannot have a CNAME`},
		{"an SRV target that is none", []dns.Name{{FQDN: "a.internal", SRV: []dns.SRV{{Target: ""}}}}, `name "a.internal": the target "" of an SRV record is not a domain name`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := dns.NewView(dns.Config{Zones: []string{"internal"}, Names: tt.names})
			require.EqualError(t, err, tt.want)
		})
	}
}

func TestWhoIsRefusedHearsWhy(t *testing.T) {
	v := viewOf(t, config())
	m := v.Answer(question("www.example.org A").SetEdns0(1232, false), inH)
	require.Equal(t, miekg.RcodeRefused, m.Rcode)
	require.Len(t, m.IsEdns0().Option, 1)
	require.Equal(t, "20 (Not Authoritative): (not a name of this lab, and nothing is forwarded)", m.IsEdns0().Option[0].String())
	m = v.Answer(question("ecs1.vpc1.internal A").SetEdns0(1232, false), inH)
	require.Empty(t, m.IsEdns0().Option)
}

func TestExplain(t *testing.T) {
	cfg := private()
	cfg.Names = append(cfg.Names, dns.Name{FQDN: "multi.corp.example", Affinity: true, Alias: true, Addrs: []dns.Address{
		{IP: inH, Zone: "h", Why: "its connection is Wait in this zone"},
		{IP: inI, Zone: "i", Unhealthy: true, Why: "no healthy server"},
	}})
	cfg.Names[3].Addrs = append(cfg.Names[3].Addrs, dns.Address{IP: elsewhere, Zone: "j", Why: "zone j is down"})
	v := viewOf(t, cfg)
	for _, tt := range []struct {
		name, asks string
		want       []string
	}{
		{"the asker's zone first", endpoint + " A", []string{
			"answered by eu-central-1.privatelink.aliyuncs.com.",
			"+ 10.0.1.200 h it is in the asker's zone",
			"- 10.0.2.200 i zone affinity: the asker's own zone has one that is up",
			"- 172.16.0.1 j zone j is down",
		}},
		{"nothing is up", "multi.corp.example A", []string{
			"answered by corp.example.",
			"- 10.0.1.10 h its connection is Wait in this zone",
			"+ 10.0.2.10 i nothing is up, so it is given even so: no healthy server",
		}},
		{"a wildcard that is a CNAME", "x.links.corp.example TXT", []string{
			"answered by corp.example. for *.links.corp.example",
			"answered by corp.example.",
			"no such record by eu-central-1.privatelink.aliyuncs.com.",
		}},
		{"a name that is missing", "nobody.corp.example A", []string{"no such name by corp.example."}},
		{"a foreign name", "www.example.org A", []string{"foreign by "}},
		{"an address", "10.1.0.10.in-addr.arpa PTR", []string{"answered by 1.0.10.in-addr.arpa."}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, e := v.Explain(question(tt.asks), inH)
			require.Equal(t, "h", e.AskerZone)
			require.Equal(t, say(v.Answer(question(tt.asks), inH)), say(m))
			var got []string
			for _, s := range e.Steps {
				line := string(s.Outcome) + " by " + s.Authority
				if s.Wildcard != "" {
					line += " for " + s.Wildcard
				}
				got = append(got, line)
				for _, c := range s.Choices {
					sign := "- "
					if c.Given {
						sign = "+ "
					}
					got = append(got, sign+c.IP.String()+" "+c.Zone+" "+c.Reason)
				}
			}
			require.Equal(t, tt.want, got)
		})
	}
}
