package main

import (
	"fmt"
	"io"
	"os"
	"os/user"
	"strings"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

func newEdit() *cobra.Command {
	return group("edit", "Change anything in a running lab, by its place in the topology file",
		`Change anything that a topology file can say while the lab runs: create, change and
delete objects, and the values of their keys. A path leads to a value by the keys of
the file, such as vpcs/vpc1/subnets/vsw1. An element of a list has its number from 0,
some of its keys (listeners/protocol=tcp,port=80) or = and its value
(security_groups/=web); - adds one at the end. Within such a part ~1 stands for a slash.

All edits of one command are made, or none. They are held to the rules of a topology
file and applied like a changed one: what they do not touch goes on. They are kept
beside the file: they stay when the daemon is started again, and when "up" applies a
changed file, unless that says something new about the same thing. "check" puts them
aside while it runs.`,
		newEditSet(), newEditDelete(), newEditList())
}

func newEditSet() *cobra.Command {
	cmd := editing("set PATH VALUE [PATH VALUE]...", "Create something, or change a value",
		`  sudo plinksim edit set vpcs/vpc1/subnets/vsw9 "{zone: eu-central-1b, cidr: 10.0.9.0/24}"
  sudo plinksim edit set vpcs/vpc1/security_groups/db/ingress/- "{protocol: tcp, ports: 5432, source: 10.0.0.0/8}"
  sudo plinksim edit set load_balancers/clb1/listeners/port=80/idle_timeout 60s`,
		func(args []string) (edits []topology.Edit, err error) {
			for i := 0; i+1 < len(args); i += 2 {
				value := args[i+1]
				if value == "-" {
					text, err := io.ReadAll(io.LimitReader(os.Stdin, topofile.MaxSize))
					if err != nil {
						return nil, err
					}
					value = string(text)
				}
				if strings.TrimSpace(value) == "" {
					value = `""`
				}
				edits = append(edits, topology.Edit{Path: args[i], Value: value})
			}
			return edits, nil
		})
	cmd.Long = "Create something, or change a value. VALUE is YAML or JSON as it could stand in the file,\n" +
		"or - for what standard input has."
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 || len(args)%2 != 0 {
			return &usageError{fmt.Errorf("%q takes pairs of a path and a value", cmd.CommandPath())}
		}
		return nil
	}
	return cmd
}

func newEditDelete() *cobra.Command {
	cmd := editing("delete PATH...", "Delete something, or a key of it",
		"  sudo plinksim edit delete vpcs/vpc1/instances/ecs1\n"+
			"  sudo plinksim edit delete vpcs/vpc1/security_groups/web/ingress/0",
		func(args []string) (edits []topology.Edit, err error) {
			for _, path := range args {
				edits = append(edits, topology.Edit{Path: path})
			}
			return edits, nil
		})
	cmd.Long = "Delete something, or a key of it. What others use is not deleted, and the message names them."
	cmd.Args = takes(cobra.MinimumNArgs(1), "paths")
	return cmd
}

// editing is a command that makes edits of its arguments.
func editing(use, short, example string, read func(args []string) ([]topology.Edit, error)) *cobra.Command {
	var on target
	var call api.EditCall
	cmd := &cobra.Command{
		Use: use, Short: short, Example: example,
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if call.Edits, err = read(args); err != nil {
				return err
			}
			return makeEdits(cmd, &on, call)
		},
	}
	cmd.Flags().BoolVar(&call.DryRun, "dry-run", false, "only print what would change")
	on.addFlags(cmd)
	return cmd
}

// makeEdits makes edits, and prints what they changed.
func makeEdits(cmd *cobra.Command, on *target, call api.EditCall) error {
	client, err := on.client(cmd.Context(), "")
	if err != nil {
		return err
	}
	call.WaitSeconds, call.By = 30, fmt.Sprintf("%s, %s", userName(), cmd.CommandPath())
	changes, err := client.Edit(cmd.Context(), call)
	if err != nil {
		return err
	}
	return showChanges(cmd, on.output, changes)
}

// userName is who runs the program, behind sudo who began.
func userName() string {
	if name := os.Getenv("SUDO_USER"); name != "" {
		return name
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return fmt.Sprintf("user %d", os.Getuid())
}

func newEditList() *cobra.Command {
	var on target
	cmd := &cobra.Command{
		Use: "list", Short: "List how the lab's topology was edited since its file",
		Args: takes(cobra.NoArgs, "no arguments"),
		Long: "List what is different from the lab's file: + was created, - deleted, ~ changed. Warnings are those\n" +
			"that validate would print of the topology with these changes.",
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := on.client(cmd.Context(), "")
			if err != nil {
				return err
			}
			edited, err := client.Edits(cmd.Context())
			if err != nil {
				return err
			}
			if on.output == "json" {
				edited.Changes = append([]topology.Change{}, edited.Changes...)
				return printJSON(cmd.OutOrStdout(), changeList{status.NewHead(), edited})
			}
			for _, warning := range edited.Warnings {
				fmt.Fprintf(cmd.ErrOrStderr(), "plinksim: warning: %s\n", warning.String())
			}
			return showChanges(cmd, on.output, edited.Changes)
		},
	}
	on.addFlags(cmd)
	return cmd
}

func showChanges(cmd *cobra.Command, output string, changes []topology.Change) error {
	if output == "json" {
		return printJSON(cmd.OutOrStdout(),
			changeList{status.NewHead(), api.Edited{Changes: append([]topology.Change{}, changes...)}})
	}
	printChanges(cmd.OutOrStdout(), changes)
	if len(changes) == 0 {
		fmt.Fprintln(cmd.ErrOrStderr(), "plinksim: nothing is different")
	}
	return nil
}

// printChanges prints changes in the words of the file, one a line.
func printChanges(w io.Writer, changes []topology.Change) {
	for _, c := range changes {
		fmt.Fprintln(w, c)
	}
}
