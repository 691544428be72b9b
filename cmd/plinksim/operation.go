package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
)

// group is a command that only has commands below it.
func group(use, short, long string, commands ...*cobra.Command) *cobra.Command {
	cmd := newGroup(use, short, long)
	cmd.AddCommand(commands...)
	return cmd
}

// operation is a command that does one operation of the control plane.
type operation struct {
	use, short, long, example string
	verb                      topology.Verb
	least, most               int    // arguments
	want                      string // names the arguments in the usage error
	// read takes the arguments over. One call with several of what it says
	// gives several operations.
	read func(o *topology.Operation, args []string) error
	each int // arguments from here on are one operation each, where above 0
	// flags are those of the operation alone.
	flags    func(cmd *cobra.Command, o *topology.Operation)
	complete []func(s status.Lab, args []string) []string // by argument
}

// command makes the command.
func (op operation) command() *cobra.Command {
	var on target
	var noWait bool
	o := topology.Operation{Verb: op.verb}
	cmd := &cobra.Command{
		Use: op.use, Short: op.short, Long: op.long, Example: op.example,
		Args: takes(cobra.RangeArgs(op.least, op.most), op.want),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return op.names(cmd, on.lab, args), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := on.client(cmd.Context(), "")
			if err != nil {
				return err
			}
			wait := 30.0
			if noWait {
				wait = 0
			}
			for _, args := range op.calls(args) {
				if err := op.read(&o, args); err != nil {
					return &usageError{fmt.Errorf("%s: %w", cmd.CommandPath(), err)}
				}
				if err := op.do(cmd, client, &on, api.Call{Operation: o, WaitSeconds: wait}); err != nil {
					return err
				}
			}
			return nil
		},
	}
	if op.flags != nil {
		op.flags(cmd, &o)
	}
	cmd.Flags().StringVar(&o.As, "as", "", "act as this account; as the one that may where it is missing")
	cmd.RegisterFlagCompletionFunc("as", completeAccounts(&on))
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "return at once, not when it is in force")
	on.addFlags(cmd)
	return cmd
}

// calls are the arguments of each operation.
func (op operation) calls(args []string) [][]string {
	if op.each == 0 || len(args) <= op.each {
		return [][]string{args}
	}
	var out [][]string
	for _, last := range args[op.each:] {
		out = append(out, append(slices.Clone(args[:op.each]), last))
	}
	return out
}

func (op operation) do(cmd *cobra.Command, client *api.Client, on *target, call api.Call) error {
	event, err := client.Do(cmd.Context(), call)
	if err != nil {
		return err
	}
	if on.output == "json" {
		return printJSON(cmd.OutOrStdout(), event)
	}
	fmt.Fprintln(cmd.OutOrStdout(), event.Text)
	return nil
}

// names completes an argument from what the lab has.
func (op operation) names(cmd *cobra.Command, labName string, args []string) []string {
	at := len(args)
	if op.each > 0 {
		at = min(at, op.each)
	}
	if at >= len(op.complete) {
		return nil
	}
	now, err := statusForCompletion(cmd, labName)
	if err != nil {
		return nil
	}
	return op.complete[at](now, args)
}

func statusForCompletion(cmd *cobra.Command, labName string) (status.Lab, error) {
	on := target{lab: labName, output: "table"}
	client, err := on.client(cmd.Context(), "")
	if err != nil {
		return status.Lab{}, err
	}
	return client.Status(cmd.Context())
}

func completeAccounts(on *target) func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return accountNames(cmd.Context(), on.lab), cobra.ShellCompDirectiveNoFileComp
	}
}

func accountNames(ctx context.Context, labName string) []string {
	_, plan, err := labPlan(ctx, labName)
	if err != nil {
		return nil
	}
	var names []string
	for _, a := range plan.Accounts {
		names = append(names, a.Name)
	}
	return names
}

// What arguments can be.

func allServices(s status.Lab, _ []string) (names []string) {
	for _, svc := range s.Services {
		names = append(names, svc.Name)
	}
	return names
}

func allEndpoints(s status.Lab, _ []string) (names []string) {
	for _, ep := range s.Endpoints {
		names = append(names, ep.Name)
	}
	return names
}

// endpointsOf are those of the service that is the first argument.
func endpointsOf(s status.Lab, args []string) (names []string) {
	for _, ep := range s.Endpoints {
		if ep.Service == args[0] {
			names = append(names, ep.Name)
		}
	}
	return names
}

// zonesOf are those of the endpoint that is the last argument.
func zonesOf(s status.Lab, args []string) (names []string) {
	for _, ep := range s.Endpoints {
		if ep.Name == args[len(args)-1] {
			for _, z := range ep.Zones {
				names = append(names, z.Zone)
			}
		}
	}
	return names
}

func allLoadBalancers(s status.Lab, _ []string) (names []string) {
	for _, b := range s.LoadBalancers {
		names = append(names, b.Name)
	}
	return names
}

// listing is a command that shows what an account sees.
type listing struct {
	use, short, long string
	least, most      int                                        // arguments
	want             string                                     // names the arguments in the usage error
	complete         func(s status.Lab, args []string) []string // the first argument
	show             func(cmd *cobra.Command, s status.Lab, seen view) error
}

// view is what a listing was asked for.
type view struct {
	as   string // the account, or "" for everything
	args []string
	json bool
}

// command makes the command.
func (l listing) command() *cobra.Command {
	var on target
	var as string
	cmd := &cobra.Command{
		Use: l.use, Short: l.short, Long: l.long, Args: takes(cobra.RangeArgs(l.least, l.most), l.want),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if l.complete == nil || len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			now, err := statusForCompletion(cmd, on.lab)
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return l.complete(now, args), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := on.client(cmd.Context(), "")
			if err != nil {
				return err
			}
			now, err := client.StatusFor(cmd.Context(), as)
			if err != nil {
				return err
			}
			return l.show(cmd, now, view{as, args, on.output == "json"})
		},
	}
	cmd.Flags().StringVar(&as, "as", "", "show what this account sees; everything where it is missing")
	cmd.RegisterFlagCompletionFunc("as", completeAccounts(&on))
	on.addFlags(cmd)
	return cmd
}

// none says that a list is empty, which a table does not.
func none(cmd *cobra.Command, n int, what, as string) {
	switch {
	case n > 0:
	case as != "":
		fmt.Fprintf(cmd.ErrOrStderr(), "no %s that account %q sees\n", what, as)
	default:
		fmt.Fprintf(cmd.ErrOrStderr(), "no %s\n", what)
	}
}

// look asks the control plane for one object, which knows how to refuse.
func look(cmd *cobra.Command, on *target, o topology.Operation) error {
	client, err := on.client(cmd.Context(), "")
	if err != nil {
		return err
	}
	_, err = client.Do(cmd.Context(), api.Call{Operation: o})
	return err
}
