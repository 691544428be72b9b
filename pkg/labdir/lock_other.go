//go:build !linux

package labdir

import (
	"errors"
	"os"
)

// Only Linux has locks that belong to an open file, and only there are labs
// that need one.
func lock(*os.File) error { return errors.New("a lab that outlives its process needs Linux") }

func locked(*os.File) bool { return false }
