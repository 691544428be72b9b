package plinktest_test

import (
	"fmt"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/plinktest"
)

var t *testing.T // the argument of the test function

// Examples have no test around them, so this runs them.
func TestTheExamplesWork(now *testing.T) {
	now.Run("in-process", func(now *testing.T) {
		t = now
		ExampleInProcess()
		ExampleLab_Watch()
	})
	now.Run("kernel", func(now *testing.T) {
		t = now
		ExampleUp()
	})
}

// A topology in a file, in the kernel.
func ExampleUp() {
	lab := plinktest.Up(t, "../../testdata/topologies/alibaba-clb.yaml")
	web := lab.Instance("ecs1")

	// Nothing passes before the provider has accepted.
	lab.Accept("svc1", "ep1")
	require.Contains(t, []string{"ecs2\n", "ecs3\n"}, web.Get("http://ep1/"))
	lab.RequireSessions("ep1", 1)
}

// An idle timeout of 350 s passes in milliseconds.
func ExampleInProcess() {
	synctest.Test(t, func(t *testing.T) {
		lab := plinktest.Up(t, "../../examples/idletimeout/topology.yaml", plinktest.InProcess())
		conn := lab.Instance("web").Dial("tcp", "ep:5432")
		time.Sleep(351 * time.Second)
		_, err := conn.Write([]byte("select 1"))
		require.NoError(t, err)
		_, err = conn.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET)
	})
}

// Packets at an ENI, and what a server sees of its clients.
func ExampleLab_Watch() {
	lab := plinktest.Up(t, "../../examples/proxyprotocol/topology.yaml", plinktest.InProcess())
	packets := lab.Watch("ep-red")
	server := lab.Instance("api").Serve(8080, plinktest.Echo, plinktest.ReadProxyHeader())
	lab.Instance("red/web").Dial("tcp", "ep-red:80")

	packets.RequireCount(1, "the client's SYN", func(p plinktest.Packet) bool { return !p.Sent && p.Flags == "S" })
	visit := server.RequireVisits(1)[0]
	fmt.Println(visit.From, "is the load balancer,", visit.Proxy.Source, "the client at", visit.Proxy.Endpoint())
}

func ExampleTopology() {
	net := plinktest.NewTopology("aws", "eu-west-1")
	db := net.VPC("data", "10.0.0.0/16").Instance("db", "eu-west-1a").Echo(5432)
	nlb := db.VPC().LoadBalancer("nlb", "nlb")
	nlb.Listen("tcp", 5432, db.At(5432)).Set("idle_timeout", "60s")
	fmt.Print(net)
	// Output:
	// name: test
	// cloud: "aws"
	// region: "eu-west-1"
	// vpcs:
	//   data:
	//     cidr: 10.0.0.0/16
	//     subnets:
	//       eu-west-1a:
	//         cidr: 10.0.0.0/24
	//         zone: eu-west-1a
	//     instances:
	//       db:
	//         subnet: eu-west-1a
	//         services:
	//           - echo: 5432
	// load_balancers:
	//   nlb:
	//     listeners:
	//       - port: 5432
	//         protocol: tcp
	//         server_group: nlb-tcp-5432
	//         idle_timeout: 60s
	//     subnets:
	//       - eu-west-1a
	//     type: nlb
	//     vpc: data
	// server_groups:
	//   nlb-tcp-5432:
	//     protocol: tcp
	//     servers:
	//       - instance: db
	//         port: 5432
	//     vpc: data
}
