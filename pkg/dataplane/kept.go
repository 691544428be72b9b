package dataplane

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/plinksim/plinksim/pkg/fullnat"
)

// Kept is a directory of files that session tables have as their memory, so that
// another process goes on with the sessions when this one has ended in whatever
// manner. It should be on a file system in memory: tables write there with every
// packet, and a disk would have to follow.
//
// The files of the process that was are in "now", and those that this one makes in
// "next", until all that can be taken over has been: then "next" becomes "now". A
// process that is killed before leaves everything to the one that comes after it.
type Kept struct {
	dir    string
	left   []*fullnat.Left // by shard
	mapped [][]byte        // of left
	next   *os.Root
	epoch  time.Duration
	start  time.Time
}

const (
	keptNow  = "now"
	keptNext = "next"
	keptOld  = "old" // was now, and nobody needs it any more
)

// OpenKept opens the directory, and makes it where it is missing. One process has
// it at a time.
func OpenKept(dir string) (*Kept, error) {
	k := &Kept{dir: dir, start: time.Now(), epoch: monotonic()}
	if err := k.tidy(); err != nil {
		return nil, fmt.Errorf("open the sessions in %s: %w", dir, err)
	}
	if err := k.readLeft(); err != nil {
		return nil, errors.Join(fmt.Errorf("read the sessions in %s: %w", dir, err), k.release())
	}
	if err := os.Mkdir(k.path(keptNext), 0o700); err != nil {
		return nil, errors.Join(err, k.release())
	}
	next, err := os.OpenRoot(k.path(keptNext))
	if err != nil {
		return nil, errors.Join(err, k.release())
	}
	k.next = next
	return k, nil
}

func (k *Kept) path(elem ...string) string { return filepath.Join(append([]string{k.dir}, elem...)...) }

// tidy brings the directory to where a process that was killed was going.
func (k *Kept) tidy() error {
	if err := os.MkdirAll(k.dir, 0o700); err != nil {
		return err
	}
	if _, err := os.Stat(k.path(keptNow)); errors.Is(err, fs.ErrNotExist) {
		// Without "now" there was nothing to take over, or it has been.
		if err := os.Rename(k.path(keptNext), k.path(keptNow)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	} else if err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(k.path(keptNext)), os.RemoveAll(k.path(keptOld)))
}

func (k *Kept) readLeft() error {
	for shard := 0; ; shard++ {
		dir := k.path(keptNow, strconv.Itoa(shard))
		files, err := os.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		left := &fullnat.Left{Regions: map[string][]byte{}}
		for _, f := range files {
			region, err := readRegion(filepath.Join(dir, f.Name()))
			if err != nil {
				return err
			}
			if region != nil {
				left.Regions[f.Name()] = region
				k.mapped = append(k.mapped, region)
			}
		}
		if len(left.Regions) == 0 {
			left = nil // the tables were closed
		}
		k.left = append(k.left, left)
	}
}

// Shards is of how many tables the sessions are that the process before has left, 0
// where there are none.
func (k *Kept) Shards() int {
	for _, left := range k.left {
		if left != nil && CheckWorkers(left.Shards()) == nil {
			return left.Shards()
		}
	}
	return 0
}

// clock is the time of all tables.
func (k *Kept) clock() time.Duration { return time.Since(k.start) }

// equip gives a table its memory, and what an earlier one has left for it.
func (k *Kept) equip(o *fullnat.Options) error {
	name := strconv.Itoa(o.Shard)
	if err := k.next.Mkdir(name, 0o700); err != nil {
		return err
	}
	dir, err := k.next.OpenRoot(name)
	if err != nil {
		return err
	}
	o.Memory, o.Epoch = &keptFiles{dir: dir}, k.epoch
	if o.Shard < len(k.left) {
		o.Left = k.left[o.Shard]
	}
	return nil
}

// settle forgets what the process before has left: the tables have all of it that
// they could take.
func (k *Kept) settle() error {
	if k.next == nil {
		return nil
	}
	err := k.next.Close()
	k.next = nil
	if err == nil {
		err = os.Rename(k.path(keptNow), k.path(keptOld))
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err == nil {
		err = os.Rename(k.path(keptNext), k.path(keptNow))
	}
	err = errors.Join(err, k.release(), os.RemoveAll(k.path(keptOld)))
	if err != nil {
		return fmt.Errorf("keep the sessions in %s: %w", k.dir, err)
	}
	return nil
}

// release gives what the process before has left back.
func (k *Kept) release() error {
	var errs []error
	for _, region := range k.mapped {
		errs = append(errs, unmapRegion(region))
	}
	k.mapped, k.left = nil, nil
	return errors.Join(errs...)
}

// keptFiles is the fullnat.Memory of one table: a file for each region.
type keptFiles struct {
	dir *os.Root

	mu   sync.Mutex
	open int
}

// Map implements fullnat.Memory.
func (f *keptFiles) Map(name string, size int) ([]byte, error) {
	file, err := f.dir.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if err := file.Truncate(int64(size)); err != nil {
		return nil, err
	}
	region, err := mapRegion(file, size)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open++
	return region, nil
}

// Unmap implements fullnat.Memory. With the last region goes the directory.
func (f *keptFiles) Unmap(name string, region []byte) error {
	err := errors.Join(unmapRegion(region), f.dir.Remove(name))
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.open--; f.open == 0 {
		err = errors.Join(err, f.dir.Close())
	}
	return err
}

// Release implements fullnat.Memory.
func (f *keptFiles) Release(pages []byte) { releaseRegion(pages) }
