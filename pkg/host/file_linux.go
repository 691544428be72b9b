package host

import (
	"errors"
	"os"
	"path/filepath"
)

func (f File) do(k *kernel) (bool, error) {
	path := filepath.Join(etcDir(k.dir, f.Namespace), f.Name)
	if k.there != nothing {
		if old, err := os.ReadFile(path); err == nil && string(old) == f.Content {
			return false, nil
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return false, err
	}
	return true, os.WriteFile(path, []byte(f.Content), 0o644)
}

func (f File) undo(k *kernel) error {
	dir := etcDir(k.dir, f.Namespace)
	if err := os.Remove(filepath.Join(dir, f.Name)); err != nil {
		return ignoreGone(err)
	}
	// The last file takes the directory with it.
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		return err
	}
	return errors.Join(os.Remove(dir))
}
