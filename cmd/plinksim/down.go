package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/lab"
)

func newDown() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:     "down [LAB]",
		Aliases: []string{"destroy", "rm"},
		Short:   "Remove a lab and everything that was made for it",
		Long: `Remove a lab: its daemon, the programs in its instances, its namespaces and
its directory. The topology file is not needed, and it does not matter how the
daemon ended. Without a name the only lab is meant. A lab that is not there is
nothing to do, which is no error.`,
		Example:           "  sudo plinksim down\n  sudo plinksim down alibaba-clb\n  sudo plinksim down --all",
		Args:              takes(cobra.MaximumNArgs(1), "at most one lab"),
		ValidArgsFunction: completeLabs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := needRoot("down"); err != nil {
				return err
			}
			names, err := lab.Names()
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
	if err := lab.CheckName(name); err != nil {
		return err
	}
	dir, start := lab.DirOf(name), time.Now()
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
	if err := lab.Remove(ctx, name); err != nil && !errors.Is(err, lab.ErrLocked) {
		return fmt.Errorf("lab %q: %w", name, err)
	}
	fmt.Fprintf(w, "lab %s is gone (%s)\n", name, took(time.Since(start)))
	return nil
}

// askDaemon asks a lab's daemon to end and waits until it has. One that does
// not answer is told by a signal.
func askDaemon(ctx context.Context, dir lab.Dir) error {
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

func newList() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use: "ls", Aliases: []string{"list", "ps"},
		Short: "List the labs of this machine",
		Args:  takes(cobra.NoArgs, "no arguments"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			labs, err := listLabs(cmd.Context())
			if err != nil {
				return err
			}
			if output == "json" {
				return printJSON(cmd.OutOrStdout(), labs)
			}
			if len(labs) == 0 {
				fmt.Fprintln(cmd.ErrOrStderr(), "no lab is up; \"plinksim up FILE\" starts one")
				return nil
			}
			t := newTable(cmd.OutOrStdout(), "LAB", "STATE", "CLOUD", "REGION", "ENDPOINTS", "UP SINCE", "FILE")
			for _, l := range labs {
				since := ""
				if !l.Started.IsZero() {
					since = l.Started.Local().Format("2006-01-02 15:04:05")
				}
				t.row(l.Lab, l.State, l.Cloud, l.Region, l.Endpoints, since, l.File)
			}
			t.flush()
			return nil
		},
	}
	addOutput(cmd, &output)
	return cmd
}

// listedLab is a lab as "ls" shows it.
type listedLab struct {
	Schema string `json:"schema"`
	Lab    string `json:"lab"`
	// State is up; busy while it is built or taken down; not answering, when
	// its daemon hangs; or left behind, when its daemon was killed.
	State     string    `json:"state"`
	Cloud     string    `json:"cloud,omitempty"`
	Region    string    `json:"region,omitempty"`
	Endpoints string    `json:"endpoints,omitempty"` // connected/all
	Started   time.Time `json:"started,omitzero"`
	File      string    `json:"file,omitempty"`
	Dir       string    `json:"dir"`
}

func listLabs(ctx context.Context) ([]listedLab, error) {
	names, err := lab.Names()
	if err != nil {
		return nil, err
	}
	labs := []listedLab{}
	for _, name := range names {
		dir := lab.DirOf(name)
		l := listedLab{Schema: lab.Schema, Lab: name, State: "left behind", Dir: string(dir)}
		if dir.Running() {
			l.ask(ctx, api.NewClient(dir))
		}
		labs = append(labs, l)
	}
	return labs, nil
}

// ask fills in what the lab's daemon says, if it does.
func (l *listedLab) ask(ctx context.Context, daemon *api.Client) {
	l.State = "busy"
	if !daemon.Answers(ctx) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	s, err := daemon.Status(ctx)
	if err != nil {
		l.State = "not answering"
		return
	}
	connected := 0
	for _, ep := range s.Endpoints {
		if isConnected(ep) {
			connected++
		}
	}
	l.State, l.Cloud, l.Region, l.File, l.Started = "up", s.Cloud, s.Region, s.File, s.Started
	l.Endpoints = fmt.Sprintf("%d of %d connected", connected, len(s.Endpoints))
}

// findLab is the lab that a command means: the one named, or the only one.
func findLab(name string) (lab.Dir, error) {
	names, err := lab.Names()
	if err != nil {
		return "", err
	}
	switch {
	case name != "" && !slices.Contains(names, name):
		return "", withHint(fmt.Errorf("lab %q is not up", name), "%s", whichLabs(names))
	case name == "" && len(names) == 0:
		return "", withHint(errors.New("no lab is up"), "\"plinksim up FILE\" starts one")
	case name == "" && len(names) > 1:
		return "", withHint(errors.New("several labs are up, and the command names none"), "%s", whichLabs(names))
	case name == "":
		name = names[0]
	}
	dir := lab.DirOf(name)
	if dir.Running() && !api.NewClient(dir).Answers(context.Background()) && os.Geteuid() == 0 {
		return "", withHint(fmt.Errorf("lab %q is just being built or taken down", name), "\"plinksim ls\" says when it is up")
	}
	if !dir.Running() {
		return "", withHint(fmt.Errorf("lab %q has no daemon any more: it was killed", name),
			"\"plinksim up FILE\" takes the lab over, \"plinksim down %s\" removes it", name)
	}
	return dir, nil
}

func whichLabs(names []string) string {
	if len(names) == 0 {
		return "no lab is up; \"plinksim up FILE\" starts one"
	}
	return "write --lab with one of: " + strings.Join(names, ", ")
}

func completeLabs(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	names, _ := lab.Names()
	if len(args) > 0 {
		names = nil
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func needRoot(command string) error {
	if os.Geteuid() == 0 {
		return nil
	}
	return withHint(fmt.Errorf("%q works on network namespaces, which only root may", "plinksim "+command), "run it with sudo")
}

func signalDaemon(dir lab.Dir) error {
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
