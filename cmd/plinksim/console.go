package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/pkg/console"
	"github.com/plinksim/plinksim/pkg/labdir"
	"github.com/plinksim/plinksim/pkg/topology"
)

func newConsole() *cobra.Command {
	on := target{output: "table"}
	address := "127.0.0.1:0"
	cmd := &cobra.Command{
		Use:   "console [LAB]",
		Short: "Show a lab in the browser, and do there what the commands do",
		Long: `Show a lab in the browser: the topology as it lives, its objects, what happened, and
forms for everything that the commands can do, each with the command that would have
done it. It goes on until ctrl-C, and the lab after it.

It prints an address that opens the console once, in one browser. Nobody else gets in,
and it listens at a loopback address alone: from another machine use ssh -L.`,
		Example:           "  sudo plinksim console\n  sudo plinksim console alibaba-clb --address 127.0.0.1:8080",
		Args:              takes(cobra.MaximumNArgs(1), "at most one lab"),
		ValidArgsFunction: completeLabs,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := on.client(cmd.Context(), first(args))
			if err != nil {
				return err
			}
			ln, err := console.Listen(address)
			if err != nil {
				return err
			}
			plan := &keptPlan{lab: client.Lab()}
			c := console.New(console.Config{
				Name: client.Lab(), Lab: client, Plan: plan.get, Kinds: consoleKinds(), Actions: consoleActions(),
				By: fmt.Sprintf("%s, %s", userName(), cmd.CommandPath()),
			})
			fmt.Fprintf(cmd.ErrOrStderr(), "plinksim: the console of lab %q; ctrl-C ends it\n", client.Lab())
			fmt.Fprintf(cmd.OutOrStdout(), "http://%s%s\n", ln.Addr(), c.Ticket())
			go c.Run(cmd.Context())
			err = c.Serve(cmd.Context(), ln)
			if cmd.Context().Err() != nil && !gaveUp(cmd.Context()) {
				return nil
			}
			return err
		},
	}
	cmd.Flags().StringVar(&address, "address", address, "the loopback address to listen at; port 0 is a free one")
	addLab(cmd, &on.lab)
	return cmd
}

// keptPlan is what a lab runs, read again when its files have changed.
type keptPlan struct {
	lab  string
	plan *topology.Plan
	seen [2]time.Time
}

// get is called by one goroutine at a time.
func (k *keptPlan) get(ctx context.Context) (*topology.Plan, error) {
	var seen [2]time.Time
	for i, name := range []string{"topology.yaml", "topology.edits"} {
		if info, err := os.Stat(labdir.Of(k.lab).Path(name)); err == nil {
			seen[i] = info.ModTime()
		}
	}
	if k.plan != nil && seen == k.seen {
		return k.plan, nil
	}
	_, plan, err := labPlan(ctx, k.lab)
	if err != nil {
		return nil, err
	}
	k.plan, k.seen = plan, seen
	return plan, nil
}
