//go:build !linux

package labdir

import (
	"errors"
	"os"
	"syscall"
)

// Only Linux has locks that belong to an open file, and only there are labs
// that need one.
func lock(*os.File) error { return errors.New("a lab that outlives its process needs Linux") }

func locked(*os.File) bool { return false }

// Signal needs Linux, as labs do.
func (d Dir) Signal(syscall.Signal) error { return errors.ErrUnsupported }

func ownerOf(string) string { return "another user" }

func ownedBy(path string, _ int) bool {
	info, err := os.Lstat(path)
	return err == nil && info.IsDir()
}
