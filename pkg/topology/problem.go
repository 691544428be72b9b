package topology

import (
	"fmt"
)

// Problem is one thing that is wrong with a topology file, or, as a warning,
// one thing that its author should know.
type Problem struct {
	File    string `json:"file"`              // as the user wrote it
	Line    int    `json:"line"`              // from 1; 0 where the problem has no place in the file
	Column  int    `json:"column"`            // from 1, in characters
	Message string `json:"message"`           // names the object and the value as the user wrote them
	Hint    string `json:"hint,omitempty"`    // what to do
	Excerpt string `json:"excerpt,omitempty"` // the line and the one before it, the place marked with ^^^^

	// Kind is of the object where a reference leads nowhere, and "zones" where two
	// subnets are in one; "" of all other problems.
	Kind string `json:"-"`
	// Others is how many problems this one stands for, if it is the note that
	// there are more; else 0.
	Others int `json:"-"`
}

// Error is the problem's first line: file:line:column and the message. What no file
// says has the message alone.
func (p Problem) Error() string {
	if p.File == "" {
		return p.Message
	}
	if p.Line == 0 {
		return fmt.Sprintf("%s: %s", p.File, p.Message)
	}
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Message)
}

// String is everything that is known about the problem, on several lines,
// without a final newline.
func (p Problem) String() string {
	text := p.Error()
	if p.Excerpt != "" {
		text += "\n" + p.Excerpt
	}
	if p.Hint != "" {
		text += "\n  hint: " + p.Hint
	}
	return text
}
