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

// OutputSchema is the file docs/reference/output.schema.json, a JSON Schema of what
// commands print as JSON: a definition for each type, and for each command, by the
// command line without flags ("plinksim status").
//
//go:embed docs/reference/output.schema.json
var OutputSchema []byte
