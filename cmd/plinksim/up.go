package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/topology"
)

func newUp() *cobra.Command {
	var foreground bool
	var output string
	cmd := &cobra.Command{
		Use:     "up FILE",
		Aliases: []string{"deploy", "apply"},
		Short:   "Build the lab that a topology file describes, and keep it running",
		Long: `Build the lab that a topology file describes, start its daemon, wait until
every connection that needs no acceptance is connected, print what was made,
and return. The lab stays up until "plinksim down".

A second "up" with a changed file applies the difference; connections and
sessions that the change does not touch go on. With the same file it changes
nothing. When the daemon of a lab was killed, "up" takes over what it left.

A problem in the file is found before anything is created.`,
		Example: "  sudo plinksim up testdata/topologies/alibaba-clb.yaml\n  sudo plinksim up --foreground lab.yaml    # until ctrl-C",
		Args:    takes(cobra.ExactArgs(1), "one topology file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			plan, err := load(args[0])
			if err != nil {
				return err
			}
			if err := needRoot("up"); err != nil {
				return err
			}
			for _, warning := range plan.Warnings {
				fmt.Fprintf(cmd.ErrOrStderr(), "plinksim: warning: %s\n", warning.String())
			}
			if foreground {
				return upForeground(cmd, plan)
			}
			start := time.Now()
			if err := upDaemon(cmd.Context(), plan, newProgress(cmd.ErrOrStderr())); err != nil {
				return err
			}
			status, err := api.NewClient(lab.DirOf(plan.Name)).Status(cmd.Context())
			if err != nil {
				return err
			}
			if output == "json" {
				return printJSON(cmd.OutOrStdout(), status)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "lab %s is up (%s)\n\n", plan.Name, took(time.Since(start)))
			printEndpoints(cmd.OutOrStdout(), status)
			printNext(cmd.OutOrStdout(), plan, status)
			return nil
		},
	}
	cmd.Flags().BoolVarP(&foreground, "foreground", "f", false, "stay attached, and take the lab down on ctrl-C")
	addOutput(cmd, &output)
	return cmd
}

// upDaemon changes a lab that runs, or starts a daemon for it.
func upDaemon(ctx context.Context, plan *topology.Plan, progress *progress) error {
	defer progress.end()
	dir := lab.DirOf(plan.Name)
	if dir.Running() {
		changed, err := api.NewClient(dir).Apply(ctx, plan.File, plan.Source, progress.show)
		if err == nil && !changed {
			progress.say("the lab is up already, and the file has not changed")
		}
		return err
	}
	return startDaemon(ctx, dir, plan, progress)
}

// startDaemon runs this program again as the lab's daemon and listens to it
// until the lab is up. When ctx ends before, the daemon takes back what it
// made and this returns when it has.
func startDaemon(ctx context.Context, dir lab.Dir, plan *topology.Plan, progress *progress) error {
	if err := os.MkdirAll(dir.Path("log"), 0o700); err != nil {
		return err
	}
	log, err := os.OpenFile(dir.Path("log", "daemon.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	reports, write, err := os.Pipe()
	if err != nil {
		return err
	}
	defer reports.Close()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	file := plan.File
	if absolute, err := filepath.Abs(file); err == nil && file != "-" {
		file = absolute
	}
	daemon := exec.Command(self, "__daemon", "--name", plan.Name, "--file", file)
	daemon.Dir = "/"
	daemon.Stdout, daemon.Stderr = log, log
	daemon.ExtraFiles = []*os.File{write}
	// A session of its own: ctrl-C on the terminal is for us, and we tell it.
	daemon.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	source, err := daemon.StdinPipe()
	if err != nil {
		write.Close()
		return err
	}
	err = daemon.Start()
	write.Close()
	if err != nil {
		return fmt.Errorf("start the lab's daemon: %w", err)
	}
	go func() {
		defer source.Close()
		source.Write(plan.Source)
	}()
	stop := context.AfterFunc(ctx, func() { daemon.Process.Signal(syscall.SIGTERM) })
	defer stop()

	for dec := json.NewDecoder(reports); ; {
		var p api.Progress
		if err := dec.Decode(&p); err != nil {
			break
		}
		if !p.End {
			progress.show(p.Done, p.Total, p.What)
			continue
		}
		if p.Err == nil {
			return daemon.Process.Release()
		}
		daemon.Wait()
		if ctx.Err() != nil {
			return errors.New("interrupted: what had been made is removed")
		}
		return p.Err
	}
	daemon.Wait()
	if ctx.Err() != nil {
		return errors.New("interrupted: what had been made is removed")
	}
	return withHint(fmt.Errorf("lab %q: its daemon ended before the lab was up: %s", plan.Name, daemon.ProcessState),
		"its last words are in %s; \"plinksim down %s\" removes what is left", log.Name(), plan.Name)
}

// upForeground is the daemon without a daemon.
func upForeground(cmd *cobra.Command, plan *topology.Plan) error {
	progress := newProgress(cmd.ErrOrStderr())
	return serve(cmd.Context(), plan, textLogger(io.Discard), progress.show, func() {
		progress.end()
		status, err := api.NewClient(lab.DirOf(plan.Name)).Status(cmd.Context())
		if err != nil {
			return
		}
		fmt.Fprintf(cmd.OutOrStdout(), "lab %s is up; ctrl-C takes it down\n\n", plan.Name)
		printEndpoints(cmd.OutOrStdout(), status)
	})
}

// printNext names the commands that make sense now.
func printNext(w io.Writer, plan *topology.Plan, status lab.Status) {
	fmt.Fprintln(w, "\nNext:")
	t := newTable(w)
	for _, ep := range status.Endpoints {
		if svc, err := plan.Service(ep.Service); err == nil && !svc.AutoAccept && !isConnected(ep) {
			t.row("  plinksim accept "+ep.Service+" "+ep.Name, "let "+ep.Name+" connect: "+ep.Service+" does not accept by itself")
		}
	}
	if client := firstClient(plan); client != "" && len(status.Endpoints) > 0 {
		t.row(fmt.Sprintf("  plinksim exec %s -- curl -s http://$(plinksim name %s)/", client, status.Endpoints[0].Name), "call the service from "+client)
	}
	if n := len(plan.Checks); n > 0 {
		t.row("  plinksim check "+plan.Name, fmt.Sprintf("run the %d checks of the file", n))
	}
	t.row("  plinksim status "+plan.Name, "everything about the lab")
	t.row("  plinksim down "+plan.Name, "remove the lab")
	t.flush()
}

// firstClient is an instance in the VPC of the first endpoint.
func firstClient(plan *topology.Plan) string {
	if len(plan.Endpoints) == 0 {
		return ""
	}
	vpc, err := plan.VPC(plan.Endpoints[0].VPC)
	if err != nil || len(vpc.Instances) == 0 {
		return ""
	}
	name := vpc.Instances[0].Name
	if _, err := plan.Instance(name); err != nil {
		name = vpc.Name + "/" + name
	}
	return name
}

func isConnected(ep lab.EndpointStatus) bool {
	return ep.State == "Connected" || ep.State == "available"
}
