package plinksim

import _ "embed"

// TopologyReference is the page docs/reference/topology.md, every key of a
// topology file, in Markdown.
//
//go:embed docs/reference/topology.md
var TopologyReference string

// CloudReference is the page docs/reference/clouds.md, what differs between the
// clouds, in Markdown.
//
//go:embed docs/reference/clouds.md
var CloudReference string
