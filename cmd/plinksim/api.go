package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/internal/spell"
	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/awsapi"
	"github.com/plinksim/plinksim/pkg/labdir"
	"github.com/plinksim/plinksim/pkg/status"
)

func newAPI() *cobra.Command {
	return group("api", "Drive the lab with the clients of AWS",
		`A lab that was started with "up --api" answers the AWS CLI, SDKs and other clients of
AWS, unmodified: docs/aws-api.md.`,
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
		err = withHint(fmt.Errorf("lab %q answers no clients of AWS", client.Lab()),
			"\"plinksim up --api 127.0.0.1:4566\" with the lab's file starts that")
	}
	return client, told, err
}

func newAPIEnv() *cobra.Command {
	on := target{output: "table"}
	var dir string
	cmd := &cobra.Command{
		Use:   "env [ACCOUNT]",
		Short: "Print the shell's environment for the AWS CLI and SDKs",
		Long: `Print exports that lead clients of AWS to the lab. Without an account they name a
configuration of the lab's own, which has a profile for each account; with one they
have its keys. Your ~/.aws is neither read nor changed.`,
		Example: "  eval \"$(sudo plinksim api env)\"\n" +
			"  aws --profile consumer ec2 describe-vpc-endpoints\n" +
			"  eval \"$(sudo plinksim api env provider)\"",
		Args: takes(cobra.MaximumNArgs(1), "one account"),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, told, err := cloudAPI(cmd, &on)
			if err != nil {
				return err
			}
			exports := [][2]string{
				{"AWS_ENDPOINT_URL", "http://" + told.Address},
				{"AWS_DEFAULT_REGION", told.Region}, {"AWS_REGION", told.Region},
				// Nothing of a lab's keys goes to the network, and no pager waits.
				{"AWS_EC2_METADATA_DISABLED", "true"}, {"AWS_PAGER", ""},
			}
			if len(args) == 1 {
				key, err := keyOf(told, args[0])
				if err != nil {
					return err
				}
				exports = append(exports,
					[2]string{"AWS_ACCESS_KEY_ID", key.ID}, [2]string{"AWS_SECRET_ACCESS_KEY", key.Secret})
			} else {
				if dir == "" {
					dir = labdir.Of(client.Lab()).Path("aws")
				}
				if dir, err = filepath.Abs(dir); err != nil {
					return err
				}
				if err := writeProfiles(dir, told); err != nil {
					return err
				}
				exports = append(exports, [2]string{"AWS_CONFIG_FILE", filepath.Join(dir, "config")},
					[2]string{"AWS_SHARED_CREDENTIALS_FILE", filepath.Join(dir, "credentials")},
					[2]string{"AWS_PROFILE", told.Keys[0].Account})
			}
			for _, e := range exports {
				fmt.Fprintf(cmd.OutOrStdout(), "export %s='%s'\n", e[0], strings.ReplaceAll(e[1], "'", `'\''`))
			}
			if len(args) == 1 {
				fmt.Fprintln(cmd.OutOrStdout(), "unset AWS_PROFILE AWS_SESSION_TOKEN")
			} else {
				fmt.Fprintln(cmd.OutOrStdout(), "unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN")
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "where the configuration with the profiles goes; the lab's directory")
	addLab(cmd, &on.lab)
	return cmd
}

// keyOf is the key of an account, by its name or number.
func keyOf(told api.CloudAPI, account string) (api.CloudKey, error) {
	i := slices.IndexFunc(told.Keys, func(k api.CloudKey) bool {
		return k.Account == account ||
			k.AccountID == account
	})
	if i < 0 {
		names := spell.Names(told.Keys, func(k *api.CloudKey) string { return k.Account })
		return api.CloudKey{}, withHint(fmt.Errorf("there is no account %q", account), "%s",
			spell.Suggest(account, names))
	}
	return told.Keys[i], nil
}

// writeProfiles writes a configuration of AWS clients that only its owner may read: who
// called sudo, where somebody did.
func writeProfiles(dir string, told api.CloudAPI) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	var config, credentials strings.Builder
	for _, key := range told.Keys {
		fmt.Fprintf(&config, "[profile %s]\nregion = %s\nendpoint_url = http://%s\ncli_pager =\n\n", key.Account,
			told.Region, told.Address)
		fmt.Fprintf(&credentials, "[%s]\naws_access_key_id = %s\naws_secret_access_key = %s\n\n", key.Account, key.ID,
			key.Secret)
	}
	names := []string{dir}
	for name, text := range map[string]string{"config": config.String(), "credentials": credentials.String()} {
		path := filepath.Join(dir, name)
		if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return err
		}
		names = append(names, path)
	}
	uid, errUID := strconv.Atoi(os.Getenv("SUDO_UID"))
	gid, errGID := strconv.Atoi(os.Getenv("SUDO_GID"))
	if errUID != nil || errGID != nil || os.Geteuid() != 0 {
		return nil
	}
	for _, name := range names {
		if err := os.Lchown(name, uid, gid); err != nil {
			return err
		}
	}
	return nil
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
				return printJSON(cmd.OutOrStdout(), map[string]any{"schema": status.Schema, "address": told.Address,
					"region": told.Region, "keys": told.Keys})
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
				return printJSON(cmd.OutOrStdout(), map[string]any{"schema": status.Schema, "calls": calls})
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
		t.row(c.Time.Local().Format(time.TimeOnly), account, c.Service+" "+c.Action, fmt.Sprintf("%.1f", c.Millis),
			c.ID, result)
	}
	t.flush()
}

func newAPIOperations() *cobra.Command {
	output := "table"
	var all bool
	cmd := &cobra.Command{
		Use:   "operations",
		Short: "Show what of the API of AWS is done, and with --all what is not",
		Args:  takes(cobra.NoArgs, "no arguments"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			var operations []awsapi.Operation
			for _, op := range awsapi.Operations() {
				if op.Done || all {
					operations = append(operations, op)
				}
			}
			if output == "json" {
				return printJSON(cmd.OutOrStdout(), map[string]any{"schema": status.Schema, "operations": operations})
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
	addOutput(cmd, &output)
	return cmd
}
