package wire

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Values are the parameters of a request, by the names of members: a string, int64,
// float64, bool, time.Time, []byte, a []any of those, or Values.
type Values map[string]any

// Limits of a request. AWS publishes none for the number of parameters; lists end at
// 1,000 elements in most operations.
const (
	mostParameters = 10000
	deepest        = 16
	longestList    = 1000
)

// common are the parameters that say what a request is.
var (
	common      = []string{"Action", "Version"}
	commonOfACS = []string{"Action", "Version", "Format", "AccessKeyId", "Signature", "SignatureMethod", "SignatureNonce",
		"SignatureType", "SignatureVersion", "Timestamp", "SecurityToken"}
)

// Decode reads the parameters of an operation from a form. The error is what the API
// answers to a parameter that it does not know, that is missing, or that has an
// impossible value.
func Decode(op *Operation, form url.Values) (Values, *Error) {
	if len(form) > mostParameters {
		return nil, op.invalid("the request has more than %d parameters", mostParameters)
	}
	root := &node{}
	for _, key := range slices.Sorted(maps.Keys(form)) {
		if slices.Contains(common, key) {
			continue
		}
		if err := root.put(strings.Split(key, "."), form.Get(key)); err != nil {
			return nil, op.unknown(key)
		}
	}
	input := op.Input
	if input == nil {
		input = &Shape{Kind: Structure}
	}
	d := decoder{op: op}
	return d.structure(input, root, "")
}

// DecodeACS reads the parameters of an operation of Alibaba Cloud from a form, in which a list
// or a structure is flat (Zone.1.ZoneId) or a text of JSON. unknown are the parameters that the
// operation does not have, which the cloud takes for nothing.
func DecodeACS(op *Operation, form url.Values) (v Values, unknown []string, _ *Error) {
	if len(form) > mostParameters {
		return nil, nil, op.invalid("the request has more than %d parameters", mostParameters)
	}
	root := &node{}
	for _, key := range slices.Sorted(maps.Keys(form)) {
		if slices.Contains(commonOfACS, key) {
			continue
		}
		if len(form[key]) > 1 {
			return nil, nil, op.invalid("The parameter %s is there twice.", key)
		}
		if root.put(strings.Split(key, "."), form.Get(key)) != nil {
			unknown = append(unknown, key)
		}
	}
	d := decoder{op: op, unread: &unknown}
	v, err := d.structure(op.Input, root, "")
	return v, unknown, err
}

// node is a part of a form's keys: A.1.B=x is x at A, 1, B.
type node struct {
	value string
	set   bool // it has a value
	below map[string]*node
}

func (n *node) put(path []string, value string) error {
	if len(path) > deepest {
		return fmt.Errorf("deeper than %d", deepest)
	}
	for _, part := range path {
		if n.below == nil {
			n.below = map[string]*node{}
		}
		if n.below[part] == nil {
			n.below[part] = &node{}
		}
		n = n.below[part]
	}
	n.value, n.set = value, true
	return nil
}

type decoder struct {
	op *Operation
	// unread collects what is not known, nil where that is refused.
	unread *[]string
}

// fail is for a parameter that the operation does not have.
func (d decoder) fail(key string) *Error {
	if d.unread == nil {
		return d.op.unknown(key)
	}
	*d.unread = append(*d.unread, key)
	return nil
}

func (d decoder) structure(s *Shape, n *node, at string) (Values, *Error) {
	out := Values{}
	if err := d.unfold(n, at); err != nil {
		return nil, err
	}
	taken := map[string]bool{}
	for _, m := range s.Members {
		below := n.below[m.Request]
		if below == nil {
			if m.Required {
				return nil, d.op.missing(join(at, m.Request))
			}
			continue
		}
		taken[m.Request] = true
		value, err := d.value(m.Shape, below, join(at, m.Request))
		if err != nil {
			return nil, err
		}
		if value != nil {
			out[m.Name] = value
		}
	}
	for _, key := range slices.Sorted(maps.Keys(n.below)) {
		if taken[key] {
			continue
		}
		if err := d.fail(join(at, key)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func join(at, key string) string {
	if at == "" {
		return key
	}
	return at + "." + key
}

func (d decoder) value(s *Shape, n *node, at string) (any, *Error) {
	switch s.Kind {
	case Structure:
		v, err := d.structure(s, n, at)
		if err != nil {
			return nil, err
		}
		return v, nil
	case List:
		return d.list(s, n, at)
	case Map:
		return n.value, nil // nobody uses it, so it is refused by name
	}
	if len(n.below) > 0 {
		if err := d.fail(join(at, slices.Sorted(maps.Keys(n.below))[0])); err != nil {
			return nil, err
		}
	}
	v, want := scalar(s, n.value)
	if want != "" && d.op.Service.Protocol == ACS {
		if n.value == "" {
			return nil, nil // as if it was not there
		}
		return nil, d.op.invalid("Specified parameter %s is not valid: it must be %s.", at, want)
	}
	if want != "" {
		return nil, d.op.invalid("Value (%s) for parameter %s is invalid. It must be %s.", n.value, at, want)
	}
	return v, nil
}

// list reads elements in the order of their numbers, which may have gaps.
func (d decoder) list(s *Shape, n *node, at string) (any, *Error) {
	if d.op.Service.Protocol == AWSQuery && len(n.below) == 1 {
		for _, name := range []string{"member", s.Item} {
			if members := n.below[name]; members != nil {
				n, at = members, join(at, name)
				break
			}
		}
	}
	if err := d.unfold(n, at); err != nil {
		return nil, err
	}
	if len(n.below) > longestList {
		return nil, d.op.invalid("%s has more than %d elements", at, longestList)
	}
	numbers := make([]int, 0, len(n.below))
	for key := range n.below {
		number, err := strconv.Atoi(key)
		if err != nil || number < 0 || strconv.Itoa(number) != key {
			if err := d.fail(join(at, key)); err != nil {
				return nil, err
			}
			continue
		}
		numbers = append(numbers, number)
	}
	slices.Sort(numbers)
	out := make([]any, 0, len(numbers))
	for _, number := range numbers {
		key := strconv.Itoa(number)
		v, err := d.value(s.Element, n.below[key], join(at, key))
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// unfold refuses a text where a list or a structure should be, unless it may be JSON.
func (d decoder) unfold(n *node, at string) *Error {
	switch {
	case !n.set || n.value == "":
		return nil
	case d.unread == nil:
		return d.op.unknown(at)
	}
	reader := json.NewDecoder(strings.NewReader(n.value))
	reader.UseNumber()
	var value any
	if reader.Decode(&value) != nil || reader.More() || !n.unfold(value, deepest) {
		return d.op.invalid("Specified parameter %s is not valid: it must be a list or a structure, flat or as JSON.", at)
	}
	n.set, n.value = false, ""
	return nil
}

// unfold makes a value of JSON what the same would be flat; false where it is too deep.
func (n *node) unfold(value any, levels int) bool {
	if levels == 0 {
		return false
	}
	put := func(key string, value any) bool {
		below := &node{}
		if n.below == nil {
			n.below = map[string]*node{}
		}
		n.below[key] = below
		return below.unfold(value, levels-1)
	}
	switch v := value.(type) {
	case map[string]any:
		for key, one := range v {
			if !put(key, one) {
				return false
			}
		}
	case []any:
		for i, one := range v {
			if !put(strconv.Itoa(i+1), one) {
				return false
			}
		}
	case nil:
	default:
		n.value, n.set = fmt.Sprint(v), true
	}
	return true
}

// scalar is the value of a text, or else what it should have been.
func scalar(s *Shape, text string) (v any, want string) {
	switch s.Kind {
	case Integer:
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return nil, "a whole number"
		}
		return n, ""
	case Long:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, "a whole number"
		}
		return n, ""
	case Boolean:
		switch strings.ToLower(text) {
		case "true", "1":
			return true, ""
		case "false", "0":
			return false, ""
		}
		return nil, "true or false"
	case Double, Float:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, "a number"
		}
		return f, ""
	case Timestamp:
		t, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return nil, "a time such as 2026-01-02T03:04:05Z"
		}
		return t, ""
	case Blob:
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, "Base64"
		}
		return b, ""
	}
	if len(s.Values) > 0 && !slices.Contains(s.Values, text) {
		return nil, "one of " + strings.Join(s.Values, ", ")
	}
	return text, ""
}

// The codes are those of "Common errors" in the API references of EC2 and of Elastic Load
// Balancing, and of "Common error codes" of Alibaba Cloud's API references.

func (op *Operation) unknown(key string) *Error {
	if op.Service.Protocol == AWSQuery {
		return Errorf("ValidationError", "The parameter %s is not recognized", key)
	}
	return Errorf("UnknownParameter", "The parameter %s is not recognized", key)
}

func (op *Operation) missing(key string) *Error {
	if op.Service.Protocol == ACS {
		return Errorf("Missing"+key, "%s is mandatory for this action.", key)
	}
	if op.Service.Protocol == AWSQuery {
		return Errorf("ValidationError", "'%s' must not be null", key)
	}
	return Errorf("MissingParameter", "The request must contain the parameter %s", key)
}

func (op *Operation) invalid(format string, args ...any) *Error {
	if op.Service.Protocol == ACS {
		return Errorf("InvalidParameter", format, args...)
	}
	if op.Service.Protocol == AWSQuery {
		return Errorf("ValidationError", format, args...)
	}
	return Errorf("InvalidParameterValue", format, args...)
}
