package topofile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/plinksim/plinksim/internal/spell"
	"github.com/plinksim/plinksim/pkg/topology"
)

// read turns a file's text into a raw struct and notes every key and value
// that does not fit. It returns false where there is
// nothing to go on with.
func read(src *source, text []byte, into any) bool {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var document yaml.Node
	if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
		src.problem(&yaml.Node{Line: 1, Column: 1}, "start with name:, cloud: and region:", "the file is empty")
		return false
	} else if err != nil {
		src.notYAML(text, err)
		return false
	}
	// A comment alone is a document without content.
	if len(document.Content) == 0 || isNull(document.Content[0]) {
		src.problem(&yaml.Node{Line: 1, Column: 1}, "start with name:, cloud: and region:", "the file is empty")
		return false
	}
	var second yaml.Node
	if err := decoder.Decode(&second); err == nil {
		src.problem(&second, "write one file for each lab",
			"a second document starts here, and a topology is one document")
	} else if !errors.Is(err, io.EOF) {
		src.notYAML(text, err)
	}
	root, ok := unfold(src, document.Content[0])
	if !ok {
		return false
	}
	r := reader{source: src, most: nodesBelow(root) + maxUnfolded}
	r.read(root, into, tag{})
	return r.nodes <= r.most
}

func nodesBelow(node *yaml.Node) int {
	n := 1
	for _, c := range node.Content {
		n += nodesBelow(c)
	}
	return n
}

var syntaxError = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

// partError are the errors of the parser above the scanner. It counts lines
// from 0, and names the start of the mapping or list that it was in.
var partError = regexp.MustCompile(`^did not find expected (<|node content|'-' indicator|key|',' or)`)

// notYAML notes an error of the YAML parser, which knows the line at best.
func (s *source) notYAML(text []byte, err error) {
	if !utf8.Valid(text) {
		s.notUTF8(text)
		return
	}
	if i := bytes.IndexFunc(text, notInYAML); i >= 0 {
		r, _ := utf8.DecodeRune(text[i:])
		s.problem(placeOf(text[:i]), "remove it", "this is not YAML: the character %U cannot stand there", r)
		return
	}
	node := &yaml.Node{}
	message, hint := err.Error(), ""
	if m := syntaxError.FindStringSubmatch(message); m != nil {
		message = m[2]
		if line, err := strconv.Atoi(m[1]); err == nil {
			if partError.MatchString(message) {
				line, hint = line+1, "what is wrong may be further down: this is where the part that holds it starts"
			}
			if strings.HasPrefix(message, "mapping values are not allowed") {
				hint = "does the line before end with a colon? A text with a colon and a blank in it needs quotes"
			}
			// A file that stops too early is wrong in its last line.
			node.Line, node.Column = min(line, len(s.lines)), 1
		}
	}
	if at, r := s.strangeSpace(node.Line); at != nil {
		s.problem(at, "write a space", "this is not YAML: the character %U looks like a space but is not one", r)
		return
	}
	if node.Line > 0 && strings.Contains(indentation(s.lines[node.Line-1]), "\t") {
		hint = "indent with spaces: YAML takes no tabs there"
	}
	s.problem(node, hint, "this is not YAML: %s", message)
}

// notUTF8 notes the first byte that is no text.
func (s *source) notUTF8(text []byte) {
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && size == 1 {
			s.problem(placeOf(text[:i]), "save the file as UTF-8", "this is not UTF-8: byte 0x%02X", text[i])
			return
		}
		i += size
	}
}

// notInYAML says of which characters YAML has none (YAML 1.2.2, 5.1).
func notInYAML(r rune) bool {
	return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0x7f || r >= 0x80 && r < 0xa0 && r != 0x85 ||
		r == 0xfffe || r == 0xffff
}

// placeOf is the place behind a text.
func placeOf(before []byte) *yaml.Node {
	line := before[bytes.LastIndexByte(before, '\n')+1:]
	return &yaml.Node{Line: bytes.Count(before, []byte("\n")) + 1, Column: utf8.RuneCount(line) + 1}
}

// isStrangeSpace says which characters people take for a space, and YAML for a
// letter.
func isStrangeSpace(r rune) bool {
	return r != ' ' && unicode.Is(unicode.Zs, r) || r == 0x200b || r == 0xfeff
}

// strangeSpace looks for one in a line and those beside it.
func (s *source) strangeSpace(line int) (*yaml.Node, rune) {
	for n := max(line-1, 1); line > 0 && n <= min(line+1, len(s.lines)); n++ {
		for column, r := range []rune(s.lines[n-1]) {
			if isStrangeSpace(r) {
				return &yaml.Node{Line: n, Column: column + 1}, r
			}
		}
	}
	return nil, 0
}

func indentation(line string) string {
	return line[:len(line)-len(strings.TrimLeft(line, " \t"))]
}

// maxUnfolded is how many values a file may have by aliases and << beside those
// that stand in it: aliases inside anchors multiply.
const maxUnfolded = 20_000

// reader walks the nodes of a document and the raw structs side by side.
type reader struct {
	*source
	nodes   int          // seen so far
	most    int          // of nodes
	merging []*yaml.Node // the mappings that << is being followed through
}

// tag is what the tags of a raw struct's field say about its value.
type tag struct {
	path     string   // where the value stands: vpcs.vpc1.cidr
	doc      string   // a sentence for people
	required bool     // the key must be there
	enum     []string // the only values, if any
	later    []string // values of the clouds that plinksim does not do
	min, max int      // of a number; both 0: any
}

// more is the type of a field without a name that goes on with the doc of the
// field above it: a tag is one literal, and a line has an end.
type more struct{}

// tagOf reads the tags of a struct's field. It panics where one of them is
// malformed, which the first test would show.
func tagOf(typ reflect.Type, field int) (key string, t tag) {
	of := taggedField{typ, field}
	if read, ok := tags.Load(of); ok {
		return read.(keyAndTag).key, read.(keyAndTag).tag
	}
	key, t = readTag(typ, field)
	tags.Store(of, keyAndTag{key, t})
	return key, t
}

// tags are those that were read: the raw structs do not change, and a file has
// thousands of values of some of them.
var tags sync.Map // by taggedField

type taggedField struct {
	typ   reflect.Type
	field int
}

type keyAndTag struct {
	key string
	tag tag
}

func readTag(typ reflect.Type, field int) (key string, t tag) {
	f := typ.Field(field)
	key, option, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	t = tag{doc: f.Tag.Get("doc"), required: option == "required"}
	if e := f.Tag.Get("enum"); e != "" {
		for _, word := range strings.Split(e, "|") {
			switch word {
			case "$verbs":
				t.enum = append(t.enum, topology.Verbs()...)
			case "$refusals":
				t.enum = append(t.enum, topology.Refusals()...)
			default:
				t.enum = append(t.enum, word)
			}
		}
	}
	if l := f.Tag.Get("later"); l != "" {
		t.later = strings.Split(l, "|")
	}
	if span := f.Tag.Get("range"); span != "" {
		if _, err := fmt.Sscanf(span, "%d..%d", &t.min, &t.max); err != nil {
			panic("topology: range of " + f.Name + ": " + err.Error())
		}
	}
	for i := field + 1; i < typ.NumField() && typ.Field(i).Type == reflect.TypeFor[more](); i++ {
		t.doc += " " + typ.Field(i).Tag.Get("doc")
	}
	return key, t
}

// readable is a part of the file that knows how to read itself; every other
// part is a struct whose fields have yaml tags.
type readable interface {
	read(r *reader, node *yaml.Node, t tag)
}

func (r *reader) read(node *yaml.Node, into any, t tag) {
	if r.tooMany(node, 1) {
		return
	}
	node = follow(node)
	if part, ok := into.(readable); ok {
		part.read(r, node, t)
		return
	}
	v := reflect.ValueOf(into).Elem()
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		if part, ok := v.Interface().(readable); ok {
			part.read(r, node, t)
			return
		}
		v = v.Elem()
	}
	r.object(node, v, t)
}

// tooMany counts n more values, and says once that there are too many.
func (r *reader) tooMany(node *yaml.Node, n int) bool {
	if r.nodes <= r.most && r.nodes+n > r.most {
		r.problem(node, "use fewer aliases", "with its aliases the file unfolds to more than %d values", r.most)
	}
	r.nodes += n
	return r.nodes > r.most
}

// follow is what an alias stands for.
func follow(node *yaml.Node) *yaml.Node {
	for node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	return node
}

func isNull(node *yaml.Node) bool {
	return node.Kind == yaml.ScalarNode && node.Tag == "!!null"
}

// object reads a mapping into a raw struct. A field of type *yaml.Node
// without a tag gets the mapping itself, and stays nil where there is none.
func (r *reader) object(node *yaml.Node, into reflect.Value, t tag) {
	fields := map[string]reflect.Value{}
	tags := map[string]tag{}
	var keys []string
	var self reflect.Value
	for i := range into.NumField() {
		key, ft := tagOf(into.Type(), i)
		switch {
		case into.Field(i).Type() == reflect.TypeFor[more]():
			continue
		case key == "":
			self = into.Field(i)
			continue
		}
		ft.path = join(t.path, key)
		fields[key], tags[key] = into.Field(i), ft
		keys = append(keys, key)
	}
	if !isNull(node) && node.Kind != yaml.MappingNode {
		r.problem(node, "its keys are "+spell.List(keys), "%s is %s, not a mapping", subject(t.path), describe(node))
		return
	}
	if self.IsValid() {
		self.Set(reflect.ValueOf(node))
	}
	given := map[string]bool{}
	pairs := r.pairs(node)
	for _, p := range pairs {
		given[p.key.Value] = true
	}
	for _, p := range pairs {
		key := p.key.Value
		if _, ok := fields[key]; !ok {
			if t.path == "" && strings.HasPrefix(key, "x-") {
				continue // the user's own, a place for anchors
			}
			if at := strings.IndexFunc(key, isStrangeSpace); at >= 0 {
				r.problem(p.key, "it has a character in it that looks like a space: write a space behind the colon",
					"unknown key %q%s", key, inside(t.path))
				given[strings.TrimSuffix(key[:at], ":")] = true
				continue
			}
			r.problem(p.key, spell.Suggest(key, keys), "unknown key %q%s", key, inside(t.path))
			// Going on with what was meant saves the user from hearing what
			// is missing because of it.
			if key = spell.Nearest(key, keys); key == "" || given[key] {
				continue
			}
			given[key] = true
		}
		r.read(p.value, fields[key].Addr().Interface(), tags[key])
	}
	for _, key := range keys {
		if tags[key].required && !given[key] {
			r.problem(node, hintFor(key, tags[key]), "%s has no %s", subject(t.path), key)
		}
	}
}

func hintFor(key string, t tag) string {
	if len(t.enum) > 0 {
		return fmt.Sprintf("add %s: %s", key, spell.Either(t.enum))
	}
	return fmt.Sprintf("add %s: %s", key, t.doc)
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// subject and inside name a place in the file within a sentence.
func subject(path string) string {
	if path == "" {
		return "the topology"
	}
	return path
}

func inside(path string) string {
	if path == "" {
		return ""
	}
	return " in " + path
}

// describe says what stands at node, for "x is ..., not a list".
func describe(node *yaml.Node) string {
	switch {
	case isNull(node):
		return "empty"
	case node.Kind == yaml.MappingNode:
		return "a mapping"
	case node.Kind == yaml.SequenceNode:
		return "a list"
	case node.Tag == "!!str":
		return fmt.Sprintf("the text %q", cut(node.Value, maxExcerpt))
	}
	return cut(node.Value, maxExcerpt)
}

// pair is a key of a mapping and its value.
type pair struct{ key, value *yaml.Node }

// pairs are the keys of a mapping in the order of the file, those that << adds
// last. A key of the mapping's own wins over a merged one, and an earlier
// merged one over a later (YAML merge key, yaml.org/type/merge.html).
func (r *reader) pairs(node *yaml.Node) []pair {
	if node.Kind != yaml.MappingNode {
		return nil
	}
	own := make([]pair, 0, len(node.Content)/2)
	var merges []*yaml.Node
	at := make(map[string]int, len(node.Content)/2)
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := follow(node.Content[i]), node.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			r.problem(key, "write a word", "a key is %s", describe(key))
			continue
		}
		if line, twice := at[key.Value]; twice {
			hint := fmt.Sprintf("it is also on line %d: keep one of them", line)
			if key.Tag == "!!merge" {
				hint = "merge a list: <<: [*one, *two]"
				merges = append([]*yaml.Node{value}, merges...) // for what follows, the last is meant
			}
			r.problem(key, hint, "key %q is given twice", key.Value)
			continue
		}
		at[key.Value] = key.Line
		if key.Tag == "!!merge" {
			merges = append(merges, value)
			continue
		}
		own = append(own, pair{key, value})
	}
	for _, merge := range merges {
		for _, p := range r.merged(merge) {
			if _, known := at[p.key.Value]; !known {
				at[p.key.Value] = p.key.Line
				own = append(own, p)
			}
		}
	}
	return own
}

// merged are the keys that the value of << adds: a mapping or a list of them.
func (r *reader) merged(value *yaml.Node) []pair {
	node := follow(value)
	if r.tooMany(value, 1+len(node.Content)) {
		return nil
	}
	for _, m := range r.merging {
		if m == node {
			r.problem(value, "remove this <<", "an anchor is merged into itself")
			return nil
		}
	}
	r.merging = append(r.merging, node)
	defer func() { r.merging = r.merging[:len(r.merging)-1] }()
	switch node.Kind {
	case yaml.MappingNode:
		return r.pairs(node)
	case yaml.SequenceNode:
		var all []pair
		for _, n := range node.Content {
			all = append(all, r.merged(n)...)
		}
		return all
	}
	r.problem(value, "give it an alias of a mapping, such as *base", "<< cannot merge %s", describe(node))
	return nil
}

// named is a mapping whose keys are names of the user's choice, in the order
// of the file.
type named[T any] struct {
	Entries []entry[T]
	Node    *yaml.Node // nil where the file does not have it
}

type entry[T any] struct {
	Name  string
	Key   *yaml.Node
	Value T
}

func (m *named[T]) read(r *reader, node *yaml.Node, t tag) {
	m.Node = node
	if isNull(node) {
		return
	}
	if node.Kind != yaml.MappingNode {
		r.problem(node, "write NAME: {...}", "%s is %s, not a mapping of names", subject(t.path), describe(node))
		return
	}
	for _, p := range r.pairs(node) {
		r.name(p.key, t.path, topology.MaxName)
		e := entry[T]{Name: p.key.Value, Key: p.key}
		r.read(p.value, &e.Value, tag{path: join(t.path, e.Name)})
		m.Entries = append(m.Entries, e)
	}
}

// name notes a name that cannot stand in domain names, file names and
// commands.
func (s *source) name(node *yaml.Node, path string, longest int) {
	name := node.Value
	switch {
	case len(name) > longest:
		s.problem(node, fmt.Sprintf("use at most %d characters", longest),
			"name %q%s has %d characters", name, inside(path), len(name))
	case !topology.IsName(name):
		hint := "choose a name such as web-1"
		if better := strings.ReplaceAll(strings.ToLower(name), "_", "-"); topology.IsName(better) {
			hint = fmt.Sprintf("write %s", better)
		}
		s.problem(node, hint, "name %q%s must be of a-z and 0-9, with - inside", name, inside(path))
	}
}

// sequence is a list.
type sequence[T any] struct {
	Items []T
	Node  *yaml.Node // nil where the file does not have it
}

// isEmpty says whether the list has no element, be it wrong.
func (s sequence[T]) isEmpty() bool {
	return len(s.Items) == 0 && (s.Node == nil || isNull(s.Node) || s.Node.Kind == yaml.SequenceNode)
}

func (s *sequence[T]) read(r *reader, node *yaml.Node, t tag) {
	s.Node = node
	if isNull(node) {
		return
	}
	if node.Kind != yaml.SequenceNode {
		r.problem(node, "write it in [ ], or as lines that start with -",
			"%s is %s, not a list", t.path, describe(node))
		var item T
		if _, single := any(&item).(interface{ given() bool }); single && node.Kind == yaml.ScalarNode {
			// For what follows it is a list of one.
			r.read(node, &item, t)
			s.Items = append(s.Items, item)
		}
		return
	}
	path := t.path
	for i, n := range node.Content {
		var item T
		t.path = fmt.Sprintf("%s[%d]", path, i)
		r.read(n, &item, t)
		s.Items = append(s.Items, item)
	}
}

// value is a scalar and the place where it stands.
type value[T any] struct {
	V    T
	Node *yaml.Node // nil where the file does not have it, or where it could not be read
	Bad  bool       // it could not be read, and that was said
}

func (v value[T]) given() bool { return v.Node != nil }

// or is the value, or another one where none was given.
func (v value[T]) or(other T) T {
	if v.given() {
		return v.V
	}
	return other
}

func (v *value[T]) read(r *reader, node *yaml.Node, t tag) {
	v.Bad = true
	if node.Kind != yaml.ScalarNode {
		hint := ""
		if node.Kind == yaml.SequenceNode && strings.Contains(t.path, "gress[") {
			hint = "write a rule for each"
		}
		r.problem(node, hint, "%s is %s, not a single value", t.path, describe(node))
		return
	}
	if isNull(node) {
		r.problem(node, "give it a value or remove the key", "%s has no value", t.path)
		return
	}
	if hint, err := parse(node, t, &v.V); err != nil {
		r.problem(node, hint, "%s %v", t.path, err)
		return
	}
	v.Node, v.Bad = node, false
}

// ports is a range of ports, both ends included.
type ports struct{ First, Last uint16 }

// parse reads one scalar into a string, int, bool, time.Duration, netip.Addr,
// netip.Prefix, ports, megabits, rate or share. The error goes on after the name of the key.
func parse(node *yaml.Node, t tag, into any) (hint string, err error) {
	text := node.Value
	switch v := into.(type) {
	case *string:
		*v = text
		return parseWord(text, t)
	case *int:
		return parseInt(node, t, v)
	case *bool:
		if node.Tag != "!!bool" {
			return "write true or false", fmt.Errorf("is %s, not true or false", describe(node))
		}
		*v = strings.EqualFold(text, "true")
	case *time.Duration:
		if *v, err = time.ParseDuration(text); err != nil || *v < 0 {
			return "write a number and a unit, such as 500ms, 5s or 15m",
				fmt.Errorf("is %s, not a duration", describe(node))
		}
	case *netip.Addr:
		if *v, err = netip.ParseAddr(text); err != nil {
			return "write an address such as 10.0.0.10", fmt.Errorf("is %s, not an IP address", describe(node))
		}
		if !v.Is4() {
			return "use an IPv4 address; keys of IPv6 are called ipv6", fmt.Errorf("is %s, an IPv6 address", text)
		}
	case *netip.Prefix:
		return parsePrefix(text, v)
	case *underlayAddr:
		return parseUnderlayAddr(text, v)
	case *ipv6Addr:
		return parseIPv6Addr(text, v)
	case *ipv6Block:
		return parseIPv6Block(text, v)
	case *peer:
		return parsePeer(text, v)
	case *ports:
		return parsePorts(text, v)
	case *megabits:
		return parseMegabits(text, v)
	case *rate:
		bits, err := topology.ParseRate(text)
		*v = rate(bits)
		return rateHint, err
	case *share:
		part, err := topology.ParseShare(text)
		*v = share(part)
		return shareHint, err
	default:
		panic(fmt.Sprintf("topology: no way to read a %T", into))
	}
	return "", nil
}

func parseWord(text string, t tag) (hint string, err error) {
	for _, l := range t.later {
		if text == l {
			return "write " + spell.Either(t.enum),
				fmt.Errorf("is %s, which is not supported yet; %s", text, areSupported(t.enum))
		}
	}
	if len(t.enum) == 0 {
		return "", nil
	}
	for _, e := range t.enum {
		if text == e {
			return "", nil
		}
	}
	return spell.Suggest(text, t.enum), fmt.Errorf("is %q, not %s", text, spell.Either(t.enum))
}

func areSupported(words []string) string {
	if len(words) == 1 {
		return words[0] + " is"
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " and " + words[last] + " are"
}

// decimal is a number as all readers of YAML read it: 010 is 8 to some of them.
var decimal = regexp.MustCompile(`^[-+]?(0|[1-9][0-9]*)$`)

func parseInt(node *yaml.Node, t tag, v *int) (hint string, err error) {
	text, span := node.Value, ""
	if t.max > 0 {
		span = fmt.Sprintf("write a number from %d to %d", t.min, t.max)
	}
	var n int
	switch {
	case node.Tag == "!!str" && decimal.MatchString(text):
		return "remove the quotes", fmt.Errorf("is %s, not a whole number", describe(node))
	case decimal.MatchString(text) && len(text) > 18: // of the 19 that an int64 has
		return span, fmt.Errorf("is %s, too large a number", describe(node))
	case decimal.MatchString(text):
		n, _ = strconv.Atoi(text)
	case node.Tag == "!!int" && node.Decode(&n) == nil:
		hint = fmt.Sprintf("write %d", n)
		if digits := strings.TrimLeft(text, "0"); decimal.MatchString(digits) {
			hint = fmt.Sprintf("write %s, or %d if it is octal", digits, n)
		}
		return hint, fmt.Errorf("is %s, not a number in decimal", describe(node))
	case strings.HasSuffix(t.path, "port") && portRange.MatchString(text):
		return "write one port, and the same again for each other port",
			fmt.Errorf("is %s: ranges of ports are not supported yet here", text)
	default:
		return span, fmt.Errorf("is %s, not a whole number", describe(node))
	}
	if t.max > 0 && (n < t.min || n > t.max) {
		return span, fmt.Errorf("is %d, outside %d to %d", n, t.min, t.max)
	}
	*v = n
	return "", nil
}

var portRange = regexp.MustCompile(`^[0-9]{1,5} ?[-:] ?[0-9]{1,5}$`)

// parsePrefix keeps host bits, so that what the user wrote can be judged.
func parsePrefix(text string, v *netip.Prefix) (hint string, err error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return fmt.Sprintf("write %s/%d for this address alone", addr, addr.BitLen()),
			fmt.Errorf("is %s, an address without a mask", text)
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return "write an address, a slash and a mask from 0 to 32, such as 10.0.0.0/16",
			fmt.Errorf("is %q, not a CIDR block", text)
	}
	if !p.Addr().Is4() {
		return "use an IPv4 block; keys of IPv6 are called ipv6_cidr", fmt.Errorf("is %s, an IPv6 block", text)
	}
	*v = p
	return "", nil
}

func parsePorts(text string, v *ports) (hint string, err error) {
	const form = "write a port such as 80, or a range such as 8000-8080"
	if strings.Contains(text, ",") {
		return "write a rule for each", fmt.Errorf("is %q, and lists of ports are not supported yet", text)
	}
	if slash := strings.Replace(text, "/", "-", 1); slash != text || strings.Contains(text, ":") {
		return "write " + strings.Replace(slash, ":", "-", 1), fmt.Errorf("is %q, not a port or a range of ports", text)
	}
	first, last, isRange := strings.Cut(text, "-")
	if !isRange {
		last = first
	}
	a, errA := strconv.ParseUint(strings.TrimSpace(first), 10, 16)
	b, errB := strconv.ParseUint(strings.TrimSpace(last), 10, 16)
	if errA != nil || errB != nil || a == 0 {
		return form, fmt.Errorf("is %q, not a port or a range of ports from 1 to 65535", text)
	}
	if a > b {
		return fmt.Sprintf("write %d-%d", b, a), fmt.Errorf("is %q, a range that ends before it starts", text)
	}
	*v = ports{uint16(a), uint16(b)}
	return "", nil
}

// words is one word or a list of them.
type words struct{ value[[]string] }

func (w *words) read(r *reader, node *yaml.Node, t tag) {
	if node.Kind == yaml.SequenceNode {
		var list sequence[value[string]]
		list.read(r, node, t)
		for _, item := range list.Items {
			w.V = append(w.V, item.V)
		}
		w.Node, w.Bad = node, len(w.V) == 0
		return
	}
	var one value[string]
	one.read(r, node, t)
	if one.given() {
		w.V, w.Node = strings.Fields(one.V), node
	}
	w.Bad = len(w.V) == 0
}

// placements are subnets to be in: a list of names, or a mapping of names to
// the address to take there.
type placements struct {
	Items []placement
	Node  *yaml.Node
}

type placement struct {
	Subnet value[string]
	IP     value[netip.Addr]
	IPv6   value[ipv6Addr]
}

type rawPlacement struct {
	IPv6 value[ipv6Addr]   `yaml:"ipv6" doc:"IPv6 address of a dualstack ENI; chosen where it is missing"`
	IP   value[netip.Addr] `yaml:"ip" doc:"address of the ENI; chosen where it is missing"`
}

func (p *placements) read(r *reader, node *yaml.Node, t tag) {
	p.Node = node
	switch {
	case isNull(node):
	case node.Kind == yaml.MappingNode:
		var m named[rawPlacement]
		m.read(r, node, t)
		for _, e := range m.Entries {
			p.Items = append(p.Items, placement{value[string]{V: e.Name, Node: e.Key}, e.Value.IP, e.Value.IPv6})
		}
	case node.Kind == yaml.SequenceNode:
		var l sequence[value[string]]
		l.read(r, node, t)
		for _, name := range l.Items {
			if name.given() {
				p.Items = append(p.Items, placement{Subnet: name})
			}
		}
	default:
		r.problem(node, "write [NAME], or {NAME: {ip: ADDRESS}}",
			"%s is %s, not a list of subnets", t.path, describe(node))
		p.Items = append(p.Items, placement{Subnet: value[string]{V: node.Value, Node: node}}) // for what follows
	}
}
