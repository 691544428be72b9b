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

	"github.com/plinksim/plinksim/internal/memo"
	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/topology"
)

// The files of a lab's store that a process reads when it takes the lab over.
const (
	stateFile  = "state.json" // how the file was edited, and the control plane's state
	faultsFile = "faults.json"
	healthFile = "health.json" // of the servers
	paceFile   = "pace.json"   // how fast time passes

	editsFile = "edits.json" // the edits alone, of a version that kept them apart
	addedFile = "added.json" // what was created beside the file, of one that knew nothing else
)

// savedVersion is that of stateFile. Up to version 1 it was the control plane's
// state alone.
const savedVersion = 2

// savedState is what stateFile has: edits and operations lead to one state, so
// they are written at once.
type savedState struct {
	Version int               `json:"version"`
	Edits   []topology.Change `json:"edits"`
	Control json.RawMessage   `json:"control"`
	// Those that a Record has beside.
	Aside bool        `json:"aside,omitempty"` // checks run, and the edits come back when they end
	Told  *toldEvents `json:"told,omitempty"`
}

// stateFiles writes down what edits and operations changed. A file that could
// not be written is tried again with the next change.
type stateFiles struct {
	store Store
	log   *slog.Logger

	mu       sync.Mutex
	plane    *control.Plane
	made     []topology.Change // the edits
	texts    memo.Texts[topology.Change]
	revision uint64            // of the state that was handed over last
	unsaved  map[string][]byte // files that could not be written, with their text; nil removes one
	older    []string          // files of older versions that were read
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

// restore gives a new control plane, which is saved from now on, the state of the
// daemon that ran the lab before. The lab comes up without a state that cannot be
// read: connections can be accepted again.
func (s *stateFiles) restore(plane *control.Plane) {
	s.plane = plane
	s.read(stateFile, "the state of the control plane", func(text []byte) error {
		var in savedState
		if err := json.Unmarshal(text, &in); err != nil {
			return err
		}
		if in.Control != nil {
			text = in.Control
		}
		return plane.Restore(text)
	})
}

// restoreAgreed is restore, or, where hosts agree on the lab, of what a record says.
func (s *stateFiles) restoreAgreed(plane *control.Plane, record Record) error {
	if record.State == nil {
		s.restore(plane)
		return nil
	}
	s.plane = plane
	var in savedState
	err := json.Unmarshal(record.State, &in)
	if err == nil {
		err = plane.Restore(in.Control)
	}
	if err != nil {
		return fmt.Errorf("read revision %d of the lab: %w", record.Revision, err)
	}
	return nil
}

// edits are those of the daemon that ran the lab before. What cannot be read
// can be made again.
func (s *stateFiles) edits() []topology.Change {
	const what = "what was edited and created beside the topology file"
	var in savedState
	s.read(stateFile, what, func(text []byte) error {
		if err := json.Unmarshal(text, &in); err != nil {
			return err
		}
		if in.Version > savedVersion {
			return fmt.Errorf("its version is %d, and this plinksim knows %d", in.Version, savedVersion)
		}
		return nil
	})
	made := in.Edits
	if in.Control == nil {
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
		s.older = []string{editsFile, addedFile}
	}
	s.made = made
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

// saveEdits writes down how the file is edited now, with the state of the control
// plane. When that fails, save says so.
func (s *stateFiles) saveEdits(made []topology.Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made = made
	if s.handOverLocked() == nil {
		_ = s.writeLocked()
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

// save writes down the state of the control plane where that has changed. The
// caller sees to it that the edits are those that it goes with. Its error is that
// of put.
func (s *stateFiles) save() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.plane.Revision() != s.revision {
		if err := s.handOverLocked(); err != nil {
			return err
		}
	}
	return s.writeLocked()
}

// written says whether everything that was to be written is. What is not is tried
// again.
func (s *stateFiles) written() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writeLocked()
}

// handOverLocked makes the text that is to be written.
func (s *stateFiles) handOverLocked() error {
	revision := s.plane.Revision() // before the text: that may be newer
	state, err := s.plane.Save()
	if err != nil {
		return &NotSavedError{err}
	}
	edits, err := s.texts.Of(s.made)
	if err != nil {
		return &NotSavedError{err}
	}
	s.revision, s.unsaved[stateFile] = revision, stateText(edits, state)
	return nil
}

// stateText is the text of a savedState.
func stateText(edits [][]byte, control []byte) []byte {
	size := len(control) + 100
	for _, e := range edits {
		size += len(e) + 2
	}
	text := fmt.Appendf(make([]byte, 0, size), "{\n\"version\": %d,\n\"edits\": ", savedVersion)
	text = append(memo.AppendList(text, edits), ",\n\"control\": "...)
	return append(append(text, control...), "\n}\n"...)
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
		if name != stateFile {
			continue
		}
		for _, older := range s.older { // what they have is in stateFile now
			errs = append(errs, s.store.Save(older, nil))
		}
		s.older = nil
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
