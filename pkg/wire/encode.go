package wire

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// M is a part of an answer, by the names of members. A value is a string or another
// type of strings, a number, a bool, a time.Time, an M, a slice of these or of Rendered, or
// anything that has a String method. Nil and a zero time leave the member out; an empty slice is an empty list.
type M map[string]any

// Rendered is an element of a list as answers have it, made by Render.
type Rendered string

// Render writes one element of a list, so that answers which have it again need not. list
// is the member of the answer that has the list.
func Render(op *Operation, list string, element M) (Rendered, error) {
	m := op.Output.Member(list)
	e := encoder{walk: walk{at: []string{op.Name, list}}}
	e.member(m.Shape.Element, m.Shape.Item, element)
	return Rendered(e.b.String()), e.err
}

// TimeFormat is how times are written, in UTC.
const TimeFormat = "2006-01-02T15:04:05.000Z"

// Encode writes an answer. The error says which part of it the operation does not
// have, which is a mistake of the program.
func Encode(op *Operation, answer M, requestID string) ([]byte, error) {
	e := encoder{walk: walk{at: []string{op.Name}}}
	e.b.Grow(sizeOf(answer))
	e.b.WriteString(xml.Header)
	fmt.Fprintf(&e.b, `<%sResponse xmlns="%s">`, op.Name, op.Service.Namespace)
	output := op.Output
	if output == nil {
		output = &Shape{Kind: Structure}
	}
	if op.Service.Protocol == EC2Query {
		element(&e.b, "requestId", requestID)
		if op.Output == nil {
			element(&e.b, "return", "true")
		}
		e.structure(output, reflect.ValueOf(answer))
	} else {
		// Clients miss the wrapper even of an empty answer.
		wrapper := op.wrapper
		if wrapper == "" {
			wrapper = op.Name + "Result"
		}
		e.b.WriteString("<" + wrapper + ">")
		e.structure(output, reflect.ValueOf(answer))
		e.b.WriteString("</" + wrapper + "><ResponseMetadata>")
		element(&e.b, "RequestId", requestID)
		e.b.WriteString("</ResponseMetadata>")
	}
	fmt.Fprintf(&e.b, "</%sResponse>", op.Name)
	return e.b.Bytes(), e.err
}

// sizeOf is about how long an answer becomes, as far as it is rendered.
func sizeOf(answer M) int {
	size := 1 << 10
	for _, value := range answer {
		rendered, _ := value.([]Rendered)
		for _, one := range rendered {
			size += len(one)
		}
	}
	return size
}

// walk goes through an answer beside its description.
type walk struct {
	at  []string // the names of the part that it is at, from the operation on
	err error    // the first thing that is wrong
}

// fail says what is wrong with the part.
func (w *walk) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf(strings.Join(w.at, ".")+" "+format, args...)
	}
}

// members visits what a structure has, in the order of its description. It is false where
// the part is none.
func (w *walk) members(s *Shape, v reflect.Value, visit func(m *Member, value any)) bool {
	answer, ok := v.Interface().(M)
	if !ok {
		w.fail("is a %s and not an M", v.Type())
		return false
	}
	visited := 0
	for i := range s.Members {
		m := &s.Members[i]
		value, there := answer[m.Name]
		if !there {
			continue
		}
		visited++
		w.at = append(w.at, m.Name)
		visit(m, value)
		w.at = w.at[:len(w.at)-1]
	}
	if visited == len(answer) {
		return true
	}
	for name := range answer {
		if s.Member(name) == nil {
			w.fail("has no %s", name)
		}
	}
	return true
}

// encoder writes answers of AWS.
type encoder struct {
	walk
	b bytes.Buffer
}

func (e *encoder) structure(s *Shape, v reflect.Value) {
	e.members(s, v, func(m *Member, value any) { e.member(m.Shape, m.Answer, value) })
}

func (e *encoder) member(s *Shape, name string, value any) {
	v := reflect.ValueOf(value)
	for v.IsValid() && v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if !v.IsValid() || v.Kind() == reflect.Map && v.IsNil() {
		return
	}
	switch s.Kind {
	case Structure:
		e.b.WriteString("<" + name + ">")
		e.structure(s, v)
		e.b.WriteString("</" + name + ">")
	case List:
		if v.Kind() != reflect.Slice {
			e.fail("is a %s and not a slice", v.Type())
			return
		}
		e.b.WriteString("<" + name + ">")
		if rendered, ok := value.([]Rendered); ok {
			for _, one := range rendered {
				e.b.WriteString(string(one))
			}
			e.b.WriteString("</" + name + ">")
			return
		}
		for i := range v.Len() {
			e.member(s.Element, s.Item, v.Index(i).Interface())
		}
		e.b.WriteString("</" + name + ">")
	default:
		e.scalar(s, name, v)
	}
}

func (e *encoder) scalar(s *Shape, name string, v reflect.Value) {
	text := ""
	switch value := v.Interface().(type) {
	case time.Time:
		if s.Kind != Timestamp {
			e.fail("is a %s and not a time", s.Kind)
		}
		if value.IsZero() {
			return
		}
		text = value.UTC().Format(TimeFormat)
	case fmt.Stringer:
		text = value.String()
	default:
		switch {
		case v.Kind() == reflect.String && s.Kind == String:
			text = v.String()
		case v.CanInt() && (s.Kind == Integer || s.Kind == Long):
			text = strconv.FormatInt(v.Int(), 10)
		case v.CanUint() && (s.Kind == Integer || s.Kind == Long):
			text = strconv.FormatUint(v.Uint(), 10)
		case v.CanFloat() && (s.Kind == Double || s.Kind == Float):
			text = strconv.FormatFloat(v.Float(), 'g', -1, 64)
		case v.Kind() == reflect.Bool && s.Kind == Boolean:
			text = strconv.FormatBool(v.Bool())
		default:
			e.fail("is a %s and not a %s", s.Kind, v.Type())
		}
	}
	element(&e.b, name, text)
}
