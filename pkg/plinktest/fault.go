package plinktest

import (
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Fail lets something fail: an interface (ep@zone), all of an endpoint or a load
// balancer, or a zone. repair ends that; so does the end of the test.
func (l *Lab) Fail(ref string) (repair func()) {
	l.t.Helper()
	l.must(l.lab.TakeDown(ref, false))
	return func() {
		l.t.Helper()
		l.must(l.lab.BringUp(ref))
	}
}

// Impair degrades the connection of an endpoint in both directions, with values
// as a topology file writes them: {"delay": "40ms", "loss": "1%"}. repair goes back
// to what the file says.
func (l *Lab) Impair(endpoint string, impairments map[string]string) (repair func()) {
	l.t.Helper()
	l.must(l.lab.SetFault(status.FaultChange{Endpoint: endpoint, Set: impairments}))
	return func() {
		l.t.Helper()
		l.must(l.lab.ClearFaults(endpoint))
	}
}

// StopServices ends the programs that the topology has on an instance, as if they
// had crashed: their connections are closed, and new ones are refused. start
// begins them again. A Server of the test's own has Stop and Start.
func (i *Instance) StopServices() (start func()) {
	i.lab.t.Helper()
	return i.lab.Edit(topology.JoinPath("vpcs", i.spec.VPC, "instances", i.spec.Name, "services"), nil)
}

// SwitchOff stops the instance, as StopInstances does: nothing runs on it and its
// addresses do not answer. on starts it again, with the addresses that it had and the
// programs of the topology; who wants to act from it then asks for the Instance again.
func (i *Instance) SwitchOff() (on func()) {
	i.lab.t.Helper()
	path := topology.JoinPath("vpcs", i.spec.VPC, "instances", i.spec.Name, "state")
	return i.lab.Edit(path, topology.StateStopped)
}
