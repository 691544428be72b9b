package main

import (
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/pkg/host"
	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/topology"
)

// load reads a topology file; "-" is standard input.
func load(file string) (*topology.Plan, error) {
	if file != "-" {
		return topology.Load(file)
	}
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		return nil, err
	}
	return topology.Parse("-", text)
}

func newValidate() *cobra.Command {
	return &cobra.Command{
		Use: "validate FILE", Aliases: []string{"lint"},
		Short: "Check a topology file and show every problem at once",
		Args:  takes(cobra.ExactArgs(1), "one topology file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			plan, err := load(args[0])
			if err != nil {
				return err
			}
			for _, warning := range plan.Warnings {
				fmt.Fprintf(cmd.ErrOrStderr(), "plinksim: warning: %s\n", warning.String())
			}
			instances := 0
			for _, vpc := range plan.VPCs {
				instances += len(vpc.Instances)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is valid: lab %s, %d VPCs, %d instances, %d endpoint services, %d endpoints, %d checks\n",
				args[0], plan.Name, len(plan.VPCs), instances, len(plan.Services), len(plan.Endpoints), len(plan.Checks))
			return nil
		},
	}
}

func newPlan() *cobra.Command {
	return &cobra.Command{
		Use: "plan FILE", Aliases: []string{"diff"},
		Short: "Print the ip and nft commands that a topology file stands for",
		Long: `Print everything that "up" would do to the kernel as ip, sysctl and nft
commands. Nothing is done. Plinksim itself speaks to the kernel without these
programs; the text is for people, and the same file gives the same text on
every machine.`,
		Args: takes(cobra.ExactArgs(1), "one topology file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			plan, err := load(args[0])
			if err != nil {
				return err
			}
			_, err = io.WriteString(cmd.OutOrStdout(), host.Script(plan))
			return err
		},
	}
}

func newSchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of topology files, for editors",
		Long: `Print the JSON Schema of topology files. An editor that knows YAML schemas
completes and explains the keys when the file's first line is

  # yaml-language-server: $schema=plinksim.schema.json`,
		Example: "  plinksim schema >plinksim.schema.json",
		Args:    takes(cobra.NoArgs, "no arguments"),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := topology.Schema()
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		},
	}
}

// version is set by the Makefile.
var version = "devel"

func newVersion() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  takes(cobra.NoArgs, "no arguments"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			goVersion := "unknown"
			if info, ok := debug.ReadBuildInfo(); ok {
				goVersion = info.GoVersion
			}
			if output == "json" {
				return printJSON(cmd.OutOrStdout(), map[string]string{"schema": lab.Schema, "version": version, "go": goVersion})
			}
			fmt.Fprintf(cmd.OutOrStdout(), "plinksim %s (%s)\n", version, goVersion)
			return nil
		},
	}
	addOutput(cmd, &output)
	return cmd
}
