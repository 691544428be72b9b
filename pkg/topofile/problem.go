package topofile

import (
	"fmt"
	"strings"

	"github.com/plinksim/plinksim/pkg/topology"
)

// Problems is every problem of a file, in the order of the file. It is the
// error that Parse returns for a topology that cannot be used.
type Problems []topology.Problem

// Error is the text of all problems and, at the end, how many there are.
func (ps Problems) Error() string {
	var b strings.Builder
	n := 0
	for _, p := range ps {
		b.WriteString(p.String())
		b.WriteString("\n\n")
		n += max(p.Others, 1)
	}
	if n == 1 {
		b.WriteString("1 problem")
	} else {
		fmt.Fprintf(&b, "%d problems", n)
	}
	return b.String()
}
