package topofile

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"
	"go.yaml.in/yaml/v3"

	"github.com/plinksim/plinksim/pkg/topology"
)

// peer is one side of a rule: a block of either version of IP, or a security group,
// by its name or ID.
type peer struct {
	block netip.Prefix
	group string
}

// peers is one peer or a list of them.
type peers struct{ sequence[value[peer]] }

func (p *peers) read(r *reader, node *yaml.Node, t tag) {
	if node.Kind == yaml.SequenceNode {
		p.sequence.read(r, node, t)
		return
	}
	var one value[peer]
	one.read(r, node, t)
	p.Node, p.Items = node, []value[peer]{one}
}

func (peers) schema(t tag) *jsonschema.Schema {
	const pattern = `^[0-9a-fA-F:.]+/[0-9]+$|^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`
	return &jsonschema.Schema{
		Description: t.doc,
		Types:       []string{"string", "array"},
		Pattern:     pattern,
		Items:       &jsonschema.Schema{Type: "string", Pattern: pattern},
	}
}

func parsePeer(text string, v *peer) (hint string, err error) {
	if block, err := netip.ParsePrefix(text); err == nil && block.Addr().Is6() && !block.Addr().Is4In6() {
		v.block = block
		return "", nil
	}
	if topology.IsName(text) {
		v.group = text
		return "", nil
	}
	if strings.Contains(text, ",") {
		return "write a list: [10.0.0.0/16, 192.168.0.0/16]", fmt.Errorf("is %q, not a CIDR block", text)
	}
	return parsePrefix(text, &v.block)
}
