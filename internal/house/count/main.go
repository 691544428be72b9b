// Command count prints the figures of a tree of Go code that the rules of the
// house are about:
//
//	go run ./internal/house/count [DIRECTORY [PACKAGE]]
//
// PACKAGE, pkg/api where none is named, is the one that clients import.
package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/plinksim/plinksim/internal/house"
)

func main() {
	args := append(os.Args[1:], "", "")
	if err := count(os.Stdout, cmp.Or(args[0], "."), cmp.Or(args[1], "pkg/api")); err != nil {
		fmt.Fprintln(os.Stderr, "count:", err)
		os.Exit(1)
	}
}

func count(out io.Writer, root, client string) error {
	t, err := house.Read(root)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "package\tfiles\tlines\ttest lines\tlines over 120 columns")
	var files, tests []house.File
	for _, p := range t.Sorted() {
		wide, _ := house.Wide(p.Files, 120)
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\n", p.Dir, len(p.Files), house.Lines(p.Files), house.Lines(p.Tests), wide)
		files = append(files, p.Files...)
	}
	for _, p := range t.Packages {
		tests = append(tests, p.Tests...)
	}
	wide, all := house.Wide(files, 120)
	fmt.Fprintf(w, "all\t%d\t%d\t%d\t%d\n\n", len(files), house.Lines(files), house.Lines(tests), wide)
	fmt.Fprintf(w, "lines over 120 columns\t%.2f %%\n", percent(wide, all))
	wide, all = house.Wide(tests, 120)
	fmt.Fprintf(w, "in tests\t%.2f %%\n", percent(wide, all))
	fmt.Fprintf(w, "Example functions\t%d\n\n", t.Examples())
	fmt.Fprintln(w, "largest receivers\tfunctions")
	for _, r := range t.Receivers()[:12] {
		fmt.Fprintf(w, "%s\t%d\n", r.Name, r.Functions)
	}
	fmt.Fprintln(w, "\ncomparisons with a cloud's name")
	sum := 0
	found := t.CloudComparisons()
	for _, name := range slices.Sorted(maps.Keys(found)) {
		fmt.Fprintf(w, "%s\t%d\n", name, found[name])
		sum += found[name]
	}
	fmt.Fprintf(w, "all\t%d\n", sum)
	ours, others := t.Imports(client)
	fmt.Fprintf(w, "\nimports of %s, and of what it imports\n%s\n%s\n",
		client, strings.Join(ours, " "), strings.Join(others, " "))
	return w.Flush()
}

func percent(part, all int) float64 { return 100 * float64(part) / float64(max(all, 1)) }
