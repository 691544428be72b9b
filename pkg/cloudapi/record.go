package cloudapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/plinksim/plinksim/pkg/lab"
)

// RecordFile is the file of a lab's directory that holds what clients said of objects
// and no topology file has.
const RecordFile = "api.json"

// Thing is what is recorded of an object.
type Thing struct {
	Tags    map[string]string `json:"tags,omitempty"`
	Created time.Time         `json:"created,omitzero"`
	// Notes are values that clients read again: the description of a group, the
	// image of an instance.
	Notes map[string]string `json:"notes,omitempty"`
}

// token is what was answered to a call with a client token.
type token struct {
	Hash    string    `json:"hash"` // of the other parameters
	ID      string    `json:"id"`   // of the request
	Answer  string    `json:"answer"`
	Expires time.Time `json:"expires"`
}

// Limits of what is recorded.
const (
	tokenLifetime = 24 * time.Hour
	mostTokens    = 10000
)

// Record is what is recorded of a lab. Its methods may be called from any goroutine. What they
// change is in the file after the next save.
type Record struct {
	store lab.Store

	mu      sync.RWMutex
	counter int            // of identifiers
	things  entries[Thing] // by identifier or ARN
	tokens  entries[token]
	version uint64 // of the things
	unsaved bool
}

// entries keep each value together with its JSON text. A save joins the texts, and only values
// that were set since the last save had to be turned into text.
type entries[T any] map[string]entry[T]

type entry[T any] struct {
	value T
	text  []byte // `"key":value`, as the file has it
}

func (e entries[T]) set(key string, value T) {
	name, err := json.Marshal(key)
	text, wrong := json.Marshal(value)
	if err = errors.Join(err, wrong); err != nil {
		panic("the record is plain data: " + err.Error())
	}
	e[key] = entry[T]{value, slices.Concat(name, []byte(":"), text)}
}

// append appends the object that has all of them, one a line.
func (e entries[T]) append(b []byte) []byte {
	b = append(b, '{')
	before := "\n"
	for _, one := range e {
		b = append(append(b, before...), one.text...)
		before = ",\n"
	}
	return append(b, '}')
}

func (e entries[T]) size() (n int) {
	for _, one := range e {
		n += len(one.text) + 2
	}
	return n
}

func readRecord(store lab.Store) (*Record, error) {
	r := &Record{store: store, things: entries[Thing]{}, tokens: entries[token]{}}
	text, err := store.Load(RecordFile)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	var file struct {
		Counter int
		Things  map[string]Thing
		Tokens  map[string]token
	}
	if err == nil {
		err = json.Unmarshal(text, &file)
	}
	if err != nil {
		return nil, fmt.Errorf("what clients said of objects cannot be read from %s: %w", RecordFile, err)
	}
	r.counter = file.Counter
	for id, t := range file.Things {
		r.things.set(id, t)
	}
	for key, t := range file.Tokens {
		r.tokens.set(key, t)
	}
	return r, nil
}

// IDs are the identifiers and ARNs with a prefix of which something is recorded, sorted.
func (r *Record) IDs(prefix string) (ids []string) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for id := range r.things {
		if strings.HasPrefix(id, prefix) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// Version changes with whatever is recorded of objects.
func (r *Record) Version() uint64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.version
}

// Thing is a copy of what is recorded of an object.
func (r *Record) Thing(id string) Thing {
	r.mu.RLock()
	defer r.mu.RUnlock()
	t := r.things[id].value
	return Thing{Tags: maps.Clone(t.Tags), Created: t.Created, Notes: maps.Clone(t.Notes)}
}

// Note is one recorded value of an object.
func (r *Record) Note(id, key string) string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.things[id].value.Notes[key]
}

// Change changes what is recorded of an object.
func (r *Record) Change(id string, change func(*Thing)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.things[id].value
	t.Tags, t.Notes = maps.Clone(t.Tags), maps.Clone(t.Notes)
	if t.Tags == nil {
		t.Tags = map[string]string{}
	}
	if t.Notes == nil {
		t.Notes = map[string]string{}
	}
	change(&t)
	r.things.set(id, t)
	r.version++
	r.unsaved = true
}

// Forget drops what is recorded of objects.
func (r *Record) Forget(ids ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range ids {
		delete(r.things, id)
	}
	r.version++
	r.unsaved = true
}

// Count is a number that was never given before.
func (r *Record) Count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counter++
	return r.counter
}

// token is what was answered to a client token before.
func (r *Record) token(key string, now time.Time) (token, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	e, ok := r.tokens[key]
	return e.value, ok && now.Before(e.value.Expires)
}

func (r *Record) keepToken(key string, t token, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.tokens) >= mostTokens {
		maps.DeleteFunc(r.tokens, func(_ string, e entry[token]) bool { return now.After(e.value.Expires) })
	}
	for old := range r.tokens { // any one, where all are of today
		if len(r.tokens) < mostTokens {
			break
		}
		delete(r.tokens, old)
	}
	r.tokens.set(key, t)
	r.unsaved = true
}

// save writes down what was changed, unless another call did.
func (r *Record) save() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.unsaved {
		return nil
	}
	b := make([]byte, 0, r.things.size()+r.tokens.size()+100)
	b = fmt.Appendf(b, "{\"counter\": %d,\n\"things\": ", r.counter)
	b = r.things.append(b)
	b = r.tokens.append(append(b, ",\n\"tokens\": "...))
	err := r.store.Save(RecordFile, append(b, "}\n"...))
	r.unsaved = err != nil
	return err
}
