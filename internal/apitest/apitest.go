// Package apitest tries the parameters of a cloud's API in tests: each one that an operation
// uses is sent in some walk, and another value of it gives another answer, or another lab.
package apitest

import (
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/wire"
)

// Call is one that is about to be sent.
type Call struct {
	Operation  string     // "SERVICE NAME"
	Parameters url.Values // as requests write them, and as the call will have them
	// Outcome sends it, and gives the answer with all that can be listed then.
	Outcome func() string
}

// Walk makes calls in a lab of its own, the same calls each time, and shows each to look before
// it is sent.
type Walk func(t *testing.T, look func(Call))

// API is one whose parameters are tried.
type API struct {
	// Used are the parameters that operations use, by "SERVICE NAME": see Used.
	Used  map[string][]string
	Walks map[string]Walk
	// Part gives parameters of "SERVICE NAME PARAMETER" that are read by the same code one
	// name. Nil: each is its own.
	Part func(name string) string
	// Others are other values for values that are not numbers or truths.
	Others map[string]string
	// Leave says which calls need not matter. Nil: none.
	Leave func(Call) bool
}

// Used are the parameters of a shape that a struct has fields for, as requests write them:
// with N for the number of an element, behind before (.member, or nothing).
func Used(s *wire.Shape, fields reflect.Type, before string) []string {
	return used(s, fields, before, "")
}

func used(s *wire.Shape, t reflect.Type, before, at string) (out []string) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch s.Kind {
	case wire.Structure:
		for i := range t.NumField() {
			m := s.Member(t.Field(i).Name)
			name := m.Request
			if at != "" {
				name = at + "." + name
			}
			out = append(out, used(m.Shape, t.Field(i).Type, before, name)...)
		}
		return out
	case wire.List:
		return used(s.Element, t.Elem(), before, at+before+".N")
	}
	return []string{at}
}

// numbers are those of list elements in parameters.
var numbers = regexp.MustCompile(`\.\d+(\.|$)`)

// Generic is a parameter with N for the numbers of elements.
func Generic(parameter string) string {
	for {
		next := numbers.ReplaceAllString(parameter, ".N$1")
		if next == parameter {
			return next
		}
		parameter = next
	}
}

func (a *API) name(operation, parameter string) string {
	name := operation + " " + Generic(parameter)
	if a.Part == nil {
		return name
	}
	return a.Part(name)
}

// names are all parameters that operations use.
func (a *API) names() map[string]bool {
	out := map[string]bool{}
	for operation, parameters := range a.Used {
		for _, p := range parameters {
			out[a.name(operation, p)] = true
		}
	}
	return out
}

// calls are those of a walk.
func calls(t *testing.T, walk Walk) (out []Call) {
	t.Run("once", func(t *testing.T) {
		walk(t, func(c Call) { out = append(out, Call{Operation: c.Operation, Parameters: maps.Clone(c.Parameters)}) })
	})
	return out
}

// SendsAll holds that some walk sends each parameter that an operation uses.
func (a *API) SendsAll(t *testing.T) {
	missing := a.names()
	all := len(missing)
	for _, walk := range a.Walks {
		for _, c := range calls(t, walk) {
			for parameter := range c.Parameters {
				delete(missing, a.name(c.Operation, parameter))
			}
		}
	}
	t.Logf("%d parameters, %d of them not sent", all, len(missing))
	require.Empty(t, slices.Sorted(maps.Keys(missing)))
}

// AllMatter holds that another value of each parameter gives another outcome, while a call that
// is sent again as it was gives the same.
func (a *API) AllMatter(t *testing.T) {
	names, tried := a.names(), map[string]bool{}
	var without []string
	for _, title := range slices.Sorted(maps.Keys(a.Walks)) {
		walk := a.Walks[title]
		for n, c := range calls(t, walk) {
			if a.Leave != nil && a.Leave(c) {
				continue
			}
			base := ""
			for _, parameter := range slices.Sorted(maps.Keys(c.Parameters)) {
				name := a.name(c.Operation, parameter)
				if !names[name] || tried[name] {
					continue
				}
				tried[name] = true
				if base == "" {
					base = outcome(t, walk, n, "", "")
					again := outcome(t, walk, n, "", "")
					require.True(t, again == base, "two walks to %s differ: %s", c.Operation, difference(base, again))
				}
				value := c.Parameters.Get(parameter)
				if outcome(t, walk, n, parameter, a.another(value)) == base {
					without = append(without, name+"="+value)
				}
			}
		}
	}
	t.Logf("%d parameters", len(tried))
	require.Empty(t, without, "another value changes nothing")
}

// difference is where two texts begin to differ.
func difference(a, b string) string {
	at := 0
	for at < len(a) && at < len(b) && a[at] == b[at] {
		at++
	}
	around := func(s string) string { return s[max(0, at-60):min(len(s), at+60)] }
	return fmt.Sprintf("%q and %q", around(a), around(b))
}

// another is a value that differs from one, of the same kind where that can be told.
func (a *API) another(value string) string {
	n, err := strconv.Atoi(value)
	switch {
	case a.Others[value] != "":
		return a.Others[value]
	case value == "true":
		return "false"
	case value == "false":
		return "true"
	case err == nil:
		return strconv.Itoa(n + 1)
	}
	return "x" + value
}

// outcome walks to a call, changes a parameter of it unless that is "", and gives what comes of it.
func outcome(t *testing.T, walk Walk, number int, parameter, value string) (out string) {
	t.Run(fmt.Sprint(number, " ", parameter), func(t *testing.T) {
		done := make(chan struct{})
		// A goroutine of its own, so that the walk can end at the call.
		go func() {
			defer close(done)
			at := 0
			walk(t, func(c Call) {
				if at++; at-1 != number {
					return
				}
				if parameter != "" {
					c.Parameters.Set(parameter, value)
				}
				out = c.Outcome()
				runtime.Goexit()
			})
		}()
		<-done
	})
	return out
}
