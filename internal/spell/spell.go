// Package spell writes counts and lists of names for people, and finds the name that
// was meant by one that is misspelt.
package spell

import (
	"fmt"
	"strings"
)

// Suggest says which of the known names may have been meant, or else what
// there is.
func Suggest(name string, known []string) string {
	if near := Nearest(name, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "known: " + List(known)
}

// List writes names for people and stops before it gets long.
func List(names []string) string {
	const enough = 12
	if len(names) == 0 {
		return "none"
	}
	if len(names) > enough {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:enough], ", "), len(names)-enough)
	}
	return strings.Join(names, ", ")
}

// Count is a number and what is counted: 1 service, 2 services, 2 entries.
func Count[N int | int64 | uint32 | uint64](n N, what string) string {
	if n == 1 {
		return "1 " + what
	}
	if stem, ok := strings.CutSuffix(what, "y"); ok {
		return fmt.Sprintf("%d %sies", n, stem)
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// longest is how many bytes of a name are compared: nobody misspells more.
const longest = 100

// Nearest is the known name that takes the fewest slips of the keyboard to get
// from, at most one for three letters, or "" where none is near. Of equally
// near ones the first is taken.
func Nearest(name string, known []string) string {
	best, fewest := "", 0
	if len(name) > longest {
		return ""
	}
	for _, k := range known {
		if len(k) > longest {
			continue
		}
		d := slips(strings.ToLower(name), strings.ToLower(k))
		if d <= max(len(name), len(k))/3 && (best == "" || d < fewest) {
			best, fewest = k, d
		}
	}
	return best
}

// slips counts the letters to insert, delete, replace or exchange with their
// neighbour to turn a into b (optimal string alignment distance).
func slips(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			replace := last[j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			row[j] = min(replace, last[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

// Either writes a choice: a, b or c.
func Either(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// Names are those of a list's elements.
func Names[T any](all []T, nameOf func(*T) string) []string {
	var out []string
	for i := range all {
		out = append(out, nameOf(&all[i]))
	}
	return out
}
