package topology

import (
	"fmt"
	"slices"
	"strings"
)

// NotFoundError says that a name stands for nothing in the topology.
type NotFoundError struct {
	Kind  string   // endpoint, instance, …
	Name  string   // as it was asked for
	Known []string // the names that exist, in the order of the file
}

// Error names what was asked for and what may have been meant.
func (e *NotFoundError) Error() string {
	return fmt.Sprintf("there is no %s %q: %s", e.Kind, e.Name, suggest(e.Name, e.Known))
}

// suggest says which of the known names may have been meant, or else what
// there is.
func suggest(name string, known []string) string {
	if near := nearest(name, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "known: " + list(known)
}

// list writes names for people and stops before it gets long.
func list(names []string) string {
	const enough = 12
	if len(names) == 0 {
		return "none"
	}
	if len(names) > enough {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:enough], ", "), len(names)-enough)
	}
	return strings.Join(names, ", ")
}

// nearest is the known name that takes the fewest slips of the keyboard to get
// from, at most one for three letters, or "" where none is near. Of equally
// near ones the first is taken.
func nearest(name string, known []string) string {
	best, fewest := "", 0
	for _, k := range known {
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

// find returns the element with a name, or a NotFoundError.
func find[T any](kind, name string, all []T, nameOf func(*T) string) (*T, error) {
	i := slices.IndexFunc(all, func(e T) bool { return nameOf(&e) == name })
	if i < 0 {
		return nil, &NotFoundError{Kind: kind, Name: name, Known: names(all, nameOf)}
	}
	return &all[i], nil
}

func names[T any](all []T, nameOf func(*T) string) []string {
	var out []string
	for i := range all {
		out = append(out, nameOf(&all[i]))
	}
	return out
}
