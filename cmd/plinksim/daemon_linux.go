package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/api/server"
	"github.com/plinksim/plinksim/pkg/dataplane"
	"github.com/plinksim/plinksim/pkg/host"
	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/labdir"
	"github.com/plinksim/plinksim/pkg/machine/kernel"
	"github.com/plinksim/plinksim/pkg/rootless"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
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
	var takeOver, leftBehind, authority bool
	var flowCache string
	var transition time.Duration
	var timeScale float64
	var onHost, tlsDir string
	var members []string
	var logs api.Log
	cmd := &cobra.Command{
		Use: "__daemon", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			keepFiles()
			if err := host.KeepDaemonCapabilities(); err != nil {
				fmt.Fprintln(cmd.ErrOrStderr(), "plinksim:", err)
			}
			lock := labdir.InheritLock(os.NewFile(lockFile, "lock"))
			defer lock.Release()
			reports := os.NewFile(reportsFile, "reports")
			ctx, cancel := context.WithCancel(cmd.Context())
			defer cancel()
			// A lab of which nobody heard that it is up is not wanted any more, unless
			// it was there before.
			tell := func(p api.Progress) {
				if json.NewEncoder(reports).Encode(p) != nil && !takeOver && !leftBehind {
					cancel()
				}
			}
			await := func() error { return nil } // the lock is held
			if takeOver {
				await = func() error { return awaitTurn(ctx, lock, labdir.Of(name), reports, tell) }
			}
			up := false
			ready := func() {
				tell(api.Progress{End: true, Changed: true})
				up = true
				reports.Close()
			}
			err := daemon(ctx, lock, file, lab.Config{
				Workers: workers, Transition: transition, MaxSessions: maxSessions, Keep: takeOver || leftBehind,
				TimeScale: topology.TimeScale(timeScale),
				Authority: authority, Host: onHost,
			}, joining{tls: tlsDir, etcd: members}, flowCache, logs, await, tell, ready)
			if err != nil && !up {
				tell(api.Progress{End: true, Err: &api.Error{Text: err.Error(), Hint: hintOf(toDoctor(err))}})
			}
			return err
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "the lab, for people who list processes")
	cmd.Flags().StringVar(&file, "file", "", "what the topology file is called")
	cmd.Flags().IntVar(&workers, "workers", 1, "of the data plane")
	cmd.Flags().DurationVar(&transition, "transition", 0, "how long states on the way last")
	cmd.Flags().Float64Var(&timeScale, "time-scale", 0, "how many times as fast times pass")
	cmd.Flags().IntVar(&maxSessions, "max-sessions", 0, "of the data plane")
	cmd.Flags().StringVar(&logs.Level, "log-level", "", "of the log")
	cmd.Flags().StringVar(&logs.Format, "log-format", "", "of the log")
	cmd.Flags().BoolVar(&authority, "authority", false, "make a certificate authority in any case")
	cmd.Flags().StringVar(&onHost, "host", "", "of the topology's, that this is")
	cmd.Flags().StringVar(&tlsDir, "tls", "", "where its certificate is")
	cmd.Flags().StringSliceVar(&members, "etcd", nil, "by which the hosts agree")
	cmd.Flags().BoolVar(&leftBehind, "left-behind", false, "leave the lab as it is where it cannot be taken over")
	cmd.Flags().BoolVar(&takeOver, "take-over", false, "wait for the lab's lock, which another daemon lets go of")
	cmd.Flags().StringVar(&flowCache, "flow-cache", kernel.DefaultFlowCache(), "of the data plane")
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

// atTheReady is what a daemon says that waits for the lock.
const atTheReady = "wait for the earlier daemon to leave"

// awaitTurn waits until an earlier daemon has left the lab, which it is not asked
// for before this one has said that it is there.
func awaitTurn(ctx context.Context, lock *labdir.Lock, dir labdir.Dir, reports *os.File,
	tell func(api.Progress)) error {
	ctx, cancel := context.WithTimeout(ctx, turnTimeout)
	defer cancel()
	tell(api.Progress{What: atTheReady})
	go func() {
		// A command that was killed asks nobody to leave any more. If it has asked,
		// the earlier daemon is on its way.
		if awaitNobodyReads(ctx, reports) {
			time.AfterFunc(leaveTime, cancel)
		}
	}()
	if err := lock.Await(ctx); err != nil {
		return fmt.Errorf("lab %q: %w", dir.Name(), err)
	}
	if !lock.Holds(dir) {
		return fmt.Errorf("lab %q was taken down meanwhile", dir.Name())
	}
	return nil
}

// leaveTime is how long a daemon that leaves its lab takes at most.
const leaveTime = 3 * time.Second

// awaitNobodyReads waits until the other end of a pipe is closed; false where ctx
// ends before.
func awaitNobodyReads(ctx context.Context, pipe *os.File) bool {
	raw, err := pipe.SyscallConn()
	if err != nil {
		return false
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		closed := false
		err := raw.Control(func(fd uintptr) {
			look := []unix.PollFd{{Fd: int32(fd)}}
			n, _ := unix.Poll(look, 0)
			closed = n > 0 && look[0].Revents&unix.POLLERR != 0
		})
		if closed || err != nil {
			return closed
		}
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
}

func daemon(ctx context.Context, lock *labdir.Lock, file string, cfg lab.Config, with joining, flowCache string, logs api.Log,
	await func() error, tell func(api.Progress), ready func()) error {
	cache, err := dataplane.ParseFlowCache(flowCache)
	if err != nil {
		return err
	}
	plan, err := topofile.Read(file, os.Stdin)
	if err != nil {
		return err
	}
	if err := await(); err != nil {
		return err
	}
	cfg.Progress = api.Seldom(func(done, total int, what string) {
		tell(api.Progress{Done: done, Total: total, What: what})
	})
	cfg.Plan = plan
	logging, err := server.NewLogging(os.Stderr, plan.Name, logs)
	if err != nil {
		return err
	}
	return serve(ctx, lock, cfg, with, cache, logging, ready)
}

// joining is how the daemon of a host reaches those of the others.
type joining struct {
	tls  string   // the directory of its certificate, "": it does not
	etcd []string // members by which the hosts agree; none: they do not
}

// serve runs a lab until ctx ends or a client takes it down, and removes it, or
// until a client asks it to leave the lab to another daemon. It calls ready once,
// when the lab is up and its socket answers. The caller holds the lab's lock until
// it returns.
func serve(ctx context.Context, lock *labdir.Lock, cfg lab.Config, with joining, cache dataplane.FlowCacheConfig,
	logging *server.Logging, ready func()) error {
	cfg.Log = logging.Logger()
	cfg.Progress = loggedProgress(cfg.Log, cfg.Progress)
	dir, stays := labdir.Of(cfg.Plan.Name), cfg.Keep
	defer func() {
		if !stays {
			kernel.EndKeeper(dir)
			dir.Erase()
		}
	}()
	dir.AwaitExit()
	if err := os.WriteFile(dir.Path("pid"), []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600); err != nil {
		return err
	}
	store, err := openEtcd(ctx, dir, with.etcd, cfg.Host, with.tls, cfg.Log)
	if err != nil {
		return err
	}
	if store != nil {
		cfg.Agreement, cfg.Version = store, version
		defer func() {
			leave := store.Down
			if stays {
				leave = store.Close
			}
			if err := leave(); err != nil {
				cfg.Log.Warn("the other hosts hear late that this one is gone", "error", err)
			}
		}()
	}
	peers, peerListener, err := listenForPeers(&cfg, with.tls)
	if err != nil {
		return err
	}
	if peerListener != nil {
		defer peerListener.Close()
	}
	machine := kernel.NewLasting(dir)
	machine.FlowCache = cache
	cfg.Machine, cfg.Store = machine, dir
	running, err := lab.Start(ctx, cfg)
	if err != nil && ctx.Err() != nil {
		return errInterrupted
	}
	if err != nil {
		return err
	}
	stays = false
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
	var leaving atomic.Bool
	ln, err := server.Listen(dir.Socket())
	if err == nil {
		api := &server.Server{
			Lab: running, Down: down, Handover: handoverOf(cfg, cache), Store: dir, Log: cfg.Log, Logging: logging,
			Transition: cmp.Or(running.Pace().Transition(), cfg.Plan.Transition), Peers: peers, PeerListener: peerListener,
		}
		api.Handover.TLS, api.Handover.Etcd = with.tls, with.etcd
		if cfg.Host != "" {
			api.Exec, api.Logs = execFor(dir), logsFor(dir)
		}
		api.Leave = func() {
			leaving.Store(true)
			down()
		}
		serving.Go(func() {
			serveErr = api.Serve(serverCtx, ln)
			down()
		})
		ready()
		<-ctx.Done()
	}
	stopServer(errors.New("the lab was taken down meanwhile"))
	serving.Wait()
	if leaving.Load() {
		stays = true
		lock.HoldUntilExit()
		return running.Leave()
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	return errors.Join(err, serveErr, running.Close(closing))
}

// listenForPeers listens for the other hosts of a lab, and lets it reach them, where the host
// has a certificate.
func listenForPeers(cfg *lab.Config, tlsDir string) (*server.Peers, net.Listener, error) {
	own, err := credentials(cfg.Plan, cfg.Host, tlsDir)
	if err != nil || own == nil {
		return nil, nil, err
	}
	peers := &server.Peers{Credentials: own, Agreement: cfg.Agreement}
	ln, err := peers.Listen(cfg.Plan)
	if err == nil {
		cfg.Remote = peers
	}
	return peers, ln, err
}

func handoverOf(cfg lab.Config, cache dataplane.FlowCacheConfig) api.Handover {
	return api.Handover{
		Version: version, Workers: cfg.Workers, MaxSessions: cfg.MaxSessions, FlowCache: cache.String(),
		Transition: cfg.Transition, Host: cfg.Host,
	}
}

var errInterrupted = errors.New("interrupted: what had been made is removed")

// loggedProgress tells the log, too, what is done while a lab comes up.
func loggedProgress(log *slog.Logger, next lab.Progress) lab.Progress {
	return func(done, total int, what string) {
		if total > 0 {
			log.Debug("a step is done", "step", done, "of", total, "what", what)
		} else {
			log.Debug("a stage begins", "what", what)
		}
		next(done, total, what)
	}
}
