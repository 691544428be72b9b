package wire

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Bind copies parameters into a struct whose fields have the names of members, and
// returns those that it has no field for, by their names with dots between. A field is a
// string, int, bool or time.Time, a pointer to one where it matters whether it was
// sent, a struct, a pointer to one, or a slice of these.
func Bind(v Values, into any) (unused []string) {
	return bind(v, reflect.ValueOf(into).Elem(), "")
}

func bind(v Values, into reflect.Value, at string) (unused []string) {
	for _, name := range slices.Sorted(maps.Keys(v)) {
		field := into.FieldByName(name)
		if !field.IsValid() {
			unused = append(unused, join(at, name))
			continue
		}
		unused = append(unused, set(v[name], field, join(at, name))...)
	}
	return unused
}

func set(value any, field reflect.Value, at string) (unused []string) {
	if field.Kind() == reflect.Pointer {
		field.Set(reflect.New(field.Type().Elem()))
		field = field.Elem()
	}
	switch v := value.(type) {
	case Values:
		return bind(v, field, at)
	case []any:
		field.Set(reflect.MakeSlice(field.Type(), len(v), len(v)))
		for i := range v {
			unused = append(unused, set(v[i], field.Index(i), at)...)
		}
		return slices.Compact(unused)
	case int64:
		field.SetInt(v)
	default:
		field.Set(reflect.ValueOf(v))
	}
	return nil
}

// CheckFields says which fields of a struct, of the kind that Bind takes, are not
// members of a shape, or have another type.
func CheckFields(s *Shape, t reflect.Type) error { return checkFields(s, t, "") }

func checkFields(s *Shape, t reflect.Type, at string) error {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch s.Kind {
	case Structure:
		if t.Kind() != reflect.Struct {
			return fmt.Errorf("%s is a structure and not a %s", at, t)
		}
		for i := range t.NumField() {
			f := t.Field(i)
			m := s.Member(f.Name)
			if m == nil {
				return fmt.Errorf("there is no %s", join(at, f.Name))
			}
			if err := checkFields(m.Shape, f.Type, join(at, f.Name)); err != nil {
				return err
			}
		}
		return nil
	case List:
		if t.Kind() != reflect.Slice {
			return fmt.Errorf("%s is a list and not a %s", at, t)
		}
		return checkFields(s.Element, t.Elem(), at)
	}
	want := map[Kind]reflect.Type{
		String: reflect.TypeFor[string](), Integer: reflect.TypeFor[int](), Long: reflect.TypeFor[int](),
		Boolean: reflect.TypeFor[bool](), Double: reflect.TypeFor[float64](), Float: reflect.TypeFor[float64](),
		Timestamp: reflect.TypeFor[time.Time](), Blob: reflect.TypeFor[[]byte](),
	}[s.Kind]
	if want == nil || t.Kind() != want.Kind() {
		return fmt.Errorf("%s is a %s and not a %s", at, s.Kind, t)
	}
	return nil
}

// Has reports whether a path of names, such as IpPermissions.IpRanges, leads to a
// member of the shape.
func (s *Shape) Has(path string) bool {
	for _, name := range strings.Split(path, ".") {
		for s.Kind == List {
			s = s.Element
		}
		if s.Kind != Structure {
			return false
		}
		m := s.Member(name)
		if m == nil {
			return false
		}
		s = m.Shape
	}
	return true
}
