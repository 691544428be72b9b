package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"
)

// screen is where output for people goes. It remembers that something could
// not be written, which nobody looks at line by line.
type screen struct {
	io.Writer
	columns int  // how wide it is; 0: as wide as is needed
	colour  bool // it shows colours
	// terminal: what is written can be written over.
	terminal bool
	err      error
}

// newScreen asks a terminal for its width. What is no terminal gets everything,
// unless COLUMNS says how much is wanted. NO_COLOR: see no-color.org.
func newScreen(w io.Writer) *screen {
	s := &screen{Writer: w}
	if f, ok := w.(*os.File); ok && isTerminal(f) {
		s.columns, s.terminal = 80, true
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			s.columns = width
		}
		s.colour = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	}
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n > 0 {
		s.columns = n
	}
	return s
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// screenOf is what is known of where w writes to.
func screenOf(w io.Writer) *screen {
	if s, ok := w.(*screen); ok {
		return s
	}
	return &screen{Writer: w}
}

func (s *screen) Write(text []byte) (int, error) {
	n, err := s.Writer.Write(text)
	if err != nil && s.err == nil {
		s.err = err
	}
	return n, err
}

// The colours of SGR (ECMA-48, 8.3.117).
const (
	red   = "31"
	green = "32"
)

// paint gives a text a colour, where there are colours.
func (s *screen) paint(text, colour string) string {
	if !s.colour {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// section prints what f prints with an empty line before it, or nothing.
func section(w io.Writer, f func(io.Writer)) {
	var text bytes.Buffer
	part := *screenOf(w)
	part.Writer = &text
	f(&part)
	if text.Len() > 0 {
		fmt.Fprintf(w, "\n%s", text.Bytes())
	}
}

// say prints a line, broken at blanks where the screen ends.
func say(w io.Writer, format string, args ...any) {
	text, columns := fmt.Sprintf(format, args...), screenOf(w).columns
	for columns > 0 && utf8.RuneCountInString(text) > columns {
		runes := []rune(text)
		end := strings.LastIndex(string(runes[:columns+1]), " ")
		if strings.TrimSpace(string(runes[:columns])) == "" || end <= 2 {
			break // one long word
		}
		fmt.Fprintln(w, text[:end])
		text = "  " + text[end+1:]
	}
	fmt.Fprintln(w, text)
}

// extra is the header of a column that is left out where there is no room for
// all: the last of them first.
type extra string

// table lines up columns, and makes them fit the screen. One without rows
// prints nothing, not even its header; one without a header is as wide as its
// cells are.
type table struct {
	w      *screen
	header []any
	rows   [][]string
}

func newTable(w io.Writer, header ...any) *table { return &table{w: screenOf(w), header: header} }

func (t *table) row(cells ...any) {
	text := make([]string, len(cells))
	for i, c := range cells {
		text[i] = fmt.Sprint(c)
	}
	t.rows = append(t.rows, text)
}

// gap is how many blanks are between two columns.
const gap = 2

func (t *table) flush() {
	if len(t.rows) == 0 {
		return
	}
	rows := t.rows
	if len(t.header) > 0 {
		head := make([]string, len(t.header))
		for i, h := range t.header {
			head[i] = fmt.Sprint(h)
		}
		rows = append([][]string{head}, rows...)
	}
	widths := widthsOf(rows)
	if len(t.header) > 0 && t.w.columns > 0 {
		for i := len(t.header) - 1; i >= 0 && total(widths) > t.w.columns; i-- {
			if _, ok := t.header[i].(extra); ok {
				rows, widths = without(rows, i), slices.Delete(widths, i, i+1)
			}
		}
		narrow(widths, widthsOf(rows[1:]), t.w.columns)
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			cell = shortened(cell, widths[i])
			line.WriteString(cell)
			if i < len(row)-1 {
				line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+gap))
			}
		}
		fmt.Fprintln(t.w, strings.TrimRight(line.String(), " "))
	}
	t.rows, t.header = nil, nil
}

func widthsOf(rows [][]string) (widths []int) {
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	return widths
}

func total(widths []int) (sum int) {
	for _, w := range widths {
		sum += w + gap
	}
	return sum - gap
}

func without(rows [][]string, column int) [][]string {
	out := make([][]string, len(rows))
	for i, row := range rows {
		out[i] = slices.Delete(slices.Clone(row), column, min(column+1, len(row)))
	}
	return out
}

// The least characters of a column that are shown: where there is room enough,
// as many as an IPv4 address with a port has, and in any case narrowest.
const narrowest, roomy = 6, 21

// narrow takes from the widest columns what there is no room for, from headers
// that are longer than what is below them before it takes from short cells.
func narrow(widths, cells []int, columns int) {
	least := func(bound int) func(int) int {
		return func(i int) int { return min(widths[i], max(bound, cells[i])) }
	}
	take := func(least func(int) int) {
		for total(widths) > columns {
			widest := -1
			for i, w := range widths {
				if w > least(i) && (widest < 0 || w > widths[widest]) {
					widest = i
				}
			}
			if widest < 0 {
				return
			}
			widths[widest]--
		}
	}
	take(func(int) int { return roomy })
	take(least(narrowest))
	take(func(int) int { return narrowest })
}

// shortened leaves out the middle of a text: the ends tell names apart.
func shortened(text string, width int) string {
	runes := []rune(text)
	if len(runes) <= width {
		return text
	}
	tail := (width - 1) / 2
	return string(runes[:width-1-tail]) + "…" + string(runes[len(runes)-tail:])
}
