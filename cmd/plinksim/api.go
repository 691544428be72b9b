package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/cloudapi"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
)

func newAPI() *cobra.Command {
	return group("api", "Drive the lab with the clients of its cloud",
		`A lab that was started with "up --api" answers the clients of its cloud, unmodified: the
AWS CLI, SDKs and what is built on them (docs/aws-api.md), or the SDKs and tools of Alibaba
Cloud (docs/alibaba-api.md).`,
		newAPIEnv(), newAPIKeys(), newAPICalls(), newAPIOperations())
}

// cloudAPI is the API of the lab that a command means, which must be there.
func cloudAPI(cmd *cobra.Command, on *target) (*api.Client, api.CloudAPI, error) {
	client, err := on.client(cmd.Context(), "")
	if err != nil {
		return nil, api.CloudAPI{}, err
	}
	told, err := client.Cloud(cmd.Context())
	if err == nil && told.Address == "" {
		err = withHint(fmt.Errorf("lab %q answers no clients of a cloud", client.Lab()),
			"\"plinksim up --api 127.0.0.1:4566\" with the lab's file starts that")
	}
	return client, told, err
}

func newAPIKeys() *cobra.Command {
	on := target{}
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Show the access keys of the accounts",
		Args:  takes(cobra.NoArgs, "no arguments"),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, told, err := cloudAPI(cmd, &on)
			if err != nil {
				return err
			}
			if on.output == "json" {
				return printJSON(cmd.OutOrStdout(), apiKeys{status.NewHead(), told.Address, told.Region, told.Keys})
			}
			t := newTable(cmd.OutOrStdout(), "ACCOUNT", "NUMBER", "ACCESS KEY ID", "SECRET ACCESS KEY")
			for _, key := range told.Keys {
				t.row(key.Account, key.AccountID, key.ID, key.Secret)
			}
			t.flush()
			return nil
		},
	}
	on.addFlags(cmd)
	return cmd
}

func newAPICalls() *cobra.Command {
	on := target{}
	cmd := &cobra.Command{
		Use:   "calls",
		Short: "Show who called what, and what was ignored and why",
		Args:  takes(cobra.NoArgs, "no arguments"),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, _, err := cloudAPI(cmd, &on)
			if err != nil {
				return err
			}
			calls, err := client.CloudCalls(cmd.Context())
			if err != nil {
				return err
			}
			if on.output == "json" {
				return printJSON(cmd.OutOrStdout(), apiCalls{status.NewHead(), calls})
			}
			printCalls(cmd.OutOrStdout(), calls)
			return nil
		},
	}
	on.addFlags(cmd)
	return cmd
}

func printCalls(w io.Writer, calls []api.CloudCall) {
	t := newTable(w, "TIME", "ACCOUNT", "CALL", "MS", "REQUEST", "RESULT")
	for _, c := range calls {
		result := "done"
		if c.Refused != "" {
			result = c.Refused
		}
		for _, text := range c.Ignored {
			result += "; ignored " + text
		}
		for _, text := range c.Notes {
			result += "; " + text
		}
		account := c.Account
		if account == "" {
			account = "-"
		}
		if c.From != "" {
			account += " on " + c.From
		}
		t.row(c.Time.Local().Format(time.TimeOnly), account, c.Service+" "+c.Action, fmt.Sprintf("%.1f", c.Millis),
			c.ID, result)
	}
	t.flush()
}

func newAPIOperations() *cobra.Command {
	output, cloud := "table", string(topology.AWS)
	var all bool
	cmd := &cobra.Command{
		Use:   "operations",
		Short: "Show what of a cloud's API is done, and with --all what is not",
		Args:  takes(cobra.NoArgs, "no arguments"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			clients := clientsOf(topology.Cloud(cloud))
			if clients == nil {
				return &usageError{fmt.Errorf("--cloud: %q has no API: aws or alibaba", cloud)}
			}
			operations := []cloudapi.Operation{}
			for _, op := range clients.operations() {
				if op.Done || all {
					operations = append(operations, op)
				}
			}
			if output == "json" {
				return printJSON(cmd.OutOrStdout(), apiOperations{status.NewHead(), operations})
			}
			t := newTable(cmd.OutOrStdout(), "API", "OPERATION", "DONE", "IGNORES")
			for _, op := range operations {
				var ignored []string
				for _, g := range op.Ignores {
					ignored = append(ignored, g.Parameter)
				}
				done := "no"
				if op.Done {
					done = "yes"
				}
				t.row(op.Service, op.Name, done, strings.Join(ignored, " "))
			}
			t.flush()
			return nil
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "also what is not done")
	cmd.Flags().StringVar(&cloud, "cloud", cloud, "whose API: aws or alibaba")
	addOutput(cmd, &output)
	return cmd
}
