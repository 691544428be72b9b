package kernel

import (
	"context"
	"errors"

	"github.com/plinksim/plinksim/pkg/host"
	"github.com/plinksim/plinksim/pkg/labdir"
)

// Clear takes down a lab that nobody runs. Where the lock is not the lab's any
// more, because a child that had it has removed everything, it does nothing.
func Clear(ctx context.Context, dir labdir.Dir, lock *labdir.Lock) error {
	if !lock.Holds(dir) {
		return nil
	}
	// What an ordinary user's lab has in the kernel, its keeper removes.
	if err := errors.Join(EndKeeper(dir), endStrays(dir)); err != nil {
		return err
	}
	if err := host.Remove(ctx, string(dir)); err != nil {
		return err
	}
	return dir.Erase()
}

// Remove takes down a lab that nobody runs. Where nothing of it is left it
// does nothing.
func Remove(ctx context.Context, name string) error {
	if err := labdir.CheckName(name); err != nil {
		return err
	}
	dir := labdir.Of(name)
	if !dir.Exists() {
		return nil
	}
	lock, err := dir.Lock()
	if err != nil {
		return err
	}
	defer lock.Release()
	return Clear(ctx, dir, lock)
}
