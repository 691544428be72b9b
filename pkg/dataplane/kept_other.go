//go:build !linux

package dataplane

import (
	"errors"
	"os"
	"time"
)

var errNotKept = errors.New("sessions are kept for another process on Linux alone")

func monotonic() time.Duration { return 0 }

func mapRegion(*os.File, int) ([]byte, error) { return nil, errNotKept }

func readRegion(string) ([]byte, error) { return nil, errNotKept }

func unmapRegion([]byte) error { return nil }

func releaseRegion(pages []byte) { clear(pages) }
