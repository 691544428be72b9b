package main

import (
	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/pkg/topofile"
)

func newSchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of topology files, for editors",
		Long: `Print the JSON Schema of topology files. An editor that supports YAML schemas
completes and explains the keys if the first line of the file is

  # yaml-language-server: $schema=plinksim.schema.json`,
		Example: "  plinksim schema >plinksim.schema.json",
		Args:    takes(cobra.NoArgs, "no arguments"),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := topofile.Schema()
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		},
	}
}
