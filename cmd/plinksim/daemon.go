package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/host"
	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/topology"
)

// newDaemon is how "up" starts a lab's daemon: the topology on standard input,
// api.Progress lines to file descriptor 3 until the lab is up.
func newDaemon() *cobra.Command {
	var name, file string
	cmd := &cobra.Command{
		Use: "__daemon", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			reports := os.NewFile(3, "reports")
			tell := func(p api.Progress) { json.NewEncoder(reports).Encode(p) }
			up := false
			err := func() error {
				source, err := io.ReadAll(os.Stdin)
				if err != nil {
					return err
				}
				plan, err := topology.Parse(file, source)
				if err != nil {
					return err
				}
				progress := func(done, total int, what string) { tell(api.Progress{Done: done, Total: total, What: what}) }
				return serve(cmd.Context(), plan, textLogger(os.Stderr), progress, func() {
					up = true
					tell(api.Progress{End: true, Changed: true})
					reports.Close()
				})
			}()
			if err != nil && !up {
				tell(api.Progress{End: true, Err: &api.Error{Text: err.Error()}})
			}
			return err
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "the lab, for people who list processes")
	cmd.Flags().StringVar(&file, "file", "", "what the topology file is called")
	return cmd
}

// serve runs a lab until ctx ends or a client takes it down, and removes it.
// It calls ready once, when the lab is up and its socket answers.
func serve(ctx context.Context, plan *topology.Plan, log *slog.Logger, progress lab.Progress, ready func()) error {
	dir := lab.DirOf(plan.Name)
	lock, err := dir.Lock()
	if errors.Is(err, lab.ErrLocked) {
		return fmt.Errorf("lab %q is just being built or taken down by another process", plan.Name)
	}
	if err != nil {
		return err
	}
	defer lock.Release()
	defer dir.Erase()
	if err := os.WriteFile(dir.Path("pid"), []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600); err != nil {
		return err
	}
	running, err := lab.Start(ctx, dir, plan, log, progress)
	if err != nil {
		return err
	}
	// The API ends before the lab does, but not with ctx: the request that
	// takes the lab down still gets its answer.
	ctx, down := context.WithCancel(ctx)
	defer down()
	serverCtx, stopServer := context.WithCancel(context.WithoutCancel(ctx))
	var server sync.WaitGroup
	var serveErr error
	ln, err := api.Listen(dir.Socket())
	if err == nil {
		server.Go(func() {
			serveErr = (&api.Server{Lab: running, Down: down}).Serve(serverCtx, ln)
			down()
		})
		ready()
		<-ctx.Done()
	}
	stopServer()
	server.Wait()
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	return errors.Join(err, serveErr, running.Close(closing))
}

func textLogger(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// enter is what lab.EnterCommand does: become a program inside a namespace.
func enter(args []string, stderr io.Writer) int {
	if len(args) < 3 {
		fmt.Fprintf(stderr, "plinksim: %s DIR NAMESPACE PROGRAM [ARG...]\n", lab.EnterCommand)
		return 2
	}
	return execExit(host.Exec(args[0], args[1], args[2:], os.Environ()), stderr)
}
