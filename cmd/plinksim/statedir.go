package main

import (
	"errors"
	"os"

	"github.com/plinksim/plinksim/pkg/labdir"
)

// labVariable is the environment variable that says which lab commands mean that name
// none; programs of "exec" have it.
const labVariable = "PLINKSIM_LAB"

// stateDir is a flag in the place of an environment variable, which the processes that
// the command starts have, too. It holds from when it is read, for completion as well.
type stateDir struct{}

func (stateDir) String() string { return "" }
func (stateDir) Type() string   { return "directory" }

func (stateDir) Set(dir string) error {
	if dir == "" {
		return errors.New("want a directory")
	}
	return os.Setenv(labdir.RootVariable, dir)
}
