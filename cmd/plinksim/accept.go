package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/control"
)

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
			return connectionNames(cmd.Context(), on.lab, len(args)), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := on.client(cmd.Context(), "")
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

// connectionNames completes the first argument with services, the second with
// endpoints.
func connectionNames(ctx context.Context, labName string, argument int) []string {
	_, plan, err := labPlan(ctx, labName)
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
