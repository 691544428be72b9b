package main

import (
	"fmt"
	"io"

	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
	"github.com/spf13/cobra"
)

func newExplain() *cobra.Command {
	var on target
	cmd := &cobra.Command{
		Use:   "explain INSTANCE PLACE",
		Short: "Show how far a packet gets, where it stops and why, and what would let it pass",
		Long: `Follow the first packet from an instance to a place, as the lab is now: the
name, the instance's security groups, the address, the listener, the
connection, the endpoint's security groups, the servers with their health, and
their security groups. It asks the parts that real packets pass, and sends none.

A place is a reference, for example ep1, ep1@eu-central-1b or ep1.ip, a domain name,
an address or an http URL, with the port where there is more than one. Where a
name has several addresses, the route to each is shown.

The exit code is 0 if every route ends at a server, 1 if one does not.`,
		Example: "  sudo plinksim explain ecs1 ep1\n" +
			"  sudo plinksim explain ecs1 ep1@eu-central-1b:443\n" +
			"  sudo plinksim explain ecs1 udp://10.0.0.77:53",
		Args: takes(cobra.ExactArgs(2), "an instance and a place"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return instanceNames(cmd.Context(), on.lab), cobra.ShellCompDirectiveNoFileComp
			}
			return references(cmd.Context(), on.lab), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := on.client(cmd.Context(), "")
			if err != nil {
				return err
			}
			e, err := client.Explain(cmd.Context(), args[0], args[1])
			if err != nil {
				return err
			}
			if on.output == "json" {
				err = printJSON(cmd.OutOrStdout(), e)
			} else {
				printExplanation(cmd.OutOrStdout(), e)
			}
			if err == nil && !e.Passes {
				return exitCode(1)
			}
			return err
		},
	}
	on.addFlags(cmd)
	return cmd
}

func printExplanation(w io.Writer, e status.Explanation) {
	fmt.Fprintf(w, "%s to %s, %s %d\n", e.From, e.To, e.Protocol, e.Port)
	printStation(w, e.Name)
	for i := range e.Ways {
		way := &e.Ways[i]
		if len(e.Ways) > 1 {
			fmt.Fprintf(w, "\nto %s\n", way.Address)
		}
		for _, s := range way.Stations {
			printStation(w, s)
		}
		fmt.Fprintln(w, conclusion(way))
	}
	for _, s := range remedies(e) {
		fmt.Fprintf(w, "to let it pass: %s\n", s)
	}
}

func printStation(w io.Writer, s status.Station) {
	mark := "ok"
	if !s.Passes {
		mark = "STOP"
	}
	verdict := ""
	if s.Verdict != "" {
		verdict = " (counted as " + s.Verdict + ")"
	}
	fmt.Fprintf(w, "  %-4s  %-14s  %s%s\n", mark, s.Name, s.Text, verdict)
}

func conclusion(way *status.Route) string {
	if stop := way.Stops(); stop != nil {
		return "it stops at: " + stop.Name
	}
	return "it passes"
}

// remedies are what all stations advise, each once.
func remedies(e status.Explanation) (out []string) {
	seen := map[string]bool{"": true}
	add := func(s status.Station) {
		text := topology.Advice(s.Remedy, s.Remedies, remedyLine)
		if !seen[text] {
			out = append(out, text)
		}
		seen[text] = true
	}
	add(e.Name)
	for _, way := range e.Ways {
		for _, s := range way.Stations {
			add(s)
		}
	}
	return out
}
