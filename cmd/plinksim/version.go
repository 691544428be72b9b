package main

import (
	"fmt"
	"runtime/debug"

	"github.com/plinksim/plinksim/pkg/status"
	"github.com/spf13/cobra"
)

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
				return printJSON(cmd.OutOrStdout(),
					map[string]string{"schema": status.Schema, "version": version, "go": goVersion})
			}
			fmt.Fprintf(cmd.OutOrStdout(), "plinksim %s (%s)\n", version, goVersion)
			return nil
		},
	}
	addOutput(cmd, &output)
	return cmd
}
