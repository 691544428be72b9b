// Package topofile reads a topology file and decides everything about the lab
// that it describes.
//
// A file says what a user wants: VPCs, instances, load balancers, services,
// endpoints. A topology.Plan says what will be: every identifier, domain name,
// address, MAC and device. Load goes from one to the other in two passes that a
// reader of the code can take one after the other:
//
//   - read: the YAML nodes are walked beside the raw structs of raw.go. What
//     is checked here needs no other part of the file: keys, types, numbers.
//   - build: the raw structs become the Plan, in the order VPCs, server groups,
//     load balancers, NAT gateways, services, endpoints, FullNAT entries, DNS
//     zones, checks, each of which may refer to what came before. What is
//     checked here is how the parts fit together.
//
// Both passes go on after a problem and report everything that is wrong at
// once. One cause gives one Problem: whoever refers to an object that is there
// but broken is not blamed for it.
//
// Nothing is random. What the file leaves open is derived from a hash of the
// lab's and the object's name, so the same file gives the same Plan on every
// machine, and an object keeps its address when others come and go.
//
// The package is pure: it touches neither kernel nor network, and Load alone
// reads a file.
package topofile

import (
	"bytes"
	"os"

	"github.com/plinksim/plinksim/pkg/topology"
)

// Load reads, checks and plans the topology in a file. The error is Problems
// where the file can be read but its content cannot be used.
func Load(file string) (*topology.Plan, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return Parse(file, text)
}

// Parse checks and plans a topology. Name is what problems call the file. The
// error is Problems, in the order of the file.
func Parse(name string, text []byte) (*topology.Plan, error) {
	src := newSource(name, text)
	var raw rawTopology
	if read(src, text, &raw) {
		b := newBuilder(src, &raw)
		b.build()
		if len(src.problems) == 0 {
			b.plan.File, b.plan.Source = name, bytes.Clone(text)
			b.plan.Warnings = inOrder(src.warnings)
			return b.plan, nil
		}
	}
	return nil, inOrder(src.problems)
}
