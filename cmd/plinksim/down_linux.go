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
	"golang.org/x/sys/unix"

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
daemon ended. Without a name it removes that of PLINKSIM_LAB, or the only lab. It is not an error if the
lab does not exist.`,
		Example:           "  sudo plinksim down\n  sudo plinksim down alibaba-clb\n  sudo plinksim down --all",
		Args:              takes(cobra.MaximumNArgs(1), "at most one lab"),
		ValidArgsFunction: completeLabs,
		RunE: func(cmd *cobra.Command, args []string) error {
			// The keeper of an ordinary user's lab removes it, and may do that.
			if os.Geteuid() == 0 {
				if err := needRights("down", host.SysAdmin); err != nil {
					return err
				}
			}
			outliveReaders()
			names, err := labdir.Names()
			if err != nil {
				return err
			}
			switch {
			case len(args) == 1 && all:
				return &usageError{errors.New("name a lab or write --all, not both")}
			case len(args) == 1:
				names = args
			case os.Getenv(labVariable) != "" && !all:
				names = []string{os.Getenv(labVariable)}
			case len(names) > 1 && !all:
				return withHint(fmt.Errorf("several labs are up: %s", strings.Join(names, ", ")),
					"\"plinksim down LAB\" removes one, \"plinksim down --all\" all of them")
			}
			var errs []error
			for _, name := range names {
				errs = append(errs, down(cmd.Context(), cmd.OutOrStdout(), newProgress(cmd.ErrOrStderr()), name))
			}
			if len(names) == 0 {
				labdir.Tidy()
				fmt.Fprintln(cmd.OutOrStdout(), "no lab is up: nothing to do")
			}
			return errors.Join(errs...)
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "remove every lab of this machine")
	return cmd
}

func down(ctx context.Context, w io.Writer, p *progress, name string) error {
	if err := labdir.CheckName(name); err != nil {
		return err
	}
	dir, start := labdir.Of(name), time.Now()
	if !dir.Exists() {
		labdir.Tidy()
		fmt.Fprintf(w, "lab %s is not up: nothing to do\n", name)
		return nil
	}
	err := endDaemon(ctx, w, p, dir)
	p.end()
	if err != nil {
		return fmt.Errorf("lab %q: %w", name, err)
	}
	// A daemon that has ended in an orderly way has done this, and removed the file that says how.
	if err := leaveEtcd(ctx, dir); err != nil {
		fmt.Fprintf(w, "lab %s: what its hosts agreed on stays in etcd: %v\n", name, err)
	}
	waitFor("the namespaces of lab %q to be removed", name)
	ctx, cancel := context.WithTimeout(ctx, downTimeout)
	defer cancel()
	// Another process that has taken the lock meanwhile builds the lab again.
	if err := kernel.Remove(ctx, name); err != nil && !errors.Is(err, labdir.ErrLocked) {
		return fmt.Errorf("lab %q: %w", name, err)
	}
	fmt.Fprintf(w, "lab %s is gone (%s)\n", name, took(time.Since(start)))
	return nil
}

const (
	downTimeout = 30 * time.Second // for a daemon that has said that it will end
	hangTimeout = 5 * time.Second  // for one to answer, and to end when it was signalled
)

// endDaemon returns when no daemon holds the lab. It asks the daemon to end,
// and ends one that does not answer with signals.
func endDaemon(ctx context.Context, w io.Writer, p *progress, dir labdir.Dir) error {
	what := fmt.Sprintf("wait for the daemon of lab %q to end", dir.Name())
	waitFor("%s", what)
	// A process that was stopped can neither answer nor end.
	if err := dir.Signal(syscall.SIGCONT); err != nil {
		return err
	}
	asked, answers, err := askDaemon(ctx, dir)
	if err != nil {
		return err
	}
	wait := downTimeout
	if !answers {
		wait = 0
	}
	since := time.Now()
	during := func() { p.waited(what, since) }
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if ended, err := awaitEnd(ctx, dir, asked, wait, during); ended || err != nil {
			return err
		}
		fmt.Fprintf(w, "lab %s: its daemon does not answer: %s\n", dir.Name(), unix.SignalName(signal))
		if err := dir.Signal(signal); err != nil {
			return err
		}
		wait = hangTimeout
	}
	ended, err := awaitEnd(ctx, dir, asked, wait, during)
	if err == nil && !ended {
		err = withHint(fmt.Errorf("its daemon (process %d) has not ended", dir.PID()),
			"see %s", dir.Path("log", "daemon.log"))
	}
	return err
}

// askDaemon asks a lab's daemon to end, and returns its process id. While the
// lab is built nobody listens yet, so it waits for that as "up" does.
func askDaemon(ctx context.Context, dir labdir.Dir) (asked int, answers bool, err error) {
	daemon := api.NewClient(dir)
	for deadline := time.Now().Add(turnTimeout); dir.Running() && !daemon.Answers(ctx); {
		switch {
		case ctx.Err() != nil:
			return 0, false, errors.New("interrupted: nothing was changed")
		case time.Now().After(deadline):
			return 0, false, nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	asked = dir.PID()
	limited, cancel := context.WithTimeout(ctx, hangTimeout)
	defer cancel()
	err = daemon.Down(limited)
	// One that cannot be asked any more is ending.
	return asked, err == nil || limited.Err() == nil || ctx.Err() != nil, nil
}

// awaitEnd waits until nobody holds the lab, or another daemon does: it may as
// soon as the one that was asked has let go.
func awaitEnd(ctx context.Context, dir labdir.Dir, asked int, most time.Duration, during func()) (ended bool, err error) {
	for deadline := time.Now().Add(most); ; time.Sleep(10 * time.Millisecond) {
		during()
		pid := dir.PID()
		switch {
		case !dir.Running() || asked != 0 && pid != 0 && pid != asked:
			return true, nil
		case ctx.Err() != nil:
			return false, errors.New("interrupted: its daemon may still end")
		case time.Now().After(deadline):
			return false, nil
		}
	}
}
