package main

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/plinksim/plinksim/pkg/bench"
	"github.com/plinksim/plinksim/pkg/doctor"
	"github.com/plinksim/plinksim/pkg/host"
	"github.com/plinksim/plinksim/pkg/labdir"
	"github.com/plinksim/plinksim/pkg/machine/kernel"
	"github.com/plinksim/plinksim/pkg/rootless"
)

// needRights says what a command is not allowed to do before it begins. Root
// needs capabilities, an ordinary user a user namespace.
func needRights(command string, capabilities ...host.Capability) error {
	works := fmt.Sprintf("%q works on network namespaces", "plinksim "+command)
	if os.Geteuid() != 0 {
		if err := rootless.Check(); err != nil {
			return toDoctor(withHint(fmt.Errorf("%s: %w", works, err), "%s, or run it with sudo", hintOf(err)))
		}
		return nil
	}
	if err := host.CheckCapabilities(capabilities...); err != nil {
		return toDoctor(fmt.Errorf("%s: %w", works, err))
	}
	return nil
}

// becomeAnother is for runs of this program that are not the user's: they enter
// a namespace, keep some, or make the loads of "bench".
func becomeAnother() {
	if len(os.Args) > 3 && os.Args[1] == inCommand {
		if err := os.Chdir(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, "plinksim: enter the lab's namespaces:", err)
			os.Exit(1)
		}
		os.Args = append(os.Args[:1], os.Args[3:]...)
	}
	if len(os.Args) < 2 {
		return
	}
	if asked, err := kernel.Enter(os.Args); asked {
		os.Exit(execExit(err, os.Stderr))
	}
	switch arg := os.Args[1]; {
	case arg == kernel.KeeperCommand && len(os.Args) == 3:
		os.Exit(kernel.Keep(labdir.Dir(os.Args[2])))
	case arg == rootless.ProbeCommand:
		os.Exit(rootless.Probe())
	case arg == doctor.TryCommand:
		os.Exit(tryForDoctor())
	case arg == bench.GeneratorCommand && len(os.Args) == 2:
		os.Exit(bench.Generate(os.Stdin, os.Stdout))
	}
	rootless.Arrive(true)
}

// inCommand is the first argument with which this program goes to a directory,
// the second, before it does what the others say: who joins namespaces is at /.
const inCommand = "__in"

// here is the command line that runs this program in the directory of this
// process.
func here(args ...string) ([]string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	wd, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	return append([]string{self, inCommand, wd}, args...), nil
}

// becomeRootOf replaces the process of an ordinary user by the same command where
// the lab's namespaces are and the user is root.
func becomeRootOf(dir labdir.Dir) error {
	lock, err := dir.Lock()
	if err != nil {
		return err
	}
	defer lock.Release()
	argv, err := here(os.Args[1:]...)
	if err == nil {
		argv, err = kernel.Inside(dir, argv)
	}
	if err != nil {
		return errors.Join(err, dir.Erase())
	}
	return syscall.Exec(argv[0], argv, append(os.Environ(), labdir.RootVariable+"="+labdir.Root()))
}
