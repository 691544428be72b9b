package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/internal/spell"
	"github.com/plinksim/plinksim/pkg/aliapi"
	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/awsapi"
	"github.com/plinksim/plinksim/pkg/cloudapi"
	"github.com/plinksim/plinksim/pkg/labdir"
	"github.com/plinksim/plinksim/pkg/topology"
)

// cloudClients is what leads the clients of a cloud to a lab.
type cloudClients struct {
	name       string // of the cloud, for people
	operations func() []cloudapi.Operation
	dir        string // in the lab's directory, for the configuration
	// always are the variables that name the lab, ofKey those of one key, and ofFiles those
	// that name the configuration. Without an account unsetKey are unset, with one unsetFiles.
	always               func(told api.CloudAPI) []variable
	ofKey                func(key api.CloudKey) []variable
	ofFiles              func(dir string, told api.CloudAPI) []variable
	unsetKey, unsetFiles string
	// files are the texts of the configuration, by the names of files.
	files func(told api.CloudAPI) map[string]string
}

// variable is a name and a value of the shell's environment.
type variable [2]string

// clientsOf are those of a lab's cloud, nil where it has none.
func clientsOf(cloud topology.Cloud) *cloudClients {
	switch profile := cloud.Profile(); {
	case profile.AWSAPI:
		return &awsClients
	case profile.AlibabaAPI:
		return &alibabaClients
	}
	return nil
}

var awsClients = cloudClients{
	name: "AWS", operations: awsapi.Operations, dir: "aws",
	always: func(told api.CloudAPI) []variable {
		return []variable{
			{"AWS_ENDPOINT_URL", "http://" + told.Address},
			{"AWS_DEFAULT_REGION", told.Region}, {"AWS_REGION", told.Region},
			// Nothing of a lab's keys goes to the network, and no pager waits.
			{"AWS_EC2_METADATA_DISABLED", "true"}, {"AWS_PAGER", ""},
		}
	},
	ofKey: func(key api.CloudKey) []variable {
		return []variable{{"AWS_ACCESS_KEY_ID", key.ID}, {"AWS_SECRET_ACCESS_KEY", key.Secret}}
	},
	ofFiles: func(dir string, told api.CloudAPI) []variable {
		return []variable{{"AWS_CONFIG_FILE", filepath.Join(dir, "config")},
			{"AWS_SHARED_CREDENTIALS_FILE", filepath.Join(dir, "credentials")}, {"AWS_PROFILE", told.Keys[0].Account}}
	},
	unsetKey:   "AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN",
	unsetFiles: "AWS_PROFILE AWS_SESSION_TOKEN",
	files: func(told api.CloudAPI) map[string]string {
		var config, credentials strings.Builder
		for _, key := range told.Keys {
			fmt.Fprintf(&config, "[profile %s]\nregion = %s\nendpoint_url = http://%s\ncli_pager =\n\n", key.Account,
				told.Region, told.Address)
			fmt.Fprintf(&credentials, "[%s]\naws_access_key_id = %s\naws_secret_access_key = %s\n\n", key.Account, key.ID,
				key.Secret)
		}
		return map[string]string{"config": config.String(), "credentials": credentials.String()}
	},
}

// alibabaClients are the aliyun CLI, which takes ALIBABA_CLOUD_ENDPOINT and --config-path; the
// SDKs, whose default credentials are the other variables; and Terraform's provider, which has
// a variable for the endpoint of each product (aliyun/terraform-provider-alicloud,
// alicloud/connectivity/endpoint.go).
var alibabaClients = cloudClients{
	name: "Alibaba Cloud", operations: aliapi.Operations, dir: "alibaba",
	always: func(told api.CloudAPI) []variable {
		out := []variable{
			{"ALIBABA_CLOUD_ENDPOINT", told.Address}, {"ALIBABA_CLOUD_REGION_ID", told.Region},
			{"ALICLOUD_REGION", told.Region}, {"ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true"},
		}
		for _, product := range []string{"PRIVATELINK", "VPC", "ECS", "SLB", "NLB", "ALB", "STS"} {
			out = append(out, variable{"ALIBABA_CLOUD_ENDPOINT_" + product, told.Address})
		}
		return out
	},
	ofKey: func(key api.CloudKey) []variable {
		return []variable{{"ALIBABA_CLOUD_ACCESS_KEY_ID", key.ID}, {"ALIBABA_CLOUD_ACCESS_KEY_SECRET", key.Secret}}
	},
	ofFiles: func(dir string, told api.CloudAPI) []variable {
		return []variable{{"ALIBABA_CLOUD_CONFIG_PATH", filepath.Join(dir, "config.json")},
			{"ALIBABA_CLOUD_CREDENTIALS_FILE", filepath.Join(dir, "credentials")},
			{"ALIBABA_CLOUD_PROFILE", told.Keys[0].Account}}
	},
	unsetKey:   "ALIBABA_CLOUD_ACCESS_KEY_ID ALIBABA_CLOUD_ACCESS_KEY_SECRET ALIBABA_CLOUD_SECURITY_TOKEN",
	unsetFiles: "ALIBABA_CLOUD_PROFILE ALIBABA_CLOUD_SECURITY_TOKEN",
	files: func(told api.CloudAPI) map[string]string {
		type profile struct {
			Name     string `json:"name"`
			Mode     string `json:"mode"`
			ID       string `json:"access_key_id"`
			Secret   string `json:"access_key_secret"`
			Region   string `json:"region_id"`
			Output   string `json:"output_format"`
			Language string `json:"language"`
		}
		config := struct {
			Current  string    `json:"current"`
			Profiles []profile `json:"profiles"`
		}{Current: told.Keys[0].Account}
		var credentials strings.Builder
		for _, key := range told.Keys {
			config.Profiles = append(config.Profiles,
				profile{key.Account, "AK", key.ID, key.Secret, told.Region, "json", "en"})
			fmt.Fprintf(&credentials, "[%s]\nenable = true\ntype = access_key\naccess_key_id = %s\n"+
				"access_key_secret = %s\n\n", key.Account, key.ID, key.Secret)
		}
		text, err := json.MarshalIndent(config, "", "\t")
		if err != nil {
			panic("words can be written: " + err.Error())
		}
		return map[string]string{"config.json": string(text) + "\n", "credentials": credentials.String()}
	},
}

func newAPIEnv() *cobra.Command {
	on := target{output: "table"}
	var dir string
	cmd := &cobra.Command{
		Use:   "env [ACCOUNT]",
		Short: "Print the shell's environment for the clients of the lab's cloud",
		Long: `Print exports that lead clients of the lab's cloud to the lab. Without an account they name
a configuration of the lab's own, which has a profile for each account; with one they
have its keys. Your ~/.aws and ~/.aliyun are neither read nor changed.`,
		Example: "  eval \"$(sudo plinksim api env)\"\n" +
			"  aws --profile consumer ec2 describe-vpc-endpoints\n" +
			"  eval \"$(sudo plinksim api env provider)\"",
		Args: takes(cobra.MaximumNArgs(1), "one account"),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, told, err := cloudAPI(cmd, &on)
			if err != nil {
				return err
			}
			clients := clientsOf(topology.Cloud(told.Cloud))
			if clients == nil {
				return fmt.Errorf("plinksim knows no clients of cloud %q", told.Cloud)
			}
			exports, unset := clients.always(told), clients.unsetKey
			if len(args) == 1 {
				key, err := keyOf(told, args[0])
				if err != nil {
					return err
				}
				exports, unset = append(exports, clients.ofKey(key)...), clients.unsetFiles
			} else {
				if dir == "" {
					dir = labdir.Of(client.Lab()).Path(clients.dir)
				}
				if dir, err = filepath.Abs(dir); err != nil {
					return err
				}
				if err := writeProfiles(dir, clients.files(told)); err != nil {
					return err
				}
				exports = append(exports, clients.ofFiles(dir, told)...)
			}
			printExports(cmd.OutOrStdout(), exports, unset)
			return nil
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "where the configuration with the profiles goes; the lab's directory")
	addLab(cmd, &on.lab)
	return cmd
}

func printExports(w io.Writer, exports []variable, unset string) {
	for _, e := range exports {
		fmt.Fprintf(w, "export %s='%s'\n", e[0], strings.ReplaceAll(e[1], "'", `'\''`))
	}
	fmt.Fprintln(w, "unset "+unset)
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

// writeProfiles writes a configuration of clients that only its owner may read: who
// called sudo, where somebody did.
func writeProfiles(dir string, files map[string]string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	names := []string{dir}
	for name, text := range files {
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
