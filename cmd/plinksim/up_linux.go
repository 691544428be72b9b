package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/plinksim/plinksim/internal/spell"
	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/api/server"
	"github.com/plinksim/plinksim/pkg/dataplane"
	"github.com/plinksim/plinksim/pkg/host"
	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/labdir"
	"github.com/plinksim/plinksim/pkg/machine/kernel"
	"github.com/plinksim/plinksim/pkg/rootless"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

func newUp() *cobra.Command {
	var foreground, dryRun, replace bool
	var output, metrics, wait string
	var cloudAPI api.CloudAPI
	var empty emptyLab
	var workers, maxSessions int
	var flowCache string
	var transition time.Duration
	var timeScale float64
	var onHost, tlsDir string
	var members []string
	var logs api.Log
	cmd := &cobra.Command{
		Use:     "up [FILE]",
		Aliases: []string{"deploy", "apply"},
		Short:   "Build the lab that a topology file describes, and keep it running",
		Long: `Build the lab that a topology file describes, start its daemon, wait until
every connection that needs no acceptance is connected, print what was made,
and return. The lab stays up until "plinksim down".

A second "up" with a changed file applies the difference; connections and
sessions that the change does not touch go on. With the same file it changes
nothing. If the daemon of a lab was killed, "up" takes over what it left behind.

Programs of "command:" that have ended are started again by every "up".

The whole file is checked before anything is created.

FILE may also be a topology that plinksim has without a file: "plinksim init
--list" names them. Without a file, --cloud and --region make an empty lab, for
"plinksim edit" to fill.`,
		Example: "  sudo plinksim up lab.yaml\n" +
			"  sudo plinksim up --wait healthy lab.yaml && run-my-tests\n" +
			"  sudo plinksim up --time-scale 60 lab.yaml # minutes of the cloud take seconds\n" +
			"  sudo plinksim up alibaba-clb             # a topology that plinksim has\n" +
			"  sudo plinksim up --foreground lab.yaml    # until ctrl-C\n" +
			"  sudo plinksim up --host a lab.yaml        # a file with hosts: what is on host a\n" +
			"  sudo plinksim up --host a --tls certificates/a lab.yaml # and hosts ask each other\n" +
			"  sudo plinksim up --dry-run lab.yaml       # only print what would change\n" +
			"  sudo plinksim up --cloud aws --region us-east-1 --name shop\n" +
			"  sudo plinksim up --api 127.0.0.1:4566     # and drive it with the AWS CLI: \"plinksim api env\"\n" +
			"  sudo plinksim up --api 127.0.0.1:4567 --cloud alibaba",
		Args: takes(cobra.MaximumNArgs(1), "one topology file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			if err := dataplane.CheckWorkers(workers); err != nil {
				return &usageError{fmt.Errorf("--workers: %w", err)}
			}
			if err := checkMaxSessions(maxSessions); err != nil {
				return err
			}
			if wait != "" && wait != "healthy" {
				return &usageError{fmt.Errorf("--wait %q: want healthy", wait)}
			}
			if wait != "" && foreground {
				return &usageError{errors.New("--wait and --foreground: choose one of them")}
			}
			scale := topology.TimeScale(timeScale)
			if err := scale.Check(); err != nil {
				return &usageError{fmt.Errorf("--time-scale: %w", err)}
			}
			if err := logs.Check(); err != nil {
				return &usageError{err}
			}
			cache, err := dataplane.ParseFlowCache(flowCache)
			if err != nil {
				return &usageError{fmt.Errorf("--flow-cache: %w", err)}
			}
			plan, err := empty.load(cmd, args)
			if err != nil {
				return err
			}
			slice, err := sliceOn(cmd, plan, onHost)
			if err != nil {
				return err
			}
			if tlsDir != "" {
				tlsDir = absolute(tlsDir)
			}
			if _, err := credentials(plan, onHost, tlsDir); err != nil {
				return err
			}
			if err := checkEtcd(members, onHost, tlsDir); err != nil {
				return err
			}
			plan.File = absolute(plan.File)
			if dryRun {
				changes, err := differences(cmd.Context(), plan)
				if err != nil {
					return err
				}
				return showChanges(cmd, output, changes)
			}
			if err := needRights("up", host.SysAdmin, host.NetAdmin, host.NetRaw, host.NetBindService); err != nil {
				return err
			}
			if err := checkMachine(slice); err != nil {
				return err
			}
			for _, warning := range plan.Warnings {
				fmt.Fprintf(cmd.ErrOrStderr(), "plinksim: warning: %s\n", warning.String())
			}
			if why := labdir.Fallback(); why != "" {
				fmt.Fprintf(cmd.ErrOrStderr(), "plinksim: %s\n", why)
			}
			plan.MaxSessions = cmp.Or(maxSessions, plan.MaxSessions)
			up := &up{plan: plan, dir: labdir.Of(plan.Name), progress: newProgress(cmd.ErrOrStderr())}
			up.host, up.tls, up.etcd = onHost, tlsDir, members
			up.workers, up.transition, up.flowCache = workers, transition, cache
			up.retimed, up.timeScale = cmd.Flags().Changed("transition"), scale
			up.authority, up.logs = cloudAPI.InVPCs, logs
			up.relogged = cmd.Flags().Changed("log-level") || cmd.Flags().Changed("log-format")
			if err := checkMetrics(up.dir, metrics); err != nil {
				return err
			}
			if err := checkCloudAPI(up.dir, plan, cloudAPI); err != nil {
				return err
			}
			if !replace {
				if err := up.mayReplace(cmd); err != nil {
					return err
				}
			}
			keepFiles()
			outliveReaders()
			start := time.Now()
			show := func() error {
				if err := serveMetrics(cmd, up.dir, metrics); err != nil {
					return err
				}
				if err := serveCloudAPI(cmd, up.dir, cloudAPI); err != nil {
					return err
				}
				return showUp(cmd, plan, output, time.Since(start), foreground)
			}
			if foreground {
				return up.foreground(cmd.Context(), cmd.ErrOrStderr(), show)
			}
			if err := up.background(cmd.Context()); err != nil {
				return err
			}
			// The lab is up, and ctrl-C comes too late to undo that.
			interrupted := cmd.Context()
			cmd.SetContext(context.WithoutCancel(interrupted))
			err = show()
			if err == nil && wait != "" {
				return waitHealthy(interrupted, api.NewClient(up.dir), plan.Name)
			}
			if err == nil && interrupted.Err() != nil {
				fmt.Fprintf(cmd.ErrOrStderr(),
					"plinksim: interrupted too late: \"plinksim down %s\" removes the lab\n", plan.Name)
			}
			return err
		},
	}
	cmd.Flags().BoolVarP(&foreground, "foreground", "f", false, "stay attached, and take the lab down on ctrl-C")
	cmd.Flags().StringVar(&metrics, "metrics", "",
		"also answer /metrics for Prometheus at HOST:PORT; :PORT is on the loopback interface")
	addCloudAPI(cmd, &cloudAPI)
	cmd.Flags().IntVar(&workers, "workers", 1,
		"threads that carry packets: 1, 2, 4, ...; not more than the machine has idle CPUs")
	cmd.Flags().StringVar(&flowCache, "flow-cache", kernel.DefaultFlowCache(),
		"whether the kernel forwards packets of long sessions by itself: auto or off")
	cmd.Flags().DurationVar(&transition, "transition", 0,
		"how long states on the way last, for example 2s; what the file says where it is missing")
	cmd.Flags().StringVar(&wait, "wait", "",
		"healthy: wait until every server is healthy and every program runs, a minute without --timeout; "+
			"the exit code is 1, and the lab stays up, where that does not come")
	cmd.RegisterFlagCompletionFunc("wait", cobra.FixedCompletions([]string{"healthy"}, cobra.ShellCompDirectiveNoFileComp))
	cmd.Flags().Float64Var(&timeScale, "time-scale", 0,
		"let idle timeouts, health checks, draining and TTLs pass so many times as fast, for example 60; "+
			"a lab keeps it until another is given, 1 ends it")
	addLogs(cmd, &logs)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only print what would change, as \"plinksim diff\" does")
	cmd.Flags().BoolVar(&replace, "replace", false,
		"replace a lab of the same name that came from another file, without a question")
	empty.addFlags(cmd)
	addHost(cmd, &onHost)
	addTLS(cmd, &tlsDir)
	addEtcd(cmd, &members)
	addMaxSessions(cmd, &maxSessions)
	addOutput(cmd, &output)
	return cmd
}

// addLogs adds the flags about the log of a daemon, which variables of the environment have values for.
func addLogs(cmd *cobra.Command, logs *api.Log) {
	for _, f := range []struct {
		value          *string
		name, variable string
		values         []string
		usage          string
	}{
		{&logs.Level, "log-level", "PLINKSIM_LOG_LEVEL", api.LogLevels,
			"what the daemon's log has: debug, info, warn or error, and what is worse"},
		{&logs.Format, "log-format", "PLINKSIM_LOG_FORMAT", api.LogFormats, "how the daemon's log is written: text or json"},
	} {
		cmd.Flags().StringVar(f.value, f.name, "", f.usage+"; "+f.variable+" where it is missing")
		*f.value = os.Getenv(f.variable)
		cmd.RegisterFlagCompletionFunc(f.name, cobra.FixedCompletions(f.values, cobra.ShellCompDirectiveNoFileComp))
	}
}

// outliveReaders lets a command that changes a lab go on to its end where nobody
// reads what it prints any more, as in "plinksim up FILE | head -1": SIGPIPE would
// end it wherever it is. What it starts gets the signal as usual.
func outliveReaders() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }

// emptyLab is a lab that "up" makes without a file.
type emptyLab struct {
	name, cloud, region string
	accounts            []string
}

func (e *emptyLab) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&e.cloud, "cloud", "", "without a file: the cloud of an empty lab, alibaba, aws or rfc")
	cmd.Flags().StringVar(&e.region, "region", "", "without a file: its region, for example us-east-1")
	cmd.Flags().StringVar(&e.name, "name", "lab", "without a file: its name")
	cmd.Flags().StringSliceVar(&e.accounts, "accounts", nil, "without a file: its accounts, for example provider,consumer")
}

// load reads the file, or makes the plan of an empty lab.
func (e *emptyLab) load(cmd *cobra.Command, args []string) (*topology.Plan, error) {
	given := cmd.Flags().Changed("cloud") || cmd.Flags().Changed("region") || cmd.Flags().Changed("name") ||
		cmd.Flags().Changed("accounts")
	if cmd.Flags().Changed("api") && len(args) == 0 {
		e.cloud = cmp.Or(e.cloud, string(topology.AWS))
		e.region = cmp.Or(e.region, topology.Cloud(e.cloud).Profile().UsualRegion)
		if len(e.accounts) == 0 {
			e.accounts = []string{"provider", "consumer"}
		}
	}
	switch {
	case len(args) == 1 && given:
		return nil, &usageError{errors.New("--cloud, --region, --accounts and --name are for a lab without a file")}
	case len(args) == 1:
		return load(args[0])
	case e.cloud == "" || e.region == "":
		return nil, &usageError{fmt.Errorf("%q takes one topology file, or --cloud and --region", cmd.CommandPath())}
	}
	text := fmt.Appendf(nil, "name: %q\ncloud: %q\nregion: %q\nvpcs: {}\n", e.name, e.cloud, e.region)
	if len(e.accounts) > 0 {
		text = fmt.Appendf(text, "accounts: [%s]\n", strings.Join(e.accounts, ", "))
	}
	return topofile.Parse("-", text)
}

// mayReplace asks before another file's lab of the same name becomes this one.
func (u *up) mayReplace(cmd *cobra.Command) error {
	client := api.NewClient(u.dir)
	if !u.dir.Running() || !client.Answers(cmd.Context()) {
		return nil
	}
	now, err := client.Status(cmd.Context())
	switch {
	case err != nil && !client.Answers(cmd.Context()):
		return nil // the daemon has ended meanwhile: its lab is taken over
	case err != nil || now.File == u.plan.File:
		return err
	}
	what := fmt.Sprintf("lab %q is up from another file, %s", u.plan.Name, now.File)
	if isTerminal(os.Stdin) && isTerminal(os.Stderr) && u.plan.File != "-" {
		fmt.Fprintf(cmd.ErrOrStderr(), "plinksim: %s: replace it? [y/N] ", what)
		line, _ := bufio.NewReader(os.Stdin).ReadString('\n')
		if answer := strings.ToLower(strings.TrimSpace(line)); answer == "y" || answer == "yes" {
			return nil
		}
		return errors.New("nothing was changed")
	}
	return withHint(errors.New(what), "\"plinksim diff\" says what would change, --replace changes it")
}

// showUp prints what was made.
func showUp(cmd *cobra.Command, plan *topology.Plan, output string, after time.Duration, foreground bool) error {
	dir := labdir.Of(plan.Name)
	now, err := api.NewClient(dir).Status(cmd.Context())
	if err != nil && !dir.Running() {
		return fmt.Errorf("lab %q came up, and another command has taken it down", plan.Name)
	}
	if err != nil {
		return err
	}
	warnOfEnded(cmd.ErrOrStderr(), now)
	warnOfHosts(cmd.ErrOrStderr(), now)
	flag, has := cmd.Flags().Lookup("workers"), len(now.Dataplane.Workers)
	if flag.Changed && flag.Value.String() != strconv.Itoa(has) {
		fmt.Fprintf(cmd.ErrOrStderr(), "plinksim: warning: the lab has %d workers, as it came up; "+
			"\"plinksim down %s\" and up again changes that\n", has, plan.Name)
	}
	if has := now.Dataplane.MaxSessions; plan.MaxSessions > has {
		fmt.Fprintf(cmd.ErrOrStderr(), "plinksim: warning: the lab has room for %d sessions, as it came up; "+
			"\"plinksim down %s\" and up again changes that\n", has, plan.Name)
	}
	out := cmd.OutOrStdout()
	if output == "json" {
		return printJSON(out, now)
	}
	fmt.Fprintf(out, "lab %s is up (%s)\n", plan.Name, took(after))
	section(out, func(w io.Writer) { printEndpoints(w, now) })
	printNext(out, plan, now, foreground)
	return nil
}

// warnOfEnded names the programs that have ended already: they are there, so
// the lab came up, but they do not like something.
func warnOfEnded(w io.Writer, now status.Lab) {
	for _, vpc := range now.VPCs {
		for _, instance := range vpc.Instances {
			for _, s := range instance.Services {
				if strings.HasPrefix(s.State, "exited") {
					fmt.Fprintf(w, "plinksim: warning: instance %q: its %s has %s\n", instance.Name, s.Kind, s.State)
				}
			}
		}
	}
}

// warnOfHosts says of which hosts the lab does not get what it needs, or not yet.
func warnOfHosts(w io.Writer, now status.Lab) {
	for _, h := range now.Hosts {
		switch h.Path {
		case status.PathLost:
			fmt.Fprintf(w, "plinksim: %s (%s): until it does, names do not lead to its zones: %s\n",
				h.Text, h.Address, strings.Join(h.Zones, ", "))
		case status.PathTooSmall:
			fmt.Fprintf(w, "plinksim: warning: host %s (%s): %s\n", h.Name, h.Address, h.Text)
		}
	}
}

// up is one run of the command.
type up struct {
	plan     *topology.Plan
	dir      labdir.Dir
	workers  int
	progress *progress

	transition time.Duration
	flowCache  dataplane.FlowCacheConfig
	retimed    bool               // transition was asked for
	timeScale  topology.TimeScale // 0: as it was
	authority  bool               // make a certificate authority in any case
	host       string             // of the plan's, "" where it has none
	tls        string             // the directory of its certificate, "" where it asks no others
	etcd       []string           // the members by which hosts agree, none where they do not
	logs       api.Log
	relogged   bool // logs was asked for
}

func (u *up) checkSocket() error {
	if err := u.dir.CheckSocket(); err != nil {
		return withHint(err, "choose a shorter directory with %s", labdir.RootVariable)
	}
	return nil
}

// background changes a lab that runs, or starts a daemon for it.
func (u *up) background(ctx context.Context) error {
	defer u.progress.end()
	if err := u.checkSocket(); err != nil {
		return err
	}
	for {
		lock, err := u.turn(ctx)
		if err != nil {
			return err
		}
		if lock != nil {
			return u.start(ctx, lock)
		}
		if again, err := u.change(ctx, api.NewClient(u.dir)); !again {
			return err
		}
	}
}

// change asks a lab's daemon to apply the file. It is to be tried again where
// the daemon ended meanwhile, as when somebody took the lab down.
func (u *up) change(ctx context.Context, daemon *api.Client) (again bool, err error) {
	if now, err := daemon.Status(ctx); err == nil && now.Host != u.host {
		return false, withHint(fmt.Errorf("lab %q is up here %s, and is to be %s", u.plan.Name, asHost(now.Host), asHost(u.host)),
			"\"plinksim down %s\" removes it", u.plan.Name)
	}
	if now, err := daemon.Handover(ctx); err == nil && u.tls != "" && now.TLS != u.tls {
		return false, withHint(fmt.Errorf("lab %q is up with another --tls (%s), and it cannot be changed while it runs",
			u.plan.Name, cmp.Or(now.TLS, "none")), "\"plinksim down %s\" and up again changes it; \"plinksim upgrade\" reads new "+
			"certificates in the same directory", u.plan.Name)
	}
	if now, err := daemon.Handover(ctx); err == nil && len(u.etcd) > 0 && !sameEtcd(now.Etcd, u.etcd) {
		return false, withHint(fmt.Errorf("lab %q is up with another --etcd (%s), and it cannot be changed while it runs",
			u.plan.Name, cmp.Or(strings.Join(now.Etcd, ","), "none")), "\"plinksim down %s\" and up again changes it", u.plan.Name)
	}
	// What cannot be said now is said when it is applied.
	changes, _ := daemon.Diff(ctx, u.plan.File, u.plan.Source)
	changed, err := daemon.Apply(ctx, u.plan.File, u.plan.Source, u.progress.show)
	switch {
	case ctx.Err() != nil && err != nil:
		return false, u.interrupted()
	case err != nil && !daemon.Answers(ctx):
		return true, nil
	case err != nil:
		return false, withHint(err, "nothing was changed: the lab stays what it was")
	case !changed:
		u.progress.say("the lab is up already, and the file has not changed")
	}
	if err == nil && u.retimed {
		if err := daemon.SetTransition(ctx, u.transition); err != nil {
			return false, err
		}
		last := "as long as the file says"
		if u.transition > 0 {
			last = u.transition.String()
		}
		u.progress.say("states on the way last " + last + " from now on")
	}
	if err == nil && u.timeScale != 0 {
		if err := daemon.SetTimeScale(ctx, u.timeScale); err != nil {
			return false, err
		}
		u.progress.say(fmt.Sprintf("the time scale is %g from now on", float64(u.timeScale)))
	}
	if err == nil && u.logs != (api.Log{}) {
		now, err := daemon.SetLog(ctx, u.logs)
		if err != nil {
			return false, err
		}
		if u.relogged {
			u.progress.say(fmt.Sprintf("the log has the level %s and the format %s from now on", now.Level, now.Format))
		}
	}
	if err == nil {
		for _, c := range changes {
			u.progress.say(c.String())
		}
	}
	return false, nil
}

func asHost(name string) string {
	if name == "" {
		return "as a whole"
	}
	return fmt.Sprintf("host %q", name)
}

// checkMachine says why this machine cannot be the host that a plan is on.
func checkMachine(slice *topology.Plan) error {
	if slice.OnHost == "" {
		return nil
	}
	if os.Geteuid() != 0 || rootless.Arrived() {
		return withHint(fmt.Errorf("host %q has a UDP socket for VXLAN in the network of the machine, and an ordinary user "+
			"cannot make it", slice.OnHost), "run it with sudo")
	}
	return host.CheckUnderlay(slice)
}

// interrupted says what became of a change that nobody waited for. The daemon
// goes back when the command is gone, unless it is done by then.
func (u *up) interrupted() error {
	for deadline := time.Now().Add(time.Second); ; time.Sleep(10 * time.Millisecond) {
		text, err := u.dir.Load("topology.yaml")
		_, changing := os.Stat(u.dir.Path("changing"))
		switch {
		case err == nil && changing != nil && bytes.Equal(text, u.plan.Source):
			return errors.New("interrupted too late: the lab is what the file says")
		case changing != nil && time.Now().After(deadline):
			return errors.New("interrupted: the lab stays what it was")
		}
	}
}

// turnTimeout is how long "up" waits for a process that builds or removes the lab.
const turnTimeout = time.Minute

// turn gives the lab's lock, or nil where a daemon runs the lab and answers.
// It waits while somebody builds the lab or takes it down.
func (u *up) turn(ctx context.Context) (*labdir.Lock, error) {
	deadline := time.Now().Add(turnTimeout)
	for said := false; ; {
		lock, err := u.dir.Lock()
		if !errors.Is(err, labdir.ErrLocked) {
			return lock, err
		}
		if api.NewClient(u.dir).Answers(ctx) {
			return nil, nil
		}
		if !said {
			said = true
			u.progress.say("wait for another process, which is just building the lab or taking it down")
		}
		if time.Now().After(deadline) {
			return nil, withHint(
				fmt.Errorf("lab %q: another process holds it, and its daemon has not answered for %s", u.plan.Name,
					turnTimeout),
				"\"plinksim down %s\" ends it", u.plan.Name)
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return nil, errors.New("interrupted: nothing was changed")
		}
	}
}

// start runs this program again as the lab's daemon and listens to it until
// the lab is up. When that fails, or ctx ends before, nothing of the lab is
// left when this returns, however the daemon ended: the lock is held here, too. A
// lab that another daemon has left stays as it is then.
func (u *up) start(ctx context.Context, lock *labdir.Lock) error {
	defer lock.Release()
	var args []string
	_, err := u.dir.Load("topology.yaml") // which is written when the lab is complete
	wasThere := err == nil
	if wasThere {
		args = []string{"--left-behind"}
	}
	daemon, reports, err := u.daemon(lock, args...)
	if err != nil && !wasThere {
		return errors.Join(err, u.dir.Erase())
	}
	if err != nil {
		return err
	}
	defer reports.Close()
	waitFor("the daemon of lab %q to start", u.plan.Name)
	stop := context.AfterFunc(ctx, func() { daemon.Process.Signal(syscall.SIGTERM) })
	defer stop()
	ended := u.listen(json.NewDecoder(reports))
	if ended != nil && ended.Err == nil && stop() {
		return daemon.Process.Release()
	}
	daemon.Wait()
	words := lastWords(u.dir)
	if wasThere {
		return u.notTakenOver(ctx, ended, daemon.ProcessState, words)
	}
	if err := kernel.Clear(context.WithoutCancel(ctx), u.dir, lock); err != nil {
		return fmt.Errorf("lab %q: remove what had been made: %w", u.plan.Name, err)
	}
	switch {
	case ctx.Err() != nil:
		return errInterrupted
	case ended != nil && ended.Err != nil:
		return ended.Err
	}
	return fmt.Errorf("lab %q: its daemon ended before the lab was up (%s); what had been made is removed%s",
		u.plan.Name, daemon.ProcessState, words)
}

// notTakenOver says why a lab has no daemon, as before.
func (u *up) notTakenOver(ctx context.Context, ended *api.Progress, state *os.ProcessState, words string) error {
	var err error
	switch {
	case ctx.Err() != nil:
		err = errors.New("interrupted before the lab was taken over")
	case ended != nil && ended.Err != nil:
		err = ended.Err
	default:
		err = fmt.Errorf("lab %q: its daemon ended before the lab was taken over (%s)%s", u.plan.Name, state, words)
	}
	return withHint(err, "the lab stays as it was left: \"plinksim up FILE\" tries again, \"plinksim down %s\" removes it",
		u.plan.Name)
}

// daemon starts the daemon, and gives the pipe that it reports to.
func (u *up) daemon(lock *labdir.Lock, more ...string) (daemon *exec.Cmd, reports *os.File, err error) {
	if err := os.MkdirAll(u.dir.Path("log"), 0o700); err != nil {
		return nil, nil, err
	}
	log, err := os.OpenFile(u.dir.Path("log", "daemon.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, err
	}
	defer log.Close()
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	inside := kernel.Inside
	if len(more) > 0 {
		inside = kernel.Beside // the lab is up, and has a keeper
	}
	argv, err := inside(u.dir, append([]string{self, "__daemon", "--name", u.plan.Name, "--file", u.plan.File,
		"--workers", strconv.Itoa(u.workers), "--transition", u.transition.String(),
		"--time-scale", strconv.FormatFloat(float64(u.timeScale), 'g', -1, 64),
		"--max-sessions", strconv.Itoa(u.plan.MaxSessions), "--flow-cache", u.flowCache.String(),
		"--log-level", u.logs.Level, "--log-format", u.logs.Format,
		"--host", u.host, "--tls", u.tls, "--etcd", strings.Join(u.etcd, ","), "--authority=" + strconv.FormatBool(u.authority)}, more...))
	if err != nil {
		return nil, nil, err
	}
	reports, write, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer write.Close()
	daemon = exec.Command(argv[0], argv[1:]...)
	daemon.Dir = "/"
	// It is in another directory, where a relative path would be another one.
	daemon.Env = append(os.Environ(), labdir.RootVariable+"="+labdir.Root())
	daemon.Stdout, daemon.Stderr = log, log
	daemon.ExtraFiles = []*os.File{reportsFile - 3: write, lockFile - 3: lock.File()}
	// A session of its own: ctrl-C on the terminal is for us, and we tell it.
	daemon.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	source, err := daemon.StdinPipe()
	if err == nil {
		err = daemon.Start()
	}
	if err != nil {
		reports.Close()
		return nil, nil, fmt.Errorf("start the lab's daemon: %w", err)
	}
	go func() {
		defer source.Close()
		source.Write(u.plan.Source)
	}()
	return daemon, reports, nil
}

// listen shows what the daemon reports, and returns its last report, or nil
// where it ended without one.
func (u *up) listen(reports *json.Decoder) *api.Progress {
	for {
		var p api.Progress
		if reports.Decode(&p) != nil {
			return nil
		}
		if p.End {
			return &p
		}
		u.progress.show(p.Done, p.Total, p.What)
	}
}

// lastWords is the end of a daemon's log, for a message.
func lastWords(dir labdir.Dir) string {
	text, err := os.ReadFile(dir.Path("log", "daemon.log"))
	if err != nil || len(text) == 0 {
		return ""
	}
	const most = 2000
	return "; its last words:\n" + strings.TrimSpace(string(text[max(0, len(text)-most):]))
}

// foreground is the daemon without a daemon. What happens goes to stderr.
func (u *up) foreground(ctx context.Context, stderr io.Writer, show func() error) error {
	defer u.progress.end()
	if err := u.checkSocket(); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return u.becomeRoot()
	}
	lock, err := u.dir.Lock()
	if errors.Is(err, labdir.ErrLocked) {
		return u.isUp()
	}
	if err != nil {
		return err
	}
	defer lock.Release()
	logging, err := server.NewLogging(stderr, u.plan.Name, u.logs)
	if err != nil {
		return err
	}
	cfg := lab.Config{
		Plan: u.plan, Workers: u.workers, Transition: u.transition, TimeScale: u.timeScale,
		Progress: u.progress.show, Authority: u.authority, Host: u.host,
	}
	return serve(ctx, lock, cfg, joining{tls: u.tls, etcd: u.etcd}, u.flowCache, logging, func() {
		u.progress.end()
		if err := show(); err != nil {
			logging.Logger().Error("what was made cannot be shown", "error", err)
		}
	})
}

// becomeRoot starts the same command where an ordinary user is root. What came
// from standard input it finds there again.
func (u *up) becomeRoot() error {
	if u.plan.File == "-" {
		again, err := unix.MemfdCreate("topology", unix.MFD_CLOEXEC)
		if err != nil {
			return err
		}
		file := os.NewFile(uintptr(again), "topology")
		if _, err := file.Write(u.plan.Source); err != nil {
			return err
		}
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return err
		}
		if err := unix.Dup3(again, 0, 0); err != nil {
			return err
		}
	}
	err := becomeRootOf(u.dir)
	if errors.Is(err, labdir.ErrLocked) {
		return u.isUp()
	}
	return err
}

// isUp says why a lab that is up cannot be brought up in the foreground.
func (u *up) isUp() error {
	return withHint(fmt.Errorf("lab %q is up already, or just being built or taken down", u.plan.Name),
		"without --foreground, \"plinksim up\" changes a lab that is up; \"plinksim down %s\" removes it",
		u.plan.Name)
}

// printNext names the commands that make sense now.
func printNext(w io.Writer, plan *topology.Plan, now status.Lab, foreground bool) {
	fmt.Fprintln(w, "\nNext:")
	t := newTable(w)
	for _, ep := range now.Endpoints {
		if svc, err := plan.Service(ep.Service); err == nil && !svc.AutoAccept && !isConnected(ep) {
			t.row("  plinksim accept "+ep.Service+" "+ep.Name,
				"let "+ep.Name+" connect: "+ep.Service+" does not accept by itself")
		}
	}
	for _, ep := range plan.Endpoints {
		if ep.Absent && !exists(now, ep) {
			t.row("  plinksim endpoint create "+ep.Name, "create "+ep.Name+", which the file has for later")
		}
	}
	if client, endpoint := firstClient(plan, now); client != "" {
		t.row(fmt.Sprintf("  plinksim exec %s -- curl -s http://$(plinksim name %s)/", client, endpoint),
			"call the service from "+client)
	}
	if len(now.NATGateways) > 0 {
		t.row("  plinksim nat entry list", "where the NAT IPs lead")
	}
	if n := len(plan.Checks); n > 0 {
		t.row("  plinksim check "+plan.Name, "run the file's "+spell.Count(n, "check"))
	}
	t.row("  plinksim status "+plan.Name, "everything about the lab")
	if foreground {
		t.row("  ctrl-C", "remove the lab")
	} else {
		t.row("  plinksim down "+plan.Name, "remove the lab")
	}
	t.flush()
}

// firstClient is the first endpoint that can be called, and an instance in its
// VPC.
func firstClient(plan *topology.Plan, now status.Lab) (client, endpoint string) {
	for _, ep := range plan.Endpoints {
		vpc, err := plan.VPC(ep.VPC)
		if err != nil || len(vpc.Instances) == 0 || ep.Reverse || !exists(now, ep) {
			continue
		}
		name := vpc.Instances[0].Name
		if _, err := plan.Instance(name); err != nil {
			name = vpc.Name + "/" + name
		}
		return name, ep.Name
	}
	return "", ""
}

func exists(now status.Lab, ep topology.Endpoint) bool {
	return slices.ContainsFunc(now.Endpoints, func(s status.Endpoint) bool { return s.Name == ep.Name })
}
