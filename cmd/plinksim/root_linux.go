package main

import (
	"fmt"
	"os"

	"github.com/plinksim/plinksim/pkg/bench"
	"github.com/plinksim/plinksim/pkg/host"
	"github.com/plinksim/plinksim/pkg/machine/kernel"
)

// needRoot says what a command is not allowed to do before it begins.
func needRoot(command string, capabilities ...host.Capability) error {
	if os.Geteuid() != 0 {
		return withHint(fmt.Errorf("%q works on network namespaces, which only root may", "plinksim "+command),
			"run it with sudo")
	}
	if err := host.CheckCapabilities(capabilities...); err != nil {
		return fmt.Errorf("%q works on network namespaces: %w", "plinksim "+command, err)
	}
	return nil
}

// becomeAnother is for runs of this program that are not the user's: they enter
// a namespace, or make the loads of "bench".
func becomeAnother() {
	if len(os.Args) > 1 && os.Args[1] == kernel.EnterCommand {
		os.Exit(enter(os.Args[2:], os.Stderr))
	}
	if len(os.Args) == 2 && os.Args[1] == bench.GeneratorCommand {
		os.Exit(bench.Generate(os.Stdin, os.Stdout))
	}
}
