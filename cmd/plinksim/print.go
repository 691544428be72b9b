package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/internal/spell"
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
// line for each stage elsewhere. What takes long gets an estimate, too.
type progress struct {
	w        io.Writer
	terminal bool
	now      func() time.Time

	shown bool      // on a terminal: there is a line to clear
	total int       // of the steps that are counted just now; 0: none are
	began time.Time // with them
	drawn time.Time // the last line about them
}

func newProgress(w io.Writer) *progress {
	p := &progress{w: w, now: time.Now}
	if f, ok := w.(*os.File); ok {
		p.terminal = isTerminal(f) && os.Getenv("TERM") != "dumb"
	}
	return p
}

const (
	// drawEvery is how often a terminal shows a step, and sayEvery how often others get a
	// line about steps that take long.
	drawEvery, sayEvery = 100 * time.Millisecond, 5 * time.Second
	// estimateAfter is how long steps are watched before anybody says how long they take.
	estimateAfter = time.Second
)

// show has the form of lab.Progress.
func (p *progress) show(done, total int, what string) {
	if total == 0 {
		p.total = 0
		p.stage(what)
		return
	}
	waitFor("the lab to be made: %d of %d steps are done, the last for %s", done, total, what)
	now := p.now()
	if p.total != total || done == 1 {
		p.total, p.began, p.drawn = total, now, time.Time{}
		if !p.terminal {
			fmt.Fprintf(p.w, "plinksim: make namespaces, interfaces and addresses (%s)\n", spell.Count(total, "step"))
			p.drawn = now
		}
	}
	every := sayEvery
	if p.terminal {
		every = drawEvery
	}
	if now.Sub(p.drawn) < every && (done < total || !p.terminal) {
		return
	}
	p.drawn = now
	left := p.left(done, now)
	switch {
	case p.terminal && left != "":
		fmt.Fprintf(p.w, "\r\x1b[K[%d/%d, %s left] %s", done, total, left, what)
		p.shown = true
	case p.terminal:
		fmt.Fprintf(p.w, "\r\x1b[K[%d/%d] %s", done, total, what)
		p.shown = true
	case done < total && left != "":
		fmt.Fprintf(p.w, "plinksim: %d of %d steps, %s left\n", done, total, left)
	}
}

// left is about how long the steps take that are not done, "" where nobody can say.
func (p *progress) left(done int, now time.Time) string {
	took := now.Sub(p.began)
	if took < estimateAfter || done == 0 {
		return ""
	}
	left := time.Duration(float64(took) * float64(p.total-done) / float64(done))
	if left < time.Minute {
		return fmt.Sprintf("about %d s", int(left.Seconds()+0.99))
	}
	return fmt.Sprintf("about %d min %02d s", int(left.Minutes()), int(left.Seconds())%60)
}

// stage is something of which nobody knows the steps.
func (p *progress) stage(what string) {
	if strings.HasPrefix(what, "wait for ") {
		waitFor("%s", what)
	} else {
		waitFor("the daemon to %s", what)
	}
	if p.terminal {
		fmt.Fprintf(p.w, "\r\x1b[K%s", what)
		p.shown = true
		return
	}
	fmt.Fprintf(p.w, "plinksim: %s\n", what)
}

// waited says how long something lasts for which the program waits, where that is long:
// on a terminal the line changes, elsewhere there is one from time to time.
func (p *progress) waited(what string, since time.Time) {
	now := p.now()
	every := sayEvery
	if p.terminal {
		every = estimateAfter
	}
	if p.drawn.Before(since) {
		p.drawn = since
	}
	if now.Sub(p.drawn) < every {
		return
	}
	p.drawn = now
	if line := fmt.Sprintf("%s (%d s)", what, int(now.Sub(since).Seconds())); p.terminal {
		fmt.Fprintf(p.w, "\r\x1b[K%s", line)
		p.shown = true
	} else {
		fmt.Fprintf(p.w, "plinksim: %s\n", line)
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
