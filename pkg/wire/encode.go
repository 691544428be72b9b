package wire

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"reflect"
	"strconv"
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
	e := encoder{}
	e.member(m.Shape.Element, m.Shape.Item, element, op.Name+"."+list)
	return Rendered(e.b.String()), e.err
}

// TimeFormat is how times are written, in UTC.
const TimeFormat = "2006-01-02T15:04:05.000Z"

// Encode writes an answer. The error says which part of it the operation does not
// have, which is a mistake of the program.
func Encode(op *Operation, answer M, requestID string) ([]byte, error) {
	e := encoder{}
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
		e.structure(output, reflect.ValueOf(answer), op.Name)
	} else {
		// Clients miss the wrapper even of an empty answer.
		wrapper := op.wrapper
		if wrapper == "" {
			wrapper = op.Name + "Result"
		}
		e.b.WriteString("<" + wrapper + ">")
		e.structure(output, reflect.ValueOf(answer), op.Name)
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

type encoder struct {
	b   bytes.Buffer
	err error
}

func (e *encoder) fail(format string, args ...any) {
	if e.err == nil {
		e.err = fmt.Errorf(format, args...)
	}
}

func (e *encoder) structure(s *Shape, v reflect.Value, at string) {
	answer, ok := v.Interface().(M)
	if !ok {
		e.fail("%s is a %s and not an M", at, v.Type())
		return
	}
	written := 0
	for _, m := range s.Members {
		value, there := answer[m.Name]
		if !there {
			continue
		}
		written++
		e.member(m.Shape, m.Answer, value, at+"."+m.Name)
	}
	if written == len(answer) {
		return
	}
	for name := range answer {
		if s.Member(name) == nil {
			e.fail("%s has no %s", at, name)
		}
	}
}

func (e *encoder) member(s *Shape, name string, value any, at string) {
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
		e.structure(s, v, at)
		e.b.WriteString("</" + name + ">")
	case List:
		if v.Kind() != reflect.Slice {
			e.fail("%s is a %s and not a slice", at, v.Type())
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
			e.member(s.Element, s.Item, v.Index(i).Interface(), at)
		}
		e.b.WriteString("</" + name + ">")
	default:
		e.scalar(s, name, v, at)
	}
}

func (e *encoder) scalar(s *Shape, name string, v reflect.Value, at string) {
	text := ""
	switch value := v.Interface().(type) {
	case time.Time:
		if s.Kind != Timestamp {
			e.fail("%s is a %s and not a time", at, s.Kind)
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
			e.fail("%s is a %s and not a %s", at, s.Kind, v.Type())
		}
	}
	element(&e.b, name, text)
}
