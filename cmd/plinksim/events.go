package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/status"
)

func newEvents() *cobra.Command {
	var on target
	var follow bool
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Show what happened to connections and servers; with --follow also what happens next",
		Args:  takes(cobra.NoArgs, "no arguments"),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := on.client(cmd.Context(), "")
			if err != nil {
				return err
			}
			lines := json.NewEncoder(cmd.OutOrStdout())
			err = client.Events(cmd.Context(), 0, follow, func(e control.Event) error {
				if on.output == "json" {
					return lines.Encode(oneEvent{status.NewHead(), e})
				}
				text := e.Text
				if e.Request != "" {
					text += " (request " + e.Request + ")"
				}
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s  %-10s  %s\n", e.Time.Local().Format("15:04:05.000"),
					e.Kind, text)
				return err
			})
			if cmd.Context().Err() != nil {
				return nil // ctrl-C is how one stops following
			}
			return err
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "wait for more events, until ctrl-C")
	on.addFlags(cmd)
	cmd.Flags().Lookup("output").Usage = "table, or json: one object a line"
	return cmd
}
