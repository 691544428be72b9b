package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/host"
	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/topology"
)

func newExec() *cobra.Command {
	var labName string
	cmd := &cobra.Command{
		Use:   "exec INSTANCE -- PROGRAM [ARG...]",
		Short: "Run a program on an instance",
		Long: `Run a program of this machine on an instance: it has the instance's network,
its resolv.conf and its hosts file, and everything else of this machine. The
exit code is the program's; 126 when it could not be run, 127 when it was not
found.`,
		Example: "  sudo plinksim exec ecs1 -- curl -s http://$(sudo plinksim name ep1)/\n  sudo plinksim exec ecs1 -- bash\n  sudo plinksim exec vpc1/ecs1 -- ip address    # where several VPCs have an ecs1",
		Args:    takes(cobra.MinimumNArgs(2), "an instance and a program: exec INSTANCE -- PROGRAM [ARG...]"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveDefault
			}
			return instanceNames(labName), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := needRoot("exec"); err != nil {
				return err
			}
			dir, plan, err := labPlan(labName)
			if err != nil {
				return err
			}
			instance, err := plan.Instance(args[0])
			if err != nil {
				return err
			}
			program := args[1:]
			if program[0] == "--" {
				program = program[1:]
			}
			if len(program) == 0 {
				return &usageError{errors.New("exec: no program after --")}
			}
			env := append(os.Environ(), "PLINKSIM_LAB="+plan.Name, "PLINKSIM_INSTANCE="+instance.Name)
			return exitCode(execExit(host.Exec(string(dir), instance.Namespace, program, env), cmd.ErrOrStderr()))
		},
	}
	cmd.Flags().SetInterspersed(false)
	addLab(cmd, &labName)
	return cmd
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

func newAccept() *cobra.Command {
	return newDecision("accept", "Let an endpoint connect to an endpoint service", `Accept an endpoint's connection as the owner of the endpoint service, and wait
until it is connected. In the Alibaba Cloud console the action is called Allow.`,
		(*api.Client).Accept)
}

func newReject() *cobra.Command {
	return newDecision("reject", "Refuse or end an endpoint's connection", `Reject an endpoint's connection as the owner of the endpoint service, and wait
until nothing passes any more: sessions that are open end. It can be accepted
again. In the Alibaba Cloud console the action is called Deny.`,
		(*api.Client).Reject)
}

type decide func(*api.Client, context.Context, api.Decision) (control.Connection, error)

func newDecision(verb, short, long string, act decide) *cobra.Command {
	var on target
	var account string
	var noWait bool
	cmd := &cobra.Command{
		Use: verb + " SERVICE ENDPOINT", Short: short, Long: long,
		Example: "  sudo plinksim " + verb + " svc1 ep1",
		Args:    takes(cobra.ExactArgs(2), "an endpoint service and an endpoint"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return connectionNames(on.lab, len(args)), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := on.client("")
			if err != nil {
				return err
			}
			d := api.Decision{Account: account, Service: args[0], Endpoint: args[1], WaitSeconds: 30}
			if noWait {
				d.WaitSeconds = 0
			}
			connection, err := act(client, cmd.Context(), d)
			if err != nil {
				return err
			}
			if on.output == "json" {
				return printJSON(cmd.OutOrStdout(), connection)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s/%s is %s\n", connection.Service, connection.Endpoint, connection.Status)
			return nil
		},
	}
	cmd.Flags().StringVar(&account, "as", "", "act as this account; the service's owner by default")
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "return at once, not when it is in force")
	on.addFlags(cmd)
	return cmd
}

func newCheck() *cobra.Command {
	var on target
	cmd := &cobra.Command{
		Use:   "check [LAB]",
		Short: "Run the checks of a lab's topology file",
		Long: `Run the verification steps that the topology file lists, in their order, and
print a table of what was expected and what came. Connections that need
acceptance are put back to waiting first, so that the checks start from what
the file says however often they run. The exit code is 1 when a check failed.`,
		Args:              takes(cobra.MaximumNArgs(1), "at most one lab"),
		ValidArgsFunction: completeLabs,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := on.client(first(args))
			if err != nil {
				return err
			}
			return check(cmd, client, on.output == "json")
		},
	}
	on.addFlags(cmd)
	return cmd
}

// check prints each result when it is there.
func check(cmd *cobra.Command, client *api.Client, asJSON bool) error {
	out := cmd.OutOrStdout()
	results := []lab.CheckResult{}
	failed := 0
	err := client.Check(cmd.Context(), func(r lab.CheckResult) error {
		results = append(results, r)
		if !r.Passed {
			failed++
		}
		if !asJSON {
			printCheck(out, r)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if asJSON {
		if err := printJSON(out, map[string]any{"schema": lab.Schema, "checks": results}); err != nil {
			return err
		}
	} else if len(results) == 0 {
		fmt.Fprintln(out, "the topology file of the lab has no checks")
	} else {
		fmt.Fprintf(out, "\n%d passed, %d failed\n", len(results)-failed, failed)
	}
	if failed > 0 {
		return exitCode(1)
	}
	return nil
}

func printCheck(w io.Writer, r lab.CheckResult) {
	if r.Number == 1 {
		fmt.Fprintf(w, "%-5s %-4s %-46s %-30s %s\n", "", "", "CHECK", "EXPECTED", "CAME")
	}
	mark := "ok"
	if !r.Passed {
		mark = "FAIL"
	}
	fmt.Fprintf(w, "%2d/%-2d %-4s %-46s %-30s %s\n", r.Number, r.Of, mark, r.Name, r.Expect, r.Got)
	if !r.Passed {
		fmt.Fprintf(w, "      %s\n", r.Does)
	}
}

// labPlan is what a lab runs, read from its directory.
func labPlan(name string) (lab.Dir, *topology.Plan, error) {
	dir, err := findLab(name)
	if err != nil {
		return "", nil, err
	}
	plan, err := topology.Load(dir.Path("topology.yaml"))
	return dir, plan, err
}

func instanceNames(labName string) []string {
	_, plan, err := labPlan(labName)
	if err != nil {
		return nil
	}
	var names []string
	for _, vpc := range plan.VPCs {
		for _, i := range vpc.Instances {
			name := i.Name
			if _, err := plan.Instance(name); err != nil { // several VPCs have one
				name = vpc.Name + "/" + name
			}
			names = append(names, name)
		}
	}
	return names
}

// connectionNames completes the first argument with services, the second with
// endpoints.
func connectionNames(labName string, argument int) []string {
	_, plan, err := labPlan(labName)
	if err != nil || argument > 1 {
		return nil
	}
	var names []string
	if argument == 0 {
		for _, svc := range plan.Services {
			names = append(names, svc.Name)
		}
		return names
	}
	for _, ep := range plan.Endpoints {
		names = append(names, ep.Name)
	}
	return names
}
