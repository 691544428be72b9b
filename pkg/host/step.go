package host

import "strings"

// Step is one part of a lab's kernel state, and a plain value. A step that
// prints the same is the same: what a step does is all in what it prints.
type Step interface {
	// String is the step as the ip, nft, sysctl and shell commands that would
	// do it, one in a line, without a final newline.
	String() string

	// replaces names what do overwrites in place, so that nobody undoes an old
	// step for it first. It is "" for a step that cannot be overwritten.
	replaces() string
}

// lines joins the commands of a step.
func lines(commands ...string) string { return strings.Join(commands, "\n") }
