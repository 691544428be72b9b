package wire

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"reflect"
	"time"
)

// Format is how an answer of Alibaba Cloud is written.
type Format string

// The formats.
const (
	JSON Format = "JSON"
	XML  Format = "XML"
)

// ContentType is what a response with the format says it is.
func (f Format) ContentType() string {
	if f == XML {
		return "text/xml;charset=utf-8"
	}
	return "application/json;charset=utf-8"
}

// timeOfACS is how Alibaba Cloud writes times, in UTC.
const timeOfACS = "2006-01-02T15:04:05Z"

// EncodeACS writes an answer of an API of Alibaba Cloud. The error says which part of it the
// operation does not have, which is a mistake of the program.
func EncodeACS(op *Operation, answer M, requestID string, format Format) ([]byte, error) {
	b := builder{walk{at: []string{op.Name}}}
	root := object{{"RequestId", requestID}}
	if answer != nil {
		parts, _ := b.structure(op.Output, reflect.ValueOf(answer)).(object)
		root = append(root, parts...)
	}
	return root.write(op.Name+"Response", format), b.err
}

// EncodeErrorACS is an error as Alibaba Cloud's APIs write it. host is the address that the
// request was for.
func EncodeErrorACS(e *Error, requestID, host string, format Format) []byte {
	return object{{"RequestId", requestID}, {"HostId", host}, {"Code", e.Code}, {"Message", e.Message}}.
		write("Error", format)
}

// object is a structure of an answer, in the order of its description. A value is an object,
// a list, a string, a number or a bool.
type object []part

type part struct {
	name  string
	value any
}

type list []any

func (o object) write(root string, format Format) []byte {
	var b bytes.Buffer
	if format == XML {
		b.WriteString(xml.Header)
		writeXML(&b, root, o)
	} else {
		writeJSON(&b, o)
	}
	return b.Bytes()
}

// writeJSON keeps the order of members.
func writeJSON(b *bytes.Buffer, value any) {
	switch v := value.(type) {
	case object:
		b.WriteByte('{')
		for i, p := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteByte('"')
			b.WriteString(p.name)
			b.WriteString("\":")
			writeJSON(b, p.value)
		}
		b.WriteByte('}')
	case list:
		b.WriteByte('[')
		for i, one := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			writeJSON(b, one)
		}
		b.WriteByte(']')
	default:
		if text, ok := v.(string); ok && isPlain(text) {
			b.WriteByte('"')
			b.WriteString(text)
			b.WriteByte('"')
			return
		}
		writeScalar(b, v)
	}
}

// isPlain says whether a text is written in JSON as it is.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

func writeScalar(b *bytes.Buffer, v any) {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic("an answer is plain data: " + err.Error())
	}
	b.Truncate(b.Len() - 1) // without the end of the line
}

// writeXML writes each element of a list under the list's name.
func writeXML(b *bytes.Buffer, name string, value any) {
	switch v := value.(type) {
	case object:
		b.WriteString("<" + name + ">")
		for _, p := range v {
			writeXML(b, p.name, p.value)
		}
		b.WriteString("</" + name + ">")
	case list:
		for _, one := range v {
			writeXML(b, name, one)
		}
	default:
		element(b, name, fmt.Sprint(v))
	}
}

// builder makes objects of answers.
type builder struct{ walk }

// fail is that of walk, and the value of a part that is wrong.
func (b *builder) fail(format string, args ...any) any {
	b.walk.fail(format, args...)
	return nil
}

func (b *builder) structure(s *Shape, v reflect.Value) any {
	out := object{}
	if !b.members(s, v, func(m *Member, value any) {
		if made := b.value(m.Shape, value); made != nil {
			out = append(out, part{m.Answer, made})
		}
	}) {
		return nil
	}
	return out
}

func (b *builder) value(s *Shape, value any) any {
	v := reflect.ValueOf(value)
	for v.IsValid() && v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if !v.IsValid() || v.Kind() == reflect.Map && v.IsNil() {
		return nil
	}
	switch s.Kind {
	case Structure:
		return b.structure(s, v)
	case List:
		if v.Kind() != reflect.Slice {
			return b.fail("is a %s and not a slice", v.Type())
		}
		out := make(list, 0, v.Len())
		for i := range v.Len() {
			out = append(out, b.value(s.Element, v.Index(i).Interface()))
		}
		return out
	}
	return b.scalar(s, v)
}

// scalar is a value of the kind that the description has: a count that clients take for a
// text is one.
func (b *builder) scalar(s *Shape, v reflect.Value) any {
	number := s.Kind == Integer || s.Kind == Long || s.Kind == Double || s.Kind == Float
	switch value := v.Interface().(type) {
	case time.Time:
		if s.Kind != String {
			return b.fail("is a %s and not a time", s.Kind)
		}
		if value.IsZero() {
			return ""
		}
		return value.UTC().Format(timeOfACS)
	case fmt.Stringer:
		if s.Kind != String {
			return b.fail("is a %s and not a text", s.Kind)
		}
		return value.String()
	}
	switch {
	case v.Kind() == reflect.String && s.Kind == String:
		return v.String()
	case (v.CanInt() || v.CanUint()) && s.Kind == String:
		return fmt.Sprint(v.Interface())
	case (v.CanInt() || v.CanUint() || v.CanFloat()) && number:
		return v.Interface()
	case v.Kind() == reflect.Bool && s.Kind == Boolean:
		return v.Bool()
	}
	return b.fail("is a %s and not a %s", s.Kind, v.Type())
}
