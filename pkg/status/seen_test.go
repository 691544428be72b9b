package status_test

import (
	"testing"

	"github.com/plinksim/plinksim/pkg/status"
	"github.com/stretchr/testify/require"
)

func TestConsumersSeeNothingOfTheProvidersSide(t *testing.T) {
	all := status.Lab{
		Services: []status.EndpointService{{
			Name: "orders", Account: "b", Whitelist: []string{"b", "a"}, Zones: []string{"h"}, Resources: []string{"nlb1@h"}, Connections: 7,
			PrivateName: &status.PrivateName{Name: "db.example.com", State: "verified", TXTName: "_x", TXTValue: "vpce:y"},
		}},
		Endpoints: []status.Endpoint{{
			Name: "to-orders", Account: "a", Service: "orders", Actions: []string{"accept", "reject"},
			Zones: []status.Zone{{Zone: "h", LoadBalancer: "nlb1", Replaced: "nlb0"}},
		}},
	}
	seen := all.SeenBy("a")
	require.Equal(t, []status.EndpointService{{
		Name: "orders", Account: "b", Whitelist: []string{}, Zones: []string{"h"}, Resources: []string{}, Connections: 1,
		PrivateName: &status.PrivateName{Name: "db.example.com", State: "verified"},
	}}, seen.Services, "its zones, and neither load balancers nor how the name is verified")
	require.Empty(t, seen.Endpoints[0].Actions, "accept and reject are the provider's")
	require.Equal(t, []status.Zone{{Zone: "h"}}, seen.Endpoints[0].Zones)
	require.Equal(t, all.Endpoints, all.SeenBy("b").Endpoints, "the provider sees it all")
	require.Equal(t, all.Services, all.SeenBy("b").Services)
}

func TestWhatAnAccountSees(t *testing.T) {
	all := status.Lab{
		Lab: "market", Schema: status.Schema, VPCs: []status.VPC{{Name: "vpc1"}},
		Services: []status.EndpointService{
			{Name: "orders", Account: "b", Whitelist: []string{"b", "a"}},
			{Name: "stock", Account: "b", Whitelist: []string{"b"}},
			{Name: "news", Account: "c", Whitelist: []string{"c", "*"}},
		},
		Endpoints: []status.Endpoint{
			{Name: "to-orders", Account: "a", Service: "orders"},
			{Name: "to-news", Account: "c", Service: "news"},
		},
	}
	for _, tt := range []struct {
		account             string
		services, endpoints []string
	}{
		{"a", []string{"orders", "news"}, []string{"to-orders"}},
		{"b", []string{"orders", "stock", "news"}, []string{"to-orders"}},
		{"c", []string{"news"}, []string{"to-news"}},
		{"d", []string{"news"}, nil},
	} {
		t.Run("account "+tt.account, func(t *testing.T) {
			seen := all.SeenBy(tt.account)
			var services, endpoints []string
			for _, s := range seen.Services {
				services = append(services, s.Name)
				require.Equal(t, s.Account == tt.account, len(s.Whitelist) > 0, "a whitelist is its owner's to see")
			}
			for _, e := range seen.Endpoints {
				endpoints = append(endpoints, e.Name)
			}
			require.Equal(t, tt.services, services)
			require.Equal(t, tt.endpoints, endpoints)
			require.Empty(t, seen.VPCs)
			require.Equal(t, "market", seen.Lab)
		})
	}
	require.Equal(t, []string{"b", "a"}, all.Services[0].Whitelist, "what was looked at is as it was")
}
