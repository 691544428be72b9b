// Plinksim runs PrivateLink topologies on one Linux machine: VPCs as network
// namespaces, endpoints, load balancers and resolvers between them, and a NAT
// in userspace that carries every packet.
//
// Data goes to standard output, everything else to standard error. The exit
// code is 0 when it was done, 1 when it failed and 2 when the command line was
// wrong; "plinksim exec" has the exit code of its program.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/plinksim/plinksim/internal/spell"
	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/labdir"
	"github.com/plinksim/plinksim/pkg/topology"
)

func main() {
	becomeAnother()
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

// leavesSignals is the annotation of a command that a signal ends as it ends any program, until there is a program
// that gets it. The context of all others ends.
const leavesSignals = "leaves signals"

// heedSignals lets the context of a command end when a signal comes.
func heedSignals(cmd *cobra.Command) (stop func()) {
	if cmd.Annotations[leavesSignals] != "" {
		return func() {}
	}
	ends := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as nohup does
		ends = append(ends, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), ends...)
	cmd.SetContext(ctx)
	return stop
}

// run is the program without its process.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	out := newScreen(stdout)
	var limit timeLimit
	root := newRoot(&limit)
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(stderr)
	stop, before := func() {}, root.PersistentPreRun
	root.PersistentPreRun = func(cmd *cobra.Command, args []string) {
		stop = heedSignals(cmd)
		before(cmd, args)
	}
	defer func() { stop() }()
	err := limit.end(root.ExecuteContext(ctx))
	switch {
	case errors.Is(out.err, syscall.EPIPE) && (err == nil || errors.Is(err, syscall.EPIPE)):
		return 0 // it was done, and whoever reads has read enough
	case err == nil && out.err != nil:
		err = out.err
	}
	var code exitCode
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	}
	printError(stderr, err)
	var usage *usageError
	if errors.As(err, &usage) {
		return 2
	}
	return 1
}

// exitCode ends the program with a code and without a message.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// usageError is a command line that cannot be understood.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }

// hinted is an error with what to do about it.
type hinted struct {
	err  error
	hint string
}

func (e *hinted) Error() string { return e.err.Error() }
func (e *hinted) Unwrap() error { return e.err }
func (e *hinted) Hint() string  { return e.hint }

// hintOf is what err says about what to do, or "".
func hintOf(err error) string {
	var known interface{ Hint() string }
	if !errors.As(err, &known) {
		return ""
	}
	return known.Hint()
}

func withHint(err error, hint string, args ...any) error {
	return &hinted{err, fmt.Sprintf(hint, args...)}
}

func printError(w io.Writer, err error) {
	var refused *api.Error
	if errors.As(err, &refused) && refused.Word != "" {
		err = fmt.Errorf("%w (%s)", err, refused.Word)
	}
	fmt.Fprintf(w, "plinksim: %v\n", err)
	hint := hintOf(err)
	if hint != "" {
		fmt.Fprintf(w, "plinksim: hint: %s\n", hint)
	}
	if hint == "" && errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0 {
		fmt.Fprintln(w, "plinksim: hint: labs belong to root: run it with sudo")
	}
	if refused != nil && refused.Hint != "" {
		fmt.Fprintf(w, "plinksim: hint: %s\n", topology.Advice(refused.Hint, refused.Remedies, remedyLine))
	}
	var usage *usageError
	if errors.As(err, &usage) {
		fmt.Fprintf(w,
			"plinksim: hint: \"plinksim help\" lists the commands, \"plinksim COMMAND --help\" explains one\n")
	}
}

func newRoot(limit *timeLimit) *cobra.Command {
	root := &cobra.Command{
		Use:   "plinksim",
		Short: "Run PrivateLink topologies on one Linux machine, with real packets",
		Long: strings.TrimSpace(`
Plinksim builds VPCs as network namespaces and gives them endpoints, load
balancers and resolvers, so that an instance in one VPC reaches a service in
another through PrivateLink, with real packets and no cloud account.

  sudo plinksim up alibaba-clb
  sudo plinksim accept svc1 ep1
  sudo plinksim exec ecs1 -- curl -s "http://$(sudo plinksim name ep1)/"
  sudo plinksim check
  sudo plinksim down`),
		SilenceErrors: true, SilenceUsage: true,
		Args: unknownCommand,
		RunE: func(cmd *cobra.Command, args []string) error { return cmd.Help() },
	}
	root.PersistentFlags().DurationVar(&limit.most, "timeout", 0,
		"give up after so long, for example 30s, and say what was waited for; 0 waits as long as it takes")
	root.PersistentFlags().Var(stateDir{}, "state-dir",
		"where the files of labs are, in the place of "+labdir.RootVariable)
	root.PersistentPreRun = func(cmd *cobra.Command, _ []string) {
		limit.begin(cmd)
		if output := cmd.Flags().Lookup("output"); output != nil && output.Value.String() == "wide" {
			screenOf(cmd.OutOrStdout()).columns = 0
		}
	}
	root.Version = version
	root.SetVersionTemplate(versionLine())
	root.SetFlagErrorFunc(unknownFlag)
	root.SetHelpCommand(newHelp())
	root.AddGroup(
		&cobra.Group{ID: "lab", Title: "Run a lab:"},
		&cobra.Group{ID: "use", Title: "Use a lab:"},
		&cobra.Group{ID: "make", Title: "Create, change and delete objects of a running lab:"},
		&cobra.Group{ID: "see", Title: "Look into a lab:"},
		&cobra.Group{ID: "file", Title: "Work on a topology file, without root:"},
	)
	add(root, "lab", newUp(), newDiff(), newUpgrade(), newDown(), newList(), newDoctor())
	add(root, "use", newExec(), newRestart(), newAccept(), newReject(), newService(), newEndpoint(), newConnection(),
		newServer(), newNAT(), newAPI(), newFault(), newCheck())
	add(root, "make", append(newKinds(), newEdit())...)
	add(root, "see", newConsole(), newStatus(), newLogs(), newExplain(), newGraph(), newSessions(), newEvents(), newExport(), newName(),
		newDNS(), newCapture(), newFlowLog(), newMetrics())
	add(root, "file", newInit(), newValidate(), newPlan(), newSchema(), newReplay(), newHosts())
	root.AddCommand(newBench(), newMan(), newVersion(), newDaemon())
	for _, c := range root.Commands() {
		tellForeign(c)
	}
	return root
}

func add(root *cobra.Command, group string, commands ...*cobra.Command) {
	for _, c := range commands {
		c.GroupID = group
		root.AddCommand(c)
	}
}

func newHelp() *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND...]", Short: "Explain a command",
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			of, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return commandNames(of), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			of, rest, err := cmd.Root().Find(args)
			if err != nil {
				return &usageError{err}
			}
			if err := unknownCommand(of, rest); err != nil {
				return err
			}
			of.InitDefaultHelpFlag() // so that the text has it
			return of.Help()
		},
	}
}

// unknownCommand refuses what stands where a command should.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	what := fmt.Sprintf("unknown command %q", args[0])
	if cmd.HasParent() {
		what = fmt.Sprintf("%q has no command %q", cmd.CommandPath(), args[0])
	}
	return &usageError{guess(what, args[0], commandNames(cmd))}
}

func commandNames(cmd *cobra.Command) (names []string) {
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(append(names, c.Name()), c.Aliases...)
		}
	}
	return names
}

func unknownFlag(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return &usageError{err}
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, "--"+f.Name) })
	return &usageError{guess(err.Error(), "--"+unknown.GetSpecifiedName(), names)}
}

// guess adds to what is wrong the name that was meant, where one is near.
func guess(wrong, name string, known []string) error {
	if near := spell.Nearest(name, known); near != "" {
		return fmt.Errorf("%s: did you mean %q?", wrong, near)
	}
	return errors.New(wrong)
}

// takes wraps what cobra says of a wrong number of arguments.
func takes(check cobra.PositionalArgs, want string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if check(cmd, args) != nil {
			return &usageError{fmt.Errorf("%q takes %s", cmd.CommandPath(), want)}
		}
		return nil
	}
}
