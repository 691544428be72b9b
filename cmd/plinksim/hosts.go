package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/pkg/peer"
)

func newHosts() *cobra.Command {
	return group("hosts", "What the hosts of a topology need to know each other", "", newCertificates())
}

func newCertificates() *cobra.Command {
	var out string
	var replace bool
	cmd := &cobra.Command{
		Use:   "certificates FILE",
		Short: "Make a certificate for each host of a topology file, and the authority that signs them",
		Long: fmt.Sprintf(`Make a certificate for each host of a topology file, and the authority that signs
them. DIR/HOST is for host HOST: copy it there, and nothing else. DIR/ca-key.pem can
make further hosts: keep it where no host is. Whoever has it, or the directory of a
host, is root on all hosts: "plinksim exec" runs any program there.

  DIR/ca.pem, DIR/ca-key.pem    the authority, good for %d years, and its key
  DIR/HOST/ca.pem               the authority again
  DIR/HOST/host.pem             the certificate of the host, good for %d years
  DIR/HOST/host-key.pem         its key

What is there stays: again with a file that has more hosts, the command makes what is
missing. With --replace all hosts get new certificates of the same authority.
The certificates are good for the hosts of etcd, too.`,
			int(peer.AuthorityLasts.Hours())/(24*365), int(peer.HostLasts.Hours())/(24*365)),
		Example: "  plinksim hosts certificates two-hosts.yaml --out certificates\n" +
			"  scp -r certificates/a root@198.18.0.1:/etc/plinksim/two-hosts",
		Args: takes(cobra.ExactArgs(1), "one topology file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if out == "" {
				return &usageError{errors.New("--out: want the directory to write to")}
			}
			plan, err := load(args[0])
			if err != nil {
				return err
			}
			if len(plan.Hosts) == 0 {
				return withHint(errors.New("the topology has no hosts, and needs no certificates"),
					"docs/hosts.md says how it gets some")
			}
			made, err := peer.Make(out, plan, replace, time.Now())
			if err != nil {
				return err
			}
			t := newTable(cmd.OutOrStdout(), "HOST", "FILES", "UNTIL", "")
			for _, m := range made {
				name, what, files := m.Host, "new", m.Path
				if name == "" {
					name, files = "(authority)", m.Path+", "+filepath.Join(filepath.Dir(m.Path), peer.AuthorityKeyFile)
				}
				if m.Kept {
					what = "was there"
				}
				t.row(name, files, m.Expires.Local().Format("2006-01-02"), what)
			}
			t.flush()
			return nil
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "the directory to write to")
	cmd.Flags().BoolVar(&replace, "replace", false, "make new certificates for hosts that have some")
	return cmd
}
