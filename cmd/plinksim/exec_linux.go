package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/pkg/host"
	"github.com/plinksim/plinksim/pkg/labdir"
	"github.com/plinksim/plinksim/pkg/machine/kernel"
	"github.com/plinksim/plinksim/pkg/topology"
)

func newExec() *cobra.Command {
	var labName string
	var variables []string
	var interactive, terminal bool
	cmd := &cobra.Command{
		Use:   "exec INSTANCE -- PROGRAM [ARG...]",
		Short: "Run a program on an instance",
		Long: `Run a program of this machine on an instance. It uses the instance's network,
resolv.conf and hosts file, and this machine's files otherwise. It has your
environment, without what is true of the machine alone, and that of the instance
("env:" in the file). The program has your terminal, or what standard input is, so
that a shell is as usual. The exit code is the program's; 126 if it could not be
run, 127 if it was not found.

On an instance of another host (docs/hosts.md) it is a program of that host, with
that host's files and your environment. It has a terminal where standard input and
standard output are one, gets the signals that this command gets, and ends with it.`,
		Example: "  sudo plinksim exec ecs1 -- curl -s http://$(sudo plinksim name ep1)/\n" +
			"  sudo plinksim exec -it ecs1 bash\n" +
			"  sudo plinksim exec -e HTTPS_PROXY=http://10.0.1.9:3128 ecs1 -- curl -s https://example.com/\n" +
			"  sudo plinksim exec vpc1/ecs1 -- ip address    # where several VPCs have an ecs1",
		Annotations: map[string]string{leavesSignals: "yes"},
		Args:        takes(cobra.MinimumNArgs(2), "an instance and a program: exec INSTANCE -- PROGRAM [ARG...]"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveDefault
			}
			return instanceNames(cmd.Context(), labName), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			program, err := programOf(cmd, args[1:])
			if err != nil {
				return err
			}
			if cmd.Flags().Changed("timeout") {
				return &usageError{errors.New("exec: the program has the time that it takes: write timeout(1) before it")}
			}
			dir, plan, err := labPlan(cmd.Context(), labName)
			if err != nil {
				return err
			}
			instance, err := plan.Running(args[0])
			if err != nil {
				return err
			}
			if terminal && !isTerminal(os.Stdin) {
				return errors.New("exec -t: standard input is no terminal: leave out -t")
			}
			set, err := variablesOf(variables)
			if err != nil {
				return err
			}
			if otherHost(dir, plan, instance.Zone) != "" {
				return execThere(cmd.Context(), dir, args[0], program, set)
			}
			if err := needRights("exec", host.SysAdmin); err != nil {
				return err
			}
			env := environOn(dir, plan, instance, os.Environ(), set)
			return exitCode(execExit(become(dir, instance.Namespace, program, env), cmd.ErrOrStderr()))
		},
	}
	cmd.Flags().StringArrayVarP(&variables, "env", "e", nil,
		"NAME=VALUE for the program, or NAME for what it is here; may be given several times")
	cmd.Flags().BoolVarP(&interactive, "interactive", "i", false, "as with other tools: the program always has standard input")
	cmd.Flags().BoolVarP(&terminal, "tty", "t", false, "refuse where standard input is no terminal")
	cmd.Flags().SetInterspersed(false)
	addLab(cmd, &labName)
	return cmd
}

// variablesOf are the variables that the user gives a program on purpose.
func variablesOf(flags []string) (set []string, err error) {
	for _, v := range flags {
		if name, _, ok := strings.Cut(v, "="); !ok {
			v = name + "=" + os.Getenv(name)
		} else if name == "" {
			return nil, &usageError{fmt.Errorf("exec --env %q: want NAME=VALUE, or NAME for what it is here", v)}
		}
		set = append(set, v)
	}
	return set, nil
}

// environOn is the environment of a program on an instance whose namespace is here: that of the
// user, what the instance has, and what was set on purpose.
func environOn(dir labdir.Dir, plan *topology.Plan, instance *topology.Instance, env, set []string) []string {
	return host.LastOfEach(slices.Concat(host.Environ(env), host.TrustEnviron(string(dir)), instance.Env,
		[]string{labVariable + "=" + plan.Name, "PLINKSIM_INSTANCE=" + instance.Name}, set))
}

// become replaces this process by a program in a namespace. An ordinary user
// joins those of the lab first. It returns where that fails.
func become(dir labdir.Dir, namespace string, program, env []string) error {
	if os.Geteuid() == 0 {
		return host.Exec(string(dir), namespace, program, env)
	}
	argv, err := here(append([]string{kernel.EnterCommand, string(dir), namespace}, program...)...)
	if err == nil {
		argv, err = kernel.Beside(dir, argv)
	}
	if err != nil {
		return err
	}
	return syscall.Exec(argv[0], argv, append(env, labdir.RootVariable+"="+labdir.Root()))
}

// programOf is what stands behind an instance and flags, with -- before it or
// without. Flags behind the program are the program's own.
func programOf(cmd *cobra.Command, args []string) ([]string, error) {
	program := args
	if strings.HasPrefix(args[0], "-") {
		dashes := slices.Index(args, "--")
		if dashes < 0 {
			return nil, &usageError{fmt.Errorf("exec: %q is no program: write -- before the program", args[0])}
		}
		if err := cmd.ParseFlags(args[:dashes]); err != nil {
			return nil, unknownFlag(cmd, err)
		}
		program = args[dashes+1:]
	}
	if len(program) == 0 {
		return nil, &usageError{errors.New("exec: no program after --")}
	}
	return program, nil
}

// execExit is the exit code of a program that could not be run, as shells and
// container tools have it.
func execExit(err error, stderr io.Writer) int {
	printError(stderr, err)
	switch {
	case errors.Is(err, host.ErrNotFound):
		return 127
	case errors.Is(err, host.ErrNotExecutable):
		return 126
	}
	return 1
}
