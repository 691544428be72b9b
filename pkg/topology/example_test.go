package topology_test

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/plinksim/plinksim/pkg/topology"
)

// shop is a plan with one endpoint. Plans are made of files by topofile.
var shop = &topology.Plan{
	VPCs: []topology.VPC{{
		Name:    "shop",
		Subnets: []topology.Subnet{{Name: "app", Zone: "eu-central-1b", CIDR: netip.MustParsePrefix("10.0.1.0/24")}},
	}},
	Endpoints: []topology.Endpoint{{
		Name: "ep-db", VPC: "shop", Domain: "ep-1.epsrv-1.eu-central-1.privatelink.aliyuncs.com",
		Zones: []topology.EndpointZone{{Zone: "eu-central-1b", ENI: topology.ENI{
			Name: "ep-db@eu-central-1b", VPC: "shop", Subnet: "app", Zone: "eu-central-1b",
			IP: netip.MustParseAddr("10.0.1.139"),
		}}},
	}},
}

// References in a text stand for names and addresses of the lab.
func ExamplePlan_Expand() {
	url, err := shop.Expand("http://${ep-db@eu-central-1b.ip}:8080/")
	fmt.Println(url, err)
	_, err = shop.Expand("http://${ep-dv}/")
	fmt.Println(err)
	// Output:
	// http://10.0.1.139:8080/ <nil>
	// ${ep-dv}: there is no endpoint, load balancer or instance "ep-dv": did you mean "ep-db"?
}

// A name that a user wrote is looked up, and may be wrong. A name that stands in
// the plan is followed.
func ExamplePlan_ENI() {
	eni, err := shop.ENI("ep-db")
	if err != nil {
		fmt.Println(err)
		return
	}
	subnet := shop.MustVPC(eni.VPC).MustSubnet(eni.Subnet)
	fmt.Println(eni.Name, "has", eni.IP, "of", subnet.CIDR)
	// Output:
	// ep-db@eu-central-1b has 10.0.1.139 of 10.0.1.0/24
}

// How clouds differ is asked of their profiles, not of their names.
func ExampleCloud_Profile() {
	for _, cloud := range []topology.Cloud{topology.Alibaba, topology.AWS} {
		can := cloud.Profile()
		fmt.Println(cloud, can.TCPIdle, can.PrivateDNS, can.ZonesGoFirst)
	}
	// Output:
	// alibaba 15m0s false true
	// aws 5m50s true false
}

// Impairments are written as commands and files have them.
func ExampleImpairment() {
	rate, err := topology.ParseRate("100Mbit")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(topology.Impairment{Bandwidth: rate, Delay: 10 * time.Millisecond, Loss: 0.01})
	// Output:
	// bandwidth 100Mbit, delay 10ms, loss 1%
}
