package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/host"
	"github.com/plinksim/plinksim/pkg/labdir"
	"github.com/plinksim/plinksim/pkg/machine/kernel"
)

func newDown() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:     "down [LAB]",
		Aliases: []string{"destroy", "rm"},
		Short:   "Remove a lab and everything that was made for it",
		Long: `Remove a lab: its daemon, the programs in its instances, its namespaces and
its directory. The topology file is not needed, and it does not matter how the
daemon ended. Without a name it removes the only lab. It is not an error if the
lab does not exist.`,
		Example:           "  sudo plinksim down\n  sudo plinksim down alibaba-clb\n  sudo plinksim down --all",
		Args:              takes(cobra.MaximumNArgs(1), "at most one lab"),
		ValidArgsFunction: completeLabs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := needRoot("down", host.SysAdmin); err != nil {
				return err
			}
			names, err := labdir.Names()
			if err != nil {
				return err
			}
			switch {
			case len(args) == 1 && all:
				return &usageError{errors.New("name a lab or write --all, not both")}
			case len(args) == 1:
				names = args
			case len(names) > 1 && !all:
				return withHint(fmt.Errorf("several labs are up: %s", strings.Join(names, ", ")),
					"\"plinksim down LAB\" removes one, \"plinksim down --all\" all of them")
			}
			var errs []error
			for _, name := range names {
				errs = append(errs, down(cmd.Context(), cmd.OutOrStdout(), name))
			}
			if len(names) == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "no lab is up: nothing to do")
			}
			return errors.Join(errs...)
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "remove every lab of this machine")
	return cmd
}

const downTimeout = 30 * time.Second

func down(ctx context.Context, w io.Writer, name string) error {
	if err := labdir.CheckName(name); err != nil {
		return err
	}
	dir, start := labdir.Of(name), time.Now()
	if !dir.Exists() {
		fmt.Fprintf(w, "lab %s is not up: nothing to do\n", name)
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, downTimeout)
	defer cancel()
	if dir.Running() {
		if err := askDaemon(ctx, dir); err != nil {
			return err
		}
	}
	// Who took the lock meanwhile has found the lab gone and builds it anew.
	if err := kernel.Remove(ctx, name); err != nil && !errors.Is(err, labdir.ErrLocked) {
		return fmt.Errorf("lab %q: %w", name, err)
	}
	fmt.Fprintf(w, "lab %s is gone (%s)\n", name, took(time.Since(start)))
	return nil
}

// askDaemon asks a lab's daemon to end and waits until it has. One that does
// not answer is told by a signal.
func askDaemon(ctx context.Context, dir labdir.Dir) error {
	asked := dir.PID()
	if err := api.NewClient(dir).Down(ctx); err != nil {
		if err := signalDaemon(dir); err != nil {
			return fmt.Errorf("lab %q: its daemon does not answer and could not be ended: %w", dir.Name(), err)
		}
	}
	// Another daemon may hold the lab as soon as this one has let go of it.
	for dir.Running() && (dir.PID() == asked || dir.PID() == 0) {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return withHint(fmt.Errorf("lab %q: its daemon (process %d) has not ended after %s", dir.Name(), dir.PID(), downTimeout),
				"see %s, end the process and run \"plinksim down %s\" again", dir.Path("log", "daemon.log"), dir.Name())
		}
	}
	return nil
}

func signalDaemon(dir labdir.Dir) error {
	pid := dir.PID()
	if pid == 0 {
		return errors.New("it has not written down its process id")
	}
	p, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	return p.Signal(syscall.SIGTERM)
}
