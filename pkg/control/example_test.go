package control_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/topology"
)

// A provider accepts a connection; it is connected once the data plane has
// reported that it carries it. What is refused comes with what would help.
func ExamplePlane() {
	plane, err := control.NewPlane(planOf("alibaba"), time.Now)
	if err != nil {
		panic(err)
	}
	_, err = plane.Do(topology.Operation{Verb: topology.VerbAccept, Service: "svc1", Endpoint: "ep1"})
	fmt.Println(err)
	for range 2 {
		connection, _ := plane.State().Connection("svc1", "ep1")
		fmt.Println(connection.Status)
		plane.Report(plane.Revision())
	}

	_, err = plane.Do(topology.Operation{Verb: topology.VerbServiceDelete, Service: "svc1"})
	var refused *control.Error
	if errors.As(err, &refused) {
		fmt.Println(refused.Code, "-", refused.Text)
		fmt.Println(refused.Hint, "-", refused.Remedies[0])
	}
	// Output:
	// <nil>
	// Connecting
	// Connected
	// in-use - endpoint service "svc1" cannot be deleted: the connection of endpoint "ep1" to endpoint service "svc1" is Connected
	// reject it first - reject svc1 ep1
}
