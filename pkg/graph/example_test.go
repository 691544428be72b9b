package graph_test

import (
	"fmt"

	"github.com/plinksim/plinksim/pkg/graph"
	"github.com/plinksim/plinksim/pkg/topofile"
)

func ExampleOf() {
	plan, err := topofile.Parse("shop.yaml", []byte(`
name: shop
cloud: aws
region: us-east-1
vpcs:
  vpc1:
    cidr: 10.0.0.0/16
    subnets: {a: {zone: us-east-1a, cidr: 10.0.1.0/24}}
    instances: {web: {subnet: a, ip: 10.0.1.10}}
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(graph.Of(plan, graph.Live{}).Mermaid())
	// Output:
	// flowchart LR
	//   subgraph vpc_0vpc1["vpc1, 10.0.0.0/16 (account default)"]
	//     subgraph subnet_0vpc1_0a["a, us-east-1a, 10.0.1.0/24"]
	//       instance_0vpc1_0web["web<br>10.0.1.10"]
	//     end
	//   end
}
