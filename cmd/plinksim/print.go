package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

func addOutput(cmd *cobra.Command, output *string) {
	cmd.Flags().StringVarP(output, "output", "o", "table", "table or json")
	cmd.RegisterFlagCompletionFunc("output",
		cobra.FixedCompletions([]string{"table", "json"}, cobra.ShellCompDirectiveNoFileComp))
}

func checkOutput(output string) error {
	if output == "table" || output == "json" {
		return nil
	}
	return &usageError{fmt.Errorf("output %q: want table or json", output)}
}

// first is the first argument, or "".
func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

func printJSON(w io.Writer, value any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(value)
}

// table lines up columns. One without rows prints nothing, not even its
// header.
type table struct {
	w      *tabwriter.Writer
	header []any
}

func newTable(w io.Writer, header ...any) *table {
	return &table{tabwriter.NewWriter(w, 0, 4, 2, ' ', 0), header}
}

func (t *table) row(cells ...any) {
	if len(t.header) > 0 {
		t.line(t.header)
		t.header = nil
	}
	t.line(cells)
}

func (t *table) line(cells []any) {
	text := make([]string, len(cells))
	for i, c := range cells {
		text[i] = fmt.Sprint(c)
	}
	fmt.Fprintln(t.w, strings.Join(text, "\t"))
}

func (t *table) flush() { t.w.Flush() }

// section prints what f prints with an empty line before it, or nothing.
func section(w io.Writer, f func(io.Writer)) {
	var text bytes.Buffer
	f(&text)
	if text.Len() > 0 {
		fmt.Fprintf(w, "\n%s", text.Bytes())
	}
}

// checkedWriter remembers that something could not be written, which nobody
// looks at line by line.
type checkedWriter struct {
	io.Writer
	err error
}

func (c *checkedWriter) Write(text []byte) (int, error) {
	n, err := c.Writer.Write(text)
	if err != nil && c.err == nil {
		c.err = err
	}
	return n, err
}

// progress shows what is being done: one line that changes on a terminal, a
// line for each stage elsewhere.
type progress struct {
	w        io.Writer
	terminal bool
	shown    bool // on a terminal: there is a line to clear
	building bool // elsewhere: the line about the steps is out
}

func newProgress(w io.Writer) *progress {
	p := &progress{w: w}
	if f, ok := w.(*os.File); ok {
		p.terminal = isTerminal(f) && os.Getenv("TERM") != "dumb"
	}
	return p
}

// show has the form of lab.Progress.
func (p *progress) show(done, total int, what string) {
	switch {
	case p.terminal && total > 0:
		fmt.Fprintf(p.w, "\r\x1b[K[%d/%d] %s", done, total, what)
		p.shown = true
	case p.terminal:
		fmt.Fprintf(p.w, "\r\x1b[K%s", what)
		p.shown = true
	case total > 0:
		if !p.building {
			p.building = true
			fmt.Fprintf(p.w, "plinksim: make namespaces, interfaces and addresses (%d steps)\n", total)
		}
	default:
		fmt.Fprintf(p.w, "plinksim: %s\n", what)
	}
}

// say is a line that stays.
func (p *progress) say(text string) {
	p.end()
	fmt.Fprintf(p.w, "plinksim: %s\n", text)
}

// end leaves a clean line on a terminal.
func (p *progress) end() {
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.shown = false
	}
}

// took is a duration as a person would say it.
func took(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}
