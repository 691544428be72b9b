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

// Record is what is recorded of a lab. Its methods may be called from any goroutine.
type Record struct {
	store lab.Store

	mu      sync.RWMutex
	state   recordState
	version uint64 // of the things
}

type recordState struct {
	Counter int              `json:"counter"` // of identifiers
	Things  map[string]Thing `json:"things"`  // by identifier or ARN
	Tokens  map[string]token `json:"tokens"`
}

func readRecord(store lab.Store) (*Record, error) {
	r := &Record{store: store, state: recordState{Things: map[string]Thing{}, Tokens: map[string]token{}}}
	text, err := store.Load(RecordFile)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &r.state)
	}
	if err != nil {
		return nil, fmt.Errorf("what clients said of objects cannot be read from %s: %w", RecordFile, err)
	}
	return r, nil
}

// IDs are the identifiers and ARNs with a prefix of which something is recorded, sorted.
func (r *Record) IDs(prefix string) (ids []string) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for id := range r.state.Things {
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
	t := r.state.Things[id]
	return Thing{Tags: maps.Clone(t.Tags), Created: t.Created, Notes: maps.Clone(t.Notes)}
}

// Note is one recorded value of an object.
func (r *Record) Note(id, key string) string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.state.Things[id].Notes[key]
}

// Change changes what is recorded of an object, and writes it down.
func (r *Record) Change(id string, change func(*Thing)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.state.Things[id]
	t.Tags, t.Notes = maps.Clone(t.Tags), maps.Clone(t.Notes)
	if t.Tags == nil {
		t.Tags = map[string]string{}
	}
	if t.Notes == nil {
		t.Notes = map[string]string{}
	}
	change(&t)
	r.state.Things[id] = t
	r.version++
	return r.saveLocked()
}

// Forget drops what is recorded of objects, and writes it down.
func (r *Record) Forget(ids ...string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range ids {
		delete(r.state.Things, id)
	}
	r.version++
	return r.saveLocked()
}

// Count is a number that was never given before.
func (r *Record) Count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state.Counter++
	return r.state.Counter
}

// token is what was answered to a client token before.
func (r *Record) token(key string, now time.Time) (token, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	t, ok := r.state.Tokens[key]
	return t, ok && now.Before(t.Expires)
}

func (r *Record) keepToken(key string, t token, now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.state.Tokens) >= mostTokens {
		maps.DeleteFunc(r.state.Tokens, func(_ string, t token) bool { return now.After(t.Expires) })
	}
	for old := range r.state.Tokens { // any one, where all are of today
		if len(r.state.Tokens) < mostTokens {
			break
		}
		delete(r.state.Tokens, old)
	}
	r.state.Tokens[key] = t
	return r.saveLocked()
}

func (r *Record) saveLocked() error {
	text, err := json.Marshal(r.state)
	if err != nil {
		panic("the record is plain data: " + err.Error())
	}
	return r.store.Save(RecordFile, text)
}
