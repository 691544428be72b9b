package plinktest

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/topofile"
)

const zoneA, zoneB = "eu-west-1a", "eu-west-1b"

// shopAndData is what most tests need: an instance, an endpoint, and an echo server
// behind it.
func shopAndData() (net *Topology, nlb *LoadBalancerSpec) {
	net = NewTopology("aws", "eu-west-1")
	db := net.VPC("data", "10.0.0.0/16").AllowFrom("10.0.0.0/16").Instance("db", zoneA).Echo(5432)
	nlb = db.VPC().LoadBalancer("nlb", "nlb")
	nlb.Listen("tcp", 5432, db.At(5432))
	shop := net.VPC("shop", "10.0.0.0/16")
	shop.Instance("web", zoneA)
	shop.Endpoint("ep", net.Service("data", nlb))
	return net, nlb
}

func TestATopologyMadeInGoIsAFile(t *testing.T) {
	net, nlb := shopAndData()
	net.Set("name", "shop")
	_, err := net.Plan()
	require.NoError(t, err)
	const want = `name: shop
cloud: "aws"
region: "eu-west-1"
vpcs:
  data:
    cidr: 10.0.0.0/16
    subnets:
      eu-west-1a:
        cidr: 10.0.0.0/24
        zone: eu-west-1a
    security_groups:
      default:
        ingress:
          - protocol: all
            source:
              - 10.0.0.0/16
    instances:
      db:
        subnet: eu-west-1a
        services:
          - echo: 5432
  shop:
    cidr: 10.0.0.0/16
    subnets:
      eu-west-1a:
        cidr: 10.0.0.0/24
        zone: eu-west-1a
    instances:
      web:
        subnet: eu-west-1a
load_balancers:
  nlb:
    listeners:
      - port: 5432
        protocol: tcp
        server_group: nlb-tcp-5432
    subnets:
      - eu-west-1a
    type: nlb
    vpc: data
server_groups:
  nlb-tcp-5432:
    protocol: tcp
    servers:
      - instance: db
        port: 5432
    vpc: data
endpoint_services:
  data:
    resources:
      - nlb
endpoints:
  ep:
    service: data
    subnets:
      - eu-west-1a
    vpc: shop
`
	require.Equal(t, want, net.String())

	// The rest of what there is to say.
	net.VPC("far", "10.1.0.0/25").Owner("other").Subnet(zoneB, "10.1.0.64/26").Instance("i", zoneA).HTTP(80, "hello")
	nlb.Listen("udp", 514).Set("idle_timeout", "60s")
	listener := nlb.Listen("tcp_udp", 53)
	listener.SetGroup("health_check/interval", "5s")
	plan, err := net.Plan()
	require.NoError(t, err)
	require.Equal(t, "nlb-tcp-udp-53", listener.Group())
	require.Equal(t, "10.1.0.16/28", plan.MustVPC("far").MustSubnet(zoneA).CIDR.String())
	group, err := plan.ServerGroup("nlb-tcp-udp-53")
	require.NoError(t, err)
	require.Equal(t, "5s", group.HealthCheck.Interval.String())
}

func TestAnErrorShowsTheTopology(t *testing.T) {
	net, _ := shopAndData()
	net.Set("endpoints/ep/service", "date")
	_, err := net.Plan()
	var problems topofile.Problems
	require.ErrorAs(t, err, &problems)
	require.ErrorContains(t, err, `did you mean "data"?`)
	require.ErrorContains(t, err, "\n  54      service: date\n")

	net.Set("endpoints/ep/service/name/first", "data")
	_, err = net.Plan()
	require.Error(t, err)
	require.Equal(t, err.Error(), net.String())
}

// The example of the documentation of Topology.
func TestATopologyMadeInGoRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, _ := shopAndData()
		lab := net.Up(t, InProcess())
		lab.Accept("data", "ep")
		require.NoError(t, ask(lab.Instance("web").Dial("tcp", "ep:5432")))
	})
}
