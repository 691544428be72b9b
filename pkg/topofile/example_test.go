package topofile_test

import (
	"fmt"

	"github.com/plinksim/plinksim/pkg/topofile"
)

// A Plan has what the file leaves open: names and addresses among them.
func ExampleParse() {
	plan, err := topofile.Parse("shop.yaml", []byte(`
name: shop
cloud: alibaba
region: eu-central-1
vpcs:
  shop:
    cidr: 10.0.0.0/16
    subnets: {app: {zone: eu-central-1b, cidr: 10.0.1.0/24}}
  db:
    cidr: 10.0.0.0/16
    subnets: {data: {zone: eu-central-1b, cidr: 10.0.1.0/24}}
    instances: {db-1: {subnet: data, ip: 10.0.1.10, services: [{tcp: 5432}]}}
server_groups:
  databases: {vpc: db, servers: [{instance: db-1, port: 5432}]}
load_balancers:
  lb-db: {type: clb, vpc: db, subnets: [data], listeners: [{protocol: tcp, port: 5432, server_group: databases}]}
endpoint_services:
  db: {resources: [lb-db], auto_accept: true}
endpoints:
  ep-db: {service: db, vpc: shop, subnets: [app]}
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, reference := range []string{"ep-db", "ep-db.ip"} {
		name, err := plan.Lookup(reference)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(reference, "is", name)
	}
	// Output:
	// ep-db is ep-gw8icfbac83eb033cd5e.epsrv-gw8fdlq3fj2znpe7xhb7.eu-central-1.privatelink.aliyuncs.com
	// ep-db.ip is 10.0.1.139
}

// Every problem of a file comes at once, with its place and what to do.
func ExampleParse_problems() {
	_, err := topofile.Parse("shop.yaml", []byte("name: shop\ncloud: alibabs\nregion: eu-central-1\nvpc: {}\nvpcs: []\n"))
	fmt.Println(err)
	// Output:
	// shop.yaml:2:8: cloud is "alibabs", not alibaba, aws or rfc
	//   1 | name: shop
	//   2 | cloud: alibabs
	//     |        ^^^^^^^
	//   hint: did you mean "alibaba"?
	//
	// shop.yaml:4:1: unknown key "vpc"
	//   3 | region: eu-central-1
	//   4 | vpc: {}
	//     | ^^^
	//   hint: did you mean "vpcs"?
	//
	// shop.yaml:5:7: vpcs is a list, not a mapping of names
	//   4 | vpc: {}
	//   5 | vpcs: []
	//     |       ^
	//   hint: write NAME: {...}
	//
	// 3 problems
}
