package topofile

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/topology"
)

// withPrivateName is a topology of AWS whose service wants a private DNS name; the
// public zones are the test's.
func withPrivateName(t *testing.T, public, endpoint string) (*topology.Plan, error) {
	t.Helper()
	text := strings.NewReplacer(
		"cloud: alibaba", "cloud: aws",
		"    account: a\n", "    account: a\n    dns_hostnames: true\n",
		"resources: [nlb1]", "resources: [nlb1], private_dns_name: db.eu.example.com",
		"vpc: vpc1, subnets: [h1]", "vpc: vpc1, subnets: [h1]"+endpoint,
		"checks:\n", public+"checks:\n",
	).Replace(small)
	return Parse("topology.yaml", []byte(text))
}

func TestAPrivateDNSNameIsVerifiedByAPublicRecord(t *testing.T) {
	plan, err := withPrivateName(t, "", "")
	require.NoError(t, err)
	p := plan.Services[0].PrivateName
	require.Regexp(t, `^_[a-z0-9]{20}\.db\.eu\.example\.com$`, p.TXTName)
	require.Regexp(t, `^vpce:[a-zA-Z0-9]{20}$`, p.TXTValue)
	require.Equal(t, "pendingVerification", p.State)
	require.True(t, slices.ContainsFunc(plan.Warnings, func(w topology.Problem) bool { return strings.Contains(w.Hint, p.TXTValue) }))
	renamed, err := Parse("topology.yaml", bytes.Replace(plan.Source, []byte("name: small"), []byte("name: other"), 1))
	require.NoError(t, err)
	require.Equal(t, p, renamed.Services[0].PrivateName, "the proof does not depend on the lab's name")
	label, _, _ := strings.Cut(p.TXTName, ".")
	for _, tt := range []struct {
		name, domain, record, text, want string
	}{
		{"the record is there", "example.com", label + ".db.eu", p.TXTValue, "verified"},
		{"at the domain, where the registrar takes no underscore", "db.eu.example.com", "@", p.TXTValue, "verified"},
		{"a domain covers those below it", "example.com", label, p.TXTValue, "verified"},
		{"it is somebody else's", "example.com", label + ".db.eu", "vpce:other", "failed"},
		{"the case of the value counts", "example.com", label + ".db.eu", strings.ToUpper(p.TXTValue), "failed"},
		{"another text at the domain says nothing", "example.com", "@", "v=spf1 -all", "pendingVerification"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			public := "public_zones:\n  z: {domain: " + tt.domain + ", records: [{name: \"" + tt.record + "\", txt: [\"" + tt.text + "\"]}]}\n"
			plan, err := withPrivateName(t, public, "")
			require.NoError(t, err)
			require.Equal(t, tt.want, plan.Services[0].PrivateName.State)
			_, err = withPrivateName(t, public, ", private_dns: true")
			if tt.want == "verified" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, `private DNS can't be enabled because endpoint service "svc1" has not verified the private DNS name db.eu.example.com`)
			}
			_, err = withPrivateName(t, public+"private_zones:\n  p: {domain: db.eu.example.com, vpcs: [vpc1]}\n", ", private_dns: true")
			require.ErrorContains(t, err, "private DNS can't be enabled because")
		})
	}
}

func TestOnlyOneEndpointOfAVPCHasAPrivateDNSName(t *testing.T) {
	plan, err := withPrivateName(t, "", "")
	require.NoError(t, err)
	p := plan.Services[0].PrivateName
	public := "public_zones:\n  z: {domain: db.eu.example.com, records: [{txt: [\"" + p.TXTValue + "\"]}]}\n"
	_, err = withPrivateName(t, public, ", private_dns: true}\n  ep2: {service: svc1, vpc: vpc1, subnets: [h1], private_dns: true")
	require.ErrorContains(t, err, `endpoint "ep2": private DNS can't be enabled because endpoint "ep1" has the domain db.eu.example.com in vpc "vpc1" already`)
}

func TestAZoneHasItsRecords(t *testing.T) {
	plan, err := Parse("topology.yaml", []byte(strings.Replace(small, "checks:\n", `private_zones:
  corp:
    domain: corp.example
    vpcs: [vpc1, vpc2]
    ttl: 5m
    records:
      - {txt: ["hello, world"]}
      - {name: db, cname: "${ep1}"}
      - {name: "*.apps", a: ["${ep1.ip}", 10.0.0.9], aaaa: ["2001:db8::1"]}
      - {name: _mysql._tcp, srv: [{priority: 1, port: 3306, target: DB.corp.example.}]}
checks:
`, 1)))
	require.NoError(t, err)
	zone := plan.DNSZones[0]
	require.Equal(t, []string{"vpc1", "vpc2"}, zone.VPCs)
	require.Equal(t, "5m0s", zone.TTL.String())
	var names []string
	for _, r := range zone.Records {
		names = append(names, r.Name)
	}
	require.Equal(t, []string{"corp.example", "db.corp.example", "*.apps.corp.example", "_mysql._tcp.corp.example"}, names)
	require.Equal(t, plan.Endpoints[0].Domain, zone.Records[1].CNAME)
	require.Equal(t, plan.Endpoints[0].Zones[0].ENI.IP, zone.Records[2].Addrs[0])
	require.Len(t, zone.Records[2].Addrs, 3)
	require.Equal(t, []topology.SRV{{Priority: 1, Port: 3306, Target: "db.corp.example"}}, zone.Records[3].SRV)
}

func TestTheEndpointsZoneAffinityCounts(t *testing.T) {
	for _, tt := range []struct {
		name, service, endpoint string
		want                    bool
	}{
		{"nobody says anything", "", "", false},
		{"the service's", ", zone_affinity: true", "", true},
		{"the endpoint's above the service's", ", zone_affinity: true", ", zone_affinity: false", false},
		{"the endpoint's alone", "", ", zone_affinity: true", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			plan, err := Parse("topology.yaml", []byte(strings.NewReplacer(
				"resources: [nlb1]", "resources: [nlb1]"+tt.service, "subnets: [h1], security", "subnets: [h1]"+tt.endpoint+", security",
			).Replace(small)))
			require.NoError(t, err)
			require.Equal(t, tt.want, plan.Endpoints[0].ZoneAffinity)
		})
	}
}
