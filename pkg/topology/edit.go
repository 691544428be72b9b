package topology

import (
	"fmt"
	"strings"
)

// Edit changes one value of a topology.
type Edit struct {
	// Path leads to the value, by the keys of the file: vpcs/vpc1/subnets/s2.
	// An element of a list has its number from 0, AtEnd where it is to be added,
	// some of its keys (protocol=tcp,port=80), or = and its value (=web). Within
	// such a part ~1 stands for a slash and ~0 for a tilde, as in RFC 6901.
	Path string `json:"path"`
	// Value is YAML, of which JSON is a part, as it could stand in the file;
	// "" takes what is there away.
	Value string `json:"value,omitempty"`
	// New refuses the edit where there is something already.
	New bool `json:"new,omitempty"`
	// Leave takes an instance that is deleted out of its server groups first, as the
	// clouds do when one is terminated.
	Leave bool `json:"leave,omitempty"`
}

// AtEnd is the part of a path that adds an element to a list (RFC 6901, 4).
const AtEnd = "-"

// Deletes says whether the edit takes something away.
func (e Edit) Deletes() bool { return e.Value == "" }

// Change is an edit with what it replaces.
type Change struct {
	Edit
	Was string `json:"was,omitempty"` // YAML; "" where there was nothing
}

// Sign is + where something comes, - where it goes, ~ where it changes.
func (c Change) Sign() string {
	switch {
	case c.Was == "":
		return "+"
	case c.Deletes():
		return "-"
	}
	return "~"
}

// String is the change in a line: + vpcs/vpc1/mtu: 1400.
func (c Change) String() string {
	switch c.Sign() {
	case "+":
		return fmt.Sprintf("+ %s: %s", c.Path, c.Value)
	case "-":
		return fmt.Sprintf("- %s: %s", c.Path, c.Was)
	}
	return fmt.Sprintf("~ %s: %s -> %s", c.Path, c.Was, c.Value)
}

// Edits are changes without what they replace.
func Edits(changes []Change) []Edit {
	var out []Edit
	for _, c := range changes {
		out = append(out, c.Edit)
	}
	return out
}

var (
	pathEscapes = strings.NewReplacer("~", "~0", "/", "~1")
	pathReads   = strings.NewReplacer("~1", "/", "~0", "~")
)

// JoinPath makes a path of its parts.
func JoinPath(parts ...string) string {
	escaped := make([]string, len(parts))
	for i, p := range parts {
		escaped[i] = pathEscapes.Replace(p)
	}
	return strings.Join(escaped, "/")
}

// SplitPath are the parts of a path.
func SplitPath(path string) []string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		parts[i] = pathReads.Replace(p)
	}
	return parts
}
