package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/api/server"
	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/labdir"
	"github.com/plinksim/plinksim/pkg/machine/kernel"
	"github.com/plinksim/plinksim/pkg/rootless"
	"github.com/plinksim/plinksim/pkg/topofile"
)

// The files that a daemon inherits from "up", beside the topology on standard
// input and the log on standard error.
const (
	reportsFile = 3 // api.Progress lines until the lab is up
	lockFile    = 4 // the lab's lock, which both hold until then
)

// newDaemon is how "up" starts a lab's daemon.
func newDaemon() *cobra.Command {
	var name, file string
	var workers, maxSessions int
	var transition time.Duration
	cmd := &cobra.Command{
		Use: "__daemon", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			keepFiles()
			lock := labdir.InheritLock(os.NewFile(lockFile, "lock"))
			defer lock.Release()
			reports := os.NewFile(reportsFile, "reports")
			ctx, cancel := context.WithCancel(cmd.Context())
			defer cancel()
			// A lab of which nobody heard that it is up is not wanted any more.
			tell := func(p api.Progress) {
				if json.NewEncoder(reports).Encode(p) != nil {
					cancel()
				}
			}
			up := false
			ready := func() {
				tell(api.Progress{End: true, Changed: true})
				up = true
				reports.Close()
			}
			err := daemon(ctx, file, lab.Config{
				Workers: workers, Transition: transition, MaxSessions: maxSessions,
			}, tell, ready)
			if err != nil && !up {
				tell(api.Progress{End: true, Err: &api.Error{Text: err.Error(), Hint: hintOf(err)}})
			}
			return err
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "the lab, for people who list processes")
	cmd.Flags().StringVar(&file, "file", "", "what the topology file is called")
	cmd.Flags().IntVar(&workers, "workers", 1, "of the data plane")
	cmd.Flags().DurationVar(&transition, "transition", 0, "how long states on the way last")
	cmd.Flags().IntVar(&maxSessions, "max-sessions", 0, "of the data plane")
	return cmd
}

// keepFiles keeps the files that this process was started with from the
// programs that it starts: the lab's lock would outlive the daemon in them, and
// in the daemon a lock of the user's would.
func keepFiles() {
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return // without /proc no namespace can be made either
	}
	for _, f := range files {
		if fd, err := strconv.Atoi(f.Name()); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
}

func daemon(ctx context.Context, file string, cfg lab.Config, tell func(api.Progress), ready func()) error {
	plan, err := topofile.Read(file, os.Stdin)
	if err != nil {
		return err
	}
	cfg.Progress = func(done, total int, what string) { tell(api.Progress{Done: done, Total: total, What: what}) }
	cfg.Plan, cfg.Log = plan, textLogger(os.Stderr)
	return serve(ctx, cfg, ready)
}

// serve runs a lab until ctx ends or a client takes it down, and removes it.
// It calls ready once, when the lab is up and its socket answers. The caller
// holds the lab's lock until it returns.
func serve(ctx context.Context, cfg lab.Config, ready func()) error {
	dir := labdir.Of(cfg.Plan.Name)
	defer func() {
		kernel.EndKeeper(dir)
		dir.Erase()
	}()
	if err := os.WriteFile(dir.Path("pid"), []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600); err != nil {
		return err
	}
	cfg.Machine, cfg.Store = kernel.New(dir), dir
	running, err := lab.Start(ctx, cfg)
	if err != nil && ctx.Err() != nil {
		return errInterrupted
	}
	if err != nil {
		return err
	}
	if rootless.Arrived() {
		// SO_RCVBUFFORCE and SO_SNDBUFFORCE are for root (Linux, socket(7)).
		cfg.Log.Info("this is the lab of an ordinary user: the data plane's buffers are not larger than " +
			"net.core.rmem_max and net.core.wmem_max")
	}
	// The API ends before the lab does, but not with ctx: the request that
	// takes the lab down still gets its answer.
	ctx, down := context.WithCancel(ctx)
	defer down()
	serverCtx, stopServer := context.WithCancelCause(context.WithoutCancel(ctx))
	var serving sync.WaitGroup
	var serveErr error
	ln, err := server.Listen(dir.Socket())
	if err == nil {
		serving.Go(func() {
			serveErr = (&server.Server{Lab: running, Down: down}).Serve(serverCtx, ln)
			down()
		})
		ready()
		<-ctx.Done()
	}
	stopServer(errors.New("the lab was taken down meanwhile"))
	serving.Wait()
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	return errors.Join(err, serveErr, running.Close(closing))
}

var errInterrupted = errors.New("interrupted: what had been made is removed")

func textLogger(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }
