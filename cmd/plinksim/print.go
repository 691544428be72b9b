package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
)

func addOutput(cmd *cobra.Command, output *string) {
	cmd.Flags().StringVarP(output, "output", "o", "table", "table, wide (with every column, whole) or json")
	cmd.RegisterFlagCompletionFunc("output",
		cobra.FixedCompletions([]string{"table", "wide", "json"}, cobra.ShellCompDirectiveNoFileComp))
}

func checkOutput(output string) error {
	if output == "table" || output == "wide" || output == "json" {
		return nil
	}
	return &usageError{fmt.Errorf("output %q: want table, wide or json", output)}
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
	waitFor("%s", what)
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
	waitFor("%s", text)
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
