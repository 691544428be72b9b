package labdir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// ErrLocked says that somebody holds the lab: its daemon, or a process that is
// building or removing it.
var ErrLocked = errors.New("the lab is held by a running process")

// Lock is held by a lab's daemon for its whole life. It belongs to the open
// file and not to a process (Linux, fcntl(2): open file description locks), so
// that it can be handed to a child with its file; the kernel releases it when
// the last process that has the file ends, however it ends.
type Lock struct {
	file      *os.File
	untilExit bool
}

// Lock takes the lock, or returns ErrLocked at once.
func (d Dir) Lock() (*Lock, error) {
	if err := makeRoot(filepath.Dir(string(d))); err != nil {
		return nil, fmt.Errorf("make the directory of labs: %w", err)
	}
	if err := os.Mkdir(string(d), 0o700); errors.Is(err, fs.ErrNotExist) {
		return nil, ErrLocked // another one has just removed its lab, the last
	} else if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("make the lab's directory: %w", err)
	}
	// Not a link to a directory, which would be emptied when the lab goes.
	if info, err := os.Lstat(string(d)); err == nil && !info.IsDir() {
		return nil, fmt.Errorf("%s is in the place of the lab's directory, and is none: remove it", d)
	}
	file, err := os.OpenFile(d.Path("lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if errors.Is(err, os.ErrNotExist) {
		return nil, ErrLocked // whoever held it has just removed the directory
	}
	if err != nil {
		return nil, err
	}
	if err := lock(file); err != nil {
		file.Close()
		if !errors.Is(err, ErrLocked) {
			err = fmt.Errorf("lock %s: %w", d.Path("lock"), err)
		}
		return nil, err
	}
	held := &Lock{file: file}
	// The directory may have been removed between the two steps, by a "down"
	// that held the lock until then.
	if !held.Holds(d) {
		file.Close()
		return nil, ErrLocked
	}
	return held, nil
}

// OpenLock opens the lock of a lab that is there, without taking it: Await does.
func (d Dir) OpenLock() (*Lock, error) {
	file, err := os.OpenFile(d.Path("lock"), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return &Lock{file: file}, nil
}

// Await takes a lock that was opened, as soon as nobody else holds it.
func (l *Lock) Await(ctx context.Context) error {
	for {
		err := lock(l.file)
		if !errors.Is(err, ErrLocked) {
			return err
		}
		select {
		case <-ctx.Done():
			return ErrLocked
		case <-time.After(time.Millisecond):
		}
	}
}

// Holds says whether the lock is still that of the lab in d. It is not where
// another holder has removed the lab since.
func (l *Lock) Holds(d Dir) bool {
	held, err := l.file.Stat()
	if err != nil {
		return false
	}
	now, err := os.Stat(d.Path("lock"))
	return err == nil && os.SameFile(held, now)
}

// InheritLock is the lock whose File another process has handed to this one.
func InheritLock(file *os.File) *Lock { return &Lock{file: file} }

// File is what to hand to a child that shall hold the lock, too.
func (l *Lock) File() *os.File { return l.file }

// Release lets go of the lock. A child that it was handed to still holds it.
func (l *Lock) Release() {
	if !l.untilExit {
		l.file.Close()
	}
}

// HoldUntilExit lets Release do nothing: the lock goes with the process. It is for
// one that leaves the lab to another process with sockets of the lab still open:
// that one can wait for them with AwaitExit, once it has the lock.
func (l *Lock) HoldUntilExit() {
	l.untilExit = true
	heldUntilExit = append(heldUntilExit, l.file)
}

// heldUntilExit keeps files from being closed because nothing refers to them.
var heldUntilExit []*os.File

// Running says whether somebody holds the lab. Asking does not get into the
// way of a process that takes the lock.
func (d Dir) Running() bool {
	file, err := os.Open(d.Path("lock"))
	if err != nil {
		return false
	}
	defer file.Close()
	return locked(file)
}
