package compile_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/compile"
	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/dns"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Each row is what has happened to an endpoint in zones a and b, and the
// addresses that its name leads to then: a + is up, a - is not, with the
// reason.
func TestNamesFollowConnectionsZonesAndHealth(t *testing.T) {
	for _, tt := range []struct {
		name      string
		edit      string // "old=>new" in the topology's text
		state     func(*testing.T, *control.Plane)
		unhealthy []string
		down      string // a zone
		want      string
	}{
		{name: "nobody has accepted", want: "a- its connection is pendingAcceptance in this zone, b- its connection is pendingAcceptance in this zone"},
		{name: "all is well", state: accepted, want: "a+, b+"},
		{name: "a zone is down", state: accepted, down: "eu-central-1a", want: "a- zone eu-central-1a is down, b+"},
		{
			name: "the servers of a zone are unhealthy", state: accepted, unhealthy: []string{"provider/api-a"},
			want: "a- unhealthy: load balancer nlb has no healthy server in zone eu-central-1a for tcp/443, b+",
		},
		{
			name: "the only server of a zone has weight 0", edit: "instance: api-b, port: 443=>instance: api-b, port: 443, weight: 0", state: accepted,
			want: "a+, b- unhealthy: load balancer nlb has no healthy server in zone eu-central-1b for tcp/443",
		},
		{
			name: "zones share their servers", edit: "type: nlb,=>type: nlb, cross_zone: true,", state: accepted,
			unhealthy: []string{"provider/api-a"}, want: "a+, b+",
		},
		{
			name: "zones share their servers, and all are unhealthy", edit: "type: nlb,=>type: nlb, cross_zone: true,", state: accepted,
			unhealthy: []string{"provider/api-a", "provider/api-b"},
			want:      "a- unhealthy: load balancer nlb has no healthy server for tcp/443, b- unhealthy: load balancer nlb has no healthy server for tcp/443",
		},
		{
			name: "one server group without a healthy server is enough", state: accepted, unhealthy: []string{"provider/api-a"},
			edit: "listeners: [=>listeners: [{protocol: tcp, port: 80, server_group: always}, ",
			want: "a- unhealthy: load balancer nlb has no healthy server in zone eu-central-1a for tcp/443, b+",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("testdata", "two-zones.yaml"))
			require.NoError(t, err)
			if before, after, ok := strings.Cut(tt.edit, "=>"); ok {
				require.Contains(t, string(text), before)
				text = []byte(strings.Replace(string(text), before, after, 1))
			}
			text = []byte(strings.Replace(string(text), "server_groups:\n", "server_groups:\n  always: {vpc: provider, health_check: {protocol: none}, servers: [{instance: api-a, port: 443}, {instance: api-b, port: 443}]}\n", 1))
			s := situationOf(t, text, tt.state, tt.unhealthy)
			s.ZonesDown = map[string]string{tt.down: "zone " + tt.down + " is down"}
			name := nameOf(t, compile.Names(s.Plan, s.State, s.Health).Public, s.Plan.Endpoints[0].Domain)
			var got []string
			for _, a := range name.Addrs {
				text := strings.TrimPrefix(a.Zone, "eu-central-1")
				switch {
				case a.Up:
					text += "+"
				case a.Unhealthy:
					text += "- unhealthy: " + a.Why
				default:
					text += "- " + a.Why
				}
				got = append(got, text)
			}
			require.Equal(t, tt.want, strings.Join(got, ", "))
		})
	}
}

func accepted(t *testing.T, plane *control.Plane) {
	_, err := plane.Do(topology.Operation{Verb: "accept", Service: "api", Endpoint: "to-api"})
	require.NoError(t, err)
	plane.Report(plane.Revision())
}

func nameOf(t *testing.T, cfg dns.Config, fqdn string) dns.Name {
	t.Helper()
	for _, n := range cfg.Names {
		if n.FQDN == fqdn {
			return n
		}
	}
	t.Fatalf("%s has no name", fqdn)
	return dns.Name{}
}

// own adds names of the user's own to the two zones: public ones, private ones
// of each VPC, and a private DNS name of the service.
func own(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "two-zones.yaml"))
	require.NoError(t, err)
	return strings.NewReplacer(
		"resources: [nlb],", "resources: [nlb], private_dns_name: api.vendor.example,",
		"subnets: [a, b], security_groups: [app]}", "subnets: [a, b], security_groups: [app], private_dns: true}",
	).Replace(string(text)) + `
public_zones:
  vendor:
    domain: vendor.example
    records:
      - {txt: ["vpce:1D7Veek9nl9ZIxHD92u2"]}
      - {name: api, a: [192.0.2.80]}
      - {name: www.api, a: [192.0.2.81]}
      - {name: www, a: [192.0.2.82]}
  shop: {domain: shop.example, records: [{name: db, a: [192.0.2.83]}, {name: db.in, a: [192.0.2.84]}]}
private_zones:
  consumer: {domain: shop.example, vpcs: [consumer], ttl: 5m, records: [{name: db, cname: "${to-api}"}, {name: x.in, txt: [outer]}]}
  inner: {domain: in.shop.example, vpcs: [consumer], records: [{name: y, txt: [inner]}]}
  provider: {domain: in.shop.example, vpcs: [provider], records: [{name: "*", a: ["${api-a.ip}"]}]}
`
}

func TestNamesAreKnownWhereTheyShouldBe(t *testing.T) {
	text := own(t)
	plan, err := topofile.Parse("own.yaml", []byte(strings.Replace(text, ", private_dns: true", "", 1)))
	require.NoError(t, err)
	text = strings.Replace(text, "vpce:1D7Veek9nl9ZIxHD92u2", plan.Services[0].PrivateName.TXTValue, 1)
	for _, tt := range []struct {
		name, vpc, asks, before, after string // nobody, or the provider, has accepted
	}{
		{name: "a private DNS name counts once the provider has accepted", vpc: "consumer", asks: "api.vendor.example", before: "192.0.2.80", after: "10.0.1.253 10.0.2.232"},
		{name: "and hides what is public below it", vpc: "consumer", asks: "www.api.vendor.example", before: "192.0.2.81", after: "NXDOMAIN"},
		{name: "but not beside it", vpc: "consumer", asks: "www.vendor.example", before: "192.0.2.82", after: "192.0.2.82"},
		{name: "elsewhere the public name stays", vpc: "provider", asks: "api.vendor.example", before: "192.0.2.80", after: "192.0.2.80"},
		{name: "a private zone hides a public one", vpc: "consumer", asks: "db.shop.example", before: "10.0.1.253 10.0.2.232", after: "10.0.1.253 10.0.2.232"},
		{name: "where it is known", vpc: "provider", asks: "db.shop.example", before: "192.0.2.83", after: "192.0.2.83"},
		{name: "with all that it does not have itself", vpc: "consumer", asks: "www.shop.example", before: "NXDOMAIN", after: "NXDOMAIN"},
		{name: "a zone has no say in one below it", vpc: "consumer", asks: "x.in.shop.example TXT", before: "NXDOMAIN", after: "NXDOMAIN"},
		{name: "which has its own", vpc: "consumer", asks: "y.in.shop.example TXT", before: `"inner"`, after: `"inner"`},
		{name: "one domain, another zone in another VPC", vpc: "provider", asks: "y.in.shop.example", before: "10.0.1.10", after: "10.0.1.10"},
		{name: "a private zone hides a public name below a public zone", vpc: "provider", asks: "db.in.shop.example", before: "10.0.1.10", after: "10.0.1.10"},
		{name: "an instance is known in its own VPC", vpc: "provider", asks: "api-a.provider.internal", before: "10.0.1.10", after: "10.0.1.10"},
		{name: "and in no other", vpc: "consumer", asks: "api-a.provider.internal", before: "REFUSED", after: "REFUSED"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, s := range []compile.Situation{situationOf(t, []byte(text), nil, nil), situationOf(t, []byte(text), accepted, nil)} {
				want := tt.before
				if s.State.Connections[0].State == control.Connected {
					want = tt.after
				}
				view, err := s.Names.View(tt.vpc)
				require.NoError(t, err)
				require.Equal(t, want, ask(view, tt.asks))
			}
		})
	}
}

// ask gives the data of the last records, or the code.
func ask(view *dns.View, question string) string {
	name, qtype, typed := strings.Cut(question, " ")
	if !typed {
		qtype = "A"
	}
	m := view.Answer(new(mdns.Msg).SetQuestion(mdns.Fqdn(name), mdns.StringToType[qtype]), netip.MustParseAddr("10.0.1.10"))
	if m.Rcode != mdns.RcodeSuccess {
		return mdns.RcodeToString[m.Rcode]
	}
	var data []string
	for _, rr := range m.Answer {
		if rr.Header().Rrtype == mdns.StringToType[qtype] {
			data = append(data, strings.TrimPrefix(rr.String(), rr.Header().String()))
		}
	}
	return strings.Join(data, " ")
}

// A service's own name leads to the endpoints that the asker's VPC has of it,
// and at AWS nowhere.
func TestTheNameOfAService(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "two-zones.yaml"))
	require.NoError(t, err)
	placed := strings.Replace(string(text), "subnets: [a, b], security_groups", "subnets: {a: {ip: 10.0.1.200}, b: {ip: 10.0.2.200}}, security_groups", 1)
	for _, tt := range []struct{ cloud, affinity, vpc, want string }{
		{"alibaba", "true", "consumer", "10.0.1.200"},
		{"alibaba", "false", "consumer", "10.0.1.200 10.0.2.200"},
		{"alibaba", "true", "provider", ""},
		{"aws", "false", "consumer", ""},
	} {
		edited := strings.NewReplacer("cloud: aws", "cloud: "+tt.cloud, "    dns_hostnames: true\n", "", "resources: [nlb],", "resources: [nlb], zone_affinity: "+tt.affinity+",").Replace(placed)
		s := situationOf(t, []byte(edited), accepted, nil)
		view, err := s.Names.View(tt.vpc)
		require.NoError(t, err)
		require.Equal(t, tt.want, ask(view, s.Plan.Services[0].Domain), "%v", tt)
	}
}
