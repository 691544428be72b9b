package main

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
)

// listing is a command that shows what an account sees.
type listing struct {
	use, short, long string
	least, most      int                                        // arguments
	want             string                                     // names the arguments in the usage error
	complete         func(s status.Lab, args []string) []string // the first argument
	ask              func(args []string) topology.Operation     // what the control plane is asked first; may be nil
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
			if l.ask != nil && len(args) > 0 {
				o := l.ask(args)
				o.As = as
				if err := look(cmd, &on, o); err != nil {
					return err
				}
			}
			now, err := client.StatusFor(cmd.Context(), as)
			if err != nil {
				return err
			}
			if l.ask != nil && len(args) > 0 {
				args = unaliased(cmd, on.lab, now, args, l.ask(args))
			}
			return l.show(cmd, now, view{as, args, on.output == "json"})
		},
	}
	cmd.Flags().StringVar(&as, "as", "", "show what this account sees; everything where it is missing")
	cmd.RegisterFlagCompletionFunc("as", completeAccounts(&on))
	on.addFlags(cmd)
	return cmd
}

// unaliased are arguments of which the first is the name of what an operation asks for,
// where it was its tag Name.
func unaliased(cmd *cobra.Command, lab string, now status.Lab, args []string, o topology.Operation) []string {
	if slices.ContainsFunc(now.Endpoints, func(e status.Endpoint) bool { return named(args[0], e.Name, e.ID) }) ||
		slices.ContainsFunc(now.Services, func(s status.EndpointService) bool { return named(args[0], s.Name, s.ID) }) {
		return args
	}
	_, plan, err := labPlan(cmd.Context(), lab)
	if err != nil {
		return args
	}
	if o, err = plan.Unaliased(o); err != nil {
		return args
	}
	return append([]string{cmp.Or(o.Endpoint, o.Service)}, args[1:]...)
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
