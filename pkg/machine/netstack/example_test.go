package netstack_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"time"

	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/machine/netstack"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

// A lab inside any program: two VPCs with the same addresses, and PrivateLink between
// them.
func Example() {
	plan, err := topofile.Load("../../../examples/overlap/topology.yaml")
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	running, err := lab.Start(ctx, lab.Config{Plan: plan, Machine: netstack.New()})
	if err != nil {
		log.Fatal(err)
	}
	defer running.Close(ctx)

	accept := topology.Operation{Verb: topology.VerbAccept, Service: "api", Endpoint: "ep"}
	if _, err := running.Do(ctx, accept, 10*time.Second); err != nil {
		log.Fatal(err)
	}
	client, err := running.Client("client")
	if err != nil {
		log.Fatal(err)
	}
	name, err := plan.Lookup("ep")
	if err != nil {
		log.Fatal(err)
	}
	for _, host := range []string{"10.0.1.20", name} {
		resp, err := client.HTTP().Get("http://" + host + "/")
		if err != nil {
			log.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			log.Fatal(err)
		}
		fmt.Print(string(body))
	}
	// Output:
	// the neighbour sees 10.0.1.10
	// the server sees 10.0.1.102
}
