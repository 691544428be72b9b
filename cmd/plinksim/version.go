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
			if output == "json" {
				return printJSON(cmd.OutOrStdout(),
					status.Version{Head: status.NewHead(), Version: version, Go: goVersion()})
			}
			_, err := fmt.Fprint(cmd.OutOrStdout(), versionLine())
			return err
		},
	}
	addOutput(cmd, &output)
	return cmd
}

func versionLine() string { return fmt.Sprintf("plinksim %s (%s)\n", version, goVersion()) }

func goVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.GoVersion
	}
	return "unknown"
}
