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
// once. One cause gives one Problem: a reference to an object that is there
// but broken is not a problem again.
//
// Nothing is random. What the file leaves open is derived from a hash of the
// lab's and the object's name, so the same file gives the same Plan on every
// machine, and an object keeps its address when others come and go.
//
// The package is pure: it touches neither kernel nor network, and only Load and
// Read read a file.
package topofile

import (
	"bytes"
	"fmt"
	"io"
	"os"

	"github.com/plinksim/plinksim/pkg/topology"
)

// MaxSize is how many bytes a topology file may have: some thousand instances.
// To read a file takes about a hundred times its size of memory at most.
const MaxSize = 1 << 20

// Load reads, checks and plans the topology in a file. The error is Problems
// where the file can be read but its content cannot be used.
func Load(file string) (*topology.Plan, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return Read(file, f)
}

// Read is Load of what an open file holds.
func Read(name string, from io.Reader) (*topology.Plan, error) {
	text, err := io.ReadAll(io.LimitReader(from, MaxSize+1))
	if err != nil {
		return nil, err
	}
	return Parse(name, text)
}

// Parse checks and plans a topology. Name is what problems call the file. The
// error is Problems, in the order of the file.
func Parse(name string, text []byte) (*topology.Plan, error) {
	plan, _, err := planned(name, text)
	return plan, err
}

// planned is Parse with what was found out about a text that is refused.
func planned(name string, text []byte) (*topology.Plan, *source, error) {
	if len(text) > MaxSize {
		message := fmt.Sprintf("the file has more than %d bytes, the most that a topology may have", MaxSize)
		return nil, nil, Problems{{File: name, Message: message}}
	}
	src := newSource(name, text)
	var raw rawTopology
	if read(src, text, &raw) {
		d := newDraft(src, &raw)
		plan := d.build()
		if len(src.problems) == 0 {
			reachBuilder{draft: d}.build()
			plan.File, plan.Source = name, bytes.Clone(text)
			plan.Warnings = src.shown(src.warnings)
			return plan, src, nil
		}
	}
	return nil, src, src.shown(src.problems)
}
