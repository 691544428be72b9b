package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/internal/spell"
	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/status"
)

func newDNS() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dns",
		Short: "Ask the resolvers of a lab, and watch what they are asked",
		Args:  unknownCommand,
		RunE:  func(cmd *cobra.Command, args []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newDNSQuery(), newDNSWatch())
	return cmd
}

func newDNSQuery() *cobra.Command {
	var on target
	var from string
	cmd := &cobra.Command{
		Use:   "query NAME [TYPE] --from INSTANCE",
		Short: "Show what a name leads to for an instance, and why",
		Long: `Show what the resolver of an instance's VPC answers the instance, and why: what
answers for the name, whether the zone of the asker plays a part, and for each
address whether it is given or left out, with the reason.

NAME is a reference, for example ep1, ep1@eu-central-1b or ecs2, a domain name, or an
address, which stands for its reverse name. A name that is not a reference is looked
for as programs on the instance do: in its hosts file, then along its search list.
TYPE is A if it is missing.`,
		Example: "  sudo plinksim dns query ep1 --from ecs1\n" +
			"  sudo plinksim dns query db.corp.example AAAA --from ecs1\n" +
			"  sudo plinksim dns query 10.0.0.77 --from ecs1",
		Args: takes(cobra.RangeArgs(1, 2), "a name and at most one type"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			switch len(args) {
			case 0:
				return references(cmd.Context(), on.lab), cobra.ShellCompDirectiveNoFileComp
			case 1:
				return status.QueryTypes(), cobra.ShellCompDirectiveNoFileComp
			}
			return nil, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if from == "" {
				return &usageError{fmt.Errorf("dns query: the answer depends on who asks: add --from INSTANCE")}
			}
			client, err := on.client(cmd.Context(), "")
			if err != nil {
				return err
			}
			qtype := ""
			if len(args) == 2 {
				qtype = args[1]
			}
			a, err := client.Query(cmd.Context(), from, args[0], qtype)
			if err != nil {
				return err
			}
			if on.output == "json" {
				return printJSON(cmd.OutOrStdout(), a)
			}
			printNameAnswer(cmd.OutOrStdout(), a)
			return nil
		},
	}
	addFrom(cmd, &from, &on, "the instance that asks")
	on.addFlags(cmd)
	return cmd
}

func addFrom(cmd *cobra.Command, from *string, on *target, usage string) {
	cmd.Flags().StringVar(from, "from", "", usage)
	cmd.RegisterFlagCompletionFunc("from", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return instanceNames(cmd.Context(), on.lab), cobra.ShellCompDirectiveNoFileComp
	})
}

func printNameAnswer(w io.Writer, a status.NameAnswer) {
	fmt.Fprintf(w, "%s %s, asked by %s (%s, zone %s) of VPC %s: %s\n",
		a.Name, a.Type, a.From, a.IP, orNone(a.Zone), a.VPC, a.Code)
	for _, r := range a.Records {
		fmt.Fprintf(w, "  %s\n", r)
	}
	fmt.Fprintln(w)
	for _, s := range a.Steps {
		printNameStep(w, a, s)
	}
}

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}

func printNameStep(w io.Writer, a status.NameAnswer, s status.NameStep) {
	fmt.Fprintf(w, "%s: %s", s.Name, s.Outcome)
	switch {
	case s.Authority == "" && (a.Source == "cache" || a.Source == "upstream"):
		fmt.Fprintf(w, "; the answer is from the %s", a.Source)
	case s.Authority == "" && a.Code == "REFUSED":
		fmt.Fprint(w, "; VPC ", a.VPC, " has no upstream to ask")
	case s.Authority != "":
		fmt.Fprintf(w, "; zone %s has authority", s.Authority)
	}
	if s.Wildcard != "" {
		fmt.Fprintf(w, "; %s stands for it", s.Wildcard)
	}
	if s.Affinity {
		fmt.Fprint(w, "; zone affinity")
	}
	fmt.Fprintln(w)
	t := newTable(w)
	for _, addr := range s.Addresses {
		what := "left out"
		if addr.Given {
			what = "given"
		}
		t.row("  "+what, addr.IP, addr.Zone, addr.Reason)
	}
	t.flush()
}

func newDNSWatch() *cobra.Command {
	var on target
	var from string
	var count int
	cmd := &cobra.Command{
		Use:   "watch",
		Short: "Show every question of the instances when it comes",
		Long: `Show every question that comes to the resolvers of the lab, and its answer,
until ctrl-C. If questions come faster than they can be shown, some are left out
and counted; the resolvers never wait.`,
		Example: "  sudo plinksim dns watch\n  sudo plinksim dns watch --from ecs1 -o json",
		Args:    takes(cobra.NoArgs, "no arguments"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if count < 0 {
				return &usageError{fmt.Errorf("dns watch: --count %d: want a number from 1 on", count)}
			}
			client, err := on.client(cmd.Context(), "")
			if err != nil {
				return err
			}
			return watchQueries(cmd, client, from, count, on.output == "json")
		},
	}
	addFrom(cmd, &from, &on, "the questions of this instance alone")
	cmd.Flags().IntVar(&count, "count", 0, "end after so many; 0: go on")
	on.addFlags(cmd)
	cmd.Flags().Lookup("output").Usage = "table, or json: one object a line"
	return cmd
}

// errEnough ends a stream that has given what was wanted.
var errEnough = errors.New("enough")

func watchQueries(cmd *cobra.Command, client *api.Client, from string, count int, asJSON bool) error {
	out, seen := cmd.OutOrStdout(), 0
	lines := json.NewEncoder(out)
	err := client.WatchQueries(cmd.Context(), from, func(q api.WatchedQuery) error {
		if asJSON {
			if err := lines.Encode(queryLine{status.NewHead(), q}); err != nil {
				return err
			}
		} else {
			printQuery(out, q)
		}
		if seen++; seen == count {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) || cmd.Context().Err() != nil {
		return nil
	}
	return err
}

func printQuery(w io.Writer, q api.WatchedQuery) {
	if q.Missed > 0 {
		fmt.Fprintf(w, "not shown, as they came too fast: %s\n", spell.Count(q.Missed, "question"))
	}
	who := q.From
	if who == "" {
		who = q.Asker.Addr().String()
	}
	answer := q.Code
	if len(q.Data) > 0 {
		answer += " " + strings.Join(q.Data, ", ")
	}
	fmt.Fprintf(w, "%s %s %s/%s %s %s: %s (%s, %d us)\n",
		q.Time.Format("15:04:05.000"), who, q.VPC, q.Transport, q.Name, q.Type, answer, q.Source, q.Micros)
}
