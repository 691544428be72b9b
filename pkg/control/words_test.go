package control

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/topology"
)

// Whatever an account asks for, in whichever state, a refusal has the cloud's word,
// or it is listed why there is none: every verb with right, wrong and missing
// values of every key that it has.
func TestEveryRefusalHasTheCloudsWordOrAReason(t *testing.T) {
	for _, cloud := range []topology.Cloud{topology.Alibaba, topology.AWS} {
		met := map[string]bool{}
		for _, before := range [][]string{
			{}, {"accept"}, {"accept", "report"}, {"reject", "report"}, {"accept", "report", "reject"},
			{"accept", "report", "private"}, {"zones"}, {"gone"},
		} {
			walkRefusals(t, cloud, before, met)
		}
		var missing []string
		for _, key := range slices.Sorted(maps.Keys(met)) {
			if !met[key] {
				missing = append(missing, key)
			}
		}
		require.Empty(t, missing, "%s: neither a word nor a reason", cloud)
		require.Greater(t, len(met), 30, "%s: the walk meets them: %v", cloud, slices.Sorted(maps.Keys(met)))
	}
}

// walkRefusals notes of each refusal whether it has a word or a reason.
func walkRefusals(t *testing.T, cloud topology.Cloud, before []string, met map[string]bool) {
	text := "a description"
	short, mbit, little, on := "x", 200, 1, true
	values := map[string][]func(*topology.Operation){
		"service":        {func(o *topology.Operation) { o.Service = "svc1" }, func(o *topology.Operation) { o.Service = "svc2" }, func(o *topology.Operation) { o.Service = "none" }},
		"endpoint":       {func(o *topology.Operation) { o.Endpoint = "ep1" }, func(o *topology.Operation) { o.Endpoint = "ep2" }, func(o *topology.Operation) { o.Endpoint = "none" }},
		"zone":           {func(o *topology.Operation) { o.Zone = "h" }, func(o *topology.Operation) { o.Zone = "none" }, func(*topology.Operation) {}},
		"account":        {func(o *topology.Operation) { o.Account = "a" }, func(o *topology.Operation) { o.Account = "b" }, func(o *topology.Operation) { o.Account = "none" }},
		"resource":       {func(o *topology.Operation) { o.Resource = "lb1" }, func(o *topology.Operation) { o.Resource = "lb2" }, func(o *topology.Operation) { o.Resource = "many" }, func(o *topology.Operation) { o.Resource = "none" }},
		"resources":      {func(o *topology.Operation) { o.Resources = []topology.Resource{{LoadBalancer: "none", Zone: "h"}} }, func(*topology.Operation) {}},
		"security_group": {func(o *topology.Operation) { o.SecurityGroup = "web" }, func(o *topology.Operation) { o.SecurityGroup = "ssh" }, func(o *topology.Operation) { o.SecurityGroup = "none" }},
		"bandwidth":      {func(o *topology.Operation) { o.Bandwidth = &mbit }, func(o *topology.Operation) { o.Bandwidth = &little }, func(*topology.Operation) {}},
		"force":          {func(*topology.Operation) {}},
		"description":    {func(o *topology.Operation) { o.Description = &text }, func(o *topology.Operation) { o.Description = &short }, func(*topology.Operation) {}},
		"auto_accept":    {func(*topology.Operation) {}},
		"zone_affinity":  {func(o *topology.Operation) { o.ZoneAffinity = &on }, func(*topology.Operation) {}},
		"private_dns":    {func(o *topology.Operation) { o.PrivateDNS = &on }, func(*topology.Operation) {}},
		"nat_gateway":    {func(o *topology.Operation) { o.NATGateway = "gw" }, func(o *topology.Operation) { o.NATGateway = "none" }},
		"entry":          {func(o *topology.Operation) { o.Entry = "e1" }, func(o *topology.Operation) { o.Entry = "none" }},
		"nat_ip":         {func(o *topology.Operation) { o.NATIP = netip.MustParseAddr("10.2.0.5") }, func(o *topology.Operation) { o.NATIP = netip.MustParseAddr("10.2.0.9") }, func(o *topology.Operation) { o.NATIP = netip.MustParseAddr("192.0.2.1") }},
		"nat_port":       {func(*topology.Operation) {}},
		"protocol":       {func(*topology.Operation) {}},
		"access_ip":      {func(o *topology.Operation) { o.AccessIP = netip.MustParseAddr("10.0.0.9") }},
		"access_port":    {func(o *topology.Operation) { o.AccessPort = 80 }},
		"domain":         {func(*topology.Operation) {}},
		"server_group":   {func(o *topology.Operation) { o.ServerGroup = "rs1" }, func(o *topology.Operation) { o.ServerGroup = "none" }},
		"server":         {func(o *topology.Operation) { o.Server = "web:80" }, func(o *topology.Operation) { o.Server = "none:80" }, func(o *topology.Operation) { o.Server = "web" }},
		"weight":         {func(o *topology.Operation) { o.Weight = &little }, func(o *topology.Operation) { o.Weight = new(int); *o.Weight = 101 }},
	}
	for _, spec := range topology.Specs {
		calls := []topology.Operation{{Verb: spec.Verb}}
		for _, key := range append(spec.Needs.List(), spec.May.List()...) {
			require.NotEmpty(t, values[key], "the walk has no values of %s", key)
			var next []topology.Operation
			for _, o := range calls {
				for _, give := range values[key] {
					with := o
					give(&with)
					next = append(next, with)
				}
			}
			calls = next
		}
		for _, as := range []string{"", "a", "b", "c", "none"} {
			for _, o := range calls {
				o.As = as
				_, err := bazaar(t, cloud, before).Do(o)
				refused, ok := err.(*Error)
				if !ok {
					require.NoError(t, err)
					continue
				}
				_, reason := word(cloud, refused.Code, refused.Kind, o.Verb)
				key := fmt.Sprintf("%s of %s: %s %q", o.Verb, refused.Kind, refused.Code, refused.Text)
				met[key] = refused.Word != "" || reason != ""
			}
		}
	}
}

// bazaar is account b with a service, another that is not there yet and a NAT
// gateway, and account a with an endpoint and another that is not there yet.
func bazaar(t *testing.T, cloud topology.Cloud, before []string) *Plane {
	zones := []topology.EndpointZone{{Zone: "h"}}
	name := &topology.PrivateName{Name: "db.example.com", State: topology.Verified}
	plan := &topology.Plan{
		Name: "bazaar", Cloud: cloud, Profile: cloud.Profile(),
		Quotas:   topology.Quotas{ServicesPerAccount: 1, EndpointsPerVPC: 1, ResourcesPerService: 2, ResourcesPerZone: 1, GroupsPerEndpoint: 1},
		Accounts: []topology.Account{{Name: "a"}, {Name: "b"}, {Name: "c"}},
		VPCs: []topology.VPC{
			{Name: "vpc1", Account: "a", DNSHostnames: true, Resolvers: make([]netip.Addr, 1), SecurityGroups: []topology.SecurityGroup{{Name: "web"}, {Name: "ssh"}}},
			{Name: "vpc2", Account: "b", CIDR: netip.MustParsePrefix("10.2.0.0/16"), Instances: []topology.Instance{{Name: "web", VPC: "vpc2", IP: netip.MustParseAddr("10.2.0.20")}}},
		},
		ServerGroups: []topology.ServerGroup{{Name: "rs1", VPC: "vpc2", Servers: []topology.Server{{Instance: "vpc2/web", IP: netip.MustParseAddr("10.2.0.20"), Port: 80}}}},
		LoadBalancers: []topology.LoadBalancer{
			{Name: "lb1", Type: topology.NLB, VPC: "vpc2", Nodes: []topology.Node{{Zone: "h"}}},
			{Name: "lb2", Type: topology.NLB, VPC: "vpc1", Nodes: []topology.Node{{Zone: "h"}}},
			{Name: "many", Type: topology.NLB, VPC: "vpc2", Nodes: []topology.Node{{Zone: "h"}}, Listeners: make([]topology.Listener, 51)},
		},
		Services: []topology.EndpointService{
			{Name: "svc1", Account: "b", Whitelist: []string{"b", "a"}, Resources: []topology.Resource{{LoadBalancer: "lb1", Zone: "h"}}, PrivateName: name},
			{Name: "svc2", Account: "b", Whitelist: []string{"b"}, Absent: true},
		},
		Endpoints: []topology.Endpoint{
			{Name: "ep1", Service: "svc1", Account: "a", VPC: "vpc1", Zones: zones, SecurityGroups: []string{"web"}},
			{Name: "ep2", Service: "svc1", Account: "a", VPC: "vpc1", Zones: zones, Absent: true, PrivateDNS: cloud == topology.AWS},
		},
	}
	p, err := NewPlane(plan, func() time.Time { return time.Time{} })
	require.NoError(t, err)
	for _, step := range before {
		on := true
		o := topology.Operation{Verb: topology.Verb(step), Service: "svc1", Endpoint: "ep1"}
		switch step {
		case "report":
			p.Report(p.Revision())
			continue
		case "private":
			if cloud != topology.AWS {
				continue
			}
			o = topology.Operation{Verb: topology.VerbEndpointSet, Endpoint: "ep1", PrivateDNS: &on}
		case "zones":
			if cloud == topology.AWS {
				continue
			}
			o = topology.Operation{Verb: topology.VerbZoneRemove, Endpoint: "ep1", Zone: "h"}
		case "gone":
			if cloud != topology.AWS {
				continue
			}
			o = topology.Operation{Verb: topology.VerbEndpointDelete, Endpoint: "ep1"}
		case "reject":
			if c := p.State().Connections[0]; c.State == Wait && cloud == topology.Alibaba {
				continue // to it a connection that waits is disconnected
			}
		}
		_, err := p.Do(o)
		require.NoError(t, err)
	}
	return p
}
