package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"path"
	"slices"
	"sync"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/topology"
)

// The files of a lab's store that a process reads when it takes the lab over.
const (
	stateFile  = "state.json" // the control plane's
	editsFile  = "edits.json" // how the topology file was edited
	addedFile  = "added.json" // what was created beside it, of a version that knew nothing else
	faultsFile = "faults.json"
	healthFile = "health.json" // of the servers
)

// stateFiles writes down what operations changed. A file that could not be
// written is tried again with the next change.
type stateFiles struct {
	store Store
	log   *slog.Logger

	mu       sync.Mutex
	revision uint64            // of the state that was handed over last
	unsaved  map[string][]byte // files that could not be written, with their text
	failed   error             // why
	lost     []string          // what could not be restored
}

// NotSavedError says that a change was made and could not be written down.
type NotSavedError struct{ Err error }

func (e *NotSavedError) Error() string {
	return fmt.Sprintf("the change was made, but it could not be saved: %v", e.Err)
}

func (e *NotSavedError) Unwrap() error { return e.Err }

// Hint says what follows, and what to do about it.
func (e *NotSavedError) Hint() string {
	return "a daemon that takes the lab over will not know of it; the next operation tries to save it again"
}

func newStateFiles(store Store, log *slog.Logger) *stateFiles {
	return &stateFiles{store: store, log: log, unsaved: map[string][]byte{}}
}

// restore gives a new control plane the state of the daemon that ran the lab
// before. The lab comes up without a state that cannot be read: connections
// can be accepted again.
func (s *stateFiles) restore(plane *control.Plane) {
	s.read(stateFile, "the state of the control plane", plane.Restore)
}

// edits are those of the daemon that ran the lab before. What cannot be read
// can be made again.
func (s *stateFiles) edits() (made []topology.Change) {
	const what = "what was edited and created beside the topology file"
	s.read(editsFile, what, func(text []byte) error { return json.Unmarshal(text, &made) })
	s.read(addedFile, what, func(text []byte) error {
		var added []struct{ Key, Name, Value string }
		err := json.Unmarshal(text, &added)
		for _, a := range added {
			edit := topology.Edit{Path: topology.JoinPath(a.Key, a.Name), Value: a.Value}
			made = append(made, topology.Change{Edit: edit})
		}
		return err
	})
	return made
}

func (s *stateFiles) read(name, what string, take func([]byte) error) {
	text, err := s.store.Load(name)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		err = take(text)
	}
	if err != nil {
		s.log.Error(name+" could not be restored", "file", path.Join(s.store.String(), name), "error", err)
		s.lost = append(s.lost,
			fmt.Sprintf("%s could not be restored from %s: %v", what, path.Join(s.store.String(), name), err))
	}
}

// loseSessions notes that sessions were not taken over.
func (s *stateFiles) loseSessions(why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log.Error("sessions of the earlier daemon were lost", "why", why)
	s.lost = append(s.lost, why)
}

// saveEdits writes down how the file was edited. When that fails, save says so.
func (s *stateFiles) saveEdits(made []topology.Change) {
	text, err := json.MarshalIndent(made, "", "  ")
	if err != nil {
		panic("edits are plain data: " + err.Error())
	}
	if s.put(editsFile, text) == nil {
		_ = s.put(addedFile, nil) // its content is in the other one
	}
}

// put writes a file. The error is a *NotSavedError, and it also speaks of the
// other files.
func (s *stateFiles) put(name string, text []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unsaved[name] = text
	return s.writeLocked()
}

// save writes down the state of the control plane where that has changed. Its
// error is that of put.
func (s *stateFiles) save(plane *control.Plane) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if revision := plane.Revision(); revision != s.revision {
		text, err := plane.Save()
		if err != nil {
			return &NotSavedError{err}
		}
		s.revision, s.unsaved[stateFile] = revision, text
	}
	return s.writeLocked()
}

func (s *stateFiles) writeLocked() error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(s.unsaved)) {
		if err := s.store.Save(name, s.unsaved[name]); err != nil {
			s.log.Error(name+" could not be saved", "error", err)
			errs = append(errs, err)
			continue
		}
		delete(s.unsaved, name)
	}
	if s.failed = errors.Join(errs...); s.failed != nil {
		return &NotSavedError{s.failed}
	}
	return nil
}

// problems are sentences about what was not restored or is not saved.
func (s *stateFiles) problems() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := append([]string{}, s.lost...)
	if s.failed != nil {
		out = append(out, fmt.Sprintf("the newest changes could not be saved: %v", s.failed))
	}
	return out
}
