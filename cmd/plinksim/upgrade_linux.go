package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/dataplane"
	"github.com/plinksim/plinksim/pkg/host"
	"github.com/plinksim/plinksim/pkg/labdir"
	"github.com/plinksim/plinksim/pkg/machine/kernel"
	"github.com/plinksim/plinksim/pkg/topofile"
)

func newUpgrade() *cobra.Command {
	return &cobra.Command{
		Use:   "upgrade [LAB]",
		Short: "Exchange the daemon of a running lab for this program's",
		Long: `Exchange the daemon of a running lab for one of this program, which may be
another version. Sessions, connections, edits, faults, health and programs go
on; packets wait for a fraction of a second. What the daemon itself answers ends:
connections to built-in services and through an alb. The topology file is not
read again. If the new daemon does not start, the old one stays.`,
		Example:           "  sudo plinksim upgrade\n  sudo plinksim upgrade alibaba-clb",
		Args:              takes(cobra.MaximumNArgs(1), "at most one lab"),
		ValidArgsFunction: completeLabs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := needRights("upgrade", host.SysAdmin, host.NetAdmin, host.NetRaw, host.NetBindService); err != nil {
				return err
			}
			name := ""
			if len(args) > 0 {
				name = args[0]
			}
			dir, err := findLab(cmd.Context(), name)
			if err != nil {
				return err
			}
			keepFiles()
			outliveReaders()
			return upgrade(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), dir)
		},
	}
}

func upgrade(ctx context.Context, out, stderr io.Writer, dir labdir.Dir) error {
	old := api.NewClient(dir)
	handover, err := old.Handover(ctx)
	if err != nil {
		return withHint(fmt.Errorf("lab %q: its daemon does not leave the lab to another one: %w", dir.Name(), err),
			"kill process %d, and \"plinksim up FILE\" takes the lab over", dir.PID())
	}
	plan, err := topofile.Parse(handover.File, handover.Source)
	if err != nil {
		return err
	}
	plan.MaxSessions = handover.MaxSessions
	u := &up{plan: plan, dir: dir, workers: handover.Workers, transition: handover.Transition, progress: newProgress(stderr)}
	u.logs = handover.Log
	if u.flowCache, err = dataplane.ParseFlowCache(cmp.Or(handover.FlowCache, kernel.DefaultFlowCache())); err != nil {
		return err
	}
	u.host, u.tls, u.etcd = handover.Host, handover.TLS, handover.Etcd
	if _, err := credentials(plan, u.host, u.tls); err != nil {
		return withHint(err, "nothing was changed: the daemon of before runs the lab")
	}
	defer u.progress.end()
	lock, err := dir.OpenLock()
	if err != nil {
		return err
	}
	defer lock.Release()
	daemon, reports, err := u.daemon(lock, "--take-over")
	if err != nil {
		return err
	}
	defer reports.Close()
	messages := json.NewDecoder(reports)
	if err := u.awaitReady(ctx, messages); err != nil {
		daemon.Process.Kill()
		daemon.Wait()
		return withHint(err, "nothing was changed: the daemon of before runs the lab")
	}
	// From here on one of the two must have the lab, whatever becomes of us.
	ctx = context.WithoutCancel(ctx)
	start := time.Now()
	if err := old.Leave(ctx); err != nil {
		daemon.Process.Kill()
		daemon.Wait()
		return fmt.Errorf("lab %q: its daemon does not leave: %w", dir.Name(), err)
	}
	switch ended := u.listen(messages); {
	case ended == nil:
		daemon.Wait()
		err = fmt.Errorf("its new daemon ended (%s)%s", daemon.ProcessState, lastWords(dir))
	case ended.Err != nil:
		daemon.Wait()
		err = ended.Err
	default:
		fmt.Fprintf(out, "lab %s has a new daemon, of version %s (%s)\n", dir.Name(), version, took(time.Since(start)))
		return daemon.Process.Release()
	}
	return withHint(fmt.Errorf("lab %q: %w", dir.Name(), err), "\"plinksim up FILE\" takes the lab over")
}

// awaitReady returns when the new daemon waits for the old one to leave.
func (u *up) awaitReady(ctx context.Context, messages *json.Decoder) error {
	done := make(chan error, 1)
	go func() {
		for {
			var p api.Progress
			switch err := messages.Decode(&p); {
			case err != nil:
				done <- fmt.Errorf("the new daemon ended%s", lastWords(u.dir))
			case p.Err != nil:
				done <- p.Err
			case p.What == atTheReady:
				done <- nil
			default:
				continue
			}
			return
		}
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return errors.New("interrupted")
	case <-time.After(turnTimeout):
		return errors.New("the new daemon does not get ready")
	}
}
