package host

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Denied is what the kernel does not let this process do, although it may be
// root: a container has less than its host.
type Denied struct {
	Err    error
	Remedy string
}

func (d *Denied) Error() string { return d.Err.Error() }
func (d *Denied) Unwrap() error { return d.Err }

// Hint says what helps.
func (d *Denied) Hint() string { return d.Remedy }

// explain adds to an error of the kernel what a container has to do with it.
func explain(err error) error {
	switch {
	case errors.As(err, new(*Denied)):
	case errors.Is(err, unix.EPERM) && os.Geteuid() == 0:
		return &Denied{err,
			"root may do this on a host, but a container's capabilities, seccomp filter or AppArmor profile may forbid it: " +
				"try docker run --privileged"}
	case errors.Is(err, unix.EPERM):
		return &Denied{err, "run it with sudo"}
	}
	return err
}
